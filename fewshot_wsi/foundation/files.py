"""Files that are either whole or absent, and hashes that say what is in them."""

import contextlib
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from fewshot_wsi.foundation.bounded import JSON_LIMIT, check_regular, parse_json, read_bounded
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.temporary import temporary_file, umask


@contextlib.contextmanager
def replacing(path: str | Path, mode: str = "wb", **options: Any) -> Iterator[IO]:
    """Open a temporary file beside `path`; on success it takes that name in one move, on any error it is removed.

    Makes missing parent folders. `options` go to `open` (encoding, newline).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = temporary_file(path)
    try:
        with open(handle, mode, **options) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from None  # a write says no name
        raise


def write_text(path: str | Path, text: str) -> None:
    with replacing(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)


def write_json(path: str | Path, value: Any, indent: int | None = 1) -> None:
    """Sorted keys, so that equal values make equal files; NaN is refused."""
    write_text(path, json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path, what: str = "file") -> dict:
    """The JSON object in `path`; UserError where it is missing, cut short or no object."""
    try:
        value = parse_json(read_bounded(path, JSON_LIMIT))
    except FileNotFoundError:
        raise UserError(f"{path}: no such {what}") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable {what} ({error}); remove it and make it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a readable {what} (no JSON object); remove it and make it again")
    return value


def write_npy(path: str | Path, array: np.ndarray) -> None:
    with replacing(path) as stream:
        np.save(stream, array, allow_pickle=False)


def write_npz(path: str | Path, **arrays: np.ndarray) -> None:
    """Uncompressed, without time stamps: equal arrays make equal files."""
    with replacing(path) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def file_sha256(path: str | Path) -> str:
    check_regular(path)
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_stamp(path: str | Path) -> list[int]:
    """Size, time of change and time of status change: a file whose stamp stays need not be read again."""
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def weights_sha256(path: str | Path) -> str:
    """Hash of an encoder's weights: of the file, or of the settings and weights in the folder of a model."""
    path = Path(path)
    if not path.is_dir():
        return file_sha256(path)
    return json_sha256([[file.name, file_sha256(file)] for file in sorted(path.iterdir())
                        if file.suffix in (".json", ".safetensors", ".bin")])


def arrays_sha256(**arrays: np.ndarray) -> str:
    """Hash of names, dtypes, shapes and contents; independent of memory order and of the machine's byte order."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def json_sha256(value: Any) -> str:
    """Hash of a JSON-able value, independent of the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def shipped(path: str | Path) -> Path:
    """`path` where such a file is there; else, for a path below configs/, the file of that name that comes with the
    project: that of the checkout this code lies in, or of the installed package. A Path; `path` where there is none."""
    path, package = Path(path), Path(__file__).resolve().parents[1]
    if path.parts[:1] != ("configs",):
        return path
    return next((one for one in (path, package.parent / path, package / path) if one.is_file()), path)


def located(path: str | Path) -> Path:
    """`path`; for 'package:NAME/FILE' the file inside the installed Python package NAME. UserError: not installed."""
    scheme, _, rest = str(path).partition(":")
    if scheme != "package":
        return Path(path)
    name, _, inside = rest.partition("/")
    if not name.isidentifier():  # a dotted name would import what is before the dot
        raise UserError(f"{path}: give the name of an installed package and a file in it, as package:NAME/FILE")
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise UserError(f"{path}: the package is not installed; install it with: pip install {name.replace('_', '-')}")
    return Path(next(iter(found.submodule_search_locations)), inside)


def work_dir_of(config: str | Path) -> str:
    """Where training with the config file `config` leaves its checkpoints, a str, never `work_dirs` as a whole.

    As published, configs/a/b.py -> work_dirs/a/b; a config that lies below no folder `configs`: work_dirs/<its name>.
    """
    config = Path(config)
    if "configs" not in config.parent.parts:
        return str(Path("work_dirs", config.stem))
    folders = ["work_dirs" if part == "configs" else part for part in config.parent.parts]
    return str(Path(*folders, config.stem))
