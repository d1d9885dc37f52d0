"""The command that names tiles: from folders, lists and features to a table; heads that are kept; what goes wrong."""

import csv
import json
import os
import re
import resource
import subprocess
import sys
import time

import numpy as np
import pytest
from _world import make_world_with_tasks
from conftest import ROOT
from PIL import Image
from sklearn.linear_model import LogisticRegression, RidgeClassifier

from fewshot_wsi.commands.predict import main
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import row_blocks
from fewshot_wsi.foundation.files import file_sha256, write_json
from fewshot_wsi.foundation.lists import read_list, write_list
from fewshot_wsi.foundation.tables import read_table, write_table
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.settings import RunSettings
from fewshot_wsi.predict.head import load_head
from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.classifiers import classifiers
from lowshot.dictionary import load_dictionary
from lowshot.fitting import fit
from lowshot.prediction import fit_planes
from lowshot.tasks import load_tasks

COLOURS = {"fat": (240, 225, 230), "muscle": (200, 90, 130), "tumour": (110, 60, 140)}


def draw(path, colour, rng):
    """A tile of one colour and some noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.array(colour) + rng.normal(0, 25, size=(32, 32, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """labelled/<class>/<i>.png, four a class, and tiles/<class>_<i>.png, five a class."""
    folder, rng = tmp_path_factory.mktemp("tiles"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for i in range(4):
            draw(folder / f"labelled/{name}/{i}.png", colour, rng)
        for i in range(5):
            draw(folder / f"tiles/{name}_{i}.png", colour, rng)
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world_with_tasks(tmp_path_factory.mktemp("world"))[0]


def read(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def predict(*words):
    return main([str(word) for word in (*words, "--quiet")])


@pytest.fixture
def features(tmp_path):
    """feats.npy of 60 rows in three classes, its list and provenance, and labels.csv of four a class."""
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    x = 3 * np.eye(8)[labels] + rng.normal(size=(60, 8))
    np.save(tmp_path / "feats.npy", (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    names = [f"slide {i // 6}/tile {i}.png" for i in range(60)]
    write_list(tmp_path / "tiles.txt", names)
    write_json(tmp_path / "feats.json", {
        "encoder": "drawn", "weights_sha256": "w", "config_sha256": "c", "list": str(tmp_path / "tiles.txt"),
        "list_sha256": file_sha256(tmp_path / "tiles.txt"), "sha256": file_sha256(tmp_path / "feats.npy")})
    rows = "".join(f"{names[i]},{'abc'[labels[i]]}\n" for i in range(12))
    (tmp_path / "labels.csv").write_text("path,label\n" + rows)
    return tmp_path


def test_a_folder_of_tiles_is_named_and_the_estimate_comes_first(tiles, tmp_path, capsys):
    assert predict("--support", tiles / "labelled", "--query", tiles / "tiles", "--encoder", "color_histogram",
                   "--out", tmp_path / "p.csv") == 0
    shown = capsys.readouterr().out
    assert shown.index("leave-one-tile-out: 100.0 %, 95 % interval") < shown.index("wrote")
    rows = read(tmp_path / "p.csv")
    assert [row["path"].split("_")[0] for row in rows] == [row["class"] for row in rows] and len(rows) == 15
    for row in rows:
        scores = sorted((float(row[f"score_{name}"]) for name in COLOURS), reverse=True)
        assert float(row["margin"]) == pytest.approx(scores[0] - scores[1], abs=1e-9)
        assert row["nearest_1"].split("/")[0] == row["class"] and (tiles / "labelled" / row["nearest_1"]).is_file()


@pytest.mark.parametrize("mode, clf", [("linear", "Ridge"), ("latent_aug", "Ridge"),
                                       ("latent_aug", "logistic_regression"), ("linear", "nearest_centroid"),
                                       ("linear", "simpleshot")])
@pytest.mark.parametrize("number", [0, 7])
def test_classes_and_scores_are_those_of_the_engine(world, tmp_path, mode, clf, number):
    """The engine's result of one task, and `predict.py` on the rows of that task, near-domain repeats included."""
    run = RunSettings(world, "near", "enc_wo_3", mode, clf, num_shots=3, num_aug_shots=9, novel=(3,))
    outcome, = run_all([run], quiet=True)
    engine = read_result(outcome.path)
    tasks = load_tasks(run.plan.path)
    names, classes = read_list(world.set("base").list).names, world.classes_of("base")
    support = [f"{names[row]} {label}" for row, label in zip(tasks.support[number], tasks.support_labels, strict=True)]
    (tmp_path / "support.txt").write_text("\n".join(support) + "\n")
    needs = mode != "linear" or clf == "simpleshot"
    options = [*(["--dict", run.dictionary_folder] if needs else []),
               *(["--num_aug_shots", 9] if mode != "linear" else [])]
    assert predict("--support", tmp_path / "support.txt", "--classes", *classes, "--support_features",
                   world.features_file("enc_wo_3", "base"), "--support_list", world.set("base").list, "--query",
                   world.features_file("enc_wo_3", "test"), "--query_list", world.set("test").list, "--clf", clf,
                   "--mode", mode, "--seed", run.seed, "--setting", run.plan.setting, "--number", number, *options,
                   "--out", tmp_path / "p.csv", "--save", tmp_path / "head") == 0
    rows = read(tmp_path / "p.csv")
    found = np.array([classes.index(rows[row]["class"]) for row in tasks.query[number]])
    np.testing.assert_array_equal(found, engine.predictions[number])
    if clf == "simpleshot":
        return
    head = load_head(tmp_path / "head")
    x = np.load(world.features_file("enc_wo_3", "test"))[tasks.query[number]]
    again = head.fitted(x)[1]
    kind = "probability" if clf == "logistic_regression" else "score"
    written = np.array([[float(rows[row][f"{kind}_{name}"]) for name in classes] for row in tasks.query[number]])
    np.testing.assert_allclose(written, again, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode, clf", [("linear", "Ridge"), ("latent_aug", "Ridge"), ("linear", "logistic_regression"),
                                       ("latent_aug", "nearest_centroid")])
def test_scores_of_a_kept_classifier_are_those_of_a_block_of_tasks(world, mode, clf):
    """A task alone, as `fit` sees it, and among others, as the engine sees it."""
    run = RunSettings(world, "mix", "enc", mode, clf, num_shots=2, num_aug_shots=9)
    dictionary = load_dictionary(run.dictionary_folder, "B", 4)
    tasks, x = load_tasks(run.plan.path), np.load(world.features_file("enc", "base"))
    augmentation = LatentShifts(dictionary, 9, seed=3) if mode != "linear" else None
    form, labels = "batched" if mode == "linear" else "sampled", tasks.support_labels
    planes = fit_planes(classifiers()[clf], form, augmentation, x[tasks.support[:5]], np.tile(labels, (5, 1)), 4,
                        run.plan.setting, np.arange(5))
    query = x[tasks.query[:5]]
    whole = planes[0].scores(query) if form == "batched" else np.array(
        [one.scores(q) for one, q in zip(planes, query, strict=True)])
    for number in range(5):
        fitted = fit(clf, x[tasks.support[number]], labels, augmentation=augmentation, setting=run.plan.setting,
                     number=number)
        np.testing.assert_allclose(fitted.planes.scores(query[number]), whole[number], rtol=0, atol=1e-6)


def test_scores_are_those_of_scikit_learn(features):
    x = np.load(features / "feats.npy").astype(np.float64)
    for clf, kind in (("Ridge", "score"), ("logistic_regression", "probability")):
        assert predict("--support", features / "labels.csv", "--query", features / "feats.npy", "--clf", clf,
                       "--out", features / f"{clf}.csv") == 0
        model = (RidgeClassifier() if clf == "Ridge" else LogisticRegression(tol=1e-10)).fit(x[:12], np.arange(12) % 3)
        expected = model.decision_function(x) if kind == "score" else model.predict_proba(x)
        found = [[float(row[f"{kind}_{name}"]) for name in "abc"] for row in read(features / f"{clf}.csv")]
        # ours stops where 1e-8 nats of the loss are left, which may be 1e-4 of a weight
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 if kind == "score" else 1e-3)


def test_the_nearest_supports_are_the_nearest(features):
    predict("--support", features / "labels.csv", "--query", features / "feats.npy", "--out", features / "p.csv")
    x = np.load(features / "feats.npy")
    distances = np.linalg.norm(x[:, None] - x[None, :12], axis=2)
    names = (features / "tiles.txt").read_text().splitlines()[:12]
    for row, order in zip(read(features / "p.csv"), np.argsort(distances, axis=1), strict=True):
        assert [row[f"nearest_{i}"] for i in (1, 2, 3)] == [names[place] for place in order[:3]]


@pytest.mark.parametrize("clf", ["Ridge", "logistic_regression", "simpleshot"])
def test_a_head_says_the_same_again_and_holds_no_pickle(features, clf):
    base = ["--base", features / "feats.npy", "--num_prototypes", 3] if clf == "simpleshot" else []
    assert predict("--support", features / "labels.csv", "--query", features / "feats.npy", "--out",
                   features / "a.csv", "--save", features / "head", "--clf", clf, *base) == 0
    assert predict("--head", features / "head", "--query", features / "feats.npy", "--out", features / "b.csv") == 0
    assert (features / "a.csv").read_bytes() == (features / "b.csv").read_bytes()
    facts = json.loads((features / "head/head.json").read_text())
    assert facts["encoder"]["weights_sha256"] == "w" and facts["classes"] == ["a", "b", "c"]
    assert [one["path"] for one in facts["supports"]][:2] == ["slide 0/tile 0.png", "slide 0/tile 1.png"]
    assert {path.name for path in (features / "head").iterdir()} == {"head.json", "head.npz"}
    if base:
        assert facts["dictionary"]["base"] == str(features / "feats.npy")
    with np.load(features / "head/head.npz", allow_pickle=False) as stored:
        assert all(stored[name].dtype != object for name in stored.files)


def test_a_head_finds_its_encoder_again_and_refuses_another(tiles, tmp_path):
    save = ["--support", tiles / "labelled", "--encoder", "color_histogram", "--save", tmp_path / "head"]
    assert predict(*save) == 0
    assert predict("--head", tmp_path / "head", "--query", tiles / "tiles", "--out", tmp_path / "p.csv") == 0
    with pytest.raises(UserError, match="another encoder .*mean_rgb here, color_histogram there"):
        predict("--head", tmp_path / "head", "--query", tiles / "tiles", "--out", tmp_path / "q.csv", "--encoder",
                "mean_rgb")
    assert predict(*save) == 0  # the same again is kept
    with pytest.raises(UserError, match="holds another head"):
        predict(*save, "--clf", "nearest_centroid")


def spoil(features, **changes):
    """The features and their JSON, changed."""
    x = np.load(features / "feats.npy")
    np.save(features / "other.npy", changes.pop("array", lambda x: x)(x))
    made = json.loads((features / "feats.json").read_text())
    write_json(features / "other.json", {**made, "sha256": file_sha256(features / "other.npy"), **changes})
    return features / "other.npy"


@pytest.mark.parametrize("changes, words", [
    (dict(weights_sha256="v"), "another encoder than the features of the supports .*weights_sha256"),
    (dict(array=lambda x: x[:, :5]), "features of width 5, the classifier is fitted to 8"),
    (dict(array=lambda x: 7 * x), "row 0 has the length 7, the supports have unit length"),
    (dict(array=lambda x: x * np.nan), "row 0 holds NaN"),
])
def test_features_that_do_not_fit_are_refused_and_nothing_is_left(features, changes, words):
    predict("--support", features / "labels.csv", "--support_features", features / "feats.npy", "--save",
            features / "head")
    with pytest.raises(UserError, match=words):
        predict("--head", features / "head", "--query", spoil(features, **changes), "--out", features / "p.csv")
    assert not (features / "p.csv").exists()


@pytest.mark.parametrize("text, words", [
    ("path,label\nslide 0/tile 0.png,a\nslide 0/tile 1.png,a\n", "all supports are of the class 'a'"),
    ("path,label\nslide 0/tile 0.png,a\nslide 0/tile 0.png,b\n", "line 3: .* stands in line 2 already"),
    ("path,label\nslide 0/tile 0.png,a\nelsewhere.png,b\n", "1 of 2 supports have no row .*'elsewhere.png'"),
    ("path,label\n", "no row has a label"),
    ("path,label\nslide 0/tile 0.png,a\nslide 0/tile 1.png,\n", "all supports are of the class 'a'"),
])
def test_supports_that_do_not_do_are_one_line(features, text, words):
    (features / "bad.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        predict("--support", features / "bad.csv", "--query", features / "feats.npy", "--out", features / "p.csv")


def test_a_class_with_one_tile_is_used_and_the_missing_estimate_is_said(features, capfd):
    lines = (features / "labels.csv").read_text().splitlines()
    (features / "few.csv").write_text("\n".join([lines[0], *lines[1:5], lines[6]]) + "\n")
    assert predict("--support", features / "few.csv", "--query", features / "feats.npy", "--out",
                   features / "p.csv") == 0
    assert "no estimate of how good this is: the class 'b' has supports of one tile only" in capfd.readouterr().err
    assert {row["class"] for row in read(features / "p.csv")} == set("abc")


def test_an_empty_folder_and_a_support_that_does_not_decode_are_named(tiles, tmp_path):
    (tmp_path / "empty").mkdir()
    options = ["--encoder", "mean_rgb", "--out", tmp_path / "p.csv"]
    with pytest.raises(UserError, match="empty: no image below this folder"):
        predict("--support", tiles / "labelled", "--query", tmp_path / "empty", *options)
    for name in "ab":
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="bad/a/0.png: does not decode .*repair this support"):
        predict("--support", tmp_path / "bad", "--query", tiles / "tiles", *options)


def test_a_query_that_does_not_decode_is_named_and_the_others_have_their_class(tiles, tmp_path, capfd):
    options = ["--support", tiles / "labelled", "--encoder", "color_histogram"]
    predict(*options, "--query", tiles / "tiles", "--out", tmp_path / "whole.csv")
    folder = tmp_path / "tiles"
    folder.mkdir()
    for path in (tiles / "tiles").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "muscle_9.png").write_bytes(path.read_bytes()[:40])
    assert predict(*options, "--query", folder, "--out", tmp_path / "p.csv") == 1
    assert "1 of 16 queries could not be read" in capfd.readouterr().err
    rows = read(tmp_path / "p.csv")
    broken, = (row for row in rows if row["problem"])
    assert broken["path"] == "muscle_9.png" and not broken["class"] + broken["margin"] + broken["nearest_1"]
    assert [row for row in rows if not row["problem"]] == read(tmp_path / "whole.csv")


def test_names_are_data(tiles, tmp_path):
    names = ['a,"b".png', "=1+1.png", "ä b;c.png", "<b>&.png"]
    (tmp_path / "tiles").mkdir()
    for name in names:
        (tmp_path / "tiles" / name).write_bytes((tiles / "tiles/fat_0.png").read_bytes())
    predict("--support", tiles / "labelled", "--encoder", "mean_rgb", "--query", tmp_path / "tiles", "--out",
            tmp_path / "p.csv")
    told = [row for _, row in read_table(tmp_path / "p.csv", ("path",), ("path",))]
    assert sorted(row["path"] for row in told) == sorted(names)
    assert not any(row["path"].startswith("=") for row in read(tmp_path / "p.csv"))  # no formula in a spreadsheet


def test_sets_need_enough_held_out_supports_and_keep_groups_together(features):
    options = ["--support", features / "labels.csv", "--query", features / "feats.npy", "--out", features / "p.csv"]
    with pytest.raises(UserError, match="--coverage 0.9 needs 9 held-out tiles .*half of these supports are 6 tiles"):
        predict(*options, "--coverage", 0.9)
    assert predict(*options, "--coverage", 0.8, "--save", features / "head") == 0
    for row in read(features / "p.csv"):
        inside = [name for name in "abc" if row[f"in_set_{name}"] == "1"]
        assert (row["abstained"] == "0") == (len(inside) == 1)
        assert row["abstained"] == "1" or row["class"] == inside[0]


def test_a_finished_table_is_kept_and_another_is_not_overwritten(features, capsys):
    options = ["--support", features / "labels.csv", "--query", features / "feats.npy", "--out", features / "p.csv"]
    predict(*options)
    before = (features / "p.csv").read_bytes()
    predict(*options)
    assert "kept" in capsys.readouterr().out and (features / "p.csv").read_bytes() == before
    with pytest.raises(UserError, match="made of other inputs"):
        predict(*options, "--clf", "nearest_centroid")
    assert predict(*options, "--clf", "nearest_centroid", "--overwrite") == 0
    assert (features / "p.csv").read_bytes() != before


def test_parquet_holds_what_the_csv_holds(features):
    parquet = pytest.importorskip("pyarrow.parquet")
    for suffix in ("csv", "parquet"):
        predict("--support", features / "labels.csv", "--query", features / "feats.npy", "--coverage", 0.8, "--out",
                features / f"p.{suffix}")
    rows = parquet.read_table(features / "p.parquet").to_pylist()
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows] == read(
        features / "p.csv")


def test_killed_by_force_it_continues_and_ends_the_same(tmp_path):
    """Features of many blocks; the command is killed as soon as the first ones are there."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "feats.npy", rng.normal(size=(400_000, 16)).astype(np.float32))
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(8)))
    command = [sys.executable, "wsi_workdir/predict.py", "--support", str(tmp_path / "labels.csv"), "--query",
               str(tmp_path / "feats.npy"), "--quiet", "--out"]
    process = subprocess.Popen([*command, str(tmp_path / "p.csv")], cwd=ROOT, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".p.csv.*.parts/000003.npz")):
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    kept, = tmp_path.glob(".p.csv.*.parts")
    times = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.npz")}
    assert times and not (tmp_path / "p.csv").exists()
    again = subprocess.Popen([*command, str(tmp_path / "p.csv")], cwd=ROOT, stdout=subprocess.DEVNULL)
    assert again.wait(120) == 0
    subprocess.run([*command, str(tmp_path / "whole.csv")], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert (tmp_path / "p.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"feats.npy", "labels.csv", "p.csv", "p.csv.json",
                                                          "whole.csv", "whole.csv.json"}


@pytest.mark.parametrize("words, text", [
    (("--query", "q.npy", "--out", "p.csv"), "give --support, or a kept classifier"),
    (("--support", "s", "--query", "q.npy"), "give --query and --out"),
    (("--head", "h", "--query", "q.npy", "--out", "p.csv", "--clf", "Ridge"), "--clf belongs to --support"),
    (("--support", "s", "--query", "q.npy", "--out", "p.csv", "--base", "b.npy"), "only with --mode latent_aug"),
    (("--support", "s", "--query", "q.npy", "--out", "p.csv", "--coverage", "1"), "lies between 0 and 1"),
])
def test_options_that_do_not_belong_together(words, text, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2 and text in capsys.readouterr().err


def test_latent_augmentation_needs_a_dictionary_and_takes_the_queries_own_features(features):
    options = ["--support", features / "labels.csv", "--query", features / "feats.npy", "--mode", "latent_aug"]
    with pytest.raises(UserError, match="needs a base dictionary: name one with --dict"):
        predict(*options, "--out", features / "p.csv")
    assert predict(*options, "--base", features / "feats.npy", "--num_prototypes", 4, "--out", features / "p.csv",
                   "--save", features / "head") == 0
    made = json.loads((features / "p.csv.json").read_text())["dictionary"]
    assert made["base"] == str(features / "feats.npy") and made["how"]["features_sha256"]


def test_blocks_of_a_features_file_are_its_rows(features):
    x = np.load(features / "feats.npy")
    for size in (7, 60, 100):
        np.testing.assert_array_equal(np.concatenate([part for _, part in row_blocks(features / "feats.npy", size)]), x)


def test_the_walkthrough_of_the_document_names_tiles(tmp_path):
    text = (ROOT / "GETTING_STARTED.md").read_text()
    section = text.split("## Label and name your own tiles")[1].split("\n## ")[0]
    before, after = re.findall(r"^```bash\n(.*?)^```", section, flags=re.M | re.S)
    for name in ("wsi_workdir", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        for i in range(20):
            draw(tmp_path / f"tiles/{name}_{i:02d}.png", colour, rng)
    shell(before, tmp_path)
    chosen = [row["path"] for row in read(tmp_path / "round1/selected.csv")]
    assert len(chosen) == 30 and (tmp_path / "round1/label.html").is_file()
    write_table(tmp_path / "labels.csv", ("path", "label"), [(path, path.split("_")[0]) for path in chosen])
    said = shell(after, tmp_path)
    assert "30 supports: " in said and "macro F1 of these supports, leave-one-tile-out:" in said
    rows = read(tmp_path / "named.csv")
    assert len(rows) == 60 and all(row["path"].startswith(f"{row['class']}_") for row in rows)
    assert list((tmp_path / "curve").glob("*.csv")) and "F1 0.9" in said
    table = "".join(re.findall(r"^\| (`.+?) \|", section, flags=re.M))
    documented = tuple(word.rstrip("…123") for word in re.findall("`([^`]+)`", table))
    assert all(name.startswith(documented) for name in rows[0])


def shell(script, folder):
    """Run the commands of a document as they stand; what they print."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(["bash", "-e", "-c", script], cwd=folder, env={**os.environ, "PATH": path}, text=True,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_encoder_of_a_protocols_model_is_that_encoder(tiles, tmp_path):
    (tmp_path / "protocol.json").write_text(json.dumps(dict(
        name="own", workdir=str(tmp_path), classes=dict(tissue=list(COLOURS)), models=dict(colour=dict(
            encoder="color_histogram")), dictionary=dict(set="base", prefix="B"),
        sets=dict(base=dict(list="none.txt", root="none", classes="tissue",
                            config="configs/extraction/extract_feats_LC.py")),
        tasks=dict(out=dict(support="base", query="base", shots=[1], methods=[["colour", "linear", "Ridge"]])))))
    options = ["--support", tiles / "labelled", "--query", tiles / "tiles"]
    predict(*options, "--encoder", "color_histogram", "--out", tmp_path / "a.csv")
    predict(*options, "--protocol", tmp_path / "protocol.json", "--model", "colour", "--out", tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    with pytest.raises(UserError, match="no model 'other'; there are colour"):
        predict(*options, "--protocol", tmp_path / "protocol.json", "--model", "other", "--out", tmp_path / "c.csv")


def test_a_full_disk_is_one_line_and_loses_nothing(features):
    """The size of files is limited, which Python reports as it does a full disk; then the same command again."""
    command = [sys.executable, "wsi_workdir/predict.py", "--support", features / "labels.csv", "--query",
               features / "feats.npy", "--quiet", "--out", features / "p.csv"]
    limited = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY)))
    assert limited.returncode == 2 and limited.stderr.count("\n") == 1, limited.stderr
    assert "the file would grow over the size limit; free some space" in limited.stderr
    assert not (features / "p.csv").exists()
    assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0
    assert len(read(features / "p.csv")) == 60 and not list(features.glob(".*"))
