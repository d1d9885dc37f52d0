"""Tables of copies: which images of a list have the content, or nearly the content, of others under another name."""

import numpy as np


def copies_of(checked, measured):
    """[(path, group)] of the images of a CheckedList that have copies among all measured images, in the list's order.

    A table without rows says that there are no copies.
    Images of one group are copies of each other, in whatever list they are; the group is named by its contents.
    """
    sizes = np.bincount(measured.near)
    members = {}
    for row in np.flatnonzero((sizes[measured.near] > 1) & measured.usable):
        members.setdefault(measured.near[row], []).append(measured.records["sha256"][row].tobytes().hex())
    names = {number: f"copy-{min(digests)[:12]}" for number, digests in members.items()}
    rows = zip(checked.images.names, measured.near[checked.rows].tolist(), strict=True)
    return list(dict.fromkeys((name, names[number]) for name, number in rows if number in names))
