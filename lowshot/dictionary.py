"""The base dictionary: clusters of the base features, and what a feature of each cluster may vary by.

Files of the published form, all float64: `<prefix>_PROTO_BANK_<K>.npy` (K, D) prototypes,
`<prefix>_COV_BANK_<K>.npy` (K, D, D) covariances, `<prefix>_SHIFT_BANK_<K>.npy` (K, S, D) shifts; beside them
`<prefix>_BANK_<K>.json` says how they were made. The shift bank is a cache: it is the same numbers again from
covariances and seed, cluster by cluster, so it is written only while it is small.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from fewshot_wsi.foundation.bounded import read_npy
from fewshot_wsi.foundation.byte_cache import ByteCache
from fewshot_wsi.foundation.errors import InputError
from fewshot_wsi.foundation.files import arrays_sha256, json_sha256, read_json, write_json, write_npy
from fewshot_wsi.foundation.seeds import generator
from lowshot.large_base import NOT_FINITE, fit_to_sample, measure_blocks

logger = logging.getLogger(__name__)

SCHEMA = 1
CONSTRUCT = "python wsi_workdir/dict_construction.py --model MODEL"
JITTER = 1e-10            # of the mean variance, added to the diagonal so that a Cholesky factor exists
SHIFT_CACHE_BYTES = 2**28  # of sampled shifts held in memory
SHIFT_FILE_LIMIT = 2**29  # bytes; a larger shift bank is rebuilt instead of stored
SAMPLE_ROWS = 100_000      # from more base features on, k-means runs on a sample of so many


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Clusters of base features.

    prototypes: (K, D) float64, the mean of each cluster's stored features (not of unit length).
    covariances: (K, D, D) float64, their covariance with ddof 1; zeros for a cluster of one tile.
    num_shift_vectors: S, rows of the bank of one cluster.
    seed: the bank of cluster k is sampled from the stream (seed, 'shift_bank', k).
    how: JSON-able facts of its making; `counts` are the tiles in each cluster.
    identity: hash that changes with any number that latent augmentation uses.
    bank: (K, S, D) stored shifts, usually memory-mapped, or None where they are rebuilt.
    n_iter: iterations that k-means took; None where the dictionary was read from files.
    """
    prototypes: np.ndarray
    covariances: np.ndarray
    num_shift_vectors: int
    seed: int
    identity: str
    how: dict = field(default_factory=dict)
    bank: np.ndarray | None = None
    n_iter: int | None = None
    _sampled: ByteCache = field(default_factory=lambda: ByteCache(SHIFT_CACHE_BYTES), repr=False)

    def __len__(self) -> int:
        return len(self.prototypes)

    def shifts(self, k: int) -> np.ndarray:
        """(S, D) float64 draws from N(0, covariance k): L·ε with L·Lᵀ = covariance + jitter·I."""
        if self.bank is not None:
            return np.asarray(self.bank[k])
        return self._sampled.get(k, lambda: self.draw(int(k)))

    def draw(self, k: int) -> np.ndarray:
        """As `shifts`, from covariance and seed, whatever is stored."""
        noise = generator(self.seed, "shift_bank", k).standard_normal((self.num_shift_vectors, self.dim))
        return noise @ cholesky_factor(self.covariances[k]).T

    @property
    def dim(self) -> int:
        return self.prototypes.shape[1]

    @property
    def mean(self) -> np.ndarray:
        """(D,) float64 mean of the base features; ValueError where the tiles in each cluster are not known."""
        counts = self.how.get("counts")
        if counts is None:
            raise InputError("the dictionary does not say how many tiles are in each cluster, so the mean of the base "
                            "features is not known; build it again from the features")
        return np.average(self.prototypes, axis=0, weights=counts)

    def __getstate__(self):
        return {**self.__dict__, "_sampled": ByteCache(SHIFT_CACHE_BYTES)}  # shifts are sampled again when needed


def cholesky_factor(covariance: np.ndarray) -> np.ndarray:
    """Lower L with L·Lᵀ = covariance + j·I, j = 1e-10 of the mean variance, ten times more until it exists.

    The jitter is relative, so that features of any scale are treated alike. covariance: (D, D), positive semi-definite
    up to rounding; a zero matrix has the factor zero.
    """
    if not (np.isfinite(covariance).all() and (np.diag(covariance) >= 0).all()):
        raise InputError("a covariance of the dictionary holds negative variances or numbers that are not finite; "
                        "build the dictionary again")
    variance = np.trace(covariance) / len(covariance)
    if variance == 0:
        return np.zeros_like(covariance)
    scaled = covariance / variance
    jitter = JITTER
    while jitter < 1e-3:
        try:
            factor = np.linalg.cholesky(scaled + jitter * np.eye(len(scaled)))
            return factor * np.sqrt(variance)
        except np.linalg.LinAlgError:
            jitter *= 10
    raise InputError("a covariance of the dictionary is not positive semi-definite; build the dictionary again")


def build_dictionary(features: np.ndarray, *, rows: np.ndarray | None = None, num_prototypes: int = 16,
                     num_shift_vectors: int = 2000, iterations: int = 20, kmeans_seed: int = 66,
                     seed: int = 0) -> "Dictionary":
    """Cluster `features` (N, D), of any float type, and measure each cluster.

    rows: (N,) bool, which of them count; None for all. Up to SAMPLE_ROWS are worked on in memory. Of more, k-means runs
    on a sample of SAMPLE_ROWS from the stream (kmeans_seed, 'dictionary/sample'); then every feature goes to its
    nearest centre, and prototypes and covariances are of all of them, block by block, so that memory does not grow
    with N. `how` and a line of information say so.

    k-means runs on L2-normalised features in one thread, so that the clusters do not depend on the machine's number
    of threads; prototypes and covariances are of the features as they are. A cluster that stays empty (there are fewer
    different features than prototypes) goes to the end and repeats the first one, which wins every tie.
    ValueError: fewer features than prototypes, or numbers that are not finite.
    """
    features = np.asanyarray(features)  # a memory map stays one
    count = len(features) if rows is None else int(np.count_nonzero(rows))
    if num_prototypes < 1 or num_shift_vectors < 1:
        raise InputError("a dictionary needs at least one prototype and one shift vector")
    if count < num_prototypes:
        raise InputError(f"{count} base tiles are too few for {num_prototypes} prototypes; "
                        "lower --num_prototypes or give more tiles")
    kmeans = KMeans(num_prototypes, n_init=1, max_iter=iterations, random_state=kmeans_seed)
    how: dict = dict(iterations=iterations, kmeans_seed=kmeans_seed)
    with threadpool_limits(1):
        if count > SAMPLE_ROWS:
            fit_to_sample(kmeans, features, rows, SAMPLE_ROWS, kmeans_seed)
            measured = measure_blocks(kmeans, features, rows)
            how["kmeans_rows"] = SAMPLE_ROWS
            logger.info(f"k-means on a seeded sample of {SAMPLE_ROWS:,} of {count:,} features; prototypes and "
                        "covariances are of all")
        else:
            measured = _measure_all(np.asarray(features if rows is None else features[rows]), kmeans)
    counts, prototypes, covariances = measured
    order = np.argsort(counts == 0, kind="stable")  # the empty ones last
    if not counts.all():
        source = np.where(counts[order] > 0, order, order[0])
        prototypes, covariances = prototypes[source], covariances[source]
    how["counts"] = counts[order].tolist()
    made = make_dictionary(prototypes, covariances, num_shift_vectors=num_shift_vectors, seed=seed, how=how)
    return replace(made, n_iter=kmeans.n_iter_)


def _measure_all(features, kmeans):
    """As `measure_blocks`, of features (N, D) in memory to which `kmeans` is fitted first."""
    if not np.isfinite(features).all():
        raise InputError(NOT_FINITE)
    features = features.astype(np.float32) if features.dtype == np.float16 else features
    assigned = kmeans.fit_predict(normalize(features))
    counts = np.bincount(assigned, minlength=kmeans.n_clusters)
    prototypes = np.zeros((kmeans.n_clusters, features.shape[1]))
    covariances = np.zeros((kmeans.n_clusters, features.shape[1], features.shape[1]))
    for k in np.flatnonzero(counts):
        prototypes[k], covariances[k] = _measure(features[assigned == k])
    return counts, prototypes, covariances


def make_dictionary(prototypes: np.ndarray, covariances: np.ndarray, *, num_shift_vectors: int = 2000, seed: int = 0,
                    how: Mapping | None = None) -> "Dictionary":
    """Dictionary of given prototypes (K, D) and covariances (K, D, D), shifts sampled from `seed`."""
    banks = arrays_sha256(prototypes=prototypes, covariances=covariances)
    identity = json_sha256([banks, num_shift_vectors, seed, JITTER])
    return Dictionary(prototypes, covariances, num_shift_vectors, seed, identity, dict(how or {}))


def _measure(cluster):
    """Mean (D,) and covariance (D, D), ddof 1, of a cluster (n, D); zero covariance where n = 1."""
    cluster = cluster.astype(np.float64)
    mean = cluster.mean(axis=0)
    centred = cluster - mean
    return mean, centred.T @ centred / max(1, len(cluster) - 1)


def bank_files(folder: str | Path, prefix: str, num_prototypes: int) -> dict[str, Path]:
    """Paths of a dictionary: dict with the keys PROTO, COV, SHIFT, json."""
    folder = Path(folder)
    files = {kind: folder / f"{prefix}_{kind}_BANK_{num_prototypes}.npy" for kind in ("PROTO", "COV", "SHIFT")}
    return {**files, "json": folder / f"{prefix}_BANK_{num_prototypes}.json"}


def save_dictionary(folder: str | Path, prefix: str, dictionary: "Dictionary") -> None:
    """Write the files of the published form. The JSON goes first: stopped half-way, a reader finds files that it does
    not describe, and says so."""
    files = bank_files(folder, prefix, len(dictionary))
    write_json(files["json"], {"schema": SCHEMA, "num_prototypes": len(dictionary), "dim": dictionary.dim,
                               "num_shift_vectors": dictionary.num_shift_vectors, "seed": dictionary.seed,
                               "jitter": JITTER, "identity": dictionary.identity, "how": dictionary.how})
    files["SHIFT"].unlink(missing_ok=True)
    write_npy(files["PROTO"], dictionary.prototypes)
    write_npy(files["COV"], dictionary.covariances)
    if stores_shifts(dictionary):
        write_npy(files["SHIFT"], np.stack([dictionary.shifts(k) for k in range(len(dictionary))]))


def stores_shifts(dictionary: "Dictionary") -> bool:
    """Whether the shifts are written to a file too; where that would be large, they are sampled when needed."""
    return len(dictionary) * dictionary.num_shift_vectors * dictionary.dim * 8 < SHIFT_FILE_LIMIT


def load_dictionary(folder: str | Path, prefix: str, num_prototypes: int, dim: int | None = None,
                    made_by: str = CONSTRUCT) -> "Dictionary":
    """Read a dictionary made here, or the three (or the first two) files of the authors.

    Without the JSON beside them the files are used as they are, with a notice; shifts that are not stored are then
    sampled with the published number, 2,000, from seed 0. Covariances and stored shifts are memory-mapped.
    made_by: the command that an error names. ValueError: missing files, shapes that disagree with each other, with K or
    with `dim` (width of the features), numbers that are not finite, files other than the JSON describes.
    """
    files = bank_files(folder, prefix, num_prototypes)
    make = f"make it with {made_by}"
    prototypes = np.array(_read_bank(files["PROTO"], (num_prototypes, dim), make))
    dim = prototypes.shape[1]
    covariances = _read_bank(files["COV"], (num_prototypes, dim, dim), make)
    bank = _read_bank(files["SHIFT"], (num_prototypes, None, dim), make) if files["SHIFT"].exists() else None
    if not files["json"].exists():
        return _taken_as_it_is(files, prototypes, covariances, bank)
    facts = read_json(files["json"], "description of a dictionary")
    made = make_dictionary(prototypes, covariances, num_shift_vectors=facts.get("num_shift_vectors", 1),
                           seed=facts.get("seed", 0), how=facts.get("how"))
    if made.identity != facts.get("identity"):
        raise InputError(f"{files['json']}: does not describe the files beside it; {make} --overwrite")
    if bank is None:
        return made
    rows, scale = made.draw(0)[:8], np.sqrt(np.trace(covariances[0]) / dim)
    if bank.shape[1] != made.num_shift_vectors or not np.allclose(bank[0, :8], rows, rtol=0, atol=1e-6 * scale):
        raise InputError(f"{files['SHIFT']}: not the shifts of the dictionary beside it; remove the file, they are "
                        "sampled again from the seed")
    return replace(made, bank=bank)


def _taken_as_it_is(files, prototypes, covariances, bank):
    shown = "shifts sampled from seed 0" if bank is None else "its own shift bank"
    logger.warning(f"{files['PROTO']}: no description beside it, used as it is with {shown}")
    made = make_dictionary(prototypes, covariances)
    if bank is None:
        return made
    identity = json_sha256([made.identity, arrays_sha256(shifts=bank)])
    return replace(made, num_shift_vectors=bank.shape[1], identity=identity, bank=bank)


def _read_bank(path, shape, make):
    """Memory-mapped array of `path`, checked against `shape` (None: any length)."""
    try:
        array = read_npy(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file of the dictionary; {make}") from None
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: not a readable array ({error}); {make} --overwrite") from None
    agrees = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not agrees or array.dtype.kind != "f" or 0 in array.shape:
        expected = " × ".join("any" if n is None else str(n) for n in shape)
        raise InputError(f"{path}: has the shape {array.shape} of {array.dtype}, expected floats {expected}; "
                        f"it belongs to other features or another number of prototypes; {make}")
    if not all(np.isfinite(part).all() for part in array):
        raise InputError(f"{path}: holds numbers that are not finite (an empty cluster of the published code?); {make}")
    return array if array.dtype == np.float64 else array.astype(np.float64)
