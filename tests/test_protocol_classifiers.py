"""Classifiers that a protocol names, and that commands and the public API are one engine."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from _world import DIM, make_world, make_world_with_tasks
from sklearn.linear_model import RidgeClassifier
from sklearn.svm import SVC

from fewshot_wsi.commands.report import main as report
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.seeds import generator
from fewshot_wsi.meta_test import classifiers as classifiers_module
from fewshot_wsi.meta_test import evaluate as evaluate_module
from fewshot_wsi.meta_test import settings as settings_module
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.protocol import build_protocol, load_protocol
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.runs import runs_of
from fewshot_wsi.meta_test.settings import RunSettings
from lowshot import BaseDictionary, LatentAugmentation, SimpleShot, evaluate, load_tasks
from lowshot.augmentations import Augmentation, augmentations
from lowshot.classifiers import classifiers

OWN = {"svm": dict(type="sklearn.svm.SVC", C=10.0), "flat": dict(type="Ridge", alpha=1.0),
       "stiff": dict(type="Ridge", alpha=50.0)}


@pytest.fixture
def world(tmp_path):
    return make_world_with_tasks(tmp_path)[0]


def features(protocol, name):
    return np.load(protocol.features_file("enc", name)), np.load(protocol.labels_file(name))


def test_commands_score_what_evaluate_scores(world):
    protocol = replace(world, classifiers=OWN)
    tasks = load_tasks(Path(protocol.workdir, "tasks/mix/4-way-2-shot.npz"))
    assert (tasks.seed, tasks.setting) == (protocol.seed, "mix/4-way-2-shot")
    x, y = features(protocol, "base")
    dictionary = BaseDictionary.load(protocol.dictionary_folder("enc"), "B", 4)
    own = {"svm": SVC(C=10.0), "flat": RidgeClassifier(), "stiff": RidgeClassifier(alpha=50.0), "Ridge": "Ridge"}
    runs = [RunSettings(protocol, "mix", "enc", mode, name, 2) for name in own for mode in ("linear", "latent_aug")]
    runs += [RunSettings(protocol, "mix", "enc", "linear", "simpleshot", 2)]
    for run, outcome in zip(runs, run_all(runs, workers=2, quiet=True), strict=True):
        estimator = SimpleShot(dictionary.dictionary_.mean) if run.clf == "simpleshot" else own[run.clf]
        if run.mode == "latent_aug":
            estimator = LatentAugmentation(estimator if run.clf != "Ridge" else RidgeClassifier(), dictionary)
        found = read_result(outcome.path)
        np.testing.assert_array_equal(found.predictions, evaluate(estimator, x, y, tasks).predictions)
        assert found.config.get("classifier") == OWN.get(run.clf)


def test_a_protocols_classifier_is_in_its_results_their_names_and_the_report(world, tmp_path, capsys):
    protocol = replace(world, classifiers=OWN, tasks={"mix": replace(world.tasks["mix"], methods=(
        ("enc", "linear", "svm"), ("enc", "linear", "Ridge"), ("enc", "linear", "simpleshot")))})
    runs = runs_of(protocol)
    assert [run.result_file.name for run in runs] == [f"2shot_linear_{c}.json" for c in ("svm", "Ridge", "simpleshot")]
    assert [run.uses_dictionary for run in runs] == [False, False, True]
    run_all(runs, quiet=True)
    changed = replace(protocol, classifiers={"svm": dict(type="sklearn.svm.SVC", C=0.01)})
    assert [o.kept for o in run_all(runs, quiet=True)] == [True] * 3
    assert not run_all([replace(runs[0], protocol=changed)], quiet=True)[0].kept
    report([str(Path(protocol.workdir, "results")), "--out", str(tmp_path / "report")])
    page = (tmp_path / "report/report.html").read_text()
    assert "enc · svm" in page and "enc · SimpleShot" in page


def test_a_protocol_written_down_as_json_reads_the_same_classifiers(tmp_path):
    protocol = replace(make_world(tmp_path)[0], classifiers=OWN)
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps({key: value for key, value in asdict(protocol).items() if key != "path"}))
    read = load_protocol(path)
    assert read.classifier("svm").estimator.C == 10.0
    assert read.classifier("flat").batched is classifiers()["Ridge"].batched
    assert read.classifier("stiff").batched is None


@dataclass(frozen=True)
class Noise:
    """White noise of the dictionary's mean variance, as an augmentation of a user's own."""
    dictionary: object
    n_aug: int
    kind: str
    seed: int

    def augment(self, support, setting, task):
        scale = np.sqrt(np.mean([np.diag(one) for one in self.dictionary.covariances]))
        noise = scale * generator(self.seed, "noise", setting, int(task)).normal(size=(len(support), self.n_aug, DIM))
        noise[:, 0] = 0
        return support[:, None] + noise


def test_an_augmentation_is_one_registration(world, monkeypatch):
    known = {**augmentations(), "noise": Augmentation("noise", "noise", Noise)}
    for module in (classifiers_module, settings_module, evaluate_module):
        monkeypatch.setattr(module, "augmentations", lambda: known)
    run = RunSettings(world, "mix", "enc", "noise", "Ridge", 2, num_aug_shots=7)
    assert run.uses_dictionary and run.result_file.name == "2shot_noise_Ridge_draws7.json"
    found = read_result(run_all([run], quiet=True)[0].path)
    tasks, (x, y) = load_tasks(run.plan.path), features(world, "base")
    noise = Noise(BaseDictionary.load(world.dictionary_folder("enc"), "B", 4).dictionary_, 7, "sampled", world.seed)
    for task in (0, 59):
        rows = tasks.support[task]
        augmented = noise.augment(x[rows], tasks.setting, task).reshape(-1, DIM)
        want = RidgeClassifier().fit(augmented, np.repeat(y[rows], 7)).predict(x[tasks.query[task]])
        np.testing.assert_array_equal(found.predictions[task], want)
    with pytest.raises(UserError, match="--latent expected: noise knows sampled"):
        replace(run, latent="expected")


@pytest.mark.parametrize("spec, path, words", [
    (dict(type="os.system"), "p.json", "a protocol in .json names Ridge"),
    (dict(type="subprocess.Popen", args=["touch", "x"]), "p.yaml", "write the protocol in Python"),
    (dict(type="sklearn.svm.SVC", D=3), "p.py", "classifiers.own: .*unexpected keyword argument 'D'"),
    (dict(type="sklearn.svm.SVD"), "p.py", "cannot be imported"),
    (dict(type="sklearn.svm.SVR"), "p.json", "SVR is no scikit-learn classifier"),
    (dict(type="sklearn.clone"), "p.json", "is no class"),
    (dict(C=3), "p.py", r"expected dict\(type='sklearn.svm.SVC'"),
    (dict(type="sklearn.svm.SVC", C=object()), "p.py", "give numbers and texts"),
    (dict(type="sklearn.svm.SVC", C=float("nan")), "p.py", "give numbers and texts"),
    (dict(type="SVC"), "p.json", "is written with its module, as sklearn.svm.SVC"),
    (dict(type="builtins.dict"), "p.py", "dict is no scikit-learn classifier"),
    (dict(type="simpleshot", base_mean=[0.0]), "p.py", "base_mean is that of the run's base dictionary"),
])
def test_what_is_no_classifier_is_refused(tmp_path, spec, path, words):
    data = asdict(make_world(tmp_path)[0])
    del data["path"]
    with pytest.raises(UserError, match=words):
        build_protocol({**data, "classifiers": {"own": spec}}, path)
    for name in ("../own", "a/b", "", "own_1", "own\n"):
        with pytest.raises(UserError, match="part of file names"):
            build_protocol({**data, "classifiers": {name: dict(type="sklearn.svm.SVC")}}, path)
    with pytest.raises(UserError, match="classifier of this name"):
        build_protocol({**data, "classifiers": {"Ridge": dict(type="sklearn.svm.SVC")}}, path)
