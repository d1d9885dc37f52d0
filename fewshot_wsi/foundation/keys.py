"""Keys of configs and protocols: an unknown one is an error that names the known one most like it."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from fewshot_wsi.foundation.errors import UserError


def nearest_known(name: object, known: Iterable) -> str:
    """End of an error about an unknown name: '; did you mean …?', or '; known: …' with all of them."""
    known = [str(one) for one in known]
    close = difflib.get_close_matches(str(name), known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"


def look_up(known: Collection, name: object, what: str, where: object) -> Any:
    """Value of `name` in the dict `known`, or `name` where `known` is a list of names.

    UserError, at the place `where`, names the nearest one where there is no such `what`.
    """
    if name not in known:
        raise UserError(f"{where}: no {what} {name!r}{nearest_known(name, known)}")
    return known[name] if isinstance(known, Mapping) else name


def check_keys(value: Any, known: Collection, where: object, required: Collection[str] = ()) -> None:
    """UserError unless `value` is a dict with no keys but those `known`, and all those `required`."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a dict, got {value!r}")
    for key in value:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}{nearest_known(key, known)}")
    for key in required:
        if key not in value:
            raise UserError(f"{where}: the key {key!r} is missing")
