"""What is to be extracted: from a request to jobs, and the jobs done with one encoder after the other."""

import logging
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import Terminated, UserError
from fewshot_wsi.foundation.files import shipped
from fewshot_wsi.foundation.image_files import find_images
from fewshot_wsi.foundation.lists import check_labels, read_list, write_list
from fewshot_wsi.meta_test.protocol import Protocol, is_preset
from fewshot_wsi.meta_test.runs import runs_of, sets_needed
from fewshot_wsi.meta_test.views import views_of
from lowshot.tasks import check_rows, load_tasks
from openselfsup import distributed
from openselfsup.apis.extract import ExtractionJob, ExtractionSettings, extract, pick_device, pick_workers
from openselfsup.apis.recipe import load_recipe, preset_recipe
from openselfsup.apis.verify import verify
from openselfsup.apis.views import saving, view_jobs
from openselfsup.encoders import build_encoder

logger = logging.getLogger(__name__)

CONFIG = "configs/extraction/extract_feats_LC.py"  # of encoders without a preset: 224 pixels, as published


@dataclass(frozen=True)
class ExtractionRequest:
    """Sets of a protocol's models, or one list through one encoder. None: as the protocol or the config says."""
    protocol: Protocol | None = None
    models: tuple = ()             # with a protocol: its models to extract with
    sets: tuple = ()               # with a protocol: its sets; () for those that its tasks need
    config: str | None = None      # extraction config
    pretrained: str | None = None  # without a protocol: weights file
    encoder: str | None = None     # without a protocol: an encoder without weights, or a preset's file
    output: str | None = None      # without a protocol: features file
    list: str | None = None
    root: str | None = None
    labels: str | None = None      # where the list's labels go
    views: int | None = None       # number of augmented views; None: 100
    start: int = 0                 # number of the first view
    rows: tuple = ()               # task files: views of their support rows alone
    seed: int = 0                  # of views and of the random encoder
    batch_size: int | None = None
    workers: int | None = None
    device: str = "auto"
    runtime: str = "torch"         # what computes networks on a CPU: torch or openvino
    precision: str = "float32"     # without a protocol: of a network's products, float32 or bf16
    trust: bool = False            # whether to run weights that are programs (TorchScript)
    overwrite: bool = False
    quiet: bool = False
    verify: int | None = None      # number of rows of ready features to make again


def run(request):
    """Make the features that a ExtractionRequest asks for; processes of a distributed run all call this alike."""
    for (name, weights, precision, _), jobs in groupby(plan(request), key=lambda item: item[0]):
        run_jobs([job for _, job in jobs], name, weights, precision, request)


def verify_ready(request):
    """Compare `request.verify` rows of each features file with what its encoder gives; how many files do not agree."""
    failed = 0
    for (name, weights, precision, _), jobs in groupby(plan(request), key=lambda item: item[0]):
        encoder = None
        for _, job in jobs:
            encoder = encoder or encoder_of(job.recipe, name, weights, precision, request)
            verdict = verify(job, encoder, request.verify)
            failed += bool(verdict.findings)
            for finding in verdict.findings:
                logger.info(f"{job.output}: {finding}")
            if not verdict.findings:
                logger.info(f"{job.output}: {verdict.rows} of {verdict.rows} rows agree with {encoder.name}, smallest "
                            f"cosine {verdict.smallest:.6f}")
    return failed


def on_all_processes(launcher, work, port=None):
    """`work()` on each of the processes that `launcher` has started; an exit code where another process says why."""
    distributed.start(launcher, "gloo", port)  # only small messages pass between processes
    try:
        work()
    except (UserError, KeyboardInterrupt, Terminated) as error:
        if distributed.rank() > 0:  # all processes end alike, the first one says why
            return {UserError: 2, KeyboardInterrupt: 130, Terminated: 143}[type(error)]
        raise
    finally:
        distributed.stop()


def plan(request):
    """List of ((encoder name, weights, precision, config hash), ExtractionJob), equal encoders beside each other."""
    if request.protocol is None:
        recipe = recipe_of(request.encoder, request.config)
        job = one_job(recipe, request.list, request.root, Path(request.output), request)
        return [((request.encoder, request.pretrained, request.precision, job.recipe.sha256), j)
                for j in with_views(job, request)]
    return sorted(protocol_jobs(request), key=lambda item: tuple(map(str, item[0])))


def protocol_jobs(request):
    protocol = request.protocol
    for model in request.models:
        if model not in protocol.models:
            raise UserError(f"{protocol.path}: no model {model!r}; there are {', '.join(protocol.models)}")
        encoder, precision = protocol.models[model].encoder, protocol.models[model].precision
        weights = protocol.weights_file(model) if protocol.models[model].needs_weights else None
        for name in request.sets or sets_of(protocol, model):
            image_set = protocol.set(name)
            recipe = recipe_of(encoder, request.config or protocol.config_of(name))
            job = one_job(recipe, image_set.list, image_set.root, protocol.features_file(model, name), request)
            check_labels(read_list(image_set.list, labeled=True).labels, len(protocol.classes_of(name)),
                         image_set.list)
            if job.recipe.augmented:
                folder, prefix = views_of(protocol, model, name)
                job = replace(job, output=folder / f"{prefix}.npy")
            for j in with_views(job, request):
                yield (encoder, weights, precision, job.recipe.sha256), j


def sets_of(protocol, model):
    """Names of the sets whose features the protocol's tasks need of `model`, in the protocol's order."""
    needed = sets_needed(runs_of(protocol)).get(model, ())
    return [name for name in protocol.sets if name in needed] or list(protocol.sets)


def recipe_of(encoder, config):
    """Recipe of an encoder: that of its preset, where it has one, else that of an extraction config (None: CONFIG).

    The random operations of a config with views come before a preset's own; its other operations have no place there.
    """
    if not is_preset(encoder):
        return load_recipe(config or shipped(CONFIG))
    views = None if config is None else load_recipe(config)
    return preset_recipe(encoder, views if views is not None and views.augmented else None)


def one_job(recipe, list_file, root, output, request):
    """ExtractionJob of one set. list_file: a list, or a folder or zip of tiles, whose list is put beside `output`."""
    if not (list_file or recipe.list_file):
        raise UserError(f"{recipe.path}: names no list (data.extract.data_source.list_file is empty); name it with "
                        "--list FILE and its images with --root DIR, or take both from a protocol with --protocol and "
                        "--model")
    if output.suffix != ".npy":
        raise UserError(f"--output {output}: features are written as .npy")
    if list_file and not request.protocol and (Path(list_file).is_dir() or Path(list_file).suffix == ".zip"):
        list_file, root = list_of_folder(list_file, output), root or list_file
    images = read_list(list_file or recipe.list_file)
    labels = Path(request.labels) if request.labels else output.absolute().parents[1] / f"{output.stem}_labels.npy"
    return ExtractionJob(images, root or recipe.root, recipe, output, labels, seed=request.seed)


def list_of_folder(folder, output):
    """The list `X.txt` of all tiles below `folder`, written beside the features X.npy; features made of other tiles are
    then named by their provenance."""
    path = output.with_suffix(".txt")

    def write():
        names = tuple(find_images(folder))
        if not (path.is_file() and read_list(path, labeled=False).names == names):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_list(path, names)

    distributed.from_first(write)
    return path


def with_views(job, request):
    """[job], or its augmented views where the config's operations are random."""
    if not job.recipe.augmented:
        if request.views or request.rows or request.start:
            raise UserError(f"{job.recipe.path}: --views, --start and --rows are for configs with random operations")
        return [job]
    if request.verify:
        raise UserError(f"{job.recipe.path}: --verify is for features of the tiles themselves, not of random views")
    views = request.views or 100
    if request.rows:
        job = replace(job, rows=np.unique(np.concatenate([support_rows(path, job) for path in request.rows])))
        if distributed.rank() == 0:
            logger.info(saving(job.rows, len(job.images), views))
    return view_jobs(job, request.start, views, request.overwrite)


def support_rows(path, job):
    tasks = load_tasks(path)
    if job.images.labels is None:
        raise UserError(f"{job.images.path}: --rows needs a list with labels, to see that the tasks fit it")
    check_rows(tasks.support, job.images.labels, tasks.support_labels, f"{path}, support")
    return tasks.support.ravel()


def run_jobs(jobs, name, weights, precision, request):
    recipe = jobs[0].recipe
    encoder = encoder_of(recipe, name, weights, precision, request)
    extract(jobs, encoder, ExtractionSettings(request.overwrite, pick_workers(request.workers, recipe),
                                              request.batch_size or recipe.batch_size, request.quiet))


def encoder_of(recipe, name, weights, precision, request):
    return build_encoder(name, weights, recipe, pick_device(request.device), request.seed, request.trust,
                         request.runtime, precision)
