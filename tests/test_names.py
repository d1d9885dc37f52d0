"""Names reach terminals, spreadsheets, pages and pictures inert, and can be read back."""

import csv
import html as html_of_python
import io
import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from fewshot_wsi.foundation.names import csv_cell, from_csv_cell, from_visible, html, markdown, printable, visible
from fewshot_wsi.foundation.tables import read_table, write_table

ESC = "\x1b[31mtumour\x1b[0m"
any_name = st.text(alphabet=st.characters(exclude_categories=()) | st.sampled_from("\\x1bu'=+-@ \t\r\n"))


def hidden(text):
    return [char for char in text if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029"]


@given(any_name)
@example("\\x1b")
@example("a\\\x1b")
def test_a_visible_name_has_nothing_hidden_and_leads_back(name):
    assert not hidden(visible(name)) and not hidden(printable(name))
    assert from_visible(visible(name)) == name


def test_usual_names_stay_as_they_are():
    for name in ("tumour", "Gleason 3+4", "C:\\data\\tile.png", "Drüsen", "腺癌", "a_b", "O'Brien"):
        assert visible(name) == csv_cell(name) == name


@given(any_name)
@example("=1+1")
@example("'=1")
@example("'\\")
def test_a_csv_cell_is_no_formula_and_leads_back(name):
    cell = csv_cell(name)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) and not hidden(cell)
    assert cell == cell.strip()  # readers strip
    assert from_csv_cell(cell) == name


@given(st.lists(any_name.filter(bool), min_size=1, max_size=4, unique=True))
def test_tables_give_back_the_names_that_they_were_given(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("table") / "t.csv"
    write_table(path, ("path", "group"), [(name, number) for number, name in enumerate(names)])
    assert [row["path"] for _, row in read_table(path, ("path", "group"), ("path",))] == names


@given(any_name)
def test_html_holds_no_markup_of_a_name(name):
    assert not re.search(r"[<>\"']", html(name)) and html_of_python.unescape(html(name)) == visible(name)


@given(any_name)
def test_markdown_holds_no_markup_of_a_name(name):
    """Every punctuation that opens markup stands behind a backslash of its own."""
    text = markdown(name)
    rest = re.sub(r"\\[\\`*\[\]|~#_]", "", text)
    assert not re.search(r"[\\`*\[\]|<>]", rest)
    plain = re.sub(r"\\([\\`*\[\]|~#_])", r"\1", text)
    assert html_of_python.unescape(plain) == visible(name)


def test_strangers_tables_are_read_as_they_are(tmp_path):
    path = tmp_path / "t.csv"
    stream = io.StringIO()
    csv.writer(stream).writerows([["path", "group"], ["C:\\x41\\tile.png", "'quoted'"]])
    path.write_text(stream.getvalue(), encoding="utf-8")
    assert read_table(path, ("path", "group"), ("path",))[0][1] == {"path": "C:\\x41\\tile.png", "group": "'quoted'"}


def test_the_example_of_the_docstring():
    assert visible(ESC) == "\\x1b[31mtumour\\x1b[0m" and csv_cell("=SUM(A1)") == "'=SUM(A1)"
