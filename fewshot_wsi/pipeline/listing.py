"""Lists of the images in class folders: the data stage of protocols that have no lists of their own."""

from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.archived import check_present
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_images
from fewshot_wsi.foundation.lists import check_labels, groups_of, read_groups, read_list, write_list


def list_folder(root, classes):
    """Images below `root` and their labels: the class is the nearest folder named as a class, or, where no folder above
    an image is, the nearest one named as the number of a class.

    Returns (names relative to root, labels (N,) int64), ordered by label and name. UserError where the folder or a
    class is missing."""
    named = {name: label for label, name in enumerate(classes)}
    numbered = {str(label): label for label in range(len(classes))}
    rows = []
    for path in find_images(root):
        parts = path.split("/")[:-1]
        label = next((known[part] for known in (named, numbered) for part in reversed(parts) if part in known), None)
        if label is not None:
            rows.append((label, path))
    for label, name in enumerate(classes):
        if not any(row[0] == label for row in rows):
            raise UserError(f"{root}: no images of class {name!r}; they lie in folders named {name!r}, or '{label}' "
                            "where no folder is named as a class")
    rows.sort()
    return [name for _, name in rows], np.array([label for label, _ in rows], dtype=np.int64)


def write_if_other(path, names, labels):
    """Write the list unless an equal one exists."""
    if Path(path).is_file():
        old = read_list(path, labeled=True)
        if old.names == tuple(names) and np.array_equal(old.labels, labels):
            return
    write_list(path, names, labels)


def write_without_classes(path, novel, target):
    """Write the labelled list `path` without the classes `novel` as `target`."""
    whole = read_list(path, labeled=True)
    keep = ~np.isin(whole.labels, novel)
    write_if_other(target, [name for name, kept in zip(whole.names, keep, strict=True) if kept], whole.labels[keep])


def check_set(image_set, num_classes):
    """UserError unless the list, every image on it and the group table exist."""
    images = read_list(image_set.list, labeled=True)
    check_labels(images.labels, num_classes, image_set.list)
    check_present(image_set.list, image_set.root, images.names, "correct the list or the set's root")
    if image_set.groups:
        groups_of(images.names, read_groups(image_set.groups), image_set.groups)
    return images
