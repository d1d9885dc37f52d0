"""Files that a stranger may send: a generator a kind, which writes them into a folder and gives (title, command)."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

CHECK = "check_data"
SQUARES = "".join(f"{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))  # 9^11 values in 600 bytes
NESTED = "[" * 100_000
PAGE = b"<!DOCTYPE html><html><body>404</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 100\n"
PLAIN = {"empty": b"", "zeros": bytes(1 << 20), "page": PAGE, "pointer": POINTER, "noise": np.random.default_rng(
    0).bytes(1 << 16)}


class Evil:
    """A pickle of it runs a program."""

    def __reduce__(self):
        return os.system, ("touch /tmp/strangers_were_here",)


def jpeg(width, height, progressive=False, scans=0):
    """A small JPEG whose header claims another size, its last scan repeated."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "pink").save(stream, "JPEG", progressive=progressive)
    data = bytearray(stream.getvalue())
    at = data.find(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[at + 5:at + 9] = struct.pack(">HH", height, width)
    last = data.rfind(b"\xff\xda")
    return bytes(data[:-2] + data[last:-2] * scans + data[-2:])


def bomb(size):
    """zlib data of `size` MiB of zeros."""
    maker = zlib.compressobj(9)
    return b"".join(maker.compress(bytes(1 << 20)) for _ in range(size)) + maker.flush()


def tiff(claimed=None, packed=None, **options):
    """The bytes of a TIFF of one tile of 64 x 64. claimed: sides that its tags claim. packed: the bytes of its tile."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.full((64, 64, 3), 7, np.uint8), photometric="rgb", tile=(64, 64), metadata=None,
                     **options)
    data = bytearray(stream.getvalue())
    tags = dict.fromkeys((256, 257, 322, 323), claimed) if claimed else {}
    if packed is not None:
        tags |= {324: len(data), 325: len(packed)}
    with tifffile.TiffFile(io.BytesIO(stream.getvalue())) as file:
        for code, value in tags.items():
            tag = file.pages[0].tags[code]
            place = data.find(struct.pack("<HHI", tag.code, tag.dtype, 1))
            data[place:place + 12] = struct.pack("<HHII", code, 4, 1, value)
    return bytes(data) + (packed or b"")


def put(folder, files):
    """Writes {name: bytes}; then a pipe and a link to an endless device, of the first name's suffix. All names."""
    for name, data in files.items():
        Path(folder, name).write_bytes(data)
    suffix = Path(next(iter(files))).suffix
    os.mkfifo(Path(folder, f"pipe{suffix}"))
    Path(folder, f"device{suffix}").symlink_to("/dev/zero")
    return [*files, f"pipe{suffix}", f"device{suffix}"]


def images(folder):
    data = {"jpeg 65500.jpg": jpeg(65500, 65500), "jpeg 16000.jpg": jpeg(16000, 16000), **{
        f"{name}.jpg": content for name, content in PLAIN.items()}, "scans.jpg": jpeg(6000, 6000, True, 5000),
        "packed.jpg": tiff(packed=bomb(3000), compression="deflate"), "tile.jpg": tiff(65520, compression="deflate")}
    Image.new("RGB", (64, 64), "pink").save(Path(folder, "good.png"))
    for name in put(folder, data):
        listed = Path(folder, f"{name}.txt".replace(" ", "_"))
        listed.write_text(f"good.png 0\n{name} 0\n")
        yield name, [CHECK, listed, "--root", folder, "--out", listed.with_suffix(""), "--quiet", "--workers", "1",
                     "--cache", Path(folder, "cache")]


def lists(folder):
    for name in put(folder, {"nul.txt": b"a\0b 0\n", "utf-16.txt": "a 0\n".encode("utf-16"), "digits.txt":
                             b"a " + b"9" * 90, **{f"{name}.txt": data for name, data in PLAIN.items()}}):
        yield name, [CHECK, Path(folder, name), "--root", folder]
    yield "folder", [CHECK, folder, "--root", folder]


def results(folder):
    texts = {"nested.json": NESTED, "10^400.json": '{"f1": [[1' + "0" * 400 + "]]}", "no result.json": "{}",
             "many.json": "[" + "0," * 5_000_000 + "0]", "nan.json": '{"f1": NaN}', "schema.json": '{"schema": 99}',
             "text.json": '"x"'}
    for name in put(folder, {name: text.encode() for name, text in texts.items()} | {
            f"{name}.json": data for name, data in PLAIN.items()}):
        yield name, ["report", Path(folder, name), "--out", Path(folder, "page.html")]


def archives(folder):
    for title, name in {"climbs": "../x.tif", "absolute": "/x.tif", "long": "x" * 300, "back-slashes": "a\\b.tif",
                        "NUL": "a.tif"}.items():
        path = Path(folder, f"{title}.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr(name, bytes(1000))
        if title == "NUL":
            path.write_bytes(path.read_bytes()[:60])
        yield title, ["nct", "--archive", path, "--out", Path(folder, "out"), "--quiet"]
    for name in put(folder, {f"{name}.zip": data for name, data in PLAIN.items()}):
        yield name, ["nct", "--archive", Path(folder, name), "--out", Path(folder, "out"), "--quiet"]


def configs(folder):
    texts = {"tag.yaml": "a: !!python/object/apply:os.system ['true']\n", "aliases.yaml": f"0: &a0 [x]\n{SQUARES}",
             "nested.yaml": f"a: {NESTED}", "nested.json": NESTED,
             "climbs.yaml": "name: ../../x\nclasses: {a: [b, c]}\n", "program.json": '{"_base_": "evil.py"}',
             "circle.yaml": "_base_: circle.yaml\n", "keys.json": '{"a": 1}',
             "number.json": '{"a": 1' + "0" * 5000 + "}", "types.yaml": "name: 3\nclasses: 4\nsets: [1]\n"}
    for name in put(folder, {name: text.encode() for name, text in texts.items()} | {
            f"{name}.yaml": data for name, data in PLAIN.items()}):
        yield f"protocol {name}", ["run_protocol", "--protocol", Path(folder, name), "--dry_run"]
    for name in ("tag.yaml", "aliases.yaml", "types.yaml", "zeros.yaml"):
        yield f"training {name}", ["count_parameters", Path(folder, name)]


def checkpoints(folder):
    import torch
    whole = io.BytesIO()
    torch.save({"state_dict": {"conv1.weight": torch.zeros(64, 3, 7, 7)}}, whole)
    old = io.BytesIO()
    torch.save({"a": torch.zeros(9)}, old, _use_new_zipfile_serialization=False)
    wide = io.BytesIO()  # a tensor that claims 40 GB of one number
    torch.save({"state_dict": {"conv1.weight": torch.zeros(1).expand(100_000, 100_000)}}, wide)
    files = {"program.pth": pickle.dumps(Evil()), "cut.pth": whole.getvalue()[:3000], "cut old.pth":
             old.getvalue()[:-9], "wide.pth": wide.getvalue(), "list.pth": pickle.dumps([1, 2]),
             "header.safetensors": struct.pack("<Q", 1 << 60) + b"{}",
             "nested.safetensors": struct.pack("<Q", len(NESTED)) + NESTED.encode()}
    names = put(folder, files | {f"{name}.pth": data for name, data in PLAIN.items()})
    for name in names:
        if name == "wide.pth":  # its one number is copied as it is
            continue
        yield f"backbone {name}", ["extract_backbone_weights", Path(folder, name), Path(folder, "out.pth")]
    Image.new("RGB", (64, 64), "pink").save(Path(folder, "good.png"))
    Path(folder, "list.txt").write_text("good.png\n")
    for name in ("program.pth", "wide.pth", "cut.pth", "header.safetensors", "pipe.pth"):
        yield f"encoder {name}", ["extract", "--pretrained", Path(folder, name), "--config",
                                  "configs/extraction/extract_feats_LC.py", "--list", Path(folder, "list.txt"),
                                  "--root", folder, "--output", Path(folder, "out.npy"), "--device", "cpu"]
    for name in ("program.pth", "noise.pth"):
        yield f"published {name}", ["publish_model", Path(folder, name), Path(folder, "out.pth")]


def annotations(folder):
    ring = "[[0,0],[0,1e999],[1e999,0],[0,0]]"
    feature = '{"type":"Feature","geometry":{"type":"Polygon","coordinates":[%s]},"properties":{"name":"a"}}'
    texts = {"nested.geojson": NESTED, "infinite.geojson": f"[{feature % ring}]",
             "many.geojson": "[" + "0," * 11_000_000 + "0]",
             "types.geojson": '[{"type":"Feature","geometry":{"type":"Polygon","coordinates":7}}]',
             "far.geojson": f"[{feature % '[[0,0],[0,1e300],[1e300,0],[0,0]]'}]",
             "deep.xml": "<a>" * 50_000 + "</a>" * 50_000, "entity.xml": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
             "numbers.xml": '<ASAP_Annotations><Annotations><Annotation Name="x" Type="Polygon" PartOfGroup="g">'
             '<Coordinates><Coordinate Order="0" X="nan" Y="1e999"/></Coordinates></Annotation></Annotations>'
             "</ASAP_Annotations>"}
    Image.new("RGB", (600, 600), "pink").save(Path(folder, "s.png"))
    for name in put(folder, {name: text.encode() for name, text in texts.items()} | {
            f"{name}.geojson": data for name, data in PLAIN.items()}):
        yield name, ["slide", Path(folder, "s.png"), "--annotations", Path(folder, name), "--encoder", "mean_rgb",
                     "--mpp", "0.5", "--out", Path(folder, "out"), "--quiet"]


def slides(folder):
    aperio = dict(description="Aperio Image Library v10.0\r\n64x64 |AppMag = 20|MPP = 0.5")
    whole = tiff(**aperio)
    files = {"tiles.svs": tiff(65520, **aperio), "cut.svs": whole[:len(whole) // 2], "packed.svs":
             tiff(packed=bomb(3000), compression="deflate"), "tiles.tif": tiff(65520, compression="deflate"),
             "jpeg.jpg": jpeg(65500, 65500), "jpeg 16000.jpg": jpeg(16000, 16000), "scans.jpg":
             jpeg(9000, 9000, True, 5000)}
    ring = [[0, 0], [0, 60], [60, 60], [0, 0]]
    regions = [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"classification": {"name": name}}} for name in ("a", "b")]
    marked = Path(folder, "marked.geojson")
    marked.write_text(json.dumps(regions))
    for name in put(folder, files | {f"{name}.svs": data for name, data in PLAIN.items()}):
        yield name, ["slide", Path(folder, name), "--annotations", marked, "--encoder", "mean_rgb", "--mpp", "0.5",
                     "--out", Path(folder, "out"), "--quiet"]


def feature_files(folder):
    import h5py
    Path(folder, "list.csv").write_text("slide,x,y,label\na,0,0,0\na,1,0,1\n")
    with h5py.File(Path(folder, "chunk.h5"), "w") as file:
        made = file.create_dataset("features", (1 << 17, 2048), "f4", chunks=(1 << 17, 2048), compression="gzip")
        made.id.write_direct_chunk((0, 0), np.random.default_rng(0).bytes(1 << 21))
    with h5py.File(Path(folder, "unpacks.h5"), "w") as file:
        made = file.create_dataset("features", (2, 8), "f4", chunks=(2, 8), compression="gzip")
        made.id.write_direct_chunk((0, 0), bomb(1000))
        file["coords"] = np.array([[0, 0], [1, 0]])
    with h5py.File(Path(folder, "elsewhere.h5"), "w") as file:
        file["features"] = h5py.ExternalLink("/etc/passwd", "/x")
    with zipfile.ZipFile(Path(folder, "large.npz"), "w", zipfile.ZIP_DEFLATED) as packed, packed.open(
            "features.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 16, 8192)})
        for _ in range(2048):
            member.write(bytes(1 << 20))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 4)})
    names = [path.name for path in Path(folder).glob("*.*") if path.name != "list.csv"]
    objects = b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(128)
    files = {"claims.npy": header.getvalue(), "objects.npy": objects + pickle.dumps(Evil()),
             "program.pt": pickle.dumps(Evil()),
             "one line.csv": b"name,f0,f1\n" + b"1," * 8_000_000}
    for suffix in ("h5", "npz", "pt", "npy", "parquet", "csv"):
        files |= {f"{name}.{suffix}": data for name, data in PLAIN.items() if name in ("empty", "noise", "page")}
    Path(folder, "store.zarr").mkdir()
    Path(folder, "store.zarr/zarr.json").symlink_to("/dev/zero")
    for name in (*names, "store.zarr", *put(folder, files)):
        yield name, ["import_features", Path(folder, name), "--list", Path(folder, "list.csv"), "--output",
                     Path(folder, "out/f.npy")]


def stored_features(folder):
    """Features in the store's own form: .npy and the JSON beside it, and a saved classifier."""
    Path(folder, "list.txt").write_text("a.png\nb.png\n")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 4)})
    nan = io.BytesIO()
    np.save(nan, np.full((2, 4), np.nan, np.float32))
    good = io.BytesIO()
    np.save(good, np.eye(2, 4, dtype=np.float32))
    names = put(folder, {"claims.npy": header.getvalue(), "nan.npy": nan.getvalue(), "json.npy": good.getvalue(), **{
        f"{name}.npy": data for name, data in PLAIN.items()}})
    Path(folder, "json.json").write_text(NESTED)
    listed = Path(folder, "list.txt")
    for name in names:
        yield f"select {name}", ["select_tiles", Path(folder, name), "--budget", "1", "--list", listed, "--out",
                                 Path(folder, "out")]
    for name, data in {"empty": b"", "nested": NESTED.encode(), "noise": PLAIN["noise"], "types": b'{"schema": []}'
                       }.items():
        Path(folder, f"head {name}").mkdir()
        for part in ("head.json", "head.npz", "head.joblib"):
            Path(folder, f"head {name}", part).write_bytes(data)
        yield f"head {name}", ["predict", "--head", Path(folder, f"head {name}"), "--query", Path(folder, "json.npy"),
                               "--out", Path(folder, "out.csv")]


KINDS = {kind.__name__: kind for kind in (images, lists, results, archives, configs, checkpoints, annotations, slides,
                                          feature_files, stored_features)}
