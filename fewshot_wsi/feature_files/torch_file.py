"""PyTorch files: a bare tensor of one slide (CLAM), or a dict of features, coordinates and names."""

import re

import numpy as np

from fewshot_wsi.feature_files.table import table_of
from fewshot_wsi.foundation.errors import UserError, one_line


def read(path):
    """[FeatureTable] of a .pt file; nothing in it is run. UserError: other contents, or a tensor that declares more
    than its storage holds. A view of a larger storage is the view alone."""
    import torch
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zipfile and torch each have their own
        refused = re.search(r"GLOBAL (\S+) was not an allowed global|Unsupported (?:class|global):? (?:GLOBAL )?(\S+)",
                            str(error))  # torch's own advice is to run what is in the file
        why = f"it holds {refused[1] or refused[2]}, which is not opened" if refused else one_line(error)[:120]
        raise UserError(f"{path}: not a PyTorch file of plain tensors ({why}); store tensors alone") from None
    if isinstance(loaded, torch.Tensor):
        loaded = {"features": loaded}
    if not isinstance(loaded, dict):
        raise UserError(f"{path}: holds a {type(loaded).__name__}; expected a tensor (N, D), or a dict with features")
    arrays = {name: _array(torch, path, name, value) for name, value in loaded.items()
              if isinstance(value, torch.Tensor) or _is_names(value)}
    return [table_of(path, arrays, {name: value for name, value in loaded.items() if isinstance(value, str)},
                     (path.stem,))]


def _is_names(value):
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _array(torch, path, name, value):
    if not isinstance(value, torch.Tensor):
        return np.array(value, dtype=object)
    if value.layout is not torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise UserError(f"{path}: {name} {tuple(value.shape)} is no plain tensor, or larger than what is stored for it")
    return (value.float() if value.dtype is torch.bfloat16 else value).numpy()
