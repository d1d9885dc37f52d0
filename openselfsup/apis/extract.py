"""Feature extraction: the one implementation behind every extraction command.

feature = mean over positions of the encoder's last map, divided by its Euclidean length (float32).

What is there and agrees is kept; processes share the missing blocks, which openselfsup/apis/blocks.py computes.
"""

import logging
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import torch

import openselfsup
from fewshot_wsi.foundation.bounded import read_npy
from fewshot_wsi.foundation.device import choose_device
from fewshot_wsi.foundation.errors import Terminated, UserError
from fewshot_wsi.foundation.feature_writer import FeatureWriter
from fewshot_wsi.foundation.features import load_features
from fewshot_wsi.foundation.files import file_sha256, write_npy
from fewshot_wsi.foundation.lists import ImageList
from fewshot_wsi.foundation.printable import some
from fewshot_wsi.foundation.provenance import (
    PRECISIONS,
    UNIT,
    differences,
    images_sha256,
    labels_sha256,
    read_provenance,
    rows_sha256,
)
from openselfsup import distributed
from openselfsup.apis.blocks import fill
from openselfsup.apis.reading import ListedTiles, check_listed
from openselfsup.apis.recipe import Recipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionJob:
    """One features file to make.

    Attributes
    ----------
    images : ImageList
    root : str
        Folder of the images.
    recipe : Recipe
    output : Path
        The features file.
    labels_file : Path or None
        Where the list's labels go.
    rows : (n,) ints or None
        Rows of the list, ascending; None for all.
    view : int or None
        Number of the augmented view; None for the tile itself.
    seed : int
        Of the view's random operations.
    """
    images: ImageList
    root: str
    recipe: Recipe
    output: Path
    labels_file: Path | None = None
    rows: np.ndarray | None = None
    view: int | None = None
    seed: int = 0

    @property
    def tiles(self):
        return ListedTiles(self.images.names, Path(self.root), self.recipe.pipeline, self.rows, self.view, self.seed)

    @property
    def title(self):
        return f"{self.output.parent.name}/{self.output.stem}"


@dataclass(frozen=True)
class ExtractionSettings:
    """How to run; none of it changes the features beyond rounding.

    Attributes
    ----------
    overwrite : bool
        Whether to replace features and labels that are there.
    workers : int
        Threads that read images.
    batch_size : int
        Rows computed and stored together.
    quiet : bool
        Whether to show no progress.
    """
    overwrite: bool = False
    workers: int = 1
    batch_size: int = 256
    quiet: bool = False


def extract(jobs, encoder, settings):
    """Make the features of all `jobs` with one `encoder`, skipping what is there and agrees.

    Lists, labels, existing files and the presence of all images are checked for all jobs before the first image is
    read. Every process of a distributed run calls this with the same arguments. UserError: existing features or labels
    that disagree (without `overwrite`), images that are missing or do not decode, features that are not finite.
    """
    writers = [_writer(job, encoder, settings) for job in jobs]
    todo = distributed.from_first(lambda: [_must_run(job, writer, settings)
                                for job, writer in zip(jobs, writers, strict=True)])
    distributed.from_first(lambda: _prepare([job for job, run in zip(jobs, todo, strict=True) if run], jobs, settings))
    for job, writer, run in zip(jobs, writers, todo, strict=True):
        if run:
            with distributed.locked_by_first(job.output):
                if distributed.from_first(lambda job=job, writer=writer: _must_run(job, writer, settings)):
                    _make(job, writer, encoder, settings)


def pick_device(name):
    """torch.device of this process for --device auto, cpu or cuda. UserError where cuda is asked for and absent."""
    return torch.device("cpu") if choose_device(name) == "cpu" else distributed.device()


def pick_workers(workers, recipe):
    """Reading threads of this process: `workers`, or the config's number but no more than there are cores for it."""
    if workers:
        return workers
    return max(1, min(recipe.workers, joblib.cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


def code_version():
    """The commit of the working tree that this package lies in, else its version."""
    here = Path(openselfsup.__file__).parent
    try:
        commit = subprocess.run(["git", "-C", here, "describe", "--always", "--dirty", "--abbrev=12"], text=True,
                                capture_output=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return openselfsup.__version__
    return commit if (here.parent / ".git").exists() else openselfsup.__version__


def _writer(job, encoder, settings):
    labels = job.images.labels
    provenance = {
        "encoder": encoder.name, "weights_sha256": encoder.weights_sha256, "config_sha256": job.recipe.sha256,
        "list": str(job.images.path), "list_sha256": file_sha256(job.images.path),
        "labels_sha256": None if labels is None else labels_sha256(labels if job.rows is None else labels[job.rows]),
        "code_version": code_version(), "config": job.recipe.path, "batch_size": settings.batch_size,
        "device": encoder.device.type, "precision": getattr(encoder, "precision", PRECISIONS[0]), "normalize": UNIT,
        **_origin(encoder)}
    if job.view is not None or encoder.name == "random" or encoder.weights_sha256 == "random":
        provenance["seed"] = job.seed
    if job.view is not None:
        provenance["view"] = job.view
        provenance["view_rows_sha256"] = None if job.rows is None else rows_sha256(job.rows)
    return FeatureWriter(job.output, provenance, rows=len(job.tiles), dim=encoder.dim, block=settings.batch_size)


def _origin(encoder):
    """What a preset says of an encoder's origin, for reports."""
    preset = getattr(encoder, "preset", None)
    if preset is None:
        return {}
    return {"license": preset.license, "citation": preset.citation, "mpp": preset.mpp,
            "pretraining_data": list(preset.pretraining_data)}


def _must_run(job, writer, settings):
    """Whether the features have to be made. UserError where others are in the way."""
    if not job.output.exists() or writer.started():
        return True
    made = read_provenance(job.output)
    if made is None and not settings.overwrite:
        load_features(job.output, writer.rows)  # says that the origin is not known
        logger.info(f"kept {job.output}: there already, {writer.rows} rows as in the list (--overwrite makes it again)")
        return False
    if settings.overwrite:
        return True
    other = differences(made, writer.provenance) or _other_images(made, job)
    if other:
        other = ["encoder"] if "encoder" in other else other
        raise UserError(f"{job.output}: made with another {' and '.join(_PLAIN[key] for key in other)} than asked for "
                        "now; keep it by choosing another --output, or replace it with --overwrite")
    load_features(job.output, writer.rows)
    logger.info(f"kept {job.output}: made by the same encoder, weights, list and config")
    return False


def _other_images(made, job):
    """['images_sha256'] where the images are not those of the provenance `made`; earlier versions do not name them."""
    if "images_sha256" not in made:
        return []
    now = images_sha256(job.tiles.hashes_now(range(len(job.tiles))))
    return ["images_sha256"] if made["images_sha256"] != now else []


_PLAIN = {"encoder": "encoder", "weights_sha256": "weights file", "list_sha256": "list", "config_sha256": "config",
          "images_sha256": "content of the images", "seed": "seed", "view": "view",
          "view_rows_sha256": "choice of rows", "precision": "precision"}


def _prepare(todo, jobs, settings):
    """Everything that can go wrong before the first image is read: labels, missing images."""
    labels = {job.labels_file: job.images.labels for job in jobs
              if job.labels_file and job.images.labels is not None}
    for path, labels_of_list in labels.items():
        if path.exists() and not settings.overwrite and not _same_labels(path, labels_of_list):
            raise UserError(f"{path}: holds other labels than the list now has; choose another --labels file, or "
                            "replace it with --overwrite (features of other models then need the same)")
    checked = {(job.images.path, str(job.root), None if job.rows is None else rows_sha256(job.rows)): job
               for job in todo}
    for job in checked.values():
        check_listed(job.tiles, job.images.path)
    for path, labels_of_list in labels.items():
        if not path.exists() or not _same_labels(path, labels_of_list):
            write_npy(path, labels_of_list)
            logger.info(f"wrote {path}: {len(labels_of_list)} labels")


def _same_labels(path, labels):
    try:
        return np.array_equal(read_npy(path), labels)
    except ValueError:  # no array at all
        return False


def _make(job, writer, encoder, settings):
    tiles = job.tiles
    started, missing = time.monotonic(), distributed.from_first(lambda: writer.missing(tiles.hashes_now))
    mine = missing[distributed.rank()::distributed.world_size()]
    _settle(distributed.gather_objects(fill(job, writer, mine, encoder, settings)), job, writer)
    provenance = distributed.from_first(writer.finish)
    if distributed.rank() == 0:
        count = sum(len(writer.rows_of(number)) for number in missing)
        seconds = time.monotonic() - started
        logger.info(f"wrote {job.output}: {writer.rows} × {writer.dim}, {count} images in {seconds:.1f} s "
                    f"({count / seconds:.1f} images/s)")
        _report_zeros(job, provenance)


def _settle(outcomes, job, writer):
    broken = [line for outcome in outcomes for line in outcome.broken]
    for outcome in outcomes:
        if outcome.error:
            raise UserError(outcome.error)
        if outcome.signal:
            raise KeyboardInterrupt if outcome.signal == signal.SIGINT else Terminated
    if broken:
        raise UserError(f"{job.images.path}: {len(broken)} of {writer.rows} images do not decode: {some(broken)}; "
                        "repair them or remove them from the list, then run the same command again (finished "
                        "batches are kept)")


def _report_zeros(job, provenance):
    zeros = provenance.get("zero_rows")
    if zeros:
        names = [job.images.names[job.tiles.row(item)] for item in zeros]
        logger.warning(f"{job.output}: {len(zeros)} images have features of zero, which have no unit length and stay "
                       f"zero: {some(names)}")
