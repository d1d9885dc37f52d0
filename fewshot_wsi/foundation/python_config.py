"""Config files: those in Python are programs, run for the names that they set; YAML and JSON are data, read only."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewshot_wsi.foundation.data_config import BASES, is_data, read_data_config
from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.files import shipped


def _check_bases(file, depth=0):
    """UserError where a program is based on a file of another kind: MMEngine reads YAML in a way that runs code."""
    tree = ast.parse(file.read_bytes())
    for node in tree.body:
        if isinstance(node, ast.Assign) and [getattr(target, "id", None) for target in node.targets] == ["_base_"]:
            for base in (one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)):
                if not isinstance(base, str) or Path(base).suffix != ".py":
                    raise UserError(f"{file}: _base_ {base!r} is no .py file; programs are based on programs alone")
                above = file.parent / base
                if above.is_file() and depth < BASES:
                    _check_bases(above, depth + 1)


def read_python_config(path: str | Path, what: str, options: Mapping | None = None) -> Any:
    """The names that a config file sets, as a dict; `_base_` files are read as MMEngine reads them.

    A .py file is run; a .yaml, .yml or .json file is data and runs nothing (see `data_config`).

    Parameters
    ----------
    path : str or Path
        A path below configs/ is also looked for among the files that come with the project.
    what : str
        What the file should be, for the error where it is missing.
    options : dict or None
        Dotted keys and values ('data.train.root': …) that replace the file's own.

    Raises
    ------
    UserError
        The file is missing, running it fails, or an option does not fit it.
    """
    from mmengine.config import Config  # here, not above: it imports torch

    file = shipped(Path(path))
    if not file.is_file():
        raise UserError(f"{path}: no such {what}")
    if file.suffix != ".py" and not is_data(file):
        raise UserError(f"{path}: a config is a .py file, a program, or data in .yaml, .yml or .json")
    try:
        if is_data(file):
            config = Config(read_data_config(file))
        else:
            _check_bases(file)
            config = Config.fromfile(str(file))
        config.merge_from_dict(dict(options or {}))
        return config.to_dict()
    except UserError:
        raise
    except Exception as error:  # the file is a program: whatever it raises is for its author
        raise UserError(f"{path}: not a readable config ({type(error).__name__}: {one_line(error)})") from None
