"""Which row of which file belongs to which tile of a list: by slide and coordinates, by name, never by guess."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.tables import plain_path

SUFFIXES = frozenset((".h5", ".hdf5", ".pt", ".pth", ".npy", ".npz", ".zarr", ".parquet", ".csv", ".svs", ".ndpi",
                      ".tif", ".tiff", ".ome", ".scn", ".mrxs", ".vms", ".vmu", ".bif", ".czi", ".dcm", ".qptiff",
                      ".isyntax", ".png", ".jpg", ".jpeg", ".webp", ".bmp"))


@dataclass(frozen=True)
class Match:
    """targets: for each table (rows,) int64, the tile of the list or -1. how: the rule, in words. extra: names of
    rows that are on no list; missing: (k,) tiles without a row."""
    targets: list
    how: str
    extra: list
    missing: np.ndarray


def match(tables, wanted, *, slide=None, unit=None, mpp=None, by_order=False) -> Match:
    """Match of [FeatureTable] with a LabelList.

    slide: name of the slide of the only table. unit: of coordinates whose file does not say it. mpp: microns per pixel
    of level 0, for coordinates in microns. by_order: row i is tile i, allowed where nothing else identifies rows.
    UserError: names or coordinates that lead nowhere, or in two ways.
    """
    if by_order:
        return _by_order(tables, wanted)
    if wanted.coords is not None and all(table.coords is not None for table in tables):
        keys, how = _places(tables, wanted, slide, unit, mpp), "slide and coordinates"
        return _matched(keys, list(zip(_slides_of_list(wanted), *wanted.coords.T.tolist(), strict=True)), how)
    if wanted.coords is None:
        keys = [_names(table) for table in tables]
        return _by_name(keys, wanted) if None not in keys else _no_names(tables[keys.index(None)], wanted)
    table = next(table for table in tables if table.coords is None)
    raise UserError(f"{table.path}: holds no coordinates, and {wanted.path} names tiles by slide, x and y; name the "
                    "files with coordinates (CLAM: h5_files), or give --match order if row i is line i of the list")


def slide_key(name: str) -> str:
    """A slide's name as it is compared: without folders and without endings of slide and feature files."""
    path = PurePosixPath(plain_path(name))
    while path.suffix.lower() in SUFFIXES and path.stem:
        path = path.with_suffix("")
    return path.name


def _by_order(tables, wanted):
    named = next((table for table in tables if table.names is not None or table.coords is not None), None)
    if named:
        raise UserError(f"{named.path}: --match order, but its rows have "
                        f"{'names' if named.names is not None else 'coordinates'}; leave --match out, they are matched")
    if len(tables) != 1 or tables[0].rows != len(wanted):
        have = " + ".join(str(table.rows) for table in tables[:5])
        raise UserError(f"--match order: {have} rows in {len(tables)} files, but {len(wanted)} tiles in {wanted.path}; "
                        "it needs one file with one row a tile")
    return Match([np.arange(len(wanted))], "the order of the list", [], np.empty(0, dtype=np.int64))


def _places(tables, wanted, slide, unit, mpp):
    """[keys of each table's rows]: (slide, x, y)."""
    known, keys, files = set(_slides_of_list(wanted)), [], {}
    if slide is not None and len(tables) > 1:
        raise UserError(f"--slide {slide}: names the slide of one file, but there are {len(tables)} slides")
    for table in tables:
        table = replace(table, slides=None, slide=(slide,)) if slide is not None else table
        pixels = _pixels(table, unit, mpp)
        if table.slides is not None:
            slides = [slide_key(one) for one in table.slides]
        else:
            own = _own_slide(table, known)
            if own in files and table.rows:
                raise UserError(f"{table.path} and {files[own]} both hold slide {own}; name the files of one of them")
            files[own] = table.path
            slides = [own] * table.rows
        keys.append(list(zip(slides, *pixels.T.tolist(), strict=True)))
    return keys


def _own_slide(table, known):
    """Of the names that a table's slide may have the one on the list; its first where none is."""
    names = list(dict.fromkeys(map(slide_key, table.slide)))
    there = [name for name in names if name in known]
    if len(there) > 1:
        raise UserError(f"{table.path}: is it slide {there[0]}, as written inside, or {there[1]}, as its name says? "
                        "The list has both; rename the file")
    return there[0] if there else names[0]


def _pixels(table, unit, mpp):
    """(N, 2) int64 level-0 pixels."""
    stated = table.unit or unit
    if stated is None:
        raise UserError(f"{table.path}: does not say the unit of its coordinates; give --unit px or --unit um")
    if stated == "px":
        pixels = table.coords
    elif mpp is None:
        raise UserError(f"{table.path}: coordinates in microns; give the slides' microns per pixel at level 0, as "
                        "--mpp 0.25")
    else:
        pixels = table.coords / mpp
    if not np.isfinite(pixels).all() or np.abs(pixels).max(initial=0) > 2**40:
        raise UserError(f"{table.path}: coordinates that are no places on a slide")
    whole = np.rint(pixels)
    if stated == "px" and not np.array_equal(whole, pixels):
        raise UserError(f"{table.path}: coordinates in pixels that are no whole numbers; are they microns (--unit um)?")
    return whole.astype(np.int64)


def _slides_of_list(wanted):
    keys = {slide: slide_key(slide) for slide in dict.fromkeys(wanted.slides)}
    twice = [slide for slide, count in Counter(keys.values()).items() if count > 1]
    if twice:
        names = [slide for slide, key in keys.items() if key == twice[0]]
        raise UserError(f"{wanted.path}: {' and '.join(map(repr, names))} are one without folder and ending")
    return [keys[slide] for slide in wanted.slides]


def _names(table):
    """Names of a table's rows; a file of one row is named by its file. None: no names."""
    if table.names is not None:
        return [plain_path(name) for name in table.names]
    return [table.slide[-1]] * table.rows if table.rows <= 1 else None


def _no_names(table, wanted):
    hint = "and x and y to the list" if table.coords is not None else "or give --match order if row i is line i of it"
    has = "coordinates" if table.coords is not None else "neither names nor coordinates"
    raise UserError(f"{table.path}: its {table.rows} rows have {has}, and {wanted.path} names tiles by path; add names "
                    f"to the features, {hint}")


def _by_name(keys, wanted):
    """By whole names; where none agrees, by names without folder and ending, if these are unique."""
    listed = [plain_path(name) for name in wanted.names]
    if set(listed) & {name for names in keys for name in names}:
        return _matched(keys, listed, "name")
    short = list(map(slide_key, listed))
    if len(set(short)) == len(short):
        found = [[slide_key(name) for name in names] for names in keys]
        return _matched(found, short, "name without folder and ending")
    return _matched(keys, listed, "name")


def _matched(keys, listed, how):
    place = {key: number for number, key in enumerate(listed)}
    targets = [np.array([place.get(key, -1) for key in of_table], dtype=np.int64) for of_table in keys]
    found = np.zeros(len(listed), dtype=bool)
    for rows in targets:
        found[rows[rows >= 0]] = True
    extra = [key for of_table, rows in zip(keys, targets, strict=True)
             for key, row in zip(of_table, rows.tolist(), strict=True) if row < 0]
    return Match(targets, how, extra, np.flatnonzero(~found))
