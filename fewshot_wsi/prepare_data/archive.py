"""Unpack a zip or tar archive: every member is looked at first, and the target appears whole or not at all."""

import logging
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from fewshot_wsi.foundation.archived import packed_otherwise
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256, read_json, write_json
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.foundation.temporary import temporary_folder, umask

logger = logging.getLogger(__name__)

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_LONGEST = 255  # bytes of one part of a path, on all usual file systems

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, ValueError, NotImplementedError)
try:
    from lzma import LZMAError
    _DAMAGED += (LZMAError,)
except ImportError:  # Python built without it: such archives are refused by tarfile itself
    pass


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    handle: object  # ZipInfo or TarInfo


def unpack(archive, target, *, quiet=False):
    """Unpack `archive` into the new folder `target`; return `target`.

    Works in a temporary folder beside it, which takes the name when complete and counted.
    UserError, before the first file is written: target exists, not a zip or tar, damaged, encrypted, a member that is
    absolute, climbs out by '..', is a link or a device, or has the name of another but for case; too little space.
    """
    archive, target = Path(archive), Path(target)
    if target.exists():
        raise UserError(f"{target}: exists already; remove it, or name it with --root to use it as it is")
    work = None
    try:
        with _open(archive) as reader:
            members = _checked(archive, reader.members())
            _check_space(archive, target, sum(member.size for member in members))
            target.parent.mkdir(parents=True, exist_ok=True)
            work = temporary_folder(target)
            for member in bar(members, desc=f"unpacking {archive.name}", unit="files", quiet=quiet):
                _write(reader, member, work / member.name)
            _count(archive, members, work)
            work.chmod(0o777 & ~umask())
    except BaseException as error:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, (*_DAMAGED, RuntimeError)):  # RuntimeError: zipfile on an encrypted member
            raise UserError(f"{archive}: damaged, cut short or encrypted ({error}); download it again") from None
        raise
    os.replace(work, target)
    write_json(_origin_file(target), _origin(archive))
    return target


def unpack_once(archive, target, *, quiet=False):
    """As `unpack`, unless `target` holds what this archive holds; UserError where it holds something else."""
    archive, target = Path(archive), Path(target)
    if not target.is_dir():
        return unpack(archive, target, quiet=quiet)
    origin = _origin_file(target)
    known = read_json(origin) if origin.is_file() else None
    if not archive.is_file():
        same = known is None or known.get("archive") == archive.name  # unpacked, an archive is not needed any more
    else:
        same = _same_files(archive, target) if known is None else known == _origin(archive)
    if not same:
        raise UserError(f"{target}: holds what another archive than {archive} held; remove the folder, or leave "
                        "--archive out to use it as it is")
    logger.info(f"{target}: unpacked before, used as it is")
    return target


def _count(archive, members, work):
    """UserError unless `work` holds as many files as the archive has members."""
    found = sum(len(files) for _, _, files in os.walk(work))
    if found != len(members):
        raise UserError(f"{archive}: {found} files were unpacked of {len(members)}; does another program change "
                        f"{work.parent}?")


def _origin_file(target):
    """Says which archive `target` comes from."""
    return target.with_name(f".{target.name}.unpacked.json")


def _origin(archive):
    return {"archive": archive.name, "sha256": file_sha256(archive)}


def _same_files(archive, target):
    """Whether each member is a file of its size below `target`: for folders whose archive is not written down."""
    try:
        with _open(archive) as reader:
            return all((target / member.name).is_file() and (target / member.name).stat().st_size == member.size
                       for member in _checked(archive, reader.members()))
    except _DAMAGED as error:
        raise UserError(f"{archive}: damaged, cut short or encrypted ({error}); download it again") from None


class _Zip:
    def __init__(self, path):
        self.file = zipfile.ZipFile(path)

    def members(self):
        for info in self.file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(f"{self.file.filename}: {info.filename!r} is a link or a device; refused")
            if packing := packed_otherwise(info.compress_type, info.flag_bits, _METHODS):
                raise UserError(f"{self.file.filename}: {packing}, which Python does not read; unpack it with unzip or "
                                "7-Zip and name the folder with --root")
            if not info.filename or not info.is_dir():  # `is_dir` needs a name
                yield _Member(info.orig_filename, info.file_size, info)

    def open(self, member):
        return self.file.open(member.handle)


class _Tar:
    def __init__(self, path):
        self.file = tarfile.open(path)  # noqa: SIM115  (closed by _open)

    def members(self):
        for info in self.file:
            if not (info.isreg() or info.isdir()):
                raise UserError(f"{self.file.name}: {info.name!r} is a link or a device; refused")
            if info.isreg():
                yield _Member(info.name, info.size, info)
        self.file.fileobj.seek(self.file.offset)
        if self.file.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile stops at bad headers too
            raise EOFError("the end mark is missing")
        while self.file.fileobj.read(1 << 20):  # to the end, where a compressed stream has its check sum
            pass

    def open(self, member):
        return self.file.extractfile(member.handle)


class _open:
    """Context manager: the reader for an archive, by its content."""

    def __init__(self, path):
        if not path.is_file():
            raise UserError(f"{path}: no such archive")
        if zipfile.is_zipfile(path):
            self.reader = _Zip(path)
        elif path.suffix.lower() == ".zip":
            raise EOFError("no zip directory at its end")
        else:
            try:
                self.reader = _Tar(path)
            except tarfile.ReadError:
                raise UserError(f"{path}: neither a zip nor a tar archive") from None

    def __enter__(self):
        return self.reader

    def __exit__(self, *_):
        self.reader.file.close()


def _checked(archive, members):
    kept, seen = [], {}
    for member in members:
        _check_name(archive, member.name)
        other = seen.setdefault(_folded(member.name), member.name)
        if len(seen) == len(kept):
            raise UserError(f"{archive}: {member.name!r} and {other!r} are one name or differ only in case; refused")
        kept.append(member)
    if not kept:
        raise UserError(f"{archive}: the archive holds no file")
    folders = {_folded(parent) for member in kept for parent in PurePosixPath(member.name).parents}
    for name in seen.keys() & folders:
        raise UserError(f"{archive}: {seen[name]!r} is both a file and a folder; refused")
    return kept


def _folded(name):
    return str(PurePosixPath(name)).casefold()


def _check_name(archive, name):
    path = PurePosixPath(name)
    if not path.parts or max(len(os.fsencode(part)) for part in path.parts) > _LONGEST:
        kind = f"a name of more than {_LONGEST} bytes" if path.parts else "no name"
        raise UserError(f"{archive}: a member has {kind} ({name[:40]!r}); refused, nothing was unpacked")
    if "\\" in name and not PureWindowsPath(name).anchor and ".." not in PureWindowsPath(name).parts:
        raise UserError(f"{archive}: the member {name!r} separates folders by back-slashes, as some programs "
                        "of Windows do; unpack it with 7-Zip and name the folder with --root")
    if "\\" in name or "\0" in name or path.is_absolute() or PureWindowsPath(name).drive or ".." in path.parts:
        raise UserError(f"{archive}: the member {name!r} would land outside the target; refused, nothing was unpacked")


def _write(reader, member, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with reader.open(member) as source, open(path, "xb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    if path.stat().st_size != member.size:
        raise EOFError(f"{member.name} is cut short")


def _check_space(archive, target, wanted):
    folder = target.parent
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise UserError(f"{archive}: {wanted / 1e9:.1f} GB to unpack but {free / 1e9:.1f} GB free in {folder}; "
                        "free some space or choose another folder")
