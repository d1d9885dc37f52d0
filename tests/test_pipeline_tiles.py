"""The protocol of `quickstart.sh --tiles` on a sample of real tiles, with an encoder that needs no training."""
import json
from dataclasses import asdict

import numpy as np
import pytest
from conftest import ROOT

from fewshot_wsi.foundation.lists import groups_of, read_groups, read_list
from fewshot_wsi.meta_test.protocol import load_protocol
from fewshot_wsi.meta_test.results import find_results, read_result


@pytest.fixture(scope="module")
def sample(real_tiles, tmp_path_factory):
    """A folder of links to a few real tiles of every class, laid out as the whole."""
    folder = tmp_path_factory.mktemp("tiles")
    for data in ("CRC5", "LC25000", "PROSTATE3"):
        by_class = {}
        for path in sorted((real_tiles / data / "data").rglob("*.jp*g")):
            parts = path.relative_to(real_tiles / data / "data").parts
            by_class.setdefault((parts[0], parts[-2]), []).append(path)
        for paths in by_class.values():
            for path in paths[:: max(1, len(paths) // 12)][:12]:
                target = folder / path.relative_to(real_tiles)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(path)
    (folder / "LC25000/groups.csv").symlink_to(real_tiles / "LC25000/groups.csv")
    return folder


def test_real_tiles_go_from_folders_to_results(sample, tmp_path, run):
    data = asdict(load_protocol(str(ROOT / "configs/protocols/tiles.py"), sample))
    data.pop("path")
    data["workdir"] = str(tmp_path / "work")
    for name, image_set in data["sets"].items():
        image_set["list"] = str(tmp_path / "work/meta" / f"{name}.txt")
        image_set["config"] = str(ROOT / image_set["config"])
    data["models"] = dict(color_histogram=dict(encoder="color_histogram"))
    for family in data["tasks"].values():
        family |= dict(methods=[["color_histogram", "linear", "Ridge"]], num_tasks=20, shots=[5], novel_classes=[])
    protocol = tmp_path / "protocol.json"
    protocol.write_text(json.dumps(data))
    done = run("wsi_workdir/run_protocol.py", "--protocol", protocol, "--workers", "1", "--stages",
               "data,pretrain,extract,tasks,dictionary,meta_test,summary")
    assert done.returncode == 0, done.stderr
    assert "out_homo is left out: none of the" in done.stderr
    assert {path.parent.parent.name for path in find_results(tmp_path / "work/results")} == {"near", "mixture", "out"}

    listed = read_list(tmp_path / "work/meta/LC.txt", labeled=True)
    assert np.bincount(listed.labels).tolist() == [12] * 5
    groups_of(listed.names, read_groups(sample / "LC25000/groups.csv"), "groups.csv")  # paths are those of the table
    mixture = read_result(tmp_path / "work/results/mixture/color_histogram/5shot_linear_Ridge.json")
    assert mixture.statistics["accuracy"]["mean"] > 0.3  # chance is 0.2; colour tells some of these classes

    alone = run("wsi_workdir/run_protocol.py", "--protocol", protocol, "--only", "out_homo")
    assert alone.returncode == 2 and "holds every class" in alone.stderr
