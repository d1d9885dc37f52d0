"""Config files that are data, YAML and JSON: read without running anything, within bounds."""

import math
from pathlib import Path
from typing import Any

import yaml

from fewshot_wsi.foundation.bounded import MIB, parse_json, read_bounded
from fewshot_wsi.foundation.errors import UserError, one_line

KINDS = {".json": "JSON", ".yaml": "YAML", ".yml": "YAML"}
LIMIT = MIB            # bytes of a file
DEPTH, VALUES = 50, 100_000  # levels and values of it, with everything that an alias stands for
BASES = 16             # files above one another
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = (str, int, float, bool, type(None))


def is_data(path: str | Path) -> bool:
    """Whether a config of this name is data; other configs are programs in Python."""
    return Path(path).suffix.lower() in KINDS


def read_data_config(path: str | Path, above: tuple = ()) -> dict[str, Any]:
    """The values of a YAML or JSON file on top of those of its `_base_`, one file or a list, of the same kind.

    Dicts are merged, all other values replaced; `_delete_: true` in a dict keeps nothing of its base's. UserError: not
    readable, too large or too deep, a value that is neither text, number, list nor dict, a base of another kind.
    """
    path = Path(path)
    if len(above) >= BASES or path.resolve() in above:
        raise UserError(f"{path}: _base_ leads in a circle or through more than {BASES} files")
    values = _parsed(path)
    bases = values.pop("_base_", [])
    found: dict[str, Any] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        if not isinstance(base, str) or KINDS.get(Path(base).suffix.lower()) != KINDS[path.suffix.lower()]:
            raise UserError(f"{path}: _base_ {base!r} is no {KINDS[path.suffix.lower()]} file; data are based on data "
                            "of the same kind alone, programs (.py) are not run from them")
        given = read_data_config(path.parent / base, (*above, path.resolve()))
        twice = sorted(found.keys() & given)
        if twice:
            raise UserError(f"{path}: two files of _base_ set {twice[0]!r}")
        found |= given
    return merged(found, values)


def merged(base: dict, values: dict) -> dict:
    """`base` with `values` on top: dicts by key, unless they say `_delete_`."""
    if values.get("_delete_"):
        base = {}
    both = {key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else
            merged({}, value) if isinstance(value, dict) else value for key, value in values.items()}
    return {key: value for key, value in {**base, **both}.items() if key != "_delete_"}


def _parsed(path):
    try:
        data = read_bounded(path, LIMIT)
        values = parse_json(data) if KINDS[path.suffix.lower()] == "JSON" else _yaml(data)
        if not isinstance(values, dict):
            raise ValueError("no keys with values at its top")
        _check(values)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, which a _base_ names") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not a readable config ({one_line(error)[:300]})") from None
    return values


def _yaml(data):
    """What one YAML document holds; tags of Python are refused by the loader, aliases are counted."""
    depth = 0
    for event in yaml.parse(data, Loader=_LOADER):  # level by level: a composer that calls itself has its own limit
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise ValueError(f"nested deeper than {DEPTH} levels")
    return yaml.load(data, Loader=_LOADER)  # noqa: S506 (a safe loader)


def _check(values):
    """ValueError where `values` are more than plain, named, finite values; each use of an alias counts."""
    count, waiting = 0, [(values, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if count > VALUES or depth > DEPTH:
            raise ValueError(f"more than {VALUES:,} values or {DEPTH} levels, aliases included")
        if isinstance(value, dict):
            unnamed = next((key for key in value if not isinstance(key, str)), None)
            if unnamed is not None or None in value:
                raise ValueError(f"the key {unnamed!r} is no text; put it in quotes")
            waiting += [(one, depth + 1) for one in (*value, *value.values())]
        elif isinstance(value, list):
            waiting += [(one, depth + 1) for one in value]
        elif not isinstance(value, _PLAIN):
            raise ValueError(f"{value!r:.60} is a {type(value).__name__}; put it in quotes")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value}, where a finite number is needed")
        elif isinstance(value, int) and not -2**63 <= value < 2**64:
            raise ValueError("a whole number of more than 64 bits")
        elif isinstance(value, str) and ("\0" in value or "{{" in value):
            raise ValueError(f"{value!r:.60}: neither NUL characters nor templates, {{{{ }}}}, have a meaning here")
