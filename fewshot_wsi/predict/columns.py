"""Tables of what a classifier says, column by column, as CSV or Parquet."""

from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.tables import read_table, write_table

SUFFIXES = (".csv", ".parquet")
TEXT, WHOLE, FLAG, NUMBER = "string", "int64", "int8", "float64"  # kinds of columns, by pyarrow's names


def score_header(kind, classes, sets):
    """[(name, kind)] of outputs, margin and conformal sets. kind: of the outputs, or None for a classifier without;
    sets: whether there are conformal sets."""
    outputs = [(f"{kind}_{name}", NUMBER) for name in classes] + [("margin", NUMBER)] if kind else []
    return outputs + ([*((f"in_set_{name}", FLAG) for name in classes), ("abstained", FLAG)] if sets else [])


def score_columns(outputs, margin, inside, digits):
    """Arrays (n,) in the order of `score_header`. outputs: (n, ways), margin: (n,), rounded to `digits`, or None;
    inside: (n, ways) bool, or None."""
    columns = [] if outputs is None else [np.round(one, digits) for one in (*outputs.T, margin)]
    return columns + ([] if inside is None else [*inside.T.astype(np.int8), abstained(inside).astype(np.int8)])


def abstained(inside):
    """(n,) bool: conformal sets (n, ways) that are not exactly one class."""
    return inside.sum(axis=1) != 1


def check_output(path):
    """UserError: a suffix that is not written, or Parquet without pyarrow."""
    if Path(path).suffix not in SUFFIXES:
        raise UserError(f"--out {path}: tables are written as {' or '.join(SUFFIXES)}")
    if Path(path).suffix == ".parquet":
        _pyarrow()


def write_columns(path, header, parts):
    """Write the file in one move. header: [(name, kind)]; parts: iterable of lists of columns, in that order."""
    if Path(path).suffix == ".csv":
        write_table(path, [name for name, _ in header],
                    (row for part in parts for row in zip(*part, strict=True)))
    else:
        _write_parquet(path, header, parts)


def _write_parquet(path, header, parts):
    arrow, parquet = _pyarrow()
    schema = arrow.schema([(name, arrow.type_for_alias(kind)) for name, kind in header])
    with replacing(path) as stream, parquet.ParquetWriter(stream, schema) as writer:
        for part in parts:
            writer.write_table(arrow.table([arrow.array(column, kind.type) for column, kind in zip(
                part, schema, strict=True)], schema=schema))


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("Parquet needs pyarrow; install it with: pip install pyarrow, or write a .csv") from None
    return pyarrow, pyarrow.parquet


def read_columns(path, names):
    """dict from each of `names` to its column, a list: text of CSV, values of Parquet. For tables written here."""
    if Path(path).suffix == ".csv":
        rows = [row for _, row in read_table(path, names, names)]
        return {name: [row[name] for row in rows] for name in names}
    return _pyarrow()[1].read_table(path, columns=list(names)).to_pydict()
