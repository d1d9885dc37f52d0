"""A Dask cluster that cannot do the work is one line at the start, with the name of what is wrong; nothing waits."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from fewshot_wsi.commands import run_protocol
from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.meta_test.cluster import check_cluster

pytest.importorskip("distributed")


@pytest.fixture
def node():
    """Starts a scheduler or worker process; gives (process, address)."""
    started = []

    def start(*options):
        process = subprocess.Popen([sys.executable, Path(__file__).with_name("dask_node.py"), *options],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                   env={**os.environ, "PYTHONPATH": str(ROOT)})
        started.append(process)
        return process, process.stdout.readline().strip()
    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_worker_that_lacks_the_package_is_named_and_a_whole_cluster_passes(node):
    scheduler = node("scheduler")[1]
    node("worker", scheduler)
    check_cluster(scheduler)
    lacking = node("lacking", "worker", scheduler)[1]
    with pytest.raises(UserError, match=f"the worker {lacking} lacks this package.*No module named 'fewshot_wsi'"):
        check_cluster(scheduler)


def test_a_worker_of_another_version_is_named(node):
    scheduler = node("scheduler")[1]
    other = node("other", "worker", scheduler)[1]
    with pytest.raises(UserError, match=f"the worker {other} has fewshot_wsi 0.0.1, here it is .*; install there"):
        check_cluster(scheduler)


def test_a_worker_that_does_not_answer_is_named(node):
    scheduler = node("scheduler")[1]
    process, address = node("worker", scheduler)
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(UserError, match=f"the worker {address} does not answer within 8 seconds"):
        check_cluster(scheduler, limit=4)


def test_a_scheduler_that_lacks_the_package_is_named_and_one_without_workers_too(node):
    lacking = node("lacking", "scheduler")[1]
    with pytest.raises(UserError, match=f"the scheduler {lacking} lacks this package"):
        check_cluster(lacking)
    alone = node("scheduler")[1]
    with pytest.raises(UserError, match="has no worker after 4 seconds; start some with: dask worker tcp:"):
        check_cluster(alone, limit=4)


def test_an_address_where_no_scheduler_answers_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UserError, match=f"--scheduler {address}: no Dask scheduler answers there"):
            check_cluster(address, limit=1)
    for wrong in ("host", "tls://127.0.0.1:1", "ftp://127.0.0.1:1"):
        with pytest.raises(UserError, match="no Dask scheduler answers there .*as tcp://host:8786"):
            check_cluster(wrong)


def test_a_whole_protocol_asks_the_cluster_before_its_first_stage(capsys, tmp_path):
    code = run_command(run_protocol.main, [
        "--protocol", str(ROOT / "configs/protocols/quickstart.py"), "--workdir", str(tmp_path), "--backend", "dask",
        "--scheduler", "host"])
    said = capsys.readouterr()
    assert code == 2 and "no Dask scheduler answers" in said.err and "== " not in said.out
