"""The engine on real features, against an independent reference; and the published command lines as they stand."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from fewshot_wsi.foundation.features import unit_length
from fewshot_wsi.foundation.provenance import labels_sha256
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.protocol import build_protocol
from fewshot_wsi.meta_test.results import find_results, read_result
from fewshot_wsi.meta_test.settings import RunSettings
from lowshot.dictionary import build_dictionary, save_dictionary
from lowshot.tasks import make_task_set, save_tasks

SETS = {"near": ("NCT_train", "NCT_test"), "mixture": ("LC", "LC"), "out": ("PAIP_train", "PAIP_test")}
CLASSES = {"NCT": 5, "LC": 5, "PAIP": 3}


def protocol_of(features, workdir):
    """Protocol whose feature store is the folder of real features."""
    (workdir / "extracted_feats").symlink_to(features, target_is_directory=True)
    sets = {name: dict(list=str(features / f"{name}.txt"), root="tiles", classes=name.split("_")[0], config="none")
            for pair in SETS.values() for name in pair}
    tasks = {task: dict(support=s, query=q, shots=(1, 5, 10), num_tasks=100, repeat_support=task == "near",
                        novel_classes=(4,) if task == "near" else (), methods=(("fsp", "linear", "Ridge"),))
             for task, (s, q) in SETS.items()}
    return build_protocol(dict(name="real", workdir=str(workdir), sets=sets, tasks=tasks, models=dict(fsp={}),
                               dictionary=dict(set="NCT_train", prefix="NCT"),
                               classes={name: tuple(map(str, range(n))) for name, n in CLASSES.items()}))


def stored_tasks(plan, arrays, protocol):
    """Write the reference's tasks as a task file of ours."""
    labels = [np.load(protocol.labels_file(name)) for name in SETS[plan.task]]
    meta = {"task": plan.task, "sampling": "published", "support_set": SETS[plan.task][0],
            "query_set": SETS[plan.task][1], "support_labels_sha256": labels_sha256(labels[0]),
            "query_labels_sha256": labels_sha256(labels[1])}
    save_tasks(plan.path, make_task_set(arrays["support"], arrays["query"], len(plan.classes), meta))


@pytest.mark.parametrize("task", SETS)
def test_linear_f1_is_that_of_the_reference(real_features, reference, tmp_path, task):
    protocol = protocol_of(real_features, tmp_path)
    model, novel = ("fsp_wo_4", (4,)) if task == "near" else ("fsp", ())
    for clf in ("Ridge", "logistic_regression", "nearest_centroid"):
        for shots in (1, 5, 10):
            with np.load(reference / "expected" / f"{task}_{shots}shot_{clf}.npz") as arrays:
                settings = RunSettings(protocol, task, model, "linear", clf, shots, len(arrays["f1"]), novel)
                stored_tasks(settings.plan, arrays, protocol)
                result = read_result(run_all([settings], quiet=True)[0].path)
                if clf == "logistic_regression":  # scikit-learn stops before the optimum, which is found here
                    assert abs(result.f1.mean() - arrays["f1"].mean()) < 0.001
                else:
                    np.testing.assert_allclose(result.f1, arrays["f1"], atol=1e-12)


def published_commands(text):
    """The commands of the authors' description, one line each, their comments removed."""
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in text.splitlines()]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [line for line in joined.splitlines() if line.startswith("python3")]


def test_published_commands_work(reference, tmp_path, run):
    """All of them but the training, with their variables set, on small features under the published names."""
    rng = np.random.default_rng(0)
    store = tmp_path / "wsi_workdir/workdir/extracted_feats"
    for model in ("clp", "clp_wo_7"):
        (store / model).mkdir(parents=True)
        for name, ways in (("NCT_train", 9), ("NCT_test", 9), ("LC", 5), ("PAIP_train", 3), ("PAIP_test", 3)):
            labels = np.repeat(np.arange(ways), 20)
            np.save(store / model / f"{name}.npy", unit_length(
                np.eye(ways, 16)[labels] + rng.standard_normal((len(labels), 16)))[0])
            np.save(store / f"{name}_labels.npy", labels)
        features, labels = np.load(store / model / "NCT_train.npy"), np.load(store / "NCT_train_labels.npy")
        save_dictionary(store.parent / "dict" / model, "NCT", build_dictionary(features[labels != 7]))
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    values = {"num_shot": "5", "model": "clp", "_model": "clp_wo_7", "i": "7", "novel": "7", "clf": "Ridge"}
    commands = published_commands((reference / "published_readme.txt").read_text())
    chosen = [c for c in commands if "generate_task" in c or "distributed_meta_test" in c]
    assert len(chosen) == 5
    for command in chosen:
        if "--task mixture" in command and "meta_test" in command:
            values["_model"] = "clp"
        text = re.sub(r"\$\{?(\w+)\}?", lambda match: values[match[1]], command)
        script, *options = [part for part in shlex.split(text)[1:] if part != "-u"]
        done = run(script, *options, cwd=tmp_path)
        assert done.returncode == 0, f"{text}\n{done.stderr}"
    names = [str(path.relative_to(tmp_path)) for path in find_results(tmp_path / "wsi_workdir/workdir/results")]
    assert names == ["wsi_workdir/workdir/results/mixture/clp/5shot_linear_Ridge.json",
                     "wsi_workdir/workdir/results/near/clp_wo_7/5shot_linear_Ridge_wo_7.json"]
    assert Path(tmp_path, "wsi_workdir/workdir/tasks/out/3-way-5-shot.npz").is_file()
