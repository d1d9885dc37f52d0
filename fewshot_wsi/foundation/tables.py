"""CSV tables as people and spreadsheets write them: one reader for all, and every ambiguity refused with its line."""

import csv
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from fewshot_wsi.foundation.bounded import read_text
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.names import csv_cell, from_csv_cell

DELIMITERS = (",", ";", "\t")
_SPELLINGS = {"center": "centre"}


def read_table(path: str | Path, columns: Collection[str],
               required: Collection[str]) -> list[tuple[int, dict[str, str]]]:
    """[(line number, dict)] of a CSV whose first line names columns; keys are those of `columns` that it has.

    Commas, semicolons or tabs, with Excel's first line `sep=;` or without; blanks around names and values, and capitals
    in names of columns, do not count. UserError: no such file, not UTF-8, a `required` column that is missing, a column
    twice, a row with more or fewer values than columns.
    """
    path = Path(path)
    try:
        text = read_text(path, "utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path}: no such CSV") from None
    except ValueError as error:
        raise UserError(f"{path}: not a readable CSV ({error}); save it as UTF-8") from None
    lines, skipped = text.splitlines(keepends=True), 0
    given = lines[0].strip().lower().removeprefix("sep=") if lines and lines[0].lower().startswith("sep=") else None
    if given is not None:
        lines, skipped = lines[1:], 1
    delimiter = given or _delimiter(lines[0] if lines else "", columns)
    try:
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        header = [_column(name) for name in next(rows, [])]
        _check_header(path, header, columns, required)
        return [(rows.line_num + skipped, _row(path, rows.line_num + skipped, header, values, columns))
                for values in rows if any(value.strip() for value in values)]
    except (csv.Error, TypeError) as error:  # TypeError: a delimiter that is none
        raise UserError(f"{path}: not a readable CSV ({error}); save it as UTF-8") from None


def write_table(path: str | Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a CSV with LF ends in one move; text as `names.csv_cell` writes it, which `read_table` reads back.

    header: column names; rows: as many values as columns each."""
    with replacing(path, "w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(header)
        lines.writerows([csv_cell(value) if isinstance(value, str) else value for value in row] for row in rows)


def unique_rows(rows: Iterable[tuple[int, dict[str, str]]], key: str, path: str | Path) -> None:
    """UserError for two rows with the same `key`, unless they are the same in everything."""
    first: dict = {}
    for line, row in rows:
        earlier, known = first.setdefault(row[key], (line, row))
        if known != row:
            raise UserError(f"{path}, line {line}: {row[key]!r} stands in line {earlier} already, with other values")


def plain_path(name: str) -> str:
    """A path as lists and tables are compared: slashes, no ./ in front, one form of letters (NFC)."""
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./"))


def _column(name):
    """A column's name as it is compared."""
    name = name.strip().lower()
    return _SPELLINGS.get(name, name)


def _delimiter(head, columns):
    """The one that splits a first line into the most of the known columns."""
    def known(delimiter):
        return len({_column(name.strip().strip('"')) for name in head.split(delimiter)} & set(columns))
    return max(DELIMITERS, key=known)


def _check_header(path, header, columns, required):
    missing = [name for name in required if name not in header]
    if missing:
        expected = ",".join(required) + "".join(f"[,{name}]" for name in columns if name not in required)
        raise UserError(f"{path}: the first line must name the columns {expected}; it names "
                        f"{','.join(header) or 'nothing'}")
    twice = next((name for name in columns if header.count(name) > 1), None)
    if twice:
        raise UserError(f"{path}: the first line names the column {twice!r} twice; leave one out")


def _row(path, line, header, values, columns):
    if len(values) > len(header) and not any(value.strip() for value in values[len(header):]):
        values = values[:len(header)]  # a spreadsheet's empty columns
    if len(values) != len(header):
        raise UserError(f"{path}, line {line}: {len(values)} values in {len(header)} columns; a value that holds the "
                        "separator stands in quotation marks")
    return {name: from_csv_cell(value.strip()) for name, value in zip(header, values, strict=True) if name in columns}
