"""PAIP2019 (liver): slides and the challenge's annotations become tiles and lists of three classes.

Class 0: outside the whole tumour; 1: whole but not viable tumour; 2: viable tumour. The challenge gives two areas a
slide and the paper does not say how its three classes follow; this is the natural reading."""

import argparse
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.prepare_data.annotation import CLASSES, LAYERS, PaipAreas, files_of, find_annotations
from fewshot_wsi.prepare_data.cohort import (
    add_cutting_options,
    check_cutting_options,
    cut_all,
    cutting_settings,
    earlier,
    named_jobs,
    report_left_out,
    report_notices,
    report_short,
)
from fewshot_wsi.prepare_data.cutting import CuttingJob
from fewshot_wsi.prepare_data.publish import groups, lists, publish
from fewshot_wsi.slides.opening import find_slides

EXAMPLE = """examples:
  python tools/prepare_data/paip19.py --slides PAIP2019/
  python tools/prepare_data/paip19.py --slides svs/ --annotations masks/ --workers 8 --out data/PAIP19

Expects <slide>.svs (or .tif and others) with <slide>_whole.tif and <slide>_viable.tif, or ImageScope's
<slide>.xml, at any depth. Writes
<out>/data/<slide>/<class>/<x>+<y>+<class>.png (x, y: level-0 pixels) and <out>/meta/paip_{train,test}[_labeled].txt,
groups.csv (a slide is a group). The first --train_slides slides by name train, unusable ones counted, so that the
split does not depend on them. Finished slides are kept: the same command continues from there.

exit code: 0 all slides are in the lists; 1 some are left out, listed at the end; 2 nothing could be made."""


def main(argv=None):
    args = parse_args(argv)
    with locked(args.out):
        return prepare(args)


def prepare(args):
    """Do all that the options ask for; the lock of the data set is held."""
    settings = cutting_settings(args, layer_ids=args.xml_layers or ())
    paths, folder = find_slides(args.slides, but=[f"_{layer}" for layer in LAYERS]), args.out / "data"
    jobs, left_out = plan(paths, args.annotations or args.slides)
    names = sorted({path.stem for path in paths})
    if len(names) <= args.train_slides:
        raise UserError(f"{args.slides}: {len(names)} slides, of which --train_slides {args.train_slides} train and "
                        "none is left for testing; lower it")
    records = earlier(jobs, folder, settings, args.overwrite)
    fresh, failed = cut_all([job for job in jobs if job.name not in records], folder, settings, workers=args.workers,
                            quiet=args.quiet)
    records, left_out = records | fresh, left_out + failed
    report_short(records, settings)
    report_notices(records, settings)
    report_left_out(left_out)
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
    parser.add_argument("--xml_layers", nargs=2, metavar=("WHOLE_ID", "VIABLE_ID"),
                        help="Annotation Ids in the XML (default: by name, then colour: yellow whole, red viable)")
    parser.add_argument("--train_slides", type=int, default=15, help="slides that train (default: %(default)s)")
    add_cutting_options(parser)
    args = parser.parse_args(argv)
    check_cutting_options(parser, args)
    if args.train_slides < 1:
        parser.error("--train_slides is greater than 0")
    return args


def plan(paths, annotations):
    """(jobs, left out): a job for each slide with an annotation and a name of its own; (file, reason) of the others."""
    known = find_annotations(annotations)
    return named_jobs(paths, lambda path: CuttingJob(path.stem, path, files_of(path.stem, known), PaipAreas()))


def all_lists(records, training):
    """{file name: function that writes it at a path} of the train and test lists and the group table.

    records: slide name -> record of its tiles by label. training: names of the slides that train; the others test.
    UserError for an empty list.
    """
    writers, members = {}, {}
    for stem, wanted in (("paip_train", True), ("paip_test", False)):
        rows = [(f"{name}/{tile}", label) for name in sorted(records) if (name in training) == wanted
                for label in range(CLASSES) for tile in records[name]["tiles"][label]]
        writers |= lists(stem, [path for path, _ in rows], [label for _, label in rows])
        members |= {path: path.split("/")[0] for path, _ in rows}
    return writers | groups(members)
