"""From `dict(type="Name", option=…)` of a config to an object; a misspelt name or option names the nearest one."""

import inspect

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.keys import check_keys, nearest_known


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
        raise UserError(f"{where}: unknown type {config['type']!r}{nearest_known(config['type'], table)}")
    kind = table[config["type"]]
    parameters = {name: p for name, p in inspect.signature(kind).parameters.items() if name not in given}
    required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    check_keys(options, parameters, f"{where} ({config['type']})", required)
    return kind(**options, **given)
