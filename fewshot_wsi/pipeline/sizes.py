"""Whether there are images enough for the tasks and dictionaries of a plan: said before an encoder is trained."""

from dataclasses import replace

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.meta_test.generation import draw, pools_of
from fewshot_wsi.meta_test.stored import set_labels


def check_sizes(plan):
    """UserError unless a task of the most shots exists for each task of the plan, and the base images are as many
    as the prototypes. Labels are those of the lists that features will be made of."""
    images = plan.image_sets

    def labels_of(protocol, name):
        if name in images:
            return read_list(protocol.set(name).list, labeled=True).labels
        return set_labels(protocol, name)

    largest = {one.task: one for one in sorted(plan.task_files, key=lambda one: one.num_shots)}
    for one in largest.values():
        draw(replace(one, num_tasks=1), *pools_of(one, labels_of))
    _check_base(plan, labels_of)


def _check_base(plan, labels_of):
    augmented = [run for run in plan.all_runs if run.uses_dictionary]
    name = plan.protocol.dictionary.set
    labels = labels_of(plan.protocol, name) if augmented else ()
    for novel, count in dict.fromkeys((run.novel, run.num_prototypes) for run in augmented):
        base = int((~np.isin(labels, novel)).sum())
        if base < count:
            left_out = f" without the novel classes {', '.join(map(str, novel))}" if novel else ""
            raise UserError(f"{plan.protocol.path}: dictionary: {count} prototypes are asked for, but {name} has "
                            f"{base} images{left_out}; lower num_prototypes or add more images")
