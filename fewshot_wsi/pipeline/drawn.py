"""The quick start's images: three sets of synthetic tiles with the published names, lists and groups.

    NCT     9 tissue classes, train and test            NCT/data/<split>/<class>/<number>.png
    LC25000 5 lung and colon classes; every group is one original and its rotated or flipped copies, groups.csv
    PAIP19  3 classes on slides of their own stain      PAIP19/data/<slide>/<class>/<x>+<y>+<class>.png

What tells the classes apart is form: hue and strength of both stains are sampled for each tile (for each slide of
PAIP19) from one wide distribution for all classes, so colour keeps only what form implies, such as the share of white.
Figures on drawn tiles say nothing about tissue. Every tile is made from a random stream of its own, so a smaller set is
a part of a larger one.
"""

import os
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from PIL import Image
from scipy import ndimage

from fewshot_wsi.foundation import progress, seeds
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256, json_sha256, read_json, replacing, write_json
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.temporary import temporary_folder, umask
from fewshot_wsi.pipeline.tissue import Tissue, draw_stain, draw_tile

VERSION = 3  # of the drawings: raise it with every change of a pixel
MANIFEST = "drawn.json"

_STROMA = Tissue(fibres=0.55, length=7, waviness=5, nuclei=3.2, radius=2.0, elongation=3.0)
_GLANDS = Tissue(fibres=0.4, waviness=4, nuclei=4, radius=2.0, glands=0.8, gland_radius=14, lining=7.0,
                filled=0.4)
_TUMOUR = replace(_GLANDS, nuclei=6, radius=2.6, spread=0.28, glands=1.0, gland_radius=12, lining=8.5, ragged=0.22,
                  rows=1.8)
_DEBRIS = Tissue(fibres=0.45, length=2, nuclei=2.5, radius=1.8, spread=0.35, fragments=16)
_LIVER = Tissue(fibres=0.4, length=5, waviness=4, nuclei=6.5, radius=2.4, spread=0.1, elongation=1.05)

_SPREAD = dict(eosin=0.25, haze=0.25, dark=0.25, fibres=0.3, length=0.25, nuclei=0.45, radius=0.1, fragments=0.3,
               glands=0.3, gland_radius=0.15, lining=0.12, bubbles=0.25, wall=0.3, mucin=0.3)

TISSUES = dict(
    NCT=dict(
        BACK=Tissue(matrix=0.06, fragments=0.4, nuclei=0.05),
        ADI=Tissue(nuclei=3, radius=1.8, elongation=2.2, bubbles=11, wall=0.9),
        DEB=_DEBRIS,
        LYM=Tissue(nuclei=34, radius=1.9, spread=0.1, elongation=1.05),
        MUC=Tissue(nuclei=1.6, radius=2.0, elongation=1.6, mucin=0.13),
        MUS=Tissue(fibres=0.45, length=14, waviness=1.5, nuclei=3.0, radius=2.0, elongation=3.6),
        NORM=_GLANDS,
        STR=_STROMA,
        TUM=_TUMOUR),
    LC25000=dict(
        colon_aca=_TUMOUR,
        colon_n=_GLANDS,
        lung_aca=Tissue(fibres=0.2, nuclei=24, radius=2.7, spread=0.28, bubbles=10, wall=3.2, filled=0.4),
        lung_n=Tissue(fibres=0.2, nuclei=10, radius=1.9, bubbles=9, wall=1.9, filled=0.4),
        lung_scc=Tissue(fibres=0.3, length=4, waviness=3, nuclei=10, radius=2.7, spread=0.28, glands=0.4,
                        gland_radius=9, lining=3.0, pearls=True)),
    PAIP19={
        "0": _LIVER,
        "1": replace(_DEBRIS, nuclei=3, radius=2.0, fragments=12, length=3),
        "2": replace(_LIVER, nuclei=13, radius=3.0, spread=0.3, fibres=0.3)})


@dataclass(frozen=True)
class Drawing:
    """What to draw. Counts are tiles a class (and slide); 0 < purity <= 1 is the least share of a tile's own class."""
    size: int = 64
    train: int = 150            # NCT train
    test: int = 60              # NCT test
    groups: int = 30            # LC25000 originals
    siblings: int = 4           # tiles of each original
    slides: int = 5             # PAIP19 slides for support, and as many for query
    per_slide: int = 20
    purity: float = 0.5
    seed: int = 0

    def identity(self):
        return json_sha256({**asdict(self), "version": VERSION})


def draw_all(folder, drawing, workers=1, quiet=False, again=False):
    """Draw the three sets below `folder`, unless the very same are there; False if nothing was to be done.
    again: draw them although they are there.

    All of it appears in one move. UserError where `folder` holds anything that this function did not make.
    """
    folder = Path(folder)
    _check(drawing)
    if not again and is_drawn(folder, drawing):
        return False
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise UserError(f"{folder}: holds files that were not drawn here; name another folder in the protocol's images")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return (again or not is_drawn(folder, drawing)) and _draw_all(folder, drawing, workers, quiet)


def _draw_all(folder, drawing, workers, quiet):
    temporary = temporary_folder(folder)
    try:
        jobs = [*_nct(drawing), *_lc25000(drawing), *_paip19(drawing)]
        sums = Parallel(n_jobs=workers, return_as="generator")(delayed(job)(temporary) for job in jobs)
        total = sum(progress.bar(sums, desc="drawing tiles", total=len(jobs), unit="folder", quiet=quiet))
        _write_lists(temporary, drawing)
        write_json(temporary / MANIFEST, {"identity": drawing.identity(), "drawing": asdict(drawing), "tiles": total,
                                          "contents": contents_sha256(temporary)})
        temporary.chmod(0o777 & ~umask())
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return True


def is_drawn(folder, drawing):
    """Whether `folder` holds exactly this drawing, judged by its contents."""
    if not (Path(folder) / MANIFEST).is_file():
        return False
    made = read_json(Path(folder) / MANIFEST, "record of drawn tiles")
    return made.get("identity") == drawing.identity() and made.get("contents") == contents_sha256(folder)


def contents_sha256(folder):
    """Hash of every file below `folder` but the manifest."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.name != MANIFEST)
    return json_sha256([[path.relative_to(folder).as_posix(), file_sha256(path)] for path in files])


def _check(drawing):
    counts = {name: value for name, value in asdict(drawing).items() if name not in ("purity", "seed")}
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"drawn tiles: {name} is a whole number from 1, got {value!r}")
    if not 0 < drawing.purity <= 1:
        raise UserError(f"drawn tiles: purity lies above 0 and at most at 1, got {drawing.purity!r}")


def _parts(rng, tissues, name, purity):
    """[(Tissue, share)]: mostly `name`, each of its amounts a little different in every tile, and often a neighbour."""
    share = min(1.0, rng.uniform(purity, 1.25))
    others = [key for key in tissues if key != name]
    parts = [(_varied(rng, tissues[name]), share)]
    if share < 1:
        parts.append((_varied(rng, tissues[others[rng.integers(len(others))]]), 1 - share))
    return parts


def _varied(rng, tissue):
    """The tissue with each amount multiplied by exp(s · N(0, 1)), s of _SPREAD, and lumens filled at random.

    Amounts thus say little of which tissue it is, form says much.
    """
    amounts = {name: getattr(tissue, name) * np.exp(s * rng.standard_normal()) for name, s in _SPREAD.items()}
    return replace(tissue, filled=tissue.filled * rng.uniform(), **amounts)


def _save(folder, name, tile):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(tile).save(path, compress_level=1)


def _nct(drawing):
    """One job a class and split; a job writes its tiles below a folder and returns how many."""
    return [partial(_draw_nct, drawing, split, name, count)
            for split, count in (("train", drawing.train), ("test", drawing.test)) for name in TISSUES["NCT"]]


def _draw_nct(drawing, split, name, count, folder):
    for i in range(count):
        rng = seeds.generator(drawing.seed, "drawn/NCT", split, name, i)
        tile = draw_tile(rng, _parts(rng, TISSUES["NCT"], name, drawing.purity), drawing.size, draw_stain(rng))
        _save(folder, f"NCT/data/{split}/{name}/{i:04d}.png", tile)
    return count


def _lc_path(name, group, sibling):
    return f"{name.split('_')[0]}_image_sets/{name}/{group:03d}_{sibling}.png"


def _lc25000(drawing):
    return [partial(_draw_lc25000, drawing, name) for name in TISSUES["LC25000"]]


def _draw_lc25000(drawing, name, folder):
    for group in range(drawing.groups):
        rng = seeds.generator(drawing.seed, "drawn/LC25000", name, group)
        large = draw_tile(rng, _parts(rng, TISSUES["LC25000"], name, drawing.purity), 3 * drawing.size // 2,
                          draw_stain(rng))
        for sibling in range(drawing.siblings):
            _save(folder, f"LC25000/data/{_lc_path(name, group, sibling)}",
                  _sibling(rng, large, drawing.size, turned=sibling > 0))
    return drawing.groups * drawing.siblings


def _sibling(rng, large, size, turned):
    """The middle of `large`, (size, size, 3): as it is, or flipped and turned by an angle up to 25 degrees."""
    if turned:
        large = large[:, ::-1] if rng.random() < 0.5 else large
        large = large[::-1] if rng.random() < 0.5 else large
        large = ndimage.rotate(large, rng.uniform(-25, 25), reshape=False, order=1, mode="reflect")
    start = (len(large) - size) // 2
    return np.ascontiguousarray(large[start:start + size, start:start + size])


def _slides(drawing):
    """[(split, slide name)]"""
    return [(split, f"{split}_slide_{i:02d}") for split in ("train", "test") for i in range(drawing.slides)]


def _paip_path(slide, name, i, size):
    return f"{slide}/{name}/{i % 8 * size}+{i // 8 * size}+{name}.png"


def _paip19(drawing):
    return [partial(_draw_paip19, drawing, slide) for _, slide in _slides(drawing)]


def _draw_paip19(drawing, slide, folder):
    stain = draw_stain(seeds.generator(drawing.seed, "drawn/PAIP19/stain", slide))
    for name in TISSUES["PAIP19"]:
        for i in range(drawing.per_slide):
            rng = seeds.generator(drawing.seed, "drawn/PAIP19", slide, name, i)
            tile = draw_tile(rng, _parts(rng, TISSUES["PAIP19"], name, drawing.purity), drawing.size, stain)
            _save(folder, f"PAIP19/data/{_paip_path(slide, name, i, drawing.size)}", tile)
    return len(TISSUES["PAIP19"]) * drawing.per_slide


def _write_lists(folder, drawing):
    """Labelled lists under the published names, and the groups of LC25000."""
    for split, count in (("train", drawing.train), ("test", drawing.test)):
        _list(folder / "NCT/meta", split, [(f"{split}/{name}/{i:04d}.png", label)
                                           for label, name in enumerate(TISSUES["NCT"]) for i in range(count)])
    siblings = [(_lc_path(name, group, sibling), label, f"{name}_{group:03d}")
                for label, name in enumerate(TISSUES["LC25000"])
                for group in range(drawing.groups) for sibling in range(drawing.siblings)]
    _list(folder / "LC25000/meta", "img_list", [row[:2] for row in siblings])
    with replacing(folder / "LC25000/meta/groups.csv", "w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(["path,group\n", *(f"{name},{group}\n" for name, _, group in siblings)])
    for split in ("train", "test"):
        _list(folder / "PAIP19/meta", f"paip_{split}",
              [(_paip_path(slide, name, i, drawing.size), label) for kind, slide in _slides(drawing) if kind == split
               for label, name in enumerate(TISSUES["PAIP19"]) for i in range(drawing.per_slide)])


def _list(folder, name, rows):
    write_list(folder / f"{name}_labeled.txt", [path for path, _ in rows], [label for _, label in rows])
