"""The whole command: a head, fitted to annotated regions or read, and the map of every slide."""

import functools
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import arrays_sha256
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.predict.columns import check_output
from fewshot_wsi.predict.dictionary import make_dictionary
from fewshot_wsi.predict.encoding import EncoderChoice, check_same_encoder
from fewshot_wsi.predict.fit import Method, make_head
from fewshot_wsi.predict.head import load_head, save_head
from fewshot_wsi.predict.run import choice_of
from fewshot_wsi.prepare_data.cohort import named_jobs, report_left_out
from fewshot_wsi.prepare_data.cutting import CuttingSettings
from fewshot_wsi.slide_maps.one_slide import map_slide
from fewshot_wsi.slide_maps.slide_map import write_summary
from fewshot_wsi.slide_maps.supports import annotated_supports, annotations_of
from fewshot_wsi.slide_maps.truth import known_tiles, summarised
from lowshot.classifiers import uses_base

logger = logging.getLogger(__name__)

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
    truth: str | None = None       # annotations that the maps are scored by
    workers: int = 1               # slides at a time
    table: str = "csv"             # what the tables of tiles are written as
    tiles: bool = False            # squares of single tiles in the GeoJSON
    overwrite: bool = False
    quiet: bool = False


def run(request):
    """Do it; returns the number of slides without a map, which are named at the end."""
    check_output(f"tiles.{request.table}")
    with locked(request.out):
        truth = annotations_of(request.truth, request.slides, "--truth") if request.truth else {}
        head, request, settings = _head(request)
        save_head(request.out / "head", head, request.overwrite)
        slides, left_out = named_jobs(request.slides, lambda path: path)
        maps, scored = {}, []
        for path, made in _all_maps(slides, truth, head, request, settings):
            if isinstance(made, str):
                left_out.append((str(path), made))
                continue
            maps[path.stem], known, said = made
            scored += [] if known is None else [(path.stem, known)]
            for level, line in said:
                logger.log(level, line)
        if maps:
            f1 = summarised(scored, head.classes, request.truth) if request.truth else None
            write_summary(request.out / "summary.csv", maps, f1)
            logger.info(f"wrote {request.out / 'summary.csv'}: {len(maps)} slides")
        report_left_out(left_out)
        if not maps:
            raise UserError(f"none of {len(request.slides)} slides could be mapped; the reasons are above")
    return len(left_out)


def _all_maps(slides, truth, head, request, settings):
    """Yield (path, what `_map` gives) in the order of `slides`, `request.workers` at a time."""
    workers = min(request.workers, len(slides))
    if workers <= 1:
        for path in slides:
            yield path, _map(path, truth.get(path), head, request, settings)
        return
    alone = replace(request, quiet=True, choice=replace(request.choice))  # a copy without what was built of it
    jobs = (delayed(_in_worker)(path, truth.get(path), alone, settings) for path in slides)
    try:
        made = Parallel(workers, return_as="generator", pre_dispatch="2*n_jobs", batch_size=1)(jobs)
        yield from zip(slides, bar(made, desc="slides", total=len(slides), unit="slides", quiet=request.quiet),
                       strict=True)
    except TerminatedWorkerError:
        raise UserError("a worker process was killed, perhaps for want of memory; finished slides are kept: run the "
                        "same command again, with fewer --workers") from None


def _in_worker(path, annotation, request, settings):
    head, choice = _of_worker(request.out, request.choice)
    return _map(path, annotation, head, replace(request, choice=choice), settings)


@functools.lru_cache(maxsize=1)
def _of_worker(out, choice):
    """(Head, EncoderChoice) that a worker process reads and builds once."""
    return load_head(out / "head"), choice


def _map(path, annotation, head, request, settings):
    """(record, (truth, predicted) of the tiles whose class `annotation` says or None, [(level, line)]), or the reason
    why the slide has no map."""
    try:
        record, said = map_slide(path, head, request, settings)
    except UserError as error:
        return str(error)
    if annotation is None:
        return record, None, said
    known, more = known_tiles(path, annotation, request.out / path.stem / f"tiles.{request.table}", head, settings)
    return record, known, said + more


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
