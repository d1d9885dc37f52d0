"""The table at the end of a protocol: a row a method, a column a task and number of shots, F1 with its interval."""

import shutil
from dataclasses import dataclass

from fewshot_wsi.foundation.files import write_text
from fewshot_wsi.foundation.names import markdown, visible
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.runs import runs_of

ABSENT = "–"
NOTE = ("F1 in percent: mean of the classes ± mean of their 95 % half-widths over tasks, as published "
        f"(near: averaged over the novel classes); {ABSENT}: not run.")


@dataclass(frozen=True)
class SummaryCell:
    """Mean F1 and half-width in percent (None: a single task) over `done` of `planned` runs."""
    mean: float
    half: float | None
    done: int
    planned: int

    def text(self, digits):
        half = ABSENT if self.half is None else f"{self.half:.{digits}f}"
        part = f" ({self.done} of {self.planned})" if self.done < self.planned else ""
        return f"{self.mean:.{digits}f} ± {half}{part}"


@dataclass(frozen=True)
class SummaryTable:
    """rows: [texts of a method], a model with '*' standing for all its novel classes. columns: [(task, shots)].
    cells: dict from (row, column) to SummaryCell; absent where no run of it is finished."""
    rows: list
    columns: list
    cells: dict


def table(entries):
    """SummaryTable of pairs (row, RunSettings); runs of one row and column are averaged."""
    figures = {}
    for row, run in entries:
        figures.setdefault((row, (run.task, run.num_shots)), []).append(_last_line(run.result_file))
    rows, columns = (list(dict.fromkeys(key[i] for key in figures)) for i in (0, 1))
    return SummaryTable(rows, columns, {key: _cell(values) for key, values in figures.items() if any(values)})


def tables(plan):
    """[(heading, SummaryTable)] of a plan: all methods of its protocol, and where variations belong to it, these."""
    setting = ", ".join(f"{key} {value}" for key, value in plan.changes.items())
    heading = f"Results of the protocol {plan.protocol.name}" + (f" with {setting}" if setting else "")
    runs = runs_of(plan.feasible, **plan.changes)
    found = [(heading, table([(_row(_method(plan.feasible, run)), run) for run in runs]))]
    if plan.varied:
        entries = [((*_row(variation[:3]), *(f"{key}={value}" for key, value in variation[3].items())), run)
                   for variation, run in plan.varied]
        found.append((f"{heading}: variations", table(entries)))
    return found


def _row(method):
    model, mode, classifier = method
    return model.replace("_wo_{novel}", "").replace("{novel}", "*"), mode, classifier


def _method(protocol, run):
    """The run's method as the protocol names it, with '{novel}' in its model."""
    names = {model: model.replace("{novel}", run.tag or "") for model, _, _ in protocol.family(run.task).methods}
    return next(name for name, model in names.items() if model == run.model), run.mode, run.clf


def _last_line(path):
    """(mean, half-width) fractions of one result, or None where there is none."""
    if not path.is_file():
        return None
    line = read_result(path).statistics["published_last_line"]
    return line["mean"], line["mean_of_class_half_widths"]


def _cell(values):
    done = [value for value in values if value]
    halves = [half for _, half in done if half is not None]
    half = 100 * sum(halves) / len(halves) if halves else None
    return SummaryCell(100 * sum(mean for mean, _ in done) / len(done), half, len(done), len(values))


def as_text(plan, width=None):
    """For a terminal: tasks beside each other as far as `width` (default: the terminal's) allows."""
    width = width or shutil.get_terminal_size((120, 24)).columns
    parts = [f"{heading}\n\n{_text_table(one, width)}" for heading, one in tables(plan)]
    return "\n\n".join(parts) + f"\n\n{NOTE}\n"


def _text_table(one, width):
    names = [visible(_label(row)) for row in one.rows]
    first = max(map(len, [*names, "method"]))
    blocks, used = [[]], first
    for task in dict.fromkeys(task for task, _ in one.columns):
        wide = {column: max(len(f"{column[1]}-shot"), *(len(_text(one, row, column, 1)) for row in one.rows))
                for column in one.columns if column[0] == task}
        if blocks[-1] and used + sum(wide.values()) + 2 * len(wide) > width:
            blocks.append([])
            used = first
        blocks[-1].append((task, wide))
        used += sum(wide.values()) + 2 * len(wide)
    return "\n\n".join(_block(block, one, names, first) for block in blocks)


def _block(tasks, one, names, first):
    above = "".join("  " + task.ljust(sum(wide.values()) + 2 * len(wide) - 2) for task, wide in tasks)
    wide = {column: size for _, part in tasks for column, size in part.items()}
    lines = [" " * first + above, "method".ljust(first) + "".join(f"  {f'{c[1]}-shot':>{n}}" for c, n in wide.items())]
    lines.append("-" * len(lines[1]))
    for row, name in zip(one.rows, names, strict=True):
        texts = (f"  {_text(one, row, column, 1):>{size}}" for column, size in wide.items())
        lines.append(name.ljust(first) + "".join(texts))
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(plan):
    parts = []
    for heading, one in tables(plan):
        lines = [" | ".join(["method", *(f"{markdown(task)}, {shots}-shot" for task, shots in one.columns)]),
                 " | ".join(["---", *("---:" for _ in one.columns)])]
        lines += [" | ".join([markdown(_label(row)), *(_text(one, row, column, 2) for column in one.columns)])
                  for row in one.rows]
        parts.append(f"# {markdown(heading)}\n\n" + "\n".join(f"| {line} |" for line in lines))
    return "\n\n".join(parts) + f"\n\n{NOTE}\n"


def write(plan, path):
    """The Markdown tables at `path`."""
    write_text(path, as_markdown(plan))


def _text(one, row, column, digits):
    return one.cells[row, column].text(digits) if (row, column) in one.cells else ABSENT


def _label(row):
    return " ".join(row)
