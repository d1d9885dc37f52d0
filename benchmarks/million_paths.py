"""How long lists of a million paths take to start, and the memory: to the first batch of training and of extraction.

    python benchmarks/million_paths.py [--count 1000000] [--folder DIR]

One JPEG tile of 64² is linked under a million names, 1,000 a folder, and packed into a zip archive of 100,000 entries.
Each start is a process of its own; memory is the peak of the process (its loader's workers share it). The clock starts
when the modules are loaded, which takes as long for any list. Bar: 20 s and 2 GiB.

Then the same tiles are read from the folder and from the archive, in turn: files (bytes alone), and tiles decoded and
resized as extraction does it, by two threads. The tile is small, so what is measured is the way to it.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
from PIL import Image

PER_FOLDER, PER_INODE = 1000, 30_000  # file systems limit the links to one file
KINDS = ("training, folder", "extraction, folder", "training, zip", "extraction, zip")
CROP = [dict(type="RandomResizedCrop", size=32)]


def make(folder, count):
    """`count` names of one tile below folder/data, list.txt, and a zip of the first tenth of them."""
    rng = np.random.default_rng(0)
    names, source = [], None
    for number in range(count):
        below, place = divmod(number, PER_FOLDER)
        if place == 0:
            (folder / "data" / f"slide_{below:04d}").mkdir(parents=True)
        names.append(f"slide_{below:04d}/tile_{place:04d}_of_some_patient.jpg")
        path = folder / "data" / names[-1]
        if number % PER_INODE == 0:
            Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
            source = path
        else:
            os.link(source, path)
    (folder / "list.txt").write_text("".join(f"{name} {i % 9}\n" for i, name in enumerate(names)))
    packed = names[:max(1, count // 10)]
    (folder / "zip.txt").write_text("".join(f"{name} {i % 9}\n" for i, name in enumerate(packed)))
    with zipfile.ZipFile(folder / "tiles.zip", "w") as archive:
        for name in packed:
            archive.write(folder / "data" / name, f"tiles/{name}")


def start(folder, kind):
    """Seconds from the list to the first batch, and the peak of memory in GiB, of this process."""
    from openselfsup.apis.reading import ListedTiles, check_present, read_ahead  # part of loading the modules
    from openselfsup.datasets import DATASETS, TrainingImages, build_loader
    from openselfsup.sampler import BatchSampler
    from openselfsup.transforms import build_pipeline

    what, _, where = kind.partition(", ")
    listed, root = (folder / "list.txt", folder / "data") if where == "folder" else (folder / "zip.txt",
                                                                                     folder / "tiles.zip")
    begun, used = time.perf_counter(), time.process_time()
    source = TrainingImages(listed, root)
    if what == "training":
        source.check_files()
        images = DATASETS["ContrastiveDataset"](source, build_pipeline(CROP))
        next(iter(build_loader(images, BatchSampler(len(images), 32, 0), 2)))
    else:
        tiles = ListedTiles(source.names, root, build_pipeline([dict(type="Resize", size=32)]))
        check_present(tiles, listed)
        next(read_ahead(tiles, [range(32)], 2))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{kind}, {len(source):,} paths | {time.perf_counter() - begun:.1f} | {time.process_time() - used:.1f} "
          f"| {peak:.2f} |")


def read(folder, root, count):
    """(files, tiles) a second of `count` tiles of the archive's list, in shuffled order, in this process."""
    from fewshot_wsi.foundation.archived import read_file
    from fewshot_wsi.foundation.lists import read_list
    from openselfsup.apis.reading import ListedTiles, read_ahead
    from openselfsup.transforms import build_pipeline

    names = read_list(folder / "zip.txt").names
    chosen = np.random.default_rng(0).permutation(len(names))[:count]
    read_file(f"{folder / root}/{names[0]}")  # opens the archive
    begun = time.perf_counter()
    for place in chosen:
        read_file(f"{folder / root}/{names[place]}")
    files = count / (time.perf_counter() - begun)
    tiles = ListedTiles(names, folder / root, build_pipeline([dict(type="Resize", size=32)]))
    begun = time.perf_counter()
    for _ in read_ahead(tiles, [chosen[first:first + 256] for first in range(0, count, 256)], 2):
        pass
    return files, count / (time.perf_counter() - begun)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the tiles go, and stay (default: a temporary folder)")
    parser.add_argument("--start", choices=KINDS, help=argparse.SUPPRESS)  # of the processes that are measured
    args = parser.parse_args()
    if args.start:
        return start(args.folder, args.start)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "tiles.zip").is_file():
            make(folder, args.count)
        print("| start | s | of a core | GiB |\n| --- | --- | --- | --- |")
        for kind in KINDS:
            done = subprocess.run([sys.executable, __file__, "--folder", folder, "--start", kind], text=True,
                                  capture_output=True, check=True)
            print("|", done.stdout, end="")
        count = min(20_000, max(1, args.count // 10))
        speeds = {root: [] for root in ("data", "tiles.zip")}
        for _ in range(3):  # in turn, so that what else the machine does meets both
            for root, found in speeds.items():
                found.append(read(folder, root, count))
        print("\n| read from | files a second | tiles a second, decoded |\n| --- | --- | --- |")
        for root, found in speeds.items():
            files, tiles = np.median(found, axis=0)
            print(f"| {root} | {files:,.0f} | {tiles:,.0f} |")
    return None


if __name__ == "__main__":
    main()
