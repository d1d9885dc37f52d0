"""Naming a million tiles by their features: seconds and peak memory of `wsi_workdir/predict.py`.

    python benchmarks/predict.py                         # 10⁶ × 1,024 rows: a file of 4 GiB in the temporary folder
    python benchmarks/predict.py --rows 100000 --width 512 --clf logistic_regression

Draws features of unit length, names them from 10 supports a class, and removes the files. The command runs in a process
of its own, on as many BLAS threads as --threads; its peak memory is that of the process (VmHWM). The bar for 10⁶ ×
1,024 rows on two cores: 60 s and 2 GiB.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np

from fewshot_wsi.foundation.errors import run_command
from fewshot_wsi.foundation.features import unit_length
from fewshot_wsi.foundation.files import file_sha256, write_json
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.foundation.seeds import generator
from fewshot_wsi.foundation.tables import write_table

SHOTS = 10
CHUNK = 16384
MEASURED = ("import resource, sys\nfrom fewshot_wsi.commands.predict import main\ncode = main(sys.argv[1:])\n"
            "status = open('/proc/self/status').read()\nused = resource.getrusage(resource.RUSAGE_SELF)\n"
            "print('measured', status.split('VmHWM:')[1].split()[0], used.ru_utime + used.ru_stime)\nsys.exit(code)")


def main(argv=None):
    args = parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        folder = Path(folder)
        draw(folder, args.rows, args.width, args.ways)
        command = [sys.executable, "-c", MEASURED, "--support", folder / "labels.csv", "--query", folder / "feats.npy",
                   "--out", folder / f"pred{args.suffix}", "--clf", args.clf, "--quiet"]
        began = time.perf_counter()
        done = subprocess.run(list(map(str, command)), cwd=ROOT, text=True, capture_output=True,
                              env={**os.environ, **{f"{name}_NUM_THREADS": str(args.threads)
                                                    for name in ("OMP", "OPENBLAS", "MKL")}})
        seconds = time.perf_counter() - began
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return done.returncode
        peak, busy = map(float, done.stdout.rsplit("measured", 1)[1].split())
        print("| rows | width | classes | classifier | output | seconds | of a core | peak memory |\n"
              "| ---: | ---: | ---: | --- | --- | ---: | ---: | ---: |\n"
              f"| {args.rows:,} | {args.width:,} | {args.ways} | {args.clf} | {args.suffix[1:]} | {seconds:.1f} "
              f"| {busy:.1f} | {peak / 2**20:.2f} GiB |")
    return 0


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--clf", default="Ridge")
    parser.add_argument("--suffix", choices=(".csv", ".parquet"), default=".csv")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", help="where the files go for the time being (default: the temporary folder)")
    return parser.parse_args(argv)


def draw(folder, rows, width, ways):
    """feats.npy with its list and provenance, and labels.csv of the first SHOTS tiles of each class."""
    rng = generator(0, "benchmark/predict")
    means = rng.standard_normal((ways, width))
    features = np.lib.format.open_memmap(folder / "feats.npy", "w+", np.float32, (rows, width))
    labels = rng.integers(ways, size=rows)
    for start in range(0, rows, CHUNK):
        part = labels[start:start + CHUNK]
        noise = rng.standard_normal((len(part), width), dtype=np.float32)
        features[start:start + CHUNK] = unit_length(means[part] + 3 * noise)[0]
    features.flush()
    del features
    names = [f"slide_{row // 5000:04d}/tile_{row:07d}.png" for row in range(rows)]
    write_list(folder / "tiles.txt", names)
    write_json(folder / "feats.json", {"encoder": "drawn", "list": str(folder / "tiles.txt"),
                                       "list_sha256": file_sha256(folder / "tiles.txt"),
                                       "sha256": file_sha256(folder / "feats.npy")})
    chosen = [row for label in range(ways) for row in np.flatnonzero(labels == label)[:SHOTS]]
    write_table(folder / "labels.csv", ("path", "label"), ((names[row], labels[row]) for row in chosen))


if __name__ == "__main__":
    sys.exit(run_command(main))
