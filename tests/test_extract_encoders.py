"""Encoders against second derivations, and images of every mode."""
import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.feature_writer import FeatureWriter
from openselfsup.apis.recipe import load_recipe
from openselfsup.encoders import ColorHistogram, MeanRGB, build_encoder
from openselfsup.encoders.network import fold_batch_norm
from openselfsup.images import BrokenImage, read_image
from openselfsup.models import build_backbone

PUBLISHED = ("NCT_train", "NCT_test", "NCT_aug", "LC", "PAIP_train", "PAIP_test")


def pixels(seed=0, size=20):
    return np.random.default_rng(seed).integers(0, 256, (3, size, size, 3), dtype=np.uint8)


def batch(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def test_mean_rgb_is_the_mean_of_each_channel():
    np.testing.assert_allclose(MeanRGB()(batch(pixels())), pixels().mean(axis=(1, 2)) / 255, rtol=1e-6)


def test_the_histogram_is_numpys_and_its_rows_have_unit_length():
    found = ColorHistogram()(batch(pixels())).numpy()
    for row, image in zip(found, pixels(), strict=True):
        shares, _ = np.histogramdd(image.reshape(-1, 3), bins=[np.arange(0, 257, 32)] * 3)
        np.testing.assert_allclose(row, np.sqrt(shares.ravel() / 400), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("depth", [18, 50])
def test_folding_batch_norm_changes_no_feature(depth):
    torch.manual_seed(0)
    backbone = build_backbone(depth).eval()
    for name, buffer in backbone.named_buffers():
        if name.endswith("running_mean"):
            buffer.uniform_(-0.5, 0.5)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        want = backbone(x)
        have = fold_batch_norm(backbone)(x)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in backbone.modules())
    torch.testing.assert_close(have, want, rtol=1e-4, atol=1e-5)


def test_the_random_encoder_is_its_seed_and_leaves_the_global_generator_alone():
    recipe = load_recipe(ROOT / "configs/extraction/extract_feats_LC.py")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (build_encoder("random", None, recipe, "cpu", seed) for seed in (1, 1, 2))
    torch.testing.assert_close(torch.rand(3), expected)
    x = batch(pixels(size=64))
    torch.testing.assert_close(first(x), again(x), rtol=0, atol=0)
    assert not torch.allclose(first(x), other(x))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_hold_the_published_values(name):
    recipe = load_recipe(ROOT / f"configs/extraction/extract_feats_{name}.py")
    assert (recipe.batch_size, recipe.workers, recipe.backbone["depth"]) == (256, 5, 18)
    assert recipe.augmented == (name == "NCT_aug")
    assert recipe.pipeline.mean == (0.485, 0.456, 0.406) and recipe.pipeline.std == (0.229, 0.224, 0.225)
    image = np.zeros((768, 768, 3), np.uint8)
    assert recipe.pipeline(image, np.random.default_rng(0))[0].shape == (224, 224, 3)


def test_large_tiles_are_resized_as_pillow_does(real_tiles):
    recipe = load_recipe(ROOT / "configs/extraction/extract_feats_LC.py")
    for path in sorted((real_tiles / "LC25000_768/data/test").iterdir())[:5]:
        want = np.asarray(Image.open(path).convert("RGB").resize((224, 224), Image.BILINEAR))
        np.testing.assert_array_equal(recipe.pipeline(read_image(path), None)[0], want)


def in_mode(mode, rgb):
    """An image file's content in `mode`, and what it should be read as."""
    image = Image.fromarray(rgb)
    grey = np.asarray(image.convert("L"))
    triple = np.repeat(grey[..., None], 3, axis=2)
    if mode == "I;16":
        return Image.fromarray(grey.astype(np.uint16) * 257), triple
    if mode == "RGBA, half transparent":
        alpha = np.dstack([rgb, np.full(grey.shape, 255, np.uint8)])
        alpha[:10, :, 3] = 0
        return Image.fromarray(alpha), np.where(np.arange(20)[:, None, None] < 10, 255, rgb)
    image = image.convert(mode)
    return image, np.asarray(image.convert("RGB"))


BOTH = ("RGB", "L", "P", "1", "RGBA", "RGBA, half transparent", "I;16")


@pytest.mark.parametrize("mode, ending", [*((mode, ending) for mode in BOTH for ending in ("png", "tif")),
                                          ("LA", "png"), ("CMYK", "tif"), ("YCbCr", "tif")])
def test_every_mode_is_read_as_rgb(tmp_path, mode, ending):
    image, want = in_mode(mode, pixels()[0])
    image.save(tmp_path / f"x.{ending}")
    have = read_image(tmp_path / f"x.{ending}")
    assert have.shape == (20, 20, 3) and have.dtype == np.uint8
    np.testing.assert_allclose(have.astype(int), want, atol=3 if mode == "YCbCr" else 0)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_levels_of_unknown_range_are_refused_by_name(tmp_path, mode):
    Image.fromarray(pixels()[0]).convert("L").convert(mode).save(tmp_path / "x.tif")
    with pytest.raises(BrokenImage, match="32-bit numbers of unknown range"):
        read_image(tmp_path / "x.tif")


def test_a_missing_config_is_named():
    with pytest.raises(UserError, match="no such extraction config"):
        load_recipe("nowhere.py")


class Hungry:
    """An encoder on a device whose memory holds `room` tiles at a time."""
    name, device = "hungry", torch.device("cuda")

    def __init__(self, room):
        self.room, self.calls = room, []

    def __call__(self, images):
        self.calls.append(tuple(images.shape))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("room, size", [(300, 256), (255, 128), (40, 32), (1, 1)])
def test_batches_fit_the_memory_of_the_device(tmp_path, room, size):
    from openselfsup.apis.blocks import batch_size
    from openselfsup.apis.reading import ListedTiles
    Image.fromarray(pixels()[0]).save(tmp_path / "a.png")
    pipeline = load_recipe(ROOT / "configs/extraction/extract_feats_LC.py").pipeline
    writer = FeatureWriter(tmp_path / "X.npy", {}, rows=1, dim=4)
    tiles, encoder = ListedTiles(("a.png",), tmp_path, pipeline), Hungry(room)
    assert batch_size(encoder, tiles, [0], writer) == size
    assert encoder.calls[-1] == (size, 3, 224, 224)
    with pytest.raises(UserError, match="does not hold one tile of 224 × 224 beside hungry; use --device cpu"):
        batch_size(Hungry(0), tiles, [0], writer)
    assert batch_size(Hungry(0), tiles, [], writer) == 256


def test_memory_that_ends_later_is_one_line_and_keeps_finished_blocks(tmp_path):
    from types import SimpleNamespace

    from openselfsup.apis.blocks import fill
    from openselfsup.apis.reading import ListedTiles
    for number in range(3):
        Image.fromarray(pixels(number)[0]).save(tmp_path / f"{number}.png")
    pipeline = load_recipe(ROOT / "configs/quickstart/extract.py").pipeline
    tiles = ListedTiles(("0.png", "1.png", "2.png"), tmp_path, pipeline)
    job = SimpleNamespace(tiles=tiles, title="t", output=tmp_path / "X.npy")

    class Filling(MeanRGB):
        device, calls = torch.device("cpu"), 0

        def __init__(self):
            pass

        def __call__(self, images):
            self.calls += 1
            if self.calls > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return MeanRGB()(images)

    writer = FeatureWriter(tmp_path / "X.npy", {}, rows=3, dim=3, block=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one call after the other
    try:
        outcome = fill(job, writer, [0, 1, 2], Filling(), SimpleNamespace(quiet=True, workers=1))
    finally:
        torch.set_num_threads(threads)
    assert "the memory of cpu ended" in outcome.error and "\n" not in outcome.error
    assert writer.missing(tiles.hashes_now) == [1, 2]
