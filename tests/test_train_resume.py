"""Runs that are killed, stopped and continued end with the weights of a run that was left alone, to the bit."""
import os
import signal

import pytest
import torch
from training import draw_tiles, family, finish, free_port, start, wait_for, write_config

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds the processes to kill under /proc")


def weights(folder):
    return torch.load(folder / "latest.pth", weights_only=True)["state_dict"]


def assert_equal(one, other):
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different


def kill(process):
    for pid in family(process.pid):
        os.kill(pid, signal.SIGKILL)
    finish(process)


def test_two_processes_terminated_then_killed_end_as_if_left_alone(tmp_path):
    config = write_config(draw_tiles(tmp_path), "clp", epochs=4)

    def run(folder, *options):
        return start("bash", "tools/dist_train.sh", config, 2, "--work_dir", tmp_path / folder, *options,
                     PORT=free_port())

    whole = run("whole")
    output = finish(whole)
    assert whole.returncode == 0, output
    assert "effective batch size 8 = 4 images × 2 process(es) × 1 iteration(s)" in output
    assert output.count("each process normalises its own batch") == 1

    every = ("--cfg-options", "checkpoint_config.latest_minutes=0.001")  # also in mid-epoch
    first = run("parts", *every)
    wait_for(tmp_path / "parts" / "latest.pth", first)
    first.send_signal(signal.SIGTERM)
    output = finish(first)
    assert first.returncode == 0, output
    done = torch.load(tmp_path / "parts" / "latest.pth", weights_only=True)["meta"]["iter"]
    assert 0 < done < 12 and f"stopped after {done} iterations" in output

    second = run("parts", "--continue_training", *every)
    for _ in range(2):  # the first save after resuming has happened when the file is a new one
        before = os.stat(tmp_path / "parts" / "latest.pth").st_ino
        while os.stat(tmp_path / "parts" / "latest.pth").st_ino == before and second.poll() is None:
            pass
    kill(second)
    assert second.returncode != 0

    third = run("parts", "--continue_training")
    output = finish(third)
    assert third.returncode == 0, output
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_one_process_with_accumulated_gradients_interrupted_then_killed(tmp_path):
    config = write_config(draw_tiles(tmp_path), "fsp", epochs=3)

    def run(folder, *options, minutes=15):
        return start("bash", "tools/single_train.sh", config, "--work_dir", tmp_path / folder, *options,
                     "--cfg-options", "optimizer_config.update_interval=4",
                     f"checkpoint_config.latest_minutes={minutes}")

    whole = run("whole")  # 6 iterations an epoch: an update may span two epochs
    output = finish(whole)
    assert whole.returncode == 0, output
    assert (tmp_path / "whole" / "epoch_3.pth").exists()

    first = run("parts", minutes=0.001)
    wait_for(tmp_path / "parts" / "latest.pth", first)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: the loader's workers get it too
    output = finish(first)
    assert first.returncode == 130, output
    done = torch.load(tmp_path / "parts" / "latest.pth", weights_only=True)["meta"]["iter"]
    assert 0 < done < 18 and done % 4 == 0

    second = run("parts", "--resume_from", tmp_path / "parts" / "latest.pth", minutes=0.001)
    before = os.stat(tmp_path / "parts" / "latest.pth").st_ino
    while os.stat(tmp_path / "parts" / "latest.pth").st_ino == before and second.poll() is None:
        pass
    kill(second)

    third = run("parts", "--continue_training")
    output = finish(third)
    assert third.returncode == 0, output
    assert f"resumed from {tmp_path / 'parts' / 'latest.pth'}" in output
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
