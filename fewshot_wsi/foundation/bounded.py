"""Files from anywhere, read with bounds: regular files only, and sizes known before memory is taken.

Nothing here reads a device or waits for a pipe, and what a file claims to hold (a shape, a size after unpacking) is
compared with a limit first. Faults of the content are ValueErrors, which callers name with what the file should be.
"""

import json
import lzma
import math
import os
import stat
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fewshot_wsi.foundation.errors import UserError

MIB = 1 << 20
JSON_LIMIT = 256 * MIB       # bytes of a JSON file in ASCII; a quarter with other letters, which take more memory
JSON_VALUES = 4_000_000      # values in it
NPZ_LIMIT = 512 * MIB        # bytes of all arrays of an .npz, unpacked
LIST_LIMIT = 1024 * MIB      # bytes of a list or table
CHUNK_LIMIT = 512 * MIB      # bytes of what is unpacked at once of an HDF5, Zarr or Parquet file
_LZMA_MEMORY = 128 * MIB     # of the dictionary that data in LZMA may ask for


def check_regular(path: str | Path) -> os.stat_result:
    """The status of the regular file `path`. UserError: a device, a pipe, a socket, a NUL in the name.
    FileNotFoundError and other errors of the system as they are; a folder is IsADirectoryError."""
    if "\0" in str(path):
        raise UserError(f"{str(path)!r}: a path that holds a NUL character; correct the file that names it")
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "Is a directory", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: no regular file, but a device, pipe or socket; copy its content to a file first")
    return found


def read_bounded(path: str | Path, limit: int = LIST_LIMIT) -> bytes:
    """The bytes of a regular file. UserError: more than `limit` bytes, or see `check_regular`."""
    size = check_regular(path).st_size
    if size > limit:
        raise UserError(f"{path}: larger than {limit // MIB or 1} MiB, the most that is read here")
    with open(path, "rb") as stream:
        data = stream.read(size + 1)  # no more: a buffer of that length is made
        if len(data) > size:  # it grows, or has no size, as files of /proc
            data += stream.read(limit + 1 - len(data))
    if len(data) > limit:
        raise UserError(f"{path}: larger than {limit // MIB or 1} MiB, the most that is read here")
    return data


def read_text(path: str | Path, encoding: str = "utf-8", limit: int = LIST_LIMIT) -> str:
    """The text of a regular file, line ends as LF. ValueError: another encoding, or a NUL character."""
    text = read_bounded(path, limit).decode(encoding)
    if "\0" in text:
        raise ValueError(f"a NUL character in line {text[:text.index(chr(0))].count(chr(10)) + 1}: no text file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(data: bytes, values: int = JSON_VALUES, nan: bool = False) -> Any:
    """What JSON text holds. ValueError: no JSON, too much of it, too deep, NaN (unless `nan`), or whole numbers beyond
    64 bits. values: how many it may hold."""
    if len(data) > (JSON_LIMIT if data.isascii() else JSON_LIMIT // 4) or \
            sum(map(data.count, (b",", b"[", b"{"))) > values:
        raise ValueError(f"more than {JSON_LIMIT // MIB} MiB or {values:,} values")
    try:
        return json.loads(data.decode(), parse_int=_whole, parse_constant=float if nan else _no_number)
    except RecursionError:
        raise ValueError("brackets nested too deep") from None


def _whole(digits):
    if len(digits) > 20 or not -2**63 <= int(digits) < 2**64:
        raise ValueError(f"the number {digits[:12]}… has more than 64 bits")
    return int(digits)


def _no_number(name):
    raise ValueError(f"{name}, which JSON does not have")


def inflate(data: bytes, size: int) -> bytes:
    """zlib data that unpack to `size` bytes; ValueError for more or fewer, found without unpacking more."""
    stream = zlib.decompressobj()
    try:
        found = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"{error}") from None
    if len(found) != size or not (stream.eof or not stream.decompress(stream.unconsumed_tail, 1)):
        raise ValueError(f"packed data of another length than the {size} bytes of its shape")
    return found


def check_unpacked(data: bytes, packing: str, size: int) -> None:
    """ValueError where `data`, packed by 'deflate' or 'lzma', unpack to more than `size` bytes. Keeps no output.

    Truncated data pass: the decoder names them. Other errors of zlib and lzma are raised as they are.
    """
    if packing == "deflate":
        opened: Any = zlib.decompressobj()
        found, more = len(opened.decompress(data, MIB)), lambda: opened.decompress(opened.unconsumed_tail, MIB)
    else:
        opened = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
        found, more = len(opened.decompress(data, MIB)), lambda: opened.decompress(b"", MIB)
    while found <= size and not opened.eof and (part := len(more())):
        found += part
    if found > size:
        raise ValueError(f"packed data that unpack to more than the {size:,} bytes of their shape")


def declared_size(shape: Any, itemsize: int, limit: int) -> int:
    """Bytes of an array of the declared shape. ValueError: not a shape, or more than `limit`."""
    if not isinstance(shape, list | tuple) or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 32:
        raise ValueError(f"{str(shape)[:40]} is no shape")
    size = math.prod(shape) * itemsize
    if size > limit:
        raise ValueError(f"a shape of {size / MIB:,.0f} MiB, more than {limit // MIB}")
    return size


def read_npy(path: str | Path) -> np.ndarray:
    """The array of an .npy file, memory-mapped, read-only: nothing is read yet. ValueError: no such array, or a shape
    that its file does not hold. Errors of the system as they are."""
    check_regular(path)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, OverflowError, MemoryError, SyntaxError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{error or type(error).__name__}") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise ValueError("an .npz of several arrays, not one array")
    return found


def read_npz(path: str | Path, limit: int = NPZ_LIMIT) -> dict[str, np.ndarray]:
    """All arrays of an .npz by name. ValueError: not such a file, encrypted, packed in an unknown way, or larger than
    `limit` bytes when unpacked. Errors of the system as they are."""
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
            if size > limit:
                raise ValueError(f"{size / MIB:,.0f} MiB when unpacked, more than {limit // MIB}")
            return {member.filename.removesuffix(".npy"): _member(packed, member) for member in packed.infolist()}
    except ValueError:
        raise
    except OSError as error:
        if error.errno:
            raise
        raise ValueError(f"{error}") from None
    except Exception as error:  # zipfile, zlib and lzma have no common class; an encrypted member is a RuntimeError
        raise ValueError(f"{error or type(error).__name__}") from None


def _member(packed, member):
    with packed.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(stream)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects, not numbers")
        data = stream.read(declared_size(shape, dtype.itemsize, member.file_size) + 1)
    array = np.frombuffer(bytearray(data), dtype=dtype) if data else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran else "C")
