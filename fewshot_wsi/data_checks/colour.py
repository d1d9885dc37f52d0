"""What colour alone says about the class. Where it says much, a classifier may have learnt the stain, the scanner or
the compression instead of the tissue (Ignatov and Malivenko, "NCT-CRC-HE: Not All Histopathological Datasets Are
Equally Useful", 2024)."""

import numpy as np

from fewshot_wsi.foundation import seeds

FOLDS = 5
LARGEST = 10_000  # images; more are sampled, the same at every run
TREES = 100


def predictability(features, labels, groups, workers, seed=0):
    """Cross-validated balanced accuracy of a random forest, or None where a class is too small for FOLDS folds.

    features: (N, d). labels: (N,) int. groups: (N,) int or None; images of a group stay in one fold. Chance is
    1 / number of classes, whatever the sizes of the classes."""
    rows = _sampled(len(labels), seed)
    features, labels = features[rows], labels[rows]
    groups = None if groups is None else groups[rows]
    counts = np.unique(labels, return_counts=True)[1]
    units = counts if groups is None else np.array([np.unique(groups[labels == c]).size for c in np.unique(labels)])
    if counts.size < 2 or units.min() < FOLDS:
        return None
    from sklearn.ensemble import RandomForestClassifier  # here, not above: it takes two seconds
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = splitter(FOLDS, shuffle=True, random_state=_number(seed, "folds"))
    forest = RandomForestClassifier(TREES, min_samples_leaf=2, class_weight="balanced", n_jobs=workers,
                                    random_state=_number(seed, "forest"))
    predicted = cross_val_predict(forest, features, labels, groups=groups, cv=folds)
    return float(balanced_accuracy_score(labels, predicted))


def _sampled(count, seed):
    if count <= LARGEST:
        return np.arange(count)
    return np.sort(seeds.generator(seed, "check_data/sample").choice(count, LARGEST, replace=False))


def _number(seed, purpose):
    return int(seeds.generator(seed, "check_data", purpose).integers(2**31))
