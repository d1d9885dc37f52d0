"""A Dask cluster for meta-tests, checked before it gets work: Dask itself waits without end for a scheduler or worker
that lacks the package or does not answer."""

import asyncio
import contextlib
import importlib
import importlib.metadata
import logging
import platform
import sys
import warnings

import joblib

from fewshot_wsi.foundation.errors import UserError, one_line

PACKAGES = ("fewshot_wsi", "numpy", "scipy", "scikit-learn", "joblib")
_NEEDED = "fewshot_wsi.meta_test.unfinished"  # what a worker runs
_CURE = "install there what is installed here, and start it again"


def versions():
    """{'python' and each of PACKAGES: its version in this process, or None}."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return sys.modules[name].__version__ if name in sys.modules else None


def deciding():
    """`versions`, and what else has to be the same everywhere so that equal tasks give equal numbers."""
    evaluation = importlib.import_module("fewshot_wsi.meta_test.result_header").EVALUATION
    importlib.import_module(_NEEDED)
    minor = ".".join(platform.python_version_tuple()[:2])
    return versions() | {"python": minor, "EVALUATION": evaluation}


@contextlib.contextmanager
def cluster(scheduler):
    """joblib's workers are those of the Dask cluster at the address `scheduler`. UserError: see `check_cluster`; or the
    scheduler is gone, or one piece of work killed worker after worker."""
    check_cluster(scheduler)
    from distributed import Client, KilledWorker
    from distributed.client import FutureCancelledError
    with _quiet(), Client(scheduler, timeout=20) as client, joblib.parallel_config("dask", client=client):
        try:
            yield
        except (KilledWorker, FutureCancelledError) as error:
            what = "its workers were killed, perhaps for want of memory" if isinstance(error, KilledWorker) else \
                "the connection is lost"
            raise UserError(f"--scheduler {scheduler}: {what}; finished work is kept: run the same command again, with "
                            "a scheduler and workers that are there") from None


def check_cluster(scheduler, limit=30):
    """Raise a UserError unless the scheduler and all its workers answer, and match this process in all that `deciding`
    lists.

    scheduler: address, such as 'tcp://host:8786'. limit: seconds to connect, and to wait for a first worker; each later
    answer may take twice as long, since modules are imported for it. UserError too where dask[distributed] is missing
    here.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--backend dask needs the package dask[distributed]: pip install 'dask[distributed]'") from None
    if not scheduler:
        raise UserError("--backend dask needs --scheduler ADDRESS, as tcp://host:8786")
    with _quiet():
        asyncio.run(_check(Client, scheduler, limit))


@contextlib.contextmanager
def _quiet():
    """Without distributed's own messages: what is wrong with connections and versions is said here, in one line."""
    loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


async def _check(client_class, scheduler, limit):
    client = client_class(scheduler, asynchronous=True, timeout=limit, set_as_default=False)
    try:
        try:
            await asyncio.wait_for(client, 2 * limit)  # within `limit` it says itself what it waited for
            found = await asyncio.wait_for(_answer(client.run_on_scheduler(deciding)), 2 * limit)
        except Exception as error:  # of addresses, networks and protocols
            raise UserError(f"--scheduler {scheduler}: no Dask scheduler answers there ({one_line(error)[:200]}); give "
                            "the address that `dask scheduler` prints, as tcp://host:8786") from None
        _compare(f"the scheduler {scheduler}", found)
        try:
            await client.wait_for_workers(1, timeout=limit)
        except TimeoutError:
            raise UserError(f"--scheduler {scheduler}: it has no worker after {limit:g} seconds; start some with: dask "
                            f"worker {scheduler}") from None
        await _check_workers(client, limit)
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.close(timeout=1), 2)


async def _check_workers(client, limit):
    """UserError that names the first worker at fault."""
    async def ask(worker):
        try:
            answers = await asyncio.wait_for(client.run(deciding, workers=[worker], on_error="return"), 2 * limit)
        except TimeoutError:
            raise UserError(f"the worker {worker} does not answer within {2 * limit:g} seconds; end it, or start it "
                            "again") from None
        _compare(f"the worker {worker}", answers[worker])
    workers = sorted(await asyncio.wait_for(client.nthreads(), limit))
    faults = [one for one in await asyncio.gather(*map(ask, workers), return_exceptions=True) if one is not None]
    if faults:
        others = f"; the same or another fault at {len(faults) - 1} more of {len(workers)}" if faults[1:] else ""
        raise UserError(f"{faults[0]}{others}")


async def _answer(asked):
    """What `asked` gives, or the error that was raised there."""
    try:
        return await asked
    except (OSError, TimeoutError):
        raise
    except Exception as error:  # of the other side, which may have any code
        return error


def _compare(where, found):
    """UserError where `found` there, an answer or an error, is not what `deciding` gives here."""
    if isinstance(found, Exception):
        raise UserError(f"{where} lacks this package, or has another version of it ({one_line(found)[:200]}); {_CURE}")
    for name, here in deciding().items():
        if found.get(name) != here:
            raise UserError(f"{where} has {name} {found.get(name)}, here it is {here}; {_CURE}")
