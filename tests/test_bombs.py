"""Files that claim more than they are worth: refused by what they claim, in little memory and time."""

import io
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from fewshot_wsi.annotations.geojson import regions
from fewshot_wsi.annotations.reading import read_regions
from fewshot_wsi.annotations.xml import read_root
from fewshot_wsi.data_checks.measure import Broken, measure
from fewshot_wsi.foundation.archived import is_file
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import find_images
from fewshot_wsi.prepare_data.archive import unpack
from fewshot_wsi.prepare_data.masks import mask_cover
from fewshot_wsi.report.tiles import encoder_pictures
from fewshot_wsi.slides.geometry import Geometry
from fewshot_wsi.slides.opening import open_slide
from openselfsup.images import BrokenImage, read_image


def jpeg(width, height, progressive=False):
    """The bytes of a small JPEG whose header claims another size."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "pink").save(stream, "JPEG", progressive=progressive)
    data = bytearray(stream.getvalue())
    at = data.find(b"\xff\xc2" if progressive else b"\xff\xc0")
    data[at + 5:at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png(width, height):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


def tiff(width, height, **options):
    """The bytes of a TIFF of 64 x 64 pixels whose tags claim another size."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.full((64, 64, 3), 7, np.uint8), photometric="rgb", **options)
    with tifffile.TiffFile(io.BytesIO(stream.getvalue())) as file:
        claimed = {322: width, 323: height} if options else {256: width, 257: height, 278: height}
        places = [(file.pages[0].tags[code], value) for code, value in claimed.items()]
    data = bytearray(stream.getvalue())
    for tag, value in places:
        data[tag.valueoffset:tag.valueoffset + 4] = struct.pack(
            "<I", value) if tag.dtype == 4 else struct.pack("<H", min(value, 65535)) + b"\0\0"
    return bytes(data)


BOMBS = {"jpeg of 65500²": lambda: jpeg(65500, 65500), "jpeg of 16000²": lambda: jpeg(16000, 16000),
         "progressive jpeg": lambda: jpeg(65500, 65500, True), "png of 2^31": lambda: png(2**31 - 1, 2**31 - 1),
         "png of 9000²": lambda: png(9000, 9000), "tiff of 60000²": lambda: tiff(60000, 60000),
         "tiff with a tile of 65520²": lambda: tiff(65520, 65520, tile=(64, 64), compression="deflate")}


@pytest.fixture
def little_memory():
    """The test may allocate 200 MB in Python and numpy."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


@pytest.mark.parametrize("bomb", BOMBS)
def test_an_image_is_refused_by_the_size_it_claims(tmp_path, bomb, little_memory):
    path = tmp_path / "a.tif"
    path.write_bytes(BOMBS[bomb]())
    with pytest.raises(BrokenImage, match=r"a\.tif.*million"):
        read_image(path)
    assert isinstance(measure(path), Broken)


@pytest.mark.parametrize("bomb", ["jpeg of 16000²", "png of 9000²"])
def test_pictures_and_slides_have_the_limit_too(tmp_path, bomb):
    path = tmp_path / "a.png"
    path.write_bytes(BOMBS[bomb]())
    with pytest.raises(UserError, match=r"a\.png.*million"):
        encoder_pictures(tmp_path)
    if "16000" in bomb:
        with pytest.raises(UserError, match="too large to be read as a flat image"):
            open_slide(path)


@pytest.mark.parametrize("data", [tiff(60000, 60000), tiff(65520, 65520, tile=(64, 64), compression="deflate")])
def test_tiles_and_strips_of_slides_and_masks_have_a_limit(tmp_path, data, little_memory):
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with pytest.raises(UserError), open_slide(path) as slide:
        slide.read(0, 0, 0, (8, 8))
    with pytest.raises(UserError):
        mask_cover(path, Geometry(64, 64, 8, (8, 8), 0, (8, 8), 8), [(60000, 60000), (65520, 65520)])


def test_a_pipe_or_device_is_no_image_and_no_slide(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "device.tif").symlink_to("/dev/zero")
    for name in ("pipe.tif", "device.tif"):
        with pytest.raises(BrokenImage, match="no regular file"):
            read_image(tmp_path / name)
        with pytest.raises(UserError, match="no regular file"):
            open_slide(tmp_path / name)
        with pytest.raises(UserError, match="no regular file"):
            read_regions(tmp_path / name, None)


def test_a_member_of_a_zip_is_unpacked_to_its_stated_size_only(tmp_path, little_memory):
    """A directory that states 10 bytes for what unpacks to 300 MB."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("a.tif", "w") as member:
        for _ in range(300):
            member.write(bytes(1 << 20))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02") + 24
    data[at:at + 4] = struct.pack("<I", 10)
    path.write_bytes(data)
    with pytest.raises(BrokenImage, match="damaged"):
        read_image(path / "a.tif")


NESTED = {"deep": "<a>" * 50_000 + "</a>" * 50_000, "many": "<a>" + "<b/>" * 2_000_001 + "</a>",
          "ASAP": "<ASAP_Annotations>" + "<Annotation><Coordinate X='1' Y='1'/>" * 20_000 + "</Annotation>" * 20_000}


@pytest.mark.parametrize("kind", NESTED)
def test_xml_is_bounded_in_depth_and_number(tmp_path, kind):
    path = tmp_path / "a.xml"
    path.write_text(NESTED[kind])
    with pytest.raises(UserError, match="a.xml.*(nested more than 64 deep|more than 2,000,000 elements)"):
        read_root(path)


def test_geojson_is_bounded_and_keeps_what_qupath_writes(tmp_path):
    path = tmp_path / "a.geojson"
    for text in ("[" * 100_000, '{"features": [' + "0," * 11_000_000 + "0]}",
                 '[{"type": "Feature", "geometry": ' + '{"type": "GeometryCollection", "geometries": [' * 400 +
                 '{"type": "Point", "coordinates": [1, 1]}' + "]}" * 400 + "}]"):
        path.write_text(text)
        try:
            regions(path)
        except UserError as error:
            assert "a.geojson" in str(error)
    path.write_text('\ufeff[{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, '
                    '"properties": {"measurements": {"Area": NaN}}}]', encoding="utf-8")
    assert len(regions(path)[0]) == 1


def zipped(path, name, method=None):
    """A zip of one image under `name`, written as it stands; `method`: what its headers claim it is packed with."""
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("n" * max(len(name), 1), png(8, 8))
    data = bytearray(path.read_bytes().replace(b"n" * len(name), name.encode()) if name else path.read_bytes())
    if not name:  # the letter becomes a part of what follows the name
        for sign, place in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
            at = data.find(sign) + place
            data[at:at + 4] = struct.pack("<HH", 0, 1)
    if method is not None:
        for sign, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            at = data.find(sign) + place
            data[at:at + 2] = struct.pack("<H", method)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("name", "method", "said"), [
    ("A/a.png", 9, "compressed with Deflate64, .* unpack it with unzip or 7-Zip"),
    ("A/a.png", 93, "compressed with zstandard"), ("A\\a.png", None, "back-slashes, .* 7-Zip"),
    ("", None, "no name"), ("x" * 300, None, "a name of more than 255 bytes")])
def test_an_archive_that_cannot_be_unpacked_says_what_it_is(tmp_path, name, method, said):
    with pytest.raises(UserError, match=said):
        unpack(zipped(tmp_path / "a.zip", name, method), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_back_slashes_in_a_zip_that_is_read_in_place_are_folders(tmp_path):
    path = zipped(tmp_path / "a.zip", "A\\b\\c.png")
    assert find_images(path) == ["b/c.png"] and is_file(path / "A/b/c.png") and is_file(path / "b/c.png")
