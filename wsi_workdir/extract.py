"""Extract features: tiles of a list through an encoder, one row of unit length a tile.

Published form, one set:
  python wsi_workdir/extract.py --pretrained wsi_workdir/workdir/pretrained_weights/clp.pth \\
      --config configs/extraction/extract_feats_LC.py --output wsi_workdir/workdir/extracted_feats/clp/LC.npy
All sets that a model's tasks need, paths from the protocol:
  python wsi_workdir/extract.py --protocol configs/protocols/paper.py --model clp
Colour alone, as a baseline:
  python wsi_workdir/extract.py --encoder mean_rgb --config configs/extraction/extract_feats_LC.py \\
      --output wsi_workdir/workdir/extracted_feats/mean_rgb/LC.npy
15 augmented views of the tiles that a task file uses:
  python wsi_workdir/extract.py --pretrained wsi_workdir/workdir/pretrained_weights/clp_wo_78.pth \\
      --config configs/extraction/extract_feats_NCT_aug.py --views 15 \\
      --rows wsi_workdir/workdir/tasks/NCT_78_aug/9-way-5-shot_wo_78.npz \\
      --output wsi_workdir/workdir/extracted_feats/clp_wo_78/NCT_aug/NCT_aug.npy
Several GPUs or processes: tools/dist_extract.sh and tools/srun_extract.sh take the same options.

Beside X.npy lies X.json, which says what made it, and in the folder above X_labels.npy. Finished features are kept and
an interrupted run goes on where it was.
"""

import argparse
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import numpy as np

from lowshot.errors import Terminated, UserError, run_command
from lowshot.legacy import views_of
from lowshot.lists import check_labels, read_list
from lowshot.protocol import load_protocol, novel_tag
from lowshot.tasks import check_rows, load_tasks
from openselfsup import distributed
from openselfsup.apis.extract import Job, Settings, extract, pick_device, pick_workers
from openselfsup.apis.recipe import load_recipe
from openselfsup.apis.views import saving, view_jobs
from openselfsup.encoders import FIXED, build_encoder


def parse_args(argv):
    description, examples = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(description=description, epilog=examples,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretrained", metavar="FILE", help="weights of the encoder")
    add("--encoder", choices=FIXED, help="an encoder without weights, instead of --pretrained")
    add("--config", metavar="FILE", help="extraction config (with --protocol: instead of that of the set)")
    add("--output", metavar="FILE.npy", help="features to write (with --protocol: named by the protocol)")
    add("--list", metavar="FILE", help="image list, instead of the config's")
    add("--root", metavar="DIR", help="folder of the images, instead of the config's")
    add("--labels", metavar="FILE.npy", help="where the list's labels go (default: <X>_labels.npy above X's folder)")
    add("--protocol", metavar="FILE", help="take sets, configs and paths from this protocol")
    add("--model", nargs="+", metavar="M", help="models of the protocol to extract with")
    add("--sets", nargs="+", metavar="S", help="sets of the protocol (default: those that tasks need of the model)")
    add("--tiles", metavar="DIR", help="folder for a protocol that reads tiles of yours")
    add("--views", type=_positive, metavar="N", help="number of augmented views (random configs; default 100)")
    add("--start", type=int, default=0, metavar="K", help="number of the first view")
    add("--rows", nargs="+", metavar="TASKS.npz", help="views of only the support rows of these task files")
    add("--seed", type=int, default=0, help="of views and of the random encoder")
    add("--batch_size", type=_positive, help="rows computed and stored together (default: the config's)")
    add("--workers", type=_positive, help="threads that read images (default: the config's, at most one a core)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--overwrite", action="store_true", help="replace features and labels that are there")
    add("--quiet", action="store_true", help="no progress")
    add("--launcher", choices=("none", "pytorch", "slurm", "mpi"), default="none", help="for the dist and srun scripts")
    add("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.protocol:
        wrong = [name for name in ("output", "list", "root", "labels", "pretrained", "encoder") if getattr(args, name)]
        if wrong or not args.model:
            parser.error(f"with --protocol, give --model, and leave out --{wrong[0]}" if wrong else
                         "--protocol needs --model M (one of its models)")
    elif not args.config or not args.output:
        parser.error("give --config and --output, or --protocol and --model")
    elif args.model or args.sets or args.tiles:
        parser.error("--model, --sets and --tiles belong to --protocol")
    if args.seed < 0 or args.start < 0:
        parser.error("--seed and --start are whole numbers from 0")
    return args


def main(argv=None):
    args = parse_args(argv)
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


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1")
    return number


if __name__ == "__main__":
    sys.exit(run_command(main))
