"""MMEngine's Runner with this project's checkpoints, log files and loop."""

import contextlib
import os
import platform
import sys
from pathlib import Path

import mmengine
import torch
from mmengine.runner import Runner

import openselfsup
from fewshot_wsi.foundation.errors import UserError
from openselfsup import distributed
from openselfsup.checkpoint import fit, load_file, save_file, state_of
from openselfsup.loop import TrainLoop
from openselfsup.optim import state_for


class Trainer(Runner):
    """Everything handed over ready-made: model (wrapped for several processes), loader, optimiser wrapper, hooks."""

    def __init__(self, *, update_interval, **options):
        self.update_interval = update_interval
        hooks = ("runtime_info", "timer", "sampler_seed", "logger", "param_scheduler", "checkpoint")
        super().__init__(default_hooks=dict.fromkeys(hooks), visualizer=dict(type="Visualizer"), **options)
        with contextlib.suppress(OSError):
            Path(self._log_dir).rmdir()  # MMEngine's folder for every start; the logs lie in work_dir, as published

    def build_logger(self, log_level="INFO", log_file=None, **options):
        if distributed.rank() == 0:
            log_file = os.path.join(self.work_dir, f"{self.timestamp}.log")
        logger = super().build_logger(log_level, log_file or os.devnull, **options)
        logger.propagate = False
        return logger

    def _log_env(self, env_cfg):
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
        self.logger.info(f"few-shot-wsi {openselfsup.__version__}, torch {torch.__version__}, mmengine "
                         f"{mmengine.__version__}, Python {platform.python_version()}; {distributed.world_size()} "
                         f"process(es) on {device}, {torch.get_num_threads()} thread(s) each; seed {self.seed}, "
                         f"deterministic {self.deterministic}")

    def get_hooks_info(self):
        return ", ".join(type(hook).__name__ for hook in self._hooks)

    def build_train_loop(self, loop):
        if isinstance(loop, TrainLoop):
            return loop
        return TrainLoop(self, self._train_dataloader, update_interval=self.update_interval, **loop)

    def wrap_model(self, model_wrapper_cfg, model):
        """The model is where it should be and wrapped; MMEngine would move it to a device of its own choice."""
        return model

    def _init_model_weights(self):
        """The weights were set when the model was built; MMEngine would initialise them again."""

    @property
    def bare_model(self):
        return getattr(self.model, "module", self.model)

    @property
    def on_terminal(self):
        """Whether somebody watches: then a bar goes to the terminal and the lines only to the file."""
        return distributed.rank() == 0 and sys.stderr.isatty()

    @property
    def images_per_iteration(self):
        return self.train_dataloader.batch_sampler.batch_size * distributed.world_size()

    def checkpoint(self, iteration):
        """What a checkpoint after `iteration` iterations holds: plain values and tensors only."""
        batches = self.train_loop.batches
        epoch, done = divmod(iteration, batches)
        meta = dict(epoch=epoch, iter=iteration, batches_per_epoch=batches,
                    images_done_in_epoch=done * self.images_per_iteration, seed=self.seed,
                    processes=distributed.world_size(), config=self.cfg.pretty_text,
                    code_version=openselfsup.__version__, torch_version=str(torch.__version__))
        rates = [group["lr"] for group in self.optim_wrapper.optimizer.param_groups]
        # seed and iteration name every random stream that is still to come
        return dict(meta=meta, state_dict=self.bare_model.state_dict(), optimizer=self.optim_wrapper.state_dict(),
                    scheduler=dict(iter=iteration, lr=rates), random_state=dict(seed=self.seed, iter=iteration))

    def save(self, path, iteration):
        """Write a checkpoint from process 0, in one move; a loss or weights that are not finite are never saved."""
        self.train_loop.check_loss()
        if distributed.rank() == 0:
            content = self.checkpoint(iteration)
            # the loss of another process, or a gradient of this one, may have broken them
            broken = [name for name, value in content["state_dict"].items() if not torch.isfinite(value).all()]
            if broken:
                raise UserError(f"weights became infinite or no numbers by iteration {iteration} ({broken[0]}); {path} "
                                "was not saved: lower optimizer.lr or add lr_config.warmup, and resume from the last "
                                "checkpoint")
            save_file(path, content)

    def resume(self, filename, **_):
        content = load_file(filename)
        meta = content.get("meta") if isinstance(content, dict) else None
        if not isinstance(meta, dict) or "iter" not in meta or "optimizer" not in content:
            raise UserError(f"{filename}: no training checkpoint (it has no optimiser state); to start from its "
                            "weights use --pretrained")
        weights = state_of(content, filename)
        fit(self.bare_model, weights, filename)
        groups = self.optim_wrapper.optimizer.param_groups
        own = [{key: value for key, value in group.items() if key != "params"} for group in groups]
        try:
            self.optim_wrapper.load_state_dict(
                state_for(self.bare_model, self.optim_wrapper.optimizer, content["optimizer"], list(weights)))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{filename}: its optimiser state does not fit this config ({error}); to start from its "
                            "weights use --pretrained") from None
        for group, options in zip(self.optim_wrapper.optimizer.param_groups, own, strict=True):
            group.update(options)  # rates and decays are the config's, only the buffers are the checkpoint's
        self.train_loop.go_to(self._position(meta, filename))
        self.logger.info(f"resumed from {filename}: {self.iter} iterations ({self.epoch} epochs) are done")

    def _position(self, meta, filename):
        """Iterations done, in this run's count."""
        if meta.get("seed", self.seed) != self.seed:
            raise UserError(f"{filename} was made with seed {meta['seed']}, this run has seed {self.seed}; "
                            f"give --seed {meta['seed']}")
        batches = self.train_loop.batches
        same = (meta.get("batches_per_epoch", batches), meta.get("processes", distributed.world_size()))
        if same == (batches, distributed.world_size()) and meta["iter"] // batches == meta["epoch"]:
            return meta["iter"]
        self.logger.warning("the checkpoint was made with other batches or processes: the run continues at the same "
                            "share of the epoch, but not to the bit as it would have")
        return meta["epoch"] * batches + meta.get("images_done_in_epoch", 0) // self.images_per_iteration

    def load_checkpoint(self, filename, **_):
        fit(self.bare_model, state_of(load_file(filename), filename), filename)
        self.logger.info(f"weights loaded from {filename}")

    def dump_config(self):
        if distributed.rank() == 0:
            name = Path(self.cfg.filename).name if self.cfg.filename else "config.py"
            self.cfg.dump(os.path.join(self.work_dir, name))
