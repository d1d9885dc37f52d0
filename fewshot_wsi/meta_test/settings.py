"""What one run is, and which runs and task files a protocol is made of.

A run scores one model, in one mode, with one classifier, on the tasks of one task file. `RunSettings` is all
that decides its result; how it is computed (workers, backend) is the engine's affair.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import json_sha256
from fewshot_wsi.foundation.keys import nearest_known
from fewshot_wsi.foundation.names import check_part
from fewshot_wsi.meta_test.protocol import MOST, OPEN, SAMPLING, Protocol, classes_in, modes, novel_tag
from fewshot_wsi.meta_test.remedies import command_line
from lowshot.augmentations import augmentations
from lowshot.classifiers import classifiers
from lowshot.resampling import RESAMPLES
from lowshot.tasks import task_stem

LATENT = ("sampled", "expected")


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
    num_shots: int
    num_tasks: int | None = None
    novel: tuple = ()
    sampling: str | None = None
    seed: int | None = None
    groups: str | None = None  # CSV path,group for both sets, instead of the protocol's
    folder: str | None = None  # instead of <workdir>/tasks

    def __post_init__(self):
        _fill(self, num_tasks=self.family.num_tasks, sampling=self.protocol.sampling, seed=self.protocol.seed)
        _check_choices(self, sampling=SAMPLING)
        _check_numbers(self, "num_shots", "num_tasks")
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
    task: str
    model: str
    mode: str = "linear"
    clf: str = "Ridge"
    num_shots: int = 5
    num_task: int | None = None
    novel: tuple = ()            # classes left out of pre-training; () where the task has none
    num_aug_shots: int | None = None  # latent augmentation: features a support stands for, itself included
    aug_times: int = 0           # data augmentation: views of a support tile, the original included; 0: none
    num_prototypes: int | None = None
    latent: str = "sampled"
    solver: str = "batched"
    sampling: str | None = None
    seed: int | None = None      # of the draws of latent augmentation
    device: str = "auto"
    open: str | None = None      # how its open interval is made, of OPEN
    open_resamples: int = RESAMPLES
    task_folder: str | None = None  # instead of <workdir>/tasks
    dict_folder: str | None = None  # instead of <workdir>/dict

    def __post_init__(self):
        usual = {"num_aug_shots": self.family.num_aug_shots, "num_prototypes": self.protocol.dictionary.num_prototypes}
        _fill(self, num_task=self.family.num_tasks, sampling=self.protocol.sampling, seed=self.protocol.seed,
              open=self.protocol.open, **usual)
        _check_choices(self, mode=modes(), clf=[*classifiers(), *self.protocol.classifiers], latent=LATENT,
                       sampling=SAMPLING, open=OPEN)
        _check_numbers(self, "num_shots", "num_task", "num_aug_shots", "num_prototypes")
        check_part(self.model, "--model")
        if not 2 <= self.open_resamples <= MOST:
            raise UserError(f"--open_resamples {self.open_resamples}: give a whole number from 2 to {MOST}")
        if not 0 <= self.aug_times <= MOST:
            raise UserError(f"--aug_times {self.aug_times}: give 0 (no views) or the number of views with the original")
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
        drawn = {"recipe": model.recipe, "pretrain_seed": model.pretrain_seed} if model and model.recipe else {}
        return {"novel_class": self.tag, **{name: getattr(self, name) for name in names}, **own, **weight, **drawn}

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


def _check_choices(settings, **choices):
    for name, known in choices.items():
        value = getattr(settings, name)
        if value not in known:
            raise UserError(f"--{name} {value!r}{nearest_known(value, known)}")


def _check_numbers(settings, *names):
    for name in names:
        if not 1 <= getattr(settings, name) <= MOST:
            raise UserError(f"--{name} {getattr(settings, name)}: give a whole number from 1 to {MOST}")
    if not 0 <= settings.seed < 2**63:
        raise UserError(f"--seed {settings.seed}: give 0 or more, below 2^63")


def novel_of(protocol, task, model=None, asked=None):
    """Classes left out, for a task of `protocol`: what was `asked` for, else the only choice, else the model's own.

    asked: tuple of classes or None. UserError where the task has no novel classes but some are asked for, or where
    nothing says which.
    """
    family = protocol.family(task)
    entries = [classes_in(entry) for entry in family.novel_classes]
    if not entries:
        if asked:
            raise UserError(f"task {task!r} of {protocol.path} has no novel classes; leave --novel_class out")
        return ()
    if asked:
        return asked
    if len(entries) == 1:
        return entries[0]
    if model in protocol.models and protocol.models[model].novel:
        return protocol.models[model].novel
    raise UserError(f"task {task!r} has a novel class: give --novel_class, one of "
                    f"{', '.join(novel_tag(entry) for entry in entries)}")


def runs_of(protocol, only=None, shard=None, **changes):
    """Every run of a protocol, in a fixed order: task, novel class, shots, method.

    only: a task name or several. shard: (i, n), 1-based: every n-th run from the i-th on, so that n jobs share them.
    changes: RunSettings fields for all runs (solver, latent, device, seed, num_task …).
    """
    runs = []
    for task, family in _families(protocol, only):
        for novel in family.novel_classes or ((),):
            novel = classes_in(novel)
            for shots in family.shots:
                for model, mode, clf in family.methods:
                    model = model.replace("{novel}", novel_tag(novel) if novel else "")
                    runs.append(RunSettings(protocol, task, model, mode, clf, shots, **{"novel": novel, **changes}))
    return runs if shard is None else runs[shard[0] - 1::shard[1]]


def task_files_of(protocol, only=None, **changes):
    """TaskPlan of every task file of a protocol, in the order of `runs_of`. changes: TaskPlan fields for all."""
    plans = []
    for task, family in _families(protocol, only):
        for novel in family.novel_classes or ((),):
            novel = classes_in(novel)
            plans += [TaskPlan(protocol, task, shots, **{"novel": novel, **changes})
                      for shots in dict.fromkeys((*family.shots, *family.more_shots))]
    return plans


def parse_shard(text):
    """'2/8' -> (2, 8); UserError for anything else."""
    number, _, count = str(text).partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise UserError(f"--shard {text!r}: give i/n with 1 <= i <= n, as 2/8 for the second of eight shares")
    return int(number), int(count)


def workdir_at(protocol, folder):
    """The same protocol with another workdir."""
    return replace(protocol, workdir=str(folder))


def _families(protocol, only):
    names = [only] if isinstance(only, str) else (only or protocol.tasks)
    return [(name, protocol.family(name)) for name in names]
