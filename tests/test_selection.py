"""Which tiles to label next: typical, spread, uncertain, never one that has a label; and the command that says so."""
import csv

import numpy as np
import pytest
from PIL import Image

from fewshot_wsi.commands.select_tiles import main
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.label_tables import read_label_table
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.labelling.pool import load_pool
from lowshot.selection import NEIGHBOURS, margins_of, select_typical, select_uncertain


def blobs(counts, dim=8, spread=0.05, seed=0):
    """(features, blob of each): directions far apart, `counts` features around each."""
    rng = np.random.default_rng(seed)
    kind = np.repeat(np.arange(len(counts)), counts)
    return (np.eye(dim)[kind] + rng.normal(scale=spread, size=(len(kind), dim))).astype(np.float32), kind


def test_one_tile_of_each_kind_the_largest_kind_first():
    x, kind = blobs([40, 90, 60, 25])
    chosen = select_typical(x, 4)
    assert kind[chosen.rows].tolist() == [1, 2, 0, 3]
    assert chosen.clusters.tolist() == [90, 60, 40, 25]


def test_the_typical_tile_has_the_smallest_mean_distance_to_its_neighbours():
    x, kind = blobs([50, 70])
    chosen = select_typical(x, 2)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    for row, value in zip(chosen.rows, chosen.values, strict=True):
        own = np.flatnonzero(kind == kind[row])
        apart = np.sort(np.linalg.norm(unit[own, None] - unit[own], axis=2), axis=1)
        distances = apart[:, 1:NEIGHBOURS + 1].mean(axis=1)
        assert row == own[distances.argmin()]
        assert value == pytest.approx(1 / distances.min(), rel=1e-4)


def test_lengths_of_features_and_copies_of_tiles_change_nothing():
    x, _ = blobs([40, 90, 60])
    once = select_typical(x, 3).rows
    lengths = np.random.default_rng(1).uniform(0.5, 9, size=(len(x), 1))
    np.testing.assert_array_equal(select_typical(x * lengths, 3).rows, once)
    copied = np.concatenate([x, np.repeat(x[once[0] - 1:once[0]], 300, axis=0)])
    np.testing.assert_array_equal(select_typical(copied, 3).rows, once)


def test_kinds_that_have_a_label_come_last():
    x, kind = blobs([40, 90, 60, 25])
    chosen = select_typical(x, 2, labeled=np.flatnonzero((kind == 1) | (kind == 0))[[0, 50]])
    assert kind[chosen.rows].tolist() == [2, 3]


def test_uncertain_tiles_are_the_least_sure_of_their_cluster_and_have_no_label():
    x, kind = blobs([40, 90, 60])
    scores = np.random.default_rng(2).dirichlet([1, 1, 1], len(x))
    labeled = [int(margins_of(scores)[:40].argmin())]  # the least sure of the first kind is known already
    chosen = select_uncertain(x, scores, 3, labeled=labeled)
    top = np.sort(scores, axis=1)
    margin = np.where(np.isin(np.arange(len(x)), labeled), np.inf, top[:, -1] - top[:, -2])
    expected = sorted((np.where(kind == k, margin, np.inf).argmin() for k in range(3)), key=margin.__getitem__)
    assert chosen.rows.tolist() == expected
    np.testing.assert_allclose(chosen.values, margin[expected])


def test_a_large_pool_is_sampled_and_the_same_seed_chooses_the_same():
    x, kind = blobs([400, 900, 600])
    first, again = (select_typical(x, 3, pool=200, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.rows, again.rows)
    assert sorted(kind[first.rows]) == [0, 1, 2] and first.clusters.sum() == 200


def test_a_budget_beyond_the_different_tiles_is_refused():
    with pytest.raises(UserError, match="budget 5: only 3 tiles without a label have different features"):
        select_typical(np.repeat(np.eye(4, dtype=np.float32), 9, axis=0), 5, labeled=[0])


# ---- the command ----

@pytest.fixture
def world(tmp_path):
    """Features, list and images of three kinds of tiles."""
    x, kind = blobs([12, 9, 6])
    names = [f"{'abc'[k]}/tile {i}.png" for i, k in enumerate(kind)]
    for name, k in zip(names, kind, strict=True):
        (tmp_path / "tiles" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 20, 3), 60 * k + 50, np.uint8)).save(tmp_path / "tiles" / name)
    np.save(tmp_path / "x.npy", x)
    write_list(tmp_path / "tiles.txt", names)
    return tmp_path


def call(world, *more, budget=3, out="round"):
    return main([str(world / "x.npy"), "--list", str(world / "tiles.txt"), "--budget", str(budget), "--out",
                 str(world / out), *map(str, more)])


def selected(world, out="round"):
    with open(world / out / "selected.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_from_features_to_labels_to_the_next_round(world, capsys):
    call(world, "--images", world / "tiles")
    rows = selected(world)
    assert [row["path"][0] for row in rows] == ["a", "b", "c"]
    names = load_pool(world / "x.npy", world / "tiles.txt").images.names
    assert [names[int(row["row"])] for row in rows] == [row["path"] for row in rows]
    page = (world / "round/label.html").read_text()
    assert page.count("data:image/jpeg") == 3 and all(row["path"] in page for row in rows)
    labels = world / "labels.csv"
    labels.write_text("path,label\n" + "".join(f"{row['path']},{row['path'][0]}\n" for row in rows))
    call(world, "--images", world / "tiles", "--labeled", labels, out="next")
    later = selected(world, "next")
    assert {row["path"] for row in later}.isdisjoint(row["path"] for row in rows)
    assert [float(row["margin"]) for row in later] == sorted(float(row["margin"]) for row in later)
    labels.write_text("path,label\na/tile 0.png,a\nb/tile 12.png,b\n")
    call(world, "--labeled", labels, "--by", "typicality", budget=1, out="typical")
    assert selected(world, "typical")[0]["path"].startswith("c/")


def test_a_list_filled_in_by_hand_is_a_table_of_labels_too(world):
    call(world, "--groups", _groups(world))
    lines = (world / "round/selected.csv").read_text().splitlines()
    lines[1] = lines[1].replace(",,", ",stroma,", 1) if ",," in lines[1] else lines[1]
    (world / "by_hand.csv").write_text("\n".join(lines))
    table = read_label_table(world / "by_hand.csv")
    assert table.labels == ("stroma",) and table.groups == ("slide a",)


def _groups(world):
    names = load_pool(world / "x.npy", world / "tiles.txt").images.names
    (world / "groups.csv").write_text("path,group\n" + "".join(f"{name},slide {name[0]}\n" for name in names))
    return world / "groups.csv"


def test_an_image_that_does_not_decode_is_named_and_the_others_are_there(world, capsys):
    call(world)
    broken = selected(world)[1]["path"]
    (world / "tiles" / broken).write_bytes(b"no image")
    call(world, "--images", world / "tiles", out="again")
    assert broken in capsys.readouterr().err
    assert len(selected(world, "again")) == 2
    assert (world / "again/label.html").read_text().count("data:image/jpeg") == 2


def test_labels_of_one_class_choose_unlike_tiles_and_say_so(world, capsys):
    (world / "labels.csv").write_text("path,label\na/tile 0.png,tumour\n")
    call(world, "--labeled", world / "labels.csv", budget=2)
    assert "all labels are 'tumour'" in capsys.readouterr().err
    assert [row["path"][0] for row in selected(world)] == ["b", "c"]


@pytest.mark.parametrize("text, why", [
    ("path,label\nelsewhere.png,x\n", "1 of 1 images are not in"),
    ("path,label\na/tile 0.png,x\na/tile 0.png,y\n", "stands in line 2 already, with other values"),
    ("path,label\na/tile 0.png,\n", "no row has a label"),
    ("path,class\na/tile 0.png,x\n", "must name the columns path,label"),
])
def test_tables_of_labels_at_fault_are_refused(world, text, why):
    (world / "labels.csv").write_text(text)
    with pytest.raises(UserError, match=why):
        call(world, "--labeled", world / "labels.csv")
    assert not (world / "round").exists()


def test_what_is_there_is_not_replaced_unasked_and_other_lists_are_refused(world):
    call(world)
    with pytest.raises(UserError, match="is there already; give another --out"):
        call(world)
    call(world, "--overwrite", "--seed", 1)
    write_list(world / "short.txt", ["a/tile 0.png"])
    with pytest.raises(UserError, match="27 rows, but labels or list have 1"):
        main([str(world / "x.npy"), "--list", str(world / "short.txt"), "--budget", "2", "--out", str(world / "o")])
    with pytest.raises(UserError, match="nothing beside it says which images"):
        main([str(world / "x.npy"), "--budget", "2", "--out", str(world / "o")])
    with pytest.raises(UserError, match="no such folder of images"):
        call(world, "--images", world / "nowhere", out="o")
