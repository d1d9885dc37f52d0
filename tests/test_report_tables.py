"""Tables as CSV, Markdown and LaTeX: bare numbers, escaping, and LaTeX that compiles."""
import csv
import io
import shutil
import subprocess

import pytest

from fewshot_wsi.report.tables import (
    DAGGER,
    Cell,
    Column,
    Table,
    escape_latex,
    number_cell,
    text_cell,
    to_csv,
    to_latex,
    to_markdown,
)

NASTY = r"a_b & 50 % $x$ #1 {y} ~ ^ \ <script>|alert(1)</script> ± – “é”"


def _table():
    table = Table("key", "Title", "A caption with 100 % of _everything_ & more.",
                  [Column("Method"), Column("1-shot", ("F1", "±"), "F1 (%)"), Column("5-shot", ("F1", "±"), "F1 (%)")])
    table.rows = [[text_cell(NASTY), Cell("50.00 ± 1.00", (50.0, 1.0), best=True), Cell("–", (None, None))],
                  [text_cell("plain"), Cell("49.00 ± 1.25", (49.0, 1.25), mark=DAGGER), number_cell(12.3456)]]
    return table


def test_csv_holds_bare_numbers_and_one_column_for_each_part():
    rows = list(csv.reader(io.StringIO(to_csv(_table()))))
    assert rows[0] == ["Method", "F1 (%) 1-shot F1", "F1 (%) 1-shot ±", "F1 (%) 5-shot F1", "F1 (%) 5-shot ±"]
    assert rows[1] == [NASTY, "50", "1", "", ""] and rows[2] == ["plain", "49", "1.25", "12.3456", ""]


def test_markdown_keeps_its_columns_and_marks_the_best():
    text = to_markdown(_table())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    assert "**50.00 ± 1.00**" in text and f"49.00 ± 1.25{DAGGER}" in text and "<script>" not in text


def test_latex_escapes_what_latex_would_read():
    assert escape_latex("a_b & 5 %") == r"a\_b \& 5 \%"
    assert escape_latex("2 ± 1") == r"2 $\pm$ 1"
    assert escape_latex("漢 ę Ð é “a”") == r"? e D \'{e} ``a''"
    text = to_latex(_table())
    assert r"\textbf{50.00 $\pm$ 1.00}" in text and r"\toprule" in text and r"\cmidrule(lr){2-3}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="TeX is not installed (pdflatex)")
def test_latex_compiles(tmp_path):
    table = _table()
    table.rows += [[text_cell(name), Cell("1", (1.0,), "open ± 2", "3 of 9"), number_cell(None)]
                   for name in ("[x]", "*y", "".join(map(chr, range(0x20, 0x250))), "胃\nα")]
    (tmp_path / "t.tex").write_text(r"\documentclass{article}\usepackage{booktabs}\begin{document}"
                                    + to_latex(table) + r"\end{document}")
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]


def test_what_the_page_says_in_a_second_line_is_in_every_form():
    table = _table()
    table.rows.append([text_cell("partial"), Cell("40.00", (40.0, None), "open ± 2.00", "2 of 9 classes"),
                       number_cell(1.0)])
    assert "40.00 (open ± 2.00; 2 of 9 classes)" in to_markdown(table)
    assert r"40.00 (open $\pm$ 2.00; 2 of 9 classes)" in to_latex(table)
    head, *_, last = csv.reader(io.StringIO(to_csv(table)))
    assert (head[-1], last[-1]) == ("Note", "F1 (%) 1-shot: 2 of 9 classes")
    assert len(set(map(len, csv.reader(io.StringIO(to_csv(table)))))) == 1


def test_numbers_have_a_true_minus_and_no_negative_zero():
    assert number_cell(-1.234).text == "−1.23" and number_cell(-0.001).text == "0.00" and number_cell(None).text == "–"
    assert number_cell(-0.001, "{:+.2f}").text == "0.00" and number_cell(1.5, "{:+.2f}").text == "+1.50"
