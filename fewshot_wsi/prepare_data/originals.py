"""Which tiles are augmented copies of one original: near in appearance, proved by keypoints, linked until connected."""

from dataclasses import dataclass

import cv2
import numpy as np
from joblib import Parallel, delayed
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.prepare_data import appearance, keypoints
from fewshot_wsi.prepare_data.keypoints import Keypoints, agreement
from openselfsup.images import BrokenImage, read_image

PROOF = 8                       # keypoints on one map that prove common tissue: copies reach 15 and more, strangers 4
NEIGHBOURS = (5, 10, 20, 40, 80)  # nearest tiles in appearance that are tried, round by round
TRIES = 4                       # pairs tried per round between the same two clusters


@dataclass(frozen=True)
class OriginalTiles:
    """What is kept of N tiles: (N, F) float32 appearance and their keypoints."""
    appearance: np.ndarray
    keys: Keypoints


def find_originals(paths, *, workers, quiet=False, desc="tiles"):
    """(N,) int64 numbers, equal for copies of one original, counted by first appearance.

    paths: N image files, of one class. The answer is the same for any number of workers. Memory: about 45 kB a tile.
    UserError if an image cannot be read."""
    tiles = _describe(paths, workers, quiet, desc)
    candidates = _neighbours(tiles.appearance)
    component, links, tried = np.arange(len(paths)), [], set()
    for count in (*NEIGHBOURS, *_until_nothing_new(links)):
        pairs = _untried(candidates[:, :count], component, tried)
        if not pairs:
            continue
        tried.update(pairs)
        proved = _prove(tiles.keys, pairs, workers, quiet, f"{desc}, {count} nearest")
        links += proved
        component = _components(len(paths), links)
    return _by_first_appearance(component)


def _until_nothing_new(links):
    """The widest round again, while the last one linked something."""
    before = -1
    while len(links) > before:
        before = len(links)
        yield NEIGHBOURS[-1]


def _describe(paths, workers, quiet, desc):
    parts = Parallel(n_jobs=workers, return_as="generator")(delayed(_describe_one)(path) for path in paths)
    looks, keys = [], _empty_keys(len(paths))
    faults = []
    for row, part in enumerate(bar(parts, desc=f"{desc}, keypoints", total=len(paths), unit="tiles", quiet=quiet)):
        if isinstance(part, str):
            faults.append(part)
            continue
        look, points, descriptors = part
        looks.append(look)
        keys.counts[row] = len(points)
        keys.points[row, :len(points)], keys.descriptors[row, :len(points)] = points, descriptors
    if faults:
        raise UserError(f"{len(faults)} of {len(paths)} images cannot be read, the first is {faults[0]}; "
                        "download or unpack again, or remove them")
    return OriginalTiles(np.array(looks), keys)


def _empty_keys(count):
    size = (count, keypoints.KEYPOINTS)
    return Keypoints(np.zeros((*size, 2), np.float32), np.zeros((*size, 128), np.uint8), np.zeros(count, np.int32))


def _describe_one(path):
    """(appearance, points, descriptors) of one file, or what is wrong with it."""
    cv2.setNumThreads(1)
    try:
        pixels = read_image(path)
    except BrokenImage as error:
        return str(error)
    side = (keypoints.SIDE, keypoints.SIDE)
    pixels = cv2.resize(pixels, side, interpolation=cv2.INTER_AREA)
    small = cv2.resize(pixels, (appearance.SIDE, appearance.SIDE), interpolation=cv2.INTER_AREA)
    points, descriptors = keypoints.detect(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    return appearance.appearance(small), points, descriptors


def _neighbours(looks):
    """(N, k) rows of the nearest other tiles, nearest first, each measure scaled to its spread within the class."""
    scaled = (looks - looks.mean(axis=0)) / np.maximum(looks.std(axis=0), 1e-6)
    count = min(NEIGHBOURS[-1], len(looks) - 1)
    if count < 1:
        return np.empty((len(looks), 0), dtype=int)
    return NearestNeighbors(n_neighbors=count, algorithm="brute").fit(scaled).kneighbors(return_distance=False)


def _untried(candidates, component, tried):
    """Pairs (i < j), nearest first, not tried yet, of different clusters; at most TRIES for the same two clusters."""
    pairs, used = [], {}
    for rank in range(candidates.shape[1]):
        for tile, other in enumerate(candidates[:, rank].tolist()):
            pair = (tile, other) if tile < other else (other, tile)
            clusters = tuple(sorted((component[tile], component[other])))
            if clusters[0] == clusters[1] or pair in tried or used.get(clusters, 0) >= TRIES:
                continue
            used.setdefault(clusters, 0)
            used[clusters] += 1
            pairs.append(pair)
    return list(dict.fromkeys(pairs))


def _prove(keys, pairs, workers, quiet, desc):
    """Those of `pairs` that show common tissue."""
    others = {}
    for tile, other in pairs:
        others.setdefault(tile, []).append(other)
    jobs = (delayed(agreement)(keys, tile, rows) for tile, rows in others.items())
    counts = Parallel(n_jobs=workers, return_as="generator", batch_size="auto")(jobs)
    proved = []
    with bar(desc=desc, total=len(pairs), unit="pairs", quiet=quiet) as progress:
        for (tile, rows), agreeing in zip(others.items(), counts, strict=True):
            proved += [(tile, row) for row, count in zip(rows, agreeing, strict=True) if count >= PROOF]
            progress.update(len(rows))
    return proved


def _components(count, links):
    if not links:
        return np.arange(count)
    left, right = np.array(links).T
    graph = coo_array((np.ones(len(links)), (left, right)), shape=(count, count))
    return connected_components(graph, directed=False)[1]


def _by_first_appearance(component):
    numbers = {}
    return np.array([numbers.setdefault(c, len(numbers)) for c in component.tolist()], dtype=np.int64)
