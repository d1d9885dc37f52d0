"""Exact and near duplicates among many images, in memory and time that grow with their number, not its square.

Near: one image is the other, flipped or turned by quarters, re-encoded, resized or slightly changed. Candidates share
16 of the 64 bits of a cosine-transform hash, one of its four quarters, in any of eight orientations; so every pair that
differs in at most three bits is a candidate. A candidate counts when the grey thumbnails, turned alike, correlate by
CONFIRM or more. Tiles too uniform to compare (blank background) are left out: their low frequencies are noise.
"""

import math

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

CONFIRM = 0.97   # correlation of 16 × 16 grey thumbnails
REACH = 64       # within a bucket of equal bits each image is compared with so many that follow it
BLOCK = 1 << 18  # candidate pairs confirmed at once


def exact_groups(digests):
    """(N,) int64: equal numbers for equal content. digests: (N, 32) uint8, SHA-256 of the files."""
    numbers = {}
    return np.array([numbers.setdefault(digest.tobytes(), len(numbers)) for digest in digests], dtype=np.int64)


def near_groups(hashes, thumbs, usable):
    """(N,) int64: equal numbers for near duplicates, by chains of confirmed pairs. Each image is near itself.

    hashes: (N, 8) uint8, thumbs: (N, s, s) uint8, usable: (N,) bool, False for images that are compared with none."""
    rows = np.flatnonzero(usable)
    left, right = confirmed_pairs(hashes[rows], thumbs[rows])
    graph = coo_array((np.ones(left.size, bool), (rows[left], rows[right])), shape=(len(usable), len(usable)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def confirmed_pairs(hashes, thumbs):
    """Indices (left, right) of the pairs that are near duplicates."""
    plain = _normalised(thumbs)
    found = [np.empty((0, 2), np.int64)]
    for orientation in range(8):
        image = _normalised(turned(thumbs, orientation))
        pairs = _candidates(hashes, turned_hashes(hashes, orientation))
        for start in range(0, len(pairs), BLOCK):
            block = pairs[start:start + BLOCK]
            found.append(block[_correlation(plain, image, block) >= CONFIRM])
    pairs = np.concatenate(found)
    return pairs[:, 0], pairs[:, 1]


def _correlation(plain, image, pairs):
    answer = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), 8192):  # bounds the copies of thumbnails
        part = pairs[start:start + 8192]
        answer[start:start + 8192] = np.einsum("ij,ij->i", plain[part[:, 0]], image[part[:, 1]])
    return answer


def turned(images, orientation):
    """images (N, s, s) in orientation 0 … 7: bit 2 transposes, then bit 1 flips rows, bit 0 columns."""
    images = images.transpose(0, 2, 1) if orientation & 4 else images
    images = images[:, ::-1] if orientation & 2 else images
    return images[:, :, ::-1] if orientation & 1 else images


def turned_hashes(hashes, orientation):
    """Hashes (N, 8) uint8 of `turned(images, orientation)`: transposed bits; odd frequencies change their sign."""
    bits = np.unpackbits(hashes, axis=1).reshape(-1, 8, 8).astype(bool)
    bits = bits.transpose(0, 2, 1) if orientation & 4 else bits
    odd = np.arange(8) % 2 == 1
    change = np.zeros((8, 8), bool)
    change ^= odd[:, None] if orientation & 2 else False
    change ^= odd[None, :] if orientation & 1 else False
    return np.packbits((bits ^ change).reshape(-1, 64), axis=1)


def _candidates(hashes, other):
    """(P, 2) pairs i != j where a row of 16 bits of hashes[i] equals that of other[j]."""
    count, pairs = len(hashes), []
    for band in range(4):
        # 2i is image i as it is, 2i + 1 turned: neighbours in a bucket, however large it is
        keys = np.stack([_band(hashes, band), _band(other, band)], axis=1).ravel()
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        for step in range(1, min(REACH, 2 * count - 1) + 1):
            same = np.flatnonzero(ordered[step:] == ordered[:-step])
            if not same.size:
                break
            one, two = order[same], order[same + step]
            swap = one % 2 == 1
            plain, image = np.where(swap, two, one), np.where(swap, one, two)
            keep = (plain % 2 == 0) & (image % 2 == 1) & (plain // 2 != image // 2)
            pairs.append(np.unique(np.stack([plain[keep] // 2, image[keep] // 2], 1), axis=0))
    if not pairs:
        return np.empty((0, 2), np.int64)
    return np.unique(np.concatenate(pairs), axis=0)


def _band(hashes, band):
    pair = hashes[:, 2 * band:2 * band + 2].astype(np.uint16)
    return pair[:, 0] << 8 | pair[:, 1]


def _normalised(images):
    """(N, s²) float32 of mean 0 and length 1."""
    flat = images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
