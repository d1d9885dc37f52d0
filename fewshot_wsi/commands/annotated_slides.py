"""Your own slides: regions marked in QuPath, ASAP, ImageScope or NDP.view become tiles, lists, groups, a protocol."""

import argparse
import sys
from pathlib import Path

import numpy as np

from fewshot_wsi.annotations.reading import SUFFIXES, annotation_files, read_marked
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import shipped
from fewshot_wsi.foundation.image_files import refuse_alike
from fewshot_wsi.foundation.keys import nearest_known
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.messages import say
from fewshot_wsi.foundation.tables import read_table, unique_rows
from fewshot_wsi.prepare_data.cohort import (
    add_cutting_options,
    check_cutting_options,
    cut_all,
    cutting_settings,
    earlier,
    named_jobs,
    report_left_out,
    report_notices,
)
from fewshot_wsi.prepare_data.cutting import CuttingJob
from fewshot_wsi.prepare_data.marked import MarkedRegions, with_tiles
from fewshot_wsi.prepare_data.own_protocol import OwnSet
from fewshot_wsi.prepare_data.own_set import add_own_options, check_own_options, publish_own
from fewshot_wsi.prepare_data.splits import grouped_split
from fewshot_wsi.slides import flat_files
from fewshot_wsi.slides.opening import SUFFIXES as SLIDES
from fewshot_wsi.slides.opening import find_slides, open_slide

EXAMPLE = """examples:
  python tools/prepare_data/annotated_slides.py slides/ --annotations geojson/ --name mine
  python tools/prepare_data/annotated_slides.py slides/ --annotations xml/ --name mine --patients patients.csv
  python tools/prepare_data/annotated_slides.py one/ --annotations one/ --name mine --group_by region   # a single slide
  python tools/prepare_data/annotated_slides.py slides/ --annotations geojson/ --name mine --encoder uni2_h
then
  python wsi_workdir/run_protocol.py --protocol data/mine/meta/protocol.py

The annotation of a.svs is a.geojson, a.json, a.xml or a.ndpa (or a.svs.geojson …), at any depth. Writes
<out>/data/<slide>/<class number>/<x>+<y>+<class number>.png (x, y: level-0 pixels of the scan) and <out>/meta:
{train,test}[_labeled].txt, classes.csv, groups.csv, protocol.py. Finished slides are kept: the same command continues.

exit code: 0 all annotated slides are in the lists; 1 some are left out, listed at the end; 2 nothing could be made."""


def main(argv=None):
    args = parse_args(argv)
    with locked(args.out):
        return prepare(args)


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slides", type=Path, help="folder of the slides")
    parser.add_argument("--annotations", type=Path, help="folder of the annotations (default: that of the slides)")
    parser.add_argument("--classes", nargs="+", help="class names in label order; regions of others give no tiles "
                        "(default: all, sorted)")
    parser.add_argument("--patients", type=Path, help="CSV slide,patient: a patient's slides stay on one side")
    parser.add_argument("--group_by", choices=("slide", "region"), default="slide",
                        help="what is held out as a whole where no patients are given (default: %(default)s)")
    parser.add_argument("--encoder", metavar="PRESET", help="preset (configs/encoders/PRESET.py) that says size and "
                        "resolution of the tiles, where --tile and --target_mpp do not")
    add_own_options(parser)
    add_cutting_options(parser)
    args = parser.parse_args(argv)
    check_own_options(parser, args)
    check_cutting_options(parser, args)
    if args.purity <= 0.5:
        parser.error("--purity is above 0.5, so that a tile has one class")
    if not 0 < args.held_out < 1:
        parser.error("--held_out is between 0 and 1")
    args.annotations = args.annotations or args.slides
    return args


def prepare(args):
    """Do all that the options ask for; the lock of the data set is held."""
    settings = cutting_settings(args, **(size_of(args.encoder) if args.encoder else {}))
    files = matched(args)
    patients = patients_of(args.patients, files) if args.patients else {}
    marked, unread = marked_classes(files)
    names = class_names(marked, args.classes)
    if args.patients or args.group_by == "slide":
        refuse_alone(((name, patients.get(slide, slide)) for slide, found in marked.items() for name in found
                      if name in names), args)
    jobs, left_out = named_jobs([path for path in files if str(path) not in dict(unread)],
                                lambda path: CuttingJob(path.stem, path, (files[path],), MarkedRegions(names)))
    folder = args.out / "data"
    records = earlier(jobs, folder, settings, args.overwrite)
    fresh, failed = cut_all([job for job in jobs if job.name not in records], folder, settings, workers=args.workers,
                            quiet=args.quiet)
    records, left_out = records | fresh, unread + left_out + failed
    report_notices(records, settings)
    report_left_out(left_out)
    if not records:
        raise UserError(f"{args.slides}: none of {len(files)} slides with annotations could be used; the reasons are "
                        "above")
    write(records, names, patients, settings, args)
    return 1 if left_out else 0


def size_of(name):
    """Tile side and resolution of an encoder's preset, as options of `cutting_settings`."""
    from openselfsup.encoders.presets import load_preset  # noqa: PLC0415 (PyTorch is loaded only for this)
    file = shipped(name if name.endswith(".py") else f"configs/encoders/{name}.py")
    if not file.is_file():
        known = sorted(path.stem for path in shipped("configs/encoders/uni.py").parent.glob("*.py"))
        raise UserError(f"--encoder {name}: no preset {file}{nearest_known(name, known)}")
    preset = load_preset(str(file))
    return dict(tile=preset.tile, target_mpp=preset.mpp)


def matched(args):
    """dict from slide to its one annotation file; what has no partner is said in a line."""
    slides = find_slides(args.slides, SLIDES | flat_files.SUFFIXES)
    files, unused, several = annotation_files(args.annotations, slides)
    bare = [path for path in slides if path not in files and path not in several]
    for what, paths in (("slides without an annotation", bare), ("annotation files that name no slide", unused)):
        if paths:
            say(f"notice: left out: {what}: {len(paths)}, the first is {paths[0]}", file=sys.stderr)
    if several:
        slide, paths = next(iter(several.items()))
        raise UserError(f"{slide}: {len(paths)} annotation files, {' and '.join(map(str, paths))}; leave the one that "
                        "counts")
    if not files:
        raise UserError(f"{args.annotations}: no annotation ({', '.join(SUFFIXES)}) with the name of a slide, as "
                        f"{slides[0].stem}.geojson of {slides[0].name}")
    return files


def marked_classes(files):
    """(dict from slide name to its classes, [(slide, reason)] of those whose slide or annotation is not usable)."""
    marked, left_out = {}, []
    for path, file in files.items():
        try:
            with open_slide(path) as slide:
                marked[path.stem] = read_marked(file, slide).classes
        except UserError as error:
            left_out.append((str(path), str(error)))
    if not marked:
        report_left_out(left_out)
        raise UserError(f"none of {len(files)} slides with annotations can be used; the reasons are above")
    return marked, left_out


def class_names(marked, wanted):
    """Class names in label order: those wanted, or all. UserError: one that no slide has, or two nearly the same."""
    found = {name for names in marked.values() for name in names}
    absent = [name for name in wanted or () if name not in found]
    if absent or len(set(wanted or ())) < len(wanted or ()):
        raise UserError(f"--classes: no region of {', '.join(absent) or 'a class given twice'}; the annotations mark "
                        f"{', '.join(sorted(found))}")
    names = tuple(wanted or sorted(found))
    refuse_alike(names)
    return names


def patients_of(path, files):
    """dict from slide name to patient; UserError for a slide that the CSV does not name."""
    rows = read_table(path, ("slide", "patient"), ("slide", "patient"))
    unique_rows(rows, "slide", path)
    known = {row["slide"]: row["patient"] for _, row in rows if row["patient"]}
    found = {slide.stem: known.get(slide.name) or known.get(slide.stem) for slide in files}
    missing = [name for name, patient in found.items() if not patient]
    if missing:
        raise UserError(f"{path}: {len(missing)} of {len(found)} slides have no patient, the first is {missing[0]!r}")
    return found


def write(records, names, patients, settings, args):
    """Lists, groups and protocol from the records of the tiles, by slide name."""
    rows = [(f"{slide}/{tile}", label, group_of(slide, region, tile, patients, args.group_by))
            for slide, record in sorted(records.items()) for label in range(len(names))
            for tile, region in zip(record["tiles"][label], record["regions"][label], strict=True)]
    paths, labels, groups = (np.array(column) for column in zip(*rows, strict=True))
    labels, classes = with_tiles(labels, names, "lower --purity, --min_tissue or --stride to have it")
    held = split(labels, groups, classes, args)
    own = OwnSet(name=args.name, root=(args.out / "data").as_posix(), meta=args.out / "meta", classes=classes,
                 models=args.models, seed=args.seed, mpp=settings.target_mpp,
                 command="tools/prepare_data/annotated_slides.py")
    publish_own(own, paths, labels, held, owners_of(paths, groups, patients, args.group_by), overwrite=args.overwrite)


def owners_of(paths, groups, patients, group_by):
    """dict from kind of `lists.OWNERS` to (N,) names: the slide of each tile, its patient, its region where asked."""
    found = {"slide": np.array([path.split("/")[0] for path in paths])}
    if patients:
        return {"patient": groups, **found}
    return {"group": groups, **found} if group_by == "region" else found


def group_of(slide, region, tile, patients, group_by):
    if patients or group_by == "slide":
        return patients.get(slide, slide)
    return f"{slide}/region {region}" if region >= 0 else f"{slide}/point {Path(tile).stem}"


def split(labels, groups, classes, args):
    """(N,) bool, held out: whole groups, the share of each class as near to --held_out as they allow."""
    refuse_alone(((classes[label], group) for label, group in zip(labels, groups, strict=True)), args)
    return grouped_split(labels, np.unique(groups, return_inverse=True)[1], args.held_out, args.seed, classes)


def refuse_alone(pairs, args):
    """UserError for a class that only one group has. pairs: (class, group)."""
    groups = {}
    for name, group in pairs:
        groups.setdefault(name, set()).add(group)
    alone = sorted(name for name, found in groups.items() if len(found) < 2)
    if alone:
        unit = "patient" if args.patients else args.group_by
        cure = "mark it in another one, or leave it out by --classes" + (
            "; or hold out regions by --group_by region" if unit == "slide" else "")
        raise UserError(f"the class {alone[0]!r} is there in one {unit} only, which lies on one side of the split; "
                        f"{cure}")
