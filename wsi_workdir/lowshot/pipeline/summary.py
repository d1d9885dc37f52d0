"""The table at the end of a protocol: a row a method, a column a task and number of shots, F1 with its interval."""

import shutil
from dataclasses import dataclass

from lowshot.files import write_text
from lowshot.results import read_result
from lowshot.settings import runs_of

ABSENT = "–"
NOTE = ("F1 in percent: mean of the classes ± mean of their 95 % half-widths over tasks, as published "
        f"(near: averaged over the novel classes); {ABSENT}: not run.")


@dataclass(frozen=True)
class Cell:
    """Mean F1 and half-width in percent (None: a single task) over `done` of `planned` runs."""
    mean: float
    half: float | None
    done: int
    planned: int

    def text(self, digits):
        half = ABSENT if self.half is None else f"{self.half:.{digits}f}"
        part = f" ({self.done} of {self.planned})" if self.done < self.planned else ""
        return f"{self.mean:.{digits}f} ± {half}{part}"


def table(protocol):
    """(rows, columns, cells) of a protocol's results.

    rows: [(model, mode, classifier)], a model with '{novel}' standing for all its novel classes. columns:
    [(task, shots)]. cells: dict from (row, column) to Cell; absent where no run of it is finished.
    """
    rows, columns, figures = {}, {}, {}
    for task, family in protocol.tasks.items():
        columns.update({(task, shots): None for shots in family.shots})
        rows.update({_row(method): None for method in family.methods})
    for run in runs_of(protocol):
        key = _row((_family_name(protocol, run), run.mode, run.clf)), (run.task, run.num_shots)
        figures.setdefault(key, []).append(_last_line(run.result_file))
    cells = {key: _cell(values) for key, values in figures.items() if any(values)}
    return list(rows), list(columns), cells


def _row(method):
    model, mode, classifier = method
    return model.replace("_wo_{novel}", "").replace("{novel}", "*"), mode, classifier


def _family_name(protocol, run):
    """The model as the protocol's methods name it, with '{novel}' in it."""
    names = {model: model.replace("{novel}", run.tag or "") for model, _, _ in protocol.family(run.task).methods}
    return next(name for name, model in names.items() if model == run.model)


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
    return Cell(100 * sum(mean for mean, _ in done) / len(done), half, len(done), len(values))


def as_text(protocol, width=None):
    """For a terminal: tasks beside each other as far as `width` (default: the terminal's) allows."""
    width = width or shutil.get_terminal_size((120, 24)).columns
    rows, columns, cells = table(protocol)
    names = [_label(row) for row in rows]
    first = max(map(len, [*names, "method"]))
    blocks, used = [[]], first
    for task in protocol.tasks:
        wide = {column: max(len(f"{column[1]}-shot"), *(len(_text(cells, row, column, 1)) for row in rows))
                for column in columns if column[0] == task}
        if blocks[-1] and used + sum(wide.values()) + 2 * len(wide) > width:
            blocks.append([])
            used = first
        blocks[-1].append((task, wide))
        used += sum(wide.values()) + 2 * len(wide)
    return "\n\n".join(_block(block, rows, names, cells, first) for block in blocks) + f"\n\n{NOTE}\n"


def _block(tasks, rows, names, cells, first):
    above = "".join("  " + task.ljust(sum(wide.values()) + 2 * len(wide) - 2) for task, wide in tasks)
    wide = {column: size for _, part in tasks for column, size in part.items()}
    lines = [" " * first + above, "method".ljust(first) + "".join(f"  {f'{c[1]}-shot':>{n}}" for c, n in wide.items())]
    lines.append("-" * len(lines[1]))
    for row, name in zip(rows, names, strict=True):
        texts = (f"  {_text(cells, row, column, 1):>{size}}" for column, size in wide.items())
        lines.append(name.ljust(first) + "".join(texts))
    return "\n".join(line.rstrip() for line in lines)


def as_markdown(protocol):
    rows, columns, cells = table(protocol)
    lines = [" | ".join(["method", *(f"{task}, {shots}-shot" for task, shots in columns)]),
             " | ".join(["---", *("---:" for _ in columns)])]
    lines += [" | ".join([_label(row), *(_text(cells, row, column, 2) for column in columns)]) for row in rows]
    return "\n".join(f"| {line} |" for line in lines) + f"\n\n{NOTE}\n"


def write(protocol, path):
    """The Markdown table at `path`."""
    write_text(path, f"# Results of the protocol {protocol.name}\n\n{as_markdown(protocol)}")


def _text(cells, row, column, digits):
    return cells[row, column].text(digits) if (row, column) in cells else ABSENT


def _label(row):
    return " ".join(row)
