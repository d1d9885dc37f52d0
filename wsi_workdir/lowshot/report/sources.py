"""What lies behind the rows of a result: image names, groups and slides, training lists, image files.

Nothing here is needed for a report; all of it makes one better. A list that is not on this machine leaves its
images nameless, and the report says so.
"""

from pathlib import Path

import numpy as np

from lowshot.errors import UserError
from lowshot.intervals import build_units
from lowshot.lists import read_groups, read_list


class Sources:
    """Lists, group tables and image folders, each read once.

    protocol: `lowshot.protocol.Protocol` or None; it adds roots of images, slides and pre-training lists.
    tiles: further folders that images may lie below.
    """

    def __init__(self, protocol=None, tiles=()):
        self.protocol = protocol
        self.tiles = [Path(folder) for folder in tiles]
        self.notices = []
        self._read = {}

    def _once(self, reader, path):
        """What `reader(path)` gives, or None with one notice where the file cannot be read."""
        if path is None:
            return None
        if (reader, path) not in self._read:
            try:
                self._read[reader, path] = reader(path)
            except UserError as error:
                self.notices.append(f"{error}")
                self._read[reader, path] = None
        return self._read[reader, path]

    def names(self, sets, side):
        """Paths of the images of `side` ('support' or 'query'), in row order, or None. sets: Result.sets."""
        return self._once(_list_names, sets.get(f"{side}_list"))

    def _set(self, name):
        return self.protocol.sets.get(name) if self.protocol else None

    def owners(self, sets, side):
        """(name of the unit, a key for each row: equal keys are the same unit), or None where only rows are known."""
        names = self.names(sets, side)
        known = self._set(sets[side])
        table = self._once(read_groups, sets.get(f"{side}_groups") or (known and known.groups))
        if names is None:
            return None
        if table is not None:
            return "group", [table.get(name) or (name,) for name in names]
        slide = sets.get(f"{side}_slide", known and known.slide)
        if slide is not None:
            return "slide", [name.split("/")[slide] for name in names]
        return None

    def units(self, result):
        """`intervals.Units` of a result's tasks: groups or slides where known, single images otherwise."""
        sides = {}
        for side, rows in (("support", result.supports), ("query", result.queries)):
            owners = self.owners(result.sets, side)
            if owners is None or rows.max() >= len(owners[1]):
                owners = "image", [(result.sets[side], row) for row in range(int(rows.max()) + 1)]
            sides[side] = owners
        numbers = {}
        support, query = (np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)[rows]
                          for (_, keys), rows in ((sides["support"], result.supports),
                                                  (sides["query"], result.queries)))
        kinds = [sides[side][0] for side in ("support", "query")]
        name = next((kind for kind in kinds if kind != "image"), "image")
        return build_units(support, query, support_labels(result), result.query_labels, name)

    def training_names(self, model):
        """(names, root) of the images that a model was pre-trained on, or None where that is not known here."""
        entry = self.protocol.models.get(model) if self.protocol else None
        if entry is None or entry.config is None:
            return None
        return self._once(_training_list, _Options(entry.config, entry.options))

    def image_file(self, set_name, name):
        """The file of an image, or None where it is on none of the known folders."""
        known = self._set(set_name)
        roots = ([Path(known.root)] if known else []) + self.tiles
        return next((path for path in (root / name for root in roots) if path.is_file()), None)

    def root(self, set_name):
        known = self._set(set_name)
        return known and known.root


class _Options(str):
    """Path of a config that carries the options it is used with."""

    def __new__(cls, path, options):
        self = super().__new__(cls, path)
        self.options = dict(options)
        return self


def _list_names(path):
    return read_list(path).names


def _training_list(config):
    from mmengine.config import Config  # here, not above: it imports torch

    try:
        loaded = Config.fromfile(str(config))
    except Exception as error:  # the file is a program: whatever it raises is for its author
        raise UserError(f"{config}: not a readable training config ({type(error).__name__}: {error})") from None
    loaded.merge_from_dict(config.options)
    source = loaded.get("data", {}).get("train", {}).get("data_source")
    if not source or "list_file" not in source:
        raise UserError(f"{config}: names no training list (data.train.data_source.list_file)")
    return set(read_list(source["list_file"]).names), source.get("root")


def support_labels(result):
    """(n,) labels of a task's supports: classes in ascending order, equally many each."""
    ways = len(result.classes)
    return np.repeat(np.arange(ways), result.supports.shape[1] // ways)
