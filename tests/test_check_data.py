"""Data check: each fault that is put in is found, where it is; a clean set is clean."""

import json
import os
import shutil
import sqlite3

import cv2
import numpy as np
import pytest
from PIL import Image

from fewshot_wsi.commands import check_data
from fewshot_wsi.data_checks import colour
from fewshot_wsi.data_checks.duplicates import confirmed_pairs, near_groups, turned, turned_hashes
from fewshot_wsi.data_checks.measure import measure
from fewshot_wsi.foundation import seeds
from fewshot_wsi.foundation.lists import read_groups, write_list

CLASSES = ("gland", "stroma")


def drawn(number, side=96):
    """Grey blobs that say nothing of the class by their colour: (side, side, 3) uint8."""
    rng = seeds.generator(0, "test/check", number)
    image = cv2.resize(rng.integers(0, 256, (9, 9)).astype(np.uint8), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.repeat(image[..., None], 3, axis=2)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


@pytest.fixture
def clean(tmp_path):
    """Folder `set` with meta/{train,test}.txt and data/<class>/<n>.png: 12 + 12 images, unlike each other."""
    folder = tmp_path / "set"
    for side, numbers in (("train", range(0, 12)), ("test", range(12, 24))):
        names = [f"{CLASSES[n % 2]}/{n}.png" for n in numbers]
        for name, number in zip(names, numbers, strict=True):
            save(folder / "data" / name, drawn(number))
        write_list(folder / "meta" / f"{side}.txt", names, [n % 2 for n in numbers])
    return folder


@pytest.fixture
def check(clean, tmp_path, monkeypatch):
    """check(*more arguments): exit code and the report as a dict."""
    monkeypatch.setattr(colour, "TREES", 10)  # seconds rather than minutes; the tests below are about large effects

    def call(*arguments, lists=("train", "test")):
        paths = [clean / "meta" / f"{name}.txt" for name in lists]
        code = check_data.main([*map(str, paths), "--out", str(tmp_path / "report"), "--workers", "1", "--quiet",
                                "--cache", str(tmp_path / "cache.sqlite"), *map(str, arguments)])
        return code, json.loads((tmp_path / "report.json").read_text())
    return call


def found(report, check):
    return [finding for finding in report["findings"] if finding["check"] == check]


def test_a_clean_set_is_clean(check, tmp_path):
    code, report = check()
    assert (code, report["findings"], report["clean"]) == (0, [], True)
    assert report["lists"]["train"]["classes"] == {"gland": 6, "stroma": 6}
    assert "nothing found" in (tmp_path / "report.md").read_text()
    sheet = Image.open(tmp_path / "report_train.png")
    assert sheet.height > 2 * 112 and sheet.width > 6 * 112


def test_broken_missing_and_odd_images_are_named(check, clean):
    data = clean / "data"
    (data / "gland/0.png").write_bytes((data / "gland/0.png").read_bytes()[:300])
    (data / "stroma/1.png").unlink()
    save(data / "gland/2.png", drawn(2, side=80))
    Image.fromarray(drawn(4)).convert("L").save(data / "gland/4.png")
    code, report = check()
    assert code == 1
    (broken,) = found(report, "unreadable")
    assert broken["count"] == 2 and broken["lists"] == ["train"]
    assert any("gland/0.png" in text for text in broken["examples"])
    assert any("stroma/1.png" in text for text in broken["examples"])
    assert found(report, "odd_size")[0]["examples"] == ["gland/2.png"]
    assert found(report, "odd_mode")[0]["examples"] == ["gland/4.png"]


def test_a_truncated_jpeg_counts_as_broken(tmp_path):
    path = save(tmp_path / "a.jpg", drawn(0), quality=90)
    path.write_bytes(path.read_bytes()[:-40])
    assert "does not decode" in measure(path).reason


def test_filled_ends_and_suspicious_depth_are_found(check, clean):
    data = clean / "data"
    cut, white, deep = drawn(0), drawn(2), drawn(4)
    cut[80:], white[80:] = 128, 255
    save(data / "gland/0.png", cut)  # a cut JPEG that another program saved again
    save(data / "gland/2.png", white)
    save(data / "gland/4.png", deep // 16)  # 12 bits stored in 16, then converted
    _, report = check()
    assert [found(report, name)[0]["examples"] for name in ("filled_end", "dark")] == [["gland/0.png"], ["gland/4.png"]]


def test_exact_duplicates_inside_and_across_lists_and_conflicting_labels(check, clean):
    data = clean / "data"
    shutil.copy(data / "gland/0.png", data / "stroma/3.png")     # inside, other label
    shutil.copy(data / "gland/6.png", data / "gland/14.png")     # train and test
    _, report = check()
    inside, across = found(report, "exact_duplicates")
    assert inside["lists"] == ["train"] and inside["count"] == 2
    assert "in 1 of the 1 sets the labels differ" in inside["text"]
    assert across["lists"] == ["train", "test"] and across["count"] == 1
    assert "gland/6.png" in across["examples"][0] and "gland/14.png" in across["examples"][0]
    assert not found(report, "near_duplicates")


@pytest.mark.parametrize("orientation", range(8))
def test_near_duplicates_are_found_in_every_orientation(check, clean, orientation):
    image = turned(drawn(0).mean(axis=2)[None].astype(np.uint8), orientation)[0]
    image = cv2.resize(np.ascontiguousarray(image), (90, 90), interpolation=cv2.INTER_AREA).astype(int) + 5
    Image.fromarray(np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)) \
        .resize((96, 96)).save(clean / "data/gland/12.png")
    _, report = check()
    (near,) = found(report, "near_duplicates")
    assert near["lists"] == ["train", "test"] and near["count"] == 1 and "gland/0.png" in near["examples"][0]


@pytest.mark.parametrize("orientation", range(8))
def test_hash_of_a_turned_image_follows_from_the_hash(tmp_path, orientation):
    plain = measure(save(tmp_path / "a.png", drawn(7)))
    image = measure(save(tmp_path / "b.png", np.ascontiguousarray(
        turned(drawn(7)[..., 0][None], orientation)[0][..., None].repeat(3, axis=2))))
    wrong = np.unpackbits(turned_hashes(plain["hash"][None], orientation)[0] ^ image["hash"]).sum()
    assert wrong <= 1
    correlation = np.corrcoef(turned(plain["thumb"][None], orientation).ravel(), image["thumb"].ravel())[0, 1]
    assert correlation > 0.999


def test_blank_tiles_are_no_near_duplicates(check, clean):
    rng = seeds.generator(0, "test/blank")
    for name in ("gland/0", "stroma/1", "gland/2", "gland/12"):
        save(clean / "data" / f"{name}.png", rng.integers(238, 244, (96, 96, 3)).astype(np.uint8))
    _, report = check()
    assert not found(report, "near_duplicates")
    assert report["lists"]["train"]["too_uniform_to_compare"] == 3


def test_bucketed_pairs_equal_a_comparison_of_every_two():
    rng = seeds.generator(0, "test/pairs")
    thumbs = rng.integers(0, 256, (60, 16, 16)).astype(np.uint8)
    thumbs[30:40] = turned(thumbs[:10], 5)
    thumbs[40:50] = thumbs[:10]
    hashes = rng.integers(0, 256, (60, 8)).astype(np.uint8)
    hashes[30:40] = turned_hashes(hashes[:10], 5)
    hashes[40:50] = hashes[:10] ^ np.array([1, 0, 1, 0, 1, 0, 0, 0], np.uint8)  # three bits off, one quarter whole
    left, right = confirmed_pairs(hashes, thumbs)
    pairs = {tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)}
    wanted = {(i, i + 30) for i in range(10)} | {(i, i + 40) for i in range(10)} | {(i + 30, i + 40) for i in range(10)}
    assert {(i, i + 30) for i in range(10)} | {(i, i + 40) for i in range(10)} <= pairs <= wanted


def test_a_thousand_like_images_are_one_group():
    rng = seeds.generator(0, "test/pairs")
    thumbs = np.repeat(rng.integers(0, 256, (1, 16, 16)).astype(np.uint8), 1000, axis=0)
    hashes = np.repeat(rng.integers(0, 256, (1, 8)).astype(np.uint8), 1000, axis=0)
    assert np.unique(near_groups(hashes, thumbs, np.ones(1000, bool))).size == 1


def test_lists_that_share_images_and_groups_say_so(check, clean, tmp_path):
    train = [line.rsplit(" ", 1) for line in (clean / "meta/train.txt").read_text().splitlines()]
    names = [name for name, _ in train]
    write_list(clean / "meta/support.txt", names[:5], [int(label) for _, label in train[:5]])
    rows = [f"{CLASSES[n % 2]}/{n}.png,patient {n % 12 // 6}" for n in range(24) if n != 3]
    (tmp_path / "groups.csv").write_text("path,group\n" + "\n".join(rows) + "\n")
    _, report = check("--groups", tmp_path / "groups.csv", lists=("train", "test", "support"))
    (same,) = found(report, "same_files")
    assert same["lists"] == ["train", "support"] and same["count"] == 5
    overlaps = {tuple(finding["lists"]): finding["count"] for finding in found(report, "group_overlap")}
    assert overlaps == {("train", "test"): 2, ("train", "support"): 1, ("test", "support"): 1}
    assert [finding["lists"] for finding in found(report, "no_group")] == [["train"], ["support"]]
    assert not found(report, "groups_inside")  # support and query have lists of their own
    _, report = check("--groups", tmp_path / "groups.csv", lists=("train",))
    assert "11 of 12 images share their group" in found(report, "groups_inside")[0]["text"]


def test_imbalance_and_repeated_lines(check, clean):
    lines = (clean / "meta/train.txt").read_text().splitlines()
    kept = [line for line in lines if line.endswith(" 0")] + [line for line in lines if line.endswith(" 1")][:2]
    (clean / "meta/train.txt").write_text("\n".join([*kept, kept[0]]))
    _, report = check()
    assert "class gland has 7 images, class stroma 2" in found(report, "imbalance")[0]["text"]
    assert found(report, "repeated_line")[0]["count"] == 1


def test_colour_that_gives_the_class_away_is_found(check, clean):
    for number in range(12):
        image = drawn(number)
        image[..., 0] //= 1 + number % 2
        save(clean / f"data/{CLASSES[number % 2]}/{number}.png", image)
    _, report = check()
    assert {tuple(finding["lists"]) for finding in found(report, "colour")} == {("train",)}
    accuracy = report["lists"]["train"]["colour"]["balanced_accuracy"]
    assert accuracy["histogram"] > 0.9 and report["lists"]["train"]["colour"]["chance"] == 0.5


def test_colour_of_a_group_does_not_count_as_colour_of_the_class():
    """Each group has a colour of its own and one class: known groups leave nothing to learn, unknown ones all."""
    rng = seeds.generator(0, "test/groups")
    groups = np.repeat(np.arange(40), 10)
    labels = groups % 2
    features = rng.random((40, 3))[groups] + 0.001 * rng.random((400, 3))
    assert colour.predictability(features, labels, None, 1) > 0.95
    assert colour.predictability(features, labels, groups, 1) < 0.8


def test_second_run_reads_the_cache_and_notices_changes(check, clean, tmp_path, monkeypatch):
    _, first = check()
    save(clean / "data/gland/0.png", drawn(100))
    calls = []
    monkeypatch.setattr(check_data, "measure", lambda path: calls.append(path) or measure(path))
    _, second = check()
    assert [path.name for path in calls] == ["0.png"]
    assert second == first | {"lists": second["lists"]}
    check("--fresh")
    assert len(calls) == 1 + 24


def test_a_damaged_cache_is_not_believed(check, tmp_path, capsys):
    _, first = check()
    with sqlite3.connect(tmp_path / "cache.sqlite") as base:
        base.execute("UPDATE measured SET record = zeroblob(length(record)) WHERE path LIKE '%gland%'")
    base.close()
    assert check()[1] == first
    (tmp_path / "cache.sqlite").write_bytes(b"not a data base" * 100)
    assert check()[1] == first
    assert "damaged" in capsys.readouterr().err


def test_report_does_not_depend_on_the_number_of_workers(check):
    assert check("--workers", 2)[1] == check("--fresh", "--workers", 1)[1]


def test_what_cannot_run_is_exit_2(run, clean, tmp_path):
    command = ("tools/check_data.py", "--quiet", "--out", tmp_path / "r", "--cache", tmp_path / "c.sqlite")
    done = run(*command, clean / "meta/none.txt")
    assert done.returncode == 2 and "no such list" in done.stderr
    done = run(*command, clean / "meta/train.txt", clean / "meta/train.txt")
    assert done.returncode == 2 and "named twice" in done.stderr
    shutil.copy(clean / "meta/train.txt", tmp_path / "train.txt")
    done = run(*command, tmp_path / "train.txt")
    assert done.returncode == 2 and "--root" in done.stderr
    done = run(*command, clean / "meta/train.txt", "--classes", "one")
    assert done.returncode == 2 and "label 1 but --classes names 1 classes" in done.stderr
    assert not (tmp_path / "r.json").exists()
    assert run("tools/check_data.py", "--help").returncode == 0


def test_real_contact_sheet_names_a_row_a_class(real_tiles, tmp_path):
    names = [path.relative_to(real_tiles / "NCT_mini/data").as_posix()
             for path in sorted((real_tiles / "NCT_mini/data/CRC-VAL-HE-7K").rglob("*.*"))]
    classes = sorted({name.split("/")[1] for name in names})
    write_list(tmp_path / "val.txt", names, [classes.index(name.split("/")[1]) for name in names])
    code = check_data.main([str(tmp_path / "val.txt"), "--root", str(real_tiles / "NCT_mini/data"), "--quiet", "--out",
                            str(tmp_path / "r"), "--cache", str(tmp_path / "c"), "--workers", "1"])
    report = json.loads((tmp_path / "r.json").read_text())
    assert code in (0, 1) and list(report["lists"]["val"]["classes"]) == classes


def test_number_of_cores_is_known_on_systems_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # macOS has none
    assert check_data.parse_args(["list.txt"]).workers >= 1


def test_copies_are_written_as_a_table_that_protocols_read(check, clean, tmp_path):
    data = clean / "data"
    image = np.asarray(Image.open(data / "gland/0.png"))
    save(data / "gland/2.png", image[:, ::-1])                         # in one list
    Image.fromarray(image).resize((90, 90)).save(data / "gland/14.png")  # in the other
    check()
    tables = {name: read_groups(tmp_path / f"report_{name}_copies.csv") for name in ("train", "test")}
    assert set(tables["train"]) == {"gland/0.png", "gland/2.png"} and set(tables["test"]) == {"gland/14.png"}
    assert len({group for table in tables.values() for group in table.values()}) == 1


def test_no_copies_are_a_table_without_rows(check, clean, tmp_path):
    check()
    assert read_groups(tmp_path / "report_train_copies.csv") == {}
