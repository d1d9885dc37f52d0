"""The stages of a protocol in their order.

Only what the chosen tasks need is done, and of that only what is not finished: steps by their record
(fewshot_wsi.pipeline.records), runs of meta-testing by their result files, synthetic tiles and lists by comparing them.
"""

import argparse
import logging
import time
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.meta_test.cluster import check_cluster
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.printed import print_run
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.unfinished import remove_pieces
from fewshot_wsi.pipeline.data import make_data
from fewshot_wsi.pipeline.steps import (
    dictionary_steps,
    extract_steps,
    pretrain_steps,
    report_steps,
    task_steps,
    view_steps,
)
from fewshot_wsi.pipeline.summary import as_text, write

logger = logging.getLogger(__name__)


def run_stages(plan, names):
    """Do the unfinished part of the stages `names` (in the order of STAGES); returns dict from stage to seconds."""
    if plan.backend == "dask" and "meta_test" in names and not plan.dry_run:
        check_cluster(plan.scheduler)  # before the hours of other stages
    seconds = {}
    for name in STAGES:
        if name in names:
            started = time.monotonic()
            logger.info(f"\n== {name}")
            STAGES[name](plan)
            seconds[name] = time.monotonic() - started
    return seconds


def _each(steps_of):
    """A stage that is a sequence of steps."""
    def stage(plan):
        kept = 0
        for step in steps_of(plan):
            kept += not _do(plan, step)
        if kept:
            logger.info(f"{kept} finished before, kept")
    return stage


def _do(plan, step):
    """Run one step unless it is finished; returns whether it had to run."""
    if plan.dry_run:
        return _do_alone(plan, step)
    with locked(plan.records.path(step)):
        return _do_alone(plan, step)


def _do_alone(plan, step):
    if not plan.records.made(step) and (reason := step.accept()):
        logger.info(f"{step}: {reason}")
        return False
    try:
        inputs = step.inputs()
        why = "a fresh start was asked for" if plan.fresh else plan.records.unfinished(step, inputs)
    except UserError as error:
        if not plan.dry_run:
            raise
        why = f"waits for what is not there yet ({error})"
    if not why:
        return False
    logger.info(f"{step}: {'to do' if plan.dry_run else 'begins'}, {why}")
    if not plan.dry_run:
        again = plan.fresh or plan.records.path(step).is_file()
        if plan.fresh:
            plan.records.forget(step)
        _run(step, again)
        plan.records.save(step, inputs)
    return True


def _run(step, again):
    try:
        step.run(again)
    except (UserError, SystemExit):
        if not again and any(Path(output).is_file() for output in step.outputs):
            logger.warning(f"{step}: something is there that this command did not make; --fresh --stages {step.stage} "
                           "replaces it")
        raise


def _meta_test(plan):
    runs = plan.runs
    if plan.fresh and not plan.dry_run:
        for run in runs:
            with locked(run.result_file):
                run.result_file.unlink(missing_ok=True)
                remove_pieces(run.result_file)
    if plan.dry_run:
        there = sum(run.result_file.is_file() for run in runs)
        logger.info(f"{len(runs)} runs, {there} results are there (a run checks whether they are of these inputs)")
        return
    outcomes = run_all(runs, workers=plan.workers, backend=plan.backend, scheduler=plan.scheduler, quiet=plan.quiet,
                       on_done=_print_block if plan.blocks else None)
    kept = sum(outcome.kept for outcome in outcomes)
    logger.info(f"{len(outcomes)} runs, {kept} of them finished before; see {Path(plan.protocol.workdir, 'results')}")


def _print_block(outcome):
    result = read_result(outcome.path)
    print_run(result, argparse.Namespace(**result.config))


def _summary(plan):
    if plan.dry_run:
        return
    path = Path(plan.protocol.workdir, "results", "summary.md")
    write(plan, path)
    logger.info(f"\n{as_text(plan)}\n{path}: the same table in Markdown")


STAGES = dict(data=make_data, pretrain=_each(pretrain_steps), extract=_each(extract_steps), tasks=_each(task_steps),
              views=_each(view_steps), dictionary=_each(dictionary_steps), meta_test=_meta_test,
              report=_each(report_steps), summary=_summary)
BY_MODEL = ("pretrain", "extract", "views", "dictionary")  # of these, shards do their own models
