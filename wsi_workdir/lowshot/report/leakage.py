"""Queries whose answer may be known beforehand, and the figure without them.

A query is affected where its image, or its group (slide, patient, original tile), is also among the supports of its
task, or among the images that the encoder was pre-trained on.
"""

from dataclasses import dataclass

import numpy as np

from lowshot.statistics import f1_of_confusion


@dataclass(frozen=True)
class Leak:
    """One kind of overlap in one run."""
    kind: str             # 'support, same image', …
    known: bool           # False: cannot be told from what is at hand, `why` says what is missing
    why: str = ""
    queries: int = 0      # affected queries, over all tasks
    share: float = 0.0    # of all queries
    tasks: int = 0        # tasks with at least one
    f1: float | None = None          # mean macro F1 over tasks, as reported
    f1_without: float | None = None  # the same without the affected queries; None where nothing is left


def find_leaks(result, units, sources):
    """List of Leak of one run. units: `Sources.units(result)`."""
    same_set = result.sets["support"] == result.sets["query"]
    names = [sources.names(result.sets, side) for side in ("support", "query")]
    leaks = [_same_image(result, same_set, names, sources)]
    if units.name == "image":
        leaks.append(Leak("support, same group", False, "no slides, patients or originals are known for these sets"))
    else:
        leaks.append(_leak(f"support, same {units.name}", result, in_same_task(units.query, units.support)))
    return leaks + _pretraining(result, names[1], sources)


def _same_image(result, same_set, names, sources):
    kind = "support, same image"
    if same_set:
        return _leak(kind, result, in_same_task(result.queries, result.supports))
    if None in names:
        return Leak(kind, False, "the image lists are not at hand")
    files = [[(sources.root(result.sets[side]), name) for name in listed]
             for side, listed in zip(("support", "query"), names, strict=True)]
    number = {file: row for row, file in enumerate(files[0])}
    as_support = np.array([number.get(file, -1) for file in files[1]])
    return _leak(kind, result, in_same_task(as_support[result.queries], result.supports))


def _pretraining(result, names, sources):
    kind = "pre-training, same image"
    training = sources.training_names(result.config["model"])
    if training is None or names is None:
        missing = "pre-training list of the encoder" if training is None else "list of the query images"
        return [Leak(kind, False, f"the {missing} is not at hand (--protocol names it)")]
    listed, root = training
    if root is not None and sources.root(result.sets["query"]) not in (None, root):
        return [_leak(kind, result, np.zeros(result.queries.shape, bool))]
    seen = np.array([name in listed for name in names])
    leaks = [_leak(kind, result, seen[result.queries])]
    owners = sources.owners(result.sets, "query")
    if owners is not None:
        trained = {owner for owner, name in zip(owners[1], names, strict=True) if name in listed}
        known = np.array([owner in trained for owner in owners[1]])
        leaks.append(_leak(f"pre-training, same {owners[0]}", result, known[result.queries]))
    return leaks


def in_same_task(query, support):
    """(T, Q) bool: which queries' numbers are among the supports of their task. query (T, Q), support (T, n) ints."""
    base = int(max(query.max(), support.max())) + 1
    tasks = np.arange(len(query))[:, None] * base
    return np.isin(tasks + query, tasks + support) & (query >= 0)


def _leak(kind, result, affected):
    scores, kept = f1_without(result, affected)
    return Leak(kind, True, "", int(affected.sum()), float(affected.mean()), int(affected.any(axis=1).sum()),
                float(result.f1.mean()), float(np.mean(scores[kept])) if kept.any() else None)


def f1_without(result, affected):
    """Macro F1 of each task without the queries `affected` (T, Q) bool, and which tasks keep a query of each class.

    Returns (T,) floats and (T,) bool. A task that loses all queries of a class is left out of means: its F1 would be
    over fewer classes.
    """
    classes = len(result.classes)
    tasks = np.arange(len(result.predictions))[:, None]
    cells = (tasks * classes + result.query_labels) * classes + result.predictions
    counts = np.bincount(cells.ravel(), ~affected.ravel(), len(cells) * classes ** 2).reshape(-1, classes, classes)
    return f1_of_confusion(counts).mean(axis=1), (counts.sum(axis=2) > 0).all(axis=1)
