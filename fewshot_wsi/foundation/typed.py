"""From the plain dicts of a config file to frozen dataclasses, every key and every type checked."""

import dataclasses
import typing
from collections.abc import Collection, Mapping
from typing import Any

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.keys import check_keys

_PLAIN = {str: "text in quotes", int: "a whole number", float: "a number", bool: "True or False", dict: "a dict",
          tuple: "a list such as (1,) or (1, 5)", type(None): "None"}


def build(kind: type, value: Any, where: object) -> Any:
    """Instance of the dataclass `kind` from a dict; `where` names its place in errors. Lists become tuples."""
    return kind(**checked(kind, value, where))


def build_all(kind: type, values: Mapping, where: object) -> dict:
    """dict from name to instance, from a dict of dicts."""
    return {name: build(kind, value, f"{where}.{name}") for name, value in values.items()}


def checked(kind: type, value: Any, where: object, hidden: Collection[str] = ()) -> dict:
    """The dict `value` with its lists made tuples. UserError unless its keys are fields of `kind` (without the
    `hidden` ones), none without a default is missing, and each value is of the field's type. A field that is a
    dataclass itself still holds a dict."""
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in hidden}
    required = [name for name, f in fields.items()
                if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    check_keys(value, fields, where, required)
    values = {key: frozen(item) for key, item in value.items()}
    for key, item in values.items():
        kinds = _plain_types(fields[key].type)
        if type(item) is int and float in kinds:
            values[key] = float(item)
        elif type(item) not in kinds:
            raise UserError(f"{where}: {key} is {item!r}; expected {' or '.join(_PLAIN[one] for one in kinds)}")
    return values


def frozen(value: Any) -> Any:
    """Lists as tuples, also within lists."""
    return tuple(frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _plain_types(annotation):
    """str | None -> [str, NoneType]; dict[str, tuple] and dataclasses -> [dict]."""
    union = isinstance(annotation, type(int | None))
    kinds = [typing.get_origin(one) or one for one in (typing.get_args(annotation) if union else (annotation,))]
    return [dict if dataclasses.is_dataclass(one) else one for one in kinds]
