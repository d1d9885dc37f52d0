"""Are two tiles the same tissue, turned, flipped and cropped about its centre? SIFT keypoints and one linear map.

An augmented copy shows the original through x' = A x, x counted from the centre, A a 2×2 matrix: flip, rotation, and
the zoom, not the same in both directions, that cropping and resizing to a square bring. Two correspondences fix A;
tissue that only looks alike has no A under which a dozen keypoints agree.
"""

from dataclasses import dataclass

import cv2
import numpy as np

SIDE = 224          # pixels, the size at which keypoints are found
KEYPOINTS = 300     # strongest kept per tile
RATIO = 0.85        # best match accepted when nearer than RATIO times the second best
TOLERANCE = 4.0     # pixels between a mapped keypoint and its match, while a map is sought
EXACT = 2.0         # the same once the map is refined; true copies lie within 0.5 in the mean
SHIFT = 3.0         # pixels that the refined map may move the centre; photographs that merely overlap move it by dozens
SEEDS = 24          # surest matches, every two of which propose a map
ZOOM = (0.45, 2.2)  # range of A's singular values: two copies, each zoomed up to 1.5-fold, with a margin
CHUNK = 16          # candidates matched in one matrix product


@dataclass(frozen=True)
class Keypoints:
    """Of N tiles, padded to KEYPOINTS a tile."""
    points: np.ndarray       # (N, KEYPOINTS, 2) float32, pixels from the centre, x to the right, y down
    descriptors: np.ndarray  # (N, KEYPOINTS, 128) uint8
    counts: np.ndarray       # (N,) int32, how many are real


def detect(gray):
    """(n, 2) float32 points from the centre and (n, 128) uint8 descriptors, n ≤ KEYPOINTS. gray: (SIDE, SIDE) uint8."""
    found, descriptors = cv2.SIFT_create(KEYPOINTS).detectAndCompute(gray, None)
    if descriptors is None:
        return np.empty((0, 2), np.float32), np.empty((0, 128), np.uint8)
    points = np.array([key.pt for key in found[:KEYPOINTS]], dtype=np.float32) - (SIDE - 1) / 2
    return points, descriptors[:KEYPOINTS].astype(np.uint8)


def agreement(keys, tile, others):
    """How many keypoints of `tile` land on their match in each of `others` under the best map: (len(others),) int.

    keys: Keypoints. tile: row; others: rows. Counts each place once, however many keypoints lie there.
    """
    own = keys.counts[tile]
    if own < 2:
        return np.zeros(len(others), dtype=int)
    points, descriptors = keys.points[tile, :own], _unit(keys.descriptors[tile, :own])
    both = np.concatenate([descriptors, descriptors[:, _MIRROR]])  # (2·own, 128): as it is, and seen in a mirror
    answers = []
    for start in range(0, len(others), CHUNK):
        rows = others[start:start + CHUNK]
        ends = np.cumsum(keys.counts[rows])
        candidates = np.concatenate([keys.descriptors[row, :keys.counts[row]] for row in rows])
        similarity = both @ _unit(candidates).T
        for row, block in zip(rows, np.split(similarity, ends[:-1], axis=1), strict=True):
            target = keys.points[row, :keys.counts[row]]
            # det A is positive where neither copy is flipped against the other, negative where one is
            answers.append(max(_agreeing(points, target, block[:own], 1), _agreeing(points, target, block[own:], -1)))
    return np.array(answers, dtype=int)


def _mirror():
    """Where each bin of a SIFT descriptor goes when the image is mirrored along the keypoint's own direction:
    4 × 4 places × 8 directions, places reversed across that direction, directions negated."""
    bins = np.arange(128).reshape(4, 4, 8)
    return bins[::-1][:, :, -np.arange(8) % 8].ravel()


_MIRROR = _mirror()


def _unit(descriptors):
    """RootSIFT: square roots of the L1-normalised histograms, so that a dot product is a Bhattacharyya coefficient."""
    values = descriptors.astype(np.float32)
    return np.sqrt(values / np.maximum(values.sum(axis=1, keepdims=True), 1))


def _agreeing(points, target, similarity, sign):
    """Largest number of matches on one map x' = A x with sign(det A) = sign."""
    if similarity.shape[1] < 2:
        return 0
    best = similarity.argmax(axis=1)
    rows = np.arange(len(similarity))
    first = similarity[rows, best]
    similarity[rows, best] = -1
    second = similarity.max(axis=1)
    # |a − b|² = 2 − 2 a·b
    ratio = np.sqrt((1 - np.minimum(first, 1)) / np.maximum(1 - second, 1e-6))
    sure = np.flatnonzero(ratio < RATIO)
    if sure.size < 2:
        return 0
    sure = sure[np.argsort(ratio[sure], kind="stable")]
    return _consensus(points[sure], target[best[sure]], sign)


def _consensus(source, target, sign):
    """source, target: (m, 2), surest first. Every two of the first SEEDS propose A; the count of the best."""
    i, j = np.triu_indices(min(len(source), SEEDS), 1)
    pairs, images = source[np.stack([i, j], 1)], target[np.stack([i, j], 1)]  # (h, 2, 2), a point a row
    far = np.abs(np.linalg.det(pairs)) > 200  # square pixels: two points in line with the centre fix nothing
    if not far.any():
        return 0
    maps = np.linalg.solve(pairs[far], images[far])  # (h, 2, 2), x' = x @ map
    zoom = np.linalg.svd(maps, compute_uv=False)
    maps = maps[(zoom[:, 0] < ZOOM[1]) & (zoom[:, 1] > ZOOM[0]) & (np.linalg.det(maps) * sign > 0)]
    if not len(maps):
        return 0
    agree = np.square(source @ maps - target).sum(axis=-1) < TOLERANCE**2  # (h, m)
    winner = agree.sum(axis=1).argmax()
    return _refined(source, target, agree[winner])


def _refined(source, target, agree):
    """Fit x' = x A + t by least squares to the agreeing matches, three times over. The count within EXACT of the last
    fit, each place once; 0 where t moves the centre: overlapping tissue of two originals."""
    design = np.concatenate([source, np.ones((len(source), 1), source.dtype)], axis=1)  # (m, 3)
    for tolerance in (TOLERANCE, EXACT, EXACT):
        if agree.sum() < 4:  # three matches fit exactly and prove nothing
            return int(agree.sum())
        fit = np.linalg.lstsq(design[agree], target[agree], rcond=None)[0]  # (3, 2)
        agree = np.square(design @ fit - target).sum(axis=1) < tolerance**2
    if np.hypot(*fit[2]) > SHIFT:
        return 0
    places = np.round(np.concatenate([source[agree], target[agree]], 1) / TOLERANCE)
    return min(len(np.unique(places[:, :2], axis=0)), len(np.unique(places[:, 2:], axis=0)))
