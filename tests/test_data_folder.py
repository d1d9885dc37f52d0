"""Own tiles: class folders or a CSV become lists, groups, a split and a protocol that loads."""
import csv
import os
from pathlib import Path

import numpy as np
import pytest
from data_material import make_images
from PIL import Image

from fewshot_wsi.commands import folder
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_labels
from fewshot_wsi.foundation.lists import groups_of, read_groups, read_list
from fewshot_wsi.meta_test.protocol import load_protocol
from fewshot_wsi.prepare_data.table import from_csv, from_folders, number_classes


@pytest.fixture
def root(tmp_path, monkeypatch):
    """tiles/<patient>/<class>/…: 6 patients, classes of unequal size with awkward names."""
    monkeypatch.chdir(tmp_path)
    make_images("tiles", [f"patient {p}/{name}/{i}, x.png" for p in range(6)
                          for name, count in (("Tumör", 10), ("fat, loose", 5)) for i in range(count)])
    return "tiles"


BY_CLASS, BY_PATIENT = ("--class_part", "1"), ("--class_part", "1", "--group_part", "0")


def prepare(*arguments):
    return folder.main([*map(str, arguments), "--name", "own"])


def side(name):
    return read_list(f"data/own/meta/{name}_labeled.txt", labeled=True)


def test_every_image_is_on_one_side_with_its_label(root):
    prepare(root, *BY_CLASS)
    train, test = side("train"), side("test")
    assert len(set(train.names) | set(test.names)) == len(train) + len(test) == 90
    for images in (train, test):
        for name, label in zip(images.names, images.labels, strict=True):
            assert name.split("/")[1] == ("Tumör", "fat, loose")[label] and os.path.isfile(f"tiles/{name}")
    assert np.bincount(test.labels).tolist() == [12, 6]


def test_whole_groups_stay_on_one_side(root):
    prepare(root, *BY_PATIENT, "--held_out", "0.34")
    train, test = side("train"), side("test")
    assert not {name.split("/")[0] for name in train.names} & {name.split("/")[0] for name in test.names}
    assert np.bincount(test.labels).tolist() == [20, 10]
    table = read_groups("data/own/meta/groups.csv")
    assert groups_of(train.names + test.names, table, "groups.csv").max() == 5


def test_the_protocol_describes_the_lists(root):
    prepare(root, *BY_PATIENT, "--models", "clp", "--seed", 3)
    protocol = load_protocol("data/own/meta/protocol.py")
    assert protocol.classes_of("train") == ("Tumör", "fat, loose") and protocol.seed == 3
    for name in ("train", "test"):
        image_set = protocol.set(name)
        assert image_set.list == f"data/own/meta/{name}_labeled.txt" and os.path.isfile(image_set.groups)
        assert all(os.path.isfile(os.path.join(image_set.root, path)) for path in read_list(image_set.list).names)
        assert {path.split("/")[image_set.slide] for path in read_list(image_set.list).names} <= {
            f"patient {i}" for i in range(6)}
    near = protocol.family("near")
    assert (near.support, near.query, near.shots, near.queries) == ("train", "test", (1, 5, 10), 5)
    assert ("clp", "latent_aug", "Ridge") in near.methods and protocol.models["clp"].encoder is None


def test_presets_and_their_weights_become_models_of_the_protocol(root):
    Path("w.pth").write_bytes(b"weights")
    Path("mine.py").write_text("kind = 'timm'\n")
    prepare(root, *BY_PATIENT, "--models", "uni=w.pth", "mine.py=w.pth", "clp")
    protocol = load_protocol("data/own/meta/protocol.py")
    assert (protocol.models["uni"].encoder, protocol.models["uni"].weights) == ("configs/encoders/uni.py", "w.pth")
    assert protocol.models["mine"].encoder == "mine.py" and protocol.models["clp"].needs_weights
    assert {("uni", "latent_aug", "Ridge"), ("mine", "linear", "Ridge")} <= set(protocol.family("near").methods)
    for models, words in (("unii=w.pth", "no preset configs/encoders/unii.py; did you mean 'uni'"),
                          ("uni=absent.pth", "no such weights 'absent.pth'")):
        with pytest.raises(UserError, match=words):
            prepare(root, *BY_PATIENT, "--models", models, "--overwrite")


def test_shots_and_queries_are_no_more_than_the_smallest_class_allows(root):
    make_images(root, [f"patient 0/rare/{i}.png" for i in range(5)])
    prepare(root, *BY_CLASS, "--held_out", "0.4")
    near = load_protocol("data/own/meta/protocol.py").family("near")
    assert (near.shots, near.queries) == ((1,), 2)


def test_prototypes_are_no_more_than_the_training_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_images("few", [f"{name}/{i}.png" for name in "ab" for i in range(6)])
    prepare("few")
    assert load_protocol("data/own/meta/protocol.py").dictionary.num_prototypes == len(side("train")) < 16


def test_classes_in_an_order_of_the_users(root):
    prepare(root, *BY_CLASS, "--classes", "fat, loose", "Tumör")
    assert load_protocol("data/own/meta/protocol.py").classes["own"] == ("fat, loose", "Tumör")
    with open("data/own/meta/classes.csv", newline="", encoding="utf-8") as stream:
        assert [row[:2] for row in csv.reader(stream)][1:] == [["0", "fat, loose"], ["1", "Tumör"]]
    with pytest.raises(UserError, match="--classes names fat but the images have Tumör, fat, loose"):
        prepare(root, *BY_CLASS, "--classes", "fat")


def write_csv(path, rows, header=("path", "label"), delimiter=",", encoding="utf-8"):
    with open(path, "w", newline="", encoding=encoding) as stream:
        lines = csv.writer(stream, delimiter=delimiter)
        lines.writerow(header)
        lines.writerows(rows)
    return path


@pytest.mark.parametrize("delimiter, encoding", [(",", "utf-8"), (";", "utf-8-sig")])
def test_a_csv_says_the_same_as_folders(root, delimiter, encoding):
    table = from_folders(root, 1, 0)
    rows = zip(table.paths, table.classes, table.groups, strict=True)
    write_csv("t.csv", rows, ("path", "label", "group"), delimiter, encoding)
    assert from_csv("t.csv", root) == table


def test_the_split_of_a_csv_is_kept_and_others_are_left_out(root, capsys):
    paths = from_folders(root, 1).paths
    rows = [(path, path.split("/")[1], ("train", "test", "valid")[i % 3]) for i, path in enumerate(paths)]
    write_csv("t.csv", rows, ("path", "label", "split"))
    prepare(root, "--csv", "t.csv")
    assert set(side("train").names) == set(paths[::3]) and set(side("test").names) == set(paths[1::3])
    assert "notice: 30 images of the splits 'valid' are left out" in capsys.readouterr().err
    prepare(root, "--csv", "t.csv", "--splits", "train", "valid", "--overwrite")
    assert set(side("test").names) == set(paths[2::3])


def test_a_given_split_with_groups_on_both_sides_is_said(root, capsys):
    rows = [(path, path.split("/")[1], path.split("/")[0], ("train", "test")[i % 2])
            for i, path in enumerate(from_folders(root, 1).paths)]
    write_csv("t.csv", rows, ("path", "label", "group", "split"))
    prepare(root, "--csv", "t.csv")
    assert "notice: the given split has 6 groups on both sides" in capsys.readouterr().err


def test_numbers_are_ordered_by_value(root):
    rows = [(path, str(i % 11)) for i, path in enumerate(from_folders(root, 1).paths)]
    write_csv("t.csv", rows)
    labels, classes = number_classes(from_csv("t.csv", root))
    assert classes == tuple(map(str, range(11))) and labels.tolist() == [i % 11 for i in range(90)]


FIRST = "patient 0/Tumör/0, x.png"


@pytest.mark.parametrize("rows, header, message", [
    ([(FIRST, "a"), (FIRST, "b")], ("path", "label"), "line 3: 'patient 0/Tumör/0, x.png' stands in line 2 already"),
    ([(FIRST, "")], ("path", "label"), "line 2: .* has no label"),
    ([("", "a")], ("path", "label"), "line 2: no path"),
    ([("../x.png", "a")], ("path", "label"), "leads out of tiles"),
    ([("/etc/x.png", "a")], ("path", "label"), "does not lie below tiles"),
    ([("none.png", "a"), (FIRST, "a")], ("path", "label"), "1 of 2 images are not below tiles, .* is 'none.png'"),
    ([(FIRST, "a")], ("file", "label"), r"columns path,label\[,split\]\[,centre\].*; it names file,label"),
    ([], ("path", "label"), "no image below the first line"),
    ([], (), "it names nothing"),
])
def test_a_faulty_csv_names_the_line(root, rows, header, message):
    write_csv("t.csv", rows, header)
    with pytest.raises(UserError, match=message):
        from_csv("t.csv", root)


def test_a_csv_that_is_not_utf8_says_so(root):
    write_csv("t.csv", [(FIRST, "a")], encoding="latin-1")
    with pytest.raises(UserError, match="not a readable CSV .*save it as UTF-8"):
        from_csv("t.csv", root)


def test_absolute_paths_below_the_root_become_relative(root, tmp_path):
    write_csv("t.csv", [(tmp_path / "tiles" / FIRST, "a")])
    assert from_csv("t.csv", tmp_path / "tiles").paths == (FIRST,)


@pytest.mark.parametrize("first, second", [("Stroma", "stroma"), ("Mu\u0308s", "M\u00fcs")])
def test_classes_that_differ_only_in_case_or_form_are_refused(root, first, second):
    make_images(root, [f"p/{name}/{i}.png" for name in (first, second) for i in range(5)])
    with pytest.raises(UserError, match="differ only in case or in the form of a letter"):
        prepare(root, *BY_CLASS)
    assert not os.path.exists("data")


def test_a_class_on_one_side_only_is_refused(root):
    rows = [(path, path.split("/")[1], "train" if "fat" in path else ("train", "test")[i % 2])
            for i, path in enumerate(from_folders(root, 1).paths)]
    write_csv("t.csv", rows, ("path", "label", "split"))
    with pytest.raises(UserError, match="no test image of fat, loose"):
        prepare(root, "--csv", "t.csv")


def test_a_group_table_must_know_every_image(root):
    write_csv("g.csv", [(FIRST, "one")], ("path", "group"))
    with pytest.raises(UserError, match=r"g\.csv: 89 of 90 images have no group"):
        prepare(root, *BY_CLASS, "--groups", "g.csv")


def test_an_image_less_deep_than_its_class_is_named(root):
    make_images(root, ["stray.png"])
    with pytest.raises(UserError, match=r"'stray.png' has 0 folder\(s\) above the file"):
        prepare(root, *BY_CLASS)


def test_a_name_that_is_no_file_name_is_refused(root, run, tmp_path):
    result = run("tools/prepare_data/folder.py", root, "--name", "../x", cwd=tmp_path)
    assert result.returncode == 2 and "letters, digits, _ and - only" in result.stderr


@pytest.mark.parametrize("data, arguments, classes, counts", [
    ("CRC5/data", ("--class_part", "1", "--split_part", "0"), ("AC", "H", "S", "T", "V"), (3000, 750)),
    ("PROSTATE3/data", ("--class_part", "2", "--split_part", "0", "--group_part", "1"), ("0", "1", "2"), (584, 584)),
    ("NCT_mini/data", ("--class_part", "1", "--split_part", "0", "--splits", "CRC-VAL-HE-7K", "NCT-CRC-HE-100K"),
     ("ADI", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM"), None)])
def test_real_tiles(real_tiles, tmp_path, monkeypatch, data, arguments, classes, counts):
    monkeypatch.chdir(tmp_path)
    if counts is None:
        with pytest.raises(UserError, match="no training image of BACK"):
            prepare(real_tiles / data, *arguments)
        return
    prepare(real_tiles / data, *arguments)
    assert (len(side("train")), len(side("test"))) == counts
    assert load_protocol("data/own/meta/protocol.py").classes_of("train") == classes


def test_real_tiles_with_a_group_table(real_tiles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(real_tiles / "LC25000/data", "--class_part", "1", "--groups", real_tiles / "LC25000/groups.csv")
    table = read_groups(real_tiles / "LC25000/groups.csv")
    train, test = side("train"), side("test")
    assert not {table[name] for name in train.names} & {table[name] for name in test.names}
    share = np.bincount(test.labels) / (np.bincount(test.labels) + np.bincount(train.labels))
    assert np.abs(share - 0.2).max() < 0.01


def test_the_protocol_runs_from_tiles_to_f1(tmp_path, run, monkeypatch):
    rng = np.random.default_rng(0)
    for number, name in enumerate(("pink", "blue")):
        (tmp_path / "tiles" / name).mkdir(parents=True)
        for i in range(12):
            colour = rng.integers(0, 120, (24, 24, 3)) + np.array([(120, 40, 80), (40, 40, 120)][number])
            Image.fromarray(colour.astype(np.uint8)).save(tmp_path / "tiles" / name / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path / "tiles", "--out", tmp_path / "own", "--held_out", "0.5")
    protocol = tmp_path / "own" / "meta" / "protocol.py"
    text = protocol.read_text().replace("num_tasks=1000", "num_tasks=20")
    protocol.write_text("\n".join(line for line in text.split("\n")  # one encoder is enough to see it run
                                  if not line.strip().startswith(("'random'", "('random'", "'color", "('color"))))
    result = run("wsi_workdir/run_protocol.py", "--protocol", protocol, "--workdir", tmp_path / "work", "--quiet",
                 "--workers", "1")
    assert result.returncode == 0, result.stderr
    assert load_labels(tmp_path / "work" / "extracted_feats" / "test_labels.npy").tolist() == [0] * 6 + [1] * 6
    found = {path.name for path in (tmp_path / "work" / "results" / "near" / "mean_rgb").glob("*.json")}
    assert found >= {"1shot_linear_Ridge_distinct.json", "5shot_linear_Ridge_distinct.json"}


def test_folders_named_as_splits_are_no_classes_unless_said(root, capsys):
    make_images("s", [f"{split}/{name}/{i}.png" for split in ("train", "Test") for name in "ab" for i in range(6)])
    with pytest.raises(UserError, match="first folders, Test, train, look like splits; give --class_part 1 --split"):
        prepare("s")
    assert not os.path.exists("data/own")
    prepare("s", "--class_part", 1, "--split_part", 0, "--splits", "train", "Test")
    assert "0 a " in capsys.readouterr().out
    prepare("s", "--class_part", 0, "--overwrite")
    assert "0 Test " in capsys.readouterr().out


def test_deeper_folders_are_said_where_nobody_named_the_class(root, capsys):
    prepare(root)
    assert "--class_part 1 takes the second (Tumör, fat, loose)" in capsys.readouterr().err
    prepare(root, "--class_part", 0)
    assert not capsys.readouterr().err


def test_one_class_is_refused_at_once(root):
    make_images("one", [f"only/{i}.png" for i in range(6)])
    with pytest.raises(UserError, match="all images are of one class, 'only'"):
        prepare("one")


def test_blanks_in_a_table_of_groups_make_no_other_patient(root):
    names = from_folders(root, 1).paths
    with open("g.csv", "w", encoding="utf-8") as stream:
        print("Path ; GROUP", file=stream)
        for number, name in enumerate(names):
            print(f'"{name}"; {name.split("/")[0]}{" " * (number % 2)}', file=stream)
    prepare(root, *BY_CLASS, "--groups", "g.csv")
    train, test = side("train"), side("test")
    assert not {name.split("/")[0] for name in train.names} & {name.split("/")[0] for name in test.names}


def test_paths_of_other_systems_are_found(root, tmp_path):
    name = "patient 0/Tumo\u0308r/0, x.png"  # the other form of the letter
    write_csv("t.csv", [(name.replace("/", "\\"), "a"), (f"./{FIRST[:-8]}1, x.png", "b")])
    assert from_csv("t.csv", root).paths == (FIRST, f"{FIRST[:-8]}1, x.png")
