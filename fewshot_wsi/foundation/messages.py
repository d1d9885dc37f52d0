"""What functions report beside their results, through `logging`: notebooks silence or capture it, commands show it.

Each module has a `logger = logging.getLogger(__name__)`: `info` says what was done, `warning` what a user should know.
Without `show_messages`, Python's defaults hold: warnings on stderr, no information.
"""

import logging
import sys

PACKAGES = ("fewshot_wsi", "lowshot", "openselfsup")


class _Terminal(logging.Handler):
    """Information to stdout as it is; warnings to stderr behind 'notice:', errors behind 'error:'."""

    def emit(self, record):
        warned = record.levelno >= logging.WARNING
        prefix = "error: " if record.levelno >= logging.ERROR else "notice: " if warned else ""
        print(prefix + record.getMessage(), file=sys.stderr if warned else sys.stdout, flush=True)


_TERMINAL = _Terminal()


def show_messages() -> None:
    """Show messages of this project's packages on the terminal, as commands do. Calling it again changes nothing."""
    for name in PACKAGES:
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.addHandler(_TERMINAL)
