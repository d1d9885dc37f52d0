"""Draw what encoders see in tiles: maps of similarity to the global feature and clusters of local features, by stage.

  python wsi_workdir/visualize.py data/LC25000/meta/img_list_labeled.txt --root data/LC25000/data \\
      --pretrained wsi_workdir/workdir/pretrained_weights/clp.pth wsi_workdir/workdir/pretrained_weights/fsp.pth \\
      --out wsi_workdir/workdir/plots/LC

Writes one PNG a tile, index.html to look at them and visualize.json for programs. With two encoders, they stand side by
side, and clusters that overlap have the same colour. A stage's own mean feature is what its positions are compared
with; in the last stage that is the tile's global feature.
"""

import argparse
from pathlib import Path

from fewshot_wsi.foundation import progress
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import write_json, write_text
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.foundation.names import html

CONFIG = "configs/extraction/extract_feats_NCT_test.py"


def parse_args(argv):
    description, examples = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(description=description, epilog=examples,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("list", nargs="?", metavar="LIST", help="image list; tiles are chosen evenly from it and its classes")
    add("--pretrained", nargs="+", metavar="FILE", required=True, help="weights of one encoder, or of two to compare")
    add("--out", required=True, metavar="DIR", help="folder for the pictures")
    add("--root", metavar="DIR", help="folder of the images (default: the config's)")
    add("--config", default=CONFIG, metavar="FILE", help="extraction config (default: %(default)s)")
    add("--names", nargs="+", metavar="NAME", help="of the encoders (default: names of their files)")
    add("--count", type=int, default=10, metavar="N", help="tiles to draw (default: %(default)s)")
    add("--clusters", type=int, nargs="+", metavar="K", help="numbers of clusters (default: 2 4 6)")
    add("--seed", type=int, default=0, help="of k-means")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    if args.list is None and len(args.pretrained) > 1:  # --pretrained F G LIST: argparse gives all three to the option
        args.list = args.pretrained.pop()
    names = args.names or [Path(path).stem for path in args.pretrained]
    if args.list is None or len(args.pretrained) > 2 or len(names) != len(args.pretrained):
        parser.error("give one LIST, one or two files of weights, and as many --names")
    if args.count < 1 or not all(1 <= k <= 10 for k in args.clusters or ()) or args.seed < 0:
        parser.error("--count is at least 1, --clusters lie in 1 … 10, --seed is not negative")
    args.names = names
    return args


def main(argv=None):
    args = parse_args(argv)
    from openselfsup.apis.extract import pick_device  # here, not above: it imports torch
    from openselfsup.apis.reading import ListedTiles, check_listed
    from openselfsup.apis.recipe import load_recipe
    from openselfsup.encoders import build_encoder
    from openselfsup.visualize import CLUSTERS, STAGES, draw, maps_of, spread

    clusters = tuple(args.clusters or CLUSTERS)
    recipe, images = load_recipe(args.config), read_list(args.list)
    if recipe.augmented:
        raise UserError(f"{args.config}: random operations give no fixed picture; name a config without them")
    rows = spread(images.labels, len(images), args.count)
    tiles = ListedTiles(images.names, Path(args.root or recipe.root), recipe.pipeline, rows)
    check_listed(tiles, images.path)
    device = pick_device(args.device)
    encoders = [build_encoder(None, path, recipe, device) for path in args.pretrained]
    entries = []
    for item in progress.bar(range(len(tiles)), desc="visualize", unit="tiles", quiet=args.quiet):
        name = images.names[tiles.row(item)]
        picture = f"{tiles.row(item):06d}.png"
        image = tiles[item]
        maps = [maps_of(encoder, image, clusters, args.seed) for encoder in encoders]
        draw(Path(args.out, picture), image, maps, args.names, name)
        label = None if images.labels is None else int(images.labels[tiles.row(item)])
        entries.append({"path": name, "row": int(tiles.row(item)), "label": label, "picture": picture})
    write_json(Path(args.out, "visualize.json"), {
        "schema": 1, "list": str(images.path), "root": str(tiles.root), "stages": list(STAGES),
        "clusters": list(clusters), "tiles": entries,
        "encoders": [{"name": name, "weights_sha256": encoder.weights_sha256}
                     for name, encoder in zip(args.names, encoders, strict=True)]})
    write_text(Path(args.out, "index.html"), page(args.names, entries))
    print(f"wrote {len(entries)} pictures, index.html and visualize.json to {args.out}")


def page(names, entries):
    """A page of all pictures, without anything from elsewhere."""
    title = html(f"What {' and '.join(names)} see")
    figures = "\n".join(
        f'<figure><img src="{entry["picture"]}" alt="Maps of {html(entry["path"])}" loading="lazy">'
        f'<figcaption>{html(entry["path"])}</figcaption></figure>' for entry in entries)
    return ('<!doctype html>\n<html lang="en"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>body{{font:16px sans-serif;margin:1em}}img{{max-width:100%}}</style>\n"
            f"<h1>{title}</h1>\n<p>A row a stage: cosine similarity of each position with the stage's mean feature, "
            f"and clusters of the local features.</p>\n{figures}\n</html>\n")
