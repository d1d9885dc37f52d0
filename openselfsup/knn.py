"""k-nearest-neighbour accuracy of features: how good an encoder is, without training anything on it."""

import numpy as np

from fewshot_wsi.foundation.errors import UserError


def knn_accuracy(references, labels, queries, truth, k=20, same=False):
    """Share of queries whose k nearest references (cosine) vote for their label; a tied vote goes to the lower label.

    references: (N, D), queries: (M, D) float32, any lengths but 0; labels (N,), truth (M,) ints.
    same: queries are the references, row by row; none is then its own neighbour. UserError: fewer than k neighbours.
    """
    check_neighbours(k, len(references) - same)
    references, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (references, queries))
    votes_for = np.eye(labels.max() + 1, dtype=np.int32)[labels]
    correct = 0
    for start in range(0, len(queries), 1024):  # (1024, N) similarities at a time
        similarity = queries[start:start + 1024] @ references.T
        if same:
            rows = np.arange(len(similarity))
            similarity[rows, start + rows] = -np.inf
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        votes = votes_for[nearest].sum(1)
        correct += int((votes.argmax(1) == truth[start:start + 1024]).sum())
    return correct / len(queries)


def check_neighbours(k, count):
    """UserError unless k ≤ count: where all references vote, the vote says nothing about the features."""
    if k > count:
        raise UserError(f"k = {k} nearest neighbours are asked for among {count}; give a smaller k, or more images")
