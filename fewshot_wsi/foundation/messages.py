"""What functions report beside their results, through `logging`: notebooks silence or capture it, commands show it.

Each module has a `logger = logging.getLogger(__name__)`: `info` says what was done, `warning` what a user should know.
Without `show_messages`, Python's defaults hold: warnings on stderr, no information.
"""

import logging
import sys
from typing import TextIO

from fewshot_wsi.foundation.printable import printable

PACKAGES = ("fewshot_wsi", "lowshot", "openselfsup")


class _Terminal(logging.Handler):
    """Information to stdout as it is; warnings to stderr behind 'notice:', errors behind 'error:'."""

    def emit(self, record):
        warned = record.levelno >= logging.WARNING
        prefix = "error: " if record.levelno >= logging.ERROR else "notice: " if warned else ""
        say(prefix + record.getMessage(), file=sys.stderr if warned else sys.stdout)


_TERMINAL = _Terminal()


def say(*values: object, file: TextIO | None = None) -> None:
    """`print`, at once, for text that holds names of files or classes: hidden characters are escaped, line by line."""
    text = " ".join(map(str, values))
    print("\n".join(map(printable, text.split("\n"))), file=file, flush=True)


def show_messages() -> None:
    """Show messages of this project's packages on the terminal, as commands do. Calling it again changes nothing."""
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(_TERMINAL)
