"""Copy streams to where they went before and, line by line, to a log; run as a process of its own by `children.logged`.

    python tee.py LOG IN:OUT [IN:OUT]      numbers of open descriptors

Each piece is passed on at once. The log gets whole lines, so that those of two streams never mix. Signals are
left to the process whose output this is: the copying ends when its pipes do.
"""

import os
import selectors
import signal
import sys

PIECE = 1 << 16


def main(log, *pairs):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sink = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    begun = {}  # input: what came after its last line end
    with selectors.DefaultSelector() as waiting:
        for pair in pairs:
            source, target = map(int, pair.split(":"))
            waiting.register(source, selectors.EVENT_READ, target)
            begun[source] = b""
        while waiting.get_map():
            for key, _ in waiting.select():
                piece = os.read(key.fd, PIECE)
                _write(key.data, piece)
                lines, end, rest = (begun[key.fd] + piece).rpartition(b"\n")
                begun[key.fd] = rest
                if not piece:
                    lines, end = rest, b""
                    waiting.unregister(key.fd)
                _write(sink, lines + end)


def _write(target, data):
    """All of `data`; a target that is gone or full must not stop the other."""
    try:
        while data:
            data = data[os.write(target, data):]
    except OSError:
        return


if __name__ == "__main__":
    main(*sys.argv[1:])
