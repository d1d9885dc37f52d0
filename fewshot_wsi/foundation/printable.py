"""Text for a terminal: what would move its cursor, colour it or hide is written out."""

import unicodedata
from collections.abc import Sequence

# control, format (zero width, direction of writing), lone surrogates, private and unassigned; separators of lines
_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def printable(text: str) -> str:
    """A line of text with its hidden characters escaped, backslashes as they are: the guard at the terminal, for
    messages that hold names among other words. Not reversible where a name itself spells an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(escaped(char) if unicodedata.category(char) in _HIDDEN else char for char in text)


def some(names: Sequence[object], most: int = 5) -> str:
    """The first `most` of `names`, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + rest


def escaped(char: str) -> str:
    """One character as Python escapes it."""
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
