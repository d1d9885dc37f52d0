"""The whole command: a head, fitted to annotated regions or read, and the map of one slide after the other."""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fewshot_wsi import __version__
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import arrays_sha256, file_sha256, json_sha256, read_json, write_json
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.names import visible
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.predict.dictionary import make_dictionary
from fewshot_wsi.predict.encoding import EncoderChoice, check_same_encoder
from fewshot_wsi.predict.fit import Method, make_head
from fewshot_wsi.predict.head import load_head, save_head
from fewshot_wsi.predict.parts import Parts
from fewshot_wsi.predict.run import choice_of
from fewshot_wsi.predict.scoring import Scorer
from fewshot_wsi.prepare_data.cohort import named_jobs, report_left_out
from fewshot_wsi.prepare_data.cutting import CuttingSettings
from fewshot_wsi.slide_maps.geojson import write_geojson
from fewshot_wsi.slide_maps.grid import tissue_grid
from fewshot_wsi.slide_maps.ome import write_ome
from fewshot_wsi.slide_maps.page import write_page
from fewshot_wsi.slide_maps.picture import LONGEST, write_overlay
from fewshot_wsi.slide_maps.rows import SlideRows
from fewshot_wsi.slide_maps.slide_map import SlideMap, write_summary, write_tiles
from fewshot_wsi.slide_maps.supports import annotated_supports, annotations_of
from fewshot_wsi.slides.opening import open_slide
from lowshot.classifiers import uses_base

logger = logging.getLogger(__name__)

RECORD = "map.json"
RULES = 1  # raise it when the same tiles are to give other files


@dataclass(frozen=True)
class Request:
    """What the command line asks for. slides: paths. tile, target_mpp, stride: None for what the head, the encoder's
    preset or the defaults say; settings: the rest of CuttingSettings as a dict."""
    choice: EncoderChoice
    method: Method
    slides: tuple
    out: Path
    settings: dict
    annotations: str | None = None
    head: str | None = None
    base: str | None = None
    num_prototypes: int = 16
    coverage: float | None = None
    tile: int | None = None
    target_mpp: float | None = None
    stride: int | None = None
    tiles: bool = False            # squares of single tiles in the GeoJSON
    overwrite: bool = False
    quiet: bool = False


def run(request):
    """Do it; returns the number of slides without a map, which are named at the end."""
    with locked(request.out):
        head, request, settings = _head(request)
        save_head(request.out / "head", head, request.overwrite)
        slides, left_out = named_jobs(request.slides, lambda path: path)
        maps = {}
        for path in slides:
            try:
                maps[path.stem] = _one(path, head, request, settings)
            except UserError as error:
                left_out.append((str(path), str(error)))
        if maps:
            write_summary(request.out / "summary.csv", maps)
            logger.info(f"wrote {request.out / 'summary.csv'}: {len(maps)} slides")
        report_left_out(left_out)
        if not maps:
            raise UserError(f"none of {len(request.slides)} slides could be mapped; the reasons are above")
    return len(left_out)


def _head(request):
    """(Head, the request with the encoder of the head, CuttingSettings)."""
    if request.head is not None:
        head = load_head(request.head)
        request = replace(request, choice=choice_of(head, request.choice))
        if not request.choice.named:
            raise UserError(f"{request.head}: does not say which encoder makes features of tiles; name it with "
                            "--encoder and --pretrained")
        check_same_encoder(head.facts["encoder"], request.choice.identity, "the features of the supports",
                           request.head)
        return head, request, _settings(request, head.facts.get("tiles") or {})
    settings = _settings(request, {})
    files = annotations_of(request.annotations, request.slides)
    supports, features = annotated_supports(files, settings, request.choice)
    tiles = {key: getattr(settings, key) for key in ("tile", "stride", "target_mpp")}
    facts = {"encoder": request.choice.identity, "dictionary": None, **request.choice.facts, "tiles": tiles}
    dictionary = None
    if request.method.mode != "linear" or uses_base(request.method.classifier):
        dictionary, facts["dictionary"] = make_dictionary(request.base, facts["encoder"], features.shape[1],
                                                          request.num_prototypes, request.method.seed)
    hashes = [arrays_sha256(features=row) for row in features]
    head = make_head(supports, features, hashes, facts, request.method, dictionary, request.coverage)
    if len(files) == 1 and head.facts["estimate"]:
        logger.info("the groups are regions of one slide: other slides may do worse; annotate several to know")
    return head, request, settings


def _settings(request, kept):
    """CuttingSettings: size and resolution as given, else as the head was fitted, else as the encoder was trained."""
    preset = request.choice.recipe.preset
    tile = request.tile or kept.get("tile") or (preset.tile if preset else CuttingSettings.tile)
    mpp = request.target_mpp or kept.get("target_mpp") or (preset and preset.mpp) or CuttingSettings.target_mpp
    stride = request.stride or (kept.get("stride") if tile == kept.get("tile") else None) or tile
    return CuttingSettings(tile=tile, stride=stride, target_mpp=mpp, **request.settings)


def _one(path, head, request, settings):
    """Map of one slide into its folder; the record of it. UserError: the slide cannot be used."""
    folder, seconds = request.out / path.stem, {}
    with open_slide(path) as slide:
        with _timed(seconds, "tissue"):
            grid, *_ = tissue_grid(slide, settings)
        rows = SlideRows(path, slide, grid.place, grid.corners, request.choice)
        parts = Parts(folder / "tiles.csv", [head.identity, rows.identity])
        key = json_sha256([RULES, parts.key, request.tiles, list(grid.mpp)])
        made = _finished(folder, key, request.overwrite)
        if made:
            logger.info(f"kept {folder}: made of the same slide and labels before")
            return made
        if settings.mpp and slide.mpp and any(abs(one / settings.mpp - 1) > 0.001 for one in slide.mpp):
            logger.warning(f"--mpp {settings.mpp:g} overrules what {path.name} states, {slide.mpp[0]:.4g} µm a pixel")
        with _timed(seconds, "reading and encoder"):
            _compute(parts, Scorer(head), rows, f"{visible(path.stem)}: tiles", request.quiet)
        found = _joined(path.stem, parts, grid, rows, head)
        with _timed(seconds, "writing"):
            files = _write(folder, found, slide, head, request, settings)
    record = {"key": key, "files": {name: file_sha256(folder / name) for name in files}, "slide": str(path),
              "classes": list(head.classes), "tiles": len(grid), "tiles_of": found.counts.tolist(),
              "mm2": found.areas.tolist(), "mpp": list(grid.mpp), "tile": settings.tile, "stride": settings.stride,
              "target_mpp": settings.target_mpp, "head": head.identity, "method": head.facts["method"],
              "encoder": head.facts["encoder"], "estimate": head.facts["estimate"], "version": __version__}
    write_json(folder / RECORD, record)
    parts.remove()
    spent = ", ".join(f"{what} {value:.1f} s" for what, value in seconds.items())
    logger.info(f"wrote {folder}: {len(grid)} tiles, " + ", ".join(
        f"{name} {area:.4g} mm²" for name, area in zip(head.classes, found.areas, strict=True)) + f" ({spent})")
    return record


def _finished(folder, key, overwrite):
    """The record of an earlier run that made the same files, or None. UserError: they were made of something else."""
    if overwrite or not folder.exists():
        return None
    made = read_json(folder / RECORD, "record of a map") if (folder / RECORD).exists() else {}
    if made and made.get("key") != key:
        raise UserError(f"{folder} holds a map made of other inputs; choose another --out or replace it with "
                        "--overwrite")
    whole = made and all((folder / name).is_file() and file_sha256(folder / name) == digest
                         for name, digest in made["files"].items())
    return made if whole else None


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
    labels = np.concatenate([block["label"] for block in blocks])
    kind = head.fitted.kind
    outputs, margin = (np.concatenate([block[one] for block in blocks]) if kind else None
                       for one in ("outputs", "margin"))
    return SlideMap(name, grid, head.classes, labels, kind, outputs, margin)


def _write(folder, found, slide, head, request, settings):
    """Names of the files of a map."""
    write_tiles(folder / "tiles.csv", found)
    write_geojson(folder / "case.geojson", found, request.tiles)
    thumbnail = slide.thumbnail(LONGEST)
    write_overlay(folder / "overlay.png", found, thumbnail)
    write_page(folder / "case.html", found, slide, thumbnail, _how(head, settings, found))
    files = ["tiles.csv", "case.geojson", "overlay.png", "case.html"]
    if found.kind:
        write_ome(folder / f"{found.kind}.ome.tif", found)
        files.append(f"{found.kind}.ome.tif")
    return files


def _how(head, settings, found):
    """[(what, how)], text: how the map was made, for its page."""
    estimate, supports = head.facts["estimate"], head.facts["supports"]
    worth = "not known: a class has labels of one group only" if estimate is None else (
        f"macro F1 {100 * estimate['macro_f1']:.1f} % on its own labels, whole {estimate['left_out']}s left out; 95 % "
        f"interval {100 * estimate['low']:.1f} to {100 * estimate['high']:.1f} % ({estimate['units']} "
        f"{estimate['left_out']}s)")
    labelled = ", ".join(f"{sum(one['class'] == name for one in supports)} {name}" for name in head.classes)
    method = head.facts["method"]
    return [("Labelled tiles", labelled), ("What it is worth", worth), ("Encoder", head.facts["encoder"]["encoder"]),
            ("Classifier", f"{method['classifier']}, {method['mode']}"),
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
