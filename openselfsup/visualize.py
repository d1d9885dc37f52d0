"""What an encoder sees in a tile: where its local features agree with the global one, and how they cluster.

For each stage with map x (C, h, w), local feature x_p at position p and pooled feature g = mean_p x_p:
  similarity   s_p = <x_p, g> / (|x_p| |g|)
  clusters     k-means, K = 2, 4, 6, on the local features x_p / |x_p|
g is the stage's own mean: stages differ in width, and in the last one it is the tile's global feature.
"""

from dataclasses import dataclass

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from fewshot_wsi.foundation.features import unit_length
from fewshot_wsi.foundation.files import replacing
from fewshot_wsi.foundation.names import visible
from fewshot_wsi.foundation.seeds import generator

CLUSTERS = (2, 4, 6)
STAGES = (1, 2, 3, 4)
_OPACITY = 0.5


@dataclass(frozen=True)
class Maps:
    """Of one tile and one stage. similarity: (h, w) float32 in [-1, 1]. clusters: K -> (h, w) int, 0 … K - 1."""
    similarity: np.ndarray
    clusters: dict


def maps_of(encoder, image, clusters=CLUSTERS, seed=0):
    """Maps of every stage of STAGES. image: (H, W, 3) uint8 as it enters the encoder."""
    batch = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
    stages = encoder.stages(batch)
    return [stage_maps(stages[stage][0].cpu().numpy(), clusters, seed) for stage in STAGES]


def stage_maps(local, clusters=CLUSTERS, seed=0):
    """local: (C, h, w) float. A local feature of zero has similarity 0."""
    channels, height, width = local.shape
    flat = local.reshape(channels, -1).T                       # (h·w, C)
    unit = unit_length(flat)[0]
    similarity = unit @ unit_length(flat.mean(axis=0)[None])[0][0]
    return Maps(similarity.reshape(height, width),
                {k: cluster(unit, k, seed).reshape(height, width) for k in clusters})


def cluster(points, k, seed=0):
    """(n,) int labels 0 … k - 1 of k-means on (n, C) points, larger clusters first; fewer where points coincide."""
    distinct = len(np.unique(points, axis=0))
    state = int(generator(seed, "visualize/clusters", k).integers(2**31))
    with threadpool_limits(1):  # a few thousand points: threads would wait for each other longer than they work
        labels = KMeans(min(k, distinct), n_init=3, random_state=state).fit_predict(points)
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order)[labels]


def match_clusters(labels, reference, k):
    """`labels` renumbered so that as many positions as possible agree with `reference`; both 0 … k - 1."""
    overlap = np.zeros((k, k), dtype=int)
    np.add.at(overlap, (labels.ravel(), reference.ravel()), 1)
    return linear_sum_assignment(overlap, maximize=True)[1][labels]


def draw(path, image, maps, names, title=""):
    """PNG of one tile: a row a stage; for each encoder its similarity and its cluster maps, laid over the tile.

    maps: for each encoder what `maps_of` gives. names: of the encoders. Clusters of a second encoder take the colours
    of the first one's clusters that they overlap most.
    """
    clusters = list(maps[0][0].clusters)
    columns = 1 + len(maps) * (1 + len(clusters))
    figure = Figure(figsize=(1.45 * columns, 1.5 * len(STAGES) + 0.7), dpi=110, layout="constrained")
    axes = figure.subplots(len(STAGES), columns, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    axes[0][0].imshow(image)
    axes[0][0].set_title("tile", fontsize=8)
    for which, (encoder_maps, name) in enumerate(zip(maps, names, strict=True)):
        first = 1 + which * (1 + len(clusters))
        for row, (stage, stage_map) in enumerate(zip(STAGES, encoder_maps, strict=True)):
            shown = _overlay(axes[row][first], image, stage_map.similarity, "viridis", 0, 1)
            axes[row][first].set_title(f"{visible(name)}\nstage {stage}, similarity" if row == 0 else f"stage {stage}",
                                       fontsize=8)
            for axis, k in zip(axes[row][first + 1:], clusters, strict=False):
                labels = match_clusters(stage_map.clusters[k], maps[0][row].clusters[k], k)
                _overlay(axis, image, labels, "tab10", 0, 9)
                if row == 0:
                    axis.set_title(f"K = {k}", fontsize=8)
    figure.colorbar(shown, ax=axes[1:, 0].tolist(), location="left", shrink=0.8, label="cosine similarity")
    figure.suptitle(visible(title), fontsize=9)
    with replacing(path) as stream:
        figure.savefig(stream, format="png")


def _overlay(axis, image, values, colours, low, high):
    """`values` (h, w), stretched over the (H, W, 3) tile in grey: smooth ones interpolated, classes as blocks."""
    height, width = image.shape[:2]
    axis.imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=255)  # else the stain mixes with the map's colours
    kind = "nearest" if values.dtype.kind in "iu" else "bilinear"
    return axis.imshow(values, extent=(-0.5, width - 0.5, height - 0.5, -0.5), cmap=matplotlib.colormaps[colours],
                       vmin=low, vmax=high, alpha=_OPACITY, interpolation=kind)


def spread(labels, total, count):
    """Up to `count` rows of a list of `total`, spread evenly over it and, with (N,) labels, over its classes."""
    if labels is None:
        return np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    classes = np.unique(labels)
    shares = [count // len(classes) + (i < count % len(classes)) for i in range(len(classes))]
    picked = [_evenly(np.flatnonzero(labels == c), share) for c, share in zip(classes, shares, strict=True)]
    return np.sort(np.concatenate(picked))


def _evenly(rows, count):
    places = np.linspace(0, len(rows) - 1, min(count, len(rows)))
    return rows[np.unique(places.round().astype(int))]
