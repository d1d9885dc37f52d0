"""The table of predictions, a row a query, as CSV or Parquet."""

from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.tables import write_table

DIGITS = 10  # decimals of scores
SUFFIXES = (".csv", ".parquet")


class PredictionTable:
    """Columns and rows of the predictions of a Head for queries with `names`; file and class names are data, and are
    written from here alone: `names`, `classes` and `supports`."""

    def __init__(self, head, names):
        self.head, self.names = head, names
        self.classes, self.supports = head.classes, head.names
        self.kind, self.sets = head.fitted.kind, bool(head.facts["conformal"])

    def header(self, found):
        """Names of the columns; found: the arrays of any block."""
        outputs = [f"{self.kind}_{name}" for name in self.classes] + ["margin"] if self.kind else []
        sets = [*(f"in_set_{name}" for name in self.classes), "abstained"] if self.sets else []
        return ["path", "class", *outputs, *sets, *(f"nearest_{i + 1}" for i in range(found["nearest"].shape[1])),
                "problem"]

    def columns(self, rows, found):
        """Lists of equal length in the order of `header`: of the queries `rows` (a range) and their arrays `found`.

        A query that could not be read has its name and the problem, and None elsewhere."""
        bad = found["fault"] != ""
        classes = np.array([*self.classes, None], dtype=object)  # the last one for the label −1
        columns = [list(self.names[rows.start:rows.stop]), classes[found["label"]].tolist()]
        if self.kind:
            columns += [_blank(np.round(one, DIGITS), bad) for one in (*found["outputs"].T, found["margin"])]
        if self.sets:
            inside = found["inside"].astype(np.int8)
            columns += [_blank(one, bad) for one in (*inside.T, (inside.sum(axis=1) != 1).astype(np.int8))]
        supports = np.array(self.supports, dtype=object)
        columns += [_blank(supports[one], bad) for one in found["nearest"].T]
        return [*columns, [text or None for text in found["fault"].tolist()]]


def _blank(values, bad):
    listed = values.tolist()
    for place in np.flatnonzero(bad):
        listed[place] = None
    return listed


def check_output(path):
    """UserError: a suffix that is not written, or Parquet without pyarrow."""
    if Path(path).suffix not in SUFFIXES:
        raise UserError(f"--out {path}: tables are written as {' or '.join(SUFFIXES)}")
    if Path(path).suffix == ".parquet":
        _pyarrow()


def write_predictions(path, table, blocks):
    """Write the file in one move. blocks: function that returns an iterator of (rows, arrays), in order."""
    header = table.header(next(iter(blocks()))[1])
    columns = (table.columns(*block) for block in blocks())
    if Path(path).suffix == ".csv":
        write_table(path, header, (row for part in columns for row in zip(*part, strict=True)))
    else:
        _write_parquet(path, header, columns)


def _write_parquet(path, header, columns):
    arrow, parquet = _pyarrow()
    text, kinds = {"path", "class", "problem"}, {"in_set_": arrow.int8(), "abstained": arrow.int8()}
    schema = arrow.schema([(name, arrow.string() if name in text or name.startswith("nearest_") else next(
        (kind for start, kind in kinds.items() if name.startswith(start)), arrow.float64())) for name in header])
    with replacing(path) as stream, parquet.ParquetWriter(stream, schema) as writer:
        for part in columns:
            writer.write_table(arrow.table([arrow.array(column, kind.type) for column, kind in zip(
                part, schema, strict=True)], schema=schema))


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("Parquet needs pyarrow; install it with: pip install pyarrow, or write a .csv") from None
    return pyarrow, pyarrow.parquet
