"""What an extraction command makes: from its options to jobs, and the jobs done with one encoder after the other."""

from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np

from lowshot.errors import Terminated, UserError
from lowshot.lists import check_labels, read_list
from lowshot.protocol import load_protocol, novel_tag
from lowshot.tasks import check_rows, load_tasks
from lowshot.views import views_of
from openselfsup import distributed
from openselfsup.apis.extract import Job, Settings, extract, pick_device, pick_workers
from openselfsup.apis.recipe import load_recipe
from openselfsup.apis.views import saving, view_jobs
from openselfsup.encoders import build_encoder


def run(args):
    """Do what the options of extract.py say, on every process alike."""
    distributed.start(args.launcher, backend="gloo")  # only small messages pass between processes
    try:
        for (name, weights, _), jobs in groupby(plan(args), key=lambda item: item[0]):
            run_jobs([job for _, job in jobs], name, weights, args)
    except (UserError, KeyboardInterrupt, Terminated) as error:
        if distributed.rank() > 0:  # all processes end alike, the first one says why
            return {UserError: 2, KeyboardInterrupt: 130, Terminated: 143}[type(error)]
        raise
    finally:
        distributed.stop()


def plan(args):
    """List of ((encoder name, weights, config hash), Job), equal encoders beside each other."""
    if not args.protocol:
        job = one_job(args.config, args.list, args.root, Path(args.output), args)
        return [((args.encoder, args.pretrained, job.recipe.sha256), j) for j in with_views(job, args)]
    protocol = load_protocol(args.protocol, tiles=args.tiles)
    return sorted(protocol_jobs(protocol, args), key=lambda item: tuple(map(str, item[0])))


def protocol_jobs(protocol, args):
    for model in args.model:
        if model not in protocol.models:
            raise UserError(f"{protocol.path}: no model {model!r}; there are {', '.join(protocol.models)}")
        encoder = protocol.models[model].encoder
        weights = None if encoder else protocol.weights_file(model)
        for name in args.sets or sets_of(protocol, model):
            image_set = protocol.set(name)
            job = one_job(args.config or image_set.config, image_set.list, image_set.root,
                          protocol.features_file(model, name), args)
            check_labels(read_list(image_set.list, labeled=True).labels, len(protocol.classes_of(name)),
                         image_set.list)
            if job.recipe.augmented:
                folder, prefix = views_of(protocol, model, name)
                job = replace(job, output=folder / f"{prefix}.npy")
            for j in with_views(job, args):
                yield (encoder, weights, job.recipe.sha256), j


def sets_of(protocol, model):
    """Names of the sets whose features the protocol's tasks need of `model`, in the protocol's order."""
    needed = set()
    for family in protocol.tasks.values():
        for pattern, mode, _ in family.methods:
            tags = [novel_tag(novel) for novel in family.novel_classes] or [""]
            if model in {pattern.replace("{novel}", tag) for tag in tags}:
                needed |= {family.support, family.query}
                needed |= {protocol.dictionary.set} if mode == "latent_aug" else set()
    return [name for name in protocol.sets if name in needed] or list(protocol.sets)


def one_job(config, list_file, root, output, args):
    recipe = load_recipe(config)
    if not (list_file or recipe.list_file):
        raise UserError(f"{config}: names no list (data.extract.data_source.list_file is empty); name it with --list "
                        "FILE and its images with --root DIR, or take both from a protocol with --protocol and --model")
    images = read_list(list_file or recipe.list_file)
    if output.suffix != ".npy":
        raise UserError(f"--output {output}: features are written as .npy")
    labels = Path(args.labels) if args.labels else output.absolute().parents[1] / f"{output.stem}_labels.npy"
    return Job(images, root or recipe.root, recipe, output, labels, seed=args.seed)


def with_views(job, args):
    """[job], or its augmented views where the config's operations are random."""
    if not job.recipe.augmented:
        if args.views or args.rows or args.start:
            raise UserError(f"{job.recipe.path}: --views, --start and --rows are for configs with random operations")
        return [job]
    views = args.views or 100
    if args.rows:
        job = replace(job, rows=np.unique(np.concatenate([support_rows(path, job) for path in args.rows])))
        if distributed.rank() == 0:
            print(saving(job.rows, len(job.images), views))
    return view_jobs(job, args.start, views, args.overwrite)


def support_rows(path, job):
    tasks = load_tasks(path)
    if job.images.labels is None:
        raise UserError(f"{job.images.path}: --rows needs a list with labels, to see that the tasks fit it")
    check_rows(tasks.support, job.images.labels, tasks.support_labels, f"{path}, support")
    return tasks.support.ravel()


def run_jobs(jobs, name, weights, args):
    recipe = jobs[0].recipe
    encoder = build_encoder(name, weights, recipe, pick_device(args.device), args.seed)
    extract(jobs, encoder, Settings(args.overwrite, pick_workers(args.workers, recipe),
                                    args.batch_size or recipe.batch_size, args.quiet))
