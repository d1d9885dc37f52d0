"""The table of predictions, a row a query."""

import numpy as np

from fewshot_wsi.predict.columns import TEXT, score_columns, score_header, write_columns

DIGITS = 10  # decimals of scores


class PredictionTable:
    """Columns and rows of the predictions of a Head for queries with `names`; file and class names are data, and are
    written from here alone: `names`, `classes` and `supports`."""

    def __init__(self, head, names):
        self.head, self.names = head, names
        self.classes, self.supports = head.classes, head.names
        self.kind, self.sets = head.fitted.kind, bool(head.facts["conformal"])

    def header(self, found):
        """[(name, kind)] of the columns; found: the arrays of any block."""
        nearest = [(f"nearest_{i + 1}", TEXT) for i in range(found["nearest"].shape[1])]
        return [("path", TEXT), ("class", TEXT), *score_header(self.kind, self.classes, self.sets), *nearest,
                ("problem", TEXT)]

    def columns(self, rows, found):
        """Lists of equal length in the order of `header`: of the queries `rows` (a range) and their arrays `found`.

        A query that could not be read has its name and the problem, and None elsewhere."""
        bad = found["fault"] != ""
        classes = np.array([*self.classes, None], dtype=object)  # the last one for the label −1
        columns = [list(self.names[rows.start:rows.stop]), classes[found["label"]].tolist()]
        scores = score_columns(*(found.get(name) for name in ("outputs", "margin", "inside")), DIGITS)
        supports = np.array(self.supports, dtype=object)
        columns += [_blank(one, bad) for one in (*scores, *(supports[one] for one in found["nearest"].T))]
        return [*columns, [text or None for text in found["fault"].tolist()]]


def _blank(values, bad):
    listed = values.tolist()
    for place in np.flatnonzero(bad):
        listed[place] = None
    return listed


def write_predictions(path, table, blocks):
    """Write the file in one move. blocks: function that returns an iterator of (rows, arrays), in order."""
    header = table.header(next(iter(blocks()))[1])
    write_columns(path, header, (table.columns(*block) for block in blocks()))
