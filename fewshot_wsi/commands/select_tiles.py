"""Choose the tiles to label next, and make the page to label them on.

Without labels: typical tiles of all kinds (k-means with as many clusters as tiles; of each cluster the tile that is
nearest to its neighbours). With labels: of each cluster the tile that a classifier, fitted to them, is least sure of,
or with --by typicality typical tiles of kinds that have no label yet.
DIR/selected.csv lists the tiles in order, DIR/label.html shows them: number keys name classes, and 'Export CSV' gives
path,label, which --labeled and predict.py --support read.
"""

import argparse
from pathlib import Path

from fewshot_wsi.foundation.numbers import positive
from fewshot_wsi.predict.options import LABELED, add_classifier_option, add_features_options, add_seed_option

EXAMPLE = """\
examples:
  python wsi_workdir/select_tiles.py features/tiles.npy --budget 20 --images tiles --out round1
  python wsi_workdir/select_tiles.py features/tiles.npy --budget 20 --images tiles --labeled labels.csv --out round2
"""


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_features_options(add)
    add(*LABELED, dest="labeled", metavar="CSV", help="path,label[,group] of labelled tiles; paths as in the list")
    add("--budget", type=positive, required=True, metavar="N", help="how many tiles to label")
    add("--images", type=Path, metavar="DIR", help="folder of the images; without it there is no page")
    add("--classes", nargs="+", default=[], metavar="C", help="classes that the page begins with")
    add("--by", choices=("margin", "typicality"), help="with --labeled: what tiles are chosen by (default margin)")
    add_classifier_option(add, "Ridge", of_base=False)
    add_seed_option(add, 0)
    add("--out", type=Path, default=Path("labelling"), metavar="DIR", help="where CSV and page go (default: labelling)")
    add("--overwrite", action="store_true", help="replace what is in --out")
    args = parser.parse_args(argv)
    if args.by == "margin" and not args.labeled:
        parser.error("--by margin needs labels: give --labeled CSV")
    return args


def main(argv=None):
    args = parse_args(argv)
    from fewshot_wsi.labelling.round import Round, write_round
    write_round(Round.of(args.features, args.list, args.labeled, args.groups), args.budget, args.out, by=args.by,
                clf=args.clf, images=args.images, classes=args.classes, seed=args.seed, overwrite=args.overwrite)
