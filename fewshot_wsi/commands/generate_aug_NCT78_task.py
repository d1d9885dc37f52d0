"""Tasks of the ablations: sample them (--task NCT78), and check or export their augmented views (--task NCT78_aug).

Task files hold rows; the augmented views of their support tiles are looked up when a task is scored. So NCT78_aug
says whether all views that the tasks need are there, and writes only with --export_legacy: the authors' files.
"""

import argparse

from fewshot_wsi.meta_test import legacy
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.inputs import Inputs
from fewshot_wsi.meta_test.novel_classes import novel_of, novel_tag
from fewshot_wsi.meta_test.protocol import DEFAULT, SAMPLING, load_protocol
from fewshot_wsi.meta_test.settings import RunSettings, TaskPlan

EXAMPLE = """example:
  python wsi_workdir/tools/generate_aug_NCT78_task.py --task NCT78 --num_shots 5 --num_task 300"""
TASK = "NCT_78_aug"  # its name in the protocol, and that of its folder


def parse_args(argv=None):
    p = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--task", choices=("NCT78", "NCT78_aug"), default="NCT78_aug",
                   help="NCT78: sample the tasks; NCT78_aug: their augmented views (default)")
    p.add_argument("--num_task", type=int, default=300, help="number of tasks (default 300)")
    p.add_argument("--num_shots", type=int, default=5, help="support tiles a class (default 5)")
    p.add_argument("--aug_times", type=int, default=0,
                   help="NCT78_aug: augmented views, the original not counted (default 0)")
    p.add_argument("--task_out_dir", help="folder of the task files (default <workdir>/tasks)")
    p.add_argument("--num_threads", type=int, default=10, help="threads that write the files of --export_legacy")
    p.add_argument("--model", help="whose features (default: the task's model in the protocol, clp_wo_78)")
    p.add_argument("--overwrite", action="store_true", help="NCT78: replace other tasks that are there")
    p.add_argument("--sampling", choices=SAMPLING, help="rule of sampling (default: the protocol's, published)")
    p.add_argument("--groups", help="CSV path,group for --sampling grouped (default: the protocol's)")
    p.add_argument("--seed", type=int, help="seed of the sampling (default: the protocol's, 0)")
    p.add_argument("--protocol", default=DEFAULT, help=f"which data, classes and tasks (default {DEFAULT})")
    p.add_argument("--export_legacy", action="store_true", help="also write the authors' files, one folder a task")
    args = p.parse_args(argv)
    if args.overwrite and args.task != "NCT78":
        p.error("--overwrite belongs to --task NCT78, which samples tasks; NCT78_aug leaves them as they are")
    return args


def main(argv=None):
    args = parse_args(argv)
    protocol = load_protocol(args.protocol)
    novel = novel_of(protocol, TASK)
    model = args.model or protocol.family(TASK).methods[0][0].replace("{novel}", novel_tag(novel) if novel else "")
    plan = TaskPlan(protocol, TASK, args.num_shots, args.num_task, novel, args.sampling, args.seed, args.groups,
                    args.task_out_dir)
    views = args.aug_times if args.task == "NCT78_aug" else 0
    if args.task == "NCT78":
        tasks, how = make_tasks(plan, replace=args.overwrite)
        print(f"{plan.path}: {tasks.num_tasks} tasks {how}")
    else:
        settings = RunSettings(protocol, TASK, model, num_shots=args.num_shots, num_task=args.num_task, novel=novel,
                               aug_times=views + 1, sampling=plan.sampling, task_folder=args.task_out_dir)
        tasks = Inputs().prepare(settings).tasks
        print(f"{plan.path}: {tasks.num_tasks} tasks, {views} augmented views of their support tiles are there")
    if args.export_legacy:
        folder = legacy.export(plan, tasks, model, args.num_threads, views)
        print(f"{folder}: {tasks.num_tasks} folders task_<i> written for {model}, {views} views beside each tile")
