"""F1 against the number of labels a class, and how many labels a wanted F1 takes.

Few-shot tasks are sampled from labelled tiles: N labels a class to fit the classifier to, other tiles to ask it about.
Two intervals a point: for further tasks from these tiles, and for new slides or patients (new images, where no
groups are given). With groups no task has one of them on both sides.
"""

import argparse
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.predict.options import LABELED, add_classifier_option, add_features_options, add_seed_option

EXAMPLE = """\
example:
  python wsi_workdir/budget_curve.py features/tiles.npy --labeled labels.csv --target 0.9 --out curve
"""
QUERIES = 15


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add_features_options(add)
    add(*LABELED, dest="labeled", metavar="CSV", help="path,label[,group] of labelled tiles; paths as in the list "
        "(default: the labels of the list)")
    add_classifier_option(add, "Ridge", of_base=False)
    add("--base", metavar="FILE.npy", help="latent augmentation, with a dictionary of these features of any tiles")
    add("--shots", type=int, nargs="+", metavar="N", help="labels a class (default: 1 2 5 10 20 50 100, as far as the "
        "tiles go)")
    add("--queries", type=int, help=f"other tiles a class (default: {QUERIES}, at most half of the smallest class)")
    add("--target", type=float, default=0.9, metavar="F1", help="the wanted macro F1, a fraction (default 0.9)")
    add("--num_tasks", type=int, default=200, help="tasks a point (default 200)")
    add("--open_resamples", "--resamples", dest="resamples", type=int, default=50, metavar="B",
        help="with groups: resamples of the open interval, each as costly as the point itself (default 50)")
    add_seed_option(add, 0)
    add("--out", type=Path, default=Path("budget_curve"), metavar="DIR", help="where CSV and figure go "
        "(default: budget_curve)")
    args = parser.parse_args(argv)
    if not 0 < args.target <= 1:
        parser.error(f"--target {args.target}: a macro F1 is a fraction, such as 0.9")
    if args.resamples < 2:
        parser.error("--open_resamples is a whole number from 2")
    return args


def main(argv=None):
    args = parse_args(argv)
    from fewshot_wsi.foundation.files import replacing, write_text
    from fewshot_wsi.foundation.tables import write_table
    from fewshot_wsi.labelling.curve import HEADER, answer, csv_rows, curve_figure, note_of, text_head, text_row
    from lowshot.learning_curve import SHOTS, labels_for, learning_curve

    x, y, groups = labelled_features(args)
    queries = args.queries or queries_for(y)
    wanted = args.shots or SHOTS
    print(f"{len(y)} tiles, {len(set(y))} classes; {args.num_tasks} tasks a point, {queries} queries a class")
    points = []
    for point in learning_curve(classifier_of(args), x, y, groups=groups, shots=wanted, queries=queries,
                                num_tasks=args.num_tasks, resamples=args.resamples, seed=args.seed):
        print(*([] if points else [text_head(point.unit)]), text_row(point), sep="\n", flush=True)
        points.append(point)
    if points[-1].shots < max(wanted):
        print(f"more than {points[-1].shots} labels a class and {queries} others are not there")
    for note in dict.fromkeys(note_of(point) for point in points if point.open.note):
        print(f"new {points[0].unit}s: {note}")
    write_table(args.out / "budget_curve.csv", HEADER, csv_rows(points))
    figure = curve_figure(points, args.target)
    write_text(args.out / "budget_curve.svg", figure.svg)
    with replacing(args.out / "budget_curve.png") as stream:
        stream.write(figure.png)
    print(*answer(labels_for(args.target, points)), f"wrote budget_curve.csv, .svg and .png to {args.out}", sep="\n")


def labelled_features(args):
    """(features (n, D), labels (n,), groups (n,) or None) of the tiles that have a label."""
    import numpy as np

    from fewshot_wsi.foundation.label_tables import read_label_table, rows_of
    from fewshot_wsi.foundation.lists import groups_of, read_groups
    from fewshot_wsi.labelling.pool import load_pool

    pool = load_pool(args.features, args.list)
    if args.labeled:
        table = read_label_table(args.labeled)
        rows, names, labels = rows_of(table, pool.images.names, pool.images.path), table.names, np.array(table.labels)
        groups = np.array(table.groups) if all(table.groups) else None
        if groups is None and any(table.groups) and not args.groups:
            missing = table.names[table.groups.index("")]
            raise UserError(f"{args.labeled}: {missing!r} has no group, others have; fill it in or leave the "
                            "column out")
    elif pool.images.labels is None:
        raise UserError(f"{pool.images.path}: a list without labels; give --labeled CSV")
    else:
        rows, names, labels, groups = np.arange(len(pool)), pool.images.names, pool.images.labels, None
    if args.groups:
        groups = groups_of(names, read_groups(args.groups), args.groups)
    return pool.features[rows], labels, groups


def queries_for(y):
    import numpy as np
    return max(1, min(QUERIES, int(np.unique(y, return_counts=True)[1].min()) // 2))


def classifier_of(args):
    if not args.base:
        return args.clf
    from fewshot_wsi.foundation.features import load_features
    from lowshot import BaseDictionary, LatentAugmentation
    from lowshot.classifiers import find_classifier
    return LatentAugmentation(find_classifier(args.clf).estimator, BaseDictionary().fit(load_features(args.base)))
