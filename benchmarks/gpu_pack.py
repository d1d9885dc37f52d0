"""Tiles small enough to travel to a GPU machine: re-encoded as JPEG, with lists beside them.

    python benchmarks/gpu_pack.py TILES OUT [--size 128]

TILES holds {train,test}/<class>/<image>. OUT gets data/{train,test}/<class>/<image>.jpg of size × size pixels and
meta/{train,test}[_labeled].txt; originals/<class>/<image> some training tiles as they are.
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2

from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.lists import write_list
from openselfsup.images import read_image

QUALITY = 90


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tiles", type=Path)
    p.add_argument("out", type=Path)
    p.add_argument("--size", type=int, default=128, help="pixels of a side [128]")
    p.add_argument("--originals", type=int, default=60, help="training tiles of each class used as they are [60]")
    args = p.parse_args(argv)
    for split in ("train", "test"):
        classes = sorted(path for path in (args.tiles / split).glob("*") if path.is_dir())
        if not classes:
            raise UserError(f"{args.tiles / split}: no class folders there")
        names, labels = [], []
        for label, folder in enumerate(classes):
            for path in sorted(folder.iterdir()):
                names.append(f"{split}/{folder.name}/{path.stem}.jpg")
                labels.append(label)
                shrink(path, args.out / "data" / names[-1], args.size)
        write_list(args.out / "meta" / f"{split}.txt", names)
        write_list(args.out / "meta" / f"{split}_labeled.txt", names, labels)
        if split == "train":
            for folder in classes:
                (args.out / "originals" / folder.name).mkdir(parents=True, exist_ok=True)
                for path in sorted(folder.iterdir())[:args.originals]:
                    shutil.copy(path, args.out / "originals" / folder.name)
        print(f"{split}: {len(names)} images of {len(classes)} classes")


def shrink(path, target, size):
    image = cv2.resize(read_image(path), (size, size), interpolation=cv2.INTER_AREA)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    sys.exit(run_command(main))
