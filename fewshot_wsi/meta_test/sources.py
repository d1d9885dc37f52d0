"""What lies behind the rows of a result: image names, groups and slides, training lists, image files.

Nothing here is needed for a report; all of it completes one. A list that is not on this machine, or no longer the
one that was scored, leaves its images nameless, and the report says so.
"""

import os
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.archived import is_file
from fewshot_wsi.foundation.errors import UserError, explain, one_line
from fewshot_wsi.foundation.lists import OWNERS, read_groups, read_list, read_owners, slides_of
from fewshot_wsi.foundation.python_config import read_python_config
from fewshot_wsi.foundation.tables import plain_path
from lowshot.influence import FEWEST_UNITS, GROUPED, build_units

SIDES = ("support", "query")
COPY = "copy"  # images that are copies of each other, by a table of tools/check_data.py


class Sources:
    """Lists, group tables and image folders, each read once.

    protocol: `fewshot_wsi.meta_test.protocol.Protocol` or None; it adds roots of images, slides and pre-training lists.
    tiles: further folders that images may lie below.
    """

    def __init__(self, protocol=None, tiles=()):
        self.protocol = protocol
        self.tiles = [Path(folder) for folder in tiles]
        self.notices = []
        self._made = {}

    def _notice(self, text):
        if text not in self.notices:
            self.notices.append(text)

    def _once(self, key, make):
        """What `make()` gives, made once for each key; None, with a notice, where that is a UserError."""
        if key not in self._made:
            try:
                self._made[key] = make()
            except UserError as error:
                self._notice(f"{error}")
                self._made[key] = None
            except OSError as error:  # a path of a result from elsewhere that this machine does not let anyone read
                self._notice(explain(error) or one_line(error))
                self._made[key] = None
        return self._made[key]

    def _list(self, path):
        return None if path is None else self._once(("list", path), lambda: read_list(path))

    def _files(self, path, root):
        """Files of the images of a list, in row order: comparable between lists and roots."""
        folder = os.path.realpath(root)
        return self._once(("files", path, folder), lambda: [f"{folder}/{name}" for name in self._list(path).names])

    def _set(self, name):
        return self.protocol.sets.get(name) if self.protocol else None

    def root(self, set_name):
        """Folder that the paths of a set are relative to; None without a protocol that knows the set."""
        known = self._set(set_name)
        return known and known.root

    def size(self, sets, side):
        """Number of images on the list of `side` ('support' or 'query'), or None. sets: Result.sets."""
        listed = self._list(sets.get(f"{side}_list"))
        return None if listed is None else len(listed)

    def names(self, result, side):
        """Paths of the images of `side`, in row order; None where the list is not here, or not as it was scored."""
        path = result.sets.get(f"{side}_list")
        listed = self._list(path)
        if listed is None:
            return None
        rows, labels = sampled_rows(result, side)
        if rows.max() >= len(listed) or (listed.labels is not None and (listed.labels[rows] != labels).any()):
            self._notice(f"{path}: no longer the list that results were made from (rows are missing, or of other "
                         "classes); the images of those results are not known")
            return None
        return listed.names

    def keys(self, result, side, unit):
        """Key of each row of `side`, equal where the `unit` (image, COPY, of OWNERS) is alike; None where unknown."""
        if self.names(result, side) is None:
            return None
        path, name = result.sets[f"{side}_list"], result.sets[side]
        if unit == "image":
            return None if self.root(name) is None else self._files(path, self.root(name))
        if unit == COPY:
            table = result.sets.get(f"{side}_copies") or getattr(self._set(name), "copies", None)
            return None if table is None else self._copies(path, (table,), self.root(name) or name)
        return self._owners(path, unit, *self._rule(result.sets, side))

    def numbers(self, result, unit):
        """[numbers of the support rows, of the query rows], int64, equal where the `unit` is; None where unknown."""
        if unit == "image" and result.sets["support"] == result.sets["query"]:
            rows = np.arange(max(sampled_rows(result, side)[0].max() for side in SIDES) + 1)
            return [rows, rows]
        keys = [self.keys(result, side, unit) for side in SIDES]
        if None in keys:
            return None
        return self._once(("numbers", unit, *sorted(result.sets.items())), lambda: _numbered(keys))

    def _rule(self, sets, side):
        """(group tables, slide component) of a set: what its result says, else what the protocol says."""
        known = self._set(sets[side])
        table, slide = sets.get(f"{side}_groups"), sets.get(f"{side}_slide")
        table, slide = (value if value is not None else getattr(known, name, None)
                        for name, value in (("groups", table), ("slide", slide)))
        return () if table is None else (table,), slide

    def _copies(self, path, tables, root):
        """Key of each image of a list: its group of copies, or the image itself, below `root`."""
        def make():
            read, folder = [self._table(table) for table in tables], os.path.realpath(root)
            if None in read:
                return None
            groups = {image: group for table in read for image, group in table.items()}
            return [groups.get(plain_path(name)) or (folder, name) for name in self._list(path).names]
        return self._once(("copies", path, tables, root), make)

    def _table(self, table):
        """dict from path to group of a table of copies; None, with a notice, where it cannot be read."""
        return self._once(("groups", table), lambda: read_groups(table))

    def _table_of_owners(self, table):
        """{kind of OWNERS: {path: name}} of a group table; None, with a notice, where it cannot be read."""
        def make():
            owners, notices = read_owners(table)
            for notice in notices:
                self._notice(notice)
            return owners
        return self._once(("table of owners", table), make)

    def _owners(self, path, kind, tables, slide):
        """Key of the owner (`kind` of OWNERS) of each image of a list; slides may be a component of its path."""
        def make():
            found = self._named_owners(path, kind, tables)
            if found is None and kind == "slide" and slide is not None:
                return slides_of(self._list(path).names, slide, path).tolist()
            return found
        return self._once(("owners", path, kind, tables, slide), make)

    def _named_owners(self, path, kind, tables):
        """Owner of each image of a list; an image without one is alone. None where none has one."""
        names, owners = self._list(path).names, {}
        read = [found[kind] for found in map(self._table_of_owners, tables) if found and kind in found]
        for found in read:
            owners |= found
        keys = [owners.get(plain_path(name)) or (name,) for name in names]
        alone = sum(isinstance(key, tuple) for key in keys)
        if read and alone:
            self._notice(f"{', '.join(tables)}: {alone} of {len(names)} images of {path} have no {kind} there; " + (
                f"each counts as a {kind} of its own" if alone < len(names) else f"{kind}s are left out"))
        return keys if alone < len(names) else None

    def known_owners(self, result):
        """Kinds of OWNERS that both sets of a result know, fewest first: a `group` may be a part of a slide."""
        known = [kind for kind in OWNERS if all(self.keys(result, side, kind) is not None for side in SIDES)]
        return sorted(known, key=lambda kind: len(np.unique(np.concatenate(self.numbers(result, kind)))))

    def unit(self, result):
        """What the open interval of a result samples anew: the outermost kind of OWNERS that both sets know and of
        which every class has `influence.FEWEST_UNITS` among the tasks, else the outermost one known; 'image' where
        there is none, with a notice where one set alone knows some."""
        known = self.known_owners(result)
        if not known and any(self.keys(result, side, kind) is not None for side in SIDES for kind in OWNERS):
            self._notice(f"{result.config['task']}: no kind of group is known for both its support and its query set, "
                         "so intervals and leakage go by single images")
        enough = (kind for kind in known if self.units(result, kind).count >= FEWEST_UNITS)
        return next(enough, known[0] if known else "image")

    def not_covered(self, result):
        """[(kind, units of the class with fewest)] of the owners outside of `unit`, outermost first: an open interval
        says nothing about new ones of these."""
        known = self.known_owners(result)
        unit = self.unit(result)
        outside = known[:known.index(unit)] if unit in known else []
        return [(kind, self.units(result, kind).count) for kind in outside]

    def units(self, result, unit=None):
        """`influence.Units` of a result's tasks. unit: 'image' or of OWNERS; by default `self.unit(result)`."""
        unit = unit or self.unit(result)
        support, query = result.supports, result.queries
        numbers = self.numbers(result, unit)
        if numbers is None:  # images of two sets, held for different ones
            query = query.astype(np.int64) + support.max() + 1
        else:
            support, query = numbers[0][support], numbers[1][query]
        unknown = GROUPED if result.config["sampling"] == "grouped" else ""
        return build_units(support, query, support_labels(result), result.query_labels, unit, result.queries, unknown)

    def training(self, model):
        """(list, root) of the images that a model was pre-trained on, or None where they are not known here."""
        entry = self.protocol.models.get(model) if self.protocol else None
        if entry is None or entry.config is None:
            return None
        source = self._once(("training", model), lambda: _training_source(entry.config, entry.options))
        return source if source and self._list(source[0]) else None

    def seen(self, result, unit):
        """(N,) bool: which images of the query set are themselves among those that the model was pre-trained on, or
        (`unit` of OWNERS) share their patient, group or slide with one. None where that is unknown.

        Groups and slides are for training images below the root of the query set: there paths are of one form.
        """
        asked = self.keys(result, "query", unit)
        path, root = self.training(result.config["model"])
        if unit == "image":
            trained = self._files(path, root)
        elif unit == COPY:
            tables = tuple(known.copies for known in self.protocol.sets.values()
                           if known.copies and same_folder(known.root, root))
            trained = self._copies(path, tables, root) if tables else None
        else:
            tables, slide = self._rule(result.sets, "query")
            beside = (known.groups for known in self.protocol.sets.values() if same_folder(known.root, root))
            trained = self._owners(path, unit, tuple(dict.fromkeys((*tables, *filter(None, beside)))), slide)
        if asked is None or trained is None:
            return None
        return self._once(("seen", unit, result.config["model"], *sorted(result.sets.items())),
                          lambda: np.fromiter(map(set(trained).__contains__, asked), bool, len(asked)))

    def image_file(self, set_name, name):
        """The file of an image, or None where it is on none of the known folders."""
        known = self._set(set_name)
        roots = ([Path(known.root)] if known else []) + self.tiles
        return next((path for path in (root / name for root in roots) if is_file(path)), None)


def same_folder(a, b):
    return os.path.realpath(a) == os.path.realpath(b)


def _numbered(keys):
    """An int64 array for each of several sequences of keys, equal where the keys are."""
    numbers = {}
    return [np.array([numbers.setdefault(key, len(numbers)) for key in of_side], dtype=np.int64) for of_side in keys]


def _training_source(path, options):
    loaded = read_python_config(path, "training config", options)
    source = loaded.get("data", {}).get("train", {}).get("data_source") or {}
    if not {"list_file", "root"} <= set(source):
        raise UserError(f"{path}: names no training images (data.train.data_source.list_file and root)")
    return source["list_file"], source["root"]


def sampled_rows(result, side):
    """(rows (T, n) of the set of `side`, labels (n,)) of a result's tasks."""
    return (result.supports, support_labels(result)) if side == "support" else (result.queries, result.query_labels)


def support_labels(result):
    """(n,) labels of a task's supports: classes in ascending order, equally many each."""
    ways = len(result.classes)
    return np.repeat(np.arange(ways), result.supports.shape[1] // ways)
