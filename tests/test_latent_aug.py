"""Latent augmentation: its draws, its limit, and its solvers against scikit-learn on the rows written out."""
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.neighbors import NearestCentroid

from fewshot_wsi.foundation.errors import UserError
from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.dictionary import build_dictionary, make_dictionary
from lowshot.prediction import predict

CLASSIFIERS = ("Ridge", "logistic_regression", "nearest_centroid")


def unit(x):
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def world(tasks=3, ways=3, shots=3, dim=24, queries=20, prototypes=6, decay=1.0, scale=1.0, seed=0):
    """(dictionary, support, labels, query): unit-length features whose variances fall as 1/k^decay."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.arange(1, dim + 1)**decay
    centres = 1.2 * rng.standard_normal((8, dim)) * spread

    def sample(classes):
        noise = 0.6 * spread * rng.standard_normal((*classes.shape, dim))
        return scale * unit(centres[classes] + noise + 0.5 / dim**.5)

    base = sample(rng.integers(8, size=max(400, 3 * dim)))
    dictionary = build_dictionary(base, num_prototypes=prototypes, num_shift_vectors=300)
    labels = np.repeat(np.arange(ways), shots)
    query = sample(np.tile(np.repeat(np.arange(ways), queries), (tasks, 1)))
    return dictionary, sample(np.tile(labels, (tasks, 1))), labels, query


def written_out(clf, augmentation, support, labels, query, numbers=None):
    """scikit-learn, to its optimum, on all augmented rows."""
    estimator = {"Ridge": RidgeClassifier(), "nearest_centroid": NearestCentroid(),
                 "logistic_regression": LogisticRegression(max_iter=20000, tol=1e-9)}[clf]
    if clf == "logistic_regression" and np.abs(support).max() > 100:  # lbfgs does not get there
        estimator = LogisticRegression(solver="newton-cholesky", max_iter=300, tol=1e-9)
    numbers = range(len(support)) if numbers is None else numbers
    rows = [augmentation.augment(z, "", t).reshape(-1, z.shape[1]) for t, z in zip(numbers, support, strict=True)]
    names = np.repeat(labels, augmentation.n_aug)
    return np.array([estimator.fit(x, names).predict(q) for x, q in zip(rows, query, strict=True)])


@pytest.mark.parametrize("clf", CLASSIFIERS)
@pytest.mark.parametrize("shape", [dict(), dict(shots=1), dict(ways=2), dict(ways=2, shots=1), dict(ways=7, dim=40),
                                   dict(decay=0.0), dict(prototypes=1), dict(prototypes=40), dict(dim=3),
                                   dict(scale=1e-3), dict(scale=30), dict(dim=130, decay=0.3)],
                         ids=["plain", "one shot", "two classes", "two supports", "seven ways", "flat spectrum",
                              "one prototype", "many prototypes", "three columns", "small", "large", "wide and flat"])
def test_sampled_predictions_equal_scikit_learn_on_the_same_draws(clf, shape):
    dictionary, support, labels, query = world(**shape)
    augmentation = LatentShifts(dictionary, 40)
    found = predict(clf, support, labels, query, augmentation=augmentation)
    want = written_out(clf, augmentation, support, labels, query)
    assert (found != want).sum() <= (1 if clf == "logistic_regression" else 0)


@pytest.mark.parametrize("dim", [512, 768, 1024, 1536])
def test_any_feature_width(dim):
    dictionary, support, labels, query = world(tasks=1, dim=dim, prototypes=2)
    augmentation = LatentShifts(dictionary, 15)
    for clf in CLASSIFIERS:
        found = predict(clf, support, labels, query, augmentation=augmentation)
        assert (found == written_out(clf, augmentation, support, labels, query)).mean() > 0.98
    found = predict("Ridge", support, labels, query, augmentation=LatentShifts(dictionary, 15, "expected"))
    assert found.shape == (1, 60)


@pytest.mark.parametrize("kind, clf", [(kind, clf) for clf in CLASSIFIERS for kind in ("sampled", "expected")
                                       if (kind, clf) != ("expected", "logistic_regression")])
def test_a_task_is_the_same_alone_and_in_company(kind, clf):
    dictionary, support, labels, query = world(tasks=9)
    augmentation = LatentShifts(dictionary, 10, kind)
    together = predict(clf, support, labels, query, augmentation=augmentation, setting="s")
    alone = [predict(clf, support[t:t + 1], labels, query[t:t + 1], augmentation=augmentation, setting="s",
                     task_numbers=[t])[0] for t in range(9)]
    np.testing.assert_array_equal(together, alone)


def test_draws_are_of_the_task_the_setting_and_the_seed():
    dictionary = world()[0]
    draws = LatentShifts(dictionary, 30, seed=1).draws("near/5", 7, 6)
    assert draws.shape == (6, 29) and draws.min() >= 0 and draws.max() < 300
    np.testing.assert_array_equal(draws, LatentShifts(dictionary, 30, seed=1).draws("near/5", 7, 6))
    for other in (LatentShifts(dictionary, 30, seed=2).draws("near/5", 7, 6),
                  LatentShifts(dictionary, 30, seed=1).draws("near/5", 8, 6),
                  LatentShifts(dictionary, 30, seed=1).draws("near/1", 7, 6)):
        assert (draws != other).any()


def test_a_support_varies_as_its_nearest_cluster():
    dictionary, support, *_ = world()
    augmentation = LatentShifts(dictionary, 12)
    rows = augmentation.augment(support[0], "", 0)
    distances = ((support[0][:, None] - dictionary.prototypes)**2).sum(2)
    draws = augmentation.draws("", 0, len(support[0]))
    np.testing.assert_array_equal(rows[:, 0], support[0])           # itself first
    for i, k in enumerate(distances.argmin(1)):
        np.testing.assert_allclose(rows[i, 1:] - support[0, i], dictionary.shifts(k)[draws[i]], atol=1e-12)


@pytest.mark.parametrize("clf", ["Ridge", "nearest_centroid"])
def test_sampled_comes_ever_closer_to_expected(clf):
    dictionary, support, labels, query = world(tasks=8, queries=60, decay=0.5)
    dictionary = make_dictionary(dictionary.prototypes, dictionary.covariances, num_shift_vectors=20000)
    agree = []
    for shots in (3, 30, 3000):
        pair = (LatentShifts(dictionary, shots, kind) for kind in ("sampled", "expected"))
        sampled, expected = (predict(clf, support, labels, query, augmentation=one) for one in pair)
        agree.append((sampled == expected).mean())
    assert agree[0] < agree[2] and agree[2] > 0.99


def test_expected_ridge_equals_the_moments_written_out():
    dictionary, support, labels, query = world(tasks=1)
    shots, z, y = 25, support[0].astype(np.float64), 2 * np.eye(3)[labels] - 1
    augmentation = LatentShifts(dictionary, shots, "expected")
    gram, right, dim = 0, 0, z.shape[1]
    for row, target, k in zip(z, y, augmentation.nearest(z), strict=True):
        row, spread = np.append(row, 1), np.zeros((dim + 1, dim + 1))
        spread[:dim, :dim] = dictionary.covariances[k]
        gram, right = gram + shots * np.outer(row, row) + (shots - 1) * spread, right + shots * np.outer(row, target)
    solution = np.linalg.solve(gram + np.diag([1.0] * dim + [0]), right)
    want = np.argmax(query[0] @ solution[:-1] + solution[-1], axis=1)
    np.testing.assert_array_equal(predict("Ridge", support, labels, query, augmentation=augmentation)[0], want)


@pytest.mark.parametrize("clf", ["Ridge", "nearest_centroid"])
def test_expected_depends_on_no_bank(clf):
    dictionary, support, labels, query = world(tasks=8)
    found = []
    for seed in (1, 2):
        other = make_dictionary(dictionary.prototypes, dictionary.covariances, num_shift_vectors=20, seed=seed)
        found.append(predict(clf, support, labels, query, augmentation=LatentShifts(other, 25, "expected")))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("clf", CLASSIFIERS)
def test_one_augmented_shot_is_no_augmentation(clf):
    dictionary, support, labels, query = world()
    np.testing.assert_array_equal(
        predict(clf, support, labels, query, augmentation=LatentShifts(dictionary, 1)),
        predict(clf, support, labels, query))


@pytest.mark.parametrize("clf", CLASSIFIERS)
def test_clusters_without_variance_are_handled(clf):
    dictionary, support, labels, query = world()
    still = make_dictionary(dictionary.prototypes, 0 * dictionary.covariances, num_shift_vectors=20)
    augmentation = LatentShifts(still, 10)
    np.testing.assert_array_equal(predict(clf, support, labels, query, augmentation=augmentation),
                                  written_out(clf, augmentation, support, labels, query))


@pytest.mark.parametrize("clf", CLASSIFIERS)
def test_the_path_of_a_gpu_gives_the_same_predictions(clf):
    pytest.importorskip("torch")
    dictionary, support, labels, query = world()
    augmentation = LatentShifts(dictionary, 20)
    there = predict(clf, support, labels, query, augmentation=augmentation, device="torch-cpu")
    assert (there == predict(clf, support, labels, query, augmentation=augmentation)).mean() > 0.99


def test_large_features_take_the_float64_factor():
    dictionary, support, labels, query = world(scale=1000)
    augmentation = LatentShifts(dictionary, 50, "expected")
    plain = world()
    assert predict("Ridge", support, labels, query, augmentation=augmentation).shape == plain[3].shape[:2]


@pytest.mark.parametrize("clf", CLASSIFIERS)
def test_features_of_any_size_are_classified_as_written_out_or_refused(clf):
    dictionary, support, labels, query = world(scale=1e6)
    augmentation = LatentShifts(dictionary, 20)
    want = written_out(clf, augmentation, support, labels, query)
    assert (predict(clf, support, labels, query, augmentation=augmentation) == want).mean() > 0.98
    huge = make_dictionary(dictionary.prototypes * 1e24, dictionary.covariances * 1e48, num_shift_vectors=20)
    with pytest.raises(UserError, match="features reach 1e.30, too large for latent augmentation"):
        predict(clf, support * np.float32(1e24), labels, query * np.float32(1e24),
                augmentation=LatentShifts(huge, 20))


def test_a_dictionary_with_negative_variances_is_refused():
    dictionary = world()[0]
    broken = dictionary.covariances.copy()
    broken[1, 3, 3] = -0.1
    with pytest.raises(UserError, match="negative variances"):
        make_dictionary(dictionary.prototypes, broken, num_shift_vectors=20).shifts(1)


def test_banks_over_the_limit_are_made_again(monkeypatch):
    dictionary, support, labels, query = world(prototypes=8)
    augmentation = LatentShifts(dictionary, 20)
    want = predict("Ridge", support, labels, query, augmentation=augmentation)
    monkeypatch.setattr("lowshot.solvers.shift_space.CACHE_BYTES", 1)
    fresh = make_dictionary(dictionary.prototypes, dictionary.covariances, num_shift_vectors=300, how=dictionary.how)
    np.testing.assert_array_equal(predict("Ridge", support, labels, query, augmentation=LatentShifts(fresh, 20)),
                                  want)


@pytest.mark.parametrize("make, words", [
    (lambda d: LatentShifts(d, 0), "n_aug 0"),
    (lambda d: LatentShifts(d, 5, "both"), "known kinds are sampled, expected"),
])
def test_wrong_settings_are_refused(make, words):
    with pytest.raises(UserError, match=words):
        make(world()[0])


@pytest.mark.parametrize("call, words", [
    (dict(clf="logistic_regression"), "no closed form for logistic_regression; use the sampled"),
    (dict(clf="Ridge", solver="sklearn"), "no scikit-learn form"),
    (dict(clf="Ridge", width=7), "the features are 7 wide, the dictionary 24"),
])
def test_what_has_no_answer_is_refused(call, words):
    dictionary, support, labels, query = world()
    width = call.pop("width", 24)
    with pytest.raises(UserError, match=words):
        predict(call.pop("clf"), support[..., :width], labels, query[..., :width],
                augmentation=LatentShifts(dictionary, 5, "expected"), **call)


@pytest.mark.parametrize("task, shots, clf", [
    ("near", 5, "Ridge"), ("mixture", 5, "Ridge"), ("near", 1, "Ridge"), ("mixture", 1, "logistic_regression"),
    ("near", 5, "logistic_regression")])
def test_mean_f1_of_the_reference_on_real_features(task, shots, clf, real_features, reference):
    model, *names = {"near": ("fsp_wo_4", "NCT_train", "NCT_test"), "mixture": ("fsp", "LC", "LC")}[task]
    (x, y), (xq, yq), (xb, yb) = ((np.load(real_features / model / f"{name}.npy"),
                                   np.load(real_features / f"{name}_labels.npy")) for name in (*names, "NCT_train"))
    dictionary = build_dictionary(xb[yb != 4] if task == "near" else xb)
    known = np.load(reference / "expected" / f"{task}_{shots}shot_{clf}_latent_aug.npz")
    found = predict(clf, x[known["support"]], y[known["support"]], xq[known["query"]],
                    augmentation=LatentShifts(dictionary, 100))
    f1 = np.array([f1_score(yq[q], p, average=None) for q, p in zip(known["query"], found, strict=True)])
    assert abs(f1.mean() - known["f1"].mean()) < 0.01               # other draws
