"""The training loop: MMEngine's, made to begin anywhere in an epoch, to stop on request, and to stop at NaN."""

import torch
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.seeds import sequence
from openselfsup import distributed
from openselfsup.datasets import batch_of, workers_of
from openselfsup.stopping import StopRequest


class TrainLoop(EpochBasedTrainLoop):
    """update_interval: iterations between optimiser steps; a run stops only between them.

    After `run`, `stopped_by` is the signal number that ended it early, or 0.
    """

    def __init__(self, runner, dataloader, max_epochs, update_interval=1):
        super().__init__(runner, dataloader, max_epochs)
        self.update_interval = update_interval
        self.stopped_by = 0
        self.pending = None  # (iteration, loss) not yet looked at

    @property
    def batches(self):
        """Iterations of one epoch."""
        return len(self.dataloader)

    def go_to(self, iteration):
        """Continue after `iteration` iterations."""
        self._iter, self._epoch = iteration, iteration // self.batches

    def run(self):
        self.runner.call_hook("before_train")
        with workers_of(self.dataloader), StopRequest() as self.stop:
            while self._epoch < self._max_epochs and not self.stopped_by:
                self.run_epoch()
        self.check_loss()
        self.runner.call_hook("after_train")
        return self.runner.model

    def run_epoch(self):
        done = self._iter - self._epoch * self.batches
        self.dataloader.batch_sampler.start_at(self._epoch, done)
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        batches = self.preprocess.ahead(map(batch_of, self.dataloader))
        for index, (batch, ready) in enumerate(batches, start=done):
            self.run_iter(index, batch, ready)
            if self.between_updates:
                self.stopped_by = self.stop.agreed()
            if self.stopped_by and index + 1 < self.batches:
                return
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    @property
    def between_updates(self):
        return self._iter % self.update_interval == 0 or self._iter == self._max_iters

    @property
    def preprocess(self):
        model = self.runner.model
        return (model.module if is_model_wrapper(model) else model).data_preprocessor

    def run_iter(self, index, batch, ready):
        # the random state of an iteration follows from the run's seed: nothing about it need be saved
        stream = sequence(self.runner.seed, "train/iteration", self._iter, distributed.rank())
        torch.manual_seed(int(stream.generate_state(1, "uint64")[0] >> 1))
        self.runner.call_hook("before_train_iter", batch_idx=index, data_batch=batch)
        outputs = self.runner.model.train_step(ready, optim_wrapper=self.runner.optim_wrapper)
        self._note_loss(outputs["loss"])
        self.runner.call_hook("after_train_iter", batch_idx=index, data_batch=batch, outputs=outputs)
        self._iter += 1

    def _note_loss(self, loss):
        """Look at the loss now; on a GPU at the one before, which has arrived, so that the device never waits."""
        if not loss.is_cuda:
            self.check_loss()
            self.pending = (self._iter, loss.detach())
            self.check_loss()
            return
        self.check_loss()
        self.pending = (self._iter, loss.detach().to("cpu", non_blocking=True), torch.cuda.Event())
        self.pending[2].record()

    def check_loss(self):
        """UserError if the last loss is not a finite number."""
        if self.pending is None:
            return
        iteration, loss, *event = self.pending
        self.pending = None
        for ready in event:
            ready.synchronize()
        if not torch.isfinite(loss):
            raise UserError(f"the loss became {float(loss)} at iteration {iteration + 1} (epoch "
                            f"{iteration // self.batches + 1}, batch {iteration % self.batches + 1}); nothing was "
                            "saved since: lower optimizer.lr or add lr_config.warmup, and resume from the last "
                            "checkpoint")
