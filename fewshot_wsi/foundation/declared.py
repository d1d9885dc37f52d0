"""Settings that are declared once: the field of a dataclass says its type, which values it takes and what it means.

    num_shots: Annotated[int, COUNT, "support tiles a class"] = 5

From that follow the check of a config file (`build`) and of an instance (`check_values`), the option of a command
(`option`), and the table in the documentation (`described`).
"""

import dataclasses
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING
from typing import Any

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.keys import check_keys, nearest_known

MOST = 1_000_000  # of anything that is counted
_PLAIN = {str: "text in quotes", int: "a whole number", float: "a number", bool: "True or False", dict: "a dict",
          tuple: "a list such as (1,) or (1, 5)", type(None): "None"}


@dataclasses.dataclass(frozen=True)
class Check:
    """Which values a setting takes. accepts: whether a value is one; advice: end of an error about any other."""
    accepts: Callable[[Any], bool]
    advice: Callable[[Any], str]
    known: Callable[[], Collection] | None = None  # all values, where they can be listed


def whole(low: int = 1, high: int = MOST, advice: str = "") -> Check:
    """A whole number from `low` to `high`. advice: what an error recommends instead of that."""
    words = advice or f"give a whole number from {low} to {high}"
    return Check(lambda value: type(value) is int and low <= value <= high, lambda value: f"; {words}")


def one_of(known: Collection | Callable[[], Collection]) -> Check:
    """One of the values `known`; a function where the values are registered later."""
    values: Callable[[], Collection] = known if callable(known) else lambda: known
    return Check(lambda value: value in values(), lambda value: nearest_known(value, values()), values)


def offered(values: Collection) -> Check:
    """Any value: `values` are those that the option of a command offers."""
    return Check(lambda value: True, lambda value: "", lambda: values)


def each(check: Check, least: int = 0) -> Check:
    """At least `least` values, all of which pass `check`."""
    return Check(lambda values: len(values) >= least and all(map(check.accepts, values)),
                 lambda values: check.advice(values).replace("a whole number", "whole numbers"))


COUNT = whole()
SEED = whole(0, 2**63 - 1, "give a whole number from 0, below 2^63")
SEED32 = whole(0, 2**32 - 1, "give a whole number from 0, below 2^32")


def build(kind: type, value: Any, where: object) -> Any:
    """Instance of the dataclass `kind` from a dict; `where` names its place in errors. Lists become tuples."""
    return kind(**checked(kind, value, where))


def build_all(kind: type, values: Mapping, where: object) -> dict:
    """dict from name to instance, from a dict of dicts."""
    return {name: build(kind, value, f"{where}.{name}") for name, value in values.items()}


def checked(kind: type, value: Any, where: object, hidden: Collection[str] = ()) -> dict:
    """The dict `value` with its lists made tuples.

    A field that is a dataclass itself still holds a dict. hidden: fields that are no keys.
    UserError: a key that is no field, a missing one, a value of another type, or one that the field's check refuses.
    """
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in hidden}
    check_keys(value, fields, where, [name for name, field in fields.items() if _default(field) is MISSING])
    values = {key: frozen(item) for key, item in value.items()}
    for key, item in values.items():
        kinds = _plain_types(fields[key])
        if type(item) is int and float in kinds:
            values[key] = float(item)
        elif type(item) not in kinds:
            raise UserError(f"{where}: {key} is {item!r}; expected {' or '.join(_PLAIN[one] for one in kinds)}")
        _check(fields[key], values[key], f"{where}: {key}")
    return values


def check_value(check: Check, value: Any, place: object) -> None:
    """UserError, which begins with `place`, unless `value` passes the check."""
    if not check.accepts(value):
        raise UserError(f"{place} is {value!r:.60}{check.advice(value)}")


def check_values(settings: Any, prefix: str = "--") -> None:
    """UserError unless all values of the dataclass instance pass the checks of its fields.

    prefix: stands before the field's name in the message.
    """
    for field in dataclasses.fields(settings):
        _check(field, getattr(settings, field.name), f"{prefix}{field.name}")


def option(kind: type, name: str, default: Any = MISSING) -> dict:
    """Arguments of `add_argument` for the option of the field `name`: type, default, choices and help.

    default: instead of the field's, None where the option is to show whether it was given; help says the field's.
    """
    field = next(field for field in dataclasses.fields(kind) if field.name == name)
    usual = _default(field) if default in (MISSING, None) else default
    shown = "" if usual is MISSING or usual is None else f" (default {usual})"
    return {"type": next(one for one in _plain_types(field) if one is not type(None)),
            "choices": next((tuple(check.known()) for check in _of_type(field, Check) if check.known), None),
            "default": None if usual is MISSING or default is None else usual, "help": meaning(field) + shown}


def described(kind: type, hidden: Collection[str] = ()) -> Iterator[tuple[str, str, str]]:
    """(name, default, meaning) of the fields of a dataclass, '' as the default of one that must be given."""
    for field in dataclasses.fields(kind):
        if field.name not in hidden:
            usual = _default(field)
            yield field.name, "" if usual is MISSING else repr(usual), meaning(field)


def meaning(field: dataclasses.Field) -> str:
    """What a field means, '' where its declaration does not say so."""
    return next(iter(_of_type(field, str)), "")


def frozen(value: Any) -> Any:
    """Lists as tuples, also within lists."""
    return tuple(frozen(item) for item in value) if isinstance(value, list | tuple) else value


def _check(field, value, place):
    if value is not None or type(None) not in _plain_types(field):
        for check in _of_type(field, Check):
            check_value(check, value, place)


def _default(field):
    """Default of a field, made by its factory where it has one; MISSING where it has neither."""
    return field.default if field.default_factory is MISSING else field.default_factory()


def _of_type(field, kind):
    """What the annotation of a field holds of the class `kind` beside the type."""
    return [one for one in getattr(field.type, "__metadata__", ()) if isinstance(one, kind)]


def _plain_types(field):
    """str | None -> [str, NoneType]; dict[str, tuple] and dataclasses -> [dict]."""
    annotation = typing.get_args(field.type)[0] if typing.get_origin(field.type) is typing.Annotated else field.type
    union = isinstance(annotation, type(int | None))
    kinds = [typing.get_origin(one) or one for one in (typing.get_args(annotation) if union else (annotation,))]
    return [dict if dataclasses.is_dataclass(one) else one for one in kinds]
