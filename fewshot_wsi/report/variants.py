"""Names for runs of equal settings that are not the same run: other tasks, other features, another dictionary.

Rows of a table are methods, so two runs of one method on one task family, novel class and number of shots need names
that differ, and the same variant needs the same name in every column.
"""

import json

NUMBERED = (  # word, what differs, what it is the same for unless something was made again
    ("tasks", lambda run: run.hashes["tasks"], lambda run: (run.novel, run.shots, len(run.f1))),
    ("features", lambda run: features_of(run), lambda run: run.config["model"]),
    ("dictionary", lambda run: run.hashes["dictionary"],
     lambda run: (run.config["model"], run.config["mode"], run.config["num_prototypes"], features_of(run))),
    ("variant", lambda run: json.dumps([run.config, run.hashes], sort_keys=True),
     lambda run: (run.novel, run.shots, run.method)))


def features_of(run):
    """Hashes of the features behind a run."""
    return run.hashes["support_features"], run.hashes["query_features"]


def name_variants(runs):
    """Set `remark` of every run ('20 tasks', 'features 2', …; '' for most), so that the method names one run of each
    evaluation, novel class and number of shots. What differs is named only where names would clash otherwise; numbers
    follow the order of paths, and the first of them goes without.
    """
    for run in runs:
        run.remark = ""
    for same in _grouped(sorted(runs, key=lambda run: run.path), lambda run: run.evaluation).values():
        if _clash(same, lambda run: len(run.f1)):
            _name_counts(same)
        for word, value, scope in NUMBERED:
            if _clash(same, value):
                for found in _grouped(same, scope).values():
                    numbers = {kind: n for n, kind in enumerate(dict.fromkeys(map(value, found)), 1)}
                    for run, number in [(run, numbers[value(run)]) for run in found]:
                        _remark(run, f"{word} {number}" if number > 1 else "")


def _grouped(runs, key):
    groups = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def _clash(runs, value):
    """Whether runs that share a name so far differ in `value`."""
    cells = _grouped(runs, lambda run: (run.novel, run.shots, run.method))
    return any(len(set(map(value, cell))) > 1 for cell in cells.values())


def _name_counts(runs):
    """Name the number of tasks, but for the one that most novel classes, then most runs, of as many shots have."""
    for same in _grouped(runs, lambda run: run.shots).values():
        counts = _grouped(same, lambda run: len(run.f1))
        usual = max(counts, key=lambda n: (len({run.novel for run in counts[n]}), len(counts[n]), n))
        for run in same:
            _remark(run, f"{len(run.f1)} tasks" if len(run.f1) != usual else "")


def _remark(run, words):
    run.remark = ", ".join(filter(None, (run.remark, words)))
