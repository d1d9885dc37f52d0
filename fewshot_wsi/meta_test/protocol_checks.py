"""What must hold in a protocol as a whole: the names that it mentions exist, and its parts fit each other.

What one value may be is declared with the fields of `protocol`.
"""

from fewshot_wsi.foundation.declared import COUNT, check_value
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.keys import look_up
from fewshot_wsi.foundation.names import check_part
from fewshot_wsi.meta_test.classifiers import modes
from fewshot_wsi.meta_test.novel_classes import models_of
from fewshot_wsi.meta_test.seeded import check_seeds, check_unlike

VARIED = ("num_prototypes", "num_aug_shots", "aug_times")  # what a variation may set


def check_protocol(p):
    """UserError unless the parts of the Protocol `p` fit each other."""
    _check_names(p)
    for name, names in p.classes.items():
        if not isinstance(names, tuple) or not names or not all(isinstance(one, str) for one in names):
            raise UserError(f"{p.path}: classes.{name} is {names!r}; expected the names of the classes in label order")
    for name, image_set in p.sets.items():
        look_up(p.classes, image_set.classes, "class list", f"{p.path}: sets.{name}")
    look_up(p.sets, p.dictionary.set, "set", f"{p.path}: dictionary")
    for name, model in p.models.items():
        _check_model(p, model, f"{p.path}: models.{name}")
    check_unlike(p)
    for name in p.classifiers:
        p.classifier(name)
    for name, family in p.tasks.items():
        _check_family(p, family, f"{p.path}: tasks.{name}")
    if p.tasks and not any(family.methods for family in p.tasks.values()):
        raise UserError(f"{p.path}: no task names methods, (model, mode, classifier), so there is nothing to score")


def _check_names(p):
    """Names that become parts of file names."""
    for kind, names in (("sets", p.sets), ("models", p.models), ("tasks", p.tasks),
                        ("dictionary.prefix", [p.dictionary.prefix])):
        for name in names:
            check_part(name, f"{p.path}: {kind}")


def _check_model(p, model, where):
    check_seeds(model, where)
    _check_novel(model.novel, len(p.classes_of(p.dictionary.set)), f"{where}: novel")
    for name, file in model.features.items():
        look_up(p.sets, name, "set", f"{where}: features")
        if not isinstance(file, str) or not file.endswith(".npy"):
            raise UserError(f"{where}: features.{name} is {file!r}; expected the name of a .npy file "
                            "(tools/import_features.py makes it from other formats)")


def _check_family(p, family, where):
    for which in (family.support, family.query):
        look_up(p.sets, which, "set", where)
    classes = p.classes_of(family.support)
    if p.classes_of(family.query) != classes:
        raise UserError(f"{where}: support set {family.support} and query set {family.query} have other classes")
    if family.same_slide and p.sets[family.support].slide is None:
        raise UserError(f"{where}: same_slide needs sets.{family.support}.slide (which part of the path is the slide)")
    for group, listed in family.groups.items():
        if not isinstance(listed, list | tuple) or not listed:
            raise UserError(f"{where}: the group {group!r} is {listed!r}; expected a list of classes, not empty")
        _check_classes(listed, len(classes), f"{where}: the group {group!r}")
    for entry in family.novel_classes:
        _check_novel(entry if isinstance(entry, tuple) else (entry,), len(classes), f"{where}: novel_classes")
    _check_methods(p, family, where)


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


def _check_methods(p, family, where):
    for method in family.methods:
        if not isinstance(method, tuple) or [type(part) for part in method] != [str, str, str]:
            raise UserError(f"{where}: a method is (model, mode, classifier), got {method!r}")
    for variation in family.variations:
        if not isinstance(variation, tuple) or [type(part) for part in variation] != [str, str, str, dict]:
            raise UserError(f"{where}: a variation is (model, mode, classifier, {{setting: value}}), got {variation!r}")
        for key, value in variation[3].items():
            look_up(VARIED, key, "varied setting", where)
            check_value(COUNT, value, f"{where}: {key}")
    for model, mode, classifier in (*family.methods, *(variation[:3] for variation in family.variations)):
        for name in models_of(model, family):
            look_up(p.models, name, "model", where)
        look_up(modes(), mode, "mode", where)
        p.classifier(classifier)
