"""SIGTERM and SIGINT as requests: training continues to the next clean point, saves, and ends.

tools/dist_train.sh starts torchrun through openselfsup/launch.py, which passes a signal on by writing its number to
the file named in FEWSHOT_STOP_FILE; SLURM and a plain `python tools/train.py` send the signal to the process itself.
"""

import contextlib
import os
import signal

import torch
import torch.distributed as dist

from fewshot_wsi.foundation.errors import Terminated
from openselfsup.launch import STOP_FILE


class StopRequest:
    """`with StopRequest() as stop:` handles both signals; a second SIGINT interrupts at once.

    A process whose launcher is gone ends without saving: another run may already be in its place.
    `stop.agreed()` gives the signal number that any process has seen, the same on all of them, or 0.
    """

    def __init__(self):
        self.signal = 0
        self.file = os.environ.get(STOP_FILE)
        self.parent = os.getppid()
        self.group = None

    def __enter__(self):
        if dist.is_initialized() and dist.get_backend() != "gloo":
            self.group = dist.new_group(backend="gloo")  # agreeing must not wait for the device
        self.previous = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *exception):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _note(self, number, frame):
        if number == signal.SIGINT and self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def seen(self):
        """The signal number that this process has seen, or 0."""
        if self.file and os.getppid() != self.parent:
            raise Terminated
        if not self.signal and self.file and os.path.exists(self.file):
            with open(self.file, encoding="ascii") as stream, contextlib.suppress(ValueError):
                self.signal = int(stream.read())  # ValueError: still being written; the next look finds it
        return self.signal

    def agreed(self):
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return self.seen()
        number = torch.tensor(int(self.seen()))
        dist.all_reduce(number, dist.ReduceOp.MAX, group=self.group)
        return int(number)
