"""Lists of images as training data: what one image becomes, batches of it, and the loader.

A data set is asked for (epoch, index). Every random choice about an image is a stream of its own, named by seed, epoch,
index and view, so that it does not depend on workers, on the number of processes or on whether a run was resumed.
"""

import contextlib
import signal
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from fewshot_wsi.foundation.archived import check_present
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import check_labels, read_list
from fewshot_wsi.foundation.seeds import generator
from openselfsup.images import BrokenImage, read_image
from openselfsup.registry import build


class TrainingImages:
    """data_source of type ImageList: images of `list_file` (`path` or `path label` a line) below the folder or in the
    zip archive `root`."""

    def __init__(self, list_file, root):
        self.root = Path(root)
        self.labeled = read_list(list_file)
        self.list_file, self.names, self.labels = list_file, self.labeled.names, self.labeled.labels

    def __len__(self):
        return len(self.names)

    def path(self, index):
        return self.root / self.names[index]

    def check_files(self):
        """UserError that counts the listed images which are missing and names the first ones. Reads only folders."""
        check_present(self.list_file, self.root, self.names, "correct the list or data_source.root")


class _Images(Dataset):
    """Images of a TrainingImages `data_source`, through a transforms.Pipeline.

    on_error: 'raise', or 'skip': the next readable image of the list takes the place of one that does not decode,
    and is counted.
    """

    views = 1
    metainfo = {}  # MMEngine asks for it

    def __init__(self, data_source, pipeline, seed=0, on_error="raise"):
        if on_error not in ("raise", "skip"):
            raise UserError(f"data.on_error is {on_error!r}; choose 'raise' or 'skip'")
        self.source, self.pipeline, self.seed, self.on_error = data_source, pipeline, seed, on_error

    def __len__(self):
        return len(self.source)

    def __getitem__(self, key):
        """images (views, H, W, 3) uint8, parameters (views, P) float32, label, skipped: count; or dict(error=str)."""
        epoch, index = key
        image, index, skipped = self._read(index)
        if isinstance(image, BrokenImage):
            return {"error": str(image)}
        views = [self.pipeline(image, generator(self.seed, "train/augment", epoch, index, view))
                 for view in range(self.views)]
        label = -1 if self.source.labels is None else int(self.source.labels[index])
        return {"images": np.stack([v[0] for v in views]), "parameters": np.stack([v[1] for v in views]),
                "labels": label, "skipped": skipped}

    def _read(self, index):
        skipped = 0
        while True:
            try:
                return read_image(self.source.path(index)), index, skipped
            except BrokenImage as error:
                skipped += 1
                if self.on_error == "raise" or skipped == len(self):
                    return error, index, skipped
                index = (index + 1) % len(self)


class ContrastiveDataset(_Images):
    """Two independently augmented views of every image; labels, if the list has any, are not used."""

    views = 2


class ClassificationDataset(_Images):
    """One view of every image, and its label."""

    def __init__(self, data_source, pipeline, seed=0, on_error="raise"):
        super().__init__(data_source, pipeline, seed, on_error)
        if data_source.labels is None:
            raise UserError(f"{data_source.list_file}: classification needs a label on every line ('path label')")

    def check_classes(self, num_classes):
        check_labels(self.source.labels, num_classes, self.source.list_file)


DATASETS = {kind.__name__: kind for kind in (ContrastiveDataset, ClassificationDataset)}
SOURCES = {"ImageList": TrainingImages}


def build_dataset(config, pipeline, seed, on_error, where):
    """Data set from dict(type, data_source, …) and an already built pipeline."""
    source = build(config["data_source"], SOURCES, f"{where}.data_source")
    given = {"data_source": source, "pipeline": pipeline, "seed": seed, "on_error": on_error}
    return build({"type": config["type"]}, DATASETS, where, **given)


def collate(samples):
    """default_collate, but an error in one sample becomes the batch's error, for the main process to raise."""
    errors = [sample["error"] for sample in samples if "error" in sample]
    if errors:
        return {"error": errors[0]}
    shapes = {sample["images"].shape for sample in samples}
    if len(shapes) > 1:
        return {"error": f"images of different sizes in one batch {sorted(s[1:3] for s in shapes)}; end the pipeline "
                         "with a crop or a Resize to (height, width)"}
    return default_collate(samples)


def batch_of(batch):
    """The batch itself; UserError where a worker could not make it."""
    if "error" in batch:
        raise UserError(batch["error"])
    return batch


_LINGER = 300  # seconds that a loader worker outlives SIGTERM, unless its loader closes it before


def _start_worker(number):
    # queues and terminals signal whole groups of processes; the trainer decides when to stop, and may need more batches
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_LINGER))
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # a worker is one core


def workers_for(workers, processes_here):
    """Loader workers of one process: the config's number, but without GPUs not more than half of its cores."""
    if torch.cuda.is_available():
        return workers
    return min(workers, max(1, joblib.cpu_count() // (2 * processes_here)))


def build_loader(dataset, batch_sampler, workers):
    """DataLoader over `batch_sampler`, whose batches are lists of (epoch, index)."""
    return DataLoader(dataset, batch_sampler=batch_sampler, num_workers=workers, collate_fn=collate,
                      persistent_workers=workers > 0, pin_memory=torch.cuda.is_available(),
                      worker_init_fn=_start_worker)


@contextlib.contextmanager
def workers_of(loader):
    """`with workers_of(loader):` ends the loader's workers on the way out, however that is."""
    try:
        yield loader
    finally:
        iterator = getattr(loader, "_iterator", None)  # of persistent workers; DataLoader has no public way to end them
        if iterator is not None:
            iterator._shutdown_workers()
            loader._iterator = None
