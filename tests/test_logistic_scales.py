"""Logistic regression of features of any scale: predictions are those of the optimum, found in another way."""
import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lowshot import predict
from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.dictionary import build_dictionary
from lowshot.solvers import many

QUERIES = 40
SHAPES = [(2, 3, 5), (48, 2, 5), (48, 3, 1), (40, 20, 2), (200, 5, 4)]  # width, ways, shots
SCALES = [1e-3, 1e-1, 1.0, 10.0, 100.0, 1000.0, "unequal"]


def world(width, ways, shots, scale, tasks=3, seed=0):
    """(dictionary, support (T, n, D), labels (n,), query (T, q, D)) of overlapping classes.

    scale: mean length of a feature; 'unequal': unit length, then every other column times 1,000.
    """
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(width))
    centres = rng.normal(size=(ways, width)) * spread

    def sample(classes):
        x = centres[classes] + 1.3 * spread * rng.normal(size=(*classes.shape, width))
        x = x / np.linalg.norm(x, axis=-1).mean() * (1 if scale == "unequal" else scale)
        if scale == "unequal":
            x[..., ::2] *= 1000
        return x.astype(np.float32)

    base = sample(rng.integers(ways, size=300))
    labels = np.repeat(np.arange(ways), shots)
    query = sample(np.tile(np.arange(ways), (tasks, QUERIES // ways)))
    dictionary = build_dictionary(base, num_prototypes=3, num_shift_vectors=100)
    return dictionary, sample(np.tile(labels, (tasks, 1))), labels, query


def optimum(x, y, query):
    """scikit-learn's Newton solver in float64, and the norm of the gradient where it stops."""
    x, centre = x.astype(np.float64), x.mean(axis=0, dtype=np.float64)
    model = LogisticRegression(solver="newton-cholesky", tol=1e-9, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the gradient below says whether it is there
        model.fit(x - centre, y)
    shares = model.predict_proba(x - centre)
    gradient = (shares - (y[:, None] == model.classes_)).T @ (x - centre)
    penalty = np.vstack([-model.coef_, model.coef_]) if len(model.classes_) == 2 else model.coef_
    assert np.abs(gradient + penalty).max() < 1e-5 * max(1, np.abs(x).max())
    return model.predict(query.astype(np.float64) - centre)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_linear_predictions_are_those_of_the_optimum(shape, scale):
    _, support, labels, query = world(*shape, scale, tasks=6)
    found = predict("logistic_regression", support, labels, query)
    expected = np.array([optimum(x, labels, q) for x, q in zip(support, query, strict=True)])
    assert (found == expected).mean() >= 0.999


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
@pytest.mark.parametrize("form", ["one task", "many tasks"])
def test_sampled_predictions_are_those_of_the_optimum(shape, scale, form):
    dictionary, support, labels, query = world(*shape, scale)
    augmentation = LatentShifts(dictionary, 20)
    rows = [augmentation.augment(z, "", t).reshape(-1, z.shape[1]) for t, z in enumerate(support)]
    if form == "one task":
        found = predict("logistic_regression", support, labels, query, augmentation=augmentation)
    else:
        draws = np.stack([augmentation.draws("", t, support.shape[1]) for t in range(len(support))])
        found = many.sampled(many.logistic_regression, support, np.tile(labels, (len(support), 1)), shape[1], query,
                             draws, augmentation, "cpu")
    expected = np.array([optimum(x, np.repeat(labels, 20), q) for x, q in zip(rows, query, strict=True)])
    assert (found == expected).mean() >= (0.999 if scale != 1.0 else 0.99)


def test_what_does_not_converge_is_said(monkeypatch):
    from lowshot.solvers import descent
    monkeypatch.setattr(descent, "NEWTON_STEPS", 1)
    _, support, labels, query = world(48, 3, 5, 100.0)
    with pytest.warns(UserWarning, match="3 of 3 tasks did not converge in 1 Newton steps; scale the features"):
        predict("logistic_regression", support, labels, query)


def test_tasks_of_other_scales_do_not_change_each_other():
    parts = [world(48, 3, 5, scale, tasks=2) for scale in (1.0, 1000.0)]
    labels = parts[0][2]
    alone = [predict("logistic_regression", support, labels, query) for _, support, _, query in parts]
    together = predict("logistic_regression", *(np.concatenate([part[n] for part in parts]) if n != 2 else labels
                                                for n in (1, 2, 3)))
    np.testing.assert_array_equal(together, np.concatenate(alone))
