"""Two results of the same tasks, compared: from files to `lowshot.comparison`."""

from fewshot_wsi.foundation.errors import UserError
from lowshot.comparison import compare_scores
from lowshot.influence import macro_influence


def compare_results(a, b, units=None, seed=0):
    """Comparison of two `results.Result`; UserError where they were not scored on the same tasks."""
    check_same_tasks(a, b)
    scores = a.f1.mean(1), b.f1.mean(1)
    if units is None:
        return compare_scores(*scores, seed)
    one, other = (units.influence(score, macro_influence(result.predictions, result.query_labels, result.f1.shape[1]))
                  for score, result in zip(scores, (a, b), strict=True))
    return compare_scores(*scores, seed, units, one - other, resampled_difference(a.bootstrap, b.bootstrap))


def resampled_difference(a, b):
    """`resampling.Bootstrap` of A minus B; None where one is None or they were not made of the same resamples."""
    if a is None or b is None or (a.identity, len(a.macro)) != (b.identity, len(b.macro)):
        return None
    return a - b


def check_same_tasks(a, b):
    """UserError unless both results hold the same tasks, by the content hash of the task file."""
    if a.hashes["tasks"] != b.hashes["tasks"] or a.f1.shape != b.f1.shape:
        raise UserError(f"{a.path} and {b.path} were scored on different tasks ({_tasks(a)} and {_tasks(b)}); "
                        "a paired comparison needs the same task file for both")


def _tasks(result):
    return f"{result.config['task']}, {len(result.f1)} tasks, hash {result.hashes['tasks'][:12]}"
