"""Many slides to folders of tiles, in parallel: what is finished is kept, what cannot be used is named at the end."""

import math
import sys
from dataclasses import replace

from joblib import Parallel, cpu_count, delayed

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import check_listable, same_but_for_case
from fewshot_wsi.foundation.messages import say
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.prepare_data.cutting import CuttingSettings, cut, finished


def add_cutting_options(parser):
    """The options of CuttingSettings, and --workers and --quiet."""
    parser.add_argument("--tiles", type=int, default=500, help="tiles a class a slide (default: %(default)s)")
    parser.add_argument("--tile", type=int, help=f"pixels a side of a tile (default: {CuttingSettings.tile})")
    parser.add_argument("--stride", type=int, help="pixels between candidates (default: a tile, so none overlap)")
    parser.add_argument("--target_mpp", type=float, help="micrometres a pixel of the tiles (default: "
                        f"{CuttingSettings.target_mpp:g}, which is 20x)")
    parser.add_argument("--mpp", type=float, help="micrometres a pixel of the slides, whatever they state")
    parser.add_argument("--purity", type=float, default=0.75,
                        help="least share of a tile that its class covers (default: %(default)s)")
    parser.add_argument("--min_tissue", type=float, default=0.5,
                        help="least share of a tile that is tissue (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of tiles (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=cpu_count(),
                        help="slides cut at once (default: all cores, %(default)s)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace lists that differ, and tiles cut with other settings or from other files")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def check_cutting_options(parser, args):
    """Refuse values out of range, by `parser.error`."""
    for name in ("tiles", "tile", "stride", "target_mpp", "mpp", "workers"):
        if getattr(args, name) is not None and not 0 < getattr(args, name) < math.inf:
            parser.error(f"--{name} is a number greater than 0")
    for name in ("purity", "min_tissue"):
        if not 0 <= getattr(args, name) <= 1:
            parser.error(f"--{name} is between 0 and 1")
    if args.seed < 0:
        parser.error("--seed is a whole number from 0")


def cutting_settings(args, *, tile=None, target_mpp=None, layer_ids=()):
    """CuttingSettings of the options. tile, target_mpp: where they are not given; None: the defaults."""
    tile = args.tile or tile or CuttingSettings.tile
    return CuttingSettings(args.tiles, tile, args.stride or tile,
                           args.target_mpp or target_mpp or CuttingSettings.target_mpp, args.mpp, args.purity,
                           args.min_tissue, args.seed, tuple(layer_ids))


def named_jobs(paths, job_of):
    """(jobs, left out): what `job_of(path)` gives for each slide with a name of its own; (file, reason) of the others.

    job_of may raise UserError with the reason."""
    jobs, left_out, used = [], [], {}
    confused = dict(map(reversed, same_but_for_case(sorted({path.stem for path in paths}))))
    for path in paths:
        try:
            check_listable([path.stem], path.parent)
            if path.stem in confused or used.setdefault(path.stem, path) != path:
                raise UserError(f"has the name of {used.get(path.stem, confused.get(path.stem))} but for case or "
                                "folder; rename one, with its annotation")
            jobs.append(job_of(path))
        except UserError as error:
            left_out.append((str(path), str(error)))
    return jobs, left_out


def earlier(jobs, folder, settings, overwrite):
    """dict from slide name to the record of what an earlier run finished with these settings. Tiles made otherwise
    are left for cutting again where `overwrite`, else UserError."""
    records = {}
    for job in jobs:
        try:
            record = finished(job, folder / job.name, settings)
        except UserError:
            if not overwrite:
                raise
        else:
            records |= {job.name: record} if record else {}
    return records


def cut_all(jobs, folder, settings, *, workers, quiet):
    """(records by slide name, [(file, reason)]) of slides cut in parallel; each is complete before it counts."""
    records, left_out = {}, []
    folder.mkdir(parents=True, exist_ok=True)
    files = {job.name: str(job.slide) for job in jobs}
    work = (delayed(_cut_one)(_absolute(job), folder.absolute() / job.name, settings) for job in jobs)
    done = Parallel(min(workers, max(1, len(jobs))), return_as="generator_unordered")(work)
    for name, record, reason in bar(done, desc="slides", total=len(jobs), unit="slides", quiet=quiet):
        if record:
            records[name] = record
        else:
            left_out.append((files[name], reason))
    return records, left_out


def _absolute(job):
    """`job` for a worker, which may have been started in another folder."""
    return replace(job, slide=job.slide.absolute(), files=tuple(path.absolute() for path in job.files))


def _cut_one(job, target, settings):
    try:
        return job.name, cut(job, target, settings), None
    except UserError as error:
        return job.name, None, str(error)


def report_short(records, settings):
    for name, record in sorted(records.items()):
        short = [f"{len(tiles)} of class {label}" for label, tiles in enumerate(record["tiles"])
                 if len(tiles) < settings.tiles]
        if short:
            say(f"notice: {name}: only {', '.join(short)}, {settings.tiles} wanted; a smaller --stride or --purity "
                "finds more", file=sys.stderr)


def report_notices(records, settings):
    """Print, to stderr, what the annotations say about themselves, and where --mpp overrules what slides state."""
    for name, record in sorted(records.items()):
        for notice in record.get("notices", ()):
            say(f"notice: {name}: {notice}", file=sys.stderr)
    stated = {name: record["stated_mpp"] for name, record in sorted(records.items()) if record.get("stated_mpp")}
    other = {name: mpp for name, mpp in stated.items() if settings.mpp and any(abs(one / settings.mpp - 1) > 0.001
                                                                              for one in mpp)}
    if other:
        name, mpp = next(iter(other.items()))
        say(f"notice: --mpp {settings.mpp:g} overrules what {len(other)} slide(s) state, as {name} with "
            f"{mpp[0]:.4g} µm a pixel", file=sys.stderr)


def report_left_out(left_out):
    for slide, reason in sorted(left_out):
        say(f"left out: {slide}: {reason}", file=sys.stderr)
