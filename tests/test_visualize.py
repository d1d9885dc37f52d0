"""Pictures of encoders: the maps against their formula, the files they come in."""
import json

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from torchvision.models import resnet18

from fewshot_wsi.commands import visualize
from fewshot_wsi.foundation.errors import UserError
from openselfsup.visualize import cluster, match_clusters, spread, stage_maps


def test_similarity_is_the_cosine_with_the_mean_local_feature():
    local = np.random.default_rng(0).standard_normal((6, 3, 4)).astype(np.float32)
    local[:, 1, 2] = 0
    maps = stage_maps(local, clusters=(2,))
    mean = local.mean(axis=(1, 2))
    for i, j in np.ndindex(3, 4):
        x = local[:, i, j]
        want = x @ mean / (np.linalg.norm(x) * np.linalg.norm(mean)) if x.any() else 0
        assert maps.similarity[i, j] == pytest.approx(want, abs=1e-6)
    assert maps.clusters[2].shape == (3, 4)


def test_clusters_find_separate_directions_and_bear_fewer_points_than_clusters():
    points = np.repeat(np.eye(3), [5, 9, 2], axis=0)
    labels = cluster(points, 3)
    assert [len(set(labels[part])) for part in (slice(0, 5), slice(5, 14), slice(14, 16))] == [1, 1, 1]
    assert labels[5] == 0 and labels[0] == 1 and labels[15] == 2  # larger clusters first
    assert set(cluster(points, 6)) == {0, 1, 2}
    np.testing.assert_array_equal(cluster(points, 3, seed=4), cluster(points, 3, seed=4))


def test_matching_undoes_a_renumbering():
    reference = np.random.default_rng(0).integers(0, 4, (7, 7))
    np.testing.assert_array_equal(match_clusters(np.array([2, 0, 3, 1])[reference], reference, 4), reference)


def test_tiles_are_spread_over_the_classes():
    labels = np.repeat([0, 1, 2], [100, 5, 50])
    rows = spread(labels, len(labels), 7)
    assert np.bincount(labels[rows]).tolist() == [3, 2, 2] and len(set(rows)) == 7
    assert spread(None, 10, 3).tolist() in ([0, 4, 9], [0, 5, 9])
    assert spread(labels, len(labels), 1000).size == 155


@pytest.fixture
def site(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / f"<{i}>.png")
    (tmp_path / "L.txt").write_text("".join(f"<{i}>.png {i % 2}\n" for i in range(3)))
    for name in ("a", "b"):
        state = {k: v for k, v in resnet18().state_dict().items() if not k.startswith("fc.")}
        torch.save(state, tmp_path / f"{name}.pth")
    base = ROOT / "configs/extraction/base.py"
    (tmp_path / "c.py").write_text(base.read_text().replace("224", "64").replace(
        "type='ImageList'", "type='ImageList', list_file='', root=''"))
    return tmp_path


def test_two_encoders_are_drawn_side_by_side_with_the_list_last(site):
    visualize.main(["--pretrained", str(site / "a.pth"), str(site / "b.pth"), str(site / "L.txt"), "--root", str(site),
                    "--out", str(site / "out"), "--config", str(site / "c.py"), "--count", "2", "--quiet"])
    summary = json.loads((site / "out/visualize.json").read_text())
    assert [entry["name"] for entry in summary["encoders"]] == ["a", "b"] and summary["clusters"] == [2, 4, 6]
    assert len(summary["tiles"]) == 2
    for tile in summary["tiles"]:
        with Image.open(site / "out" / tile["picture"]) as picture:
            assert picture.format == "PNG" and picture.width > picture.height
    page = (site / "out/index.html").read_text()
    assert "&lt;0&gt;.png" in page and "<0>" not in page and "http" not in page


def test_faults_are_named(site):
    with pytest.raises(UserError, match="1 of 1 images are missing"):
        (site / "M.txt").write_text("gone.png 0\n")
        visualize.main([str(site / "M.txt"), "--pretrained", str(site / "a.pth"), "--out", str(site / "out"), "--root",
                        str(site), "--config", str(site / "c.py")])
    with pytest.raises(SystemExit):
        visualize.main(["--pretrained", str(site / "a.pth"), "--out", str(site / "out")])
    assert not (site / "out").exists()
