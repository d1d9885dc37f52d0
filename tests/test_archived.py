"""Tiles inside a zip archive: everywhere the same as the files it was made from."""
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from training import draw_tiles, finish, free_port, start, write_config

from fewshot_wsi.commands import check_data, extract, train
from fewshot_wsi.foundation.archived import archive_of, is_file, missing_below, read_file, sha256_of, stamp_of
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.image_files import find_images
from fewshot_wsi.foundation.lists import read_list
from openselfsup.apis.train import train_pipeline
from openselfsup.config import load_config
from openselfsup.datasets import build_dataset, build_loader
from openselfsup.sampler import BatchSampler


@pytest.fixture
def tiles(tmp_path):
    """Drawn tiles below data/, and the same in an archive, below a folder of its own as in the public ones."""
    draw_tiles(tmp_path)
    with zipfile.ZipFile(tmp_path / "TILES.zip", "w") as archive:
        for number, path in enumerate(sorted((tmp_path / "data").rglob("*.png"))):
            method = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.write(path, Path("TILES", path.relative_to(tmp_path / "data")), compress_type=method)
    return tmp_path


def test_bytes_hashes_and_names_are_those_of_the_files(tiles):
    names = read_list(tiles / "plain.txt").names
    assert find_images(tiles / "TILES.zip") == find_images(tiles / "data") == sorted(names)
    for name in names:
        plain, packed = tiles / "data" / name, tiles / "TILES.zip" / name
        assert read_file(packed) == plain.read_bytes() == read_file(tiles / "TILES.zip/TILES" / name)
        assert sha256_of(packed) == sha256_of(plain) and is_file(packed) and not is_file(packed.with_name("no.png"))
    for root in ("data", "TILES.zip", "TILES.zip/TILES"):
        assert missing_below(tiles / root, [*names, "class 0/no.png", "no/no.png"]) == ["class 0/no.png", "no/no.png"]


@pytest.mark.parametrize("kind", ["clp", "fsp"])
def test_loader_workers_give_the_same_batches_to_the_bit(tiles, kind):
    config = load_config(write_config(tiles, kind))
    found = []
    for root, workers in (("data", 0), ("TILES.zip", 0), ("TILES.zip", 2)):
        config.data.train.data_source.root = str(tiles / root)
        data = build_dataset(config.data.train, train_pipeline(config), 3, "raise", "data.train")
        data.source.check_files()
        data[(0, 0)]  # the archive is open before the workers are forked
        loader = build_loader(data, BatchSampler(len(data), 5, 3), workers)
        found.append([batch for epoch in range(2) for batch in _epoch(loader, epoch)])
    for other in found[1:]:
        assert len(other) == len(found[0]) == 10
        for one, same in zip(found[0], other, strict=True):
            assert all(torch.equal(one[key], same[key]) for key in ("images", "parameters", "labels"))


def test_two_processes_under_torchrun_train_the_same_weights_to_the_bit(tiles):
    """Each opens the archive for itself, and so do its loader's workers."""
    config, weights = write_config(tiles, "fsp", epochs=1), []
    for root in ("data", "TILES.zip"):
        process = start("bash", "tools/dist_train.sh", config, 2, "--work_dir", tiles / f"work_{root}", "--seed", 3,
                        "--cfg-options", f"data.train.data_source.root={str(tiles / root)!r}", PORT=free_port())
        text = finish(process)
        assert process.returncode == 0, text
        weights.append(torch.load(tiles / f"work_{root}" / "epoch_1.pth", weights_only=False)["state_dict"])
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def _epoch(loader, number):
    loader.batch_sampler.start_at(number)
    return list(loader)


def test_features_and_checks_are_those_of_the_files(tiles):
    (tiles / "extract.py").write_text(
        "model = dict(type='Extractor', backbone=dict(type='ResNet', depth=18))\n"
        "data = dict(imgs_per_gpu=8, workers_per_gpu=2, extract=dict(type='ExtractDataset', data_source=dict("
        "type='ImageList', list_file='', root=''), pipeline=[dict(type='Resize', size=32)]))\n")
    for name, root in (("a", "data"), ("b", "TILES.zip")):
        extract.main(["--encoder", "mean_rgb", "--config", str(tiles / "extract.py"), "--list",
                      str(tiles / "labeled.txt"), "--root", str(tiles / root), "--output",
                      str(tiles / name / "x.npy"), "--quiet"])
        check_data.main([str(tiles / "labeled.txt"), "--root", str(tiles / root), "--out", str(tiles / f"check_{name}"),
                         "--cache", str(tiles / "cache.sqlite"), "--workers", "1", "--quiet"])
    np.testing.assert_array_equal(*(np.load(tiles / name / "x.npy") for name in "ab"))
    reports = [(tiles / f"check_{name}.md").read_text().replace(f"check_{name}", "check").replace(
        str(tiles / root), "ROOT") for name, root in (("a", "data"), ("b", "TILES.zip"))]
    assert reports[0] == reports[1]
    from fewshot_wsi.foundation.files import read_json
    assert len({read_json(tiles / name / "x.json")["images_sha256"] for name in "ab"}) == 1


def test_an_archive_that_is_replaced_is_read_anew(tiles):
    path = tiles / "TILES.zip" / "class 0/tile_0.png"
    before = stamp_of(path)
    with zipfile.ZipFile(tiles / "new.zip", "w") as archive:
        archive.writestr("class 0/tile_0.png", b"other")
    os.replace(tiles / "new.zip", tiles / "TILES.zip")
    assert read_file(path) == b"other" and stamp_of(path) != before


def test_damage_is_told_and_no_byte_of_it_is_used(tiles):
    archive, name = archive_of(tiles / "TILES.zip/class 0/tile_0.png")
    offset, _, packed, *_ = archive.place(name)
    data = bytearray((tiles / "TILES.zip").read_bytes())
    data[offset + 30 + len("TILES/class 0/tile_0.png") + packed // 2] ^= 255
    (tiles / "TILES.zip").write_bytes(data)
    with pytest.raises(OSError, match="is damaged"):
        read_file(tiles / "TILES.zip/class 0/tile_0.png")
    (tiles / "TILES.zip").write_bytes(data[:len(data) // 2])
    with pytest.raises(UserError, match=r"TILES.zip: not a readable zip archive .*; copy it again"):
        read_file(tiles / "TILES.zip/class 0/tile_0.png")
    with zipfile.ZipFile(tiles / "odd.zip", "w", zipfile.ZIP_BZIP2) as odd:
        odd.writestr("a.png", b"x" * 100)
    with pytest.raises(OSError, match="compressed with bzip2: only stored and deflated files are read from a zip"):
        read_file(tiles / "odd.zip/a.png")


def test_a_list_that_names_what_the_archive_lacks_stops_training_before_it_begins(tiles, capsys):
    (tiles / "labeled.txt").write_text((tiles / "labeled.txt").read_text() + "class 9/none.png 1\n")
    config = write_config(tiles, "fsp")
    code = run_command(train.main, [str(config), "--work_dir", str(tiles / "run"), "--cfg-options",
                                    f"data.train.data_source.root={tiles / 'TILES.zip'}"])
    assert code == 2 and "1 of 25 images are missing below" in capsys.readouterr().err
