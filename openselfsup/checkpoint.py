"""Weights in and out of files. Nothing but tensors and plain values is ever unpickled."""

import fnmatch
import logging
from pathlib import Path

import torch

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.printable import some
from openselfsup.unpickling import load_pickled

logger = logging.getLogger(__name__)

# Prefixes of the network in training checkpoints, by preference where several networks of one file fit
_PREFERRED = ("backbone.", "encoder_q.0.", "encoder.0.", "base_encoder.", "encoder_q.", "teacher.backbone.", "teacher.",
              "")
_STATES = ("state_dict", "model", "model_state_dict", "teacher", "student")  # where a checkpoint keeps its weights
_SEQUENTIAL = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
HEADS = ("fc.*", "head.*", "classifier.*")  # of classifiers, without use for features
_RESNET = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight")  # any ResNet has these


def load_file(path):
    """What torch.save or safetensors wrote to `path`, on the CPU.

    UserError where it is missing, cut short, or holds code.
    """
    if str(path).endswith(".safetensors"):
        return _load_safetensors(path)
    try:
        return load_pickled(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except IsADirectoryError:
        raise UserError(f"{path}: a folder, not a checkpoint") from None


def _load_safetensors(path):
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file as load
    except ImportError:
        raise UserError(f"{path}: reading it needs safetensors; install it with: pip install safetensors") from None
    try:
        return load(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except SafetensorError as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}); copy it again") from None


def state_of(content, path):
    """dict of tensors from a training checkpoint ('state_dict', 'model', …, see _STATES) or a bare state dict, without
    the prefixes of DataParallel and torch.compile; a ResNet cut into a numbered Sequential gets torchvision's names."""
    state = content
    for name in _STATES:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            state = content[name]
            break
    if not isinstance(state, dict) or not state or not all(torch.is_tensor(value) for value in state.values()):
        raise UserError(f"{path}: holds no weights (expected a dict of tensors or a 'state_dict' of them)")
    return _unnumbered({str(key).removeprefix("module.").replace("_orig_mod.", ""): value
                        for key, value in state.items()})


def _unnumbered(state):
    """torchvision's names for a ResNet whose children are numbered, as in nn.Sequential: 4.0.conv1.weight."""
    end = "4.0.conv1.weight"
    for prefix in [key.removesuffix(end) for key in state if key == end or key.endswith(f".{end}")]:
        if prefix + "0.weight" in state and prefix + "7.0.conv1.weight" in state:
            return {_named(prefix, key): value for key, value in state.items()}
    return state


def _named(prefix, key):
    number, dot, rest = key.removeprefix(prefix).partition(".")
    return prefix + _SEQUENTIAL[number] + dot + rest if key.startswith(prefix) and number in _SEQUENTIAL else key


def backbone_of(state):
    """The entries of a ResNet in `state` under torchvision's names, without its classifier."""
    prefix = find_prefix(state, _RESNET)
    part = _below(prefix, state)
    _name_unused(state, prefix, [key for key in part if key.startswith("fc.")])
    return {key: value for key, value in part.items() if not key.startswith("fc.")}


def load_weights(path):
    """Backbone weights of a ResNet, dict from torchvision's names to CPU tensors.

    path: a training checkpoint of this trainer or of OpenSelfSup ('backbone.' or 'encoder_q.0.' keys), a file made by
    tools/extract_backbone_weights.py (the authors' too), or a torchvision file. UserError for anything else.
    """
    return backbone_of(state_of(load_file(path), path))


def load_into(network, path, *, ignored=(), rename=None):
    """Load the weights in the file `path` into `network`, of any architecture.

    The network may lie below a prefix in the file ('backbone.', 'visual.', …): the one under which its tensors
    are found. Everything below that prefix has to fit, but for classifiers and what `ignored` names; nothing is
    half-loaded.

    Parameters
    ----------
    network : torch.nn.Module
    path : path
    ignored : tuple of str
        Shell patterns of keys in the file, below the prefix, that have no use.
    rename : callable or None
        Key of the file -> key of the network.

    Raises
    ------
    UserError
        The file is unreadable, or its weights do not fit.
    """
    state = state_of(load_file(path), path)
    if rename is not None:
        state = {_renamed(rename, key, path): value for key, value in state.items()}
    own = network.state_dict()
    prefix = find_prefix(state, [key for key in own if not key.endswith("num_batches_tracked")])
    part = _below(prefix, state)
    unused = [key for key in part if key not in own
              and any(fnmatch.fnmatchcase(key, pattern) for pattern in (*HEADS, *ignored))]
    fit(network, {key: value for key, value in part.items() if key not in unused}, path)
    _name_unused(state, prefix, unused)


def find_prefix(state, keys):
    """The prefix ('' or one that ends with a dot) under which most of `keys` are in `state`.

    Of several that hold equally many, as of a student and its teacher, the first of _PREFERRED or the shortest.
    """
    prefixes = {key.removesuffix(one) for one in keys for key in state if key.endswith(one)}
    rank = {prefix: number for number, prefix in enumerate(_PREFERRED)}
    return min((prefix for prefix in prefixes if prefix == "" or prefix.endswith(".")), default="", key=lambda prefix: (
        -sum(prefix + key in state for key in keys), rank.get(prefix, len(rank)), len(prefix)))


def _name_unused(state, prefix, unused):
    """Say which parts of a file are not used: those outside the prefix that is loaded, and classifiers below it."""
    parts = [f"{key.split('.')[0]}." for key in state if not key.startswith(prefix)]
    parts += [f"{prefix}{key.split('.')[0]}." for key in unused]
    if parts:
        used = f"the network below {prefix!r}" if prefix else "the network"
        logger.info(f"weights of {used} are loaded; not used: {some(list(dict.fromkeys(parts)))}")


def _below(prefix, state):
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _renamed(rename, key, path):
    try:
        return rename(key)
    except (KeyError, ValueError, IndexError):
        raise UserError(f"{path}: unexpected key {key!r}; these are other weights than the preset describes") from None


def fit(module, state, path):
    """Load `state` into `module`; UserError names missing and unexpected keys and those of another shape."""
    own = module.state_dict()
    # counts of batches seen: absent from old files, without effect on the outputs
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
              for key in own if key in state and state[key].shape != own[key].shape]
    faults = [f"{what}: {some(keys)}" for what, keys in
              (("missing", missing), ("unexpected", unexpected), ("other shape", shapes)) if keys]
    if faults:
        raise UserError(f"{path}: the weights do not fit the model; {'; '.join(faults)}")
    module.load_state_dict(state, strict=False)


def save_file(path, content):
    """torch.save in one move: a reader sees the old file or the new one, never half."""
    with replacing(path) as stream:
        watched = _Watched(stream)
        try:
            torch.save(content, watched)
        except RuntimeError:  # torch's own words for a write that failed
            if watched.error is None:
                raise
            raise watched.error from None


class _Watched:
    """A stream that remembers why a write failed: torch does not say."""

    def __init__(self, stream):
        self.stream, self.error = stream, None

    def write(self, data):
        try:
            return self.stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self):
        self.stream.flush()


def extract_backbone(source, target):
    """Write the backbone of the training checkpoint `source` to `target`: dict(state_dict=…, author='OpenSelfSup')."""
    state = load_weights(source)
    if "conv1.weight" not in state:
        raise UserError(f"{source}: no backbone in it (no key 'backbone.conv1.weight'); give a training checkpoint")
    save_file(Path(target), dict(state_dict=state, author="OpenSelfSup"))
    return state
