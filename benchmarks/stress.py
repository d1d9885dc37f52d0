"""Commands that are killed at any moment, and commands that are started twice: is anything lost, are the bits the same?

    python benchmarks/stress.py [--kills 20] [--starts 50] [--only pretrain …] [--seed 0]

Kills: a stage of a small protocol is begun, killed (SIGKILL, with all its children) at a random moment, and started
again until it ends. Starts: a command is started twice on one folder, the second at a random moment of the first.
Afterwards every file must be that of a run that nobody disturbed, nothing half-written or temporary may be left, and
every exit code be 0 (2 with one line for the second of two trainings). Prints a table by kind; exit code 1 for faults.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from PIL import Image  # noqa: E402
from tiny_protocol import contents, write_protocol  # noqa: E402

STAGES = ("data", "pretrain", "extract", "tasks", "dictionary", "meta_test", "report")
LATE = 0.9  # share of a run's time after which no signal is sent: what has ended cannot be disturbed


class Site:
    """One folder in which stages run, and its state before each of them. The folder's name is part of some hashes, so
    every trial happens in the same place."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.work = self.folder / "site"
        self.protocol = write_protocol(self.work)
        only_mixture(self.protocol)
        self.before, self.after, self.seconds = {}, {}, {}
        for stage in STAGES:
            self.before[stage] = self._keep(f"before-{stage}")
            begun = time.monotonic()
            done = finish(start(self.stage(stage)))
            if done.returncode:
                raise SystemExit(f"{stage} fails when nobody disturbs it:\n{done.text}")
            self.seconds[stage] = time.monotonic() - begun
            self.after[stage] = state(self.work)
            print(f"{stage}: {self.seconds[stage]:.1f} s", file=sys.stderr)
        self.end = self._keep("end")

    def stage(self, name):
        """The command of one stage."""
        return script("wsi_workdir/run_protocol.py", "--protocol", self.protocol, "--workers", 2, "--stages", name)

    def restore(self, kept):
        shutil.rmtree(self.work)
        shutil.copytree(kept, self.work, symlinks=True)

    def _keep(self, name):
        shutil.copytree(self.work, self.folder / name, symlinks=True)
        return self.folder / name


def only_mixture(path):
    """One encoder to train and one task: the rest of the small protocol takes time and shows nothing more."""
    protocol = json.loads(path.read_text())
    del protocol["models"]["fsp_wo_8"], protocol["tasks"]["near"], protocol["tasks"]["out_homo"]
    path.write_text(json.dumps(protocol))


class Ended:
    def __init__(self, returncode, text):
        self.returncode, self.text = returncode, text


def script(path, *options):
    return [sys.executable, str(ROOT / path), *map(str, options)]


def start(command):
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def finish(process):
    text, _ = process.communicate(timeout=900)
    return Ended(process.returncode, text)


def state(folder):
    """What must be the same: images, lists, features, weights, tasks, dictionaries and predictions; and what must not
    be left. Training logs and records hold times."""
    kept = {name: digest for name, digest in contents(folder, (".json", ".npy", ".npz", ".pth", ".png", ".txt")).items()
            if not name.startswith(("workdir/records", "workdir/work_dirs", "workdir/report"))
            and not name.endswith(".log.json")}
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if path.name.endswith((".tmp", ".parts", ".unpacking", ".link")))
    return {**kept, "left over": left}


def differences(found, expected):
    return [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]


def kill_all(process):
    """SIGKILL to the process and its descendants, wherever their groups are."""
    family = [process.pid]
    for pid in family:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            family += map(int, task.read_text().split())
    for pid in family:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.communicate()


def kill_stage(site, stage, chance):
    """Faults, as lines, of one stage that is killed once and then started until it ends."""
    site.restore(site.before[stage])
    process = start(site.stage(stage))
    time.sleep(chance.uniform(0.05, LATE) * site.seconds[stage])
    kill_all(process)
    done = finish(start(site.stage(stage)))
    faults = [f"exit code {done.returncode}: {done.text[-300:]}"] if done.returncode else []
    return faults + [f"differs: {name}" for name in differences(state(site.work), site.after[stage])]


def start_twice(command, folder, expected, seconds, chance, codes=((0, 0),)):
    """Faults of a command that is started twice on one folder; codes: pairs of exit codes that are right."""
    first = start(command)
    time.sleep(chance.uniform(0, LATE) * seconds)
    done = [finish(process) for process in (start(command), first)][::-1]
    found = tuple(one.returncode for one in done)
    faults = [] if found in codes else [f"exit codes {found}: {done[0].text[-200:]} | {done[1].text[-200:]}"]
    faults += [f"traceback: {one.text[-300:]}" for one in done if "Traceback" in one.text]
    return faults + [f"differs: {name}" for name in differences(state(folder), expected)]


def double_starts(site):
    """dict from name to (prepare, command, folder, pairs of exit codes)."""
    work, extra = site.work, site.folder / "extra"
    features = work / "workdir/extracted_feats/clp/LC.npy"
    weights = work / "workdir/pretrained_weights/clp.pth"
    archive = site.folder / "NCT-CRC-HE-100K-NONORM.zip"
    write_archive(archive)

    def afresh(*lost):
        def prepare():
            site.restore(site.end)
            for name in lost:
                for path in sorted(work.glob(name)):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        return prepare

    def empty():
        shutil.rmtree(extra, ignore_errors=True)
        extra.mkdir()

    protocol = ("--protocol", site.protocol)
    training = script("tools/train.py", work / "clp.py", "--work_dir", extra / "run")
    return {
        "extract": (afresh("workdir/extracted_feats/clp/LC.*"), script(
            "wsi_workdir/extract.py", "--config", work / "extract.py", "--pretrained", weights, "--list",
            work / "tiles/LC25000/meta/img_list_labeled.txt", "--root", work / "tiles/LC25000/data", "--output",
            features, "--device", "cpu"), work, ((0, 0),)),
        "nct": (empty, script("tools/prepare_data/nct.py", "--archive", archive, "--out", extra / "NCT"), extra,
                ((0, 0),)),
        "dictionary": (afresh("workdir/dict"), script(
            "wsi_workdir/dict_construction.py", *protocol, "--model", "clp", "--num_prototypes", 3), work, ((0, 0),)),
        "meta_test": (afresh("workdir/results/mixture/clp"), script(
            "wsi_workdir/distributed_meta_test.py", *protocol, "--task", "mixture", "--model", "clp", "--mode",
            "latent_aug", "--clf", "logistic_regression", "--num_shots", 1, "--num_prototypes", 3), work, ((0, 0),)),
        "run_protocol": (afresh("workdir/extracted_feats", "workdir/tasks", "workdir/dict", "workdir/results"), script(
            "wsi_workdir/run_protocol.py", *protocol, "--workers", 2), work, ((0, 0),)),
        "train": (empty, training, extra, ((0, 2), (2, 0), (0, 0))),
    }


def write_archive(path):
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive, tempfile.TemporaryDirectory() as folder:
        for label in ("BACK", "ADI", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM"):
            for number in range(40):
                tile = Path(folder, "tile.png")
                Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(tile)
                archive.write(tile, f"NCT-CRC-HE-100K-NONORM/{label}/{label}-{number}.png")


def stress(kills, starts, only=(), seed=0, show=print):
    """Run all trials; dict from kind to (trials, faults as lines)."""
    outcome = {}
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        site = Site(folder)
        for stage in STAGES:
            if kills and (not only or stage in only):
                chance = random.Random(f"{seed} kill {stage}")
                outcome[f"kill -9: {stage}"] = _trials(kills, lambda s=stage, c=chance: kill_stage(site, s, c), show)
        for name, (prepare, command, place, codes) in double_starts(site).items() if starts else ():
            if only and name not in only:
                continue
            prepare()
            begun = time.monotonic()
            once = finish(start(command))
            if once.returncode:
                raise SystemExit(f"{name} fails when nobody disturbs it:\n{once.text}")
            seconds, expected = time.monotonic() - begun, state(place)
            chance = random.Random(f"{seed} twice {name}")

            def trial(prepare=prepare, options=(command, place, expected, seconds, chance, codes)):
                prepare()
                return start_twice(*options)
            outcome[f"twice: {name}"] = _trials(starts, trial, show)
    return outcome


def _trials(count, trial, show):
    faults = []
    for number in range(count):
        found = trial()
        faults += [found] if found else []
        for line in found[:5]:
            show(f"trial {number}: {line}")
    return count, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each stage (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=50, help="of each command (default: %(default)s)")
    parser.add_argument("--only", nargs="+", default=(), help="stages and commands (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    args = parser.parse_args()
    outcome = stress(args.kills, args.starts, args.only, args.seed)
    print("| what | trials | with a fault |\n| --- | --- | --- |")
    for name, (trials, faults) in outcome.items():
        print(f"| {name} | {trials} | {len(faults)} |")
    return int(any(faults for _, faults in outcome.values()))


if __name__ == "__main__":
    sys.exit(main())
