"""Downloads against a local server that fails in every way a real one does."""
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from data_material import ROOT, run_as_user, serving, small_command

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.prepare_data.download import checksum, fetch, record_files

BODY = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture
def server():
    with serving({"set.zip": BODY}) as running:
        yield running


def get(server, folder, **options):
    return fetch(record_files(1, base=server.base)["set.zip"], folder, quiet=True, pause=0, **options)


def test_a_file_arrives_whole_and_is_not_asked_for_again(server, tmp_path):
    path = get(server, tmp_path)
    assert path.read_bytes() == BODY
    get(server, tmp_path)
    assert server.seen == [("set.zip", None)]
    assert os.listdir(tmp_path) == ["set.zip"]


def test_a_broken_connection_goes_on_with_a_range_request(server, tmp_path):
    server.cut = 400_000
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen == [("set.zip", None), ("set.zip", "bytes=400000-"), ("set.zip", "bytes=800000-")]


def test_a_part_left_by_a_killed_download_is_used(server, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(BODY[:700_000])
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen == [("set.zip", "bytes=700000-")]


def test_kill_half_way_then_the_same_command_resumes(server, tmp_path):
    server.hold = 300_000
    script = f"""import sys; sys.path[:0] = [r'{ROOT}']
from fewshot_wsi.prepare_data.download import fetch, record_files
fetch(record_files(1, base='{server.base}')['set.zip'], r'{tmp_path}', quiet=True)"""
    process = subprocess.Popen([sys.executable, "-c", script])
    part = Path(tmp_path, "set.zip.part")
    while process.poll() is None and not (part.exists() and part.stat().st_size == 300_000):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.go_on.set()
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen == [("set.zip", None), ("set.zip", "bytes=300000-")]


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    server.ranges = False
    (tmp_path / "set.zip.part").write_bytes(b"x" * 1000)
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(server, tmp_path):
    server.ranges, server.cut = False, 1000
    with pytest.raises(UserError, match="broke off at 1000 of 1048576 bytes; run the same command again"):
        get(server, tmp_path, retries=2)
    assert len(server.seen) == 4
    assert (tmp_path / "set.zip.part").stat().st_size == 1000


def test_a_wrong_checksum_is_kept_aside_and_never_used(server, tmp_path):
    server.wrong.add("set.zip")
    with pytest.raises(UserError, match=r"set\.zip\.bad: the checksum is not the record's md5:0{32}"):
        get(server, tmp_path)
    assert os.listdir(tmp_path) == ["set.zip.bad"]


def test_a_file_that_was_there_is_checked_too(server, tmp_path):
    (tmp_path / "set.zip").write_bytes(BODY[:-1])
    with pytest.raises(UserError, match="not used; run the same command again"):
        get(server, tmp_path)
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_part_longer_than_the_file_is_kept_aside(server, tmp_path):
    (tmp_path / "set.zip.part").write_bytes(BODY + b"x")
    with pytest.raises(UserError, match="checksum"):
        get(server, tmp_path)
    assert get(server, tmp_path).read_bytes() == BODY


def test_a_full_disk_keeps_the_part_and_names_it(server, tmp_path):
    script = small_command(tmp_path, f"""from fewshot_wsi.prepare_data.download import fetch, record_files
fetch(record_files(1, base='{server.base}')['set.zip'], '.', quiet=True)""")
    result = run_as_user(script, cwd=tmp_path, file_limit=300_000)
    assert result.returncode == 2
    assert "set.zip.part: the file would grow over the size limit; free some space" in result.stderr
    assert (tmp_path / "set.zip.part").stat().st_size == 300_000
    assert get(server, tmp_path).read_bytes() == BODY
    assert server.seen[-1] == ("set.zip", "bytes=300000-")


def test_a_file_larger_than_the_disk_is_refused_before_the_download(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="0.0 GB to download but 0.0 GB free"):
        get(server, tmp_path)
    assert server.seen == []


def test_no_network_says_what_else_to_do(tmp_path):
    with serving({}) as gone:
        base = gone.base
    with pytest.raises(UserError, match="check the network, or download the archive by other means.*--archive"):
        record_files(1, base=base)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"files": [{"key": "x"}]}', b'{"message": "gone"}'])
def test_an_answer_that_is_no_record_is_refused(server, answer):
    server.answer = answer
    with pytest.raises(UserError, match="not a record's description"):
        record_files(1, base=server.base)


def test_a_missing_file_is_named_by_its_status(server, tmp_path):
    remote = record_files(1, base=server.base)["set.zip"]
    server.files.clear()
    with pytest.raises(UserError, match="the server answers 404"):
        fetch(remote, tmp_path, quiet=True, retries=0)


@pytest.mark.parametrize("name", ["../set.zip", "a/b", "..", ""])
def test_a_name_that_leaves_the_folder_is_refused(server, tmp_path, name):
    import dataclasses
    remote = dataclasses.replace(record_files(1, base=server.base)["set.zip"], name=name)
    with pytest.raises(UserError, match="only plain names"):
        fetch(remote, tmp_path / "in", quiet=True)


def test_only_web_addresses_are_opened():
    with pytest.raises(UserError, match="only http and https"):
        record_files(1, base="file:///etc")


def test_checksum_is_that_of_the_whole_file(tmp_path):
    (tmp_path / "a").write_bytes(BODY * 3)
    assert checksum(tmp_path / "a", "sha256") == hashlib.sha256(BODY * 3).hexdigest()
    with pytest.raises(UserError, match="unknown checksum algorithm 'crc7'"):
        checksum(tmp_path / "a", "crc7")
