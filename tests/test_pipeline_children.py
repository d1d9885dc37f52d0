"""Child commands of the pipeline: exit codes, signals, logs."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

CHILD = """import sys
sys.path[:0] = [{root!r}]
from fewshot_wsi.pipeline.children import call, logged
from fewshot_wsi.foundation.errors import run_command
def main(argv):
    call([sys.executable, "-c", {program!r}])
with logged({log!r}):
    code = run_command(main)
sys.exit(code)
"""


def start(tmp_path, program, stderr=subprocess.STDOUT):
    text = CHILD.format(root=str(ROOT), program=program, log=str(tmp_path / "log.txt"))
    whole_lines = {**os.environ, "PYTHONUNBUFFERED": ""}  # a line is one write, so that two streams mix by lines alone
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=stderr, text=True,
                            env=whole_lines)


def test_the_exit_code_of_a_child_is_ours_and_its_output_is_logged(tmp_path):
    process = start(tmp_path, "import sys; print('said'); print('warned', file=sys.stderr); sys.exit(7)")
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 7
    logged = (tmp_path / "log.txt").read_text()
    assert "said" in output and "warned" in output and sorted(logged.splitlines()) == sorted(output.splitlines())


def test_a_log_leaves_errors_among_the_errors(tmp_path):
    process = start(tmp_path, "import sys; print('said'); print('warned', file=sys.stderr)", stderr=subprocess.PIPE)
    output, errors = process.communicate(timeout=60)
    assert output.endswith("\nsaid\n") and errors == "warned\n"  # the line before names the command


def test_a_log_ends_although_worker_processes_are_still_there(tmp_path):
    text = ("import sys\n"
            f"sys.path[:0] = [{str(ROOT)!r}]\n"
            "from joblib import Parallel, delayed\nfrom fewshot_wsi.pipeline.children import logged\n"
            f"with logged({str(tmp_path / 'log.txt')!r}):\n"
            "    Parallel(2)(delayed(abs)(i) for i in range(4))\n    print('done')\n")
    done = subprocess.run([sys.executable, "-c", text], timeout=100, text=True, capture_output=True)
    assert done.returncode == 0 and done.stdout == (tmp_path / "log.txt").read_text() == "done\n"


@pytest.mark.parametrize("sent, code, word", [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")])
def test_signals_reach_the_child_and_are_waited_for(tmp_path, sent, code, word):
    state = str(tmp_path / "state")
    program = ("import signal, sys, time, pathlib\n"
               f"def stop(*_):\n    time.sleep(0.5); pathlib.Path({state!r}).write_text('saved'); sys.exit(0)\n"
               "signal.signal(signal.SIGTERM, stop); signal.signal(signal.SIGINT, stop)\n"
               "print('ready', flush=True); time.sleep(60)")
    process = start(tmp_path, program)
    for line in process.stdout:
        if line.strip() == "ready":
            break
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert (tmp_path / "state").read_text() == "saved"
    assert word in (tmp_path / "log.txt").read_text()


def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path):
    process = start(tmp_path, "import os, time; print('ready', os.getpid(), flush=True); time.sleep(60)")
    child = next(int(line.split()[1]) for line in process.stdout if line.startswith("ready"))
    process.kill()
    process.wait()
    for _ in range(100):
        if not (Path("/proc") / str(child)).exists():
            break
        time.sleep(0.1)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("the child went on")
