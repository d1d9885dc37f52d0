"""What is to be named: a folder of tiles, a list or CSV of tiles, or a features file."""

from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_images
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.foundation.tables import read_table
from fewshot_wsi.predict.encoding import TileRows
from fewshot_wsi.predict.stored import StoredRows


def read_queries(path, choice, root=None, list_file=None):
    """TileRows or StoredRows of `path`. choice: EncoderChoice for tiles. root: folder that paths of a list start from
    (default: the list's). list_file: names of the rows of a features file."""
    path = Path(path)
    if path.suffix == ".npy":
        if root:
            raise UserError(f"--query_root belongs to tiles; {path} holds features, their list is --query_list")
        return StoredRows(path, list_file)
    if list_file:
        raise UserError(f"--query_list belongs to features (.npy); {path} names tiles")
    if path.is_dir():
        names, root = find_images(path), path
    elif path.suffix.lower() == ".csv":
        rows = read_table(path, ("path",), ("path",))
        names, root = [row["path"] for _, row in rows], root or path.parent
        if not all(names):
            raise UserError(f"{path}: no tile below the first line, or a line without path")
    else:
        names, root = read_list(path).names, root or path.parent
    if not names:
        raise UserError(f"{path}: names no tile")
    if not choice.named:
        raise UserError(f"{path}: tiles need the encoder that turns them into features; name it with --encoder and "
                        "--pretrained, or --protocol and --model")
    return TileRows(names, root, choice, path)
