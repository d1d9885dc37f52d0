"""Augmentations have the distribution of the published ones (Pillow, torchvision), operation by operation."""
import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torchvision.transforms import functional as F
from torchvision.transforms import v2

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.seeds import generator
from openselfsup.images import read_image
from openselfsup.models.preprocess import Preprocess
from openselfsup.transforms import build_pipeline
from openselfsup.transforms.color import ColorJitter, GaussianBlur, RandomGrayscale, Solarization
from openselfsup.transforms.geometry import CenterCrop, RandomResizedCrop, Resize
from openselfsup.transforms.stain import STAINS, StainJitter

JITTER = dict(type="ColorJitter", brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4)
CLP = [dict(type="RandomResizedCrop", size=96, scale=(0.2, 1.0)), dict(type="RandomHorizontalFlip"),
       dict(type="RandomAppliedTrans", transforms=[JITTER], p=0.8), dict(type="RandomGrayscale", p=0.2),
       dict(type="RandomAppliedTrans", transforms=[dict(type="GaussianBlur", sigma_min=0.1, sigma_max=2.0)], p=0.5),
       dict(type="RandomAppliedTrans", transforms=[dict(type="Solarization")], p=0.2)]


@pytest.fixture(scope="module")
def tile():
    """(120, 120, 3) uint8 with smooth colours, edges and noise, in the colours of a stained tile."""
    rng = generator(0, "test/tile")
    y, x = np.mgrid[:120, :120] / 120
    blobs = (np.sin(9 * x) * np.cos(7 * y) > 0.2)[..., None] * np.array([-60, -80, -20])
    image = np.stack([200 - 60 * x, 130 + 50 * y, 190 - 30 * x * y], -1) + blobs + rng.normal(0, 6, (120, 120, 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def close(mine, theirs, mean, high):
    """Both (H, W, 3); their levels differ by at most `mean` on average and `high` for 99 of 100."""
    difference = np.abs(np.asarray(mine, float) - np.asarray(theirs, float))
    assert difference.mean() <= mean and np.quantile(difference, 0.99) <= high


@pytest.mark.parametrize("which, published, factors", [
    (0, F.adjust_brightness, (0.6, 1.0, 1.4)), (1, F.adjust_contrast, (0.6, 1.0, 1.4)),
    (2, F.adjust_saturation, (0.6, 1.0, 1.4)), (3, F.adjust_hue, (-0.4, -0.1, 0.0, 0.25, 0.4))])
def test_each_step_of_the_jitter_equals_pillows_at_the_same_factor(tile, which, published, factors):
    for factor in factors:
        parameters = np.array([1, 1, 1, 0, 0, 1, 2, 3], float)
        parameters[which] = factor
        # hue goes through 8-bit colour circles on both sides, whose roundings differ
        close(ColorJitter().apply(tile, parameters), published(Image.fromarray(tile), factor),
              *((2.5, 8) if which == 3 else (0.6, 1)))


def test_blur_equals_pillows_at_the_same_strength(tile):
    for sigma in (0.1, 0.7, 1.3, 2.0):
        close(GaussianBlur(0.1, 2.0).apply(tile, np.array([sigma])),
              Image.fromarray(tile).filter(ImageFilter.GaussianBlur(sigma)), 1.0, 3)


def test_grayscale_and_solarisation_equal_pillows(tile):
    close(RandomGrayscale(1).apply(tile, np.ones(1)), Image.fromarray(tile).convert("L").convert("RGB"), 0.1, 1)
    want = np.where(tile < 128, tile, 255 - tile)
    np.testing.assert_array_equal(Solarization().apply(tile, np.empty(0)), want)


def stained(amounts):
    """(h, w, 3) uint8 of given amounts (h, w, 3) of haematoxylin, eosin and DAB, by the Beer-Lambert law."""
    return np.clip(np.rint(256 * np.exp(-amounts @ STAINS) - 1), 0, 255).astype(np.uint8)


def test_stain_jitter_is_the_same_tissue_in_other_amounts_of_stain():
    amounts = generator(0, "test/stain").uniform(0, 0.8, (40, 40, 3)) * [1, 1, 0]
    scale, shift = np.array([1.3, 0.6, 1.0]), np.array([0.05, -0.02, 0.0])
    close(StainJitter().apply(stained(amounts), np.r_[scale, shift]), stained(scale * amounts + shift), 0.6, 2)


def test_stain_jitter_separates_the_stains_by_least_squares(tile):
    got = StainJitter(1).apply(tile, np.array([1, 0, 0, 0, 0, 0], float))  # haematoxylin alone
    amounts = np.linalg.lstsq(STAINS.T, -np.log((tile.reshape(-1, 3) + 1.0) / 256).T, rcond=None)[0]
    want = np.clip(256 * np.exp(-amounts[:1].T * STAINS[:1]) - 1, 0, 255)
    close(got.reshape(-1, 3), want, 0.6, 1)


def test_stain_jitter_without_strength_changes_nothing(tile):
    np.testing.assert_array_equal(StainJitter(0, 0).apply(tile, StainJitter(0, 0).draw(generator(0, "x"), 1, 1)), tile)


@pytest.mark.parametrize("box, size", [((10, 20, 50, 60), 96), ((0, 0, 120, 120), 32), ((30, 5, 80, 100), 64)])
def test_crop_and_resize_equal_torchvisions_on_the_same_window(tile, box, size):
    top, left, height, width = box
    want = F.resized_crop(Image.fromarray(tile), top, left, height, width, [size, size])
    # enlarging: OpenCV interpolates with 11-bit weights, Pillow with 22-bit ones
    close(RandomResizedCrop(size).apply(tile, np.array(box, float)), want, 0.6, 2)


def test_windows_of_the_crop_are_distributed_as_torchvisions():
    ours, theirs = RandomResizedCrop(32, scale=(0.2, 1.0)), v2.RandomResizedCrop(32, scale=(0.2, 1.0))
    image = torch.zeros(3, 100, 140)
    torch.manual_seed(0)
    drawn = np.array([ours.draw(generator(0, "test/crop", i), 100, 140) for i in range(3000)])
    reference = np.array([[float(v) for v in (p["top"], p["left"], p["height"], p["width"])] for p in
                          (theirs.make_params([image]) for _ in range(3000))])
    for column in range(4):  # two samples of one distribution: Kolmogorov–Smirnov distance below its 1 in 10,000 point
        grid = np.unique(np.concatenate([drawn[:, column], reference[:, column]]))
        ours_cdf, theirs_cdf = ((values[:, column][:, None] <= grid).mean(0) for values in (drawn, reference))
        assert np.abs(ours_cdf - theirs_cdf).max() < 2.23 * np.sqrt(2 / 3000)


def test_draws_of_jitter_blur_and_probabilities_are_uniform_and_fair(tile):
    jitter = np.array([ColorJitter(.4, .4, .4, .4).draw(generator(0, "test/j", i), 9, 9) for i in range(4000)])
    for column, (low, high) in enumerate([(.6, 1.4)] * 3 + [(-.4, .4)]):
        values = jitter[:, column]
        assert values.min() >= low and values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02)
        assert values.std() == pytest.approx((high - low) / np.sqrt(12), rel=0.04)
    orders, counts = np.unique(jitter[:, 4:], axis=0, return_counts=True)
    assert len(orders) == 24 and counts.min() > 100
    applied = [build_pipeline(CLP, on_device=True)(tile, generator(0, "test/p", i))[1] for i in range(1500)]
    applied = np.array(applied)  # jitter: 1 + 8, grayscale: 1, blur: 1 + 1, solarise: 1
    for column, p in ((0, .8), (9, .2), (10, .5), (12, .2)):
        assert applied[:, column].mean() == pytest.approx(p, abs=0.05)


def test_whole_pipeline_has_the_published_mean_and_spread(tile):
    """Per-channel mean and standard deviation over many draws, ours against Pillow's transforms one by one."""
    published = v2.Compose([
        v2.RandomResizedCrop(96, (0.2, 1.0)), v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(.4, .4, .4, .4)], .8), v2.RandomGrayscale(.2),
        v2.RandomApply([v2.Lambda(lambda image: image.filter(ImageFilter.GaussianBlur(
            float(torch.empty(1).uniform_(.1, 2)))))], .5),
        v2.RandomApply([v2.Lambda(lambda image: Image.fromarray(
            np.where(np.asarray(image) < 128, np.asarray(image), 255 - np.asarray(image))))], .2)])
    torch.manual_seed(0)
    count = 400
    theirs = np.array([np.asarray(published(Image.fromarray(tile)), float).mean((0, 1)) for _ in range(count)])
    ours = np.array([build_pipeline(CLP)(tile, generator(0, "test/w", i))[0].mean((0, 1)) for i in range(count)])
    error = np.sqrt((theirs.var(0) + ours.var(0)) / count)
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 4 * error).all()
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.25)


@pytest.mark.parametrize("upto", range(3, 7))
def test_batched_operations_give_what_the_single_ones_give_for_the_same_draw(tile, upto):
    images = [np.ascontiguousarray(np.roll(tile, 7 * i, axis=1)) for i in range(16)]
    worker, device = build_pipeline(CLP[:upto]), build_pipeline(CLP[:upto], on_device=True)
    assert not worker.on_device and len(device.on_device) == upto - 2
    want = np.stack([worker(image, generator(0, "test/b", i))[0] for i, image in enumerate(images)]).astype(float)
    raw = [device(image, generator(0, "test/b", i)) for i, image in enumerate(images)]
    batch = torch.from_numpy(np.stack([image for image, _ in raw])).permute(0, 3, 1, 2).float()
    got = device.finish(batch, torch.from_numpy(np.stack([p for _, p in raw]))).permute(0, 2, 3, 1).numpy()
    for mine, theirs in zip(got, want, strict=True):
        if np.abs(mine - theirs).mean() > 3:  # a solarised level may fall on the other side of 128 after rounding
            assert upto == 6 and np.median(np.abs(mine - theirs)) < 3
    assert np.abs(got - want).mean() < 2


def test_stain_jitter_of_a_batch_is_that_of_single_images(tile):
    jitter = StainJitter(0.5, 0.1)
    parameters = np.stack([jitter.draw(generator(0, "test/stain", i), 120, 120) for i in range(8)])
    want = np.stack([jitter.apply(tile, one) for one in parameters])
    batch = torch.from_numpy(np.stack([tile] * 8)).permute(0, 3, 1, 2).float()
    got = jitter.apply_batch(batch, torch.from_numpy(parameters).float()).permute(0, 2, 3, 1).numpy()
    assert np.abs(got - want).max() < 0.51 and len(np.unique(want[:, 60, 60], axis=0)) == 8


def test_mixed_precision_leaves_the_augmentations_alone(tile):
    pipeline = build_pipeline(CLP, on_device=True)
    views = [pipeline(tile, generator(0, "test/b", i)) for i in range(8)]
    batch = dict(images=torch.from_numpy(np.stack([image for image, _ in views]))[:, None],
                 parameters=torch.from_numpy(np.stack([p for _, p in views]))[:, None], labels=torch.zeros(8))
    preprocess = Preprocess(pipeline)
    want = preprocess(batch)["images"]
    with torch.autocast("cpu", torch.bfloat16):
        got = preprocess(batch)["images"]
    assert got.dtype == torch.float32 and torch.equal(got, want)


def test_batches_prepared_ahead_are_the_batches_prepared_one_by_one(tile):
    pipeline = build_pipeline(CLP, on_device=True)
    preprocess = Preprocess(pipeline)
    batches = [dict(images=torch.from_numpy(image)[None, None], parameters=torch.from_numpy(parameters)[None, None],
                    labels=torch.tensor([i]), skipped=torch.tensor([0]))
               for i, (image, parameters) in enumerate(pipeline(tile, generator(0, "test/a", i)) for i in range(5))]
    ahead = list(preprocess.ahead(iter(batches)))
    assert [given is batch for (given, _), batch in zip(ahead, batches, strict=True)] == [True] * 5
    for (_, ready), batch in zip(ahead, batches, strict=True):
        assert torch.equal(ready["images"], preprocess(batch)["images"]) and preprocess(ready) is ready


def test_normalisation_on_the_device_equals_torchvisions(tile):
    steps = [dict(type="ToTensor"), dict(type="Normalize", mean=[.485, .456, .406], std=[.229, .224, .225])]
    for pipeline in (build_pipeline(steps), build_pipeline([], normalize=dict(mean=[.485, .456, .406],
                                                                              std=[.229, .224, .225]))):
        batch = torch.from_numpy(tile).permute(2, 0, 1)[None].float()
        want = F.normalize(F.to_tensor(tile), [.485, .456, .406], [.229, .224, .225])
        torch.testing.assert_close(pipeline.normalize(batch)[0], want, rtol=1e-5, atol=1e-5)


def test_resize_takes_the_shorter_side_and_crop_the_centre(tile):
    wide = np.concatenate([tile, tile], 1)
    assert Resize(60).apply(wide, None).shape == (60, 120, 3)
    np.testing.assert_array_equal(np.asarray(F.resize(Image.fromarray(wide), 60)), Resize(60).apply(wide, None))
    np.testing.assert_array_equal(np.asarray(F.center_crop(Image.fromarray(wide), [50, 70])),
                                  CenterCrop((50, 70)).apply(wide, None))
    with pytest.raises(UserError, match="smaller than the crop"):
        CenterCrop(500).apply(tile, None)


def test_impossible_settings_are_refused():
    for steps, words in (([dict(type="RandomFlip")], "unknown type 'RandomFlip'"),
                         ([dict(type="ColorJitter", hue=0.7)], "hue=0.7 gives no interval"),
                         ([dict(type="GaussianBlur", sigma_min=2, sigma_max=1)], "sigma_min <= sigma_max"),
                         ([dict(type="StainJitter", scale=2)], "0 <= scale <= 1"),
                         ([dict(type="RandomGrayscale", p=2)], "no probability"),
                         ([dict(type="RandomResizedCrop", size=0)], "whole number of pixels"),
                         ([dict(type="RandomResizedCrop", size=9, scale=(1, .2))], "0 < low <= high"),
                         ([dict(type="ToTensor"), dict(type="RandomHorizontalFlip")], "come last"),
                         ([dict(type="Normalize", mean=[0] * 3, std=[1] * 3)], "needs a ToTensor")):
        with pytest.raises(UserError, match=words):
            build_pipeline(steps)


def test_every_mode_of_image_becomes_rgb_and_broken_ones_name_their_path(tile, tmp_path):
    for name, image in (("a.png", Image.fromarray(tile)), ("b.png", Image.fromarray(tile).convert("L")),
                        ("c.png", Image.fromarray(tile).convert("RGBA")), ("d.tif", Image.fromarray(tile)),
                        ("e.jpg", Image.fromarray(tile)), ("f.png", Image.fromarray(tile).quantize(16))):
        image.save(tmp_path / name)
        np.testing.assert_array_equal(read_image(tmp_path / name),
                                      np.asarray(Image.open(tmp_path / name).convert("RGB")))
    whole = (tmp_path / "e.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:len(whole) // 2])
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("cut.jpg", "cut.png", "text.jpg", "empty.jpg", "absent.jpg"):
        with pytest.raises(UserError, match=rf"{name}: (does not decode|cannot be read)"):
            read_image(tmp_path / name)
