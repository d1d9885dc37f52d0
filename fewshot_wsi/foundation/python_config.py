"""Config files in Python, which are programs: running one and taking its names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.files import shipped


def read_python_config(path: str | Path, what: str, options: Mapping | None = None) -> Any:
    """The names that a config file sets, as a dict; `_base_` files are read as MMEngine reads them.

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
    try:
        config = Config.fromfile(str(file))
        config.merge_from_dict(dict(options or {}))
        return config.to_dict()
    except Exception as error:  # the file is a program: whatever it raises is for its author
        raise UserError(f"{path}: not a readable config ({type(error).__name__}: {one_line(error)})") from None
