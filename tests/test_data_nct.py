"""NCT: every list of the specification, from the real layout and from made tiles, by folder, archive and download."""
import os
import re
import zipfile

import numpy as np
import pytest
from data_material import make_images, serving

from fewshot_wsi.commands import nct
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.meta_test.protocol import load_protocol

CLASSES = ("BACK", "ADI", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")
LISTS = {f"{stem}{form}.txt" for form in ("", "_labeled")
         for stem in ("train", "test", *(f"wo_{i}_train" for i in range(9)), "wo_78_train")}


@pytest.fixture
def nonorm(tmp_path):
    """10 tiles of each class but 20 of TUM, with names as no list likes them."""
    folder = tmp_path / "NCT-CRC-HE-100K-NONORM"
    make_images(folder, [f"{name}/{name}-Ü, {i:02} 7.tif" for name in CLASSES
                         for i in range(20 if name == "TUM" else 10)])
    return folder


def prepare(*arguments, out):
    return nct.main(["--quiet", "--out", str(out), *map(str, arguments)])


def labelled(out, stem):
    read = read_list(out / "meta" / f"{stem}_labeled.txt")
    return dict(zip(read.names, read.labels.tolist(), strict=True))


def test_all_published_lists_with_the_published_labels(nonorm, tmp_path):
    prepare("--root", nonorm, out=tmp_path / "NCT")
    assert set(os.listdir(tmp_path / "NCT" / "meta")) == LISTS
    train, test = labelled(tmp_path / "NCT", "train"), labelled(tmp_path / "NCT", "test")
    assert (len(train), len(test)) == (80, 20) and not train.keys() & test.keys()
    for name, label in (train | test).items():
        assert CLASSES[label] == name.split("/")[0]
        assert (tmp_path / "NCT" / "data" / name).is_file()


@pytest.mark.parametrize("tag, left_out", [*((str(i), {i}) for i in range(9)), ("78", {7, 8})])
def test_a_list_without_classes_is_the_training_list_without_them(nonorm, tmp_path, tag, left_out):
    prepare("--root", nonorm, out=tmp_path / "NCT")
    train = labelled(tmp_path / "NCT", "train")
    assert labelled(tmp_path / "NCT", f"wo_{tag}_train") == {n: c for n, c in train.items() if c not in left_out}
    plain = read_list(tmp_path / "NCT" / "meta" / f"wo_{tag}_train.txt", labeled=False)
    assert set(plain.names) == labelled(tmp_path / "NCT", f"wo_{tag}_train").keys()


def test_the_lists_are_those_of_the_published_protocol(nonorm, tmp_path, monkeypatch):
    protocol = load_protocol("configs/protocols/paper.py")
    monkeypatch.chdir(tmp_path)
    prepare("--root", nonorm, out="data/NCT")
    for name in ("NCT_train", "NCT_test"):
        image_set = protocol.set(name)
        read = read_list(image_set.list, labeled=True)
        assert all(os.path.isfile(os.path.join(image_set.root, path)) for path in read.names)
        assert protocol.classes_of(name) == CLASSES


def test_stratified_takes_the_same_share_of_each_class(nonorm, tmp_path):
    prepare("--root", nonorm, "--split", "stratified", out=tmp_path / "NCT")
    counts = np.bincount(list(labelled(tmp_path / "NCT", "test").values()), minlength=9)
    assert counts.tolist() == [2] * 8 + [4]


def test_the_seed_decides_and_repeats(nonorm, tmp_path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        prepare("--root", nonorm, "--seed", seed, out=tmp_path / out)
    assert labelled(tmp_path / "a", "test") == labelled(tmp_path / "b", "test") != labelled(tmp_path / "c", "test")


def test_val7k_is_the_query_set_and_training_stays(nonorm, tmp_path, capsys):
    make_images(tmp_path / "CRC-VAL-HE-7K", [f"{name}/{name}-TCGA-{i}.tif" for name in CLASSES[1:] for i in range(3)])
    prepare("--root", nonorm, out=tmp_path / "NCT")
    before = labelled(tmp_path / "NCT", "train")
    prepare("--root", nonorm, "--test", "val7k", "--overwrite", out=tmp_path / "NCT")
    test = labelled(tmp_path / "NCT", "test")
    assert labelled(tmp_path / "NCT", "train") == before
    assert len(test) == 24 and all((tmp_path / "NCT" / "data" / name).is_file() for name in test)
    assert all(name.split("/")[:2] == ["CRC-VAL-HE-7K", CLASSES[label]] for name, label in test.items())
    assert "notice: BACK missing on one side" in capsys.readouterr().err


def test_val7k_is_never_the_training_set(nonorm, tmp_path, run):
    result = run("tools/prepare_data/nct.py", "--root", nonorm, "--test", "val7k", "--val_root", nonorm,
                 "--out", tmp_path / "NCT")
    assert result.returncode == 2 and "is the training set; name the folder of CRC-VAL-HE-7K" in result.stderr
    assert not (tmp_path / "NCT").exists()


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for image in sorted(folder.rglob("*.tif")):
            archive.write(image, image.relative_to(folder.parent))
    return path


def test_an_archive_gives_the_lists_of_its_folder(nonorm, tmp_path):
    archive = zipped(nonorm, tmp_path / "any name.zip")
    prepare("--root", nonorm, out=tmp_path / "a")
    prepare("--archive", archive, out=tmp_path / "b")
    assert labelled(tmp_path / "a", "train") == labelled(tmp_path / "b", "train")
    archive.unlink()  # unpacked once, it is not needed any more
    prepare("--archive", archive, out=tmp_path / "b")


def test_download_unpack_and_lists_in_one_command(nonorm, tmp_path, run):
    archive = zipped(nonorm, tmp_path / "NCT-CRC-HE-100K-NONORM.zip").read_bytes()
    with serving({"NCT-CRC-HE-100K-NONORM.zip": archive}) as server:
        command = ("tools/prepare_data/nct.py", "--base", server.base, "--out", tmp_path / "NCT")
        server.wrong.add("NCT-CRC-HE-100K-NONORM.zip")
        wrong = run(*command)
        assert wrong.returncode == 2 and ".zip.bad: the checksum is not the record's" in wrong.stderr
        assert not (tmp_path / "NCT" / "meta").exists()
        server.wrong.clear()
        right = run(*command)
        assert right.returncode == 0 and "100 %" in right.stderr
        assert run(*command).returncode == 0 and len(server.seen) == 2  # nothing is fetched twice
    assert set(os.listdir(tmp_path / "NCT" / "meta")) == LISTS


def test_no_network_is_one_line_with_the_way_out(tmp_path, run):
    with serving({}) as gone:
        base = gone.base
    result = run("tools/prepare_data/nct.py", "--base", base, "--out", tmp_path / "NCT")
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "--archive" in result.stderr


def test_lists_that_differ_are_not_replaced_unasked(nonorm, tmp_path, run):
    command = ("tools/prepare_data/nct.py", "--root", nonorm, "--out", tmp_path / "NCT")
    assert run(*command).returncode == 0
    before = labelled(tmp_path / "NCT", "train")
    result = run(*command, "--seed", "1")
    assert result.returncode == 2 and "give --overwrite to replace" in result.stderr
    assert labelled(tmp_path / "NCT", "train") == before
    assert run(*command, "--seed", "1", "--overwrite").returncode == 0
    assert labelled(tmp_path / "NCT", "train") != before


@pytest.mark.parametrize("change, message", [
    (lambda root: (root / "MUC").rename(root / "Muc"), "no class folder MUC; rename Muc to upper case"),
    (lambda root: (root / "MUC").rename(root.parent / "MUC"), "no class folder MUC; is NCT-CRC.* wholly unpacked"),
    (lambda root: [path.unlink() for path in (root / "MUC").iterdir()], "MUC: no image below this folder"),
    (lambda root: root.rename(root.parent / "gone"), "no such folder"),
    (lambda root: (root / "MUC" / "a\nb.tif").write_bytes(b""), "holds a line break"),
])
def test_a_faulty_folder_is_named(nonorm, tmp_path, run, change, message):
    change(nonorm)
    result = run("tools/prepare_data/nct.py", "--root", nonorm, "--out", tmp_path / "NCT")
    assert result.returncode == 2 and re.search(message, result.stderr)
    assert not (tmp_path / "NCT").exists()


def test_the_real_layout(real_tiles, tmp_path):
    prepare("--root", real_tiles / "NCT_mini" / "data", "--dataset", "NCT-CRC-HE-100K", "--test", "val7k",
            out=tmp_path / "NCT")
    assert set(os.listdir(tmp_path / "NCT" / "meta")) == LISTS
    train, test = labelled(tmp_path / "NCT", "train"), labelled(tmp_path / "NCT", "test")
    assert len(train) == 7 and len(test) == 33
    for name, label in (train | test).items():
        assert os.path.basename(name).split("-")[0] == CLASSES[label]
        assert (tmp_path / "NCT" / "data" / name).is_file()
