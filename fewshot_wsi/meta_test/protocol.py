"""A protocol: which images, models, tasks and methods an evaluation is made of, read from one config file.

The file is Python, a program that sets these names, or data in YAML or JSON, which runs nothing;
`configs/protocols/paper.py` explains each key by example, docs/PROTOCOLS.md lists them all. Everything is checked here,
before the first image is read: an unknown key, a class that no set has, a task that names no set. The rest of the
library sees only the frozen dataclasses below.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fewshot_wsi.foundation.declared import (
    COUNT,
    SEED,
    SEED32,
    Check,
    build,
    build_all,
    checked,
    each,
    frozen,
    one_of,
)
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import located
from fewshot_wsi.foundation.keys import look_up
from fewshot_wsi.foundation.provenance import PRECISIONS
from fewshot_wsi.foundation.python_config import read_python_config
from fewshot_wsi.meta_test.classifiers import protocol_classifier
from fewshot_wsi.meta_test.novel_classes import models_of, novel_tag
from fewshot_wsi.meta_test.protocol_checks import check_protocol
from fewshot_wsi.meta_test.seeded import with_seeds
from lowshot.classifiers import classifiers
from lowshot.grouped import GROUP_WEIGHTS

SAMPLING = ("published", "distinct", "grouped", "disjoint")
OPEN = ("formula", "bootstrap")
DEFAULT = "configs/protocols/paper.py"
MPP = Check(lambda value: 0 < value < float("inf"), lambda value: "; give microns per pixel, above 0")


@dataclass(frozen=True)
class ImageSet:
    """One list of images and how features are made of it."""
    list: Annotated[str, "labelled list, `path label` a line"]
    classes: Annotated[str, "name of its class list, a key of `classes`"]
    root: Annotated[str, "folder that the list's paths are relative to"] = "."
    config: Annotated[str | None, "extraction config; None where all features are ready"] = None
    groups: Annotated[str | None, "CSV path,group: patients, originals; for sampling 'grouped', open intervals"] = None
    copies: Annotated[str | None, "CSV path,group of images with copies elsewhere, by tools/check_data.py"] = None
    slide: Annotated[int | None, "component of the path that names the slide (0 = first); None: unknown"] = None
    views: Annotated[str | None, "extraction config of augmented views; None: `config`, with the views' name"] = None
    source: Annotated[str | None, "collection of the tiles, such as TCGA; warned of where an encoder saw it"] = None
    mpp: Annotated[float | None, MPP, "microns per pixel; warned of where an encoder was trained at others"] = None


@dataclass(frozen=True)
class ModelEntry:
    """One encoder: how it is pre-trained, or which fixed one it is. Weights: Protocol.weights_file(name)."""
    config: Annotated[str | None, "training config; None: weights are user-provided"] = None
    encoder: Annotated[str | None, "mean_rgb, color_histogram, random, or a preset: configs/encoders/uni.py"] = None
    weights: Annotated[str | None, "of a preset: file, folder, 'package:NAME/FILE'; None: pretrained_weights/"] = None
    options: Annotated[dict, "keys of the training config, dotted, and their values"] = field(default_factory=dict)
    novel: Annotated[tuple, "base classes it has never seen"] = ()
    precision: Annotated[str, one_of(PRECISIONS), "of the products that make features: float32, bf16"] = "float32"
    pretrain_seeds: Annotated[tuple, "(0, 1, 2): trained from each of these seeds, a model each"] = ()
    recipe: Annotated[str | None, "what models that differ in pretrain_seed alone are reported as"] = None
    pretrain_seed: Annotated[int | None, "seed of its training; None: the protocol's"] = None
    features: Annotated[dict, "set: file of ready features (.npy, rows as on its list)"] = field(default_factory=dict)

    @property
    def needs_weights(self):
        return self.encoder is None or is_preset(self.encoder)


@dataclass(frozen=True)
class DictionarySettings:
    """The base dictionary of one model: k-means over the base features without the model's novel classes."""
    set: Annotated[str, "set of the base features"]
    prefix: Annotated[str, "files are <prefix>_PROTO_BANK_<K>.npy …"]
    num_prototypes: Annotated[int, COUNT, "clusters of the dictionary"] = 16
    num_shift_vectors: Annotated[int, COUNT, "shifts a cluster"] = 2000
    iterations: Annotated[int, COUNT, "of k-means"] = 20
    kmeans_seed: Annotated[int, SEED32, "of k-means"] = 66


@dataclass(frozen=True)
class TaskFamily:
    """Settings of one kind of meta-testing task: how tasks are sampled, and which methods are scored on them."""
    support: Annotated[str, "set that support tiles come from"]
    query: Annotated[str, "set that query tiles come from"]
    shots: Annotated[tuple, each(COUNT, least=1), "supports a class, one evaluation each"]
    more_shots: Annotated[tuple, each(COUNT), "tasks are sampled for these too, but no method is scored"] = ()
    num_tasks: Annotated[int, COUNT, "tasks of an evaluation"] = 1000
    queries: Annotated[int, COUNT, "queries a class"] = 15
    repeat_support: Annotated[bool, "published near-domain tasks sample supports with replacement"] = False
    same_slide: Annotated[bool, "homo mode: all shots of a task from one slide"] = False
    novel_classes: Annotated[tuple, "near: an evaluation per entry, an int or a tuple of classes"] = ()
    groups: Annotated[dict, "name: classes; harmonic means are over these"] = field(default_factory=dict)
    methods: Annotated[tuple, "(model, mode, classifier); '{novel}' in a model takes each novel class"] = ()
    variations: Annotated[tuple, "ablation: (model, mode, classifier, {setting: value}), on request"] = ()
    num_aug_shots: Annotated[int, COUNT, "latent_aug: features that a support tile stands for, itself included"] = 100


@dataclass(frozen=True)
class Protocol:
    """All that one config file says."""
    name: Annotated[str, "what results and the report call it"]
    classes: Annotated[dict[str, tuple], "name: class names in label order"]
    sets: Annotated[dict[str, ImageSet], "name: list of images"]
    models: Annotated[dict[str, ModelEntry], "name: encoder"]
    dictionary: Annotated[DictionarySettings, "base dictionary"]
    tasks: Annotated[dict[str, TaskFamily], "name: kind of task"]
    workdir: Annotated[str, "where everything is written"] = "wsi_workdir/workdir"
    seed: Annotated[int, SEED, "of all random numbers but k-means"] = 0
    sampling: Annotated[str, one_of(SAMPLING), "rule of sampling"] = "published"
    group_weight: Annotated[str, one_of(GROUP_WEIGHTS), "'grouped' asks groups in proportion to their tiles, or "
                            "equally ('equal')"] = "tiles"
    open: Annotated[str, one_of(OPEN), "how open intervals are made"] = "formula"
    classifiers: Annotated[dict, "name: dict(type='sklearn.svm.SVC', C=10.0)"] = field(default_factory=dict)
    images: Annotated[dict, "how run_protocol makes images and lists; {}: they exist"] = field(default_factory=dict)
    path: Annotated[str, "file it was read from"] = ""

    def classes_of(self, name):
        """Class names, in label order, of the set `name`."""
        return self.classes[self.sets[name].classes]

    def family(self, task):
        """TaskFamily by name; UserError names the nearest known one."""
        return look_up(self.tasks, task, "task", self.path)

    def set(self, name):
        """ImageSet by name; UserError names the nearest known one."""
        return look_up(self.sets, name, "set", self.path)

    def config_of(self, name):
        """Extraction config of the set `name`; UserError where it has none, because its features are ready."""
        config = self.set(name).config
        if config is None:
            raise UserError(f"{self.path}: sets.{name} names no extraction config, so no features are made of it; name "
                            f"its ready features, models.<model>.features = dict({name}='FILE.npy')")
        return config

    def classifier(self, name):
        """Classifier by name, of the project or of this protocol; UserError names the nearest known one."""
        if name in self.classifiers:
            return protocol_classifier(name, self.classifiers[name], self.path)
        return look_up({**classifiers(), **self.classifiers}, name, "classifier", self.path)

    def features_file(self, model, name):
        """File of the features of the set `name` by `model`: the ready one, or that of the feature store."""
        ready = self.models[model].features if model in self.models else {}
        return Path(ready[name]) if name in ready else Path(self.workdir, "extracted_feats", model, f"{name}.npy")

    def labels_file(self, name):
        """File of the labels of the set `name`."""
        return Path(self.workdir, "extracted_feats", f"{name}_labels.npy")

    def weights_file(self, model):
        """File of the weights of `model`."""
        own = self.models[model].weights if model in self.models else None
        return located(own) if own else Path(self.workdir, "pretrained_weights", f"{model}.pth")

    def dictionary_folder(self, model, novel=(), below=None):
        """Folder of the dictionary of `model` without the classes `novel`: <model> below <workdir>/dict, or `below`.

        Where `novel` are not the model's own novel classes it is wo_<novel> in there: one encoder, several
        dictionaries. Only the protocol says what a model has not seen; a model it does not name has one folder."""
        own = self.models[model].novel if model in self.models else novel
        inner = [f"wo_{novel_tag(novel)}"] if novel and set(novel) != set(own) else []
        return Path(below or Path(self.workdir, "dict"), model, *inner)


def is_preset(encoder):
    """Whether `encoder` is the file of a preset, not the name of an encoder without weights."""
    return encoder is not None and encoder.endswith(".py")


def load_protocol(path=DEFAULT, tiles=None, workdir=None):
    """Read and check a protocol file; UserError says what is wrong, where, and what would be right.

    tiles: folder that stands in for '{tiles}' in the protocol's sets and models, where it has such.
    workdir: instead of the protocol's own. '{workdir}' in any other value stands for the one that holds."""
    data = read_python_config(path, f"protocol; {DEFAULT} is the published one")
    # names with a leading underscore are the file's own helpers
    data = {key: value for key, value in data.items() if key[0] != "_"}
    if workdir is not None:
        data["workdir"] = str(workdir)
    data = _replaced(_with_tiles(data, tiles, path), "{workdir}", str(data.get("workdir", Protocol.workdir)))
    return build_protocol(data, str(path))


def build_protocol(data, path="protocol"):
    """Protocol from plain dicts (as in the config files); checked like `load_protocol`."""
    data = checked(Protocol, data, path, hidden=("path",))
    parts = {"classes": {name: frozen(names) for name, names in data["classes"].items()},
             "dictionary": build(DictionarySettings, data["dictionary"], f"{path}: dictionary")}
    for name, kind in (("sets", ImageSet), ("models", ModelEntry), ("tasks", TaskFamily)):
        parts[name] = build_all(kind, data[name], f"{path}: {name}")
    protocol = Protocol(**{**data, **parts}, path=path)
    check_protocol(protocol)
    return with_seeds(protocol, models_of)


def _with_tiles(data, tiles, path):
    wanted = "{tiles}" in repr(data)
    if wanted and tiles is None:
        raise UserError(f"{path}: this protocol reads tiles from a folder of yours; name it with --tiles DIR where a "
                        f"command has that option, else use the protocol {data.get('workdir', Protocol.workdir)}/"
                        "protocol.json, which run_protocol.py --tiles DIR writes")
    if tiles is not None and not wanted:
        raise UserError(f"{path}: this protocol names its folders itself, --tiles has no place in it")
    return _replaced(data, "{tiles}", str(tiles)) if wanted else data


def _replaced(value, old, new):
    if isinstance(value, dict):
        return {key: _replaced(item, old, new) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(item, old, new) for item in value)
    return value.replace(old, new) if isinstance(value, str) else value
