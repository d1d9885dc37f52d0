"""What the report computes of a result: scores, influences, intervals and statistics."""

import numpy as np

from fewshot_wsi.report.leakage import find_leaks
from fewshot_wsi.report.recipes import Measured
from fewshot_wsi.report.runs import ReportedRun
from lowshot.components import variance_components
from lowshot.grouped import use_of_groups
from lowshot.influence import f1_influence
from lowshot.intervals import bootstrap_interval, bootstrap_tasks_for, closed_interval, open_interval, tasks_for
from lowshot.statistics import group_scores, run_statistics


def measure(result, units, images):
    """`recipes.Measured` of one checked result. images: Units in which each image is one."""
    f1, ways = result.f1, len(result.classes)
    slopes = {name: np.full(f1.shape, 1 / ways) if name is None else _group_slopes(f1, result.class_groups, name)
              for name in (None, *group_scores(f1, result.class_groups))}
    scores = {None: f1.mean(axis=1), **group_scores(f1, result.class_groups)}
    by_query = {name: f1_influence(result.predictions, result.query_labels, slope) for name, slope in slopes.items()}
    influences = {name: units.influence(scores[name], by_query[name]) for name in slopes}
    by_image = images.influence(scores[None], by_query[None]) if result.bootstrap is None else None
    return Measured(scores, influences, by_image, result.bootstrap)


def intervals_of(measured, units, images, target=None):
    """The fields of a ReportedRun that are intervals, or made of them: a dict."""
    scores, influences, bootstrap, parts = measured.scores, measured.influences, measured.bootstrap, None
    if bootstrap is None:
        if measured.by_image is not None:
            parts = variance_components(scores[None], influences[None], units, measured.by_image, images)
        opened = {name: open_interval(scores[name], influence, units) for name, influence in influences.items()}
    else:
        opened = {name: bootstrap_interval(scores[name].mean(), bootstrap, name) for name in influences}
    needed = {} if target is None else {"closed": tasks_for(target, scores[None]), "open": (
        tasks_for(target, scores[None], influences[None], units) if bootstrap is None
        else bootstrap_tasks_for(target, scores[None], bootstrap))}
    return dict(closed=closed_interval(scores[None]), open=opened.pop(None), group_open=opened, parts=parts,
                needed=needed)


def summarise(result, measured, units, images, sources, target=None, meta=None):
    """ReportedRun of one result that passed `evidence.check`.

    measured: what `measure(result, units, images)` returned. units: lowshot.influence.Units that the open interval
    resamples; images: Units of single images. sources: `Sources`, for leaks and kinds of units that are not covered.
    target: wanted half-width, a fraction, to find the number of tasks needed for it; or None. meta: when and where the
    run was made.
    """
    f1, statistics = run_statistics(result.predictions, result.query_labels, len(result.classes), result.class_groups,
                                    result.supports, result.queries)
    sides = {} if units.name == "image" else {"support": units.support, "query": units.query}
    use = {side: use_of_groups(numbers) for side, numbers in sides.items()}
    return ReportedRun(str(result.path), result.config, result.classes, result.class_groups, result.hashes, result.sets,
                       result.tasks, result.encoder, meta or {}, statistics, f1, unit=units.name,
                       leaks=find_leaks(result, sources), group_use=use, not_covered=sources.not_covered(result),
                       **intervals_of(measured, units, images, target))


def _group_slopes(f1, groups, name):
    """(T, C): derivative of a group's mean F1, or of the groups' harmonic mean, by the F1 of each class.

    H = k / sum_g 1/m_g, so dH/dm_g = H^2 / (k m_g^2); 0 where a group's mean is 0.
    """
    slopes = np.zeros(f1.shape)
    if name in groups:
        slopes[:, groups[name]] = 1 / len(groups[name])
        return slopes
    scores = group_scores(f1, groups)
    for classes, mean in ((groups[group], scores[group]) for group in groups):
        part = np.divide(scores["harmonic_mean"] ** 2, len(groups) * mean ** 2, out=np.zeros(len(f1)), where=mean > 0)
        slopes[:, classes] += part[:, None] / len(classes)
    return slopes
