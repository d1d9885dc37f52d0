"""Made material for the tests of data preparation: images, archives' server with faults, slides with annotations."""
import contextlib
import hashlib
import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534


def make_images(root, names, size=8):
    """Small images of different colours below `root`, one for each relative name."""
    for number, name in enumerate(names):
        path = Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size), (number % 256, number // 256 % 256, 99)).save(path)


class Faulty(http.server.ThreadingHTTPServer):
    """A record's server on the loopback interface. Change its attributes to make it fail.

    files: name to bytes. ranges: whether range requests are answered. cut: close the connection after so many bytes of
    each answer (None: never). hold: after so many bytes wait until the event `go_on` is set. wrong: names whose stated
    checksum is false. answer: bytes instead of the record's description. seen: (name, Range header) of each request.
    """

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.ranges, self.cut, self.wrong, self.seen, self.answer = files, True, None, set(), [], None
        self.hold, self.go_on = None, threading.Event()

    @property
    def base(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/api/records/") and not self.path.endswith("/content"):
            return self._send(self.server.answer or json.dumps({"files": [self._entry(name) for name in
                                                                          self.server.files]}).encode(), 200, {})
        name = self.path.split("/")[-2]
        self.server.seen.append((name, self.headers.get("Range")))
        if name not in self.server.files:
            return self.send_error(404)
        body, first = self.server.files[name], 0
        if self.server.ranges and self.headers.get("Range"):
            first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        if first:
            return self._send(body[first:], 206, {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"})
        return self._send(body, 200, {})

    def _entry(self, name):
        body = self.server.files[name]
        digest = "0" * 32 if name in self.server.wrong else hashlib.md5(body).hexdigest()
        return {"key": name, "size": len(body), "checksum": f"md5:{digest}",
                "links": {"self": f"{self.server.base}/api/records/1/files/{name}/content"}}

    def _send(self, body, status, headers):
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        body = body if self.server.cut is None else body[:self.server.cut]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client was killed
            if self.server.hold is not None and len(body) > self.server.hold and status == 200:
                self.wfile.write(body[:self.server.hold])
                self.server.go_on.wait(60)
                body = body[self.server.hold:]
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(files):
    server = Faulty(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_AS_USER = """
import importlib.util, locale, os, sys
import numpy.random  # what is imported late is imported now
script, user, *arguments = sys.argv[1:]
specification = importlib.util.spec_from_file_location("command", script)
command = importlib.util.module_from_spec(specification)
sys.modules["command"] = command
specification.loader.exec_module(command)
if int(user) and os.geteuid() == 0:  # only now: the interpreter itself may lie where that user cannot read
    os.setgroups([]); os.setgid(int(user)); os.setuid(int(user))
from fewshot_wsi.foundation.errors import run_command
sys.exit(run_command(command.main, arguments))
"""


def run_as_user(script, *arguments, cwd, file_limit=None):
    """Run `main` of a script: as a user who is not root, or (file_limit) where no file can grow over so many bytes.
    CompletedProcess with text output."""
    def limit():
        import resource
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then write() fails with EFBIG
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    command = [sys.executable, "-c", _AS_USER, ROOT / script, 0 if file_limit else NOBODY, *arguments]
    return subprocess.run([str(part) for part in command], cwd=cwd, text=True, capture_output=True, timeout=120,
                          preexec_fn=limit if file_limit else None)


def small_command(folder, body):
    """Script in `folder` whose `main(argv)` is `body`; the project's modules are on its path."""
    script = Path(folder, "command.py")
    script.write_text(f"import sys\nsys.path[:0] = [r'{ROOT}']\n"
                      f"def main(argv=None):\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    return script


def make_slide(path, size=(1200, 900), mpp=0.5, levels=(1, 2), paint=None):
    """An Aperio slide that OpenSlide reads: white with a tissue-coloured, textured right part. size: (width, height).

    mpp: stated micrometres a pixel, None to state none. paint: function of an ImageDraw, to draw on level 0."""
    width, height = size
    rng = np.random.default_rng(0)
    pixels = np.full((height, width, 3), 245, dtype=np.uint8)
    tissue = np.array([190, 90, 160]) + rng.integers(-25, 25, (height, width - width // 6, 3))
    pixels[:, width // 6:] = tissue.astype(np.uint8)
    image = Image.fromarray(pixels)
    if paint:
        paint(ImageDraw.Draw(image))
    stated = "" if mpp is None else f"|AppMag = 20|MPP = {mpp}"
    with tifffile.TiffWriter(path) as tiff:
        for level in levels:
            part = np.asarray(image.resize((width // level, height // level), Image.Resampling.BOX))
            tiff.write(part, tile=(256, 256), photometric="rgb", metadata=None,
                       description=f"Aperio Image Library v1\n{width}x{height} (256x256) RAW{stated}")
    return path


def make_masks(slide, size=(1200, 900), whole=(500, 0), viable=(850, 0), **options):
    """Binary masks beside the slide: everything right of `whole` and of `viable` (x, y). options: to tifffile."""
    for layer, (left, top) in (("whole", whole), ("viable", viable)):
        mask = np.zeros(size[::-1], dtype=np.uint8)
        mask[top:, left:] = 1
        tifffile.imwrite(slide.with_name(f"{slide.stem}_{layer}.tif"), mask, **options)


def xml_text(layers, size=(1200, 900)):
    """ImageScope's XML. layers: (attributes of Annotation, [(hole, polygon)])."""
    parts = ["<Annotations MicronsPerPixel='0.5'>"]
    for attributes, regions in layers:
        parts.append(f"<Annotation {attributes}><Regions>")
        for hole, polygon in regions:
            vertices = "".join(f"<Vertex X='{x}' Y='{y}' Z='0'/>" for x, y in polygon)
            parts.append(f"<Region NegativeROA='{int(hole)}'><Vertices>{vertices}</Vertices></Region>")
        parts.append("</Regions></Annotation>")
    return "".join([*parts, "</Annotations>"])


def rectangle(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]
