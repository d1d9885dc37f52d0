"""Results of one run: a JSON that depends on nothing but what was evaluated, and a `.meta.json` about when and where.

    result = read_result("…/results/near/clp_wo_7/5shot_linear_Ridge_wo_7.json")
    result.f1            # (T, ways) float64, fractions
    result.predictions   # (T, Q) int16, label of each query

Equal runs make equal bytes: keys are sorted, floats printed to full precision, and arrays are little-endian, zlib,
base64. ARRAYS are decoded when first asked for.
"""

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.bounded import MIB, declared_size, inflate
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import read_json, write_json, write_text
from lowshot.resampling import Bootstrap

SCHEMA = 1
OPTIONAL = ("evaluation", "open_bootstrap", "open_resampling")  # see inputs and Bootstrap
ARRAYS = ("predictions", "queries", "query_labels", "supports")
KEYS = ("config", "classes", "class_groups", "hashes", "sets", "tasks", "encoder", "f1", "statistics", *ARRAYS)
META = ".meta.json"
ARRAY_LIMIT = 256 * MIB     # bytes of each array of a result, unpacked, and of all of them
CLASSES_LIMIT = 1000
CONFUSIONS_LIMIT = 1 << 26  # tasks times classes squared: entries of all confusion matrices
FORMS = {"config": dict, "classes": list, "class_groups": dict, "hashes": dict, "sets": dict, "tasks": dict,
         "encoder": dict | None, "statistics": dict, "f1": list}
CONFIG = {**dict.fromkeys(("task", "mode", "model", "clf", "latent", "solver", "sampling"), str), "novel_class":
          str | None, **dict.fromkeys(("num_shots", "num_task", "num_aug_shots", "aug_times", "num_prototypes", "seed"),
                                      int)}
HASHES = {**dict.fromkeys(("tasks", "support_features", "query_features", "support_labels", "query_labels"), str),
          "dictionary": str | None}
SETS = {"support": str, "query": str, **dict.fromkeys(("support_list", "query_list", "support_groups", "query_groups"),
                                                      str | None)}


def encode_array(array):
    """JSON-able form of an integer array: {'dtype', 'shape', 'zlib_base64'}."""
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    packed = base64.b64encode(zlib.compress(array.tobytes(), 6)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "zlib_base64": packed}


def decode_array(value):
    """The array that `encode_array` was given; ValueError for anything else, and for more than ARRAY_LIMIT bytes, which
    are never unpacked."""
    dtype, size = _declared(value)
    try:
        flat = np.frombuffer(inflate(base64.b64decode(value["zlib_base64"]), size), dtype=dtype)
        return flat.reshape(value["shape"])
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"not an encoded array ({type(error).__name__}: {error})") from None


def _declared(value):
    """(dtype, bytes) that an encoded array says it has. ValueError: no encoded array of integers, or too large."""
    try:
        name, shape = value["dtype"], value["shape"]
        dtype = np.dtype(name).newbyteorder("<") if isinstance(name, str) else None
    except (KeyError, TypeError, ValueError, SyntaxError) as error:
        raise ValueError(f"not an encoded array ({type(error).__name__}: {error})") from None
    if dtype is None or dtype.kind not in "iu":
        raise ValueError(f"dtype {name!r:.40} is no integer type")
    return dtype, declared_size(shape, dtype.itemsize, ARRAY_LIMIT)


def bootstrap_of(data):
    """Bootstrap of a result's JSON, None where it has none; ValueError where its parts do not fit together."""
    if "open_bootstrap" not in data:
        return None
    try:
        rest = dict(data["open_resampling"])
        macro = np.asarray(data["open_bootstrap"], dtype=np.float64)
        groups = {name: np.asarray(values, dtype=np.float64) for name, values in rest.pop("groups").items()}
        found = Bootstrap(macro, groups, **rest)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"open_bootstrap or open_resampling ({type(error).__name__}: {error})") from None
    values = [macro, *groups.values()]
    if len(macro) < 2 or any(one.shape != (len(macro),) or not np.isfinite(one).all() for one in values):
        raise ValueError("open_bootstrap is no list of at least two numbers")
    return found


class NoResults(UserError):
    """There is no result to read, which may change while a protocol runs."""


@dataclass(frozen=True)
class Result:
    path: Path
    data: dict  # the JSON as read

    @property
    def config(self):
        return self.data["config"]

    @property
    def classes(self):
        return self.data["classes"]

    @property
    def class_groups(self):
        return self.data["class_groups"]

    @property
    def hashes(self):
        return self.data["hashes"]

    @property
    def sets(self):
        return self.data["sets"]

    @property
    def tasks(self):
        return self.data["tasks"]

    @property
    def encoder(self):
        return self.data["encoder"]

    @property
    def statistics(self):
        return self.data["statistics"]

    @cached_property
    def f1(self):
        """(T, ways) float64, fractions."""
        try:
            f1 = np.asarray(self.data["f1"], dtype=np.float64)
        except (TypeError, ValueError):  # rows of unequal length, or no numbers
            f1 = np.empty(0)
        if f1.ndim != 2 or f1.shape[1] != len(self.classes):
            raise UserError(f"{self.path}: damaged result (f1 is no table of tasks x {len(self.classes)} classes); "
                            "remove it and run again")
        return f1

    @cached_property
    def predictions(self):
        """(T, Q) int16."""
        return self._array("predictions")

    @cached_property
    def queries(self):
        """(T, Q) int32, rows of the query set."""
        return self._array("queries")

    @cached_property
    def query_labels(self):
        """(Q,) int16."""
        return self._array("query_labels")

    @cached_property
    def supports(self):
        """(T, n) int32, rows of the support set."""
        return self._array("supports")

    @cached_property
    def bootstrap(self):
        """Bootstrap, or None."""
        return bootstrap_of(self.data)

    @property
    def meta(self):
        """The `.meta.json` beside it: seconds, started, host, workers, versions; {} where it is missing."""
        path = meta_path(self.path)
        return read_json(path) if path.is_file() else {}

    def _array(self, name):
        try:
            return decode_array(self.data[name])
        except ValueError as error:
            raise UserError(f"{self.path}: damaged result ({name}: {error}); remove it and run again") from None


def read_result(path):
    """Result from a JSON file; UserError where it is missing, truncated, of another schema or no result at all."""
    data = read_json(path, "result")
    if data.get("schema") != SCHEMA:
        raise UserError(f"{path}: a result of schema {data.get('schema')!r}, this version reads {SCHEMA}; run it again")
    missing = [key for key in KEYS if key not in data]
    if missing:
        raise UserError(f"{path}: not a result of a meta-test, {', '.join(missing)} missing")
    wrong = next(_wrong_parts(data), None)
    if wrong:
        raise UserError(f"{path}: damaged result ({wrong}); remove it and run again")
    return Result(Path(path), data)


def _wrong_parts(data):
    """What is not of the schema's form among the parts that describe a run: one phrase each."""
    yield from _wrong_values("the result", data, FORMS)
    for part, form in (("config", CONFIG), ("hashes", HASHES), ("sets", SETS)):
        yield from _wrong_values(part, data[part], form)
    if data["config"].get("recipe") is not None:
        yield from _wrong_values("config", data["config"], {"recipe": str, "pretrain_seed": int})
    classes = data["classes"]
    if not classes or not all(isinstance(name, str) for name in classes):
        yield "classes are no list of names"
    if len(classes) > CLASSES_LIMIT or len(data["f1"]) * len(classes) ** 2 > CONFUSIONS_LIMIT:
        yield f"{len(classes):,} classes in {len(data['f1']):,} tasks, more than are read"
    yield from _too_large(data)
    for name, members in data["class_groups"].items():
        if not isinstance(members, list) or not members or not all(
                _is(number, int) and 0 <= number < len(classes) for number in members):
            yield f"class group {name!r} is no list of class numbers below {len(classes)}"
    try:
        bootstrap_of(data)
    except ValueError as error:
        yield f"{error}"


def _too_large(data):
    """What is no encoded array, and whether all of them together are too large to unpack: a phrase each."""
    total = 0
    for name in ARRAYS:
        try:
            total += _declared(data[name])[1]
        except ValueError as error:
            yield f"{name}: {error}"
    if total > ARRAY_LIMIT:
        yield f"its arrays have {total // MIB:,} MiB, more than {ARRAY_LIMIT // MIB}"


def _wrong_values(part, values, forms):
    for name, form in forms.items():
        if name not in values:
            yield f"{name} is missing in {part}"
        elif not _is(values[name], form):
            yield f"{name} in {part} is {values[name]!r:.40}"


def _is(value, form):
    return isinstance(value, form) and not isinstance(value, bool)


def write_result(path, data, meta):
    """Write `<name>.meta.json`, then `<name>.json`: where the second exists the run is finished.

    data: the keys KEYS, with those of ARRAYS as integer arrays, and perhaps some of OPTIONAL; meta: JSON-able dict.
    One key a line, so that `grep` and `diff` serve.
    """
    missing = set(KEYS) ^ (set(data) - set(OPTIONAL))
    if missing:
        raise ValueError(f"a result has exactly the keys {KEYS}; wrong: {sorted(missing)}")
    data = {**data, "schema": SCHEMA, **{name: encode_array(data[name]) for name in ARRAYS}}
    lines = [f"{json.dumps(key)}: {json.dumps(data[key], sort_keys=True, allow_nan=False, ensure_ascii=False)}"
             for key in sorted(data)]
    write_json(meta_path(path), meta)
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def meta_path(path):
    """`x.json` -> `x.meta.json`."""
    path = Path(path)
    return path.with_name(path.stem + META)


def find_results(paths, besides=None):
    """Result files named by `paths`, or below them where they are folders: sorted list of Path, each once.

    paths: one path or several. `.meta.json` and hidden files are no results, nor is the file `besides`. NoResults for
    a path that does not exist.
    """
    paths = [paths] if isinstance(paths, str | Path) else paths
    found = set()
    for path in map(Path, paths):
        if path.is_dir():
            found |= {p for p in path.rglob("*.json") if _is_result(p.relative_to(path))}
        elif path.is_file():
            found.add(path)
        else:
            raise NoResults(f"{path}: no such result file or folder")
    return sorted(path for path in found if besides is None or path.resolve() != Path(besides).resolve())


def _is_result(path):
    return not path.name.endswith(META) and not any(part.startswith(".") for part in path.parts)
