"""What one run is, and the task file that it reads.

A run scores one model, in one mode, with one classifier, on the tasks of one task file. `RunSettings` is all
that decides its result; how it is computed (workers, backend) is the engine's affair.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fewshot_wsi.foundation.declared import COUNT, MOST, SEED, check_value, check_values, offered, one_of, whole
from fewshot_wsi.foundation.device import DEVICES
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import json_sha256
from fewshot_wsi.foundation.names import check_part
from fewshot_wsi.meta_test.classifiers import modes
from fewshot_wsi.meta_test.novel_classes import classes_in, novel_tag
from fewshot_wsi.meta_test.protocol import OPEN, SAMPLING, Protocol
from fewshot_wsi.meta_test.remedies import command_line
from lowshot.augmentations import augmentations
from lowshot.classifiers import classifiers
from lowshot.resampling import RESAMPLES
from lowshot.tasks import task_stem

PUBLISHED_TASKS = 300  # of the published commands, where neither --num_task nor --protocol is given
LATENT = ("sampled", "expected")
SOLVERS = ("batched", "sklearn")
VIEWS = whole(0, MOST, "give 0 (no views) or the number of views with the original")


class _OfTask:
    """What follows from a protocol, a task of it and the novel classes."""

    @property
    def family(self):
        return self.protocol.family(self.task)

    @property
    def classes(self):
        return self.protocol.classes_of(self.family.support)

    @property
    def tag(self):
        return novel_tag(self.novel) if self.novel else None


@dataclass
class TaskPlan(_OfTask):
    """One task file: what is sampled, from what, and where it lies. None stands for what the protocol says."""
    protocol: Protocol
    task: str
    num_shots: Annotated[int, COUNT]
    num_tasks: Annotated[int | None, COUNT] = None
    novel: tuple = ()
    sampling: Annotated[str | None, one_of(SAMPLING)] = None
    seed: Annotated[int | None, SEED] = None
    groups: str | None = None  # CSV path,group for both sets, instead of the protocol's
    folder: str | None = None  # instead of <workdir>/tasks

    def __post_init__(self):
        _fill(self, num_tasks=self.family.num_tasks, sampling=self.protocol.sampling, seed=self.protocol.seed)
        check_values(self)
        self.novel = classes_in(self.novel)

    @property
    def stem(self):
        return task_stem(len(self.classes), self.num_shots, self.tag, self.sampling, self.group_weight)

    @property
    def group_weight(self):
        """Of the rule 'grouped'; of other rules 'tiles', which has no effect there."""
        return self.protocol.group_weight if self.sampling == "grouped" else "tiles"

    @property
    def setting(self):
        """Names the random streams of these tasks."""
        return f"{self.task}/{self.stem}"

    @property
    def path(self):
        return Path(self.folder or Path(self.protocol.workdir, "tasks"), self.task, f"{self.stem}.npz")

    @property
    def command(self):
        """The command that makes this file."""
        task, homo = (self.task[:-5], ["--mode", "homo"]) if self.task.endswith("_homo") else (self.task, [])
        options = {"--novel_class": self.tag,
                   "--sampling": None if self.sampling == self.protocol.sampling else self.sampling,
                   "--groups": self.groups, "--seed": None if self.seed == self.protocol.seed else self.seed,
                   "--task_out_dir": self.folder}
        return command_line("tools/generate_task.py", "--task", task, *homo, "--num_shots", self.num_shots,
                            "--num_task", self.num_tasks, *_given(options), "--initialization", "--protocol",
                            self.protocol.path)


@dataclass
class RunSettings(_OfTask):
    """One run. See `config` for what goes into its result. None stands for what the protocol says."""
    protocol: Protocol
    task: Annotated[str, "task of the protocol"]
    model: Annotated[str, "encoder, as named below extracted_feats"]
    mode: Annotated[str, one_of(modes), "linear, or latent_aug"] = "linear"
    clf: Annotated[str, f"classifier: {', '.join(classifiers())}, or one that the protocol names"] = "Ridge"
    num_shots: Annotated[int, COUNT, "support tiles a class"] = 5
    num_task: Annotated[int | None, COUNT, f"tasks to score, the first ones of the task file (default "
                        f"{PUBLISHED_TASKS}; with --protocol: the protocol's number)"] = None
    novel: tuple = ()            # classes left out of pre-training; () where the task has none
    num_aug_shots: Annotated[int | None, COUNT] = None
    aug_times: Annotated[int, VIEWS, "views of a support tile, the original included; 0 and 1: none but it"] = 0
    num_prototypes: Annotated[int | None, COUNT] = None
    latent: Annotated[str, one_of(LATENT), "latent_aug: samples as published, or their expectation in closed form"
                      ] = "sampled"
    solver: Annotated[str, one_of(SOLVERS), "batched, or the published estimators one task at a time"] = "batched"
    sampling: Annotated[str | None, one_of(SAMPLING), "how the tasks are sampled (default: the protocol's)"] = None
    seed: Annotated[int | None, SEED, "of latent augmentation's samples (default: the protocol's)"] = None
    device: Annotated[str, offered(DEVICES), "of the batched solver"] = "auto"
    open: Annotated[str | None, one_of(OPEN), "how the open interval is made: by formula from these tasks, or by "
                    "resampling slides, patients or images and scoring new tasks (default: the protocol's)"] = None
    open_resamples: Annotated[int, whole(2), "resamples of --open bootstrap, each as costly as the run itself"
                              ] = RESAMPLES
    task_folder: str | None = None  # instead of <workdir>/tasks
    dict_folder: str | None = None  # instead of <workdir>/dict

    def __post_init__(self):
        usual = {"num_aug_shots": self.family.num_aug_shots, "num_prototypes": self.protocol.dictionary.num_prototypes}
        _fill(self, num_task=self.family.num_tasks, sampling=self.protocol.sampling, seed=self.protocol.seed,
              open=self.protocol.open, **usual)
        check_values(self)
        check_value(one_of([*classifiers(), *self.protocol.classifiers]), self.clf, "--clf")
        check_part(self.model, "--model")
        self._leave_out_what_has_no_effect(usual)
        if self.augmented and self.latent not in augmentations()[self.mode].kinds:
            raise UserError(f"--latent {self.latent}: {self.mode} knows {', '.join(augmentations()[self.mode].kinds)}")
        if self.latent == "expected" and self.classifier.expected is None:
            raise UserError(f"--latent expected has no closed form for {self.clf}; use --latent sampled")
        if self.latent == "expected" and self.solver == "sklearn":
            raise UserError("--latent expected has no scikit-learn form; use --solver batched or --latent sampled")

    def _leave_out_what_has_no_effect(self, usual):
        """Options that mean the same run give the same RunSettings, so that there is one result of it."""
        self.novel = classes_in(self.novel)
        self.aug_times = 0 if self.aug_times == 1 else self.aug_times
        if self.mode == "linear":
            kept = {"num_prototypes", "dict_folder"} if self.classifier.uses_base else set()
            unused = {"latent": "sampled", "dict_folder": None, **usual}
            for name in unused.keys() - kept:
                setattr(self, name, unused[name])
        if self.mode == "linear" or self.latent == "expected":
            self.seed = self.protocol.seed  # nothing is sampled
        for name, folder in (("task_folder", "tasks"), ("dict_folder", "dict")):
            given = getattr(self, name)
            if given and Path(given).absolute() == Path(self.protocol.workdir, folder).absolute():
                setattr(self, name, None)

    @property
    def plan(self):
        """TaskPlan of the task file that this run reads."""
        return TaskPlan(self.protocol, self.task, self.num_shots, self.num_task, self.novel, self.sampling,
                        folder=self.task_folder)

    @property
    def augmented(self):
        return self.mode != "linear"

    @property
    def classifier(self):
        return self.protocol.classifier(self.clf)

    @property
    def uses_dictionary(self):
        return self.augmented or self.classifier.uses_base

    @property
    def dictionary_folder(self):
        return self.protocol.dictionary_folder(self.model, self.novel, self.dict_folder)

    @property
    def dictionary_command(self):
        """The command that makes the dictionary of this run."""
        options = {"--novel_class": self.tag, "--num_prototypes": self.num_prototypes, "--dict_pth": self.dict_folder}
        return command_line("dict_construction.py", "--model", self.model, *_given(options), "--protocol",
                            self.protocol.path)

    @property
    def class_groups(self):
        """Groups that harmonic means are over: base and novel where classes were left out."""
        if not self.novel:
            return {name: list(classes) for name, classes in self.family.groups.items()}
        base = [c for c in range(len(self.classes)) if c not in self.novel]
        return {"base": base, "novel": list(self.novel)}

    @property
    def config(self):
        """JSON-able; with the hashes of what was read, this decides the result."""
        names = ("task", "mode", "model", "num_shots", "num_task", "clf", "num_aug_shots", "aug_times",
                 "num_prototypes", "latent", "solver", "sampling", "seed")
        own = {"classifier": self.protocol.classifiers[self.clf]} if self.clf in self.protocol.classifiers else {}
        weight = {} if self.plan.group_weight == "tiles" else {"group_weight": self.plan.group_weight}
        model = self.protocol.models.get(self.model)
        seeded = {"recipe": model.recipe, "pretrain_seed": model.pretrain_seed} if model and model.recipe else {}
        return {"novel_class": self.tag, **{name: getattr(self, name) for name in names}, **own, **weight, **seeded}

    @property
    def name(self):
        """File name without ending: shots, mode, classifier, and what differs from the protocol."""
        usual = ((self.num_task, self.family.num_tasks, "{}tasks"), (self.aug_times, 0, "aug{}"),
                 (self.num_aug_shots, self.family.num_aug_shots, "draws{}"),
                 (self.num_prototypes, self.protocol.dictionary.num_prototypes, "K{}"),
                 (self.latent, "sampled", "{}"), (self.solver, "batched", "{}"),
                 (self.sampling, "published", "{}"), (self.plan.group_weight, "tiles", "{}"),
                 (self.seed, self.protocol.seed, "seed{}"),
                 (_short(self.task_folder), "", "tasks-{}"), (_short(self.dict_folder), "", "dict-{}"))
        parts = [f"{self.num_shots}shot", self.mode, self.clf, *([f"wo_{self.tag}"] if self.tag else [])]
        return "_".join(parts + [form.format(value) for value, default, form in usual if value != default])

    @property
    def result_file(self):
        return Path(self.protocol.workdir, "results", self.task, self.model, f"{self.name}.json")


def _short(folder):
    """Six characters for a folder that was named, '' for the usual one."""
    return json_sha256(Path(folder).as_posix())[:6] if folder else ""


def _given(options):
    """Words of the options that have a value."""
    return [word for option, value in options.items() if value is not None for word in (option, value)]


def _fill(settings, **usual):
    for name, value in usual.items():
        if getattr(settings, name) is None:
            setattr(settings, name, value)
