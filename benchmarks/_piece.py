"""What a worker of solvers.py does with its piece of the tasks. A module of its own, so that workers import it."""

import functools

from threadpoolctl import threadpool_limits

from lowshot.augmentations.latent_aug import LatentShifts
from lowshot.dictionary import load_dictionary
from lowshot.prediction import predict

PREFIX, PROTOTYPES = "BASE", 16  # of the dictionary
DRAWS = 100


def predict_piece(support, labels, query, folder):
    """Ridge with sampled augmentation in one thread, the dictionary read from `folder`."""
    with threadpool_limits(1):
        return predict("Ridge", support, labels, query, augmentation=_augmentation(folder))


@functools.cache
def _augmentation(folder):
    """One object a process, so that its rotated banks are kept."""
    return LatentShifts(load_dictionary(folder, PREFIX, PROTOTYPES), DRAWS)
