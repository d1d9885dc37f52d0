"""Tiles from disk, decoded and transformed on threads while the encoder computes."""

import contextlib
import functools
import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from fewshot_wsi.foundation.archived import check_present, sha256_of, stamp_of
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.seeds import generator
from openselfsup.images import BrokenImage, decode_image, read_bytes
from openselfsup.transforms import Pipeline


@dataclass(frozen=True)
class ListedTiles:
    """Images of a list, below `root`, through `pipeline`. Item i: (H, W, 3) uint8.

    rows: which rows of the list, (n,) ints, or None for all. view: number of the random view; its draws are keyed by
    (seed, 'views', row of the list, view), so they do not depend on which other rows and views are made.
    """
    names: tuple
    root: Path
    pipeline: Pipeline
    rows: np.ndarray | None = None
    view: int | None = None
    seed: int = 0
    _hashes: dict = field(default_factory=dict, repr=False, compare=False)

    def __len__(self):
        return len(self.names) if self.rows is None else len(self.rows)

    def row(self, item):
        return item if self.rows is None else int(self.rows[item])

    def path(self, item):
        return Path(self.root, self.names[self.row(item)])

    def __getitem__(self, item):
        data = read_bytes(self.path(item))
        self._hashes[item] = hashlib.sha256(data).hexdigest()
        image = decode_image(data, self.path(item))
        rng = None if self.view is None else generator(self.seed, "views", self.row(item), self.view)
        return self.pipeline(image, rng)[0]

    def hashes_read(self, items):
        """SHA-256 of the files that `items` were read from; each is given once."""
        return [self._hashes.pop(item) for item in items]

    def hashes_now(self, items, workers=16):
        """SHA-256 of the files of `items` as they are now, '' where one cannot be read."""
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(_hash_of, [self.path(item) for item in items]))

    def get(self, item):
        """The image, or the BrokenImage that says why there is none."""
        try:
            return self[item]
        except BrokenImage as error:
            return error


def _hash_of(path):
    """SHA-256 of a file; a file whose size and times stay is read once."""
    try:
        return _hash_once(path, *stamp_of(path))
    except (OSError, UserError):
        return ""


@functools.lru_cache(maxsize=2**20)
def _hash_once(path, *stamp):
    return sha256_of(path)


def check_listed(tiles, list_path):
    """UserError that counts the files of `tiles` that do not exist and names the first few. Reads only folders."""
    names = tiles.names if tiles.rows is None else [tiles.names[row] for row in tiles.rows]
    check_present(list_path, tiles.root, names,
                  "correct the list, or the folder or zip archive that holds them (--root, or root of the protocol's "
                  "set)")


def read_ahead(tiles, slices, workers):
    """Yield (slice, images) for each of `slices` (sequences of items of `tiles`, a ListedTiles) in order.

    images: list of `tiles.get(item)`, an image or a BrokenImage. workers: threads. While a slice is in use the next two
    are read, and more where four images a thread take more slices.
    """
    cv2.setNumThreads(0)  # the threads here are enough
    waiting, slices = deque(), iter(slices)
    with _pool(workers, "read") as pool:
        while True:
            while len(waiting) < 3 or sum(len(images) for _, images in waiting) < 4 * workers:
                part = next(slices, None)
                if part is None:
                    break
                waiting.append((part, [pool.submit(tiles.get, item) for item in part]))
            if not waiting:
                return
            part, images = waiting.popleft()
            yield part, [image.result() for image in images]


def compute_ahead(function, arguments, threads, initializer=None):
    """Yield function(*a) for each a of `arguments`, in order, on `threads` threads; two a thread are under way."""
    waiting = deque()
    with _pool(threads, "compute", initializer) as pool:
        for a in arguments:
            waiting.append(pool.submit(function, *a))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextlib.contextmanager
def _pool(threads, name, initializer=None):
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name, initializer=initializer)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
