"""Progress: a bar on a terminal, a plain line now and then in a file."""

import os
import sys
from collections.abc import Iterable

from tqdm import tqdm

from fewshot_wsi.foundation.printable import printable


class _Lines(tqdm):
    """tqdm that prints whole lines, for logs."""

    def display(self, msg=None, pos=None):
        if self.n or self.total == 0:
            print(msg or self, file=self.fp, flush=True)
        return True

    def close(self):
        if not self.disable:
            self.display()
            self.disable = True
            self._decr_instances(self)


def _terminal():
    """Where a bar can move: stderr, or the terminal behind it when output is logged (LOWSHOT_TERMINAL), or None."""
    if sys.stderr.isatty():
        return sys.stderr
    try:
        return open(os.environ["LOWSHOT_TERMINAL"], "w", encoding="utf-8")
    except (KeyError, OSError):
        return None


def bar(iterable: Iterable | None = None, *, desc: str, total: int | None = None, unit: str = "it", quiet: bool = False,
        initial: int = 0, scale: bool = False) -> tqdm:
    """A tqdm object on stderr: iterate over it, or call `.update(n)` and `.close()`. quiet: show nothing.
    scale: 1.2G instead of 1200000000, for bytes."""
    options = dict(iterable=iterable, desc=printable(desc), total=total, unit=unit, initial=initial, disable=quiet,
                   unit_scale=scale)
    terminal = None if quiet else _terminal()
    if terminal:
        return tqdm(dynamic_ncols=True, file=terminal, **options)
    known = total is not None or hasattr(iterable, "__len__")
    form = "{desc}: {n_fmt}/{total_fmt} {unit} ({percentage:.0f} %), {rate_fmt}, {elapsed} spent, {remaining} left"
    return _Lines(mininterval=10, maxinterval=10, bar_format=form if known else None, file=sys.stderr, **options)
