"""A table once, written four ways: HTML (by the page), CSV, Markdown, LaTeX with booktabs.

A cell shows `text`; `values` are the bare numbers behind it, which CSV gets and the page sorts by.
"""

import csv
import io
import re
from dataclasses import dataclass, field

DAGGER = "†"


@dataclass(frozen=True)
class Cell:
    text: str
    values: tuple = ()   # one for each of the column's `parts`; None where unknown
    sub: str = ""        # a second, quieter line
    best: bool = False
    mark: str = ""       # DAGGER: not distinguishable from the best

    @property
    def sort(self):
        return self.values[0] if self.values else self.text


@dataclass(frozen=True)
class Column:
    label: str
    parts: tuple = ()      # names of a cell's values: the CSV columns; () for text
    over: str = ""         # heading above neighbouring columns of the same group
    pick: bool = False     # the page offers its distinct texts as a filter


@dataclass
class Table:
    key: str               # file name and anchor
    title: str
    caption: str           # one or two sentences: what stands here and what intervals mean
    columns: list
    rows: list = field(default_factory=list)  # of lists of Cell, the first one the row's heading
    note: str = ""

    numeric = property(lambda self: [bool(column.parts) for column in self.columns])
    filters = property(lambda self: [(place, column.label, sorted({row[place].text for row in self.rows}))
                                     for place, column in enumerate(self.columns) if column.pick])

    @property
    def heads(self):
        """[(heading, columns below it), …] of the upper heading row; [] where there is none."""
        spans = []
        for column in self.columns:
            if spans and spans[-1][0] == column.over:
                spans[-1] = (column.over, spans[-1][1] + 1)
            else:
                spans.append((column.over, 1))
        return spans if any(column.over for column in self.columns) else []


def text_cell(text):
    return Cell("–" if text in (None, "") else str(text))


def number_cell(value, form="{:.2f}", **options):
    """A number and its text; – where it is None."""
    return Cell("–" if value is None else figure(value, form), (value,), **options)


def figure(value, form="{:.2f}"):
    """A number as print has it: a true minus sign, and no minus before zero."""
    text = form.format(value)
    if not text.strip("-+0.,"):
        text = text.lstrip("-+")
    return text.replace("-", "−") if text.startswith("-") else text


def full_label(column):
    return f"{column.over} {column.label}".strip()


def to_csv(table):
    """Bare numbers, one column for each part of a column, full precision."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([" ".join(filter(None, (full_label(c), part))) for c in table.columns for part in c.parts or ("",)])
    for row in table.rows:
        flat = []
        for column, cell in zip(table.columns, row, strict=True):
            flat += [_plain(value) for value in _padded(cell.values, len(column.parts))] if column.parts \
                else [cell.text]
        writer.writerow(flat)
    return stream.getvalue()


def _padded(values, count):
    return (*values, *[None] * (count - len(values)))


def _plain(value):
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def to_markdown(table):
    def line(cells):
        return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
                                 for cell in cells) + " |"

    rows = [[f"**{_html_safe(c.text)}**{c.mark}" if c.best else f"{_html_safe(c.text)}{c.mark}" for c in row]
            for row in table.rows]
    rule = "| " + " | ".join("---:" if numeric else "---" for numeric in table.numeric) + " |"
    body = [line([_html_safe(full_label(c)) for c in table.columns]), rule, *map(line, rows)]
    return f"### {table.title}\n\n" + "\n".join(body) + f"\n\n{table.caption}\n"


def _html_safe(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_latex(table):
    r"""A `table` environment; needs \usepackage{booktabs} alone and compiles with pdflatex."""
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape_latex(table.caption)}}}",
             rf"\label{{tab:{table.key}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    if table.heads:
        lines.append(" & ".join(rf"\multicolumn{{{n}}}{{c}}{{{escape_latex(head)}}}" for head, n in table.heads)
                     + r" \\")
        lines += _rules(table.heads)
    lines.append(" & ".join(escape_latex(column.label) for column in table.columns) + r" \\")
    lines.append(r"\midrule")
    lines += [" & ".join(map(_latex_cell, row)) + r" \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _rules(heads):
    start, rules = 1, []
    for head, count in heads:
        if head:
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
        start += count
    return ["".join(rules)] if rules else []


def _latex_cell(cell):
    text = escape_latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.best else text
    return text + (r"$^{\dagger}$" if cell.mark == DAGGER else escape_latex(cell.mark))


_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
          "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
          ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "†": r"$^{\dagger}$", "·": r"$\cdot$",
          "−": r"$-$", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$", "–": "--", "…": r"\dots{}", "²": r"$^2$",
          "→": r"$\to$", '"': r"\textquotedbl{}", "’": "'"}
_ACCENTS = re.compile(r"[^\x00-\u024f]")  # what pdflatex's own fonts lack becomes a question mark


def escape_latex(text):
    """Text that LaTeX sets as it stands; characters beyond Latin become '?'."""
    out = "".join(_LATEX.get(char, char) for char in str(text).replace("\n", " "))
    return _ACCENTS.sub("?", out).replace(r"\textquotedbl{}", "''")
