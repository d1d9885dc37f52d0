"""What was made of other inputs is never kept: image contents, killed trainings, half a dictionary, a fresh start."""
from pathlib import Path

import numpy as np
import pytest
import torch
from _world import make_world
from PIL import Image
from test_extract_command import run_here, site  # noqa: F401 (site is a fixture)
from training import draw_tiles, write_config

from fewshot_wsi.commands import train
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.provenance import read_provenance
from fewshot_wsi.pipeline.dictionaries import make_dictionary
from fewshot_wsi.pipeline.plan import Plan
from fewshot_wsi.pipeline.steps import extract_steps


def repaint(folder, seed):
    """Other pictures under the same names."""
    rng = np.random.default_rng(seed)
    for path in folder.glob("tile *.png"):
        Image.fromarray(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(path)


def test_blocks_of_images_that_were_replaced_are_made_again(site):  # noqa: F811
    (site / "tile 3.png").write_bytes(b"no image")  # of the first block; the others are finished and kept
    with pytest.raises(UserError, match="1 of 22 images do not decode"):
        run_here(site)
    repaint(site, 1)
    run_here(site)
    run_here(site, output="m2/S.npy")
    assert (site / "feats/m/S.npy").read_bytes() == (site / "feats/m2/S.npy").read_bytes()


def test_blocks_of_images_that_stayed_are_kept(site, monkeypatch):  # noqa: F811
    (site / "tile 3.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="do not decode"):
        run_here(site)
    Image.new("RGB", (60, 60), "red").save(site / "tile 3.png")
    from openselfsup.apis import extract
    made = []
    fill = extract.fill
    monkeypatch.setattr(extract, "fill", lambda job, writer, numbers, *more: made.extend(numbers) or fill(
        job, writer, numbers, *more))
    run_here(site)
    assert made == [0]


def test_features_of_images_that_were_replaced_are_refused_and_overwritten(site, capsys):  # noqa: F811
    run_here(site)
    before = read_provenance(site / "feats/m/S.npy")["images_sha256"]
    for path in site.glob("tile *.png"):
        path.touch()
    run_here(site)  # dates alone change nothing
    assert "kept" in capsys.readouterr().out
    repaint(site, 2)
    with pytest.raises(UserError, match="another content of the images than asked for now; .* --overwrite"):
        run_here(site)
    run_here(site, "--overwrite")
    assert read_provenance(site / "feats/m/S.npy")["images_sha256"] != before


def test_features_of_earlier_versions_which_do_not_name_image_contents_are_kept(site, capsys):  # noqa: F811
    run_here(site)
    path = site / "feats/m/S.json"
    path.write_text(path.read_text().replace("images_sha256", "something_else"))
    run_here(site)
    assert "kept" in capsys.readouterr().out


@pytest.mark.parametrize("lost", [1, 2])
def test_a_training_killed_between_two_checkpoints_is_completed(tmp_path, lost):
    """latest.pth of the last iteration of an epoch is there, epoch_N.pth is not."""
    config, work = write_config(draw_tiles(tmp_path), "fsp", epochs=2, batch=8), tmp_path / "work"
    command = [str(config), "--work_dir", str(work), "--cfg-options", "checkpoint_config.interval=1",
               "data.workers_per_gpu=0"]
    assert train.main(command) == 0
    whole = {number: torch.load(work / f"epoch_{number}.pth", weights_only=True) for number in (1, 2)}
    (work / "latest.pth").unlink()
    (work / f"epoch_{lost}.pth").rename(work / "latest.pth")
    (work / "epoch_2.pth").unlink(missing_ok=True)
    assert train.main([*command[:3], "--continue_training", *command[3:]]) == 0
    assert (work / "latest.pth").resolve() == (work / "epoch_2.pth").resolve()
    for number, content in whole.items():
        again = torch.load(work / f"epoch_{number}.pth", weights_only=True)["state_dict"]
        assert all(torch.equal(again[key], value) for key, value in content["state_dict"].items())


def test_a_dictionary_without_its_shift_bank_is_made_again(tmp_path, capsys):
    protocol, _ = make_world(tmp_path)
    make_dictionary(protocol, "enc", folder=tmp_path / "own")
    bank = next((tmp_path / "own").rglob("*_SHIFT_BANK_*.npy"))
    before = bank.read_bytes()
    make_dictionary(protocol, "enc", folder=tmp_path / "own")
    assert "kept" in capsys.readouterr().out
    bank.unlink()  # killed after the two other files
    make_dictionary(protocol, "enc", folder=tmp_path / "own")
    assert bank.read_bytes() == before and "made again" in capsys.readouterr().err


def test_a_fresh_start_uses_no_block_of_an_unfinished_extraction(tmp_path):
    protocol, _ = make_world(tmp_path)
    protocol.features_file("enc", "base").unlink()
    plan = Plan(protocol, only=("mix",))
    step = next(extract_steps(plan))
    blocks = Path(step.outputs[0]).parent / f".{Path(step.outputs[0]).name}.0123.parts"
    blocks.mkdir(parents=True)
    plan.records.forget(step)
    assert not blocks.exists()
