"""Files that a stranger may send, opened: a table by kind of tries, one-line refusals, tracebacks, memory and seconds.

    python benchmarks/strangers.py                 # 2 minutes; exit code 1 where something is not refused as it should

Each try is a process of its own, which runs a command of the project on one hostile file. Refused: exit code 2 and one
line that begins with 'error:'. Named: the command completes, and says which file it left out. What runs longer than
LIMIT seconds counts as hung. Peak memory is that of the largest process so far."""

import io
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 60  # seconds
CHECK, REPORT = "check_data", "report"


def jpeg(width, height):
    """A small JPEG whose header claims another size."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "pink").save(stream, "JPEG")
    data = bytearray(stream.getvalue())
    at = data.find(b"\xff\xc0")
    data[at + 5:at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def images(folder):
    """(name, command) of images that are no images: check_data names each in its report."""
    for name, data in {"jpeg 65500²": jpeg(65500, 65500), "jpeg 16000²": jpeg(16000, 16000), "empty": b"",
                       "page": b"<html>404</html>", "zeros": bytes(1 << 20)}.items():
        Path(folder, name).write_bytes(data)
        yield name, name
    os.mkfifo(Path(folder, "pipe"))
    Path(folder, "device").symlink_to("/dev/zero")
    yield from (("pipe", "pipe"), ("device", "device"))


def image_tries(folder):
    for title, name in images(folder):
        listed = Path(folder, f"{title}.txt")
        listed.write_text(f"good.png 0\n{name} 0\n")
        Image.new("RGB", (64, 64), "pink").save(Path(folder, "good.png"))
        yield title, [CHECK, listed, "--root", folder, "--out", listed.with_suffix(""), "--quiet", "--workers", "1",
                      "--cache", Path(folder, "cache")]


def list_tries(folder):
    texts = {"empty": b"", "NUL": b"a\0b 0\n", "UTF-16": "a 0\n".encode("utf-16"), "90 digits": b"a " + b"9" * 90}
    for title, data in texts.items():
        Path(folder, title).write_bytes(data)
        yield title, [CHECK, Path(folder, title), "--root", folder]
    os.mkfifo(Path(folder, "pipe"))
    for title, path in (("pipe", Path(folder, "pipe")), ("device", "/dev/zero"), ("folder", folder)):
        yield title, [CHECK, path, "--root", folder]


def result_tries(folder):
    texts = {"nested": "[" * 100_000, "10^400": '{"f1": [[1' + "0" * 400 + "]]}", "empty": "", "no result": "{}",
             "many values": "[" + "0," * 5_000_000 + "0]", "NaN": '{"f1": NaN}', "schema": json.dumps({"schema": 99})}
    for title, text in texts.items():
        path = Path(folder, f"{title}.json")
        path.write_text(text)
        yield title, [REPORT, path, "--out", Path(folder, "page.html")]
    os.mkfifo(Path(folder, "pipe.json"))
    Path(folder, "device.json").symlink_to("/dev/zero")
    for title in ("pipe", "device"):
        yield title, [REPORT, Path(folder, f"{title}.json"), "--out", Path(folder, "page.html")]


def archive_tries(folder):
    for title, name in {"climbs": "../x.tif", "absolute": "/x.tif", "long": "x" * 300, "back-slashes": "a\\b.tif",
                        "NUL": "a.tif"}.items():
        path = Path(folder, f"{title}.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(name, bytes(1000))
        if title == "NUL":
            path.write_bytes(path.read_bytes()[:60])
        yield title, ["nct", "--archive", path, "--out", Path(folder, "out"), "--quiet"]


KINDS = {"images": image_tries, "lists": list_tries, "results": result_tries, "archives": archive_tries}


def attempt(command):
    """(verdict, peak MiB, seconds) of one command in a process of its own."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "fewshot_wsi", *map(str, command)], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, error = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "hung", 0, LIMIT
    seconds = time.perf_counter() - start
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    if "Traceback" in error:
        verdict = "traceback"
    elif process.returncode == 2 and len(lines) == 1:
        verdict = "refused"
    else:
        verdict = "named" if process.returncode == 1 and command[0] == CHECK else "other"
    return verdict, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, seconds


def main():
    found, bad = defaultdict(list), False
    print("kind      tries  refused  named  traceback  hung  other  peak MiB  slowest s")
    for kind, tries in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            for title, command in tries(folder):
                found[kind].append(attempt(command))
                if found[kind][-1][0] not in ("refused", "named"):
                    bad = True
                    print(f"{kind}: {title}: {found[kind][-1][0]}", file=sys.stderr)
        verdicts = [verdict for verdict, _, _ in found[kind]]
        counts = [verdicts.count(one) for one in ("refused", "named", "traceback", "hung", "other")]
        print(f"{kind:9}{len(verdicts):6}{counts[0]:9}{counts[1]:7}{counts[2]:11}{counts[3]:6}{counts[4]:7}"
              f"{max(peak for _, peak, _ in found[kind]):10.0f}{max(seconds for *_, seconds in found[kind]):11.1f}",
              flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
