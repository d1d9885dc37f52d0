"""From `dict(type="Name", option=…)` of a config to an object; a misspelt name or option names the nearest one."""

import difflib
import inspect

from lowshot.errors import UserError


def nearest(name, known):
    """'; did you mean …?' or '; known: …' for an error about `name`."""
    known = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"


def check_keys(value, known, where):
    """UserError unless `value` is a dict whose keys are all in `known`."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a dict, got {value!r}")
    for key in value:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}{nearest(key, known)}")


def build(config, table, where, **given):
    """table[config['type']](**the other keys, **given).

    config: dict with `type`; table: dict from type name to class; where: place in the config, for errors;
    given: arguments that the program adds (no config may set them). UserError for an unknown type, an unknown option,
    or a missing one.
    """
    if not isinstance(config, dict) or "type" not in config:
        raise UserError(f"{where}: expected a dict with the key 'type', got {config!r}")
    options = {key: value for key, value in config.items() if key != "type"}
    if config["type"] not in table:
        raise UserError(f"{where}: unknown type {config['type']!r}{nearest(config['type'], table)}")
    kind = table[config["type"]]
    parameters = {name: p for name, p in inspect.signature(kind).parameters.items() if name not in given}
    check_keys(options, parameters, f"{where} ({config['type']})")
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in options:
            raise UserError(f"{where} ({config['type']}): the key {name!r} is missing")
    return kind(**options, **given)
