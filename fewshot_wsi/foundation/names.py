"""Names of classes, files and models, written so that no target takes them for anything else.

A name may hold what a terminal obeys, a spreadsheet computes, or a reader cannot see. Each target has one function that
writes a name for it, and every written name leads back to one name alone:

    visible    a terminal, a log, a label in SVG: hidden characters as `\\x1b`, `\\u202e`
    html       text or a quoted attribute of HTML
    markdown   running text or a cell of a table in Markdown
    csv_cell   a cell of a CSV, also where a spreadsheet opens it; `from_csv_cell` reads it back
"""

import html as _html
import re

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.printable import escaped, printable

_ESCAPE = re.compile(r"\\(?:\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_FORMULA = ("=", "+", "-", "@", "'")
_MARKDOWN = re.compile(r"[\\`*\[\]|~#]|(?<!\w)_|_(?!\w)")


def visible(name: str) -> str:
    """`name` with every hidden character escaped as Python escapes it: characters that move a cursor, set colours,
    reverse the direction of writing or have no width.

    Backslashes are doubled in a name with hidden characters, or where one would read as an escape; all other names stay
    as they are. `from_visible` is the inverse.
    """
    name = str(name)
    doubled = name.replace("\\", "\\\\")
    shown = printable(doubled)
    return shown if shown != doubled or _ESCAPE.search(name) else name


def from_visible(text: str) -> str:
    """The name that `visible` wrote as `text`."""
    def character(match):
        found = match[0]
        return "\\" if found == "\\\\" else chr(int(found[2:], 16))

    return _ESCAPE.sub(character, text)


def html(name: str) -> str:
    """`name` as text or quoted attribute of HTML."""
    return _html.escape(visible(name))


def markdown(name: str) -> str:
    """`name` as text of Markdown, within a table too: no markup, HTML or link of its own. Rendered, it is
    `visible(name)`."""
    return _MARKDOWN.sub(lambda match: "\\" + match[0], _html.escape(visible(name), quote=False))


def csv_cell(name: str) -> str:
    """`name` as a CSV cell, for `csv.writer` to quote.

    A name that a spreadsheet would compute gets an apostrophe in front, one with hidden characters or blanks at its
    ends `'\\` and escapes; all other names stay as they are. `from_csv_cell` is the inverse.
    """
    if visible(name) != name or name != name.strip():
        inner = printable(name.replace("\\", "\\\\"))
        return "'\\" + "".join(escaped(char) if char.isspace() else char for char in inner)
    return "'" + name if name.startswith(_FORMULA) else name


def from_csv_cell(text: str) -> str:
    """The name that `csv_cell` wrote as `text`; a cell that it would not have written stays as it is."""
    if text.startswith("'\\"):
        return from_visible(text[2:])
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


def check_part(name: str, where: object) -> None:
    """UserError unless `name` can be one part of a path, below whatever folder it is put: no separator, not '..'."""
    if not isinstance(name, str) or name.strip() in ("", ".", "..") or re.search(r"[/\\\0]", name) \
            or printable(name) != name or len(name.encode(errors="replace")) > 200:
        raise UserError(f"{where}: {name!r:.80} becomes the name of files and folders; give a short one without "
                        "/ and \\")
