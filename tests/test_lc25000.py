"""LC25000: copies of one original are found whatever the flip, rotation and crop; strangers and neighbours are not."""

import csv
import os
import zipfile

import cv2
import numpy as np
import pytest

from fewshot_wsi.commands import lc25000
from fewshot_wsi.foundation import seeds
from fewshot_wsi.foundation.lists import read_groups, read_list
from fewshot_wsi.prepare_data import keypoints, originals
from fewshot_wsi.prepare_data.appearance import SIDE, appearance

COMMAND = "tools/prepare_data/lc25000.py"


def drawn(number, side=320):
    """A tile of dark blobs on a pale ground, unlike that of any other number: (side, side, 3) uint8."""
    rng = seeds.generator(0, "test/drawn", number)
    image = np.full((side, side, 3), rng.integers(190, 245, 3), np.uint8)
    for _ in range(side * side // 700):
        colour = rng.integers(40, 170, 3).tolist()
        centre, axes = rng.integers(0, side, 2).tolist(), rng.integers(3, 11, 2).tolist()
        cv2.ellipse(image, centre, axes, int(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(image, (3, 3), 0)


def augmented(image, rng):
    """Flips, a rotation of up to 25 degrees, the largest centred square without empty corners, resized back."""
    side, angle = image.shape[0], rng.uniform(-25, 25)
    image = image[:, ::-1] if rng.random() < 0.5 else image
    image = image[::-1] if rng.random() < 0.5 else image
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, 1)
    turned = cv2.warpAffine(np.ascontiguousarray(image), matrix, (side, side), flags=cv2.INTER_CUBIC)
    radians = np.radians(abs(angle))
    inner = side / (np.cos(radians) + np.sin(radians))
    cut = int(np.ceil((side - inner) / 2))
    return cv2.resize(turned[cut:side - cut, cut:side - cut], (side, side), interpolation=cv2.INTER_CUBIC)


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


def keys_of(*images):
    empty = originals._empty_keys(len(images))
    for row, image in enumerate(images):
        grey = cv2.cvtColor(cv2.resize(image, (keypoints.SIDE,) * 2, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        points, descriptors = keypoints.detect(grey)
        empty.counts[row] = len(points)
        empty.points[row, :len(points)], empty.descriptors[row, :len(points)] = points, descriptors
    return empty


def pairs(groups):
    """Set of pairs of positions in the same group."""
    groups = np.asarray(groups)
    same = groups[:, None] == groups[None]
    return set(zip(*np.nonzero(np.triu(same, 1)), strict=True))


@pytest.fixture
def archive_folder(tmp_path):
    """LC25000's layout: two originals a class, each as it is and augmented; returns root and the true groups."""
    root, truth = tmp_path / "lung_colon_image_set", {}
    for label, name in enumerate(lc25000.CLASSES):
        for original in range(2):
            image = drawn(10 * label + original)
            rng = seeds.generator(0, "test/copy", label, original)
            for copy, tile in enumerate((image, augmented(image, rng))):
                file = f"{name.split('_')[0]}_image_sets/{name}/tile {copy}{original}.png"
                write(root / file, tile)
                truth[file] = f"{name}{original}"
    return root, truth


def test_appearance_does_not_change_under_flips_and_quarter_turns():
    tile = cv2.resize(drawn(0), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    for turn in range(4):
        for image in (np.rot90(tile, turn), np.rot90(tile[::-1], turn)):
            np.testing.assert_allclose(appearance(image), appearance(tile), atol=1e-5)


def test_mirrored_descriptor_bins_are_those_of_the_mirrored_image():
    keys = keys_of(drawn(1), drawn(1)[:, ::-1].copy())
    plain = keypoints.agreement(keys, 0, np.array([0]))[0]
    assert keypoints.agreement(keys, 0, np.array([1]))[0] > 0.6 * plain > 30


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle, stretch", [(0, 1), (25, 1.2), (-50, 1), (160, 1.4)])
def test_turned_and_stretched_copies_agree(flip, angle, stretch):
    image, side = drawn(2), 320
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2,) * 2, angle, 1.2)
    matrix[0] = matrix[0] * stretch + np.array([0, 0, (1 - stretch) * (side - 1) / 2])
    copy = cv2.warpAffine(image[:, ::-1].copy() if flip else image, matrix, (side, side), flags=cv2.INTER_AREA)
    assert keypoints.agreement(keys_of(image, copy), 0, np.array([1]))[0] >= originals.PROOF


def test_strangers_do_not_agree():
    keys = keys_of(*(drawn(number) for number in range(12)))
    for tile in range(12):
        others = np.array([other for other in range(12) if other != tile])
        assert keypoints.agreement(keys, tile, others).max() < originals.PROOF


def test_photographs_that_overlap_are_not_copies_of_one_original():
    wide = drawn(3, side=500)
    keys = keys_of(wide[:320, :320], wide[20:340, 60:380])
    assert keypoints.agreement(keys, 0, np.array([1]))[0] < originals.PROOF


def test_a_blank_tile_is_alone(tmp_path):
    blank = np.full((224, 224, 3), 240, np.uint8)
    files = [write(tmp_path / f"{i}.png", image) for i, image in enumerate((blank, blank, drawn(4)))]
    assert originals.find_originals(files, workers=1, quiet=True).tolist() == [0, 1, 2]


def test_one_tile_is_its_own_original(tmp_path):
    assert originals.find_originals([write(tmp_path / "a.png", drawn(5))], workers=1, quiet=True).tolist() == [0]


def test_augmented_copies_of_real_tiles_are_grouped_with_any_number_of_workers(real_tiles, tmp_path):
    """Tiles of another organ and laboratory than those that the thresholds were looked at with."""
    sources = sorted((real_tiles / "CRC5/data/test/T").iterdir())[:10]
    files, truth = [], []
    for number, source in enumerate(sources):
        image = cv2.imread(str(source))[..., ::-1]
        for copy in range(4):
            rng = seeds.generator(1, "test/copy", number, copy)
            files.append(write(tmp_path / f"{copy}{number}.jpg", augmented(image, rng)))
            truth.append(number)
    found = originals.find_originals(files, workers=1, quiet=True)
    assert pairs(found) == pairs(truth)
    assert originals.find_originals(files, workers=2, quiet=True).tolist() == found.tolist()


@pytest.mark.parametrize("name", ["lung_aca", "lung_scc"])
def test_precision_and_recall_against_known_groups(real_tiles, name):
    with open(real_tiles / "LC25000/groups.csv", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["group"].split("/")[0] == name][:80]
    files = [real_tiles / "LC25000/data" / row["path"] for row in rows]
    found = pairs(originals.find_originals(files, workers=2, quiet=True))
    truth = pairs(np.unique([row["group"] for row in rows], return_inverse=True)[1])
    assert len(found & truth) >= 0.98 * len(found)
    assert len(found & truth) >= 0.90 * len(truth)  # 40 pairs: one more or less is 2.5 %


def test_lists_labels_and_groups_of_the_folder(archive_folder, run, tmp_path):
    root, truth = archive_folder
    done = run(COMMAND, "--root", root, "--out", tmp_path / "LC", "--workers", 1, "--quiet")
    assert done.returncode == 0, done.stderr
    images = read_list(tmp_path / "LC/meta/img_list_labeled.txt", labeled=True)
    assert sorted(images.names) == sorted(truth)
    assert [lc25000.CLASSES.index(name.split("/")[1]) for name in images.names] == images.labels.tolist()
    assert read_list(tmp_path / "LC/meta/img_list.txt", labeled=False).names == images.names
    groups = read_groups(tmp_path / "LC/meta/groups.csv")
    numbers = [np.unique([table[name] for name in images.names], return_inverse=True)[1] for table in (groups, truth)]
    assert pairs(numbers[0]) == pairs(numbers[1])
    assert all((tmp_path / "LC/data" / name).is_file() for name in images.names)
    again = run(COMMAND, "--root", root, "--out", tmp_path / "LC", "--workers", 1, "--quiet")
    assert again.returncode == 0 and "unchanged" in again.stdout


def test_the_archive_gives_the_same_groups_as_the_folder(archive_folder, tmp_path):
    root, truth = archive_folder
    with zipfile.ZipFile(tmp_path / "LC25000.zip", "w") as archive:
        for name in truth:
            archive.write(root / name, f"lung_colon_image_set/{name}")
    common = ["--workers", "1", "--quiet"]
    assert not lc25000.main(["--archive", str(tmp_path / "LC25000.zip"), "--out", str(tmp_path / "A"), *common])
    assert not lc25000.main(["--root", str(root), "--out", str(tmp_path / "B"), *common])
    assert (tmp_path / "A/meta/groups.csv").read_text() == (tmp_path / "B/meta/groups.csv").read_text()


def test_a_damaged_tile_is_named_and_nothing_is_written(archive_folder, run, tmp_path):
    root, truth = archive_folder
    name = sorted(truth)[3]
    (root / name).write_bytes((root / name).read_bytes()[:2000])
    done = run(COMMAND, "--root", root, "--out", tmp_path / "LC", "--workers", 1, "--quiet")
    assert done.returncode == 2
    assert "1 of 4 images cannot be read" in done.stderr and name in done.stderr
    assert not (tmp_path / "LC").exists()


def test_a_folder_that_is_not_lc25000_is_refused(run, tmp_path):
    done = run(COMMAND, "--root", tmp_path)
    assert done.returncode == 2 and "does not hold colon_image_sets and lung_image_sets" in done.stderr
    (tmp_path / "colon_image_sets/colon_aca").mkdir(parents=True)
    (tmp_path / "lung_image_sets").mkdir()
    done = run(COMMAND, "--root", tmp_path)
    assert done.returncode == 2 and "no class folder colon_image_sets/colon_n" in done.stderr
    assert run(COMMAND).returncode == 2


def test_number_of_cores_is_known_on_systems_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # macOS has none
    assert lc25000.parse_args(["--root", "x"]).workers >= 1
