"""Seconds and peak memory of dictionary, tasks and meta-test on features by the million, memory-mapped.

    python benchmarks/millions.py --rows 1000000 2000000 4000000 --dim 1536

For each size float16 features of 32 drawn clusters are written to a temporary folder (rows × dim × 2 bytes, removed
afterwards) with a list and a protocol that names them; then the commands run, each a process of its own. Peak memory is
the largest resident set of a command and includes the pages of the file that it has mapped at that moment.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
CLUSTERS, CLASSES, BLOCK = 32, 4, 65536
PROTOCOL = """name = 'millions'
workdir = {folder!r}
sampling = 'distinct'
classes = dict(own=('a', 'b', 'c', 'd'))
sets = dict(tiles=dict(list={folder!r} + '/tiles.txt', classes='own'))
models = dict(enc=dict(features=dict(tiles={folder!r} + '/tiles.npy')))
dictionary = dict(set='tiles', prefix='T', num_prototypes=16)
tasks = dict(out=dict(support='tiles', query='tiles', shots=(5,), queries=15, num_tasks=100,
                      methods=(('enc', 'latent_aug', 'Ridge'),)))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--dim", type=int, default=1536)
    parser.add_argument("--folder", help="where the temporary folder goes (default: the system's)")
    args = parser.parse_args()
    print("| rows | features, GB | stage | seconds | of a core | peak memory, GB |\n"
          "| ---: | ---: | --- | ---: | ---: | ---: |")
    for rows in args.rows:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            write_features(Path(folder), rows, args.dim)
            size = (Path(folder) / "tiles.npy").stat().st_size / 1e9
            for stage, command in stages(Path(folder)):
                seconds, core, peak = measured(command)
                print(f"| {rows:,} | {size:.2f} | {stage} | {seconds:.0f} | {core:.0f} | {peak / 1e9:.2f} |",
                      flush=True)


def write_features(folder, rows, dim):
    """tiles.npy (rows, dim) float16 of unit length, tiles.txt and protocol.py in `folder`."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((CLUSTERS, dim), dtype=np.float32)
    stored = np.lib.format.open_memmap(folder / "tiles.npy", "w+", np.float16, (rows, dim))
    with open(folder / "tiles.txt", "w") as stream:
        for start in range(0, rows, BLOCK):
            cluster = rng.integers(CLUSTERS, size=min(BLOCK, rows - start))
            block = centres[cluster] + rng.standard_normal((len(cluster), dim), dtype=np.float32)
            stored[start:start + len(cluster)] = block / np.linalg.norm(block, axis=1, keepdims=True)
            stream.writelines(f"{start + i}.png {label}\n" for i, label in enumerate(cluster % CLASSES))
    stored.flush()
    (folder / "protocol.py").write_text(PROTOCOL.format(folder=str(folder)))


def stages(folder):
    """[(name, words of the command)] in their order."""
    protocol = ("--protocol", folder / "protocol.py")
    return (("dictionary", ("dict_construction.py", *protocol, "--model", "enc")),
            ("tasks", ("tools/generate_task.py", *protocol, "--task", "out", "--num_shots", "5")),
            ("meta-test", ("distributed_meta_test.py", *protocol, "--task", "out", "--model", "enc", "--mode",
                           "latent_aug", "--num_shots", "5", "--quiet")))


def measured(command):
    """(seconds, seconds of computing, bytes of the largest resident set) of a script in wsi_workdir."""
    script, *words = map(str, command)
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, ROOT / "wsi_workdir" / script, *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{script}: exit code {process.returncode}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


if __name__ == "__main__":
    main()
