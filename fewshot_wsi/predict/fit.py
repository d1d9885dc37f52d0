"""From labelled tiles to a head: their features, the classifier, its estimated F1, and the conformal threshold."""

import logging
from dataclasses import dataclass
from functools import partial

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import arrays_sha256
from fewshot_wsi.foundation.provenance import rows_sha256
from fewshot_wsi.predict.encoding import TileRows
from fewshot_wsi.predict.head import Head
from lowshot.augmentations import augmentations
from lowshot.conformal import fewest, hold_out, nonconformity, rank, threshold
from lowshot.fitting import fit
from lowshot.leave_out import MOST_FOLDS, leave_groups_out, too_few_groups

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """How a classifier is fitted. `seed`, `setting` and `number` name the draws of latent augmentation, as the engine's
    seed, `TaskSet.setting` and task number do."""
    classifier: str = "Ridge"
    mode: str = "linear"
    num_aug_shots: int = 100
    latent: str = "sampled"
    seed: int = 0
    setting: str = ""
    number: int = 0

    def fit(self, features, labels, dictionary=None, setting=None, number=None):
        """Fit the classifier to features (n, D) and labels (n,), int 0 … ways−1; returns lowshot.fitting.Fitted.

        dictionary: base dictionary that latent augmentation takes shifts from, unless the mode is 'linear'. setting,
        number: name the random stream, by default those of the Method.
        """
        augmentation = None if self.mode == "linear" else augmentations()[self.mode].make(
            dictionary, self.num_aug_shots, self.latent, self.seed)
        return fit(self.classifier, features, labels, augmentation=augmentation, base=dictionary,
                   setting=self.setting if setting is None else setting,
                   number=self.number if number is None else number)


def support_features(supports, choice, stored):
    """(features (n, D) float32, SHA-256 of each, dict of IDENTITY): from the StoredRows `stored`, or by the encoder.

    UserError: a support that does not decode, or is not among the rows."""
    if stored is not None:
        features = stored.find(supports.names, supports.where)
        if not np.isfinite(features).all():
            raise UserError(f"{stored.path}: the features of the supports hold NaN or infinite values; "
                            "extract them again")
        return features, [arrays_sha256(features=row) for row in features], stored.encoder
    if not choice.named:
        raise UserError(f"{supports.where}: tiles need the encoder that turns them into features; name it with "
                        "--encoder and --pretrained or --protocol and --model, or give features by --support_features")
    tiles = TileRows(supports.names, supports.root, choice, supports.where)
    blocks = []
    for _, features, faults in tiles.read(range(-(-len(tiles) // tiles.block))):
        if faults:
            raise UserError(f"{supports.where}: {next(iter(faults.values()))}; repair this support or leave it out")
        blocks.append(features)
    return np.concatenate(blocks), tiles.hashes(), tiles.encoder


def make_head(supports, features, hashes, facts, method, dictionary=None, coverage=None):
    """The Head of these supports; logs its leave-one-out estimate first.

    features: (n, D). hashes: SHA-256 of each support. facts: of encoder and dictionary. coverage: of conformal sets or
    None. UserError: too few supports for the coverage.
    """
    fit_to = partial(_fit_rows, supports, features, method, dictionary)
    estimate = _estimate(supports, features, fit_to, method)
    rows, held = np.arange(len(supports)), None
    if coverage is not None:
        rows, held = _held_out(supports, coverage, method.seed)
    fitted = method.fit(features[rows], supports.labels[rows], dictionary)
    listed = [{"path": name, "class": supports.classes[label], "group": int(group), "sha256": digest} for
              name, label, group, digest in zip(supports.names, supports.labels, supports.groups, hashes, strict=True)]
    conformal = None if held is None else _calibrated(fitted, features[held], supports.labels[held], coverage, held)
    return Head(fitted, features, supports.labels, {
        "classes": list(supports.classes), "supports": listed, "method": vars(method) | {}, "conformal": conformal,
        "fitted_to": rows_sha256(rows), "estimate": estimate, **facts})


def _fit_rows(supports, features, method, dictionary, rows, fold):
    return method.fit(features[rows], supports.labels[rows], dictionary, f"{method.setting}/leave_out", fold)


def _estimate(supports, features, fit_to, method):
    """Print the leave-one-out estimate; dict for the head, or None where the supports are too few for one."""
    unit = "group" if supports.grouped else "tile"
    counts = ", ".join(f"{count} {name}" for name, count in zip(
        supports.classes, np.bincount(supports.labels), strict=True))
    logger.info(f"{len(supports)} supports: {counts}")
    alone = too_few_groups(supports.labels, supports.groups)
    if alone is not None:
        logger.warning(f"no estimate of how good this is: the class {supports.classes[alone]!r} has supports of one "
                       f"{unit} only, and leaving it out leaves none; label tiles of a second one")
        return None
    found = leave_groups_out(fit_to, features, supports.labels, supports.groups, method.seed)
    left = f"{MOST_FOLDS} folds of {unit}s" if found.folds == MOST_FOLDS else f"leave-one-{unit}-out"
    logger.info(f"macro F1 of these supports, {left}: {100 * found.macro:.1f} %, 95 % interval "
                f"{100 * found.low:.1f} to {100 * found.high:.1f} % ({found.groups} {unit}s)"
                + ("" if supports.grouped else "; new slides may do worse: name slides or patients as groups to know"))
    return {"macro_f1": found.macro, "low": found.low, "high": found.high, "left_out": unit, "units": found.groups,
            "folds": found.folds}


def _held_out(supports, coverage, seed):
    """(rows to fit to, rows to calibrate on). UserError: too few, with the reason."""
    rows, held = hold_out(supports.labels, supports.groups, seed)
    unit = "groups" if supports.grouped else "tiles"
    if rank(len(held), coverage) > len(held):
        raise UserError(f"--coverage {coverage:g} needs {fewest(coverage)} held-out {unit} (n >= 1/alpha - 1, alpha = "
                        f"{1 - coverage:.3g}), but half of these supports are {len(held)} {unit}; label more, or ask "
                        "for a lower coverage")
    return rows, held


def _calibrated(fitted, features, labels, coverage, held):
    outputs = fitted(features)[1]
    if outputs is None:
        raise UserError(f"--coverage: {fitted.classifier.name} names classes without scores; choose another --clf")
    scores = nonconformity(outputs)[np.arange(len(labels)), labels]
    logger.info(f"{len(held)} supports are held out for the coverage, the classifier is fitted to the others")
    return {"coverage": coverage, "n": len(held), "threshold": threshold(scores, coverage), "held_out": held.tolist()}
