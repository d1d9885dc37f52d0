"""Command-line options that the commands of meta-testing share, and the RunSettings that they mean."""

import argparse

from fewshot_wsi.meta_test.engine import BACKENDS, run_all, worker_count
from fewshot_wsi.meta_test.printed import print_run
from fewshot_wsi.meta_test.protocol import DEFAULT, OPEN, SAMPLING, load_protocol, modes, parse_novel
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.settings import LATENT, RunSettings, novel_of
from lowshot.classifiers import classifiers
from lowshot.resampling import RESAMPLES

PUBLISHED_TASKS = 300  # of the published commands, where neither --num_task nor --protocol is given


def run_parser(description, example, task):
    """ArgumentParser with the published options of a meta-test, `task` by default, and this project's own."""
    p = argparse.ArgumentParser(description=description, epilog=f"example:\n  {example}",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--num_threads", type=int, default=48, help="worker processes, not more than there are cores")
    p.add_argument("--task", default=task, help=f"task of the protocol (default {task})")
    p.add_argument("--num_task", type=int, help="tasks to score, the first ones of the task file (default "
                   f"{PUBLISHED_TASKS}; with --protocol: the protocol's number)")
    p.add_argument("--num_shots", type=int, default=5, help="support tiles a class (default 5)")
    p.add_argument("--num_aug_shots", type=int, default=100,
                   help="latent_aug: features that a support tile stands for, itself included (default 100)")
    p.add_argument("--mode", choices=modes(), default="linear", help="linear, or latent_aug (default linear)")
    p.add_argument("--clf", default="Ridge", help=f"classifier: {', '.join(classifiers())}, or one that the protocol "
                   "names (default Ridge)")
    p.add_argument("--aug_times", type=int, default=0,
                   help="views of a support tile, the original included; 0 and 1: none but it (default 0)")
    p.add_argument("--num_prototypes", type=int, default=16, help="clusters of the dictionary (default 16)")
    p.add_argument("--dict_pth", help="folder of the dictionaries (default <workdir>/dict)")
    p.add_argument("--model", required=True, help="encoder, as named below extracted_feats")
    p.add_argument("--task_data_pth", help="folder of the tasks (default <workdir>/tasks)")
    p.add_argument("--novel_class", help="near: class left out of pre-training, several as 7,8 or 78")
    own = p.add_argument_group("beyond the published options")
    own.add_argument("--protocol", help=f"which data, classes and tasks (default {DEFAULT})")
    own.add_argument("--seed", type=int, help="seed of latent augmentation's draws (default: the protocol's)")
    own.add_argument("--sampling", choices=SAMPLING, help="how the tasks are sampled (default: the protocol's)")
    own.add_argument("--solver", choices=("batched", "sklearn"), default="batched",
                     help="batched, or the published estimators one task at a time (default batched)")
    own.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="of the batched solver")
    own.add_argument("--latent", choices=LATENT, default="sampled",
                     help="latent_aug: draws as published, or their expectation in closed form (default sampled)")
    own.add_argument("--open", choices=OPEN, help="how the open interval is made: by formula from these tasks, or by "
                     "resampling slides, patients or images and scoring new tasks (default: the protocol's)")
    own.add_argument("--open_resamples", type=int, default=RESAMPLES, metavar="B",
                     help="resamples of --open bootstrap, each as costly as the run itself (default %(default)s)")
    own.add_argument("--backend", choices=BACKENDS, default="loky",
                     help="processes here, or a Dask cluster that sees the same files and has this project installed")
    own.add_argument("--scheduler", help="address of the Dask scheduler, as tcp://host:8786")
    own.add_argument("--stats", action="store_true", help="print a second table: intervals, accuracy, quantiles")
    own.add_argument("--quiet", action="store_true", help="no progress bar")
    return p


def settings_of(args):
    """RunSettings from parsed options; what the protocol decides is written into `args`, so that it is printed."""
    protocol = load_protocol(args.protocol or DEFAULT)
    family = protocol.family(args.task)
    base = protocol.classes_of(family.support)
    asked = parse_novel(args.novel_class, len(base)) if args.novel_class is not None else None
    if args.num_task is None:
        args.num_task = family.num_tasks if args.protocol else PUBLISHED_TASKS
    args.seed = protocol.seed if args.seed is None else args.seed
    args.sampling = args.sampling or protocol.sampling
    args.open = args.open or protocol.open
    folders = {"task_folder": args.task_data_pth, "dict_folder": args.dict_pth}
    args.task_data_pth = f"{args.task_data_pth or protocol.workdir + '/tasks'}/{args.task}"
    args.dict_pth = args.dict_pth or protocol.workdir + "/dict"
    names = ("task", "model", "mode", "clf", "num_shots", "num_task", "num_aug_shots", "aug_times", "num_prototypes",
             "latent", "solver", "sampling", "seed", "device", "open", "open_resamples")
    return RunSettings(protocol, novel=novel_of(protocol, args.task, args.model, asked),
                    **{name: getattr(args, name) for name in names}, **folders)


def meta_test(argv, description, example, task):
    """A whole meta-test command: do the run that the options name, unless its result is there, and print it."""
    args = run_parser(description, example, task).parse_args(argv)
    settings = settings_of(args)
    outcome, = run_all([settings], workers=worker_count(args.num_threads), backend=args.backend,
                       scheduler=args.scheduler, quiet=args.quiet)
    print_run(read_result(outcome.path), args, args.stats)
