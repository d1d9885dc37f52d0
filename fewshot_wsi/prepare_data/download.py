"""Files of a public record (Zenodo's API): resumed where they broke off, used only when their checksum is right."""

import hashlib
import http.client
import json
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.progress import bar

ZENODO = "https://zenodo.org"
_BLOCK = 1 << 20
_BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


@dataclass(frozen=True)
class RemoteFile:
    name: str
    url: str
    size: int       # bytes
    checksum: str   # 'md5:…' or any other algorithm of hashlib


def record_files(record, *, base=ZENODO, timeout=60):
    """The files of a record as its own API reports them: dict from name to RemoteFile.

    base: address of the archive. UserError: no network, no such record, an answer that is not what it should be.
    """
    address = f"{base.rstrip('/')}/api/records/{record}"
    try:
        with _open(address, timeout) as answer:
            listed = json.load(answer)["files"]
        files = [RemoteFile(entry["key"], urllib.parse.urljoin(address, entry["links"]["self"]),
                            int(entry["size"]), entry["checksum"]) for entry in listed]
    except _BROKEN as error:
        raise UserError(f"{address}: {_reason(error)}; check the network, or download the archive by other means "
                        "and name it with --archive") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{address}: the answer is not a record's description; check the address") from None
    return {file.name: file for file in files}


def fetch(remote, folder, *, timeout=60, retries=5, pause=2.0, quiet=False):
    """Path of `remote` in `folder`, downloaded if it is not there, its checksum compared in any case.

    A download lives in `<name>.part` and continues after any stop, by a range request where the server knows them.
    A broken connection is tried again `retries` times in a row without progress, after pause, 2·pause, … seconds.
    UserError: the connection stays broken (the part is kept), the disk is too small, or the checksum is wrong: then
    the file is kept aside as `<name>.bad` and never used.
    """
    folder = Path(folder)
    final, part = folder / _plain_name(remote.name), folder / f"{remote.name}.part"
    if final.exists():
        _verify(final, remote, quiet)
        return final
    folder.mkdir(parents=True, exist_ok=True)
    _check_space(folder, remote.size - _size(part))
    _complete(remote, part, timeout, retries, pause, quiet)
    _verify(part, remote, quiet)
    os.replace(part, final)
    return final


def checksum(path, algorithm, quiet=True):
    """Hexadecimal hash of a file, with a bar unless quiet. UserError for an algorithm that hashlib lacks."""
    try:
        digest = hashlib.new(algorithm, usedforsecurity=False)
    except ValueError:
        raise UserError(f"{path}: unknown checksum algorithm {algorithm!r}") from None
    with open(path, "rb") as stream, bar(desc=f"checking {Path(path).name}", total=_size(Path(path)), unit="B",
                                         scale=True, quiet=quiet) as progress:
        while block := stream.read(_BLOCK):
            digest.update(block)
            progress.update(len(block))
    return digest.hexdigest()


def _complete(remote, part, timeout, retries, pause, quiet):
    """Read on until `part` has the record's size."""
    failures = 0
    with bar(desc=remote.name, total=remote.size, unit="B", scale=True, quiet=quiet) as progress:
        while (have := _size(part)) < remote.size:
            progress.n = have
            try:
                _read_on(remote, part, have, timeout, progress)
                reason = "the connection broke off"
            except _BROKEN as error:
                reason = _reason(error)
            failures = 0 if _size(part) > have else failures + 1
            if failures > retries:
                raise UserError(f"{remote.url}: {reason} at {_size(part)} of {remote.size} bytes; "
                                "run the same command again to continue from there")
            if failures:
                time.sleep(pause * failures)


def _read_on(remote, part, have, timeout, progress):
    """One request; appends what comes. A server that ignores the range sends the whole: then it starts anew."""
    with _open(remote.url, timeout, {"Range": f"bytes={have}-"} if have else {}) as answer:
        resumed = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not resumed:
            progress.n = 0
        with open(part, "ab" if resumed else "wb") as stream:
            while block := answer.read1(_BLOCK):  # what is there: a kill loses nothing that came
                try:
                    stream.write(block)
                    stream.flush()
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(part)) from None  # write() names no file
                progress.update(len(block))


def _open(address, timeout, headers=None):
    if urllib.parse.urlsplit(address).scheme not in ("http", "https"):
        raise UserError(f"{address}: only http and https addresses are opened")
    request = urllib.request.Request(address, headers={"User-Agent": "few-shot-wsi", **(headers or {})})
    return urllib.request.urlopen(request, timeout=timeout)


def _verify(path, remote, quiet):
    algorithm, _, expected = remote.checksum.partition(":")
    if _size(path) == remote.size and checksum(path, algorithm, quiet) == expected.lower():
        return
    bad = path.with_name(f"{remote.name}.bad")
    os.replace(path, bad)
    raise UserError(f"{bad}: the checksum is not the record's {remote.checksum}; the file is kept aside under this "
                    "name and not used; run the same command again to download it anew")


def _check_space(folder, wanted):
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise UserError(f"{folder}: {wanted / 1e9:.1f} GB to download but {free / 1e9:.1f} GB free; "
                        "free some space or choose another folder")


def _plain_name(name):
    if not name or name in (".", "..") or set(name) & set("/\\\0"):
        raise UserError(f"the record names a file {name!r}; only plain names are accepted")
    return name


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _reason(error):
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    return str(getattr(error, "reason", "") or error) or type(error).__name__
