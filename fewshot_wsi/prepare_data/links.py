"""Name a folder that lies elsewhere inside a data root, by a symbolic link; the images stay where they are."""

import os
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.temporary import temporary_folder


def link_folder(link, source, *, overwrite=False):
    """Make `link` a symbolic link to the folder `source`; nothing happens where it leads there already.

    The link is relative where `source` lies beside the data set, so that the whole can be moved. UserError: `link` is
    a folder of its own, or leads elsewhere and not `overwrite`.
    """
    link, source = Path(link), Path(source).resolve()
    if link.exists() and link.resolve() == source:
        return
    if link.is_symlink():
        if not overwrite:
            raise UserError(f"{link}: leads to {os.readlink(link)}, not to {source}; give --overwrite or another --out")
    elif link.exists():
        raise UserError(f"{link}: a folder of its own is there; move it away, or name it with --root")
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = source.is_relative_to(link.parent.parent.resolve())
    aim = os.path.relpath(source, link.parent.resolve()) if beside else source
    work = temporary_folder(link)
    os.symlink(aim, work / link.name, target_is_directory=True)
    os.replace(work / link.name, link)  # one move: the old link or the new one
    work.rmdir()
