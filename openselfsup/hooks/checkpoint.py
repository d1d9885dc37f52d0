import re
import time
from pathlib import Path

from mmengine.hooks import Hook

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.temporary import remove_leftovers
from openselfsup import distributed


class CheckpointHook(Hook):
    """epoch_N.pth every `interval` epochs and after the last; latest.pth every `latest_interval` epochs, when the last
    one is `latest_minutes` old, and when a signal ends the run. keep: how many epoch_N.pth stay, the newest."""

    priority = "VERY_LOW"

    def __init__(self, interval=1, latest_interval=1, latest_minutes=15, keep=None):
        if keep is not None and keep < 1:
            raise UserError(f"checkpoint_config.keep is {keep!r}; give a whole number from 1, or None to keep all")
        self.interval, self.latest_interval, self.keep = interval, latest_interval, keep
        self.seconds = None if latest_minutes is None else 60 * latest_minutes

    def before_train(self, runner):
        self.folder = Path(runner.work_dir)
        self.saved, self.when, self.due = runner.iter, time.monotonic(), False
        if distributed.rank() == 0:
            remove_leftovers(self.folder)  # half-written by a run that was killed
        self._complete(runner)

    def _complete(self, runner):
        """Save the epoch_N.pth that the earlier run did not come to: it was killed after latest.pth of its last
        iteration."""
        epoch, rest = divmod(runner.iter, runner.train_loop.batches)
        path = self.folder / f"epoch_{epoch}.pth"
        resumed = runner._resume and Path(runner._load_from).absolute().parent == self.folder.absolute()
        if resumed and not rest and self._is_numbered(runner, epoch) and not path.exists():
            runner.save(path, runner.iter)
            self._link(path)

    def _is_numbered(self, runner, epoch):
        return epoch > 0 and (epoch % self.interval == 0 or epoch == runner.max_epochs)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        done = runner.iter + 1
        old = self.seconds is not None and time.monotonic() - self.when >= self.seconds
        # process 0 alone can decide: it has all that a checkpoint needs
        if (old or self.due) and distributed.rank() == 0 and done % runner.update_interval == 0:
            self._latest(runner, done)

    def after_train_epoch(self, runner):
        epoch = runner.epoch + 1
        numbered = self._is_numbered(runner, epoch)
        path = self.folder / f"epoch_{epoch}.pth"
        if numbered:
            runner.save(path, runner.iter)
            self._forget()
        if not runner.train_loop.between_updates:  # half-gathered gradients are in no checkpoint: latest.pth waits
            self.due = True
        elif numbered:
            self._link(path)
            self._note(runner.iter)
        elif epoch % self.latest_interval == 0:
            self._latest(runner, runner.iter)

    def after_train(self, runner):
        if runner.train_loop.stopped_by:
            if self.saved != runner.iter:
                self._latest(runner, runner.iter)
            runner.logger.info(f"stopped after {runner.iter} iterations; --continue_training continues from "
                               f"{self.folder / 'latest.pth'}")

    def _latest(self, runner, iteration):
        runner.save(self.folder / "latest.pth", iteration)
        self._note(iteration)

    def _note(self, iteration):
        self.saved, self.when, self.due = iteration, time.monotonic(), False

    def _link(self, path):
        """latest.pth becomes a link to `path`, in one move."""
        if distributed.rank() == 0:
            link = self.folder / ".latest.pth.link"
            link.unlink(missing_ok=True)
            link.symlink_to(path.name)
            link.replace(self.folder / "latest.pth")

    def _forget(self):
        if self.keep is None or distributed.rank() != 0:
            return
        found = ((re.fullmatch(r"epoch_(\d+)\.pth", path.name), path) for path in self.folder.iterdir())
        numbered = sorted((int(match[1]), path) for match, path in found if match)
        for _, path in numbered[:-self.keep]:
            path.unlink()
