"""A Dask scheduler or worker as a process: `python dask_node.py [lacking] [other] scheduler | worker ADDRESS`.

lacking: this project's packages cannot be imported in it. other: it has another release of this project."""

import asyncio
import importlib
import importlib.abc
import sys


class Lacking(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("fewshot_wsi", "lowshot", "openselfsup"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


async def serve(kind, *address):
    from distributed import Scheduler, Worker
    made = Scheduler(host="127.0.0.1", port=0, dashboard=False) if kind == "scheduler" else Worker(
        *address, nthreads=1, host="127.0.0.1", dashboard=False)
    async with made as node:
        print(node.address, flush=True)
        await node.finished()


if __name__ == "__main__":
    options = sys.argv[1:]
    if options[0] == "lacking":
        sys.meta_path.insert(0, Lacking())
    if options[0] == "other":
        import fewshot_wsi
        fewshot_wsi.__version__ = "0.0.1"
    if options[0] != "lacking":
        importlib.import_module("fewshot_wsi.meta_test.unfinished")  # before it is asked: a test has a short limit
    asyncio.run(serve(*[one for one in options if one not in ("lacking", "other")]))
