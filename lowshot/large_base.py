"""Clusters of more base features than fit into memory: k-means on a sample, then one pass over all, by blocks."""

import mmap
from collections.abc import Iterator

import numpy as np
from scipy.linalg.blas import dsyrk
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize

from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.seeds import generator

BLOCK_BYTES = 2**26  # of a block as float64
NOT_FINITE = "the base features hold numbers that are not finite; extract them again"


def fit_to_sample(kmeans: KMeans, features: np.ndarray, rows: np.ndarray | None, size: int, seed: int) -> None:
    """Fit `kmeans` to `size` of the features (N, D), at unit length, sampled without replacement.

    rows: (N,) bool, which of them count; None for all. seed: of the stream (seed, 'dictionary/sample').
    """
    rng = generator(seed, "dictionary/sample")
    among = len(features) if rows is None else np.flatnonzero(rows)
    chosen = np.zeros(len(features), dtype=bool)
    chosen[rng.choice(among, size, replace=False)] = True
    sample = np.empty((size, features.shape[1]), dtype=np.float32)
    done = 0
    for start, block in blocks(features):
        rows = block[chosen[start:start + len(block)]]
        sample[done:done + len(rows)] = normalize(_finite(rows.astype(np.float32)))
        done += len(rows)
    kmeans.set_params(copy_x=False).fit(sample)


def measure_blocks(kmeans: KMeans, features: np.ndarray,
                   rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(counts (K,), means (K, D), covariances (K, D, D) with ddof 1) of the features (N, D) nearest to each centre.

    float64; zeros for an empty cluster, zero covariance for one feature. With n features x of a cluster and any o near
    their mean, S = Σ (x − o)(x − o)ᵀ and s = Σ (x − o): mean = o + s / n, covariance = (S − s sᵀ / n) / (n − 1). o is
    the mean of the cluster in the first block that holds it, so that one pass is enough and nothing cancels.
    """
    dim, clusters = features.shape[1], kmeans.n_clusters
    counts, origins, sums = np.zeros(clusters, dtype=np.int64), np.zeros((clusters, dim)), np.zeros((clusters, dim))
    scatter = np.zeros((clusters, dim, dim)).transpose(0, 2, 1)  # in BLAS's order of memory: written in place
    for start, block in blocks(features):
        block = _finite(block if rows is None else block[rows[start:start + len(block)]])
        assigned = kmeans.predict(normalize(block.astype(np.float32))) if len(block) else np.empty(0, dtype=int)
        for k in np.unique(assigned):
            members = block[assigned == k].astype(np.float64)
            if not counts[k]:
                origins[k] = members.mean(axis=0)
            members -= origins[k]
            counts[k] += len(members)
            sums[k] += members.sum(axis=0)
            dsyrk(1.0, members.T, beta=1.0, c=scatter[k], overwrite_c=1)
    for k in np.flatnonzero(counts):
        upper = scatter[k]
        upper -= np.outer(sums[k], sums[k]) / counts[k]
        upper /= max(1, counts[k] - 1)
        below = np.tril_indices(dim, -1)
        upper[below] = upper.T[below]
    return counts, origins + sums / np.maximum(counts, 1)[:, None], scatter.transpose(0, 2, 1)


def blocks(features: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, block (n, D)) one after the other.

    A whole memory-mapped file is read, not mapped, so that what was read does not stay in this process's memory.
    """
    step = max(1, BLOCK_BYTES // (8 * features.shape[1]))
    if not (isinstance(features, np.memmap) and isinstance(features.base, mmap.mmap) and features.flags.c_contiguous):
        for start in range(0, len(features), step):
            yield start, np.asarray(features[start:start + step])
        return
    with open(features.filename, "rb") as stream:  # type: ignore[arg-type]
        stream.seek(features.offset)
        for start in range(0, len(features), step):
            size = min(step, len(features) - start) * features.shape[1]
            yield start, np.fromfile(stream, features.dtype, size).reshape(-1, features.shape[1])


def _finite(block):
    if not np.isfinite(block).all():
        raise InputError(NOT_FINITE)
    return block
