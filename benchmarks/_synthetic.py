"""Features of the published sizes, drawn with the class means' and the classes' own spectra of real features."""

import os
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.features import unit_length
from fewshot_wsi.foundation.seeds import generator

FEATURES = Path(os.environ.get("FEWSHOT_SHARED", Path(__file__).resolve().parents[2] / "shared"), "features")


class Tissue:
    """Classes of features: a mean and a factor of the covariance each, measured on real features.

    folder: holds <model>/<set>.npy and <set>_labels.npy, or nothing: then means and covariances have the spectrum
    1, 1/2, 1/3, … in 512 dimensions. Real features have fewer classes than are drawn: a drawn class has a mean drawn
    with the covariance of the real class means (shrunk towards that of all features, so that it has full rank), and the
    covariance of one of the real classes.
    """

    def __init__(self, folder=FEATURES, model="fsp", name="NCT_train", dim=512):
        path = Path(folder, model, f"{name}.npy")
        if path.is_file():
            features = np.load(path).astype(np.float64)
            labels = np.load(Path(folder, f"{name}_labels.npy"))
            self.origin = f"spectrum of {model}/{name}.npy"
            self.mean = features.mean(0)
            means = np.array([features[labels == c].mean(0) for c in np.unique(labels)]) - self.mean
            between = means.T @ means / (len(means) - 1)
            whole = np.cov(features.T)
            self.between = _factor(0.9 * between + 0.1 * whole * np.trace(between) / np.trace(whole))
            self.within = [_factor(np.cov(features[labels == c].T)) for c in np.unique(labels)]
        else:
            self.origin = "spectrum 1/k, no real features at hand"
            rng = generator(0, "benchmark/axes")
            axes = np.linalg.qr(rng.standard_normal((dim, dim)))[0] / np.sqrt(np.arange(1, dim + 1))
            self.mean, self.between, self.within = rng.standard_normal(dim) / np.sqrt(dim), 0.1 * axes, [0.15 * axes]

    def draw(self, counts, purpose, seed=0):
        """(features (N, D) float32 of unit length, labels (N,) int64), counts[c] of class c, shuffled.

        The means of the classes depend on the seed and the part of `purpose` before the first '/' only, so that
        'nct/train' and 'nct/test' are two samples of the same classes.
        """
        kind = purpose.split("/")[0]
        means = self.mean + generator(seed, "benchmark/means", kind).standard_normal(
            (len(counts), len(self.mean))) @ self.between.T
        rng = generator(seed, "benchmark/features", purpose)
        labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        features = np.empty((len(labels), len(self.mean)), dtype=np.float32)
        for c, mean in enumerate(means):
            rows = np.flatnonzero(labels == c)
            noise = rng.standard_normal((len(rows), len(mean)), dtype=np.float32)
            features[rows] = mean + noise @ self.within[c % len(self.within)].T.astype(np.float32)
        return unit_length(features)[0], labels


def _factor(covariance):
    """L with L·Lᵀ = covariance, negative eigenvalues of rounding cut off."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.clip(values, 0, None))
