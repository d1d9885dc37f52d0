"""A table once, written four ways: HTML (by the page), CSV, Markdown, LaTeX with booktabs.

A cell shows `text`; `values` are the bare numbers behind it, which CSV gets and the page sorts by.
"""

import csv
import io
import unicodedata
from dataclasses import dataclass, field

from fewshot_wsi.foundation.names import csv_cell, markdown, visible

DAGGER = "†"
APART = "‡"
MARKS = {DAGGER: "not distinguishable from the highest on these images",
         APART: "other tasks than the highest, not compared"}


@dataclass(frozen=True)
class Cell:
    text: str
    values: tuple = ()   # one for each of the column's `parts`; None where unknown
    sub: str = ""        # a second, quieter line: what `values` hold too
    note: str = ""       # what they do not, shown there as well
    best: bool = False
    mark: str = ""       # one of MARKS

    @property
    def second(self):
        return "; ".join(filter(None, (self.sub, self.note)))

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

    @property
    def numeric(self):
        return [bool(column.parts) for column in self.columns]

    @property
    def filters(self):
        return [(place, column.label, sorted({row[place].text for row in self.rows}))
                for place, column in enumerate(self.columns) if column.pick]

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
    """Bare numbers, one column for each part of a column, full precision; a last one for notes where there are any."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    noted = any(cell.note for row in table.rows for cell in row)
    heads = [" ".join(filter(None, (full_label(c), part))) for c in table.columns for part in c.parts or ("",)]
    writer.writerow([*map(csv_cell, heads), *["Note"] * noted])
    for row in table.rows:
        flat = []
        for column, cell in zip(table.columns, row, strict=True):
            flat += [_plain(value) for value in _padded(cell.values, len(column.parts))] if column.parts \
                else [csv_cell(cell.text)]
        notes = [f"{full_label(c)}: {cell.note}" for c, cell in zip(table.columns, row, strict=True) if cell.note]
        writer.writerow(flat + [csv_cell("; ".join(notes))] * noted)
    return stream.getvalue()


def _padded(values, count):
    return (*values, *[None] * (count - len(values)))


def _plain(value):
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def to_markdown(table):
    def line(cells):
        return "| " + " | ".join(cells) + " |"

    rows = [[(f"**{markdown(c.text)}**" if c.best else markdown(c.text)) + c.mark
             + (f" ({markdown(c.second)})" if c.second else "") for c in row] for row in table.rows]
    rule = "| " + " | ".join("---:" if numeric else "---" for numeric in table.numeric) + " |"
    body = [line([markdown(full_label(c)) for c in table.columns]), rule, *map(line, rows)]
    return f"### {markdown(table.title)}\n\n" + "\n".join(body) + f"\n\n{markdown(table.caption)}\n"


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
    lines += [_latex_row(row) for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _rules(heads):
    start, rules = 1, []
    for head, count in heads:
        if head:
            rules.append(rf"\cmidrule(lr){{{start}-{start + count - 1}}}")
        start += count
    return ["".join(rules)] if rules else []


def _latex_row(row):
    text = " & ".join(map(_latex_cell, row)) + r" \\"
    return "{}" + text if text[0] in "[*" else text  # a rule or row end before it would take these for its option


def _latex_cell(cell):
    text = escape_latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.best else text
    return text + escape_latex(cell.mark) + (f" ({escape_latex(cell.second)})" if cell.second else "")


_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
          "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
          ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$", "†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$",
          "·": r"$\cdot$", "−": r"$-$", "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$", "–": "--", "…": r"\dots{}",
          "²": r"$^2$", "³": r"$^3$", "→": r"$\to$", "µ": r"$\mu$", "°": r"$^\circ$", '"': "''", "“": "``", "”": "''",
          "‘": "`", "’": "'", "«": r"$\ll$", "»": r"$\gg$", "\n": " ", "\u00a0": "~"}
_LETTERS = {"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
            "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th",
            "ħ": "h", "Ħ": "H", "ŋ": "ng", "Ŋ": "Ng", "ŧ": "t", "Ŧ": "T"}
_ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
            "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b"}


def escape_latex(text):
    """Text that pdflatex sets without further packages: accents as commands, letters that its fonts lack without
    their stroke or hook, and '?' for what is not Latin."""
    return "".join(map(_latex_character, unicodedata.normalize("NFC", visible(text))))


def _latex_character(char):
    known = _LATEX.get(char) or _LETTERS.get(char)
    if known or " " <= char <= "~":
        return known or char
    base, *accents = unicodedata.normalize("NFD", char)
    if not accents or not base.isascii():
        return "?"
    for mark in filter(None, map(_ACCENTS.get, accents)):
        base = rf"\{mark}{{{base}}}"
    return base
