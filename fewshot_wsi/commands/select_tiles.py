"""Choose the tiles to label next, and make the page to label them on.

Without labels: typical tiles of all kinds (k-means with as many clusters as tiles; of each cluster the tile that is
nearest to its neighbours). With labels: of each cluster the tile that a classifier, fitted to them, is least sure of,
or with --by typicality typical tiles of kinds that have no label yet.
DIR/selected.csv lists the tiles in order, DIR/label.html shows them: number keys name classes, and 'Export CSV' gives
path,label, which --labeled and predict.py --support read.
"""

import argparse
from pathlib import Path

from lowshot.classifiers import classifiers

EXAMPLE = """\
examples:
  python wsi_workdir/select_tiles.py features/tiles.npy --budget 20 --images tiles --out round1
  python wsi_workdir/select_tiles.py features/tiles.npy --budget 20 --images tiles --labeled labels.csv --out round2
"""


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("features", metavar="FEATURES.npy", help="features of the tiles (wsi_workdir/extract.py)")
    add("--budget", type=int, required=True, metavar="N", help="how many tiles to label")
    add("--labeled", metavar="CSV", help="path,label[,group] of tiles that have a label; paths as in the list")
    add("--images", type=Path, metavar="DIR", help="folder of the images; without it there is no page")
    add("--list", metavar="FILE", help="list of the features' images (default: the one they were extracted from)")
    add("--groups", metavar="CSV", help="path,group: slide or patient of each image, for the exported CSV")
    add("--classes", nargs="+", default=[], metavar="NAME", help="classes that the page begins with")
    add("--by", choices=("margin", "typicality"), help="with --labeled: what tiles are chosen by (default margin)")
    add("--clf", default="Ridge", metavar="C", choices=[n for n, one in classifiers().items() if not one.uses_base],
        help="the classifier of the margins (default Ridge; %(choices)s)")
    add("--seed", type=int, default=0)
    add("--out", type=Path, default=Path("labelling"), metavar="DIR", help="where CSV and page go (default: labelling)")
    add("--overwrite", action="store_true", help="replace what is in --out")
    args = parser.parse_args(argv)
    if args.budget < 1 or args.seed < 0:
        parser.error("--budget is a whole number from 1, --seed from 0")
    if args.by == "margin" and not args.labeled:
        parser.error("--by margin needs labels: give --labeled CSV")
    return args


def main(argv=None):
    args = parse_args(argv)
    from fewshot_wsi.labelling.round import Round, write_round
    write_round(Round.of(args.features, args.list, args.labeled, args.groups), args.budget, args.out, by=args.by,
                clf=args.clf, images=args.images, classes=args.classes, seed=args.seed, overwrite=args.overwrite)
