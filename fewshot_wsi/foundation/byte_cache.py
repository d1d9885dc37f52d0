"""Arrays kept in memory up to a number of bytes; the one used longest ago goes first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class ByteCache:
    """`get(key, make)` returns what `make()` returned when the key was new. Results are arrays or tuples of arrays."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: OrderedDict = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            value = make()
            self._kept[key] = value
            self._bytes += _size(value)
            while self._bytes > self.limit and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= _size(dropped)
        self._kept.move_to_end(key)
        return self._kept[key]


def _size(value):
    return sum(part.nbytes for part in value) if isinstance(value, tuple) else value.nbytes
