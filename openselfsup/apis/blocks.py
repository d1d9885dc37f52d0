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
class Outcome:
    """What became of one process's share; all processes hear of it, so that all end in the same way."""
    broken: list            # a line of text for each image that does not decode
    signal: int = 0         # that ended it early
    error: str = ""         # UserError that ended it early


def fill(job, writer, numbers, encoder, settings):
    """Compute the blocks `numbers` and keep those whose images all decode. Returns an Outcome."""
    size = writer.block if encoder.device.type == "cuda" else min(CPU_SLICE, writer.block)
    slices = [(number, rows[at:at + size]) for number in numbers for rows in [writer.rows_of(number)]
              for at in range(0, len(rows), size)]
    bar = progress.bar(desc=job.title, total=sum(len(rows) for _, rows in slices), unit="images",
                       quiet=settings.quiet or distributed.rank() > 0)
    outcome, block = Outcome([]), []
    try:
        with contextlib.closing(_features(job.tiles, slices, size, encoder, settings)) as parts, bar, \
                StopRequest() as stop:
            for (number, rows), (part, faults) in zip(slices, parts, strict=True):
                if stop.seen():
                    outcome.signal = stop.seen()
                    break
                outcome.broken += faults
                block.append(part)
                if rows[-1] == writer.rows_of(number)[-1]:
                    if all(part is not None for part in block):
                        writer.write(number, unit_length(np.concatenate(block))[0])
                    block = []
                bar.update(len(rows))
    except UserError as error:
        outcome.error = str(error)
    return outcome


def _features(tiles, slices, size, encoder, settings):
    """Yield (features (n, D) or None, lines about images that do not decode) for each slice, in order.

    On CPUs every thread computes slices of its own with one core: for small batches much better than many cores on one.
    """
    threads = 1 if encoder.device.type == "cuda" else min(torch.get_num_threads(), CPU_THREADS)
    cores = max(1, torch.get_num_threads() // threads)
    read = read_ahead(tiles, [rows for _, rows in slices], settings.workers)
    work = ((encoder, images, size) for _, images in read)
    with contextlib.closing(read):
        yield from compute_ahead(_encode, work, threads, lambda: torch.set_num_threads(cores))


def _encode(encoder, images, size):
    """Features of n <= size images, computed as a batch of `size` whose rest is black."""
    faults = [str(image) for image in images if isinstance(image, BrokenImage)]
    if faults:
        return None, faults
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise UserError(f"the images come out of the pipeline at different sizes, {sorted(shapes)[:3]}; add "
                        "dict(type='CenterCrop', size=…) to the config")
    batch = np.zeros((size, *images[0].shape), dtype=np.uint8)
    np.stack(images, out=batch[:len(images)])
    return encoder(torch.from_numpy(batch).permute(0, 3, 1, 2))[:len(images)].cpu().numpy(), []
