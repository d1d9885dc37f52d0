"""Image files as their own tags say: every way to store a tile that a scanner or ImageJ has, or a refusal by name."""

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from openselfsup.images import BrokenImage, read_image


@pytest.fixture
def tile():
    """(24, 18, 3) uint8 with levels from 0 to 255, no two rows or columns alike."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (24, 18, 3)).astype(np.uint8)
    image[0, 0], image[-1, -1] = 0, 255
    return image


def sixteen(image):
    return image.astype(np.uint16) * 257


def twelve(image):
    return (image.astype(np.uint32) * 4095 // 255).astype(np.uint16)


def grey(image):
    return np.repeat(image[..., :1], 3, axis=2)


STORED = {  # name: (array, options of tifffile.imwrite, what it shows) of a tile
    "8-bit planes": lambda x: (np.moveaxis(x, 2, 0), dict(photometric="rgb", planarconfig="separate"), x),
    "16-bit pixels": lambda x: (sixteen(x), dict(photometric="rgb"), x),
    "16-bit planes": lambda x: (np.moveaxis(sixteen(x), 2, 0), dict(photometric="rgb", planarconfig="separate"), x),
    "16-bit planes, deflate": lambda x: (np.moveaxis(sixteen(x), 2, 0), dict(
        photometric="rgb", planarconfig="separate", compression="deflate"), x),
    "16-bit, big-endian": lambda x: (sixteen(x), dict(photometric="rgb", byteorder=">"), x),
    "16-bit, BigTIFF, tiled": lambda x: (sixteen(x), dict(photometric="rgb", bigtiff=True, tile=(16, 16)), x),
    "16-bit grey": lambda x: (sixteen(x[..., 0]), dict(photometric="minisblack"), grey(x)),
    "16-bit, white is zero": lambda x: (sixteen(255 - x[..., 0]), dict(photometric="miniswhite"), grey(x)),
    "8-bit, white is zero": lambda x: (255 - x[..., 0], dict(photometric="miniswhite"), grey(x)),
    "1 bit": lambda x: (x[..., 0] > 127, dict(photometric="minisblack"), grey(255 * (x > 127).astype(np.uint8))),
    "12 bits, packed": lambda x: (twelve(x[..., 0]), dict(photometric="minisblack", bitspersample=12), grey(x)),
    "12 bits in 16, stated": lambda x: (twelve(x), dict(
        photometric="rgb", extratags=[(281, "H", 3, (4095,) * 3, True)]), x),
    "ImageJ's channels": lambda x: (np.moveaxis(x, 2, 0), dict(imagej=True, metadata={"axes": "CYX"}), x),
    "OME's channels": lambda x: (np.moveaxis(x, 2, 0), dict(ome=True, photometric="minisblack",
                                                            metadata={"axes": "CYX"}), x),
    "16-bit alpha": lambda x: (np.dstack([sixteen(x), np.full(x.shape[:2], 65535, np.uint16)]), dict(
        photometric="rgb", extrasamples=["unassalpha"]), x),
    "16-bit, transparent": lambda x: (np.dstack([sixteen(x), np.zeros(x.shape[:2], np.uint16)]), dict(
        photometric="rgb", extrasamples=["unassalpha"]), np.full_like(x, 255)),
    "16-bit, a sample that is no alpha": lambda x: (np.dstack([sixteen(x), np.zeros(x.shape[:2], np.uint16)]), dict(
        photometric="rgb", extrasamples=["unspecified"]), x),
    "palette": lambda x: (np.minimum(x[..., 0], 1), dict(photometric="palette", colormap=np.tile(
        np.r_[65535, 0, np.full(254, 7)].astype(np.uint16), (3, 1))), np.where(x[..., :1] > 0, 0, 255).repeat(3, 2)),
}


@pytest.mark.parametrize("name", STORED)
def test_a_tiff_is_read_by_its_tags(tile, tmp_path, name):
    stored, options, want = STORED[name](tile)
    tifffile.imwrite(tmp_path / "x.tif", stored, **options)
    have = read_image(tmp_path / "x.tif")
    assert have.dtype == np.uint8 and have.flags.c_contiguous
    np.testing.assert_allclose(have.astype(int), want, atol=1 if "12 bits" in name else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_as_pillow_and_opencv_turn_it(tile, tmp_path, orientation):
    for name, image in (("8.tif", tile), ("16.tif", sixteen(tile))):
        tifffile.imwrite(tmp_path / name, image, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    with Image.open(tmp_path / "8.tif") as image:
        want = np.asarray(image)
    if orientation < 5:  # OpenCV cannot turn by a quarter
        np.testing.assert_array_equal(want, cv2.imread(str(tmp_path / "8.tif"))[..., ::-1])
    for name in ("8.tif", "16.tif"):
        np.testing.assert_array_equal(read_image(tmp_path / name), want)


def test_smaller_copies_in_the_file_do_not_count(tile, tmp_path):
    with tifffile.TiffWriter(tmp_path / "x.tif") as writer:
        writer.write(sixteen(tile), photometric="rgb", subifds=1)
        writer.write(sixteen(tile)[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "x.tif"), tile)


REFUSED = {  # name: (array, options, words of the error)
    "images": lambda x: (np.stack([sixteen(x)] * 2), dict(photometric="rgb"), "pages of 24×18×3 pixels .axes QYXS"),
    "grey pages": lambda x: (np.moveaxis(x, 2, 0), dict(photometric="minisblack", metadata=None), "3 images|3 pages"),
    "two channels": lambda x: (np.moveaxis(x, 2, 0)[:2], dict(imagej=True, metadata={"axes": "CYX"}), "2 pages"),
    "12 bits in 16": lambda x: (x.astype(np.uint16) * 16, dict(photometric="rgb"), "levels end at 4080"),
    "levels above the stated": lambda x: (sixteen(x), dict(photometric="rgb", extratags=[
        (281, "H", 3, (4095,) * 3, True)]), "beyond the 4095"),
    "32 bits": lambda x: (x.astype(np.uint32), dict(photometric="rgb"), "32-bit numbers of unknown range"),
    "fractions": lambda x: (x / np.float32(255), dict(photometric="rgb"), "32-bit numbers of unknown range"),
    "colours of print": lambda x: (np.dstack([sixteen(x), sixteen(x[..., 0])]), dict(photometric="separated"),
                                   "stored as SEPARATED"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_tags_leave_open_is_refused_by_name(tile, tmp_path, name):
    stored, options, words = REFUSED[name](tile)
    tifffile.imwrite(tmp_path / "x.tif", stored, **options)
    with pytest.raises(BrokenImage, match=rf"x\.tif: does not decode as an image \(.*({words})"):
        read_image(tmp_path / "x.tif")


def test_sixteen_bit_png_of_fewer_bits_is_refused(tile, tmp_path):
    for name, image in (("grey.png", tile[..., 0]), ("rgb.png", tile)):
        cv2.imwrite(str(tmp_path / name), image.astype(np.uint16) * 16)
        with pytest.raises(BrokenImage, match="a camera of fewer bits"):
            read_image(tmp_path / name)
        cv2.imwrite(str(tmp_path / name), sixteen(image))
        want = grey(tile) if image.ndim == 2 else tile[..., ::-1]
        np.testing.assert_array_equal(read_image(tmp_path / name), want)


def photograph(rng, size=96):
    """Smooth shapes, so that a JPEG of it is as long as one of tissue."""
    coarse = rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def damaged(whole, how, at):
    place = max(700, int(at * len(whole)))  # behind the header
    cut = whole[:place]
    return {"cut": cut, "closed": cut + b"\xff\xd9", "filled": cut + bytes(len(whole) - place),
            "filled and closed": cut + bytes(len(whole) - place - 2) + b"\xff\xd9"}[how]


@given(st.integers(0, 99), st.sampled_from(["cut", "closed", "filled", "filled and closed"]), st.floats(0.3, 0.9),
       st.booleans())
@settings(max_examples=60, deadline=None, derandomize=True)  # by chance zeros end an image: 1 of 12,000 were whole
def test_a_jpeg_cut_anywhere_is_broken_however_it_ends(tmp_path_factory, seed, how, at, progressive):
    path = tmp_path_factory.mktemp("jpeg") / "x.jpg"
    Image.fromarray(photograph(np.random.default_rng(seed))).save(path, quality=92, progressive=progressive)
    whole = path.read_bytes()
    read_image(path)
    path.write_bytes(damaged(whole, how, at))
    with pytest.raises(BrokenImage, match=r"x\.jpg: does not decode as an image"):
        read_image(path)


@pytest.mark.parametrize("options", [dict(), dict(quality=60, subsampling=2), dict(progressive=True), dict(mode="L")])
def test_a_whole_jpeg_is_read_as_pillow_reads_it(tmp_path, options):
    image = Image.fromarray(photograph(np.random.default_rng(3))).convert(options.pop("mode", "RGB"))
    image.save(tmp_path / "x.jpg", **options)
    (tmp_path / "padded.jpg").write_bytes((tmp_path / "x.jpg").read_bytes() + bytes(64))  # harmless
    want = np.asarray(Image.open(tmp_path / "x.jpg").convert("RGB"))
    for name in ("x.jpg", "padded.jpg"):
        np.testing.assert_array_equal(read_image(tmp_path / name), want)
