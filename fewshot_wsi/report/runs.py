"""One run as the report sees it: a result without its predictions, or the mean over the seeds of a recipe."""

from dataclasses import dataclass, field

import numpy as np

from fewshot_wsi.meta_test.origins import saw_novel
from lowshot.augmentations import label_of
from lowshot.classifiers import shown

USUAL = {"num_prototypes": 16, "num_aug_shots": 100, "aug_times": 0, "latent": "sampled", "solver": "batched",
         "seed": 0}
SAY = {"num_prototypes": "K={}", "num_aug_shots": "{} draws", "aug_times": "{} views", "latent": "{}",
       "solver": "{}", "seed": "seed {}"}


@dataclass
class ReportedRun:
    """One result, or the seeds of one recipe, without predictions. Figures are fractions."""
    path: str
    config: dict
    classes: list
    class_groups: dict
    hashes: dict
    sets: dict
    tasks: dict
    encoder: dict | None
    meta: dict
    statistics: dict
    f1: np.ndarray          # (T, C)
    closed: object          # Interval of the mean macro F1
    open: object
    group_open: dict        # name of a class group (or harmonic_mean) -> open Interval
    unit: str               # what the open interval resamples
    leaks: list
    group_use: dict = field(default_factory=dict)  # 'support', 'query' -> `grouped.use_of_groups`; {} for single images
    not_covered: list = field(default_factory=list)  # `Sources.not_covered`
    parts: object = None    # `components.VarianceComponents` of an open interval by the formula
    needed: dict = field(default_factory=dict)  # 'closed', 'open' -> `intervals.tasks_for`
    members: list = field(default_factory=list)  # ReportedRun of each pre-training seed, where it stands for a recipe
    remark: str = ""        # distinguishes runs of equal settings; see fewshot_wsi.report.variants

    @property
    def each(self):
        """The results behind it: those of its seeds, or itself."""
        return self.members or [self]

    @property
    def family(self):
        return self.config["model"].removesuffix(f"_wo_{self.config['novel_class']}")

    @property
    def macro(self):
        return self.f1.mean(axis=1)

    @property
    def task(self):
        return self.config["task"]

    @property
    def shots(self):
        return self.config["num_shots"]

    @property
    def novel(self):
        return self.config["novel_class"]

    @property
    def saw_novel(self):
        """Whether its encoder was trained on the novel class."""
        if self.members:
            return any(member.saw_novel for member in self.members)
        return bool(self.sets.get("novel_seen")) or saw_novel(self.config["model"], self.novel)

    @property
    def evaluation(self):
        """Task family and sampling rule: what one main table is about."""
        sampling = self.config.get("sampling", "published")
        return self.task if sampling == "published" else f"{self.task} ({sampling})"

    @property
    def method(self):
        """Encoder, classifier and mode in words, with whatever is not as usual."""
        augmented = label_of(self.config["mode"])
        name = f"{self.family.upper() if self.family in ('clp', 'fsp') else self.family} · " \
               f"{shown(self.config['clf'])[1]}{augmented and f' + {augmented}'}"
        more = [form.format(self.config[key]) for key, form in SAY.items()
                if key in self.config and self.config[key] != USUAL[key]]
        more += ["saw the novel class"] * self.saw_novel + [self.remark] * bool(self.remark)
        return f"{name} ({', '.join(more)})" if more else name

    @property
    def label(self):
        novel = "" if self.novel is None else f", novel {self.novel_name}"
        return f"{self.evaluation}{novel}, {self.shots}-shot, {self.method}"

    @property
    def novel_name(self):
        if self.novel is None:
            return ""
        return "+".join(self.classes[c] for c in self.class_groups.get("novel", ())) or f"class {self.novel}"
