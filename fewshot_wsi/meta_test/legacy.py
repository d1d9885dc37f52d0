"""The authors' task trees: one folder per task, features and rows pickled inside `.npy` files.

`<task>/task_<i>/<stem>_<model>.npy` holds (support features (n, D), support labels (n,), query features (q, D), query
labels (q,)) as an object array of four; `<stem>_idxs.npy` holds (support rows (n,), query rows (q,)). The ablation
tasks are named without model or novel class, and `<stem>_aug_<A>.npy` holds A + 1 views a support tile, (n, A + 1, D).

A pickle can run any code, so these files go through an unpickler that builds numpy arrays and nothing else.
"""

import hashlib
import io
import pickle
import pickletools
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_features, load_views
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.provenance import labels_sha256
from fewshot_wsi.meta_test.protocol import SAMPLING
from fewshot_wsi.meta_test.remedies import extract_command
from fewshot_wsi.meta_test.stored import load_stored
from fewshot_wsi.meta_test.views import views_of
from lowshot.tasks import check_rows, make_task_set, task_stem

PROTOCOL = 3  # of pickle: read by every numpy that runs the authors' code


def _latin1(text, encoding):
    """Stands in for _codecs.encode, by which protocol 2 writes bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin-1")


_MULTIARRAY = {"_reconstruct": np._core.multiarray._reconstruct}
_NUMERIC = {"_frombuffer": np._core.numeric._frombuffer}
_ADMITTED = {"numpy": {"ndarray": np.ndarray, "dtype": np.dtype}, "_codecs": {"encode": _latin1},
             "numpy.core.multiarray": _MULTIARRAY, "numpy._core.multiarray": _MULTIARRAY,
             "numpy.core.numeric": _NUMERIC, "numpy._core.numeric": _NUMERIC}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _ADMITTED[module][name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_arrays(path):
    """The arrays inside one of the authors' `.npy` files, as a list; plain number arrays give their rows.

    UserError: missing, damaged, or holding anything but numpy arrays of numbers (what it is, is named).
    """
    try:
        with open(path, "rb") as stream:
            version = np.lib.format.read_magic(stream)
            read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else \
                np.lib.format.read_array_header_2_0
            _, _, dtype = read_header(stream)
            if dtype.hasobject:
                stored = _ArraysOnly(stream).load()
            else:
                stream.seek(0)
                stored = np.load(stream, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file of a task tree; sample the tasks with "
                        "wsi_workdir/tools/generate_task.py --initialization") from None
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: refused, a task file holds numpy arrays only, but {error}") from None
    except (ValueError, EOFError, IndexError, AttributeError, TypeError, KeyError) as error:
        raise UserError(f"{path}: not a readable task file ({type(error).__name__}: {error})") from None
    arrays = list(stored) if isinstance(stored, np.ndarray) and stored.ndim else [stored]
    for array in arrays:
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
            raise UserError(f"{path}: refused, a task file holds numpy arrays of numbers only, but here is "
                            f"{getattr(array, 'dtype', type(array).__name__)}")
    return arrays


def write_arrays(path, arrays):
    """Write arrays as the authors' code reads them: an object array in a `.npy`, by names that old numpy knows too."""
    stored = np.empty(len(arrays), dtype=object)
    for i, array in enumerate(arrays):
        stored[i] = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": stored.shape})
    with replacing(path) as stream:
        stream.write(header.getvalue() + _old_names(pickle.dumps(stored, protocol=PROTOCOL)))


def _old_names(pickled):
    """numpy 2 calls its core `numpy._core`; numpy 1 knows only `numpy.core`. Both read the old name."""
    for opcode, argument, position in reversed(list(pickletools.genops(pickled))):
        if opcode.name == "GLOBAL" and argument.startswith("numpy._core."):
            old = f"c{argument.replace(' ', chr(10))}\n".encode()
            new = old.replace(b"numpy._core.", b"numpy.core.")
            pickled = pickled[:position] + new + pickled[position + len(old):]
    return pickled


def tree_stem(plan):
    """Stem of the authors' files for a TaskPlan that lie in its folder, or None where there is no such tree."""
    first = plan.path.parent / "task_0"
    stems = dict.fromkeys((task_stem(len(plan.classes), plan.num_shots, plan.tag),
                           task_stem(len(plan.classes), plan.num_shots)))
    if plan.sampling != "published" or not first.is_dir():
        return None
    return next((stem for stem in stems if (first / f"{stem}_idxs.npy").exists() or (first / f"{stem}.npy").exists()
                 or any(_names_a_model(path.name, stem) for path in first.glob(f"{stem}_*.npy"))), None)


def _names_a_model(name, stem):
    """Whether a file `<stem>_….npy` is of that stem, and not of a longer one: with a novel class, or another rule."""
    return not name.startswith(tuple(f"{stem}_{more}_" for more in ("wo", *SAMPLING)))


def read_tree(plan, stem, model, support_labels, query_labels):
    """TaskSet of the authors' tree of a TaskPlan.

    Rows come from the `_idxs.npy` files; where one is missing, they are found by looking the task's features up in
    the feature store of `model`. UserError: files missing or damaged, or rows that do not have the labels of a task.
    """
    rows = _RowFinder(plan.protocol, model, plan.family)
    tasks = [rows.of(plan.path.parent / f"task_{i}", stem) for i in range(plan.num_tasks)]
    return tree_task_set(plan, stem, tasks, support_labels, query_labels)


def tree_task_set(plan, stem, tasks, support_labels, query_labels):
    """TaskSet of the (support rows, query rows) of each task of a tree; UserError where they are no such tasks."""
    folder, family = plan.path.parent, plan.family
    if len({(len(s), len(q)) for s, q in tasks}) != 1:
        raise UserError(f"{folder}: tasks {stem} of different sizes in one tree; sample them again")
    support, query = (np.array(side, dtype=np.int64) for side in zip(*tasks, strict=True))
    ways = len(plan.classes)
    if support.shape[1] != ways * plan.num_shots or query.shape[1] % ways:
        raise UserError(f"{folder}: tasks {stem} have {support.shape[1]} support and {query.shape[1]} query tiles, "
                        f"expected {plan.num_shots} and as many as you like for each of {ways} classes")
    meta = {"task": plan.task, "ways": ways, "shots": plan.num_shots, "queries": query.shape[1] // ways,
            "num_tasks": len(tasks), "seed": None, "sampling": plan.sampling, "classes": list(plan.classes),
            "support_set": family.support, "query_set": family.query, "novel_class": plan.tag, "left_out": [],
            "support_labels_sha256": labels_sha256(support_labels), "query_labels_sha256": labels_sha256(query_labels)}
    made = make_task_set(support, query, ways, meta, folder)
    check_rows(made.support, support_labels, made.support_labels, f"{folder}, support")
    check_rows(made.query, query_labels, made.query_labels, f"{folder}, query")
    return made


def listed_rows(folder, stem):
    """[support rows, query rows] of one task folder, (n,) and (q,) ints; None where no file lists them."""
    path = folder / f"{stem}_idxs.npy"
    if not path.exists():
        return None
    arrays = read_arrays(path)
    if len(arrays) != 2 or any(a.ndim != 1 or a.dtype.kind not in "iu" for a in arrays):
        raise UserError(f"{path}: expected the rows of support and query, found "
                        f"{[f'{a.dtype} {a.shape}' for a in arrays]}")
    return arrays


def features_path(folder, stem, model):
    """The file of a task folder that holds the features of `model`."""
    named = folder / f"{stem}_{model}.npy"
    return named if named.exists() else folder / f"{stem}.npy"


class _RowFinder:
    def __init__(self, protocol, model, family):
        self.protocol, self.model, self.family = protocol, model, family
        self.tables = {}

    def of(self, folder, stem):
        """(support rows (n,), query rows (q,)) of one task folder."""
        listed = listed_rows(folder, stem)
        if listed is not None:
            return listed
        path = features_path(folder, stem, self.model)
        arrays = read_arrays(path)
        if [a.ndim for a in arrays] != [2, 1, 2, 1]:
            raise UserError(f"{path}: expected features and labels of support and query, found "
                            f"{[f'{a.dtype} {a.shape}' for a in arrays]}")
        return self._look_up(arrays[0], self.family.support, path), self._look_up(arrays[2], self.family.query, path)

    def _look_up(self, features, name, path):
        stored = self.protocol.features_file(self.model, name)
        if name not in self.tables:
            rows = load_features(stored, made_by=extract_command(self.protocol, self.model, name))
            self.tables[name] = {row_digest(row.astype(np.float32)): i for i, row in enumerate(rows)}
        try:
            return np.array([self.tables[name][row_digest(row)] for row in np.asarray(features, dtype=np.float32)])
        except KeyError:
            raise UserError(f"{path}: its features are not those of {stored}, and no file says which rows they are; "
                            "add the features it was made from") from None


def row_digest(row):
    """Stands for the bytes of one feature."""
    return hashlib.blake2b(np.ascontiguousarray(row).tobytes(), digest_size=16).digest()


def export(plan, tasks, model, threads=1, views=None):
    """Write a TaskSet as the authors' tree, with the features of `model`, into the folder of the task file.

    views: None, or A: the ablation's form, named without model and novel class, with A augmented views beside each
    support tile (0: none). Returns the folder.
    """
    protocol, family, folder = plan.protocol, plan.family, plan.path.parent
    (xs, ys), (xq, yq) = (load_stored(protocol, model, name) for name in (family.support, family.query))
    plain = views is not None
    stem = task_stem(len(plan.classes), plan.num_shots, None if plain else plan.tag, plan.sampling)
    file = f"{stem}_aug_{views}" if views else stem if plain else f"{stem}_{model}"

    def write(i):
        s, q = tasks.support[i], tasks.query[i]
        support, query = (np.asarray(rows, dtype=np.float32) for rows in (xs[s], xq[q]))
        if views:
            seen = [load_views(*views_of(protocol, model, family.support), view, s) for view in range(views)]
            support = np.stack([support, *seen], axis=1)
        write_arrays(folder / f"task_{i}" / f"{file}.npy", [support, ys[s], query, yq[q]])
        write_arrays(folder / f"task_{i}" / f"{stem}_idxs.npy", [s.astype(np.int64), q.astype(np.int64)])

    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(write, range(tasks.num_tasks)))
    return folder
