"""Blocks of features: images of a job through the encoder, and what became of them.

Rows are computed in blocks of a fixed size, row i always in block i // batch_size at the same place, and every call of
the encoder has the same shape (a short one is filled up). So the numbers do not depend on how many threads read, how
many processes share the work, or where a run was interrupted: on one machine, device and thread count they are equal
to the bit. Across devices and package versions they agree to rounding (about 1e-6).
"""

import contextlib
from dataclasses import dataclass

import numpy as np
import torch

from fewshot_wsi.foundation import progress
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import unit_length
from openselfsup import distributed
from openselfsup.apis.reading import compute_ahead, read_ahead
from openselfsup.images import BrokenImage
from openselfsup.stopping import StopRequest

CPU_SLICE = 16    # images a call of the encoder on CPUs: larger ones take memory, smaller ones time
CPU_THREADS = 16  # calls at a time at most, for the same reason


@dataclass
class BlocksOutcome:
    """What became of one process's share; all processes hear of it, so that all end in the same way."""
    broken: list            # a line of text for each image that does not decode
    signal: int = 0         # that ended it early
    error: str = ""         # UserError that ended it early


def fill(job, writer, numbers, encoder, settings):
    """Compute the blocks `numbers` and keep those whose images all decode. Returns an BlocksOutcome."""
    tiles = job.tiles
    try:
        size = batch_size(encoder, tiles, numbers, writer)
    except UserError as error:
        return BlocksOutcome([], error=str(error))
    slices = [(number, rows[at:at + size]) for number in numbers for rows in [writer.rows_of(number)]
              for at in range(0, len(rows), size)]
    bar = progress.bar(desc=job.title, total=sum(len(rows) for _, rows in slices), unit="images",
                       quiet=settings.quiet or distributed.rank() > 0)
    outcome, block = BlocksOutcome([]), []
    try:
        work = encoded(tiles, [rows for _, rows in slices], size, encoder, settings.workers)
        with contextlib.closing(work) as parts, bar, StopRequest() as stop:
            for (number, rows), (part, faults) in zip(slices, parts, strict=True):
                if stop.seen():
                    outcome.signal = stop.seen()
                    break
                outcome.broken += faults.values()
                block.append(None if faults else part)
                if rows[-1] == writer.rows_of(number)[-1]:
                    if all(part is not None for part in block):
                        hashes = tiles.hashes_read(writer.rows_of(number))
                        writer.write(number, unit_length(np.concatenate(block))[0], hashes)
                    block = []
                bar.update(len(rows))
    except UserError as error:
        outcome.error = str(error)
    except torch.OutOfMemoryError:
        outcome.error = (f"{job.output}: the memory of {encoder.device} ended, with batches of {size} tiles that "
                         "fitted before; end what else uses it, or make --batch_size smaller (finished batches are "
                         "kept)")
    return outcome


def batch_size(encoder, tiles, numbers, writer):
    """Tiles a call of the encoder: few on CPUs; on GPUs a block, or as many halves of one as its memory asks for.

    UserError where not even one tile fits.
    """
    if encoder.device.type == "cpu":
        return min(CPU_SLICE, writer.block)
    first = tiles.get(writer.rows_of(numbers[0])[0]) if numbers else None
    size = writer.block
    if not isinstance(first, np.ndarray):  # nothing to compute, or an image that does not decode, which `fill` reports
        return size
    while True:
        try:
            encoder(torch.zeros((size, 3, *first.shape[:2]), dtype=torch.uint8))
            return size
        except torch.OutOfMemoryError:
            if size == 1:
                raise UserError(f"the memory of {encoder.device} does not hold one tile of {first.shape[0]} × "
                                f"{first.shape[1]} beside {encoder.name}; use --device cpu") from None
            size //= 2
            torch.cuda.empty_cache()


def encoded(tiles, slices, size, encoder, workers):
    """Yield (features (n, D) float32, not of unit length, {place: line about an image that does not decode}) for each
    of `slices` (rows of `tiles`, at most `size`), in order. The features of such an image are zeros.

    On CPUs every thread computes slices of its own with one core: for small batches much faster than many cores on one.
    """
    threads = 1 if encoder.device.type == "cuda" else min(torch.get_num_threads(), CPU_THREADS)
    cores = max(1, torch.get_num_threads() // threads)
    read = read_ahead(tiles, slices, workers)
    work = ((encoder, images, size) for _, images in read)
    with contextlib.closing(read):
        yield from compute_ahead(_encode, work, threads, lambda: torch.set_num_threads(cores))


def _encode(encoder, images, size):
    """Features of n <= size images, computed as a batch of `size` whose rest is black."""
    faults = {place: str(image) for place, image in enumerate(images) if isinstance(image, BrokenImage)}
    whole = [place for place in range(len(images)) if place not in faults]
    features = np.zeros((len(images), encoder.dim), dtype=np.float32)
    if not whole:
        return features, faults
    shapes = {images[place].shape for place in whole}
    if len(shapes) > 1:
        raise UserError(f"the images come out of the pipeline at different sizes, {sorted(shapes)[:3]}; add "
                        "dict(type='CenterCrop', size=…) to the config")
    batch = np.zeros((size, *shapes.pop()), dtype=np.uint8)
    for place in whole:
        batch[place] = images[place]
    features[whole] = encoder(torch.from_numpy(batch).permute(0, 3, 1, 2))[:len(images)].cpu().numpy()[whole]
    return features, faults
