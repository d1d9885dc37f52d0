"""How a classifier may be fitted, and classifiers that a protocol names itself.

    classifiers = dict(svm=dict(type='sklearn.svm.SVC', C=10.0))
"""

import importlib
import inspect
import json
import re
from dataclasses import replace
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.keys import nearest_known
from lowshot.augmentations import augmentations
from lowshot.classifiers import classifiers, find_classifier, is_estimator

DATA = (".json", ".yaml", ".yml")  # protocols that are data: they may not name code of any module


def modes():
    """How a classifier may be fitted: to the supports as they are, or augmented."""
    return ("linear", *augmentations())


def protocol_classifier(name, spec, path):
    """Classifier `name` of the dict `spec`: `type`, a registered name or 'module.Class', and the class's parameters.

    path: of the protocol; one that is no Python file may only name scikit-learn's classes. UserError says what is
    wrong where.
    """
    where = f"{path}: classifiers.{name}"
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise UserError(f"{where} is {spec!r}; expected dict(type='sklearn.svm.SVC', C=10.0) or another class")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name):
        raise UserError(f"{where}: the name becomes part of file names; give letters, digits, '-' and '.'")
    if name in classifiers():
        raise UserError(f"{where}: the project has a classifier of this name; choose another")
    try:
        json.dumps(spec, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}; results keep these parameters, give numbers and texts") from None
    kind, parameters = spec["type"], {key: value for key, value in spec.items() if key != "type"}
    if kind in classifiers():
        known = classifiers()[kind]
        if known.uses_base and "base_mean" in parameters:
            raise UserError(f"{where}: base_mean is that of the run's base dictionary; leave it out")
        estimator = _made(type(known.estimator), {**known.estimator.get_params(), **parameters}, where)
        return replace(find_classifier(estimator), name=name, label=name, short=name, uses_base=known.uses_base)
    estimator = _made(_class(kind, where, path), parameters, where)
    return replace(find_classifier(estimator), name=name, label=name, short=name)


def _class(kind, where, path):
    module, _, name = kind.rpartition(".")
    if not module:
        raise UserError(f"{where}: type {kind!r}{nearest_known(kind, classifiers())}; a class of scikit-learn is "
                        "written with its module, as sklearn.svm.SVC")
    if Path(path).suffix in DATA and module.split(".")[0] != "sklearn":
        raise UserError(f"{where}: type {kind!r}; a protocol in {Path(path).suffix} names {', '.join(classifiers())} "
                        "or a class of scikit-learn, as sklearn.svm.SVC; for others write the protocol in Python")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{where}: type {kind!r} cannot be imported ({error})") from None
    if not inspect.isclass(found):
        raise UserError(f"{where}: type {kind!r} is no class")
    return found


def _made(kind, parameters, where):
    try:
        estimator = kind(**parameters)
    except TypeError as error:
        raise UserError(f"{where}: {error}") from None
    if not is_estimator(estimator):
        raise UserError(f"{where}: {kind.__name__} is no scikit-learn classifier")
    return estimator
