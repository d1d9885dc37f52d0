"""A protocol: which images, models, tasks and methods an evaluation is made of, read from one config file.

The file is Python, a program that sets these names, or data in YAML or JSON, which runs nothing;
`configs/protocols/paper.py` explains each key by example. Everything is checked here, before the first image is read:
an unknown key, a class that no set has, a task that names no set. The rest of the library sees only
the frozen dataclasses below.
"""

from dataclasses import dataclass, field
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import PRECISIONS
from fewshot_wsi.foundation.files import located
from fewshot_wsi.foundation.keys import nearest_known
from fewshot_wsi.foundation.names import check_part
from fewshot_wsi.foundation.python_config import read_python_config
from fewshot_wsi.foundation.typed import build, build_all, checked, frozen
from fewshot_wsi.meta_test.classifiers import protocol_classifier
from fewshot_wsi.meta_test.seeded import check_seeds, check_unlike, with_seeds
from lowshot.augmentations import augmentations
from lowshot.classifiers import classifiers
from lowshot.grouped import GROUP_WEIGHTS

VARIED = ("num_prototypes", "num_aug_shots", "aug_times")  # what a variation may set
SAMPLING = ("published", "distinct", "grouped", "disjoint")
OPEN = ("formula", "bootstrap")
MOST = 1_000_000  # of anything that is counted in a protocol
DEFAULT = "configs/protocols/paper.py"


@dataclass(frozen=True)
class ImageSet:
    """One list of images and how features are made of it."""
    list: str                   # labelled list, `path label` a line
    classes: str                # key of Protocol.classes
    root: str = "."             # folder that the list's paths are relative to
    config: str | None = None   # extraction config; None where all features are ready
    groups: str | None = None   # CSV path,group: patients, originals; for sampling='grouped' and open intervals
    copies: str | None = None   # CSV path,group of images with copies under other names, by tools/check_data.py
    slide: int | None = None    # which component of the path names the slide (0 = first), None where unknown
    views: str | None = None    # extraction config of augmented views; None: `config` with the views' name in it
    source: str | None = None   # collection that the tiles come from, such as TCGA; warned of where an encoder saw it
    mpp: float | None = None    # microns per pixel of the tiles; warned of where an encoder was trained at others


@dataclass(frozen=True)
class ModelEntry:
    """One encoder: how it is pre-trained, or which fixed one it is. Weights: Protocol.weights_file(name)."""
    config: str | None = None         # training config; None: weights are user-provided
    encoder: str | None = None        # mean_rgb, color_histogram, random, or a preset such as configs/encoders/uni.py
    weights: str | None = None        # of a preset: file, folder, 'package:NAME/FILE'; None: pretrained_weights/
    options: dict = field(default_factory=dict)  # --cfg-options of the training command
    novel: tuple = ()                 # base classes it has never seen
    precision: str = "float32"        # of the products that make its features: float32 or bf16
    pretrain_seeds: tuple = ()        # (0, 1, 2): trained once from each; becomes a model for each: `seeded.with_seeds`
    recipe: str | None = None         # models of one recipe are trained alike but for pretrain_seed: reported as one
    pretrain_seed: int | None = None  # seed of its training; None: the protocol's
    features: dict = field(default_factory=dict)  # set: file of ready features (.npy, rows as on its list)

    @property
    def needs_weights(self):
        return self.encoder is None or is_preset(self.encoder)


@dataclass(frozen=True)
class DictionarySettings:
    """The base dictionary of one model: k-means over the base features without the model's novel classes."""
    set: str
    prefix: str                       # files <prefix>_PROTO_BANK_<K>.npy …
    num_prototypes: int = 16
    num_shift_vectors: int = 2000
    iterations: int = 20
    kmeans_seed: int = 66


@dataclass(frozen=True)
class TaskFamily:
    """One kind of meta-testing task and the methods scored on it."""
    support: str                      # set that support tiles come from
    query: str                        # set that query tiles come from
    shots: tuple
    more_shots: tuple = ()            # tasks are drawn for these too, but no method is scored on them
    num_tasks: int = 1000
    queries: int = 15                 # per class
    repeat_support: bool = False      # published near-domain draws support with replacement
    same_slide: bool = False          # homo mode: all shots of a task from one slide
    novel_classes: tuple = ()         # near: one evaluation per entry; int, or a tuple of classes
    groups: dict = field(default_factory=dict)  # name: classes; harmonic means are over these
    methods: tuple = ()               # (model, mode, classifier); '{novel}' in a model takes each novel class
    variations: tuple = ()            # ablation: (model, mode, classifier, {setting: value}), run when asked for
    num_aug_shots: int = 100


@dataclass(frozen=True)
class Protocol:
    name: str
    classes: dict[str, tuple]         # name: class names in label order
    sets: dict[str, ImageSet]
    models: dict[str, ModelEntry]
    dictionary: DictionarySettings
    tasks: dict[str, TaskFamily]
    workdir: str = "wsi_workdir/workdir"
    seed: int = 0
    sampling: str = "published"
    group_weight: str = "tiles"       # 'grouped' asks groups in proportion to their tiles, or equally ('equal')
    open: str = "formula"             # how open intervals are made: see lowshot.intervals
    classifiers: dict = field(default_factory=dict)  # name: dict(type='sklearn.svm.SVC', C=10.0), beside the project's
    images: dict = field(default_factory=dict)  # how run_protocol makes images and lists; {}: they are there
    path: str = ""                    # file it was read from

    def classes_of(self, name):
        """Class names, in label order, of the set `name`."""
        return self.classes[self.sets[name].classes]

    def family(self, task):
        """TaskFamily by name; UserError names the nearest known one."""
        return _lookup(self.tasks, task, "task", self.path)

    def set(self, name):
        return _lookup(self.sets, name, "set", self.path)

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
        return _lookup({**classifiers(), **self.classifiers}, name, "classifier", self.path)

    def features_file(self, model, name):
        ready = self.models[model].features if model in self.models else {}
        return Path(ready[name]) if name in ready else Path(self.workdir, "extracted_feats", model, f"{name}.npy")

    def labels_file(self, name):
        return Path(self.workdir, "extracted_feats", f"{name}_labels.npy")

    def weights_file(self, model):
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


def modes():
    """How a classifier may be fitted: to the supports as they are, or augmented."""
    return ("linear", *augmentations())


def classes_in(entry):
    """The classes of an entry of `novel_classes`, ascending: 7 -> (7,), (8, 7) -> (7, 8)."""
    return tuple(sorted(entry)) if isinstance(entry, tuple) else (entry,)


def novel_tag(novel):
    """The part of a file or model name that stands for left-out classes: 7 -> '7', (7, 8) and (8, 7) -> '78'.
    Labels of two digits are joined by '_', so that (1, 12) and (11, 2) differ."""
    classes = classes_in(novel)
    return ("" if all(c < 10 for c in classes) else "_").join(str(c) for c in classes)


def parse_novel(text, num_classes):
    """The other way, for `--novel_class`, ascending: '7' -> (7,), '78' and '87' -> (7, 8) where there are at most 78
    classes. Raises UserError for classes that do not exist."""
    text = str(text)
    parts = text.replace(",", "_").split("_")
    if not all(part.isdigit() for part in parts):
        raise UserError(f"novel class {text!r}: give a class number, or several as 7,8")
    classes = tuple(int(part) for part in parts)
    if len(parts) == 1 and classes[0] >= num_classes:
        classes = tuple(int(digit) for digit in text)
    if len(set(classes)) != len(classes) or max(classes) >= num_classes:
        raise UserError(f"novel class {text!r}: the classes are 0 … {num_classes - 1}, each named once")
    if len(classes) == num_classes:
        raise UserError(f"novel class {text!r}: these are all {num_classes} classes, none is left to be a base class")
    return classes_in(classes)


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


def build_protocol(data, path="protocol"):
    """Protocol from plain dicts (as in the config files); checked like `load_protocol`."""
    data = checked(Protocol, data, path, hidden=("path",))
    parts = {"classes": {name: frozen(names) for name, names in data["classes"].items()},
             "dictionary": build(DictionarySettings, data["dictionary"], f"{path}: dictionary")}
    for name, kind in (("sets", ImageSet), ("models", ModelEntry), ("tasks", TaskFamily)):
        parts[name] = build_all(kind, data[name], f"{path}: {name}")
    protocol = Protocol(**{**data, **parts}, path=path)
    _check(protocol)
    return with_seeds(protocol, _models_of)


def _lookup(table, name, what, where):
    if name not in table:
        raise UserError(f"{where}: no {what} {name!r}{nearest_known(name, table)}")
    return table[name]


def _check(p):
    for kind, known in (("sets", p.sets), ("models", p.models), ("tasks", p.tasks), ("dictionary.prefix",
                                                                                    (p.dictionary.prefix,))):
        for name in known:
            check_part(name, f"{p.path}: {kind}")
    if not 0 <= p.seed < 2**63:
        raise UserError(f"{p.path}: seed is {p.seed}; give 0 or more, below 2^63")
    own = p.dictionary
    _check_counts(f"{p.path}: dictionary", num_prototypes=own.num_prototypes, num_shift_vectors=own.num_shift_vectors,
                  iterations=own.iterations)
    if not 0 <= own.kmeans_seed < 2**32:
        raise UserError(f"{p.path}: dictionary: kmeans_seed is {own.kmeans_seed}; give 0 or more, below 2^32")
    for name, names in p.classes.items():
        if not isinstance(names, tuple) or not names or not all(isinstance(one, str) for one in names):
            raise UserError(f"{p.path}: classes.{name} is {names!r}; expected the names of the classes in label order")
    if p.sampling not in SAMPLING:
        raise UserError(f"{p.path}: sampling {p.sampling!r}{nearest_known(p.sampling, SAMPLING)}")
    if p.group_weight not in GROUP_WEIGHTS:
        raise UserError(f"{p.path}: group_weight {p.group_weight!r}{nearest_known(p.group_weight, GROUP_WEIGHTS)}")
    if p.open not in OPEN:
        raise UserError(f"{p.path}: open {p.open!r}{nearest_known(p.open, OPEN)}")
    for name, image_set in p.sets.items():
        if image_set.mpp is not None and not 0 < image_set.mpp < float("inf"):
            raise UserError(f"{p.path}: sets.{name}: mpp is {image_set.mpp!r}; expected microns per pixel, above 0")
        _lookup(p.classes, image_set.classes, "class list", f"{p.path}: sets.{name}")
    _lookup(p.sets, p.dictionary.set, "set", f"{p.path}: dictionary")
    base = p.classes_of(p.dictionary.set)
    for name, model in p.models.items():
        check_seeds(model, f"{p.path}: models.{name}")
        _check_novel(model.novel, len(base), f"{p.path}: models.{name}: novel")
        if model.precision not in PRECISIONS:
            raise UserError(f"{p.path}: models.{name}: precision {model.precision!r}"
                            f"{nearest_known(model.precision, PRECISIONS)}")
        for known, file in model.features.items():
            _lookup(p.sets, known, "set", f"{p.path}: models.{name}: features")
            if not isinstance(file, str) or not file.endswith(".npy"):
                raise UserError(f"{p.path}: models.{name}: features.{known} is {file!r}; expected the name of a .npy "
                                "file (tools/import_features.py makes it from other formats)")
    check_unlike(p)
    for name in p.classifiers:
        p.classifier(name)
    for name, family in p.tasks.items():
        _check_family(p, name, family)
    if p.tasks and not any(family.methods for family in p.tasks.values()):
        raise UserError(f"{p.path}: no task names methods, (model, mode, classifier), so there is nothing to score")


def _check_counts(where, **numbers):
    for name, number in numbers.items():
        if type(number) is not int or not 1 <= number <= MOST:
            raise UserError(f"{where}: {name} is {number!r:.40}; give whole numbers from 1 to {MOST}")


def _check_classes(listed, count, where):
    if not all(type(c) is int and 0 <= c < count for c in listed):
        raise UserError(f"{where} {listed!r} lies outside the {count} classes 0 … {count - 1}")


def _check_novel(entry, count, where):
    """entry: classes that are left out together."""
    _check_classes(entry, count, where)
    if len(set(entry)) < len(entry):
        raise UserError(f"{where} {entry!r} names a class twice")
    if len(entry) == count:
        raise UserError(f"{where} {entry!r} are all {count} classes, none is left to be a base class")


def _check_family(p, name, family):
    where = f"{p.path}: tasks.{name}"
    for which in (family.support, family.query):
        _lookup(p.sets, which, "set", where)
    classes = p.classes_of(family.support)
    if p.classes_of(family.query) != classes:
        raise UserError(f"{where}: support set {family.support} and query set {family.query} have other classes")
    if not family.shots:
        raise UserError(f"{where}: shots is empty; give whole numbers from 1")
    for shots in (*family.shots, *family.more_shots):
        _check_counts(where, shots=shots)
    _check_counts(where, num_tasks=family.num_tasks, queries=family.queries, num_aug_shots=family.num_aug_shots)
    if family.same_slide and p.sets[family.support].slide is None:
        raise UserError(f"{where}: same_slide needs sets.{family.support}.slide (which part of the path is the slide)")
    for group, listed in family.groups.items():
        if not isinstance(listed, list | tuple) or not listed:
            raise UserError(f"{where}: the group {group!r} is {listed!r}; expected a list of classes, not empty")
        _check_classes(listed, len(classes), f"{where}: the group {group!r}")
    for entry in family.novel_classes:
        _check_novel(entry if isinstance(entry, tuple) else (entry,), len(classes), f"{where}: novel_classes")
    _check_methods(p, family, where)


def _models_of(pattern, family):
    """Names that the model of a method stands for: '{novel}' takes each of the novel classes."""
    return [pattern.replace("{novel}", novel_tag(novel)) for novel in family.novel_classes] or [
        pattern.replace("{novel}", "")]


def _check_methods(p, family, where):
    for method in family.methods:
        if not isinstance(method, tuple) or len(method) != 3 or not all(isinstance(part, str) for part in method):
            raise UserError(f"{where}: a method is (model, mode, classifier), got {method!r}")
    for variation in family.variations:
        kinds = [type(part) for part in variation] if isinstance(variation, tuple) else []
        if kinds != [str, str, str, dict]:
            raise UserError(f"{where}: a variation is (model, mode, classifier, {{setting: value}}), got {variation!r}")
        for key, value in variation[3].items():
            _lookup(dict.fromkeys(VARIED), key, "varied setting", where)
            _check_counts(where, **{key: value})
    for model, mode, classifier in (*family.methods, *(variation[:3] for variation in family.variations)):
        for name in _models_of(model, family):
            _lookup(p.models, name, "model", where)
        _lookup(dict.fromkeys(modes()), mode, "mode", where)
        p.classifier(classifier)
