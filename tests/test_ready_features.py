"""Ready features need nothing else in place: two commands from TRIDENT files to a report; scales never mix."""
import csv
import re
import shlex

import numpy as np
import pytest
from _world import make_world_with_tasks
from conftest import ROOT

from fewshot_wsi.commands import dict_construction
from fewshot_wsi.commands.import_features import main as import_features
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import are_unit, normalization
from fewshot_wsi.foundation.provenance import RAW, UNIT
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.protocol import load_protocol
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.settings import RunSettings


def walkthrough():
    """The two commands of GETTING_STARTED.md, split into words."""
    text = (ROOT / "GETTING_STARTED.md").read_text()
    section = text[text.index("## Features that you have"):]
    return [shlex.split(line) for line in re.search(r"```bash\n(.*?)```", section, re.S)[1].strip().splitlines()]


def write_trident(folder, slides=6, tiles=30):
    """Ten-wide features of two classes that are easy to tell apart, and labels.csv, below `folder`."""
    h5py, rng = pytest.importorskip("h5py"), np.random.default_rng(0)
    (folder / "trident/features_uni_v1").mkdir(parents=True)
    with open(folder / "labels.csv", "w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["slide", "x", "y", "label"])
        for slide in range(slides):
            places = [(512 * int(i), 1024) for i in rng.permutation(tiles)]
            labels = [(x // 512) % 2 for x, _ in places]
            with h5py.File(folder / f"trident/features_uni_v1/s{slide}.h5", "w") as file:
                file["features"] = np.float32(rng.standard_normal((tiles, 10)) + 18 * np.array(labels)[:, None] - 9)
                file["coords"] = np.array(places)
            table.writerows((f"s{slide}.svs", 512 * i, 1024, ("stroma", "tumour")[i % 2]) for i in range(tiles))


def test_trident_features_and_a_table_of_labels_take_the_two_commands_of_the_guide(tmp_path, run):
    write_trident(tmp_path)
    commands = walkthrough()
    assert len(commands) == 2
    for command in commands:
        done = run(*command[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "feats/uni_workdir/report/report.html").is_file()
    results = [path for path in (tmp_path / "feats/uni_workdir/results").rglob("*.json") if ".meta." not in path.name]
    scores = re.findall(r"uni linear Ridge +([\d.]+) ± .*? ([\d.]+) ±", done.stdout)
    assert results and [float(score) > 95 for score in scores[0]] == [True, True]
    assert read_result(results[0]).sets["normalize"] == UNIT


def test_ready_features_of_a_protocol_are_checked_against_its_sets(tmp_path):
    write_trident(tmp_path)
    import_features([str(tmp_path / "trident"), "--list", str(tmp_path / "labels.csv"), "--output",
                     str(tmp_path / "X.npy")])
    text = (tmp_path / "X_protocol.py").read_text()
    assert load_protocol(tmp_path / "X_protocol.py").features_file("X", "tiles") == tmp_path / "X.npy"
    for old, new, why in (("features=dict(tiles=", "features=dict(tile=", "tile.*did you mean 'tiles'"),
                          ("X.npy'))}", "X.h5'))}", r"expected the name of a \.npy file")):
        assert old in text
        (tmp_path / "bad.py").write_text(text.replace(old, new))
        with pytest.raises(UserError, match=why):
            load_protocol(tmp_path / "bad.py")


def settings(protocol, mode):
    return RunSettings(protocol, "out", "enc", mode, num_shots=2, num_task=60, num_prototypes=4)


def scale(path, factor=3.0):
    np.save(path, np.load(path) * np.float32(factor))


def test_features_of_two_scales_are_never_mixed(tmp_path, capfd):
    protocol, path = make_world_with_tasks(tmp_path)
    scale(protocol.features_file("enc", "test"))
    with pytest.raises(UserError, match="base have unit length, test are raw; scale both alike"):
        run_all([settings(protocol, "linear")], quiet=True)
    dict_construction.main(["--protocol", str(path), "--model", "enc", "--num_prototypes", "4", "--overwrite"])
    assert "(unit length)" in capfd.readouterr().out
    scale(protocol.features_file("enc", "base"))
    with pytest.raises(UserError, match="its base features have unit length, those of enc are raw|dict_construction"):
        run_all([settings(protocol, "latent_aug")], quiet=True)
    dict_construction.main(["--protocol", str(path), "--model", "enc", "--num_prototypes", "4", "--overwrite"])
    run_all([settings(protocol, "latent_aug")], quiet=True)
    said = capfd.readouterr()
    assert "(raw)" in said.out and "enc: its features are raw, not of unit length as published" in said.err


def test_scale_is_judged_by_the_rows(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 300))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[7] = 0  # a blank tile stays zero
    assert are_unit(x) and are_unit(x.astype(np.float16))
    assert not are_unit(np.concatenate([x, 1.01 * x[:1]]))
    np.save(tmp_path / "X.npy", 300 * x.astype(np.float16))  # squares are beyond float16
    assert normalization(tmp_path / "X.npy") == RAW


def test_half_precision_features_give_the_results_of_the_same_numbers_in_single_precision(tmp_path):
    protocol, path = make_world_with_tasks(tmp_path)
    scores = []
    for dtype in (np.float32, np.float16):
        for name in ("base", "test"):
            stored = protocol.features_file("enc", name)
            np.save(stored, np.load(stored).astype(np.float16).astype(dtype))
        dict_construction.main(["--protocol", str(path), "--model", "enc", "--num_prototypes", "4", "--overwrite"])
        run_all([settings(protocol, "latent_aug")], quiet=True)
        scores.append(read_result(settings(protocol, "latent_aug").result_file).f1)
    np.testing.assert_array_equal(*scores)
