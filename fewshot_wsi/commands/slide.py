"""From a few labelled regions to a map of whole slides.

Regions that are marked in QuPath, ASAP, ImageScope or NDP.view become labelled tiles, a classifier is fitted to them,
and every tile on tissue of every slide gets a class. First it prints what the classifier is worth by its own labels:
macro F1 with whole regions left out, or whole slides where several are annotated. Then it writes for each slide, in
<out>/<slide>: tiles.csv (x, y in pixels of level 0, class, outputs), case.geojson for QuPath, case.html, a page that
opens anywhere, and overlay.png. <out>/summary.csv has mm² and share of each class on every slide, and with --truth its
macro F1; the printed one has an interval over slides. <out>/head is the classifier, for further slides.
Finished slides and blocks of tiles are kept: the same command continues where it was stopped.
Exit code: 0 all slides have a map, 1 some could not be read (they are named at the end), 2 it could not run."""

import argparse
from pathlib import Path

from fewshot_wsi.foundation.numbers import above_zero, positive
from fewshot_wsi.meta_test.classifiers import modes
from fewshot_wsi.predict.options import add_augmentation_options, add_encoder_options, check_fit_options
from lowshot.classifiers import classifiers, uses_base

EXAMPLE = """examples:
  python wsi_workdir/slide.py a.svs --annotations a.geojson --encoder configs/encoders/uni.py \\
      --pretrained uni/pytorch_model.bin --out maps
  python wsi_workdir/slide.py slides/ --annotations geojson/ --encoder color_histogram --out maps
  python wsi_workdir/slide.py b.svs c.svs --head maps/head --truth checked/ --out more

SLIDE is a file, or a folder of slides. The annotation of a.svs is a.geojson, a.json, a.xml or a.ndpa."""
FIT = ("clf", "mode", "base", "num_prototypes", "num_aug_shots", "latent", "coverage", "tiles_a_class", "purity",
       "seed")


def main(argv=None):
    args = parse_args(argv)
    from fewshot_wsi.slide_maps.run import run  # here, not above: it imports torch
    return 1 if run(request_of(args)) else 0


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slides", nargs="+", type=Path, metavar="SLIDE", help="slides, or folders of slides")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the maps")
    add = parser.add_argument_group("classifier").add_argument
    add("--annotations", metavar="WHAT", help="annotation file, or folder of them")
    add("--head", metavar="DIR", help="use a kept classifier instead")
    add("--clf", choices=tuple(classifiers()), help="default logistic_regression, which has probabilities")
    add("--mode", choices=modes(), help="linear, or latent_aug (default linear)")
    add("--base", metavar="FILE.npy", help="latent_aug: unlabelled features of the same encoder")
    add_augmentation_options(add)
    add("--coverage", type=float, metavar="P", help="conformal sets that hold the class with this probability, as "
        "0.9; tiles whose set is not one class are shown as abstained")
    add("--tiles_a_class", type=positive, metavar="N", help="labelled tiles of each class and slide at most "
        "(default 500)")
    add("--purity", type=float, help="least share of a labelled tile that its class covers (default 0.75)")
    add("--seed", type=int, help="of all draws (default 0)")
    add = parser.add_argument_group("encoder").add_argument
    add_encoder_options(add)
    add = parser.add_argument_group("tiles").add_argument
    add("--tile", type=positive, help="pixels a side (default: as the head or the encoder's preset says, else 224)")
    add("--stride", type=positive, help="pixels between neighbours (default: a tile)")
    add("--target_mpp", type=above_zero, help="micrometres a pixel of the tiles (default: as the head or the encoder's "
        "preset says, else 0.5)")
    add("--mpp", type=above_zero, help="micrometres a pixel of the slides, whatever they state")
    add("--min_tissue", type=float, default=0.5, help="least share of a tile that is tissue (default: %(default)s)")
    add = parser.add_argument
    add("--truth", metavar="WHAT", help="annotation file, or folder of them, that the maps are scored by: of "
        "slides that gave no labels to the classifier")
    add("--workers", type=positive, default=1, metavar="N", help="slides at a time (default: %(default)s)")
    add("--table", choices=("csv", "parquet"), default="csv", help="what the tiles of a slide are listed in (default: "
        "%(default)s; parquet needs pyarrow)")
    add("--tiles", action="store_true", help="one square a tile in case.geojson, with its outputs as measurements")
    add("--overwrite", action="store_true", help="replace maps and a head that were made of something else")
    add("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    _check(parser, args)
    return args


def _check(parser, args):
    if (args.annotations is None) == (args.head is None):
        parser.error("give --annotations, or a kept classifier as --head; not both")
    check_fit_options(parser, args, FIT, "--annotations")
    if not (args.head or args.encoder or args.pretrained):
        parser.error("--annotations needs the encoder that turns tiles into features: --encoder, and --pretrained "
                     "where it has weights")
    needs = args.mode not in (None, "linear") or uses_base(args.clf or "Ridge")
    if bool(args.base) != needs:
        parser.error("--base belongs to --mode latent_aug and to classifiers that look at base features, which need it")
    if args.purity is not None and not 0.5 < args.purity <= 1:
        parser.error("--purity is above 0.5, so that a tile has one class, and at most 1")
    if not 0 <= args.min_tissue <= 1:
        parser.error("--min_tissue is between 0 and 1")
    if args.seed is not None and args.seed < 0:
        parser.error("--seed is a whole number from 0")


def request_of(args):
    """slide_maps.run.Request of the parsed options."""
    from fewshot_wsi.predict.encoding import EncoderChoice
    from fewshot_wsi.predict.fit import Method
    from fewshot_wsi.slide_maps.run import Request

    seed = args.seed or 0
    choice = EncoderChoice(args.encoder, args.pretrained, args.config, seed, args.device, args.runtime,
                           trust=args.trust)
    method = Method(args.clf or "logistic_regression", args.mode or "linear", args.num_aug_shots or 100,
                    args.latent or "sampled", seed)
    settings = dict(tiles=args.tiles_a_class or 500, mpp=args.mpp, purity=args.purity or 0.75,
                    min_tissue=args.min_tissue, seed=seed)
    same = ("out", "annotations", "head", "base", "coverage", "tile", "target_mpp", "stride", "truth", "workers",
            "table", "tiles", "overwrite", "quiet")
    return Request(choice, method, slides_of(args.slides), settings=settings,
                   num_prototypes=args.num_prototypes or 16, **{name: getattr(args, name) for name in same})


def slides_of(paths):
    """Paths of the slides that are named, or lie below the folders that are. UserError: a folder without any."""
    from fewshot_wsi.slides import flat_files
    from fewshot_wsi.slides.opening import SUFFIXES, find_slides

    listed = [[path] if not path.is_dir() else find_slides(path, SUFFIXES | flat_files.SUFFIXES) for path in paths]
    return tuple(dict.fromkeys(path for found in listed for path in found))
