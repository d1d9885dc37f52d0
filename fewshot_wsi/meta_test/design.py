"""The design of a bootstrap: from a protocol's sets and a task file to what `lowshot.resampling` draws from."""

from dataclasses import dataclass, replace

import numpy as np

from fewshot_wsi.meta_test.generation import pools_of
from lowshot.resampling import Design, Rules


def make_design(plan, tasks, sets, class_groups, sources):
    """Design of the tasks of a TaskPlan.

    tasks: the TaskSet as sampled, whose seed and group tables count. sets: `results.Result.sets`. class_groups: name ->
    class numbers. sources: `sources.Sources`, which knows the units.
    """
    tables = tasks.meta.get("groups", (None, None))
    support, query = pools_of(replace(plan, groups=tables[0] if tables[0] == tables[1] else None))
    named = _Named(sets, {"task": plan.task, "sampling": plan.sampling}, plan.classes, tasks.support, tasks.query,
                   tasks.query_labels)
    unit = sources.unit(named)
    units = [support.images, query.images] if unit == "image" else sources.numbers(named, unit)
    family = plan.family
    rules = Rules(list(plan.classes), tasks.shots, tasks.queries, tasks.num_tasks, plan.sampling, family.repeat_support,
                  family.same_slide, tasks.meta.get("seed", plan.seed), plan.setting, unit,
                  {name: [int(c) for c in classes] for name, classes in class_groups.items()}, plan.group_weight)
    numbered = [pool if pool.slides is None else replace(pool, slides=np.unique(pool.slides, return_inverse=True)[1])
                for pool in (support, query)]
    return Design(numbered[0], numbered[0] if query is support else numbered[1], *units, rules)


@dataclass(frozen=True)
class _Named:
    """Stands in for a Result that is not made yet: the attributes that `Sources.unit` and `Sources.numbers` read."""
    sets: dict
    config: dict
    classes: tuple
    supports: np.ndarray
    queries: np.ndarray
    query_labels: np.ndarray
