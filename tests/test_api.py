"""The public names of lowshot: scikit-learn's contracts, and the same numbers as the commands."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

import lowshot
from lowshot import (
    BaseDictionary,
    LatentAugmentation,
    SimpleShot,
    compare,
    evaluate,
    load_tasks,
    sample_tasks,
    save_tasks,
)
from lowshot.classifiers import Classifier, classifiers, find_classifier, register
from lowshot.classifiers.simpleshot import SimpleShot as Own


def world(seed=0, classes=("a", "b", "c"), size=60, dim=12, apart=0.6):
    """x (N, dim) float32, y (N,) names, groups (N,): ten a class."""
    rng = np.random.default_rng(seed)
    y = np.repeat(classes, size)
    centres = np.repeat(rng.normal(size=(len(classes), dim)) * apart, size, axis=0)
    groups = np.array([f"{name}{i % 10}" for name in classes for i in range(size)])
    return (centres + rng.normal(size=(len(y), dim))).astype(np.float32), y, groups


@parametrize_with_checks([BaseDictionary(2), LatentAugmentation(RidgeClassifier(), BaseDictionary(2), n_aug=5),
                          SimpleShot()])
def test_estimators_keep_scikit_learns_contracts(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [RidgeClassifier(), GaussianNB()])
def test_every_task_is_what_a_user_would_write_by_hand(estimator):
    x, y, _ = world()
    tasks = sample_tasks(y, shots=4, queries=6, num_tasks=20)
    scores = evaluate(estimator, x, y, tasks)
    for support, query, f1 in zip(tasks.support, tasks.query, scores.f1, strict=True):
        assert not set(support) & set(query)
        predicted = clone(estimator).fit(x[support], y[support]).predict(x[query])
        np.testing.assert_allclose(f1, f1_score(y[query], predicted, average=None, zero_division=0))
    assert scores.mean == pytest.approx(scores.f1.mean()) and scores.closed.half > 0


def test_a_task_draws_its_augmentation_from_seed_setting_and_number_whatever_the_classifier():
    x, y, _ = world()
    tasks = sample_tasks(y, shots=3, queries=8, num_tasks=60, seed=5, setting="mine")
    dictionary = BaseDictionary(4, n_shifts=50).fit(world(1)[0])
    own = LatentAugmentation(RidgeClassifier(), dictionary, n_aug=20)
    other = LatentAugmentation(RidgeClassifier(alpha=1), dictionary, n_aug=20)
    assert find_classifier(other.estimator).name == "RidgeClassifier"  # an int is no float: fitted once a task
    batched, plain = (evaluate(one, x, y, tasks).predictions for one in (own, other))
    assert np.array_equal(batched, plain)
    assert np.array_equal(batched, evaluate(own, x, y, tasks, solver="sklearn").predictions)
    alone = evaluate(own, x, y, tasks.first(7)).predictions
    assert np.array_equal(alone, batched[:7])
    changed = [evaluate(clone(own).set_params(random_state=1), x, y, tasks),
               evaluate(own, x, y, sample_tasks(y, shots=3, queries=8, num_tasks=60, seed=6, setting="mine"))]
    assert all(not np.array_equal(one.predictions, batched) for one in changed)


def test_one_source_of_random_numbers_draws_one_set_of_shifts():
    x, y, _ = world()
    tasks = sample_tasks(y, shots=3, num_tasks=120)
    dictionary = BaseDictionary(4, n_shifts=50).fit(world(1)[0])
    for classifier in (None, GaussianNB()):
        one, two = (evaluate(LatentAugmentation(classifier, dictionary, n_aug=5, random_state=np.random.RandomState(3)),
                             x, y, tasks, n_jobs=n).predictions for n in (1, 2))
        assert np.array_equal(one, two)


def test_estimators_see_the_labels_that_the_user_gave():
    x, _, _ = world()
    y = np.repeat([7, 3, 5], 60)
    weighted = LogisticRegression(class_weight={3: 50.0, 5: 1.0, 7: 1.0}, max_iter=1000)
    tasks = sample_tasks(y, shots=3, queries=8, num_tasks=10)
    found = np.unique(y)[evaluate(weighted, x, y, tasks).predictions]
    for task, (support, query) in enumerate(zip(tasks.support, tasks.query, strict=True)):
        np.testing.assert_array_equal(clone(weighted).fit(x[support], y[support]).predict(x[query]), found[task])
    assert (found == 3).mean() > 0.4


def test_a_fitted_dictionary_cannot_be_tuned_or_changed_from_outside():
    x, y, _ = world()
    dictionary = BaseDictionary(3, n_shifts=40).fit(world(1)[0])
    latent = LatentAugmentation(RidgeClassifier(), dictionary)
    with pytest.raises(ValueError, match="the dictionary is fitted"):
        GridSearchCV(latent, {"dictionary__n_prototypes": [2, 4]}, error_score="raise").fit(x, y)
    assert dictionary.n_prototypes == 3
    for array in (dictionary.shifts(0), dictionary.prototypes_):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_groups_can_be_given_to_tasks_of_a_file(tmp_path):
    x, y, groups = world()
    tasks = sample_tasks(y, shots=3, num_tasks=50, groups=groups)
    save_tasks(tmp_path / "t.npz", tasks)
    read = load_tasks(tmp_path / "t.npz")
    assert evaluate("Ridge", x, y, read).open.half is None
    assert evaluate("Ridge", x, y, read.with_groups(groups)).open == evaluate("Ridge", x, y, tasks).open
    with pytest.raises(ValueError, match="is in a task"):
        read.with_groups(groups[:20])


def test_scores_do_not_depend_on_the_processes():
    x, y, _ = world()
    tasks = sample_tasks(y, shots=3, num_tasks=120)
    one, two = (evaluate(GaussianNB(), x, y, tasks, n_jobs=n).predictions for n in (1, 2))
    assert np.array_equal(one, two)


def test_a_fitted_dictionary_survives_cloning_searching_and_pickling():
    x, y, _ = world()
    base = world(1)[0]
    dictionary = BaseDictionary(3, n_shifts=40).fit(base)
    latent = LatentAugmentation(RidgeClassifier(), dictionary, n_aug=10)
    assert clone(latent).dictionary is dictionary and clone(latent).estimator is not latent.estimator
    want = latent.fit(x, y).predict(x)
    assert latent.dictionary_ is dictionary
    for again in (clone(latent), pickle.loads(pickle.dumps(latent))):
        np.testing.assert_array_equal(again.fit(x, y).predict(x), want)
    assert cross_val_score(latent, x, y, cv=3).mean() > 0.4
    search = GridSearchCV(latent, {"estimator__alpha": [0.1, 10.0], "n_aug": [2, 5]}, cv=2).fit(x, y)
    assert search.best_estimator_.dictionary_ is dictionary
    with pytest.raises(ValueError, match="needs a dictionary that is fitted to base features"):
        evaluate(LatentAugmentation(RidgeClassifier()), x, y, sample_tasks(y, shots=2, num_tasks=3))
    unfitted = LatentAugmentation(RidgeClassifier(), BaseDictionary(2), n_aug=4).fit(x, y)
    assert not hasattr(unfitted.dictionary, "prototypes_") and len(unfitted.dictionary_.prototypes_) == 2


def test_a_dictionary_is_clusters_of_what_it_was_fitted_to(tmp_path):
    base = world(1)[0]
    fitted = BaseDictionary(3, n_shifts=20000, random_state=4).fit(base)
    assert fitted.counts_.sum() == len(base)
    np.testing.assert_allclose(np.average(fitted.prototypes_, axis=0, weights=fitted.counts_),
                               base.mean(axis=0, dtype=float), rtol=1e-6)
    np.testing.assert_allclose(np.cov(fitted.shifts(0).T), fitted.covariances_[0], atol=0.1)
    nearest = ((base[:, None].astype(float) - fitted.prototypes_) ** 2).sum(2).argmin(1)
    np.testing.assert_array_equal(fitted.labels_, nearest)
    fitted.save(tmp_path, "NCT")
    read = BaseDictionary.load(tmp_path, "NCT", 3)
    np.testing.assert_array_equal(read.shifts(2), fitted.shifts(2))
    assert read.get_params() == fitted.get_params()


def test_open_intervals_speak_of_groups_and_pairs_are_compared():
    x, y, groups = world()
    tasks = sample_tasks(y, shots=5, num_tasks=200, groups=groups)
    scores, chance = evaluate(RidgeClassifier(), x, y, tasks), evaluate(RidgeClassifier(), 0 * x, y, tasks)
    assert scores.open.n == 10 and scores.open.half > scores.closed.half
    assert "for new groups" in str(scores)
    found = compare(scores, chance)
    assert found.p < 0.001 and found.open.low > 0 and "points of F1" in str(found)
    with pytest.raises(ValueError, match="same tasks with other groups"):
        compare(scores, evaluate(RidgeClassifier(), x, y, sample_tasks(y, shots=5, num_tasks=200)))
    with pytest.raises(ValueError, match="different tasks"):
        compare(scores, evaluate(RidgeClassifier(), x, y, tasks.first(3)))
    grouped = sample_tasks(y, shots=5, num_tasks=20, groups=groups, rule="grouped")
    for support, query in zip(grouped.support, grouped.query, strict=True):
        assert not set(groups[support]) & set(groups[query])


def test_queries_may_come_from_other_rows():
    x, y, _ = world()
    other, names, _ = world(0, size=20)
    tasks = sample_tasks(y, shots=5, queries=4, num_tasks=30, query_y=names)
    scores = evaluate(NearestCentroid(), x, y, tasks, query_x=other, query_y=names)
    with pytest.raises(ValueError, match="rows of another set than the supports"):
        evaluate(NearestCentroid(), x, y, tasks)
    task = 7
    want = NearestCentroid().fit(x[tasks.support[task]], y[tasks.support[task]]).predict(other[tasks.query[task]])
    np.testing.assert_array_equal(np.unique(y)[scores.predictions[task]], want)


def test_views_join_the_supports():
    x, y, _ = world()
    views = [x + 1, x - 2]
    tasks = sample_tasks(y, shots=2, queries=5, num_tasks=10)
    found = evaluate(RidgeClassifier(), x, y, tasks, views=views).predictions
    rows = tasks.support[3]
    want = RidgeClassifier().fit(np.concatenate([x[rows], x[rows] + 1, x[rows] - 2]), np.tile(y[rows], 3))
    np.testing.assert_array_equal(np.unique(y)[found[3]], want.predict(x[tasks.query[3]]))


def test_task_sets_are_kept_in_files(tmp_path):
    x, y, _ = world()
    tasks = sample_tasks(y, shots=2, num_tasks=10, seed=3, setting="s")
    save_tasks(tmp_path / "t.npz", tasks)
    read = load_tasks(tmp_path / "t.npz")
    assert (read.identity, read.seed, read.setting) == (tasks.identity, 3, "s")
    np.testing.assert_array_equal(evaluate("Ridge", x, y, read).predictions, evaluate("Ridge", x, y, tasks).predictions)


def test_simpleshot_is_the_nearest_centroid_on_centred_features_of_unit_length():
    x, y, _ = world(apart=2)
    base = world(1)[0] + 3
    tasks = sample_tasks(y, shots=3, num_tasks=25)
    found = evaluate("simpleshot", x, y, tasks, base=BaseDictionary(4).fit(base)).predictions
    z = normalize(x - base.mean(axis=0, dtype=float))
    for task, (support, query) in enumerate(zip(tasks.support, tasks.query, strict=True)):
        means = np.array([z[support[y[support] == name]].mean(axis=0) for name in np.unique(y)])
        want = ((z[query][:, None] - means) ** 2).sum(2).argmin(1)
        np.testing.assert_array_equal(found[task], want)
    same = evaluate(SimpleShot(base.mean(axis=0, dtype=float)), x, y, tasks)
    np.testing.assert_array_equal(same.predictions, found)
    with pytest.raises(ValueError, match="give base, their fitted dictionary"):
        evaluate("simpleshot", x, y, tasks)


def test_a_classifier_is_known_by_type_and_parameters():
    assert list(classifiers())[:3] == ["Ridge", "logistic_regression", "nearest_centroid"] and Own is SimpleShot
    assert find_classifier(RidgeClassifier()) is classifiers()["Ridge"]
    assert find_classifier(LogisticRegression(max_iter=1000)) is classifiers()["logistic_regression"]
    assert find_classifier(RidgeClassifier(alpha=2.0)).batched is None
    with pytest.raises(ValueError, match="are named 'Ridge'"):
        register(Classifier("Ridge", RidgeClassifier()))
    with pytest.raises(ValueError, match="did you mean 'nearest_centroid'"):
        find_classifier("nearest_centriod")
    with pytest.raises(ValueError, match="expected a scikit-learn classifier"):
        find_classifier(3)
    for wrong in (RidgeClassifier, Ridge(), BaseDictionary(2)):
        with pytest.raises(ValueError, match="expected a scikit-learn classifier"):
            find_classifier(wrong)


@pytest.mark.parametrize("call, words", [
    (dict(shots=99), "class 'a' has 60 tiles"),
    (dict(rule="random"), "known are published, distinct, grouped, disjoint"),
    (dict(rule="grouped"), "needs to know the groups"),
    (dict(groups=[1, 2]), "2 groups for 180 rows"),
    (dict(query_y=["a", "z"]), "'z', which is none of the classes a, b, c"),
    (dict(query_groups=[1]), "without query_y"),
    (dict(query_y=["a", "b", "c"], groups=np.arange(180)), "belong together"),
    (dict(shots=0), "shots=0: give a whole number from 1"),
    (dict(shots=2.5), "shots=2.5: give a whole number"),
    (dict(seed=None), "seed=None: give a whole number from 0"),
    (dict(y=np.array([None, "a", "b"] * 60, dtype=object)), "y has rows without a value"),
    (dict(y=np.array([1, "a", "b"] * 60, dtype=object)), "y mixes values of several kinds"),
    (dict(groups=np.array([np.nan, "a"] * 90, dtype=object)), "groups has rows without a value"),
    (dict(groups=["s1", np.nan] * 90), "groups has rows without a value"),
    (dict(query_y=world()[1], groups=np.arange(180.0), query_groups=world()[2]), "equal groups would not be"),
])
def test_what_cannot_be_drawn_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        sample_tasks(**{"y": world()[1], "shots": 2, **call})


@pytest.mark.parametrize("change, words", [
    (dict(x=np.zeros((3, 4), np.float32)), "3 rows of features, but 180 labels in y"),
    (dict(y=np.roll(world()[1], 60)), "tasks and labels belong to different data"),
    (dict(y=np.zeros((4, 4))), "expected one value a row"),
    (dict(x=np.full((180, 12), "a")), "expected numbers"),
    (dict(query_x=np.zeros((3, 12))), "query_x and query_y belong together"),
    (dict(x=np.full((180, 12), 1e-200)), "x reaches 1e-200, but is worked on as float32"),
    (dict(views=[np.zeros((180, 3))]), r"a view has the shape \(180, 3\), x has \(180, 12\)"),
    (dict(views=np.zeros((180, 12))), "a view is an array"),
    (dict(query_x=world()[0], query_y=world()[1]), "leave query_x and query_y out"),
])
def test_what_does_not_belong_together_is_refused(change, words):
    x, y, _ = world()
    tasks = sample_tasks(y, shots=2, num_tasks=3)
    with pytest.raises(ValueError, match=words):
        evaluate(RidgeClassifier(), **{"x": x, "y": y, "tasks": tasks, **change})


def test_importing_loads_nothing_and_first_use_no_torch():
    code = ("import sys, lowshot; assert 'numpy' not in sys.modules and 'sklearn' not in sys.modules; "
            "lowshot.evaluate, lowshot.BaseDictionary, lowshot.sample_tasks; "
            "assert not {'torch', 'matplotlib'} & set(sys.modules)")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert all(getattr(lowshot, name).__doc__ for name in lowshot.__all__)


@pytest.mark.parametrize("support, query", [("LC", None), ("NCT_train", "NCT_test"), ("PAIP_train", "PAIP_test")])
def test_batched_predictions_are_scikit_learns_on_real_features(real_features, support, query):
    x, y = np.load(real_features / f"fsp/{support}.npy"), np.load(real_features / f"{support}_labels.npy")
    xq, yq = (x, y) if query is None else (np.load(real_features / f"fsp/{query}.npy"),
                                           np.load(real_features / f"{query}_labels.npy"))
    sides = {} if query is None else dict(query_x=xq, query_y=yq)
    tasks = sample_tasks(y, shots=5, num_tasks=40, query_y=None if query is None else yq)
    dictionary = BaseDictionary(16).fit(np.load(real_features / "fsp/NCT_train.npy"))

    def equal(estimator, exact, tasks):
        one, other = (evaluate(e, x, y, tasks, solver=solver, **sides).predictions
                      for e, solver in ((estimator, "batched"), (exact, "sklearn")))
        return (one == other).mean()

    ridge, logistic = RidgeClassifier(), LogisticRegression(max_iter=1000)
    exact = LogisticRegression(max_iter=100000, tol=1e-10)
    assert equal(NearestCentroid(), NearestCentroid(), tasks) == 1
    assert equal(ridge, ridge, tasks) == 1
    assert equal(logistic, exact, tasks) >= 0.999
    few = tasks.first(6)
    augmented = [LatentAugmentation(one, dictionary, n_aug=100) for one in (ridge, logistic, exact)]
    assert equal(augmented[0], augmented[0], few) >= 0.999
    assert equal(augmented[1], augmented[2], few) >= 0.999
