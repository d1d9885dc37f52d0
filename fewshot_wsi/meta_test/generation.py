"""From lists and labels to a task file."""

import logging
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.foundation.lists import groups_of, read_groups, read_list, slides_of
from fewshot_wsi.foundation.provenance import labels_sha256
from fewshot_wsi.foundation.tables import plain_path
from fewshot_wsi.meta_test.stored import set_labels
from lowshot.grouped import use_of_groups
from lowshot.sampling import Pool, draw_tasks
from lowshot.tasks import grouped_meta, load_tasks, make_task_set, save_tasks, warn_of_shortfall

logger = logging.getLogger(__name__)


def make_tasks(plan, replace=False):
    """Draw the tasks of a TaskPlan and write its file, unless the same tasks are there already.

    Returns (TaskSet, 'kept' | 'written'). A file with more tasks, the first of which are these, is kept. UserError
    where other tasks are there and `replace` is False, and for all faults of the data.
    """
    support, query = pools_of(plan)
    sampled = draw(plan, support, query)
    _say_what_is_missing(plan, sampled)
    meta = _meta(plan, support, query, sampled)
    tasks = make_task_set(sampled.support, sampled.query, len(plan.classes), meta, plan.path)
    if plan.path.exists() and not replace:
        there = load_tasks(plan.path, plan.command)
        if there.first(tasks.num_tasks).identity == tasks.identity:
            return there, "kept"
        raise UserError(f"{plan.path}: holds other tasks ({_difference(there, tasks)}); "
                        "--overwrite replaces them, and results on them can no longer be repeated")
    save_tasks(plan.path, tasks)
    return tasks, "written"


def draw(plan, support, query):
    """Drawn tasks of a TaskPlan from its two pools."""
    family = plan.family
    return draw_tasks(support, query, plan.classes, shots=plan.num_shots, queries=family.queries,
                      num_tasks=plan.num_tasks, rule=plan.sampling, seed=plan.seed, setting=plan.setting,
                      repeat_support=family.repeat_support, same_slide=family.same_slide,
                      group_weight=plan.group_weight)


def pools_of(plan, labels_of=None):
    """(support, query) Pool of a TaskPlan, the same object where both are one set.

    Labels are those of the feature store, or of the list where no features were extracted yet (`set_labels`, or
    another function of protocol and name of a set). Lists are read only where their paths matter: slides, groups, and
    whether two sets share an image.
    """
    family, protocol = plan.family, plan.protocol
    names = dict.fromkeys((family.support, family.query))
    labels = {name: (labels_of or set_labels)(protocol, name) for name in names}
    paths = _paths(plan, labels)
    images = _image_numbers(protocol, labels, paths)
    groups, group_names = _group_numbers(plan, paths)
    made = {name: Pool(name, labels[name], images[name], groups.get(name), _slides(plan, name, paths), group_names)
            for name in names}
    return made[family.support], made[family.query]


def _paths(plan, labels):
    """Image paths of each set whose list is needed or at hand: name -> tuple of str."""
    needs_groups = plan.sampling == "grouped"
    needed = {plan.family.support} if plan.family.same_slide else set()
    wanted = set(labels) if needs_groups or (plan.sampling != "published" and len(labels) > 1) else needed
    paths = {}
    for name in sorted(wanted):
        source = plan.protocol.set(name).list
        if not (needs_groups or name in needed or Path(source).exists()):
            logger.warning(f"{source} is not there, so images that {' and '.join(labels)} share cannot be recognised")
            return paths
        listed = read_list(source, labeled=True)
        if not np.array_equal(listed.labels, labels[name]):
            raise UserError(f"{source}: its {len(listed)} labels are not those of {plan.protocol.labels_file(name)} "
                            f"({len(labels[name])}); extract the features again from this list")
        paths[name] = listed.names
    return paths


def _image_numbers(protocol, labels, paths):
    """Equal numbers for equal images: by data root and path where all lists are known, else every row is an image."""
    numbers, start = {}, 0
    if set(paths) == set(labels):
        known = {}
        for name, listed in paths.items():
            root = protocol.set(name).root
            numbers[name] = np.array([known.setdefault((root, path), len(known)) for path in listed], dtype=np.int64)
        return numbers
    for name, values in labels.items():
        numbers[name] = np.arange(start, start + len(values))
        start += len(values)
    return numbers


def _group_numbers(plan, paths):
    """(group numbers of each set, comparable between sets; names of the numbers); slides serve where the protocol names
    no groups."""
    if plan.sampling != "grouped":
        return {}, ()
    group_names = {}
    for name, listed in paths.items():
        image_set = plan.protocol.set(name)
        table = plan.groups or image_set.groups
        if table:
            rows = read_groups(table)
            groups_of(listed, rows, table)  # names the first image without a group
            group_names[name] = [rows[plain_path(path)] for path in listed]
        elif image_set.slide is not None:
            group_names[name] = _slides(plan, name, paths, always=True).tolist()
    numbers = {}
    coded = {name: np.array([numbers.setdefault(group, len(numbers)) for group in listed], dtype=np.int64)
             for name, listed in group_names.items()}
    return coded, tuple(numbers)


def _slides(plan, name, paths, always=False):
    """(N,) slide of each tile, from the component of its path that the protocol names; None where nobody asks."""
    image_set = plan.protocol.set(name)
    if not (always or (plan.family.same_slide and name == plan.family.support)):
        return None
    return slides_of(paths[name], image_set.slide, image_set.list)


def _meta(plan, support, query, sampled):
    family = plan.family
    groups = {}
    if plan.sampling == "grouped":
        tables = [plan.groups or plan.protocol.set(name).groups for name in (family.support, family.query)]
        groups = {**grouped_meta(plan.sampling, plan.group_weight), "groups": tables,
                  "group_use": _use(support, query, sampled),
                  "groups_sha256": [file_sha256(table) if table else None for table in tables]}
    return {"task": plan.task, "ways": len(plan.classes), "shots": plan.num_shots, "queries": family.queries,
            "num_tasks": len(sampled.support), "seed": plan.seed, "sampling": plan.sampling,
            "support_set": family.support, "query_set": family.query,
            "support_labels_sha256": labels_sha256(support.labels), "query_labels_sha256": labels_sha256(query.labels),
            "classes": list(plan.classes), "novel_class": plan.tag, "left_out": sampled.left_out, **groups}


def _use(support, query, sampled):
    """How often each group is support and query of these tasks, and how evenly: a dict for the JSON."""
    used = support.groups[sampled.support].ravel(), query.groups[sampled.query].ravel()
    counts = [np.bincount(rows, minlength=len(support.group_names)) for rows in used]
    return {"support": use_of_groups(used[0]), "query": use_of_groups(used[1]),
            "tiles": {name: [int(count) for count in both]
                      for name, *both in zip(support.group_names, *counts, strict=True)}}


def _say_what_is_missing(plan, sampled):
    for slide in sampled.left_out:
        logger.warning(f"slide {slide['slide']} is left out: {slide['reason']}")
    if len(sampled.support) < plan.num_tasks:
        logger.warning(f"{plan.setting}: the images allow {len(sampled.support)} disjoint tasks, "
                       f"{plan.num_tasks} were asked for")
    warn_of_shortfall(sampled, plan.classes, plan.setting)


def _difference(there, tasks):
    if there.num_tasks < tasks.num_tasks and tasks.first(there.num_tasks).identity == there.identity:
        return f"{there.num_tasks} tasks instead of {tasks.num_tasks}"
    keys = ("seed", "queries", "sampling_version", "group_weight",
            "support_labels_sha256", "query_labels_sha256", "groups_sha256")
    names = [key for key in keys if there.meta.get(key) != tasks.meta.get(key)]
    return f"they differ in {', '.join(names)}" if names else "their rows differ"
