"""Entries by name, each registered by a file of its own in one package."""

import functools
import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any


class Registry:
    """package: module name of the package whose files register entries when they are imported; an entry has a `name`.
    first: names that come first, the others follow by name."""

    def __init__(self, package: str, first: Sequence[str] = ()) -> None:
        self._package, self._first = package, first
        self._entries: dict[str, Any] = {}

    def register(self, entry: Any) -> Any:
        """Make an entry known by its name; returns it. ValueError where the name is in use."""
        if entry.name in self._entries:
            raise ValueError(f"two entries of {self._package} are named {entry.name!r}")
        self._entries[entry.name] = entry
        return entry

    def entries(self) -> dict[str, Any]:
        """dict from name to entry, of every file of the package."""
        self._load()
        return {name: self._entries[name] for name in (*self._first, *sorted(set(self._entries) - set(self._first)))}

    @functools.cache  # noqa: B019 - registries live as long as the program
    def _load(self):
        for module in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            importlib.import_module(f"{self._package}.{module.name}")
