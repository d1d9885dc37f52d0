"""Command-line options that the commands of meta-testing share, and the RunSettings that they mean."""

import argparse
from dataclasses import fields

from fewshot_wsi.foundation.declared import option
from fewshot_wsi.meta_test.engine import BACKENDS, run_all, worker_count
from fewshot_wsi.meta_test.novel_classes import novel_of, parse_novel
from fewshot_wsi.meta_test.printed import print_run
from fewshot_wsi.meta_test.protocol import DEFAULT, DictionarySettings, TaskFamily, load_protocol
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.settings import PUBLISHED_TASKS, RunSettings


def run_parser(description, example, task):
    """ArgumentParser with the published options of a meta-test, `task` by default, and this project's own."""
    p = argparse.ArgumentParser(description=description, epilog=f"example:\n  {example}",
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    add = p.add_argument
    add("--num_threads", type=int, default=48, help="worker processes, not more than there are cores")
    add("--task", **option(RunSettings, "task", default=task))
    add("--num_task", **option(RunSettings, "num_task"))
    add("--num_shots", **option(RunSettings, "num_shots"))
    add("--num_aug_shots", **option(TaskFamily, "num_aug_shots"))
    add("--mode", **option(RunSettings, "mode"))
    add("--clf", **option(RunSettings, "clf"))
    add("--aug_times", **option(RunSettings, "aug_times"))
    add("--num_prototypes", **option(DictionarySettings, "num_prototypes"))
    add("--dict_pth", help="folder of the dictionaries (default <workdir>/dict)")
    add("--model", **option(RunSettings, "model"), required=True)
    add("--task_data_pth", help="folder of the tasks (default <workdir>/tasks)")
    add("--novel_class", help="near: class left out of pre-training, several as 7,8 or 78")
    own = p.add_argument_group("beyond the published options")
    own.add_argument("--protocol", help=f"which data, classes and tasks (default {DEFAULT})")
    for name in ("seed", "sampling", "solver", "device", "latent", "open"):
        own.add_argument(f"--{name}", **option(RunSettings, name))
    own.add_argument("--open_resamples", **option(RunSettings, "open_resamples"), metavar="B")
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
    given = {field.name: getattr(args, field.name) for field in fields(RunSettings) if field.name in args}
    return RunSettings(**{**given, **folders, "protocol": protocol,
                          "novel": novel_of(protocol, args.task, args.model, asked)})


def meta_test(argv, description, example, task):
    """A whole meta-test command: do the run that the options name, unless its result is there, and print it."""
    args = run_parser(description, example, task).parse_args(argv)
    settings = settings_of(args)
    outcome, = run_all([settings], workers=worker_count(args.num_threads), backend=args.backend,
                       scheduler=args.scheduler, quiet=args.quiet)
    print_run(read_result(outcome.path), args, args.stats)
