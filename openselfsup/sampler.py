"""Which images make which batch: a function of (seed, epoch) alone, so that a run can stop and continue anywhere."""

import math

import numpy as np

from fewshot_wsi.foundation.seeds import generator


def epoch_order(count, seed, epoch):
    """(count,) int64: the images of one epoch in the order in which all processes together see them."""
    return generator(seed, "train/order", epoch).permutation(count)


class BatchSampler:
    """Batches of (epoch, index) of one process out of `world`.

    The order of the epoch is filled up from its beginning to a multiple of `world`; process r takes every world-th
    image from the r-th on. The last short batch is kept, unless it is shorter than `smallest`.
    `start_at(epoch, batch)` sets where the next iteration begins; it lasts until the epoch's end.
    """

    def __init__(self, count, batch_size, seed, rank=0, world=1, smallest=1, shuffle=True):
        self.count, self.batch_size, self.seed, self.rank, self.world = count, batch_size, seed, rank, world
        self.shuffle = shuffle
        self.share = math.ceil(count / world)
        full, rest = divmod(self.share, batch_size)
        self.batches = full + (rest >= smallest and rest > 0)
        self.left_out = rest if 0 < rest < smallest else 0
        self.epoch, self.first = 0, 0

    def __len__(self):
        return self.batches

    def start_at(self, epoch, batch=0):
        self.epoch, self.first = epoch, batch

    def __iter__(self):
        order = epoch_order(self.count, self.seed, self.epoch) if self.shuffle else np.arange(self.count)
        order = np.resize(order, self.share * self.world)[self.rank::self.world]
        for batch in range(self.first, self.batches):
            rows = order[batch * self.batch_size:(batch + 1) * self.batch_size]
            yield [(self.epoch, int(row)) for row in rows]
