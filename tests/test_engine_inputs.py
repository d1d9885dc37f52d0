"""What a run reads: refused or noticed where it does not fit, and the commands that make what is missing."""
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _world import make_world_with_tasks
from conftest import ROOT

from fewshot_wsi.commands import extract
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256, read_json, write_json
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.inputs import Inputs
from fewshot_wsi.meta_test.origins import origin_warnings
from fewshot_wsi.meta_test.protocol import load_protocol
from fewshot_wsi.meta_test.remedies import extract_command, views_command
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.settings import RunSettings
from fewshot_wsi.pipeline.plan import Plan
from fewshot_wsi.pipeline.steps import dictionary_steps
from fewshot_wsi.report.writing import write_report
from lowshot.dictionary import bank_files


@pytest.fixture
def world(tmp_path):
    return make_world_with_tasks(tmp_path)


def spoil(protocol, what):
    """Bring about one fault in the files of a world."""
    features, labels = protocol.features_file("enc", "base"), protocol.labels_file("base")
    stored = np.load(features)
    if what == "nan":
        stored[5, 2] = np.nan
        np.save(features, stored)
    elif what == "fewer features":
        np.save(features, stored[:-1])
    elif what == "another width":
        np.save(features, stored[:, :-1])
    elif what == "no features":
        features.unlink()
    elif what == "other labels":
        np.save(labels, np.load(labels)[::-1].copy())
    elif what == "no tasks":
        shutil.rmtree(Path(protocol.workdir, "tasks"))
    elif what == "no dictionary":
        shutil.rmtree(Path(protocol.workdir, "dict"))
    elif what == "narrow dictionary":
        for bank in Path(protocol.workdir, "dict", "enc").glob("*PROTO*"):
            np.save(bank, np.load(bank)[:, :-1])


@pytest.mark.parametrize("what, words", [
    ("nan", "base.npy: row 5 holds NaN"), ("fewer features", "119 rows, but labels or list have 120"),
    ("another width", "features of base are 11 wide, those of test 12"),
    ("no features", "make it with python wsi_workdir/extract.py --protocol .*protocol.py --model enc --sets base"),
    ("other labels", "sampled for other data or another task .support_labels_sha256 differ."),
    ("no tasks", "make it with python wsi_workdir/tools/generate_task.py --task out --num_shots 2 --num_task 60"),
    ("no dictionary", "make it with python wsi_workdir/dict_construction.py --model enc --num_prototypes 4"),
    ("narrow dictionary", "expected floats 4 × 12")])
def test_inputs_that_do_not_fit_are_refused_before_the_first_task(world, what, words):
    protocol, _ = world
    settings = RunSettings(protocol, "out", "enc", "latent_aug", num_shots=2, num_task=60, num_prototypes=4)
    spoil(protocol, what)
    with pytest.raises(UserError, match=words):
        run_all([settings], quiet=True)
    assert not Path(protocol.workdir, "results").exists()


@pytest.mark.parametrize("change, words", [
    ({"num_task": 61}, "holds 60 tasks, 61 are asked for"), ({"mode": "linaer"}, "did you mean 'linear'"),
    ({"clf": "svm"}, "--clf is 'svm'.*known: Ridge"), ({"num_shots": 0}, "--num_shots is 0"),
    ({"aug_times": -1}, "--aug_times is -1"),
    ({"task": "outt"}, "did you mean 'out'"), ({"seed": -1}, "--seed is -1"),
    ({"mode": "latent_aug", "latent": "expected", "clf": "logistic_regression"}, "no closed form")])
def test_wrong_settings_are_refused(world, change, words):
    with pytest.raises(UserError, match=words):
        run_all([RunSettings(**{"protocol": world[0], "task": "out", "model": "enc", "num_shots": 2, **change})])


def test_a_model_scored_on_other_novel_classes_is_noticed(world, capfd):
    protocol, _ = world
    settings = RunSettings(protocol, "NCT_78_aug", "enc_wo_3", num_shots=2, num_task=60, novel=(2, 3))
    run_all([settings], quiet=True)
    assert "enc_wo_3 was trained on muscle, tumour, which NCT_78_aug calls novel" in capfd.readouterr().err


def test_a_dictionary_that_holds_the_novel_class_is_noticed(world, run, capfd):
    protocol, path = world
    store = Path(protocol.workdir, "extracted_feats")
    shutil.copytree(store / "enc", store / "unknown")  # of an encoder that the protocol does not tell of
    for novel, noticed in (("2", True), ("3", False)):
        made = run("wsi_workdir/dict_construction.py", "--model", "unknown", "--novel_class", novel,
                   "--protocol", path, "--overwrite")
        assert made.returncode == 0, made.stderr
        Inputs().prepare(RunSettings(protocol, "near", "unknown", "latent_aug", num_shots=1, novel=(3,)))
        assert ("built with the novel classes [3] in it" in capfd.readouterr().err) == noticed


def test_one_encoder_has_a_dictionary_for_each_novel_class(world, run):
    """Models without {novel} in their name: every class is scored with a dictionary that leaves it out."""
    protocol, path = world
    novel = {}
    for label in (1, 3):
        settings = RunSettings(protocol, "near", "enc", "latent_aug", num_shots=1, novel=(label,),
                               dict_folder="my dicts")
        with pytest.raises(UserError, match="make it with python wsi_workdir/dict_construction.py") as missing:
            make_tasks(settings.plan)
            Inputs().prepare(settings)
        command = shlex.split(str(missing.value).partition(" with ")[2])
        done = run(sys.executable, ROOT / command[1], *command[2:], cwd=path.parent)
        assert done.returncode == 0, done.stderr
        found = read_json(path.parent / bank_files(settings.dictionary_folder, "B", 4)["json"])
        novel[label] = found["how"]["novel"]
    assert novel == {1: [1], 3: [3]}


def test_a_dictionary_of_any_unlabelled_features_is_used_and_named_in_the_result(world, run):
    protocol, path = world
    base = path.parent / "mine.npy"
    features = np.load(Path(protocol.workdir, "extracted_feats/enc/base.npy"))
    np.save(base, features[::2])
    done = run("wsi_workdir/dict_construction.py", "--model", "enc", "--base", base, "--protocol", path, "--dict_pth",
               path.parent / "own", "--num_shift_vectors", 50)
    assert done.returncode == 0 and f"4 prototypes of {len(features[::2])} features" in done.stdout, done.stderr
    settings = RunSettings(protocol, "mix", "enc", "latent_aug", num_shots=2, dict_folder=str(path.parent / "own"))
    outcome, = run_all([settings], quiet=True)
    result = read_json(settings.result_file)
    assert result["sets"]["base"] == str(base)
    assert read_result(settings.result_file).sets["base"] == str(base)
    again = run("wsi_workdir/dict_construction.py", "--model", "enc", "--base", base, "--protocol", path, "--dict_pth",
                path.parent / "own", "--num_shift_vectors", 50)
    assert "made from the same inputs before, kept" in again.stdout
    np.save(base, features[1::2])
    other = run("wsi_workdir/dict_construction.py", "--model", "enc", "--base", base, "--protocol", path, "--dict_pth",
                path.parent / "own", "--num_shift_vectors", 50)
    assert other.returncode == 2 and "made with other features_sha256" in other.stderr
    wrong = run("wsi_workdir/dict_construction.py", "--model", "enc", "--base", base, "--novel_class", 3,
                "--protocol", path)
    assert wrong.returncode == 2 and "--base has no labels" in wrong.stderr


def test_base_features_of_another_encoder_are_refused(world, run):
    protocol, path = world
    base, own = path.parent / "mine.npy", Path(protocol.workdir, "extracted_feats/enc/base.npy")
    for file, weights in ((base, "1" * 64), (own, "2" * 64)):
        features = np.load(own)
        np.save(file, features)
        write_json(file.with_suffix(".json"), {"encoder": "vit", "weights_sha256": weights,
                                               "sha256": file_sha256(file)})
    assert not run("wsi_workdir/dict_construction.py", "--model", "enc", "--base", base, "--protocol", path,
                   "--dict_pth", path.parent / "own").returncode
    settings = RunSettings(protocol, "mix", "enc", "latent_aug", num_shots=2, dict_folder=str(path.parent / "own"))
    with pytest.raises(UserError, match="mine.npy, are of another encoder than those of enc .weights_sha256 differ"):
        Inputs().prepare(settings)


def test_an_encoder_that_saw_the_source_of_the_tiles_is_named_here_and_in_the_report(world, capfd):
    protocol, path = world
    for name in ("base", "test"):
        file = Path(protocol.workdir, f"extracted_feats/enc/{name}.npy")
        write_json(file.with_suffix(".json"), {
            "encoder": "uni", "weights_sha256": "1" * 64, "sha256": file_sha256(file), "mpp": 0.5,
            "pretraining_data": ["GTEx", "TCGA"], "license": "CC-BY-NC-ND-4.0", "citation": "Chen et al. 2024"})
    text = path.read_text()
    path.write_text(text.replace("slide=0),", "slide=0, source='TCGA-CRC-DX', mpp=0.25),"))
    settings = RunSettings(load_protocol(path), "out", "enc", num_shots=2)
    run_all([settings], quiet=True)
    seen = "enc was pre-trained on TCGA, where the tiles of test come from (TCGA-CRC-DX)"
    scale = "enc was pre-trained at 0.5 microns per pixel, the tiles of test have 0.25"
    noticed = capfd.readouterr().err
    assert seen in noticed and scale in noticed and "tiles of base" not in noticed
    page, content = write_report([settings.result_file.parent], path.parent / "report", protocol=load_protocol(path))
    text = Path(page).read_text()
    assert all(words in text for words in (seen, scale, "CC-BY-NC-ND-4.0", "Chen et al. 2024", "GTEx, TCGA"))


@pytest.mark.parametrize("source, data, warned", [
    ("TCGA", ["TCGA"], True), ("tcga-coad", ["TCGA"], True), ("NCT", ["ImageNet-1k"], False), (None, ["TCGA"], False),
    ("TCGA", "TCGA", False), ("TCGA", [3], False), ("", ["TCGA"], False)])
def test_sources_are_compared_by_name(source, data, warned):
    sets = {"support": "a", "query": "a", "support_source": source, "query_source": source, "query_mpp": "x"}
    assert len(origin_warnings("m", {"pretraining_data": data, "mpp": 0.5}, sets)) == warned


def test_the_pipeline_makes_the_dictionaries_that_its_runs_read(world):
    """No two of them in one place, nor under one record."""
    protocol, _ = world
    methods = (("enc", "latent_aug", "Ridge"), ("enc_wo_3", "latent_aug", "Ridge"))
    near = replace(protocol.tasks["near"], novel_classes=(1, 3), methods=methods)
    plan = Plan(replace(protocol, tasks={"near": near}))
    steps = list(dictionary_steps(plan))
    made = {step.outputs[0].parent.relative_to(Path(protocol.workdir, "dict")).as_posix() for step in steps}
    assert made == {"enc/wo_1", "enc/wo_3", "enc_wo_3/wo_1", "enc_wo_3"} and len({step.item for step in steps}) == 4
    assert {step.outputs[0].parent for step in steps} == {run.dictionary_folder for run in plan.all_runs}


@pytest.mark.parametrize("model", ["enc", "unknown"])
@pytest.mark.parametrize("views", [False, True])
def test_the_commands_that_errors_name_parse(world, model, views):
    protocol, path = world
    command = views_command(protocol, model, "base", 3, "t.npz") if views else extract_command(protocol, model, "base")
    words = shlex.split(command.partition(" (")[0])
    assert ("sets.base.views is to name an extraction config" in command) == views
    assert words[:2] == ["python", "wsi_workdir/extract.py"]
    args = extract.parse_args(words[2:])
    assert (args.views, args.rows) == ((3, ["t.npz"]) if views else (None, None))
    if model == "enc":
        assert (args.protocol, args.model, args.sets) == (str(path), ["enc"], ["base"])
    else:
        assert (args.list, args.root) == (protocol.sets["base"].list, protocol.sets["base"].root)
        assert Path(args.output).parent.parent == Path(protocol.workdir, "extracted_feats", *[model] * views)
