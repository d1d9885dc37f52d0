"""What a command says where a setting, a folder or a disk does not do: one line, and the exit code of a wrong use."""

import contextlib
import logging
import sqlite3

import numpy as np
import pytest
from PIL import Image

from fewshot_wsi.commands import annotated_slides, check_data, paip19
from fewshot_wsi.data_checks.cache import Cache
from fewshot_wsi.data_checks.measure import measure
from fewshot_wsi.foundation.errors import UserError, run_command
from openselfsup.config import load_config


def test_a_wrong_root_is_no_finding_about_the_data(tmp_path, capsys):
    listed = tmp_path / "list.txt"
    listed.write_text("a/x.png 0\na/y.png 1\n")
    code = run_command(check_data.main, [
        str(listed), "--root", str(tmp_path / "nowhere"), "--cache", str(tmp_path / "c"),
        "--out", str(tmp_path / "o")])
    assert code == 2 and "none of its 2 images lies in" in capsys.readouterr().err


def test_a_list_of_broken_images_alone_is_a_finding(tmp_path, capsys):
    (tmp_path / "x.png").write_text("no image")
    (tmp_path / "list.txt").write_text("x.png 0\n")
    code = run_command(check_data.main, [
        str(tmp_path / "list.txt"), "--root", str(tmp_path), "--quiet",
        "--workers", "1", "--cache", str(tmp_path / "c"), "--out", str(tmp_path / "o")])
    assert code == 1


def test_measurements_survive_a_place_that_takes_none(tmp_path, caplog):
    """A folder in the place of the cache, and a disk that becomes full: a warning, and the run goes on."""
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    (tmp_path / "folder").mkdir()
    cache = Cache(tmp_path / "folder")
    cache.put(path, measure(path))
    assert cache.get(path) == measure(path)
    cache.close()
    full = Cache(tmp_path / "full.sqlite")
    full.base.execute("PRAGMA max_page_count=1")  # as a full disk: sqlite3.OperationalError
    with caplog.at_level(logging.WARNING), contextlib.suppress(sqlite3.IntegrityError):
        for number in range(200):
            full.put(tmp_path / f"{number}.png", measure(path))
        full.close()
    assert any("cannot be kept" in record.message and "--cache" in record.message for record in caplog.records)


@pytest.mark.parametrize("value", ["abc", True, float("nan"), float("inf"), -1.0, None])
def test_a_rate_that_is_no_number_is_refused_by_name(value):
    with pytest.raises(UserError, match=r"optimizer\.lr is .*; give a number"):
        load_config("configs/quickstart/clp.py", {"optimizer.lr": value})


@pytest.mark.parametrize("command", [annotated_slides, paip19])
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "0"])
def test_a_resolution_is_a_number_above_0(command, value, tmp_path, capsys):
    options = {annotated_slides: ["--name", "a"], paip19: ["--slides"]}
    with pytest.raises(SystemExit) as stopped:
        command.main([*options[command], str(tmp_path), "--target_mpp=" + value])
    assert stopped.value.code == 2 and "--target_mpp is a number greater than 0" in capsys.readouterr().err
