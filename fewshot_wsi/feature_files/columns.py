"""Tables of columns, CSV and Parquet: a list column of features, or numbered columns; names or slide, x and y."""

import re
from dataclasses import replace

import numpy as np

from fewshot_wsi.feature_files.packages import needed
from fewshot_wsi.feature_files.table import FEATURES, NAMES, SLIDES, FeatureTable, refuse_inflated, texts
from fewshot_wsi.foundation.bounded import MIB
from fewshot_wsi.foundation.errors import UserError, one_line
from fewshot_wsi.foundation.tables import DELIMITERS

X, Y = ("x", "coord_x", "x_coord", "coords_x"), ("y", "coord_y", "y_coord", "coords_y")
_NUMBERED = re.compile(r"(.*?)(\d+)")


def read_parquet(path):
    """[FeatureTable] of a Parquet file."""
    pyarrow, parquet = needed("pyarrow", path), needed("pyarrow.parquet", path)
    try:
        with parquet.ParquetFile(path) as file:
            rows, schema = file.metadata.num_rows, file.schema_arrow
            _check_parquet(path, file.metadata)

        def batches(columns):
            with parquet.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=8192, columns=columns)
        return _tables(path, schema, rows, batches, pyarrow)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({one_line(error)[:160]})") from None


def _check_parquet(path, metadata):
    """UserError where a table claims far more values than its file can hold."""
    values = sum(metadata.row_group(group).column(column).num_values for group in range(metadata.num_row_groups)
                 for column in range(metadata.num_columns))
    refuse_inflated(path, "its table", 4 * values, path.stat().st_size)


def read_csv(path):
    """[FeatureTable] of a CSV file, its separator a comma, a semicolon or a tab."""
    pyarrow, csv = needed("pyarrow", path), needed("pyarrow.csv", path)
    try:
        with open(path, encoding="utf-8-sig") as stream:
            head = stream.readline(MIB)
        parse = csv.ParseOptions(delimiter=max(DELIMITERS, key=head.count))
        keys = dict.fromkeys((*NAMES, *SLIDES), pyarrow.string())

        def batches(columns):
            convert = csv.ConvertOptions(include_columns=columns, column_types=keys)
            with csv.open_csv(path, parse_options=parse, convert_options=convert) as reader:
                yield from reader
        with csv.open_csv(path, parse_options=parse, convert_options=csv.ConvertOptions(column_types=keys)) as reader:
            schema, rows = reader.schema, sum(batch.num_rows for batch in reader)
        return _tables(path, schema, rows, batches, pyarrow)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable CSV of features ({one_line(error)[:160]})") from None


def _tables(path, schema, rows, batches, pyarrow):
    columns, is_list = _feature_columns(path, schema, pyarrow)
    keys = {role: next((name for name in schema.names if name.lower() in known), None)
            for role, known in (("name", NAMES), ("slide", SLIDES), ("x", X), ("y", Y))}
    asked = [name for name in keys.values() if name]
    found = {name: [] for name in asked}
    for batch in batches(asked) if asked else ():
        for name in asked:
            found[name] += batch.column(name).to_pylist()
    for name in asked:
        if None in found[name]:
            raise UserError(f"{path}: row {found[name].index(None)} has no {name}")

    def blocks():
        for batch in batches(columns):
            yield _values(path, batch, columns, is_list, dim)
    first = next(iter(batches(columns)), None)
    if first is None:
        raise UserError(f"{path}: has no rows")
    dim = len(columns) if not is_list else len(first.column(columns[0])[0].as_py() or ())
    if not dim:
        raise UserError(f"{path}: row 0 has no features")
    names, slides = (texts(found.get(keys[role])) for role in ("name", "slide"))
    table = FeatureTable(path, rows, dim, _values(path, first.slice(0, 1), columns, is_list, dim).dtype, blocks,
                         names=names, slides=slides, slide=(path.stem,))
    if not (keys["x"] and keys["y"]):
        return [table]
    return [replace(table, coords=np.array([found[keys["x"]], found[keys["y"]]], dtype=np.float64).T)]


def _feature_columns(path, schema, pyarrow):
    """([names of the columns], whether it is one column of lists)."""
    lists = [name for name in schema.names if name.lower() in FEATURES and (
        pyarrow.types.is_list(schema.field(name).type) or pyarrow.types.is_fixed_size_list(schema.field(name).type)
        or pyarrow.types.is_large_list(schema.field(name).type))]
    if len(lists) == 1:
        return lists, True
    families = {}
    for name in schema.names:
        match = _NUMBERED.fullmatch(name)
        if match:
            families.setdefault(match[1], []).append((int(match[2]), name))
    whole = [sorted(members) for members in families.values() if len(members) > 1
             and [number - min(members)[0] for number, _ in sorted(members)] == list(range(len(members)))]
    if len(whole) != 1:
        raise UserError(f"{path}: which columns are the features is not known: expected one list column, "
                        f"{' or '.join(FEATURES)}, or numbered ones such as feature_0 … feature_511; there are "
                        f"{', '.join(schema.names[:6])}{' …' if len(schema.names) > 6 else ''}")
    return [name for _, name in whole[0]], False


def _values(path, batch, columns, is_list, dim):
    """(n, D) floats of a batch."""
    if is_list:
        column = batch.column(columns[0])
        flat = column.flatten()
        if column.null_count or flat.null_count or len(flat) != dim * len(column) or any(
                length != dim for length in column.value_lengths().to_pylist()):
            raise UserError(f"{path}: the rows of {columns[0]} are not all {dim} numbers long")
        values = flat.to_numpy(zero_copy_only=False).reshape(-1, dim)
    else:
        if any(batch.column(name).null_count for name in columns):
            raise UserError(f"{path}: a feature is empty in columns {columns[0]} … {columns[-1]}")
        values = np.stack([batch.column(name).to_numpy(zero_copy_only=False) for name in columns], axis=1)
    if values.dtype.kind not in "fiu":
        raise UserError(f"{path}: the features are {values.dtype}, not numbers")
    return values if values.dtype.kind == "f" else values.astype(np.float64)
