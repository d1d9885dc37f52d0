"""Weights in and out of files. Nothing but tensors and plain values is ever unpickled."""

import pickle
from pathlib import Path

import torch

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import replacing

_PREFIXES = ("backbone.", "encoder_q.0.", "encoder.0.")  # of the backbone in training checkpoints, by preference


def load_file(path):
    """What torch.save wrote to `path`, on the CPU; UserError where it is missing, cut short, or holds code."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, not a checkpoint") from None
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a checkpoint of plain tensors ({reason}); it was not loaded") from None
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        if isinstance(error, PermissionError):
            raise
        raise UserError(f"{path}: not a readable checkpoint ({str(error).splitlines()[0]}); copy or make it "
                        "again") from None


def state_of(content, path):
    """dict of tensors from a training checkpoint ('state_dict' or 'model') or a bare state dict."""
    state = content
    for name in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            state = content[name]
            break
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(value) for value in state.values()):
        raise UserError(f"{path}: holds no weights (expected a dict of tensors or a 'state_dict' of them)")
    return {key.removeprefix("module."): value for key, value in state.items()}


def backbone_of(state):
    """The backbone's entries of `state` under torchvision's names; a bare backbone loses only its classifier 'fc.'."""
    for prefix in _PREFIXES:
        part = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if part:
            return part
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def load_weights(path):
    """Backbone weights, dict from torchvision's names to CPU tensors.

    path: a training checkpoint of this trainer or of OpenSelfSup ('backbone.' or 'encoder_q.0.' keys), a file made by
    tools/extract_backbone_weights.py (the authors' too), or a torchvision file. UserError for anything else.
    """
    return backbone_of(state_of(load_file(path), path))


def fit(module, state, path):
    """Load `state` into `module`; UserError names missing and unexpected keys and those of another shape."""
    own = module.state_dict()
    # counts of batches seen: absent from old files, without effect on the outputs
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
              for key in own if key in state and state[key].shape != own[key].shape]
    faults = [f"{what}: {_some(keys)}" for what, keys in
              (("missing", missing), ("unexpected", unexpected), ("other shape", shapes)) if keys]
    if faults:
        raise UserError(f"{path}: the weights do not fit the model; {'; '.join(faults)}")
    module.load_state_dict(state, strict=False)


def _some(keys, most=4):
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + rest


def save_file(path, content):
    """torch.save in one move: a reader sees the old file or the new one, never half."""
    with replacing(path) as stream:
        torch.save(content, stream)


def extract_backbone(source, target):
    """Write the backbone of the training checkpoint `source` to `target`: dict(state_dict=…, author='OpenSelfSup')."""
    state = load_weights(source)
    if "conv1.weight" not in state:
        raise UserError(f"{source}: no backbone in it (no key 'backbone.conv1.weight'); give a training checkpoint")
    save_file(Path(target), dict(state_dict=state, author="OpenSelfSup"))
    return state
