"""Files that a stranger may send, opened: a table by kind of tries, one-line refusals, tracebacks, memory and seconds.

    python benchmarks/strangers.py                # 15 minutes; exit code 1 where something is not refused as it should
    python benchmarks/strangers.py slides configs # these kinds alone

Each try is a process of its own, which runs a command of the project on one hostile file (`_hostile.py`). Refused: exit
code 2 and one line that begins with 'error:'. Named: check_data completes, and counts the file among its findings. What
runs longer than LIMIT seconds counts as hung. Memory is the process's own peak of resident pages, seconds are those of
a processor, in user and system: on a busy machine the clock says more."""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from _hostile import CHECK, KINDS

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 300  # seconds, which a busy machine takes longer to reach
VERDICTS = ("refused", "named", "traceback", "hung", "other")
RUN = """
import sys
from fewshot_wsi.commands import main
peak = sys.argv.pop(1)
try:
    code = main()
finally:  # ru_maxrss would have the peak of the process that started this one
    open(peak, "w").write(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
sys.exit(code)
"""


def _processor_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def attempt(command):
    """(verdict, peak MiB, seconds, last line) of one command in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        peak, start = Path(folder, "peak"), _processor_seconds()
        try:
            done = subprocess.run([sys.executable, "-c", RUN, peak, *map(str, command)], cwd=ROOT, timeout=LIMIT,
                                  capture_output=True, text=True, errors="replace")
        except subprocess.TimeoutExpired:
            return "hung", 0, LIMIT, ""
        seconds = _processor_seconds() - start
        peak = int(peak.read_text()) / 1024 if peak.exists() else 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    if "Traceback" in done.stderr or done.returncode < 0:
        verdict = "traceback"
    elif done.returncode == 2 and len(lines) == 1 and done.stderr.splitlines()[-1] == lines[0]:
        verdict = "refused"
    else:
        verdict = "named" if done.returncode == 1 and command[0] == CHECK else "other"
    return verdict, peak, seconds, (done.stderr or done.stdout).strip().rpartition("\n")[2]


def main(kinds):
    bad = False
    print(f"{'kind':16}tries" + "".join(f"{one:>11}" for one in VERDICTS) + "  peak MiB  slowest s")
    for kind in kinds or KINDS:
        found = []
        with tempfile.TemporaryDirectory() as folder:
            for title, command in KINDS[kind](folder):
                found.append(attempt(command))
                if found[-1][0] not in ("refused", "named") or found[-1][1] > 1024 or found[-1][2] > 10:
                    bad = True
                    print(f"{kind}: {title}: {found[-1]}", file=sys.stderr)
        verdicts, peaks, seconds, _ = zip(*found, strict=True)
        print(f"{kind:16}{len(found):5}" + "".join(f"{verdicts.count(one):11}" for one in VERDICTS) +
              f"{max(peaks):10.0f}{max(seconds):11.1f}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
