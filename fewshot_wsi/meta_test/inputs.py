"""Everything that a run reads, found, checked and hashed before the first task is scored."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import (
    RAW,
    UNIT,
    are_unit,
    features_sha256,
    labels_sha256,
    load_views,
    normalization,
    read_provenance,
)
from fewshot_wsi.foundation.files import arrays_sha256, file_sha256, json_sha256, write_npy
from fewshot_wsi.meta_test import legacy
from fewshot_wsi.meta_test.design import make_design
from fewshot_wsi.meta_test.evaluate import EvaluationJob
from fewshot_wsi.meta_test.origins import novel_warning, origin_warnings, saw_novel
from fewshot_wsi.meta_test.remedies import extract_command, views_command
from fewshot_wsi.meta_test.settings import RunSettings
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.meta_test.stored import load_stored
from fewshot_wsi.meta_test.tree_store import has_features, read_tree_store
from fewshot_wsi.meta_test.views import views_of
from lowshot.dictionary import load_dictionary
from lowshot.evaluation import chunk_bounds
from lowshot.resampling import Design
from lowshot.solvers.device import choose_device
from lowshot.tasks import TaskSet, check_rows, grouped_meta, load_tasks, save_tasks

logger = logging.getLogger(__name__)

EVALUATION = 3  # raise it when the same inputs are to give other predictions


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run that is ready to start."""
    settings: RunSettings
    tasks: TaskSet
    job: EvaluationJob
    head: dict      # the part of the result that is known beforehand
    bounds: list    # of the chunks
    design: Design | None = None  # what the bootstrap of the open interval draws from; None without it

    @property
    def key(self):
        """Hash of all that decides the predictions."""
        return json_sha256([EVALUATION, self.settings.config, self.head["hashes"]])

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
            raise UserError(f"{s.model}: {_forms(*zip(names, (form, query_form), strict=True))}; scale both alike "
                            "(import_features.py --normalize)")
        tasks = self._tasks(s, support_labels, query_labels)
        dictionary, base = self._dictionary(s, dim, form) if s.uses_dictionary else (None, None)
        hashes = _hashes(tasks, xs_hash, xq_hash, support_labels, query_labels, dictionary)
        if s.aug_times > 1:
            hashes["views"] = self._views(s, np.unique(tasks.support), dim, form)
        views = max(1, s.aug_times)
        bounds = chunk_bounds(tasks.num_tasks, tasks.support.shape[1] * views, dim)
        run = PreparedRun(s, tasks, self._job(s, tasks, hashes), self._head(s, tasks, hashes, base, form), bounds)
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
        hashes = _hashes(tree.tasks, tree.support.sha256, tree.query.sha256, tree.support.labels, tree.query.labels,
                         dictionary)
        files = {}
        for side, found in (("support", tree.support), ("query", tree.query)):
            path = s.result_file.parent / f".features.{found.sha256[:16]}.npy"
            if not path.exists():
                write_npy(path, found.features)
            files[f"{side}_features"] = (_absolute(path), found.sha256)
        head = self._head(s, tree.tasks, hashes, base, form)
        if not tree.listed:  # then rows are numbers of this tree, not those of the lists
            head["sets"] |= {f"{side}_{key}": None for side in ("support", "query") for key in ("list", "groups")}
        self._warn_once(f"{s.plan.path.parent}: features and labels are those inside the task tree; nothing else says "
                        "what they were made of")
        if s.open != "formula":
            self._warn_once(f"{s.plan.setting}: no bootstrap, it draws tiles that a task tree does not hold")
        bounds = chunk_bounds(tree.tasks.num_tasks, tree.tasks.support.shape[1], dim)
        return PreparedRun(s, tree.tasks, replace(self._job(s, tree.tasks, hashes), **files), head, bounds)

    def _shape_of_tree(self, s, tree):
        """(width of the features, whether 'unit' or 'raw') of a TreeStore."""
        forms = [UNIT if are_unit(side.features) else RAW for side in (tree.support, tree.query)]
        if forms[0] != forms[1]:
            raise UserError(f"{s.plan.path.parent}: {_forms(*zip(('supports', 'queries'), forms, strict=True))}; "
                            "bring tasks whose features are scaled alike")
        return tree.support.features.shape[1], forms[0]

    def _stem(self, plan):
        return self._once(("tree", plan.path), lambda: legacy.tree_stem(plan))

    def _with_design(self, run, dim, form):
        """The run with what its bootstrap draws from; without it, and a notice, where there are too few units."""
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
        if s.aug_times > 1:  # a resample draws any tile of the set
            self._views(s, np.arange(len(design.support.labels)), dim, form)
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
            tasks = self._once(("tasks", plan.path), lambda: self._checked(s, support_labels, query_labels))
        else:
            tasks = self._once(("tasks", plan.path, s.model, s.num_task), lambda: legacy.read_tree(
                plan, stem, s.model, support_labels, query_labels))
        if tasks.num_tasks < s.num_task and s.sampling != "disjoint":  # which has as many as the images allow
            raise UserError(f"{plan.path}: holds {tasks.num_tasks} tasks, {s.num_task} are asked for; ask for fewer, "
                            f"or draw more with {plan.command}")
        return self._once(("first", tasks.identity, s.num_task), lambda: tasks.first(s.num_task))

    def _checked(self, s, support_labels, query_labels):
        plan, classes = s.plan, s.classes
        tasks = load_tasks(plan.path, plan.command)
        wanted = {"support_labels_sha256": labels_sha256(support_labels),
                  "query_labels_sha256": labels_sha256(query_labels), "task": s.task, "sampling": s.sampling,
                  "support_set": s.family.support, "query_set": s.family.query}
        version = grouped_meta(s.sampling, plan.group_weight)
        if tasks.meta.get("sampling") == s.sampling and version and not version.items() <= tasks.meta.items():
            raise UserError(f"{plan.path}: sampled by an earlier version of the rule 'grouped', which hardly asked "
                            f"about large groups, or with another group_weight; draw it again with {plan.command}")
        wrong = [key for key, value in wanted.items() if tasks.meta.get(key) != value]
        if wrong:
            raise UserError(f"{plan.path}: sampled for other data or another task ({', '.join(wrong)} differ); "
                            f"draw it again with {plan.command}")
        if tasks.ways != len(classes) or tasks.shots != s.num_shots:
            raise UserError(f"{plan.path}: {tasks.ways} ways and {tasks.shots} shots, expected {len(classes)} and "
                            f"{s.num_shots}; draw it again with {plan.command}")
        check_rows(tasks.support, support_labels, tasks.support_labels, f"{plan.path}, support")
        check_rows(tasks.query, query_labels, tasks.query_labels, f"{plan.path}, query")
        return tasks

    def _dictionary(self, s, dim, form):
        """(identity of the dictionary, file of its base features where they are from no set of the protocol)."""
        folder, spec = s.dictionary_folder, s.protocol.dictionary

        def make():
            if not folder.is_dir():
                raise UserError(f"{folder}: no dictionary of {s.model}; make it with {s.dictionary_command}")
            found = load_dictionary(folder, spec.prefix, s.num_prototypes, dim, s.dictionary_command)
            made_from = found.how.get("features_sha256")
            if found.how.get("normalize", form) != form:
                shown = _forms(("its base features", found.how["normalize"]), (f"those of {s.model}", form))
                raise UserError(f"{folder}: {shown}; build it from features that are scaled as those of the tasks")
            base = s.protocol.features_file(s.model, spec.set)
            if found.how.get("base_file"):
                self._check_base(s, found)
            elif made_from and base.exists() and made_from != features_sha256(base):
                raise UserError(f"{folder}: the dictionary was built from other features than {base}; build it again "
                                f"with {s.dictionary_command} --overwrite")
            shown = sorted(set(s.novel) - set(found.how.get("novel", s.novel)))
            if shown and not found.how.get("base_file"):
                logger.warning(f"{folder}: the dictionary was built with the novel classes {shown} in it; "
                               f"{s.dictionary_command} --overwrite leaves them out")
            return found.identity, found.how["features"] if found.how.get("base_file") else None
        return self._once(("dictionary", folder, s.num_prototypes, s.novel), make)

    def _check_base(self, s, dictionary):
        """UserError where base features from a file and the tasks' features are of two encoders."""
        made = read_provenance(s.protocol.features_file(s.model, s.family.support)) or {}
        other = [key for key, value in dictionary.how["encoder"].items()
                 if value and made.get(key) and value != made[key]]
        if other:
            raise UserError(f"{s.dictionary_folder}: its base features, {dictionary.how['features']}, are of another "
                            f"encoder than those of {s.model} ({', '.join(other)} differ); extract them with the same "
                            "encoder and weights, then build the dictionary again")

    def _views(self, s, rows, dim, form):
        """Hash of the augmented views of the tiles `rows`; UserError where one is missing or of another encoder."""
        name, needed = s.family.support, s.aug_times - 1
        folder, prefix = views_of(s.protocol, s.model, name)
        command = views_command(s.protocol, s.model, name, needed, s.plan.path)
        missing = [view for view in range(needed) if not (folder / f"{prefix}_{view}.npy").is_file()]
        if missing:
            raise UserError(f"{folder}: {s.aug_times} views a tile are the original and {needed} augmented ones, but "
                            f"{needed - len(missing)} of these are there, {prefix}_{missing[0]}.npy is missing; "
                            f"extract them with {command}")
        identity = arrays_sha256(rows=rows)
        for view in range(needed):  # all views hold the same rows: the first is asked for all, the others for one
            asked = rows if view == 0 else rows[:1]
            width = self._once(("view", folder, view, identity), lambda view=view, asked=asked: load_views(
                folder, prefix, view, asked, command).shape[1])
            weights = [(read_provenance(path) or {}).get("weights_sha256") for path in (
                folder / f"{prefix}_{view}.npy", s.protocol.features_file(s.model, name))]
            if width != dim or (all(weights) and weights[0] != weights[1]):
                raise UserError(f"{folder}/{prefix}_{view}.npy: made with other weights than the features of {name}; "
                                f"extract the views again with {command} --overwrite")
        if normalization(folder / f"{prefix}_0.npy", command) != form:
            shown = _forms(("the views", UNIT if form == RAW else RAW), (f"the features of {name}", form))
            raise UserError(f"{folder}: {shown}; extract both alike")
        listed = folder / f"{prefix}_rows.npy"
        held = file_sha256(listed) if listed.exists() else None
        return json_sha256([held, *(features_sha256(folder / f"{prefix}_{view}.npy") for view in range(needed))])

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

    def _head(self, s, tasks, hashes, base, form):
        protocol, family = s.protocol, s.family
        named = tasks.meta.get("groups", (None, None))  # a table given to generate_task.py comes first
        sets = {"normalize": form}
        for side, name, groups in zip(("support", "query"), (family.support, family.query), named, strict=True):
            listed = protocol.set(name)
            sets |= {side: name, f"{side}_list": listed.list, f"{side}_groups": groups or listed.groups,
                     f"{side}_slide": listed.slide}
            sets |= {f"{side}_{key}": value for key in ("source", "mpp", "copies")
                     if (value := getattr(listed, key)) is not None}
        if base is not None:
            sets["base"] = base
        if saw_novel(s.model, s.tag, protocol.models.get(s.model)):
            sets["novel_seen"] = True
            self._warn_once(novel_warning(s.model, s.task, ", ".join(s.classes[label] for label in s.novel)))
        encoder = read_provenance(protocol.features_file(s.model, family.support))
        if form == RAW:
            self._warn_once(f"{s.model}: its features are raw, not of unit length as published; results say so")
        for line in origin_warnings(s.model, encoder, sets):
            self._warn_once(line)
        return {"evaluation": EVALUATION, "config": s.config, "classes": list(s.classes),
                "class_groups": s.class_groups, "hashes": hashes, "sets": sets,
                "encoder": encoder,
                "tasks": {"num_tasks": tasks.num_tasks, "ways": tasks.ways, "shots": tasks.shots,
                          "queries": tasks.queries, "file": Path(tasks.path).as_posix(), **_use_of(tasks)}}


def _hashes(tasks, support_features, query_features, support_labels, query_labels, dictionary):
    """What a result says of what it was computed from."""
    return {"tasks": tasks.identity, "support_features": support_features, "query_features": query_features,
            "support_labels": labels_sha256(support_labels), "query_labels": labels_sha256(query_labels),
            "dictionary": dictionary}


def _forms(*named):
    """How features are scaled, in words, of (name, 'unit' or 'raw') pairs."""
    return ", ".join(f"{name} {'have unit length' if form == UNIT else 'are raw'}" for name, form in named)


def _absolute(path):
    return str(Path(path).absolute())


def _use_of(tasks):
    """What the meta of grouped tasks says of how often each group is used; {} of other tasks and of a part of them."""
    whole = tasks.num_tasks == tasks.meta.get("num_tasks")
    return {"group_use": tasks.meta["group_use"]} if whole and "group_use" in tasks.meta else {}
