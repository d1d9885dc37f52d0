import datetime
import json
import time
from pathlib import Path

import torch
from mmengine.hooks import Hook

from fewshot_wsi.foundation.progress import bar
from openselfsup import distributed


class RecordHook(Hook):
    """Logs: <start>.log (text), <start>.log.json (a JSON object a line), tf_logs/ (TensorBoard); a bar on a terminal.

    Every `interval` iterations, and at the end of an epoch: learning rate, time left, seconds an iteration and of them
    waiting for data, images per second of all processes, GPU memory in MiB, key momentum, loss and what else the model
    reports, each a mean since the last record. Other hooks add theirs through `scalars`.
    """

    priority = "LOW"

    def __init__(self, interval=50, text=True, tensorboard=True):
        self.interval, self.text, self.tensorboard = interval, text, tensorboard

    def before_train(self, runner):
        self.writer, self.bar = None, None
        self.active = distributed.rank() == 0
        self.first, self.began = runner.iter, time.perf_counter()
        if self.active and self.text:
            self.json = Path(runner.work_dir) / f"{runner.timestamp}.log.json"
        if self.active and self.tensorboard:
            from torch.utils.tensorboard import SummaryWriter
            self.writer = SummaryWriter(str(Path(runner.work_dir) / "tf_logs"))
        self._reset()

    def before_train_epoch(self, runner):
        loop = runner.train_loop
        done = runner.iter - runner.epoch * loop.batches
        if runner.on_terminal:
            self.bar = bar(total=loop.batches, initial=done, unit="batch",
                           desc=f"epoch {runner.epoch + 1}/{loop.max_epochs}")
        self.waiting_since = time.perf_counter()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.waited += time.perf_counter() - self.waiting_since

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.count += 1
        self.images += len(data_batch["labels"]) * distributed.world_size()
        self.skipped += int(data_batch["skipped"].sum())
        for name, value in outputs.items():  # sums stay on the device until they are printed
            self.sums[name] = self.sums.get(name, 0) + value.detach()
        if self.bar is not None:
            self.bar.update()
        last = batch_idx + 1 == runner.train_loop.batches
        if (batch_idx + 1) % self.interval == 0 or last:
            self._record(runner, batch_idx + 1)
        if last and self.bar is not None:
            self.bar.close()
        self.waiting_since = time.perf_counter()

    def _record(self, runner, batch):
        means = {name: float(total) / self.count for name, total in self.sums.items()}  # waits for the device
        seconds = (time.perf_counter() - self.since) / self.count
        values = {"lr": runner.optim_wrapper.optimizer.param_groups[0]["lr"]}
        if hasattr(runner.bare_model, "momentum"):
            values["momentum"] = runner.bare_model.momentum
        values |= {"time": seconds, "data_time": self.waited / self.count,
                   "images_per_second": self.images / (seconds * self.count)}
        if torch.cuda.is_available():
            values["memory"] = torch.cuda.max_memory_allocated() // 2**20
        values |= means
        if self.skipped:
            values["skipped_images"] = self.skipped
        self._write(runner, "train", values, runner.iter + 1, batch)
        self._reset(self.skipped)

    def _reset(self, skipped=0):
        self.sums, self.count, self.images, self.waited, self.skipped = {}, 0, 0, 0.0, skipped
        self.since = self.waiting_since = time.perf_counter()

    def _left(self, runner):
        done = runner.iter + 1 - self.first
        seconds = (time.perf_counter() - self.began) / done * (runner.max_iters - runner.iter - 1)
        return str(datetime.timedelta(seconds=round(seconds)))

    def _write(self, runner, mode, values, step, batch):
        if not self.active:
            return
        epoch = runner.epoch + 1
        if self.text:
            place, numbers = f"Epoch({mode}) [{epoch}]", {}
            if mode == "train":
                place = f"Epoch [{epoch}][{batch}/{runner.train_loop.batches}]"
                numbers = {"lr": f"{values['lr']:.3e}", "eta": self._left(runner)}
            numbers |= {name: _short(value) for name, value in values.items() if name not in numbers}
            runner.logger.info(f"{place}\t" + ", ".join(f"{name}: {text}" for name, text in numbers.items()))
            record = {"mode": mode, "epoch": epoch, "iter": batch, "step": step, **values}
            with open(self.json, "a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(f"{mode}/{name}", value, step)

    def scalars(self, runner, values):
        """Record `values` (name to number) that were measured between epochs."""
        self._write(runner, "val", values, runner.iter, runner.train_loop.batches)
        self._reset(self.skipped)

    def after_train(self, runner):
        if self.bar is not None:
            self.bar.close()
        if self.writer is not None:
            self.writer.close()


def _short(value):
    return str(value) if isinstance(value, int) else f"{value:.6g}" if abs(value) < 1e5 else f"{value:.3e}"
