"""Which runs and task files a protocol is made of."""

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.novel_classes import classes_in, novel_tag
from fewshot_wsi.meta_test.settings import RunSettings, TaskPlan


def runs_of(protocol, only=None, shard=None, **changes):
    """Every run of a protocol, in a fixed order: task, novel class, shots, method.

    only: a task name or several. shard: (i, n), 1-based: every n-th run from the i-th on, so that n jobs share them.
    changes: RunSettings fields for all runs (solver, latent, device, seed, num_task …).
    """
    runs = []
    for task, family in _families(protocol, only):
        for novel in family.novel_classes or ((),):
            novel = classes_in(novel)
            for shots in family.shots:
                for model, mode, clf in family.methods:
                    model = model.replace("{novel}", novel_tag(novel) if novel else "")
                    runs.append(RunSettings(protocol, task, model, mode, clf, shots, **{"novel": novel, **changes}))
    return runs if shard is None else runs[shard[0] - 1::shard[1]]


def sets_needed(runs):
    """Which features the RunSettings `runs` read: dict from model to names of sets."""
    needed = {}
    for run in runs:
        base = [run.protocol.dictionary.set] if run.uses_dictionary else []
        needed.setdefault(run.model, {}).update(dict.fromkeys([*base, run.family.support, run.family.query]))
    return {model: tuple(sets) for model, sets in needed.items()}


def task_files_of(protocol, only=None, **changes):
    """TaskPlan of every task file of a protocol, in the order of `runs_of`. changes: TaskPlan fields for all."""
    plans = []
    for task, family in _families(protocol, only):
        for novel in family.novel_classes or ((),):
            novel = classes_in(novel)
            plans += [TaskPlan(protocol, task, shots, **{"novel": novel, **changes})
                      for shots in dict.fromkeys((*family.shots, *family.more_shots))]
    return plans


def parse_shard(text):
    """'2/8' -> (2, 8); UserError for anything else."""
    number, _, count = str(text).partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise UserError(f"--shard {text!r}: give i/n with 1 <= i <= n, as 2/8 for the second of eight shares")
    return int(number), int(count)


def _families(protocol, only):
    names = [only] if isinstance(only, str) else (only or protocol.tasks)
    return [(name, protocol.family(name)) for name in names]
