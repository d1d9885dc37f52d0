"""What of a protocol is to be done, and with what means."""

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import cycle
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_list, slides_of
from fewshot_wsi.foundation.provenance import provenance_file
from fewshot_wsi.meta_test.novel_classes import novel_tag
from fewshot_wsi.meta_test.protocol import Protocol
from fewshot_wsi.meta_test.runs import runs_of, sets_needed, task_files_of
from fewshot_wsi.pipeline.records import ImageHashes, Records

logger = logging.getLogger(__name__)

ABLATION = ("no", "short", "full")  # short: without augmented views


@dataclass(frozen=True)
class Plan:
    protocol: Protocol
    only: tuple = ()          # tasks; () for all that the data allow
    shard: tuple | None = None   # (i, n), 1-based: this process's share of models or runs
    workers: int = 1          # processes of meta-testing and drawing
    processes: int = 1        # processes of pre-training: GPUs, or 1
    backend: str = "loky"
    scheduler: str | None = None
    changes: dict = field(default_factory=dict)  # RunSettings for all runs, as latent='expected'
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
    def feasible(self):
        """The protocol with the methods that the changes allow: not every classifier has an expected form."""
        if self.changes.get("latent") != "expected":
            return self.protocol

        def expected_form(clf):
            return self.protocol.classifier(clf).expected is not None

        left_out, families = {}, {}
        for task, family in self.protocol.tasks.items():
            allowed = {}
            for name in ("methods", "variations"):
                methods = getattr(family, name)
                allowed[name] = tuple(one for one in methods if one[1] == "linear" or expected_form(one[2]))
                left_out.update(dict.fromkeys(one[1:3] for one in methods if one not in allowed[name]))
            families[task] = replace(family, **allowed)
        for mode, clf in left_out:
            logger.warning(f"{clf} with {mode} is left out: --latent expected has no closed form of it")
        return replace(self.protocol, tasks=families)

    @cached_property
    def selected(self):
        """The protocol with the tasks asked for, as far as the data allow; a notice says what they do not allow, and a
        UserError where that is a task asked for by name. First looked at when the lists are there."""
        families = {}
        for task in dict.fromkeys(self.only or self.feasible.tasks):
            family = self.feasible.family(task)
            reasons = self._impossible(family)
            shots = tuple(number for number in family.shots if number not in reasons)
            if not shots and self.only:
                raise UserError(f"{task}: {reasons[family.shots[0]]}, so all shots of a task cannot come from one; "
                                f"leave {task} out or give slides that hold enough of every class")
            for reason, left_out in _inverted(reasons).items():
                what = f"{task}, {', '.join(map(str, left_out))} shots," if shots else task
                logger.warning(f"{what} is left out: {reason}")
            if shots:
                families[task] = replace(family, shots=shots)
        return replace(self.feasible, tasks=families)

    def _impossible(self, family):
        """Why all shots of a task cannot come from one slide: dict from a number of shots to the reason."""
        source, classes = self.protocol.set(family.support), range(len(self.protocol.classes_of(family.support)))
        if not family.same_slide or not Path(source.list).is_file():
            return {}
        images = read_list(source.list, labeled=True)
        slides = slides_of(images.names, source.slide, source.list).tolist()
        rows = set(zip(images.names, slides, images.labels.tolist(), strict=True))
        held = Counter((slide, label) for _, slide, label in rows)
        fullest = max(min(held[slide, label] for label in classes) for slide in set(slides))
        if not fullest:
            return dict.fromkeys(family.shots, f"none of the {len(set(slides))} slides on {source.list} holds every "
                                               "class")
        repeats = family.repeat_support and self.changes.get("sampling", self.protocol.sampling) == "published"
        return {} if repeats else {shots: f"no slide on {source.list} holds more than {fullest} tiles of every class"
                                   for shots in family.shots if shots > fullest}

    @property
    def tasks(self):
        """Names of the tasks."""
        return tuple(self.selected.tasks)

    @cached_property
    def all_runs(self):
        """RunSettings of every run of meta-testing, variations last."""
        return runs_of(self.selected, **self.changes) + [run for _, run in self.varied]

    @cached_property
    def varied(self):
        """[(variation, RunSettings)]: runs of the methods of a task with another setting."""
        found = []
        for task, family in self.selected.tasks.items() if self.ablation != "no" else ():
            methods = tuple(variation[:3] for variation in family.variations)
            only = replace(self.selected, tasks={task: replace(family, methods=methods)})
            found += [(variation, replace(run, protocol=self.protocol, **variation[3]))
                      for run, variation in zip(runs_of(only, **self.changes), cycle(family.variations))]
        return [(variation, run) for variation, run in found if self.ablation == "full" or run.aug_times <= 1]

    @property
    def runs(self):
        """The runs of this shard."""
        return self._share(self.all_runs)

    def _share(self, values):
        return values if self.shard is None else values[self.shard[0] - 1::self.shard[1]]

    @property
    def task_files(self):
        sampling = {key: self.changes[key] for key in ("sampling",) if key in self.changes}
        return task_files_of(self.selected, **sampling)

    @cached_property
    def features(self):
        """Which features all runs read: dict from model to names of sets."""
        return sets_needed(self.all_runs)

    @property
    def models(self):
        """Models to make weights, features, views and dictionaries for, this shard's share only."""
        return self._share(list(self.features))

    @property
    def dictionaries(self):
        """(model, novel tag or None, number of prototypes) of every dictionary that the runs read.

        A task without novel classes takes the dictionary of what its model has seen.
        """
        models = self.models
        return list(dict.fromkeys((r.model, r.tag or self._own_tag(r.model), r.num_prototypes) for r in self.all_runs
                                  if r.uses_dictionary and r.model in models))

    def _own_tag(self, model):
        known = self.protocol.models
        return novel_tag(known[model].novel) if model in known and known[model].novel else None

    @property
    def views(self):
        """Augmented views that runs read: dict from (model, support set) to (how many, TaskPlans)."""
        needed, models = {}, self.models
        for run in self.all_runs:
            if run.aug_times > 1 and run.model in models:
                most, files = needed.get((run.model, run.family.support), (0, {}))
                needed[run.model, run.family.support] = max(most, run.aug_times - 1), {**files, run.plan.path: run.plan}
        return {key: (most, tuple(files.values())) for key, (most, files) in needed.items()}

    def is_user_provided(self, model, name):
        """Whether the model's features of a set are used as they are: the protocol names them, or they are there and
        nothing says what made them, or the weights that would make them again are not there."""
        protocol = self.protocol
        if name in protocol.models[model].features:
            return True
        features = protocol.features_file(model, name)
        makeable = not protocol.models[model].needs_weights or protocol.weights_file(model).exists()
        known = provenance_file(features).is_file() and makeable
        return features.is_file() and not known and (
            protocol.labels_file(name).is_file() or Path(protocol.set(name).list).is_file())

    def to_extract(self, model):
        """Names of the sets whose features this plan makes of `model`."""
        return [name for name in self.features[model] if not self.is_user_provided(model, name)]

    @property
    def image_sets(self):
        """Sets whose images are needed, because features must be made of them."""
        return list(dict.fromkeys(name for model in self.models for name in self.to_extract(model)))


def _inverted(reasons):
    """dict from reason to the keys that have it."""
    found = {}
    for key, reason in reasons.items():
        found.setdefault(reason, []).append(key)
    return found
