"""Files below a folder or inside a zip archive: `X.zip/ADI/a.tif` is read like any path, and nothing is unpacked.

An archive whose files all lie below one folder of its own, as `X/ADI/a.tif` in X.zip, is read with and without it.
Reads are by position, so threads and forked processes share one open archive; other processes open it themselves.
"""

import functools
import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from fewshot_wsi.foundation.bounded import MIB, check_regular, read_bounded
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256, file_stamp
from fewshot_wsi.foundation.printable import some

_LOCAL = struct.Struct("<4s22xHH")  # of a local header: signature, lengths of name and extra field
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NAMES = {9: "Deflate64", zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "lzma", 93: "zstandard"}
_ENCRYPTED = 1
FILE_LIMIT = 512 * MIB  # bytes of one file; an image of the most pixels has fewer


def packed_otherwise(method: int, flags: int, methods: Collection[int] = _METHODS) -> str:
    """How a member of a zip is packed, where that is none of `methods`: 'compressed with Deflate64'; else ''."""
    if flags & _ENCRYPTED:
        return "encrypted"
    return "" if method in methods else f"compressed with {_NAMES.get(method, f'method {method}')}"


class Archive:
    """An open zip archive. names: of its files, in the archive's order; back-slashes, which some programs of Windows
    write between folders, are read as slashes."""

    def __init__(self, path: str) -> None:
        self.path = path
        check_regular(path)
        try:
            with zipfile.ZipFile(path) as listed:
                entries = [one for one in listed.infolist() if one.filename and not one.is_dir()]
        except zipfile.BadZipFile as error:
            raise UserError(f"{path}: not a readable zip archive ({error}); copy it again") from None
        self.names = [one.filename.replace("\\", "/") for one in entries]
        tops = {name.partition("/")[0] for name in self.names if "/" in name}
        alone = len(tops) == 1 and all("/" in name for name in self.names)
        self.top = f"{tops.pop()}/" if alone else ""
        self._places = {name: (one.header_offset, one.compress_type, one.compress_size, one.file_size, one.CRC,
                               one.flag_bits) for name, one in zip(self.names, entries, strict=True)}
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def place(self, name: str) -> tuple | None:
        """(offset, method, packed size, size, CRC-32, flags) of a file, or None."""
        return self._places.get(name) or self._places.get(self.top + name)

    def read(self, name: str) -> bytes:
        """The file's bytes, their CRC-32 checked. OSError: no such file, packed in another way, or damaged."""
        place = self.place(name)
        if place is None:
            raise FileNotFoundError(f"not in the archive {self.path}")
        offset, method, packed, size, checksum, flags = place
        if packing := packed_otherwise(method, flags):
            raise OSError(f"{packing}: only stored and deflated files are read from a zip; unpack {self.path}")
        if max(packed, size) > FILE_LIMIT:
            raise OSError(f"{max(packed, size) / MIB:,.0f} MiB, more than the {FILE_LIMIT // MIB} that are read")
        header = os.pread(self._file, _LOCAL.size, offset)
        if len(header) < _LOCAL.size or header[:4] != b"PK\x03\x04":
            raise OSError(f"{self.path} is damaged: no file begins where its directory says; copy it again")
        _, named, extra = _LOCAL.unpack(header)
        data = os.pread(self._file, packed, offset + _LOCAL.size + named + extra)
        try:
            data = zlib.decompressobj(-15).decompress(data, size + 1) if method == zipfile.ZIP_DEFLATED else data
        except zlib.error as error:
            raise OSError(f"{self.path} is damaged ({error}); copy it again") from None
        if len(data) != size or zlib.crc32(data) != checksum:
            raise OSError(f"{self.path} is damaged: a checksum does not match; copy it again")
        return data


@functools.lru_cache(maxsize=8)
def _opened(path: str, *stamp: int) -> Archive:
    return Archive(path)


def archive_of(path: str | Path) -> tuple[Archive, str] | None:
    """(Archive, name inside it) of a path that leads into a zip archive; None for any other path."""
    text = os.fspath(path)
    at = text.lower().find(".zip")
    while at >= 0:
        end = at + len(".zip")
        if text[end:end + 1] in ("", "/", os.sep) and os.path.isfile(text[:end]):
            return _opened(text[:end], *file_stamp(text[:end])), text[end + 1:].replace(os.sep, "/")
        at = text.lower().find(".zip", end)
    return None


def read_file(path: str | Path) -> bytes:
    """The bytes of a regular file, inside an archive or not. OSError where it cannot be read; UserError as
    `bounded.read_bounded`, for more than FILE_LIMIT bytes."""
    found = archive_of(path)
    if found is None or not found[1]:
        return read_bounded(path, FILE_LIMIT)
    return found[0].read(found[1])


def is_file(path: str | Path) -> bool:
    """Whether there is such a file, inside an archive or not."""
    found = archive_of(path)
    return os.path.isfile(path) if found is None or not found[1] else found[0].place(found[1]) is not None


def stamp_of(path: str | Path) -> list[int]:
    """As `files.file_stamp`; of a file in an archive: its size, its CRC-32, and the archive's time of change."""
    found = archive_of(path)
    if found is None or not found[1]:
        return file_stamp(path)
    place = found[0].place(found[1])
    if place is None:
        raise FileNotFoundError(f"not in the archive {found[0].path}")
    return [place[3], place[4], file_stamp(found[0].path)[1]]


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes: the same inside an archive and beside it."""
    found = archive_of(path)
    if found is None or not found[1]:
        return file_sha256(path)
    return hashlib.sha256(found[0].read(found[1])).hexdigest()


def check_present(list_file: str | Path, root: str | Path, names: Sequence[str], cure: str) -> None:
    """UserError, with the `cure`, unless all images `names` of a list are files below the folder or archive `root`."""
    missing = missing_below(root, names)
    if missing:
        raise UserError(f"{list_file}: {len(missing)} of {len(names)} images are missing below {root}: "
                        f"{some(missing)}; {cure}")


def missing_below(root: str | Path, names: Iterable[str]) -> list[str]:
    """Those of `names` that are no files below the folder or archive `root`. Lists folders, opens no file."""
    found = archive_of(root)
    if found is not None:
        archive, inside = found
        inside = f"{inside}/" if inside else ""
        return [name for name in names if archive.place(inside + name) is None]
    present: dict[str, set[str]] = {}
    missing = []
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in present:
            present[folder] = _files_in(Path(root, folder))
        if file not in present[folder]:
            missing.append(name)
    return missing


def _files_in(folder):
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
