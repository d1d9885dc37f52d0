"""Packed data that unpack to far more than their files claim, or claim far more than they hold: refused, in little
memory and time."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image
from test_bombs import little_memory  # noqa: F401 (a fixture)

from fewshot_wsi.feature_files.readers import read_features
from fewshot_wsi.foundation.bounded import check_unpacked
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.pixels import TooManyPixels, open_image
from fewshot_wsi.slides.opening import open_slide
from openselfsup.images import BrokenImage, read_image


def many_scans(size, scans):
    """A progressive JPEG whose last scan is repeated."""
    stream = io.BytesIO()
    Image.new("RGB", size, "pink").save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    last = data.rfind(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]


def test_a_jpeg_of_very_many_scans_is_broken_and_one_of_a_few_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(many_scans((4000, 4000), 200))
    with pytest.raises(BrokenImage, match=r"a\.jpg.*scans"):
        read_image(path)
    with pytest.raises(TooManyPixels, match="scans"), open_image(path):
        pass
    with pytest.raises(UserError):
        open_slide(path)
    path.write_bytes(many_scans((64, 64), 0))
    assert read_image(path).shape == (64, 64, 3)


def packed_tiff(path, packed, **options):
    """A TIFF of 64 x 64 pixels in one tile, which is stored as the bytes `packed`."""
    tifffile.imwrite(path, np.full((64, 64, 3), 7, np.uint8), photometric="rgb", tile=(64, 64), metadata=None,
                     **options)
    with tifffile.TiffFile(path) as file:
        tags = [file.pages[0].tags[code] for code in (324, 325)]
    data = bytearray(path.read_bytes())
    for tag, value in zip(tags, (len(data), len(packed)), strict=True):
        entry = struct.pack("<HHI", tag.code, tag.dtype, 1)
        place = data.find(entry)
        data[place:place + 12] = struct.pack("<HHII", tag.code, 4, 1, value)
    path.write_bytes(data + packed)


def test_a_tile_that_unpacks_to_more_than_its_size_is_not_unpacked(tmp_path, little_memory):  # noqa: F811
    path = tmp_path / "a.tif"
    maker = zlib.compressobj(9)
    bomb = b"".join(maker.compress(bytes(1 << 20)) for _ in range(300)) + maker.flush()
    packed_tiff(path, zlib.compress(np.full((64, 64, 3), 9, np.uint8).tobytes()), compression="deflate")
    assert (read_image(path) == 9).all()
    packed_tiff(path, bomb, compression="deflate")
    with pytest.raises(UserError, match="is damaged: no image at .*more than the"), open_slide(path) as slide:
        slide.read(0, 0, 0, (8, 8))
    from openselfsup.tiff import read_tiff
    with pytest.raises(ValueError, match="unpack to more than"):
        read_tiff(path.read_bytes())


@pytest.mark.parametrize("packing", ["deflate", "lzma"])
def test_unpacked_lengths_are_those_of_python(packing):
    import lzma
    pack = {"deflate": zlib.compress, "lzma": lzma.compress}[packing]
    for size in (0, 1, 1 << 20, (1 << 20) + 1, 5_000_000):
        data = pack(bytes(size))
        check_unpacked(data, packing, size)
        check_unpacked(data[:-3], packing, size)  # cut short: for the decoder to say
        if size:
            with pytest.raises(ValueError, match="unpack to more than"):
                check_unpacked(data, packing, size - 1)


def test_a_scanners_slide_in_tiles_of_65520_is_refused(tmp_path, little_memory):  # noqa: F811
    path = tmp_path / "a.svs"
    tifffile.imwrite(path, np.full((512, 512, 3), 7, np.uint8), photometric="rgb", tile=(256, 256), metadata=None,
                     compression=None, description="Aperio Image Library v10.0\r\n512x512 |AppMag = 20|MPP = 0.5")
    with open_slide(path) as slide:
        assert slide.reader == "OpenSlide"
    with tifffile.TiffFile(path) as file:
        tags = [file.pages[0].tags[code] for code in (322, 323, 256, 257)]
    data = bytearray(path.read_bytes())
    for tag in tags:
        data[tag.valueoffset:tag.valueoffset + 4] = struct.pack("<I", 65520) if tag.dtype == 4 else struct.pack(
            "<HH", 65520, 0)
    path.write_bytes(data)
    with pytest.raises(UserError, match="stored in tiles of 65520 × 65520"):
        open_slide(path)


def hdf5(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        made = file.create_dataset("features", (1 << 17, 2048), "f4", chunks=(1 << 17, 2048), compression="gzip")
        made.id.write_direct_chunk((0, 0), os.urandom(1 << 21))


def unpacking_hdf5(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        made = file.create_dataset("features", (2, 8), "f4", chunks=(2, 8), compression="gzip")
        made.id.write_direct_chunk((0, 0), os.urandom(1 << 18))


def zarr_chunk(path):
    zarr = pytest.importorskip("zarr")
    made = zarr.open_group(path, mode="w", zarr_format=2).create_array("features", shape=(1 << 17, 2048), dtype="f4",
                                                                       chunks=(1 << 17, 2048))
    made.store_path.store.root.joinpath("features", "0.0").write_bytes(os.urandom(1 << 21))


def zarr_device(path):
    zarr = pytest.importorskip("zarr")
    made = zarr.open_group(path, mode="w", zarr_format=2).create_array("features", shape=(4, 2), dtype="f4",
                                                                       chunks=(4, 2))
    made.store_path.store.root.joinpath("features", "0.0").symlink_to("/dev/zero")


def zarr_description(path):
    zarr_device(path)
    (path / "features/0.0").unlink()
    (path / ".zattrs").write_text('{"a": "' + "x" * (1 << 25) + '"}')


def parquet(path):
    pyarrow, writer = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({name: np.zeros(1 << 22, np.float32) for name in ("f0", "f1")})
    with writer.ParquetWriter(path, table.schema) as file:
        for _ in range(10):
            file.write_table(table, row_group_size=1 << 22)


CLAIMS = {"a.h5": (hdf5, "stored in chunks of 1,024 MiB"), "b.h5": (unpacking_hdf5, "is stored in 262,144 bytes"),
          "chunk.zarr": (zarr_chunk, "stored in chunks of 1,024 MiB"),
          "device.zarr": (zarr_device, "no regular file"), "large.zarr": (zarr_description, "that describe a store"),
          "a.parquet": (parquet, "its table declares 335,544,320 bytes")}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_feature_file_that_claims_more_than_it_holds_is_refused(tmp_path, name):
    make, said = CLAIMS[name]
    make(tmp_path / name)
    with pytest.raises(UserError, match=said):
        read_features(tmp_path / name)


def test_coordinates_of_another_length_are_not_read(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = np.ones((3, 2), np.float32)
        file.create_dataset("coords", (1 << 24, 4), "u1", compression="gzip", data=np.zeros((1 << 24, 4), np.uint8))
    with pytest.raises(UserError, match="3 rows of features, but 16777216 of coords"):
        read_features(tmp_path / "a.h5")


@pytest.mark.parametrize("location, dims", [("../secret.bin", [4]), ("{folder}/secret.bin", [4]),
                                            (None, [1 << 20, 1 << 20])])
def test_a_network_reads_no_other_file_and_no_more_than_it_holds(tmp_path, monkeypatch, location, dims):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    from openselfsup.apis.recipe import preset_recipe
    from openselfsup.encoders import build_encoder
    (tmp_path / "secret.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    if location:
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=location.format(folder=tmp_path))
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", shapes[:1], shapes[1:], [weights])
    onnx.save_model(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), "a.onnx")
    (tmp_path / "inside/mine.py").write_text(
        "kind = 'onnx'\ncrop = 8\nwidth = 4\nlicense = weights = citation = 'none'\n")
    with pytest.raises(UserError, match=r"a\.onnx: not a network that onnxruntime reads"):
        build_encoder(None, "a.onnx", preset_recipe("mine.py"), "cpu")
