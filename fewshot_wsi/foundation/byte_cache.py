"""Arrays kept in memory up to a number of bytes; the one used longest ago goes first."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class ByteCache:
    """`get(key, make)` returns what `make()` returned when the key was new. Results are arrays or tuples of arrays.

    Threads may share it; two that ask for a new key at the same time both make its value, and one is kept. A copy in
    another process begins empty."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = value
                self._bytes += _size(value)
            while self._bytes > self.limit and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= _size(dropped)
        return value

    def __reduce__(self) -> tuple:
        return type(self), (self.limit,)


def _size(value):
    return sum(part.nbytes for part in value) if isinstance(value, tuple) else value.nbytes
