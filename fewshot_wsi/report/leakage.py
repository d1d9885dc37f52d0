"""Queries whose answer may be known beforehand, and the figure without them.

A query is affected where its image, or its patient, group (an original tile, say) or slide, is also among the supports
of its task, or among the images that the encoder was pre-trained on.
"""

from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.lists import KEPT_TOGETHER
from fewshot_wsi.meta_test.sources import COPY, SIDES, same_folder
from lowshot.statistics import f1_of_confusion


@dataclass(frozen=True)
class Leak:
    """One kind of overlap in one run."""
    kind: str             # 'support, same image', …
    known: bool           # False: not known from what is at hand, `why` says what is missing
    why: str = ""
    queries: int = 0      # affected queries, over all tasks
    share: float = 0.0    # of all queries
    tasks: int = 0        # tasks with at least one
    kept: int = 0         # tasks that keep a query of every class without the affected ones
    f1: float | None = None          # mean macro F1 over the kept tasks, as scored; None where no task is kept
    f1_without: float | None = None  # the same without the affected queries

    @property
    def change(self):
        """f1_without - f1, over the same tasks."""
        return None if self.f1 is None else self.f1_without - self.f1


NO_LISTS = "the image lists are not at hand"
NO_FOLDERS = "the image folders are not known (--protocol names them)"
NO_COPIES = "no table of copies is known (tools/check_data.py writes it, `copies` of a protocol's set names it)"
NO_OWNERS = "no patients, groups or slides are known for both sets of images"


def find_leaks(result, sources):
    """List of Leak of one run."""
    return [_same_image(result, sources), _copy(result, sources), _same_owner(result, sources),
            *_pretraining(result, sources)]


def _same_image(result, sources):
    kind, numbers = "support, same image", sources.numbers(result, "image")
    if numbers is None:
        listed = all(sources.names(result, side) is not None for side in SIDES)
        return Leak(kind, False, NO_FOLDERS if listed else NO_LISTS)
    return _leak(kind, result, in_same_task(numbers[1][result.queries], numbers[0][result.supports]))


def _copy(result, sources):
    """Queries of which a support is a copy under another name."""
    kind, numbers, images = "support, copy", sources.numbers(result, COPY), sources.numbers(result, "image")
    if numbers is None:
        return Leak(kind, False, NO_COPIES)
    affected = in_same_task(numbers[1][result.queries], numbers[0][result.supports])
    if images is not None:
        affected &= ~in_same_task(images[1][result.queries], images[0][result.supports])
    return _leak(kind, result, affected)


def _same_owner(result, sources):
    """Queries of the same patient as a support, or of the same group or slide where that is the outermost known."""
    owner = next((kind for kind in sources.known_owners(result) if kind in KEPT_TOGETHER), None)
    if owner is None:
        return Leak("support, same group", False, NO_OWNERS)
    support, query = sources.numbers(result, owner)
    return _leak(f"support, same {owner}", result, in_same_task(query[result.queries], support[result.supports]))


def _pretraining(result, sources):
    """Leaks of single images and of their owners."""
    kind, training = "pre-training, same image", sources.training(result.config["model"])
    if training is None:
        return [Leak(kind, False, "the pre-training list of the encoder is not at hand (--protocol names it)")]
    root = sources.root(result.sets["query"])
    if sources.names(result, "query") is None or root is None:
        return [Leak(kind, False, NO_LISTS if root is not None else NO_FOLDERS)]
    itself = sources.seen(result, "image")
    leaks = [_leak(kind, result, itself[result.queries])]
    copied = sources.seen(result, COPY)
    leaks.append(Leak("pre-training, copy", False, NO_COPIES) if copied is None else
                 _leak("pre-training, copy", result, (copied & ~itself)[result.queries]))
    known = [kind for kind in KEPT_TOGETHER if sources.keys(result, "query", kind) is not None]
    if known and not same_folder(root, training[1]):
        return [*leaks, Leak(f"pre-training, same {known[0]}", False, "the encoder saw images of another folder")]
    for owner in known:
        seen = sources.seen(result, owner)
        if seen is not None:
            return [*leaks, _leak(f"pre-training, same {owner}", result, seen[result.queries])]
    return [*leaks, Leak("pre-training, same group", False, NO_OWNERS)]


def in_same_task(query, support):
    """(T, Q) bool: which queries' numbers are among the supports of their task. query (T, Q), support (T, n) ints."""
    base = int(max(query.max(), support.max())) + 1
    tasks = np.arange(len(query))[:, None] * base
    return np.isin(tasks + query, tasks + support)


def _leak(kind, result, affected):
    scores, kept = f1_without(result, affected)
    figures = (float(result.f1[kept].mean()), float(scores[kept].mean())) if kept.any() else (None, None)
    return Leak(kind, True, "", int(affected.sum()), float(affected.mean()), int(affected.any(axis=1).sum()),
                int(kept.sum()), *figures)


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
