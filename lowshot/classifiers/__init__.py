"""The classifiers of meta-testing: one file and one registration each.

A classifier is an unfitted scikit-learn estimator; that alone is enough to be evaluated, one fit a task. Where many
tasks can be solved at once, the same file says how. Choices on the command line, checks of protocols and names in
reports are read from here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.keys import nearest_known
from lowshot.registry import Registry

if TYPE_CHECKING:
    from lowshot.dictionary import Dictionary
    from lowshot.estimators import BaseDictionary

PUBLISHED = ("Ridge", "logistic_regression", "nearest_centroid")  # these come first, as in the paper


@dataclass(eq=False)
class Classifier:
    """What the project knows of a classifier. The batched forms give the predictions of `estimator`, up to rounding.

    Shapes: T tasks of n supports and q queries of width D; labels are in [0, ways).
    """
    name: str                    # on the command line, in protocols and in results
    estimator: object            # scikit-learn's, unfitted, with its parameters
    label: str = ""              # in figures; '': the name
    short: str = ""              # in tables; '': the label
    batched: Callable | None = None   # (support (T, n, D), labels (T, n), ways) -> Planes of T tasks
    sampled: Callable | None = None   # latent augmentation of one task: (support (n, D), labels (n,), ways,
    #                                   draws (n, n_aug − 1), LatentShifts) -> Planes of one task
    expected: Callable | None = None  # its limit of many draws: as `batched`, with LatentShifts as last argument
    on_device: Callable | None = None  # () -> function of `solvers.many`: the sampled form of many tasks, by PyTorch
    probabilistic: bool = False  # the softmax of its scores are probabilities of the classes
    transductive: bool = False   # it looks at the queries: what it predicts of one depends on the others of its task
    uses_base: bool = False      # the estimator has a parameter `base_mean`, the mean of the base features

    def __post_init__(self):
        self.label = self.label or self.name
        self.short = self.short or self.label

    def fitted_to(self, base: "Dictionary | BaseDictionary | None") -> "Classifier":
        """The same classifier with what it needs of the base features. base: `Dictionary`, or None where there is none.

        ValueError: it needs them and there are none.
        """
        if not self.uses_base:
            return self
        if base is None:
            raise InputError(f"{self.name} looks at the base features: give base, their fitted dictionary")
        if not hasattr(base, "mean"):
            raise InputError(f"base is {type(base).__name__}; expected a fitted BaseDictionary")
        from sklearn.base import clone  # here, not above: names of classifiers are asked for where nothing is fitted
        return replace(self, estimator=clone(self.estimator).set_params(base_mean=base.mean))


_REGISTRY = Registry(__name__, PUBLISHED)
register, classifiers = _REGISTRY.register, _REGISTRY.entries


def find_classifier(classifier: Any) -> "Classifier":
    """Classifier of a name or of an estimator: the registered one with equal type and parameters, else one that is only
    its estimator. A Classifier is itself. ValueError: no such name, or no scikit-learn classifier."""
    known = classifiers()
    if isinstance(classifier, Classifier):
        return classifier
    if isinstance(classifier, str):
        if classifier not in known:
            raise InputError(f"classifier {classifier!r}{nearest_known(classifier, known)}")
        return known[classifier]
    if not is_estimator(classifier):
        raise InputError(f"{classifier!r}: expected a scikit-learn classifier or one of {', '.join(known)}")
    equal = (one for one in known.values() if _same(one.estimator, classifier))
    return next(equal, None) or Classifier(type(classifier).__name__, classifier)


def is_estimator(value: Any) -> bool:
    """Whether it is an instance of a scikit-learn classifier."""
    from sklearn.base import is_classifier
    try:
        return not isinstance(value, type) and hasattr(value, "get_params") and bool(is_classifier(value))
    except AttributeError:  # has no tags, so scikit-learn does not know it
        return False


def _same(one, other):
    if type(one) is not type(other):
        return False
    values = zip(one.get_params().items(), other.get_params().items(), strict=True)
    return all(a == b and type(x) is type(y) and np.array_equal(x, y) for (a, x), (b, y) in values)


def uses_base(name: str) -> bool:
    """Whether the classifier of this name looks at the base features."""
    return name in classifiers() and classifiers()[name].uses_base


def shown(name: str) -> tuple[str, str]:
    """(label, short) of the classifier of this name, which say where it is transductive; of others the name itself."""
    known = classifiers().get(name)
    if known is None:
        return name, name
    looks = ", transductive" * known.transductive
    return known.label + looks, known.short + looks
