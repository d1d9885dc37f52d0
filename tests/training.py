"""Shared by the tests of the trainer: small drawn tiles, small configs, and processes found by their parent."""
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.foundation.seeds import generator

ROOT = Path(__file__).resolve().parents[1]
CLASSES = 3


def draw_tiles(folder, count=24, size=40):
    """`count` PNG tiles of 3 classes (stripes of different width and colour) and lists with and without labels."""
    rng = generator(0, "test/tiles")
    names, labels = [], []
    for i in range(count):
        label = i % CLASSES
        stripes = np.sin(np.arange(size) / (label + 1))[:, None, None] * np.array([60, 40, 20 + 60 * label])
        image = np.clip(150 + stripes + rng.normal(0, 20, (size, size, 3)), 0, 255).astype(np.uint8)
        names.append(f"class {label}/tile_{i}.png")
        labels.append(label)
        path = Path(folder, "data", names[-1])
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    write_list(Path(folder, "plain.txt"), names)
    write_list(Path(folder, "labeled.txt"), names, labels)
    return Path(folder)


def write_config(folder, kind, epochs=4, batch=4):
    """A config over the published one, for the drawn tiles: kind 'clp' or 'fsp', 32² pixels."""
    base = {"clp": "moco_v3_r18.py", "fsp": "supervised_r18.py"}[kind]
    crop = "dict(type='RandomResizedCrop', size=32), dict(type='RandomHorizontalFlip')"
    color = ("dict(type='RandomAppliedTrans', p=0.8, transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4,"
             " saturation=0.4, hue=0.1)])")
    listed = f"dict(list_file={str(folder / ('plain.txt' if kind == 'clp' else 'labeled.txt'))!r}, " \
             f"root={str(folder / 'data')!r})"
    tail = "" if kind == "clp" else \
        ", dict(type='ToTensor'), dict(type='Normalize', mean=[.5, .5, .5], std=[.2, .2, .2])"
    lines = [f"_base_ = {str(ROOT / 'configs' / '_base_' / base)!r}",
             f"data = dict(imgs_per_gpu={batch}, workers_per_gpu=1, train=dict(data_source={listed}, "
             f"pipeline=[{crop}, {color}{tail}]))",
             "lr_config = dict(_delete_=True, policy='CosineAnnealing')",
             "log_config = dict(interval=2)", f"checkpoint_config = dict(interval={epochs})",
             f"total_epochs = {epochs}"]
    if kind == "fsp":
        lines[1] = lines[1][:-1] + f", val=dict(data_source={listed}, pipeline=[dict(type='Resize', size=32){tail}]))"
        lines += [f"model = dict(head=dict(num_classes={CLASSES}))", "optimizer = dict(lr=0.05)"]
    path = Path(folder, f"{kind}.py")
    path.write_text("\n".join(lines) + "\n")
    return path


def start(*command, **env):
    """The command in the background, from the project's root, output in one pipe, one thread, a process group of
    its own."""
    command = [str(part) for part in command]
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **env}
    return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, start_new_session=True)


def finish(process, timeout=300):
    """Output of `process`, once it has ended."""
    output, _ = process.communicate(timeout=timeout)
    return output


def wait_for(path, process, seconds=120):
    """Until `path` exists; fails when the process ends before."""
    for _ in range(seconds * 50):
        if path.exists():
            return
        if process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode} before {path.name}:\n{process.stdout.read()}")
        time.sleep(0.02)
    raise AssertionError(f"{path} did not appear in {seconds} s")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def family(pid):
    """`pid` and all processes below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found
