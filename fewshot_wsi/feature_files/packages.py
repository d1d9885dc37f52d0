"""Packages that only some formats need, imported where they are used."""

import importlib

from fewshot_wsi.foundation.errors import UserError


def needed(module: str, what: str):
    """The module `module`; UserError with the command that installs its package where it is not there."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        package = module.partition(".")[0]
        raise UserError(f"{what} needs {package}; install it with: pip install {package}") from None
