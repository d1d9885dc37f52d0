"""Image lists (`path` or `path label` a line) and group tables (CSV `path` and one or more of OWNERS)."""

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.bounded import LIST_LIMIT, read_text
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.tables import plain_path, read_table, unique_rows

logger = logging.getLogger(__name__)

OWNERS = ("centre", "patient", "group", "slide")  # what may own several images, outermost first
KEPT_TOGETHER = OWNERS[1:]  # where one of these is on both sides, answers leak; a centre is not such a thing
SPLIT_BY = (*KEPT_TOGETHER, "centre")  # what keeps images together: the first that is known
_LABELED = re.compile(r"^(.*\S)\s+(\d+)$")


@dataclass(frozen=True)
class ImageList:
    path: Path
    names: tuple  # of str, relative to the data root
    labels: np.ndarray | None  # (N,) int64, or None for a list without labels

    def __len__(self) -> int:
        return len(self.names)


def read_list(path: str | Path, labeled: bool | None = None, limit: int = LIST_LIMIT) -> "ImageList":
    """Read a list with LF or CRLF ends, with or without a last newline; a path may hold spaces.

    labeled: True or False where the caller knows; None takes the last field of every line as a label
    if it is a whole number on every line. limit: bytes that are read at most. UserError: missing, no regular file,
    empty, a line without the label asked for, or a label of more than 64 bits.
    """
    path = Path(path)
    try:
        text = read_text(path, "utf-8-sig", limit)
    except FileNotFoundError:
        raise UserError(f"{path}: no such list; make it with tools/prepare_data/folder.py or name another") from None
    except (ValueError, IsADirectoryError) as error:
        raise UserError(f"{path}: not a text list ({error})") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path}: the list is empty")
    found = [_LABELED.match(line) for _, line in lines]
    if labeled is None:
        labeled = all(found)
    if not labeled:
        return ImageList(path, tuple(line for _, line in lines), None)
    for (number, line), match in zip(lines, found, strict=True):
        if match is None:
            raise UserError(f"{path}, line {number}: no label at the end of {line!r:.100}; a line is 'path label'")
        if len(match[2]) > 18:
            raise UserError(f"{path}, line {number}: the label {match[2][:24]} has more than 18 digits")
    fields = [match.groups() for match in found if match]
    labels = np.array([int(label) for _, label in fields], dtype=np.int64)
    return ImageList(path, tuple(name for name, _ in fields), labels)


def write_list(path: str | Path, names: Sequence[str], labels: Sequence[int] | np.ndarray | None = None) -> None:
    """names: sequence of str; labels: (N,) ints or None. LF ends."""
    ends = [""] * len(names) if labels is None else [f" {int(label)}" for label in labels]
    with replacing(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(f"{name}{end}\n" for name, end in zip(names, ends, strict=True))


def check_labels(labels: np.ndarray, num_classes: int, path: str | Path) -> None:
    """UserError if a label lies outside [0, num_classes); names the first line."""
    wrong = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if wrong.size:
        raise UserError(f"{path}, row {wrong[0] + 1}: label {labels[wrong[0]]} is outside the {num_classes} classes "
                        f"0 … {num_classes - 1} ({wrong.size} such rows); correct the list or the protocol's classes")


def read_owners(path: str | Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """CSV with the column `path` and one or more of OWNERS: ({column: {path: name}}, notices of `owners_of`).

    Paths are as `tables.plain_path` has them. UserError: an image that is named twice, with two owners; a row without
    path; no column of OWNERS.
    """
    rows = read_table(path, ("path", *OWNERS), ("path",))
    nameless = next((line for line, row in rows if not row["path"]), None)
    if nameless:
        raise UserError(f"{path}, line {nameless}: no path")
    rows = [(line, {**row, "path": plain_path(row["path"])}) for line, row in rows]
    unique_rows(rows, "path", path)
    owners, notices = owners_of([row for _, row in rows], path)
    if rows and not owners:
        raise UserError(f"{path}: the first line names no column of {', '.join(OWNERS)} beside path")
    paths = [row["path"] for _, row in rows]
    return {kind: dict(zip(paths, names, strict=True)) for kind, names in owners.items()}, notices


def owners_of(rows: Sequence[Mapping[str, str]], path: str | Path) -> tuple[dict[str, list[str]], list[str]]:
    """({kind of OWNERS: name for each row, '' where none is given}, notices) of the rows of the table `path`.

    A slide whose name occurs in several patients, or a patient in several centres, is another one in each: its name
    becomes 'patient/slide', and a notice says so.
    """
    found = {kind: [row[kind] for row in rows] for kind in OWNERS if rows and kind in rows[0]}
    notices = []
    for outer, inner in (("centre", "patient"), ("patient", "slide")):
        if outer in found and inner in found:
            places = defaultdict(set)
            for whole, part in zip(found[outer], found[inner], strict=True):
                places[part].add(whole)
            twice = {part for part, wholes in places.items() if part and len(wholes) > 1}
            found[inner] = [f"{whole}/{part}" if part in twice else part
                            for whole, part in zip(found[outer], found[inner], strict=True)]
            if twice:
                notices.append(f"{path}: the name of {len(twice)} {inner}s occurs in several {outer}s, the first is "
                               f"{min(twice)!r}; it counts as another {inner} in each")
    return found, notices


def read_groups(path: str | Path) -> dict[str, str]:
    """{path: name} of the column of a group table that keeps images together: patient, else group, slide, centre.

    UserError as `read_owners`."""
    owners, notices = read_owners(path)
    for notice in notices:
        logger.warning(notice)
    return next((owners[kind] for kind in SPLIT_BY if kind in owners), {})


def groups_of(names: Sequence[str], table: Mapping[str, str], path: str | Path) -> np.ndarray:
    """(N,) int64 group numbers of `names`, equal where the groups are; UserError if one has no group in `table`."""
    missing = [name for name in names if not table.get(plain_path(name))]
    if missing:
        raise UserError(f"{path}: {len(missing)} of {len(names)} images have no group, the first is {missing[0]!r}; "
                        "paths must be as in the list")
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(table[plain_path(name)], len(numbers)) for name in names], dtype=np.int64)


def slides_of(names: Sequence[str], part: int, path: str | Path) -> np.ndarray:
    """(N,) str array, the slide of each of `names`: component `part` of its path (0 the first, -1 the last).

    path: the list that holds them, for the UserError about the first name that has no such component.
    """
    parts = [name.split("/") for name in names]
    short = next((found for found in parts if not -len(found) <= part < len(found)), None)
    if short:
        raise UserError(f"{path}: {'/'.join(short)!r} has no path component {part}, which the protocol names as the "
                        "slide (`slide` of the set)")
    return np.array([found[part] for found in parts])
