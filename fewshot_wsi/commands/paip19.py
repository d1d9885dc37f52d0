"""PAIP2019 (liver): slides and the challenge's annotations become tiles and lists of three classes.

Class 0: outside the whole tumour; 1: whole but not viable tumour; 2: viable tumour. The challenge gives two areas a
slide and the paper does not say how its three classes follow; this is the natural reading."""

import argparse
import sys
from pathlib import Path

from joblib import Parallel, cpu_count, delayed

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import check_listable, same_but_for_case
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.messages import say
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.prepare_data.annotation import files_of, find_annotations
from fewshot_wsi.prepare_data.cutting import CLASSES, CuttingJob, CuttingSettings, cut, finished
from fewshot_wsi.prepare_data.publish import groups, lists, publish
from fewshot_wsi.prepare_data.slides import find_slides

EXAMPLE = """examples:
  python tools/prepare_data/paip19.py --slides PAIP2019/
  python tools/prepare_data/paip19.py --slides svs/ --annotations masks/ --workers 8 --out data/PAIP19

Expects <slide>.svs with <slide>_whole.tif and <slide>_viable.tif, or ImageScope's <slide>.xml, at any depth. Writes
<out>/data/<slide>/<class>/<x>+<y>+<class>.png (x, y: level-0 pixels) and <out>/meta/paip_{train,test}[_labeled].txt,
groups.csv (a slide is a group). The first --train_slides slides by name train, unusable ones counted, so that the
split does not depend on them. Finished slides are kept: the same command goes on from there.

exit code: 0 all slides are in the lists; 1 some are left out, listed at the end; 2 nothing could be made."""


def main(argv=None):
    args = parse_args(argv)
    with locked(args.out):
        return prepare(args)


def prepare(args):
    """Do all that the options ask for; the lock of the data set is held."""
    settings = CuttingSettings(args.tiles, args.tile, args.stride or args.tile, args.target_mpp, args.mpp, args.purity,
                               args.min_tissue, args.seed, tuple(args.xml_layers or ()))
    paths, folder = find_slides(args.slides), args.out / "data"
    jobs, left_out = plan(paths, args.annotations or args.slides)
    names = sorted({path.stem for path in paths})
    if len(names) <= args.train_slides:
        raise UserError(f"{args.slides}: {len(names)} slides, of which --train_slides {args.train_slides} train and "
                        "none is left for testing; lower it")
    records = earlier(jobs, folder, settings, args.overwrite)
    fresh, failed = cut_all([job for job in jobs if job.name not in records], folder, settings, args)
    records, left_out = records | fresh, left_out + failed
    report_short(records, settings)
    for slide, reason in sorted(left_out):
        say(f"left out: {slide}: {reason}", file=sys.stderr)
    if not records:
        raise UserError(f"{args.slides}: none of {len(paths)} slides could be used; the reasons are above")
    writers = all_lists(records, names[:args.train_slides])
    outcome = publish(args.out / "meta", writers, overwrite=args.overwrite)
    print(f"{args.out / 'meta'}: {outcome}; {len(records)} slides, {len(left_out)} left out")
    return 1 if left_out else 0


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slides", type=Path, required=True, help="folder of the slides")
    parser.add_argument("--annotations", type=Path, help="folder of masks or XML (default: that of the slides)")
    parser.add_argument("--out", type=Path, default=Path("data/PAIP19"), help="data set folder (default: %(default)s)")
    parser.add_argument("--tiles", type=int, default=500, help="tiles a class a slide (default: %(default)s)")
    parser.add_argument("--tile", type=int, default=224, help="pixels a side of a tile (default: %(default)s)")
    parser.add_argument("--stride", type=int, help="pixels between candidates (default: a tile, so none overlap)")
    parser.add_argument("--target_mpp", type=float, default=0.5,
                        help="micrometres a pixel of the tiles (default: %(default)s, which is 20x)")
    parser.add_argument("--mpp", type=float, help="micrometres a pixel of slides that do not state theirs")
    parser.add_argument("--purity", type=float, default=0.75,
                        help="least share of a tile that its class covers (default: %(default)s)")
    parser.add_argument("--min_tissue", type=float, default=0.5,
                        help="least share of a tile that is tissue (default: %(default)s)")
    parser.add_argument("--xml_layers", nargs=2, metavar=("WHOLE_ID", "VIABLE_ID"),
                        help="Annotation Ids in the XML (default: by name, then colour: yellow whole, red viable)")
    parser.add_argument("--train_slides", type=int, default=15, help="slides that train (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of tiles (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=cpu_count(),
                        help="slides cut at once (default: all cores, %(default)s)")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace lists that differ, and tiles cut with other settings or from other files")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args(argv)
    for name in ("tiles", "tile", "stride", "target_mpp", "mpp", "train_slides", "workers"):
        if getattr(args, name) is not None and not getattr(args, name) > 0:
            parser.error(f"--{name} is greater than 0")
    for name in ("purity", "min_tissue"):
        if not 0 <= getattr(args, name) <= 1:
            parser.error(f"--{name} is between 0 and 1")
    if args.seed < 0:
        parser.error("--seed is a whole number from 0")
    return args


def plan(paths, annotations):
    """(jobs, left out): a job for each slide with an annotation and a name of its own; (file, reason) of the others."""
    known, jobs, left_out = find_annotations(annotations), [], []
    confused = dict(map(reversed, same_but_for_case(sorted({path.stem for path in paths}))))
    used = {}
    for path in paths:
        try:
            check_listable([path.stem], path.parent)
            if path.stem in confused or used.setdefault(path.stem, path) != path:
                raise UserError(f"has the name of {used.get(path.stem, confused.get(path.stem))} but for case or "
                                "folder; rename one, with its annotation")
            jobs.append(CuttingJob(path.stem, path, files_of(path.stem, known)))
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


def cut_all(jobs, folder, settings, args):
    """(records by slide name, [(file, reason)]) of slides cut in parallel; each is complete before it counts."""
    records, left_out = {}, []
    folder.mkdir(parents=True, exist_ok=True)
    work = (delayed(_cut_one)(job, folder / job.name, settings) for job in jobs)
    done = Parallel(min(args.workers, max(1, len(jobs))), return_as="generator_unordered")(work)
    for name, path, record, reason in bar(done, desc="slides", total=len(jobs), unit="slides", quiet=args.quiet):
        if record:
            records[name] = record
        else:
            left_out.append((path, reason))
    return records, left_out


def _cut_one(job, target, settings):
    try:
        return job.name, str(job.slide), cut(job, target, settings), None
    except UserError as error:
        return job.name, str(job.slide), None, str(error)


def report_short(records, settings):
    for name, record in sorted(records.items()):
        short = [f"{len(tiles)} of class {label}" for label, tiles in enumerate(record["tiles"])
                 if len(tiles) < settings.tiles]
        if short:
            say(f"notice: {name}: only {', '.join(short)}, {settings.tiles} wanted; a smaller --stride or --purity "
                "finds more", file=sys.stderr)


def all_lists(records, training):
    """Writers of the lists and of the group table. records: by slide name. training: names of the slides that train."""
    writers, members = {}, {}
    for stem, wanted in (("paip_train", True), ("paip_test", False)):
        rows = [(f"{name}/{tile}", label) for name in sorted(records) if (name in training) == wanted
                for label in range(CLASSES) for tile in records[name]["tiles"][label]]
        writers |= lists(stem, [path for path, _ in rows], [label for _, label in rows])
        members |= {path: path.split("/")[0] for path, _ in rows}
    return writers | groups(members)
