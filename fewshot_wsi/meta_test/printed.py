"""What a meta-test prints: the published block, which existing log parsers read, and a second table on request."""

import argparse
import datetime
import logging

from fewshot_wsi.foundation.messages import say
from fewshot_wsi.foundation.names import visible
from lowshot.intervals import bootstrap_interval
from lowshot.statistics import published_block

logger = logging.getLogger(__name__)


def print_run(result, namespace, stats=False, now=None):
    """Print one run as the published script did.

    result: Result. namespace: argparse.Namespace; a novel class in it is printed as a number, as published.
    now: datetime of the first line, default now.
    stats: also print `stats_table`. A single task has no half-width: its lines read 'F1 nan', as published, so that
    parsers find two numbers on each; tables and the report show – instead.
    """
    c = result.config
    say(now or datetime.datetime.now())
    say("configs:\n", _with_number(namespace))
    say("model:", c["model"], "num_shots:", c["num_shots"], "num_task:", c["num_task"], "mode:", c["mode"],
        "clf:", c["clf"])
    for mean, half in published_block(result.f1):
        print(f"{100 * mean:.2f} {100 * half:.2f}")
    if stats:
        say(stats_table(result))
    elif result.bootstrap is not None:  # the published block is all that standard output holds
        logger.warning(open_line(result))


def _with_number(namespace):
    """The same argparse.Namespace with the digits of `novel_class` as an int."""
    novel = getattr(namespace, "novel_class", None)
    return argparse.Namespace(**{**vars(namespace), "novel_class": int(novel)}) if str(novel).isdigit() else namespace


def stats_table(result):
    """Text table in percent: of each figure mean, closed 95 % interval, standard deviation and quantiles over tasks."""
    s = result.statistics
    rows = [(f"F1 {visible(name)}", one) for name, one in zip(result.classes, s["class_f1"], strict=True)]
    rows += [("macro F1", s["macro_f1"]), ("accuracy", s["accuracy"]), ("balanced accuracy", s["balanced_accuracy"])]
    rows += [(f"F1 {visible(name)} classes", s["groups"][name]) for name in result.class_groups]
    rows += [("harmonic mean, per task", s["groups"]["harmonic_mean"])] if "harmonic_mean" in s["groups"] else []
    quantiles = sorted(rows[0][1]["quantiles"], key=int)
    width = max(len(name) for name, _ in rows)
    lines = ["", f"{'over tasks':{width}}   mean  ± 95 %     sd " + "".join(f"{q + ' %':>7}" for q in quantiles)]
    for name, one in rows:
        figures = [one["mean"], one["ci95"], one["sd"], *(one["quantiles"][q] for q in quantiles)]
        lines.append(f"{name:{width}} " + "".join(f"{_percent(value):>7}" for value in figures))
    last = s["published_last_line"]["mean_of_class_half_widths"]
    lines += [f"{s['num_tasks']} tasks; {s['distinct_support']} different support and {s['distinct_query']} different "
              "query tiles", "± is for more tasks from these tiles (closed), not for new tiles; the published last "
              f"line has the mean of the class half-widths instead, {_percent(last)}"]
    if s.get("harmonic_mean_of_means") is not None:
        lines.append(f"harmonic mean of the groups' means, as in the paper: {_percent(s['harmonic_mean_of_means'])}")
    if result.bootstrap is not None:
        lines.append(open_line(result))
    return "\n".join(lines)


def open_line(result):
    """What the bootstrap of a result says of its macro F1."""
    found = result.bootstrap
    interval = bootstrap_interval(result.statistics["macro_f1"]["mean"], found)
    redrawn = f"; {found.redrawn} more yielded no task" if found.redrawn else ""
    return (f"macro F1 {_percent(interval.mean)} ± {_percent(interval.half)} is for new {found.unit}s (open, 95 %): "
            f"{len(found.macro)} resamples of {found.unit}s, {found.units} in the class with fewest{redrawn}")


def _percent(value):
    return "–" if value is None else f"{100 * value:.2f}"
