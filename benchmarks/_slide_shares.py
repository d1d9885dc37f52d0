"""`slide.py` with a clock around each of its parts: the last line printed is JSON, {part: processor seconds}.

Run as a process of its own by slides.py. Reading and the encoder run on threads, so each thread's own clock counts."""

import json
import sys
import time
from collections import Counter

from fewshot_wsi.commands.slide import main
from fewshot_wsi.slide_maps import one_slide, rows
from openselfsup.encoders.colour import ColorHistogram

SECONDS: Counter[str] = Counter()


def clocked(owner, name, part):
    """Replace the function `name` of `owner` by one that adds the seconds of its thread to SECONDS[part]."""
    function = getattr(owner, name)

    def timed(*args, **options):
        start = time.thread_time()
        try:
            return function(*args, **options)
        finally:
            SECONDS[part] += time.thread_time() - start

    setattr(owner, name, timed)


if __name__ == "__main__":
    clocked(rows._SlideTiles, "get", "reading")
    clocked(ColorHistogram, "__call__", "encoder")
    clocked(one_slide, "tissue_grid", "tissue")
    clocked(one_slide, "_write", "writing")
    code, used = main(sys.argv[1:]), time.process_time()
    SECONDS["other"] = used - sum(SECONDS.values())
    print(json.dumps(SECONDS))
    sys.exit(code)
