"""Slides of every kind behind one interface: pixels, sizes and resolutions of the file, or one clear line."""
import os
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from data_material import make_slide
from PIL import Image

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.slides import openslide_files
from fewshot_wsi.slides.geometry import geometry, read_grid
from fewshot_wsi.slides.opening import SUFFIXES, find_slides, open_slide
from fewshot_wsi.slides.tiles import tile_corners, tile_shares
from fewshot_wsi.slides.tissue import check_brightfield, tissue_and_ink

PIXELS = np.kron(np.random.default_rng(0).integers(0, 256, (30, 40, 3)), np.ones((32, 32, 1))).astype(np.uint8)
SIZE = (1280, 960)
CM = dict(resolution=(40000, 40000), resolutionunit="CENTIMETER")  # 0.25 µm a pixel
MICRONS = {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}


def ome(path):
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(PIXELS, tile=(256, 256), subifds=2, photometric="rgb", metadata={"axes": "YXS", **MICRONS})
        for step in (2, 4):
            tiff.write(PIXELS[::step, ::step], tile=(256, 256), photometric="rgb", subfiletype=1)


def pages(path):
    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 2, 4):
            tiff.write(PIXELS[::step, ::step], tile=(256, 256), photometric="rgb", compression="lzw", metadata=None,
                       subfiletype=int(step > 1), **CM)


def flat(**options):
    return lambda path: tifffile.imwrite(path, PIXELS, photometric="rgb", metadata=None, **options)


def planar(path):
    tifffile.imwrite(path, np.moveaxis(PIXELS, -1, 0), photometric="rgb", planarconfig="separate", tile=(256, 256),
                     metadata=None, **CM)


KINDS = {  # file name, how it is written, reader, levels, µm a pixel
    "OME-TIFF with sub-resolutions": ("a.ome.tif", ome, "tifffile", 3, 0.25),
    "pyramid of pages": ("a.tif", pages, "tifffile", 3, 0.25),
    "strips": ("a.tiff", flat(rowsperstrip=100, **CM), "tifffile", 1, 0.25),
    "one strip, screen resolution": ("a.tif", flat(rowsperstrip=960, resolution=(96, 96)), "tifffile", 1, None),
    "planes apart": ("a.tif", planar, "tifffile", 1, 0.25),
    "png": ("a.png", lambda path: Image.fromarray(PIXELS).save(path, dpi=(72, 72)), "Pillow", 1, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_pixels_that_were_written(tmp_path, kind):
    name, write, reader, levels, mpp = KINDS[kind]
    write(tmp_path / name)
    with open_slide(tmp_path / name) as slide:
        assert (slide.reader, slide.size, len(slide.level_sizes)) == (reader, SIZE, levels)
        assert slide.mpp == (mpp and pytest.approx((mpp, mpp)))
        for level, step in enumerate((1, 2, 4)[:levels]):
            part = np.asarray(slide.read(-64, 128, level, (300, 200)))
            want = np.full((200, 300, 3), 255)
            inside = PIXELS[::step, ::step][128 // step:128 // step + 200, :300 - 64 // step]
            want[:inside.shape[0], 64 // step:64 // step + inside.shape[1]] = inside
            np.testing.assert_array_equal(part, want)
        assert slide.thumbnail(320).size == (320, 240)
        np.testing.assert_allclose(np.asarray(slide.thumbnail(40)), PIXELS[16::32, 16::32], atol=1)


def test_jpeg_tiles_are_decoded_as_tifffile_decodes_the_whole(tmp_path):
    smooth = np.asarray(Image.fromarray(PIXELS[::32, ::32]).resize(SIZE, Image.Resampling.BICUBIC))
    tifffile.imwrite(tmp_path / "a.tif", smooth, tile=(256, 256), photometric="rgb", compression="jpeg",
                     subsampling=(2, 2), metadata=None)
    with open_slide(tmp_path / "a.tif") as slide:
        whole = np.asarray(slide.read(0, 0, 0, SIZE))
    np.testing.assert_array_equal(whole, tifffile.imread(tmp_path / "a.tif"))
    assert np.abs(whole.astype(int) - smooth).mean() < 5


def grey(path):
    tifffile.imwrite(path, PIXELS[..., 0].astype(np.uint16), tile=(256, 256))


def channels(path):
    tifffile.imwrite(path, np.moveaxis(PIXELS, -1, 0), ome=True, photometric="minisblack", metadata={"axes": "CYX"})


def cut_short(path):
    pages(path)
    path.write_bytes(path.read_bytes()[:-20000])


REFUSED = {
    "16-bit grey": ("a.tif", grey, r"has 1 channel\(s\) of uint16 \(MINISBLACK\)"),
    "channels apart": ("a.ome.tif", channels, r"has 1 channel\(s\) of uint8 \(MINISBLACK\)"),
    "grey image": ("a.png", lambda path: Image.fromarray(PIXELS[..., 0]).save(path), "has pixels of the kind L"),
    "no image": ("a.png", lambda path: path.write_bytes(b"<html>"), r"does not open as a slide \(no image\)"),
    "empty": ("a.svs", lambda path: path.write_bytes(b""), "does not open as a slide"),
    "absent": ("a.svs", lambda path: None, "does not open as a slide"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_slide_is_refused_in_a_line(tmp_path, kind):
    name, write, message = REFUSED[kind]
    write(tmp_path / name)
    with pytest.raises(UserError, match=message):
        open_slide(tmp_path / name)


@pytest.mark.parametrize("write", [pages, ome, flat(rowsperstrip=50), planar])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_tiff_cut_short_is_never_read_as_something_else(tmp_path, write, share):
    write(tmp_path / "a.tif")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[:int(share * len(data))])
    with pytest.raises(UserError):
        with open_slide(tmp_path / "a.tif") as slide:
            slide.read(0, 0, 0, SIZE)
            slide.thumbnail(100)


@pytest.mark.parametrize("write", [pages, ome, flat(rowsperstrip=100), planar])
def test_a_damaged_header_is_never_a_traceback(tmp_path, write):
    write(tmp_path / "whole.tif")
    data, rng = (tmp_path / "whole.tif").read_bytes(), np.random.default_rng(0)
    with tifffile.TiffFile(tmp_path / "whole.tif") as tiff:
        spots = [*range(200), *(page.offset + byte for page in tiff.pages for byte in range(250))]
    refused = 0
    for number in range(60):
        damaged = bytearray(data)
        for spot in rng.choice(spots, size=rng.integers(1, 6)):
            damaged[min(spot, len(data) - 1)] = rng.integers(256)
        path = tmp_path / f"{number}.tif"
        path.write_bytes(damaged)
        try:
            with open_slide(path) as slide:
                assert min(slide.size) > 0
                slide.read(0, 0, len(slide.level_sizes) - 1, (300, 300))
        except UserError as error:
            refused += "\n" not in str(error)
    assert refused > 10


class Mirax:
    """What OpenSlide tells of a MIRAX file: a canvas with a margin around the scan."""
    dimensions, level_dimensions, level_downsamples = (1000, 800), ((1000, 800), (500, 400)), (1.0, 2.0)
    properties = {f"openslide.{key}": value for key, value in {
        "vendor": "mirax", "mpp-x": "0.25", "mpp-y": "0.25", "bounds-x": "100", "bounds-y": "60",
        "bounds-width": "640", "bounds-height": "480"}.items()}

    def __init__(self, path):
        across = np.arange(1000) // 4
        self.canvas = Image.fromarray(np.broadcast_to(across[None, :, None], (800, 1000, 3)).astype(np.uint8))

    def read_region(self, place, level, size):
        assert level == 0
        return self.canvas.crop((*place, place[0] + size[0], place[1] + size[1])).convert("RGBA")

    def close(self):
        pass


def test_positions_count_from_the_scan_where_a_canvas_has_a_margin(monkeypatch):
    monkeypatch.setattr(openslide_files.openslide, "OpenSlide", Mirax)
    with open_slide("a.mrxs") as slide:
        assert (slide.origin, slide.size, slide.level_sizes) == ((100, 60), (640, 480), ((640, 480), (320, 240)))
        assert np.asarray(slide.read(20, 0, 0, (4, 4)))[0, 0, 0] == (100 + 20) // 4


def test_slides_of_a_folder_by_suffix_without_masks(tmp_path):
    for name in ("b.tif", "a.svs", "a_whole.tif", "x/c.NDPI", "._d.svs", "notes.txt", "e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_slides(tmp_path, but=["_whole"])] == ["a.svs", "b.tif", "c.NDPI"]
    (tmp_path / "a.png").write_bytes(b"")  # the thumbnail of a.svs
    flat = [path.name for path in find_slides(tmp_path, SUFFIXES | {".png"}) if path.suffix == ".png"]
    assert flat == ["e.png"]
    with pytest.raises(UserError, match="no slide below this folder"):
        find_slides(tmp_path / "x", {".svs"})


def test_shares_of_tiles_are_means_of_their_cells():
    rng = np.random.default_rng(1)
    place = geometry(SimpleNamespace(size=(1000, 700), mpp=(0.5, 0.5), downsamples=(1.0,), level_for=lambda down: 0),
                     tile=64, mpp=0.5)
    xs, ys = tile_corners(place, stride=48)
    cells = rng.random(place.grid)
    shares = tile_shares(cells, place, xs, ys)
    assert (xs[-1] <= 1000 - 64, xs[-1] + 48 > 1000 - 64, shares.shape) == (True, True, (len(ys), len(xs)))
    for row, column in ((0, 0), (3, 7), (len(ys) - 1, len(xs) - 1)):
        top, left = ys[row] // place.cell, xs[column] // place.cell
        assert shares[row, column] == pytest.approx(cells[top:top + 4, left:left + 4].mean())


def test_a_slide_in_the_dark_is_refused(tmp_path):
    with open_slide(make_slide(tmp_path / "a.svs")) as slide:
        check_brightfield(read_grid(slide, geometry(slide, tile=64, mpp=0.5)))
    with pytest.raises(UserError, match="is dark throughout .*fluorescence"):
        check_brightfield(np.full((9, 9, 3), (60, 2, 1), dtype=np.uint8))


# --- real material ---------------------------------------------------------------------------------------------------

@pytest.fixture
def formats(real_tiles):
    return real_tiles.parent / "formats" / "slides"


def test_real_files_of_other_tools(formats, tmp_path):
    with open_slide(formats / "highdicom_sm_image.dcm") as slide:
        assert (slide.size, slide.mpp) == ((50, 50), (0.499, 0.499))
    with open_slide(formats / "slideio_test3-TRITC-560.ndpi") as slide:
        assert len(slide.level_sizes) == 7 and slide.mpp == pytest.approx((0.2282, 0.2282), abs=1e-4)
        with pytest.raises(UserError, match="fluorescence"):
            check_brightfield(read_grid(slide, geometry(slide, tile=224, mpp=0.5)))
    for name in ("histolab_broken.svs", "highdicom_sm_annotations.dcm"):
        with pytest.raises(UserError, match="does not open as a slide"):
            open_slide(formats / name)
    for copy in ("1.dcm", "2.dcm"):
        os.symlink(formats / "highdicom_sm_image.dcm", tmp_path / copy)
    assert [path.name for path in find_slides(tmp_path)] == ["1.dcm"]  # two files of one series


@pytest.mark.parametrize("name", ["histolab_wsi-blue-pen.png", "histolab_no-tissue-red-pen.png"])
def test_pen_on_real_slides_is_ink(formats, name):
    with open_slide(formats / name) as slide:
        grid = slide.reduced(1, slide.size[::-1])
    tissue, ink = tissue_and_ink(grid)
    assert ink.any() and not (tissue & ink).any()
