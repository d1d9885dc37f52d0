"""Sample the tasks of near-, mixture- or out-domain evaluation: rows of the feature sets, the same for every model."""

import argparse

from fewshot_wsi.meta_test import legacy
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.novel_classes import novel_of, parse_novel
from fewshot_wsi.meta_test.protocol import DEFAULT, SAMPLING, load_protocol
from fewshot_wsi.meta_test.settings import TaskPlan

EXAMPLE = """example:
  python wsi_workdir/tools/generate_task.py --task near --num_shots 5 --novel_class 7 --initialization

Tasks that exist and are the same stay; others are replaced only with --initialization or --overwrite."""


def parse_args(argv=None):
    p = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", required=True, help="task of the protocol, as published near, mixture or out")
    p.add_argument("--mode", choices=("hetero", "homo"), default="hetero",
                   help="homo: all shots of a task from one slide (writes tasks/<task>_homo)")
    p.add_argument("--num_shots", type=int, default=10, help="support tiles a class (default 10)")
    p.add_argument("--num_task", type=int, default=1000, help="number of tasks (default 1000)")
    p.add_argument("--novel_class", help="near: class left out of pre-training, several as 7,8 or 78")
    p.add_argument("--model", default="clp", help="whose features --export_legacy writes; rows are the same for all")
    p.add_argument("--initialization", action="store_true", help="sample the tasks and replace what is there")
    p.add_argument("--overwrite", action="store_true", help="the same as --initialization")
    p.add_argument("--task_out_dir", help="folder of the task files (default <workdir>/tasks)")
    p.add_argument("--num_threads", type=int, default=10, help="threads that write the files of --export_legacy")
    p.add_argument("--aug_times", type=int, default=0, help="accepted and unused, as published")
    p.add_argument("--sampling", choices=SAMPLING, help="rule of sampling (default: the protocol's, published)")
    p.add_argument("--groups", help="CSV path,group for --sampling grouped (default: the protocol's)")
    p.add_argument("--seed", type=int, help="seed of the sampling (default: the protocol's, 0)")
    p.add_argument("--protocol", default=DEFAULT, help=f"which data, classes and tasks (default {DEFAULT})")
    p.add_argument("--export_legacy", action="store_true",
                   help="also write the authors' files, one folder a task, with the features of --model")
    return p.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    protocol = load_protocol(args.protocol)
    task = f"{args.task}_homo" if args.mode == "homo" else args.task
    base = protocol.classes_of(protocol.family(task).support)
    asked = parse_novel(args.novel_class, len(base)) if args.novel_class is not None else None
    plan = TaskPlan(protocol, task, args.num_shots, args.num_task, novel_of(protocol, task, args.model, asked),
                    args.sampling, args.seed, args.groups, args.task_out_dir)
    tasks, how = make_tasks(plan, replace=args.initialization or args.overwrite)
    print(f"{plan.path}: {tasks.num_tasks} tasks {how}")
    if args.export_legacy:
        folder = legacy.export(plan, tasks, args.model, args.num_threads)
        print(f"{folder}: {tasks.num_tasks} folders task_<i> written for {args.model}")
