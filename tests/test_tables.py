"""Tables as spreadsheets write them are read alike; what is ambiguous is refused with its line."""
import pytest

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import read_groups
from fewshot_wsi.foundation.tables import plain_path, read_table

COLUMNS = ("path", "label", "group")
WRITTEN = {
    "commas": "path,label\na b.png,x\n",
    "semicolons": "path;label\na b.png;x\n",
    "tabs": "path\tlabel\na b.png\tx\n",
    "Excel's first line": "sep=;\npath;label\na b.png;x\n",
    "blanks and capitals": "\ufeff Path , LABEL\n a b.png , x \n",
    "quotation marks": '"path","label"\n"a b.png","x"\n',
    "Windows, blank lines, empty columns": "path,label\r\n\r\na b.png,x,,\r\n,\r\n",
    "another column": "note,path,label\n1;2,a b.png,x\n",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_every_way_to_write_a_table_is_read_alike(tmp_path, name):
    (tmp_path / "t.csv").write_text(WRITTEN[name], encoding="utf-8")
    (_, row), = read_table(tmp_path / "t.csv", COLUMNS, ("path", "label"))
    assert row == {"path": "a b.png", "label": "x"}


@pytest.mark.parametrize("text, words", [
    ("", r"must name the columns path,label\[,group\]; it names nothing"),
    ("file,label\na,b\n", "it names file,label"),
    ("path,label,label\na,b,c\n", "names the column 'label' twice"),
    ("path,label\na.png,x\nb, c.png,x\n", "line 3: 3 values in 2 columns"),
    ("path,label\na.png\n", "line 2: 1 values in 2 columns"),
    ("sep=;\npath;label\na.png\n", "line 3: 1 values in 2 columns"),
    ('path,label\n"a.png,x\n', "not a readable CSV"),
    ("sep=ab\npath;label\n", "not a readable CSV"),
])
def test_what_is_ambiguous_is_refused_with_its_line(tmp_path, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        read_table(tmp_path / "t.csv", COLUMNS, ("path", "label"))


def test_an_image_with_two_groups_is_refused_and_one_said_twice_is_not(tmp_path):
    (tmp_path / "g.csv").write_text("path,group\na.png,p1\n./b.png,p2\n.\\a.png, p1\n")
    assert read_groups(tmp_path / "g.csv") == {"a.png": "p1", "b.png": "p2"}
    (tmp_path / "g.csv").write_text("path,group\na.png,p1\nb.png,p2\na.png,p2\n")
    with pytest.raises(UserError, match=r"g\.csv, line 4: 'a\.png' stands in line 2 already, with other values"):
        read_groups(tmp_path / "g.csv")
    (tmp_path / "g.csv").write_text("path,group\n,p1\n")
    with pytest.raises(UserError, match="line 2: no path"):
        read_groups(tmp_path / "g.csv")


def test_one_form_of_a_path():
    assert plain_path(".\\Mu\u0308s\\a.png") == plain_path("M\u00fcs/a.png") == "M\u00fcs/a.png"
