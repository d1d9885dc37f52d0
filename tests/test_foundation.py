"""Properties of the foundation: whole files or none, one-line errors, lists as published, named random streams."""
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT

from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.files import (
    arrays_sha256,
    json_sha256,
    read_json,
    replacing,
    work_dir_of,
    write_json,
    write_npy,
    write_npz,
)
from fewshot_wsi.foundation.lists import check_labels, groups_of, read_groups, read_list, write_list
from fewshot_wsi.foundation.messages import show_messages
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.foundation.seeds import generator


def test_a_failed_write_leaves_the_old_file_and_no_temporary_one(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"a": 1})
    with pytest.raises(RuntimeError):
        with replacing(target, "w") as stream:
            stream.write("half")
            raise RuntimeError
    assert json.loads(target.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_equal_arrays_make_equal_files(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_npz(tmp_path / name, x=np.arange(5), y=np.eye(2))
        time.sleep(0.01)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_hash_of_arrays_sees_names_dtypes_and_shapes_but_not_memory_order():
    x = np.arange(6).reshape(2, 3)
    assert arrays_sha256(x=x) == arrays_sha256(x=np.asfortranarray(x)) == arrays_sha256(x=x.astype(">i8"))
    others = [arrays_sha256(y=x), arrays_sha256(x=x.reshape(3, 2)), arrays_sha256(x=x.astype(np.int32)),
              arrays_sha256(x=x + 1), arrays_sha256(x=x[:0])]
    assert len({arrays_sha256(x=x), *others}) == 6
    assert json_sha256({"a": 1, "b": 2}) == json_sha256({"b": 2, "a": 1})


def test_a_file_limit_is_one_line_and_leaves_nothing(tmp_path):
    code = ("import resource, sys, signal; import numpy as np\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
            "from fewshot_wsi.foundation.errors import run_command\n"
            "from fewshot_wsi.foundation.files import write_npy\n"
            f"sys.exit(run_command(lambda argv: write_npy({str(tmp_path / 'x.npy')!r}, np.zeros(100000))))")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and "free some space" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "[1]", '{"a": 1', "\xff"])
def test_a_broken_json_is_named(tmp_path, text):
    (tmp_path / "r.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"r\.json: not a readable result"):
        read_json(tmp_path / "r.json", "result")


def test_exit_codes_of_commands(capsys):
    def wrong(argv):
        raise UserError("first line\n second")
    assert run_command(lambda argv: None) == 0 and run_command(lambda argv: 1) == 1
    assert run_command(wrong) == 2 and capsys.readouterr().err == "error: first line second\n"
    assert run_command(lambda argv: (_ for _ in ()).throw(KeyboardInterrupt)) == 130
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        run_command(lambda argv: 1 / 0)


def test_sigterm_ends_a_command_with_143():
    code = ("import sys, time; from fewshot_wsi.foundation.errors import run_command\n"
            "sys.exit(run_command(lambda argv: (print('up', flush=True), time.sleep(60))))")
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_lists_are_read_with_either_line_end_and_spaces_in_paths(tmp_path, end, last):
    (tmp_path / "l.txt").write_bytes(("a b/ü 1.tif 3" + end + "c,d.tif 0" + (end if last else "")).encode())
    images = read_list(tmp_path / "l.txt")
    assert images.names == ("a b/ü 1.tif", "c,d.tif") and images.labels.tolist() == [3, 0]
    assert read_list(tmp_path / "l.txt", labeled=False).names[0] == "a b/ü 1.tif 3"


def test_a_written_list_reads_back(tmp_path):
    write_list(tmp_path / "l.txt", ["x y.png", "z.png"], [1, 0])
    assert read_list(tmp_path / "l.txt").labels.tolist() == [1, 0]
    write_list(tmp_path / "u.txt", ["x y.png", "z.png"])
    assert read_list(tmp_path / "u.txt").labels is None


def test_bad_lists_are_named(tmp_path):
    with pytest.raises(UserError, match="no such list"):
        read_list(tmp_path / "none.txt")
    (tmp_path / "e.txt").write_text("\n \n")
    with pytest.raises(UserError, match="the list is empty"):
        read_list(tmp_path / "e.txt")
    (tmp_path / "u.txt").write_text("a.png 1\nb.png\n")
    with pytest.raises(UserError, match=r"line 2: no label at the end of 'b\.png'"):
        read_list(tmp_path / "u.txt", labeled=True)
    with pytest.raises(UserError, match="row 2: label 5 is outside the 3 classes"):
        check_labels(np.array([0, 5, 2]), 3, "l.txt")


def test_groups_need_a_row_for_every_image(tmp_path):
    (tmp_path / "g.csv").write_text('path,group\n"a,b.png",p1\nc.png,p2\nd.png,p1\n')
    table = read_groups(tmp_path / "g.csv")
    assert groups_of(["a,b.png", "c.png", "d.png"], table, "g.csv").tolist() == [0, 1, 0]
    with pytest.raises(UserError, match=r"1 of 2 images have no group, the first is 'e\.png'"):
        groups_of(["c.png", "e.png"], table, "g.csv")
    (tmp_path / "h.csv").write_text("file,patient\n")
    with pytest.raises(UserError, match=r"columns path\[,centre\]"):
        read_groups(tmp_path / "h.csv")


def test_streams_depend_on_purpose_and_index_and_on_nothing_else():
    def draw(*key):
        return generator(*key).integers(2**62)
    assert draw(0, "a", "near", 1) == draw(0, "a", "near", 1)
    keys = [(0, "a", "near", 1), (1, "a", "near", 1), (0, "b", "near", 1), (0, "a", "out", 1), (0, "a", "near", 2),
            (0, "a", "near")]
    assert len({draw(*key) for key in keys}) == len(keys)
    code = "from fewshot_wsi.foundation.seeds import generator; print(generator(0, 'a', 'near', 1).integers(2**62))"
    elsewhere = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True,
                               env={**os.environ, "PYTHONHASHSEED": "7"})
    assert int(elsewhere.stdout) == draw(0, "a", "near", 1)


def test_progress_in_a_file_is_whole_lines(capsys):
    with bar(desc="tiles", total=3, unit="tile") as shown:
        shown.update(3)
    text = capsys.readouterr().err
    assert "\r" not in text and text.splitlines()[-1].startswith("tiles: 3/3 tile (100 %)")


def test_write_npy_never_pickles(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npy(tmp_path / "o.npy", np.array([None, 1], dtype=object))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place, said", [
    ("folder", "folder: a folder, where a file is needed"), ("file/x", "file/x: a part of it is a file"),
    ("absent/x", "absent/x: no such file or folder")])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, capsys, place, said):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert run_command(lambda argv: (tmp_path / place).write_text("x")) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize("config, folder", [
    ("configs/classification/nct/x.py", "work_dirs/classification/nct/x"), ("/a/configs/b.py", "/a/work_dirs/b"),
    ("mine/b.py", "work_dirs/b"), ("my.py", "work_dirs/my"), ("/my.py", "work_dirs/my"), ("configs.py",
    "work_dirs/configs"), ("configs/x.y.py", "work_dirs/x.y")])
def test_a_training_has_a_work_dir_of_its_own(config, folder):
    assert work_dir_of(config) == folder


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_of_a_command_is_one_write(unbuffered):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # each write is a message of its own
    code = ("import sys\nfrom fewshot_wsi.foundation.errors import run_command\n"
            "def main(argv):\n    print('one', 2)\n    print('three', file=sys.stderr)\n    print('four')\n"
            "run_command(main)")
    subprocess.run([sys.executable, "-c", code], stdout=theirs, stderr=theirs, cwd=ROOT, check=True,
                   env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    theirs.close()
    assert [ours.recv(100) for _ in range(3)] == [b"one 2\n", b"three\n", b"four\n"]
    ours.close()


def test_messages_of_functions_reach_logging_and_commands_show_them(capsys, caplog):
    show_messages()
    show_messages()  # twice, each message once
    logger = logging.getLogger("lowshot.somewhere")
    logger.info("done")
    logger.warning("mind the %s", "step")
    assert capsys.readouterr() == ("done\n", "notice: mind the step\n")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


def test_a_notebook_hears_warnings_only_and_can_silence_them():
    code = "import logging\nlogger = logging.getLogger('lowshot.somewhere')\nlogger.info('x')\nlogger.warning('y')"
    for first, heard in ("", "y\n"), ("import logging; logging.getLogger('lowshot').setLevel(logging.ERROR)\n", ""):
        done = subprocess.run([sys.executable, "-c", first + code], capture_output=True, text=True)
        assert (done.stdout, done.stderr) == ("", heard)
