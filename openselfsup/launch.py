"""torchrun, with signals and exit codes a queue can work with.

    python -m openselfsup.launch --nproc_per_node 2 tools/train.py CONFIG --launcher pytorch

takes torchrun's own arguments. SIGTERM and SIGINT are not sent on to the processes but written to a file that they look
at between iterations (openselfsup/stopping.py); they save and end by themselves, however long an iteration takes. A
second signal of the same kind ends everything at once. The exit code is that of the processes.
"""

import logging
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from fewshot_wsi.foundation.messages import show_messages
from fewshot_wsi.foundation.temporary import temporary_folder

logger = logging.getLogger("openselfsup.launch")
STOP_FILE = "FEWSHOT_STOP_FILE"  # variable that names the file by which signals are passed on


class _Impatient(BaseException):
    """A second signal of the same kind."""


def _pass_on(path):
    def handle(number, frame):
        if path.exists() and path.read_text() == str(int(number)):
            raise _Impatient(number)
        path.write_text(str(int(number)))
    return handle


def _leave_signals_to_us(run):
    """Option by which torchrun keeps off SIGTERM and SIGINT. Older torch has none, passes them on by itself, and ends
    the processes half a minute later: that is what they then have to save."""
    known = "--signals-to-handle" in run.get_args_parser().format_help()
    return ["--signals-to-handle", "SIGHUP,SIGQUIT"] if known else []


def main(argv=None):
    show_messages()
    folder = temporary_folder(Path(tempfile.gettempdir(), "fewshot-stop"))
    try:
        path = folder / "signal"
        os.environ[STOP_FILE] = str(path)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _pass_on(path))
        return _run(sys.argv[1:] if argv is None else argv)
    except _Impatient as error:
        return 128 + error.args[0]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(argv):
    """torchrun with these arguments; returns the exit code. Imported once signals are handled: it takes seconds."""
    from torch.distributed import DistError, run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    # the processes have said what is wrong; torchrun's own report of their exit codes adds nothing
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        run.main([*_leave_signals_to_us(run), *argv])
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        code = failure.exitcode
        return code if code > 0 else 128 - code
    except SignalException as error:
        return 0 if error.sigval == signal.SIGTERM else 128 + error.sigval
    except DistError as error:
        logger.error(f"the processes cannot meet ({str(error).splitlines()[0]}); give another PORT where it is in "
                     "use, and see that MASTER_ADDR answers")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
