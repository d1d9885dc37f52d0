"""Checkpoint files of any trainer: tensors and plain values are unpickled, harmless classes become empty stand-ins."""

import pickle
import re
import zipfile

import torch

from fewshot_wsi.foundation.bounded import check_regular
from fewshot_wsi.foundation.errors import UserError, one_line

# what trainers keep beside the weights: none of it is needed, so none of it is made
_HARMLESS = re.compile(r"numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|ndarray|dtype|dtypes\.\w+)|"
                       r"(builtins\.)?getattr|"  # of HistoryBuffer
                       r"mmengine\.logging\.history_buffer\.HistoryBuffer|argparse\.Namespace|pathlib\.\w*Path|"
                       r"collections\.(defaultdict|Counter|deque)|types\.SimpleNamespace|"
                       r"((pytorch_)?lightning(_fabric|_utilities)?|omegaconf|yacs)\.[\w.]+")
_REFUSED = re.compile(r"GLOBAL (\S+) was not an allowed global|Unsupported (?:class|global):? (?:GLOBAL )?(\S+)")
_MOST = 50  # classes of one file


class _StandIn(dict):
    """In place of an object that a file asks for: takes whatever it is given, and keeps nothing of it."""

    __hash__ = object.__hash__

    def __init__(self, *args, **options):
        super().__init__()

    def __setstate__(self, state):
        pass


def load_pickled(path):
    """What torch.save wrote to `path`, on the CPU. Nothing but tensors and plain values is unpickled.

    Classes that are known to be harmless are replaced by empty stand-ins; any other class is a UserError that names it.
    """
    _check_start(path)
    allowed = []
    while True:
        try:
            with torch.serialization.safe_globals([(_StandIn, name) for name in allowed]):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            found = _REFUSED.search(str(error))
            name = found and (found[1] or found[2])
            if "Unsupported operand" in str(error):
                raise UserError(f"{path}: not a checkpoint, a pickle that torch.save did not write; save it again with "
                                "torch.save(model.state_dict(), FILE)") from None
            known = name in allowed or f"builtins.{name}" in allowed  # asked for again: the stand-in does not serve
            if name is None or known or not _HARMLESS.fullmatch(name) or len(allowed) == _MOST:
                what = f"the class {name}" if name else "more than tensors and plain values"
                raise UserError(f"{path}: it holds {what}, which could run code and was not loaded; in the program "
                                "that made it, save the weights alone: torch.save(model.state_dict(), FILE)") from None
            allowed.append("builtins.getattr" if name == "getattr" else name)
        except (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, OSError,
                RecursionError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise UserError(f"{path}: not a readable checkpoint ({one_line(error)[:200]}); copy or make it "
                            "again") from None


def _check_start(path):
    """UserError for what is no checkpoint by its first bytes, and for archives that grow when they are unpacked."""
    size = check_regular(path).st_size
    with open(path, "rb") as stream:
        start = stream.read(200)
    if not start:
        raise UserError(f"{path}: an empty file, as a full disk or a lost power leaves it; copy or make it again")
    if start.startswith(b"version https://git-lfs"):
        raise UserError(f"{path}: a Git LFS pointer, not the weights themselves; fetch them with: git lfs pull")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        raise UserError(f"{path}: a web page, not weights; open it in a browser, its title says why, and download the "
                        "file again")
    if not start.startswith((b"PK", b"\x80")):  # an archive, or the pickle of older versions
        raise UserError(f"{path}: not a checkpoint, as torch.save writes it; name another file")
    if start.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            raise UserError(f"{path}: not a readable checkpoint (the file is cut short); copy or make it again")
        try:
            with zipfile.ZipFile(path) as packed:
                unpacked = sum(member.file_size for member in packed.infolist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(f"{path}: not a readable checkpoint ({one_line(error)}); copy or make it again") from None
        if unpacked > size:
            raise UserError(f"{path}: its parts are larger than the file, so it is packed in a way that torch.save "
                            "does not; save it again with torch.save")
