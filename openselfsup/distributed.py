"""Processes: how they find each other under torchrun, SLURM or MPI, and the few collectives the trainer needs."""

import contextlib
import functools
import logging
import os
import subprocess
import time

import torch
import torch.distributed as dist

from fewshot_wsi.foundation.errors import Terminated, UserError
from fewshot_wsi.foundation.locks import locked
from openselfsup.launch import STOP_FILE

_MOMENT = 10  # seconds that a follower waits before it reports a fault
logger = logging.getLogger(__name__)


def rank():
    return dist.get_rank() if dist.is_initialized() else 0


def world_size():
    return dist.get_world_size() if dist.is_initialized() else 1


def take_local_rank(number):
    """--local_rank, by which older launchers number the processes of a machine, or None; LOCAL_RANK goes first."""
    if number is not None:
        os.environ.setdefault("LOCAL_RANK", str(number))


def start(launcher, backend="nccl", port=None):
    """Join the process group of `launcher`; 'none' does nothing. Without GPUs the backend is gloo.

    port: for SLURM and MPI where MASTER_PORT is not set (29500 otherwise). Sets this process's GPU.
    """
    os.environ.setdefault("MKL_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # else MMEngine sets and warns
    if launcher == "none" or dist.is_initialized():
        return
    _environment(launcher, port)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    else:
        backend = "gloo"
    dist.init_process_group(backend)


def _environment(launcher, port):
    """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT from the launcher's own variables."""
    names = {"pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
             "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
             "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")}[launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        script = {"pytorch": "tools/dist_train.sh", "slurm": "tools/srun_train.sh", "mpi": "mpirun"}[launcher]
        raise UserError(f"--launcher {launcher}: {missing[0]} is not set; start through {script}")
    for ours, theirs in zip(("RANK", "WORLD_SIZE", "LOCAL_RANK"), names, strict=True):
        os.environ[ours] = os.environ[theirs]
    if "MASTER_ADDR" not in os.environ:
        os.environ["MASTER_ADDR"] = _first_slurm_node() if launcher == "slurm" else "127.0.0.1"
    os.environ.setdefault("MASTER_PORT", str(port or 29500))


def _first_slurm_node():
    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST", "")  # a step may have fewer nodes
    if not any(mark in nodes for mark in "[,"):
        return nodes or "127.0.0.1"
    try:
        return subprocess.run(["scontrol", "show", "hostnames", nodes], check=True, text=True,
                              capture_output=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise UserError(f"cannot find the first node of {nodes!r} ({error}); set MASTER_ADDR") from None


def device():
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def sync_bn_works():
    """Whether BN statistics can be shared: several processes, on GPUs (torch has no SyncBatchNorm for CPUs)."""
    return world_size() > 1 and torch.cuda.is_available()


def first_row(rows):
    """Where this process's rows begin in `gather_rows`; every process must have the same number of `rows`."""
    return rank() * rows


def gather_rows(tensor):
    """(N, d) of every process, stacked in rank order: (world · N, d). No gradient flows through it."""
    if world_size() == 1:
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def gather_objects(value):
    """List of `value` of every process, on every process."""
    if world_size() == 1:
        return [value]
    parts = [None] * world_size()
    dist.all_gather_object(parts, value)
    return parts


def from_first(work):
    """What `work()` gives on the first process, on all of them; its UserError, too, is raised on all."""
    value, error = None, None
    if rank() == 0:
        try:
            value = work()
        except UserError as caught:
            error = str(caught)
    value, error = gather_objects((value, error))[0]
    if error:
        raise UserError(error)
    return value


@contextlib.contextmanager
def locked_by_first(path, wait=True):
    """The lock of `path` (see `foundation.locks`), held by the first process for all of them."""
    with contextlib.ExitStack() as held:
        from_first(lambda: held.enter_context(locked(path, wait)))
        yield


def stop():
    if dist.is_initialized():
        dist.destroy_process_group()


def reported_once(main):
    """Wrap a command's `main` for several processes: a fault that all of them meet is told once, by process 0.

    The others hold an error back for a moment, in which torchrun ends them where process 0 has failed too; a fault of
    one process alone is then reported by that process. A process that loses its peers says so in one line.
    """
    @functools.wraps(main)
    def run(argv=None):
        follower = int(os.environ.get("RANK", 0)) > 0
        try:
            return main(argv)
        except UserError:
            if follower:
                _hold_back()
            raise
        except Terminated:
            if not follower and STOP_FILE not in os.environ:
                raise
            return 143  # torchrun ends the rest where one process has failed, and that one tells why
        except (RuntimeError, dist.DistError) as error:
            if not _lost_peer(error):
                raise
            _hold_back()  # the one that failed first must also end first
            logger.warning(f"process {os.environ.get('RANK', 0)}: another process has ended; so does this one")
            return 1
    return run


def _hold_back():
    try:
        time.sleep(_MOMENT)
    except Terminated:  # process 0 has told it meanwhile
        raise SystemExit(143) from None


def _lost_peer(error):
    text = str(error).lower()
    return isinstance(error, dist.DistError) or "closed by peer" in text or "reset by peer" in text
