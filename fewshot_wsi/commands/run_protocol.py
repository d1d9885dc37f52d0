"""Run a whole protocol, from images to F1 with confidence intervals; what is finished is skipped."""

import argparse
import contextlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import joblib

from fewshot_wsi.foundation.errors import UserError, run_command
from fewshot_wsi.foundation.files import write_json
from fewshot_wsi.meta_test.engine import BACKENDS, worker_count
from fewshot_wsi.meta_test.protocol import DEFAULT, OPEN, SAMPLING, load_protocol
from fewshot_wsi.meta_test.runs import parse_shard
from fewshot_wsi.meta_test.settings import LATENT
from fewshot_wsi.pipeline.children import logged
from fewshot_wsi.pipeline.plan import ABLATION, Plan
from fewshot_wsi.pipeline.stages import BY_MODEL, STAGES, run_stages

EXAMPLE = """examples:
  python wsi_workdir/run_protocol.py --protocol configs/protocols/quickstart.py
  python wsi_workdir/run_protocol.py --only near --shard 2/8          # meta-testing: one of eight jobs that share it
  python wsi_workdir/run_protocol.py --only mixture,out --stages tasks,dictionary,meta_test,summary
"""


def parse_args(argv=None):
    p = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--protocol", default=DEFAULT, help="which data, models, tasks and methods (default %(default)s)")
    p.add_argument("--tiles", help="folder of tiles, for protocols that read them from a folder of yours")
    p.add_argument("--only", type=_names, default=(), metavar="TASK[,TASK]", help="tasks of the protocol (default all)")
    p.add_argument("--stages", type=_names, metavar="STAGE[,STAGE]",
                   help=f"some of {', '.join(STAGES)} (default all; with --shard: meta_test)")
    p.add_argument("--shard", help="i/n: the i-th of n shares, for jobs side by side: of the runs of meta_test, or of "
                   f"the models of {', '.join(BY_MODEL)}")
    p.add_argument("--workers", type=int, help="processes of meta-testing (default: one a core)")
    p.add_argument("--gpus", type=int, help="processes of pre-training (default: one a GPU, one without any)")
    p.add_argument("--backend", choices=BACKENDS, default="loky", help="processes here, or a Dask cluster")
    p.add_argument("--scheduler", help="address of the Dask scheduler, as tcp://host:8786")
    p.add_argument("--solver", choices=("batched", "sklearn"), help="see distributed_meta_test.py")
    p.add_argument("--latent", choices=LATENT, help="sampled as published (default), or expected in closed form")
    p.add_argument("--sampling", choices=SAMPLING, help="how tasks are sampled (default: the protocol's)")
    p.add_argument("--open", choices=OPEN, help="how open intervals are made (default: the protocol's); bootstrap: "
                   "in 100 times the time")
    p.add_argument("--ablation", choices=ABLATION, default="no",
                   help="also the protocol's variations; short: those without augmented views (default no)")
    p.add_argument("--workdir", help="where everything is written (default: the protocol's)")
    p.add_argument("--fresh", action="store_true", help="do the chosen stages again; user-provided files stay")
    p.add_argument("--dry_run", action="store_true", help="only say what would be done, and why")
    p.add_argument("--blocks", action="store_true", help="print the published block of every run")
    p.add_argument("--quiet", action="store_true", help="no progress bar of meta-testing")
    p.add_argument("--log", help="write all output to this file too")
    return p.parse_args(argv)


def _names(text):
    return tuple(name for name in text.replace("-", "_").split(",") if name)


def main(argv=None):
    args = parse_args(argv)

    def with_log(_):
        with logged(args.log) if args.log else contextlib.nullcontext():
            return run_command(lambda _: _run(args))  # inside, so that its last words are in the log
    return run_command(with_log)


def _run(args):
    stages = check_stages(args)
    for name in ("workers", "gpus"):
        if (count := getattr(args, name)) is not None and count < 1:
            raise UserError(f"--{name} {count}: give a whole number from 1")
    plan = make_plan(args)
    seconds = run_stages(plan, stages)
    print("\ntime of each stage")
    for stage, value in [*seconds.items(), ("all", sum(seconds.values()))]:
        print(f"  {stage:10} {value // 60:3.0f} min {value % 60:4.1f} s")


def check_stages(args):
    """Names of the stages to do. UserError: unknown ones, or some that jobs side by side cannot share."""
    stages = args.stages or (("meta_test",) if args.shard else tuple(STAGES))
    for stage in stages:
        if stage not in STAGES:
            raise UserError(f"--stages: no stage {stage!r}; known: {', '.join(STAGES)}")
    if args.shard and stages != ("meta_test",) and not set(stages) <= set(BY_MODEL):
        raise UserError(f"--shard shares the models of --stages {','.join(BY_MODEL)}, or the runs of --stages "
                        "meta_test; do the stages before and after without --shard")
    return stages


def make_plan(args):
    protocol = load_protocol(args.protocol, args.tiles, args.workdir)
    for task in args.only:
        protocol.family(task)  # names the nearest known one
    if (args.tiles or args.workdir) and not args.dry_run:
        protocol = _written_down(protocol)
    changes = {key: value for key in ("solver", "latent", "sampling", "open") if (value := getattr(args, key))}
    return Plan(protocol, args.only, parse_shard(args.shard) if args.shard else None,
                workers=worker_count(args.workers or joblib.cpu_count()), processes=args.gpus or _gpus(),
                backend=args.backend, scheduler=args.scheduler, changes=changes, ablation=args.ablation,
                fresh=args.fresh, dry_run=args.dry_run, blocks=args.blocks, quiet=args.quiet)


def _written_down(protocol):
    """The protocol with all that the command line says about it, in a file that other commands can read."""
    path = Path(protocol.workdir, "protocol.json")
    write_json(path, json.loads(json.dumps({key: value for key, value in asdict(protocol).items() if key != "path"})))
    return replace(protocol, path=str(path))


def _gpus():
    import torch  # here, not above: it takes a second
    return max(1, torch.cuda.device_count())
