"""Everything that a run reads, found, checked and hashed before the first task is scored."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.device import choose_device
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import are_unit, normalization
from fewshot_wsi.foundation.files import json_sha256, write_npy
from fewshot_wsi.foundation.provenance import RAW, UNIT, features_sha256
from fewshot_wsi.meta_test import legacy
from fewshot_wsi.meta_test.design import make_design
from fewshot_wsi.meta_test.evaluate import EvaluationJob
from fewshot_wsi.meta_test.input_checks import checked_dictionary, checked_tasks, checked_views, scaling_of
from fewshot_wsi.meta_test.remedies import extract_command
from fewshot_wsi.meta_test.result_header import hashes_of, result_header
from fewshot_wsi.meta_test.settings import RunSettings
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.meta_test.stored import load_stored
from fewshot_wsi.meta_test.tree_store import has_features, read_tree_store
from fewshot_wsi.meta_test.views import views_of
from lowshot.evaluation import chunk_bounds
from lowshot.resampling import Design
from lowshot.tasks import TaskSet, save_tasks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run that is ready to start."""
    settings: RunSettings
    tasks: TaskSet
    job: EvaluationJob
    head: dict      # the part of the result that is known beforehand
    bounds: list    # of the chunks
    design: Design | None = None  # what the bootstrap of the open interval samples from; None without it

    @property
    def key(self):
        """Hash of all that decides the predictions."""
        return json_sha256([self.head["evaluation"], self.settings.config, self.head["hashes"]])

    @property
    def folder(self):
        """Hidden folder of the finished chunks."""
        path = self.settings.result_file
        return path.parent / f".{path.stem}.{self.key[:16]}"


class Inputs:
    """Prepares runs; what several of them share is read, checked and hashed once."""

    def __init__(self):
        self._cache = {}

    def prepare(self, settings):
        """PreparedRun of the RunSettings.

        UserError: something it reads is missing (naming the command that makes it), damaged, or does not belong to the
        rest.
        """
        s, family = settings, settings.family
        if self._only_in_tree(s):
            return self._of_tree(s)
        names = (family.support, family.query)
        (support_labels, xs_hash, dim, form), (query_labels, xq_hash, query_dim, query_form) = (
            self._set(s, name) for name in names)
        if dim != query_dim:
            raise UserError(f"{s.model}: the features of {names[0]} are {dim} wide, those of {names[1]} {query_dim}; "
                            "extract both with the same weights")
        if form != query_form:
            raise UserError(f"{s.model}: {scaling_of(*zip(names, (form, query_form), strict=True))}; scale both alike "
                            "(import_features.py --normalize)")
        tasks = self._tasks(s, support_labels, query_labels)
        dictionary, base = self._dictionary(s, dim, form) if s.uses_dictionary else (None, None)
        hashes = hashes_of(tasks, xs_hash, xq_hash, support_labels, query_labels, dictionary)
        if s.aug_times > 1:
            hashes["views"] = checked_views(s, np.unique(tasks.support), dim, form, self._once)
        views = max(1, s.aug_times)
        bounds = chunk_bounds(tasks.num_tasks, tasks.support.shape[1] * views, dim)
        run = PreparedRun(s, tasks, self._job(s, tasks, hashes), self._header(s, tasks, hashes, base, form), bounds)
        return run if s.open == "formula" else self._with_design(run, dim, form)

    def _only_in_tree(self, s):
        """Whether the authors' task tree is all there is: it holds the features, and the store of them is not there."""
        stem, protocol = self._stem(s.plan), s.protocol
        store = [path for name in (s.family.support, s.family.query)
                 for path in (protocol.features_file(s.model, name), protocol.labels_file(name))]
        return (stem is not None and not s.plan.path.exists() and s.aug_times <= 1
                and not all(path.is_file() for path in store) and has_features(s.plan, stem, s.model))

    def _of_tree(self, s):
        """PreparedRun of a tree alone; its features are put beside the results."""
        tree = self._once(("store", s.plan.path, s.model, s.num_task), lambda: read_tree_store(
            s.plan, self._stem(s.plan), s.model))
        dim, form = self._shape_of_tree(s, tree)
        dictionary, base = self._dictionary(s, dim, form) if s.uses_dictionary else (None, None)
        hashes = hashes_of(tree.tasks, tree.support.sha256, tree.query.sha256, tree.support.labels, tree.query.labels,
                         dictionary)
        files = {}
        for side, found in (("support", tree.support), ("query", tree.query)):
            path = s.result_file.parent / f".features.{found.sha256[:16]}.npy"
            if not path.exists():
                write_npy(path, found.features)
            files[f"{side}_features"] = (_absolute(path), found.sha256)
        head = self._header(s, tree.tasks, hashes, base, form)
        if not tree.listed:  # then rows are numbers of this tree, not those of the lists
            head["sets"] |= {f"{side}_{key}": None for side in ("support", "query") for key in ("list", "groups")}
        self._warn_once(f"{s.plan.path.parent}: features and labels are those inside the task tree; nothing else says "
                        "what they were made of")
        if s.open != "formula":
            self._warn_once(f"{s.plan.setting}: no bootstrap, it samples tiles that a task tree does not hold")
        bounds = chunk_bounds(tree.tasks.num_tasks, tree.tasks.support.shape[1], dim)
        return PreparedRun(s, tree.tasks, replace(self._job(s, tree.tasks, hashes), **files), head, bounds)

    def _shape_of_tree(self, s, tree):
        """(width of the features, whether 'unit' or 'raw') of a TreeStore."""
        forms = [UNIT if are_unit(side.features) else RAW for side in (tree.support, tree.query)]
        if forms[0] != forms[1]:
            raise UserError(f"{s.plan.path.parent}: {scaling_of(*zip(('supports', 'queries'), forms, strict=True))}; "
                            "use tasks whose features are scaled alike")
        return tree.support.features.shape[1], forms[0]

    def _stem(self, plan):
        return self._once(("tree", plan.path), lambda: legacy.tree_stem(plan))

    def _with_design(self, run, dim, form):
        """The run with what its bootstrap samples from; without it, and a notice, where there are too few units."""
        s, sets = run.settings, run.head["sets"]

        def make():
            sources = self._once(("sources", s.protocol.path), lambda: Sources(s.protocol))
            design = make_design(s.plan, run.tasks, sets, s.class_groups, sources)
            why = [f"{s.plan.setting}: no bootstrap, {design.unknown}"] if design.unknown else []
            for notice in [*sources.notices, *why]:
                self._warn_once(notice)
            return None if design.unknown else design

        design = self._once(("design", run.tasks.identity, json_sha256([sets, s.class_groups])), make)
        if design is None:
            return run
        if s.aug_times > 1:  # a resample uses any tile of the set
            checked_views(s, np.arange(len(design.support.labels)), dim, form, self._once)
        path = run.folder / f"design.{design.identity[:16]}.npz"
        return replace(run, design=design, job=replace(run.job, design=(_absolute(path), design.identity)))

    def _once(self, key, make):
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def _warn_once(self, message):
        self._once(("notice", message), lambda: logger.warning(message))

    def _set(self, s, name):
        """(labels (N,), hash of the features, their width, whether 'unit' or 'raw') of a set."""
        def make():
            features, labels = load_stored(s.protocol, s.model, name)
            path = s.protocol.features_file(s.model, name)
            form = normalization(path, extract_command(s.protocol, s.model, name))
            return labels, features_sha256(path), features.shape[1], form
        return self._once(("set", s.protocol.workdir, s.model, name), make)

    def _tasks(self, s, support_labels, query_labels):
        plan = s.plan
        stem = self._stem(plan)
        if plan.path.exists() or stem is None:
            if stem is not None:
                self._warn_once(f"{plan.path} and a task tree {plan.path.parent}/task_<i>/{stem}… are both there; the "
                                "file is used")
            tasks = self._once(("tasks", plan.path), lambda: checked_tasks(s, support_labels, query_labels))
        else:
            tasks = self._once(("tasks", plan.path, s.model, s.num_task), lambda: legacy.read_tree(
                plan, stem, s.model, support_labels, query_labels))
        if tasks.num_tasks < s.num_task and s.sampling != "disjoint":  # which has as many as the images allow
            raise UserError(f"{plan.path}: holds {tasks.num_tasks} tasks, {s.num_task} are asked for; ask for fewer, "
                            f"or sample more with {plan.command}")
        return self._once(("first", tasks.identity, s.num_task), lambda: tasks.first(s.num_task))

    def _dictionary(self, s, dim, form):
        return self._once(("dictionary", s.dictionary_folder, s.num_prototypes, s.novel),
                          lambda: checked_dictionary(s, dim, form))

    def _header(self, *what):
        header, notices = result_header(*what)
        for notice in notices:
            self._warn_once(notice)
        return header

    def _job(self, s, tasks, hashes):
        spec, protocol = s.protocol.dictionary, s.protocol
        folder, prefix = views_of(protocol, s.model, s.family.support)
        return EvaluationJob(
            tasks=(str(self._task_file(s, tasks).absolute()), tasks.identity),
            support_features=(_absolute(protocol.features_file(s.model, s.family.support)), hashes["support_features"]),
            query_features=(_absolute(protocol.features_file(s.model, s.family.query)), hashes["query_features"]),
            mode=s.mode, classifier=s.classifier, solver=s.solver, device=self._device(s), setting=s.plan.setting,
            seed=s.seed, aug_times=s.aug_times, views=(_absolute(folder), prefix) if s.aug_times > 1 else (),
            dictionary=(_absolute(s.dictionary_folder), spec.prefix, s.num_prototypes, hashes["dictionary"])
            if s.uses_dictionary else (), num_aug_shots=s.num_aug_shots, latent=s.latent)

    def _device(self, s):
        """Chosen here, once: asking for a GPU takes seconds, and only latent augmentation uses one."""
        uses = s.augmented and s.solver == "batched"
        return self._once(("device", s.device), lambda: choose_device(s.device)) if uses else "cpu"

    def _task_file(self, s, tasks):
        """File of the tasks; those of an authors' tree are put into one, beside the results."""
        if s.plan.path.exists():
            return s.plan.path
        path = s.result_file.parent / f".tasks.{tasks.identity[:16]}.npz"
        if not path.exists():
            save_tasks(path, tasks)
        return path

def _absolute(path):
    return str(Path(path).absolute())
