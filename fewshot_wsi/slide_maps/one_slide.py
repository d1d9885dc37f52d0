"""The map of one slide: its tiles through the encoder and the classifier, and the files that show it."""

import logging
import time

import numpy as np

from fewshot_wsi import __version__
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256, json_sha256, read_json, write_json
from fewshot_wsi.foundation.names import visible
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.predict.parts import Parts
from fewshot_wsi.predict.scoring import Scorer
from fewshot_wsi.slide_maps.geojson import write_geojson
from fewshot_wsi.slide_maps.grid import tissue_grid
from fewshot_wsi.slide_maps.ome import write_ome
from fewshot_wsi.slide_maps.page import write_page
from fewshot_wsi.slide_maps.picture import LONGEST, write_overlay
from fewshot_wsi.slide_maps.rows import SlideRows
from fewshot_wsi.slide_maps.slide_map import SlideMap, write_tiles
from fewshot_wsi.slides.opening import open_slide

RECORD = "map.json"
RULES = 2  # raise it when the same tiles are to give other files


def map_slide(path, head, request, settings):
    """(record, [(logging level, line)]) of the map of one slide, written into its folder below request.out.

    request: run.Request. UserError: the slide cannot be used."""
    folder, seconds, said = request.out / path.stem, {}, []
    table = f"tiles.{request.table}"
    with open_slide(path) as slide:
        with _timed(seconds, "tissue"):
            grid, *_ = tissue_grid(slide, settings)
        rows = SlideRows(path, slide, grid.place, grid.corners, request.choice)
        parts = Parts(folder / "tiles.csv", [head.identity, rows.identity])
        key = json_sha256([RULES, parts.key, request.tiles, table, list(grid.mpp)])
        earlier = _earlier(folder)
        if _is_finished(folder, earlier, key, request.overwrite):
            return earlier, [(logging.INFO, f"kept {folder}: made of the same slide and labels before")]
        if settings.mpp and slide.mpp and any(abs(one / settings.mpp - 1) > 0.001 for one in slide.mpp):
            said.append((logging.WARNING, f"--mpp {settings.mpp:g} overrules what {path.name} states, "
                         f"{slide.mpp[0]:.4g} µm a pixel"))
        with _timed(seconds, "reading and encoder"):
            _compute(parts, Scorer(head), rows, f"{visible(path.stem)}: tiles", request.quiet)
        found = _joined(path.stem, parts, grid, rows, head)
        with _timed(seconds, "writing"):
            files = _write(folder, table, found, slide, head, request, settings)
    record = {"key": key, "files": {name: file_sha256(folder / name) for name in files}, "slide": str(path),
              "classes": list(head.classes), "tiles": len(grid), "tiles_of": found.counts.tolist(),
              "mm2": found.areas.tolist(), "mm2_abstained": found.abstained_area, "mpp": list(grid.mpp),
              "tile": settings.tile, "stride": settings.stride, "target_mpp": settings.target_mpp,
              "head": head.identity, "method": head.facts["method"], "encoder": head.facts["encoder"],
              "estimate": head.facts["estimate"], "conformal": head.facts["conformal"], "version": __version__}
    write_json(folder / RECORD, record)
    for name in set(earlier.get("files", ())) - set(files):
        (folder / name).unlink(missing_ok=True)  # of a map with another table or classifier
    parts.remove()
    spent = ", ".join(f"{what} {value:.1f} s" for what, value in seconds.items())
    said.append((logging.INFO, f"wrote {folder}: {len(grid)} tiles, " + ", ".join(
        f"{name} {area:.4g} mm²" for name, area in zip(head.classes, found.areas, strict=True)) + f" ({spent})"))
    return record, said


def _earlier(folder):
    """The record of an earlier map, or {}."""
    return read_json(folder / RECORD, "record of a map") if (folder / RECORD).exists() else {}


def _is_finished(folder, earlier, key, overwrite):
    """Whether an earlier run made the same files. UserError: it made them of something else."""
    if overwrite or not earlier:
        return False
    if earlier.get("key") != key:
        raise UserError(f"{folder} holds a map made of other inputs; choose another --out or replace it with "
                        "--overwrite")
    return all((folder / name).is_file() and file_sha256(folder / name) == digest
               for name, digest in earlier["files"].items())


def _compute(parts, scorer, rows, title, quiet):
    """Blocks that are not on disk yet."""
    missing = parts.missing(-(-len(rows) // rows.block))
    done = len(rows) - sum(len(rows.rows_of(number)) for number in missing)
    with bar(desc=title, total=len(rows), initial=done, unit="tiles", quiet=quiet) as shown:
        for number, features, faults in rows.read(missing) if missing else ():
            scorer.head.check_rows(features, rows.rows_of(number), rows.path)
            parts.write(number, **scorer(features, faults))
            shown.update(len(features))


def _joined(name, parts, grid, rows, head):
    blocks = [parts.read(number) for number in range(-(-len(rows) // rows.block))]
    labels, outputs, margin, inside = (
        np.concatenate([block[one] for block in blocks]) if one in blocks[0] else None
        for one in ("label", "outputs", "margin", "inside"))
    return SlideMap(name, grid, head.classes, labels, head.fitted.kind, outputs, margin, inside)


def _write(folder, table, found, slide, head, request, settings):
    """Names of the files of a map."""
    write_tiles(folder / table, found)
    write_geojson(folder / "case.geojson", found, request.tiles)
    thumbnail = slide.thumbnail(LONGEST)
    write_overlay(folder / "overlay.png", found, thumbnail)
    write_page(folder / "case.html", found, slide, thumbnail, _how(head, settings, found))
    files = [table, "case.geojson", "overlay.png", "case.html"]
    if found.kind:
        write_ome(folder / f"{found.kind}.ome.tif", found)
        files.append(f"{found.kind}.ome.tif")
    return files


def _how(head, settings, found):
    """[(what, how)], text: how the map was made, for its page."""
    estimate, supports, conformal = (head.facts[name] for name in ("estimate", "supports", "conformal"))
    worth = "not known: a class has labels of one group only" if estimate is None else (
        f"macro F1 {100 * estimate['macro_f1']:.1f} % on its own labels, whole {estimate['left_out']}s left out; 95 % "
        f"interval {100 * estimate['low']:.1f} to {100 * estimate['high']:.1f} % ({estimate['units']} "
        f"{estimate['left_out']}s)")
    labelled = ", ".join(f"{sum(one['class'] == name for one in supports)} {name}" for name in head.classes)
    method = head.facts["method"]
    sets = [("Abstained", f"tiles whose conformal set is not exactly one class; sets hold the class with a probability "
             f"of {conformal['coverage']:.0%} ({conformal['n']} labels held out)")] if conformal else []
    return [("Labelled tiles", labelled), ("What it is worth", worth), *sets,
            ("Encoder", head.facts["encoder"]["encoder"]), ("Classifier", f"{method['classifier']}, {method['mode']}"),
            ("Tiles", f"{settings.tile} px at {settings.target_mpp:g} µm a pixel, {settings.stride} px apart, at least "
             f"{settings.min_tissue:.0%} tissue"),
            ("Slide", f"{found.grid.place.width} × {found.grid.place.height} px, {found.grid.mpp[0]:.4g} µm a pixel")]


class _timed:
    """A context that writes its seconds to `seconds[what]`."""

    def __init__(self, seconds, what):
        self.seconds, self.what = seconds, what

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *error):
        self.seconds[self.what] = time.perf_counter() - self.start
