"""What of a protocol is to be done, and with what means."""

import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import cycle
from pathlib import Path

from lowshot.errors import UserError
from lowshot.features import provenance_file
from lowshot.lists import read_list
from lowshot.pipeline.records import ImageHashes, Records
from lowshot.protocol import Protocol
from lowshot.settings import runs_of, task_files_of

ABLATION = ("no", "short", "full")  # short: without augmented views


@dataclass(frozen=True)
class Plan:
    protocol: Protocol
    only: tuple = ()          # tasks; () for all that the data allow
    shard: tuple | None = None   # (i, n), 1-based: this process's share of models and runs
    workers: int = 1          # processes of meta-testing and drawing
    processes: int = 1        # processes of pre-training: GPUs, or 1
    backend: str = "loky"
    scheduler: str | None = None
    changes: dict = field(default_factory=dict)  # Settings for all runs, as latent='expected'
    ablation: str = "no"      # of ABLATION: which of the protocol's variations
    fresh: bool = False       # do again what is finished
    dry_run: bool = False     # only say what would be done
    blocks: bool = False      # print every run as published
    quiet: bool = False

    @cached_property
    def records(self):
        return Records(Path(self.protocol.workdir, "records"))

    @cached_property
    def hashes(self):
        return ImageHashes(self.records.folder / "images")

    @cached_property
    def tasks(self):
        """Names of the tasks. Asked for by name, a task that the data do not allow is an error, else it is left out.
        First looked at when the lists are there."""
        if self.only:
            return tuple(dict.fromkeys(self.only))
        impossible = {task: reason for task in self.protocol.tasks if (reason := self.impossible(task))}
        for task, reason in impossible.items():
            print(f"notice: {task} is left out: {reason}", file=sys.stderr)
        return tuple(task for task in self.protocol.tasks if task not in impossible)

    def impossible(self, task):
        """Why all shots of a task cannot come from one slide, or ''."""
        family = self.protocol.family(task)
        image_set = self.protocol.set(family.support)
        if not family.same_slide or not Path(image_set.list).is_file():
            return ""
        images = read_list(image_set.list, labeled=True)
        held = {}
        for name, label in zip(images.names, images.labels, strict=True):
            held.setdefault(name.split("/")[image_set.slide], set()).add(int(label))
        everything = set(range(len(self.protocol.classes_of(family.support))))
        if any(labels == everything for labels in held.values()):
            return ""
        return f"none of the {len(held)} slides on {image_set.list} holds every class"

    @cached_property
    def all_runs(self):
        """Settings of every run of meta-testing, variations last."""
        runs = runs_of(self.protocol, self.tasks, **self.changes)
        return runs + [run for task in self.tasks for run in self._variations(task)]

    def _variations(self, task):
        """Runs of a task's variations: those of its methods with another setting."""
        family = self.protocol.family(task)
        if self.ablation == "no":
            return []
        methods = tuple(variation[:3] for variation in family.variations)
        only = replace(self.protocol, tasks={task: replace(family, methods=methods)})
        varied = zip(runs_of(only, **self.changes), cycle(variation[3] for variation in family.variations))
        runs = [replace(run, protocol=self.protocol, **settings) for run, settings in varied]
        return [run for run in runs if self.ablation == "full" or run.aug_times <= 1]

    @property
    def runs(self):
        """The runs of this shard."""
        return self.all_runs if self.shard is None else self.all_runs[self.shard[0] - 1::self.shard[1]]

    @property
    def task_files(self):
        sampling = {key: self.changes[key] for key in ("sampling",) if key in self.changes}
        return task_files_of(self.protocol, self.tasks, **sampling)

    @cached_property
    def features(self):
        """Which features all runs read: dict from model to names of sets."""
        needed = {}
        for run in self.all_runs:
            sets = needed.setdefault(run.model, {})
            base = [self.protocol.dictionary.set] if run.mode == "latent_aug" else []
            sets.update(dict.fromkeys([*base, run.family.support, run.family.query]))
        return {model: tuple(sets) for model, sets in needed.items()}

    @property
    def dictionaries(self):
        """(model, novel tag or None, number of prototypes) of every dictionary that the runs read."""
        return list(dict.fromkeys((r.model, r.tag, r.num_prototypes) for r in self.all_runs if r.mode == "latent_aug"))

    @property
    def views(self):
        """Augmented views that runs read: dict from (model, support set) to (how many, task files)."""
        needed = {}
        for run in self.all_runs:
            if run.aug_times > 1:
                most, files = needed.get((run.model, run.family.support), (0, {}))
                needed[run.model, run.family.support] = max(most, run.aug_times - 1), {**files, run.plan.path: None}
        return {key: (most, tuple(files)) for key, (most, files) in needed.items()}

    @property
    def models(self):
        """Models to make weights and features for, this shard's share only."""
        models = list(self.features)
        return models if self.shard is None else models[self.shard[0] - 1::self.shard[1]]

    def feature_files(self, model):
        return [self.protocol.features_file(model, name) for name in self.features[model]]

    def label_files(self, model):
        return [self.protocol.labels_file(name) for name in self.features[model]]

    def features_are_there(self, model):
        return all(path.is_file() for path in (*self.feature_files(model), *self.label_files(model)))

    def brought_along(self, model):
        """Whether the model's features are there and are used as they are: nothing says what made them, or the weights
        that would make them again are not there."""
        fixed = self.protocol.models[model].encoder is not None
        known = any(provenance_file(path).is_file() for path in self.feature_files(model))
        return self.features_are_there(model) and not (
            known and (fixed or self.protocol.weights_file(model).is_file()))

    @property
    def image_sets(self):
        """Sets whose images are needed, because features must be made of them."""
        makers = [model for model in self.models if not self.brought_along(model)]
        return list(dict.fromkeys(name for model in makers for name in self.features[model]))


def check_asked(plan):
    """UserError for tasks asked for by name that the data do not allow. Called when the lists are there."""
    for task in plan.only:
        reason = plan.impossible(task)
        if reason:
            raise UserError(f"{task}: {reason}, so all shots of a task cannot come from one; leave {task} out or give "
                            "slides that hold every class")
