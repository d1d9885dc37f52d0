"""One round of labelling: tiles chosen, listed and put on a page."""

import logging
from dataclasses import dataclass

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import write_text
from fewshot_wsi.foundation.label_tables import LabelTable, read_label_table, rows_of
from fewshot_wsi.foundation.lists import read_groups
from fewshot_wsi.foundation.tables import plain_path, write_table
from fewshot_wsi.labelling.page import page_tile, render
from fewshot_wsi.labelling.pool import LabellingPool, load_pool
from lowshot.classifiers import find_classifier
from lowshot.selection import LARGEST_POOL, select_typical, select_uncertain
from openselfsup.images import BrokenImage

logger = logging.getLogger(__name__)

CSV, PAGE = "selected.csv", "label.html"


@dataclass(frozen=True, eq=False)
class Round:
    pool: LabellingPool
    labeled: LabelTable | None  # labels of earlier rounds
    rows: np.ndarray            # (n,) int64, rows of `pool` that have them
    groups: dict                # from path to group, where groups are known

    @classmethod
    def of(cls, features_file, list_file=None, labeled_file=None, groups_file=None):
        """Round of files, all checked. UserError: one that is at fault."""
        pool = load_pool(features_file, list_file)
        labeled = read_label_table(labeled_file) if labeled_file else None
        rows = np.array([], dtype=np.int64) if labeled is None else rows_of(labeled, pool.images.names,
                                                                           pool.images.path)
        return cls(pool, labeled, rows, read_groups(groups_file) if groups_file else {})

    def group_of(self, name):
        return self.groups.get(plain_path(name), "")


def select(labelling, budget, by=None, clf="Ridge", seed=0):
    """(lowshot.selection.Selection, name of its values: 'typicality' or 'margin') of the tiles to label next.

    by: one of these names; None: margin where labels of two classes are known.
    """
    x, labeled, rows = labelling.pool.features, labelling.labeled, labelling.rows
    if len(x) - len(rows) > LARGEST_POOL:
        logger.info(f"chosen from {LARGEST_POOL:,} of {len(x):,} tiles, sampled at random")
    one_class = labeled is not None and len(labeled.classes) < 2
    if labeled is None or one_class or by == "typicality":
        if one_class and by != "typicality":
            logger.warning(f"{labeled.path}: all labels are {labeled.classes[0]!r}, so no classifier can be fitted; "
                           "chosen are typical tiles unlike those that have a label")
        return select_typical(x, budget, labeled=rows, seed=seed), "typicality"
    fitted = find_classifier(clf).estimator.fit(x[rows], labeled.labels)
    scores = fitted.decision_function if hasattr(fitted, "decision_function") else fitted.predict_proba
    return select_uncertain(x, scores(x), budget, labeled=rows, seed=seed), "margin"


def write_round(labelling, budget, out, *, by=None, clf="Ridge", images=None, classes=(), seed=0, overwrite=False):
    """Choose tiles, write CSV and, where `images` is a folder, the page into the folder `out`. UserError: files that
    are there, without `overwrite`; no chosen image that decodes."""
    there = next((out / name for name in (CSV, PAGE) if (out / name).exists()), None)
    if there and not overwrite:
        raise UserError(f"{there}: is there already; give another --out DIR, or --overwrite to replace it")
    if images is not None and not images.is_dir():
        raise UserError(f"{images}: no such folder of images")
    chosen, measure = select(labelling, budget, by, clf, seed)
    names = [labelling.pool.images.names[row] for row in chosen.rows]
    tiles = None if images is None else _page_tiles(labelling, names, images)
    kept = [place for place in range(len(names)) if tiles is None or tiles[place] is not None]
    write_table(out / CSV, ("path", "label", "group", "row", "cluster_size", measure),
                [(names[i], "", labelling.group_of(names[i]), chosen.rows[i], chosen.clusters[i],
                  f"{chosen.values[i]:.6g}") for i in kept])
    logger.info(f"wrote {len(kept)} tiles to {out / CSV}")
    if tiles is None:
        logger.info(f"no page without --images DIR; fill in the column label of {out / CSV}, or give it")
        return
    earlier = labelling.labeled
    rows = () if earlier is None else list(zip(earlier.names, earlier.labels, earlier.groups, strict=True))
    known = () if earlier is None else earlier.classes
    write_text(out / PAGE, render([tiles[i] for i in kept], classes=list(dict.fromkeys([*classes, *known])),
                                  earlier=rows, title=f"Label {len(kept)} tiles"))
    logger.info(f"wrote {out / PAGE}: open it in a browser, label the tiles, export the CSV")


def _page_tiles(labelling, names, root):
    """PageTile of each name, None for one that does not decode, which is named. UserError where none does."""
    tiles = []
    for name in names:
        try:
            tiles.append(page_tile(name, labelling.group_of(name), root / name))
        except BrokenImage as error:
            logger.warning(f"{error}; left out")
            tiles.append(None)
    if not any(tiles):
        raise UserError(f"{root}: none of the {len(names)} chosen images can be read there, the first is {names[0]!r}; "
                        "check --images")
    return tiles
