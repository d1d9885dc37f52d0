"""Two commands on one folder, what dead processes leave, signals at any moment, and a log with whole lines in order."""
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT
from training import draw_tiles, finish, start, write_config

from fewshot_wsi.foundation import temporary
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import write_json
from fewshot_wsi.foundation.locks import locked

HOLD = """
import sys, time
sys.path.insert(0, {root!r})
from fewshot_wsi.foundation.locks import locked
with locked({path!r}):
    print("held", flush=True)
    {then}
"""


def holder(path, then="time.sleep(60)"):
    """A process that holds the lock of `path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD.format(root=str(ROOT), path=str(path), then=then)],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def catches(pid, number):
    """Whether the process has a handler of its own for a signal."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def training_process(process):
    """Id of the process that handles SIGTERM: `process` itself, or the launcher that its shell started; else None."""
    for pid in (process.pid, *map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            ours = any(word.endswith((b"train.py", b"openselfsup.launch")) for word in words)
            if ours and catches(pid, signal.SIGTERM):
                return pid
    return None


def wait_until(condition, seconds=60):
    for _ in range(100 * seconds):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def test_the_second_waits_for_the_first_and_says_so_once(tmp_path, caplog):
    process = holder(tmp_path / "x", "time.sleep(1)")
    began = time.monotonic()
    with locked(tmp_path / "x"), locked(tmp_path / "y"):
        assert process.wait(10) == 0 and time.monotonic() - began > 0.5
    assert caplog.text.count("another command is at work on it; this one waits") == 1


def test_the_second_does_not_wait_where_that_could_take_days(tmp_path):
    process = holder(tmp_path / "x")
    with pytest.raises(UserError, match="x: another command is at work on it; wait until that one ends"):
        with locked(tmp_path / "x", wait=False):
            pass
    process.kill()
    process.wait()
    with locked(tmp_path / "x", wait=False):  # the kernel has let go of it
        pass


def test_what_dead_processes_left_goes_and_what_living_ones_write_stays(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    where, names = temporary._here(), {}
    for owner, pid in (("dead", dead.pid), ("living", os.getppid())):
        names[owner] = tmp_path / f".F.npy.{where}-{pid}-abc123.tmp"
        names[owner].write_text("half")
    elsewhere = tmp_path / f".F.npy.other-1-{dead.pid}-abc123.tmp"
    elsewhere.write_text("half")
    folder = tmp_path / f".set.{where}-{dead.pid}-abc123.tmp"
    (folder / "data").mkdir(parents=True)
    write_json(tmp_path / "new.json", {})
    assert not names["dead"].exists() and not folder.exists()
    assert names["living"].exists() and elsewhere.exists() and (tmp_path / "new.json").exists()


def test_a_command_that_was_born_deaf_to_interrupts_can_be_interrupted():
    """As a shell's background jobs are, and with them all that a script in the background starts."""
    code = (f"import sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
            "from fewshot_wsi.foundation.errors import run_command\n"
            "sys.exit(run_command(lambda argv: time.sleep(60)))")
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    wait_until(lambda: catches(process.pid, signal.SIGINT))
    process.send_signal(signal.SIGINT)
    assert "interrupted" in process.communicate(timeout=30)[1] and process.returncode == 130


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_comes_while_an_object_is_finalized_is_not_lost(number, code):
    """Python drops what is raised there."""
    program = (f"import sys, time\nsys.path.insert(0, {str(ROOT)!r})\n"
               "from fewshot_wsi.foundation.errors import run_command\n"
               "class Slow:\n    def __del__(self):\n        print('now', flush=True)\n        time.sleep(1)\n"
               "def main(argv):\n    Slow()\n    time.sleep(30)\n    return 5\n"
               "sys.exit(run_command(main))")
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "now\n"
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == code


@pytest.mark.parametrize("launcher", ["none", "torchrun"])
def test_terminated_while_training_starts_it_exits_0(tmp_path, launcher):
    config = write_config(draw_tiles(tmp_path), "fsp", epochs=2, batch=8)
    options = [config, "--work_dir", tmp_path / "work", "--cfg-options", "data.workers_per_gpu=0"]
    command = [sys.executable, "tools/train.py", *options] if launcher == "none" else [
        "bash", "tools/dist_train.sh", options[0], 1, *options[1:]]
    process = start(*command, PORT=str(29900 + os.getpid() % 90))
    wait_until(lambda: training_process(process))
    time.sleep(0.2)
    os.kill(training_process(process), signal.SIGTERM)
    text = finish(process)
    assert process.returncode == 0, text
    assert "Traceback" not in text


def test_a_second_training_in_the_same_folder_is_one_line(tmp_path, run):
    config = write_config(draw_tiles(tmp_path), "fsp", epochs=1, batch=8)
    process = holder(tmp_path / "work")
    done = run("tools/train.py", config, "--work_dir", tmp_path / "work")
    process.kill()
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: ")
    assert "another command is at work on it" in done.stderr and not (tmp_path / "work/latest.pth").exists()


WRITE = """
import sys
sys.path.insert(0, {root!r})
from fewshot_wsi.pipeline.children import logged
with logged({log!r}):
    for number in range(400):
        print(f"out {{number}} " + "a" * 300, flush=True)
        print(f"err {{number}} " + "b" * 300, file=sys.stderr, flush=True)
"""


def test_where_both_streams_go_to_one_place_the_log_has_them_in_its_order(tmp_path):
    code = WRITE.format(root=str(ROOT), log=str(tmp_path / "log.txt"))
    shown = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    assert (tmp_path / "log.txt").read_bytes() == shown.stdout


def test_lines_of_two_streams_never_mix_within_one(tmp_path):
    code = WRITE.format(root=str(ROOT), log=str(tmp_path / "log.txt"))
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    for stream, word in ((shown.stdout, "out"), (shown.stderr, "err")):
        assert [line for line in lines if line.startswith(word)] == stream.splitlines()
    assert len(lines) == 800


def test_long_names_in_any_script_have_temporary_files_and_locks_within_255_bytes(tmp_path):
    paths = [tmp_path / ("腺癌" * 40 + f"{number}.json") for number in (1, 2)]  # 247 bytes each, equal but for the end
    for path in paths:
        with locked(path, wait=False):
            write_json(path, {})
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert temporary.hidden_name(paths[0]) != temporary.hidden_name(paths[1])
