"""Order, batches and draws follow from (seed, epoch, image) alone; broken images stop a run or are counted."""
import numpy as np
import pytest
from training import draw_tiles

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import write_list
from openselfsup import datasets
from openselfsup.datasets import (
    ClassificationDataset,
    ContrastiveDataset,
    TrainingImages,
    batch_of,
    build_loader,
    workers_of,
)
from openselfsup.sampler import BatchSampler, epoch_order
from openselfsup.transforms import build_pipeline

STEPS = [dict(type="RandomResizedCrop", size=24), dict(type="RandomHorizontalFlip"),
         dict(type="ColorJitter", brightness=0.4)]


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    return draw_tiles(tmp_path_factory.mktemp("tiles"), count=9)


def contrastive(tiles, name="plain.txt", **options):
    return ContrastiveDataset(TrainingImages(str(tiles / name), tiles / "data"), build_pipeline(STEPS), **options)


def images_of(dataset, workers, start=0, world=1, epoch=0, batch=2):
    parts = []
    for rank in range(world):
        sampler = BatchSampler(len(dataset), batch, 5, rank, world)
        sampler.start_at(epoch, start)
        with workers_of(build_loader(dataset, sampler, workers)) as loader:
            parts.append([batch_of(b)["images"].numpy() for b in loader])
    return parts


def test_each_epoch_shows_every_image_once_in_a_new_order():
    orders = [[row for batch in _batches(11, 4, epoch=epoch) for _, row in batch] for epoch in range(3)]
    assert all(sorted(order) == list(range(11)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] == epoch_order(11, 7, 0).tolist()


def _batches(count, size, rank=0, world=1, epoch=0, start=0, smallest=1):
    sampler = BatchSampler(count, size, 7, rank, world, smallest)
    sampler.start_at(epoch, start)
    batches = list(sampler)
    assert len(batches) + start == len(sampler)
    return batches


def test_processes_share_an_epoch_out_and_the_last_short_batch_stays():
    shares = [_batches(11, 4, rank, world=2) for rank in range(2)]
    assert [len(batch) for batch in shares[0]] == [4, 2]
    rows = [row for pair in zip(*[sum(share, []) for share in shares], strict=True) for _, row in pair]
    assert rows[:11] == epoch_order(11, 7, 0).tolist() and rows[11] == rows[0]  # filled up from the beginning
    assert len(_batches(9, 4)) == 3 and len(_batches(9, 4, smallest=2)) == 2


def test_resuming_in_mid_epoch_shows_exactly_the_rest():
    for rank in range(2):
        assert _batches(23, 4, rank, 2, epoch=3, start=2) == _batches(23, 4, rank, 2, epoch=3)[2:]


def test_augmentations_depend_neither_on_workers_nor_on_where_an_epoch_began(tiles):
    dataset = contrastive(tiles, seed=5)
    alone, = images_of(dataset, workers=0)
    for workers, start in ((0, 2), (2, 0)):
        other, = images_of(dataset, workers, start)
        for one, two in zip(alone[start:], other, strict=True):
            np.testing.assert_array_equal(one, two)
    # the same image gets the same views on whichever of two processes it lands
    split = images_of(dataset, 0, world=2, batch=1)
    np.testing.assert_array_equal(split[0][0][0], alone[0][0])
    np.testing.assert_array_equal(split[1][0][0], alone[0][1])


def test_views_epochs_and_seeds_differ(tiles):
    dataset = contrastive(tiles, seed=5)
    first, second = dataset[0, 3]["images"]
    assert (first != second).any()
    assert (dataset[1, 3]["images"] != dataset[0, 3]["images"]).any()
    assert (contrastive(tiles, seed=6)[0, 3]["images"] != dataset[0, 3]["images"]).any()


@pytest.fixture
def broken(tmp_path):
    folder = draw_tiles(tmp_path, count=6)
    path = folder / "data/class 2/tile_2.png"
    path.write_bytes(path.read_bytes()[:200])
    return folder


def test_a_truncated_image_stops_with_its_path(broken):
    dataset = contrastive(broken)
    for workers in (0, 1):
        with pytest.raises(UserError, match=r"class 2/tile_2\.png: does not decode"):
            images_of(dataset, workers)


def test_a_truncated_image_can_be_skipped_and_is_counted(broken):
    dataset = ClassificationDataset(TrainingImages(str(broken / "labeled.txt"), broken / "data"), build_pipeline(STEPS),
                                    on_error="skip")
    sample = dataset[0, 2]
    assert sample["skipped"] == 1 and sample["labels"] == 0  # the next image, with its own label
    assert [dataset[0, i]["skipped"] for i in range(6)] == [0, 0, 1, 0, 0, 0]
    with pytest.raises(UserError, match="choose 'raise' or 'skip'"):
        contrastive(broken, on_error="ignore")


def test_a_list_without_one_readable_image_ends_even_when_skipping(broken):
    for path in (broken / "data").rglob("*.png"):
        path.write_bytes(b"")
    assert "does not decode" in contrastive(broken, on_error="skip")[0, 1]["error"]


def test_missing_images_are_counted_before_training(tiles, tmp_path):
    write_list(tmp_path / "list.txt", ["class 0/tile_0.png", "class 0/gone.png", "nowhere/x.png"])
    source = TrainingImages(str(tmp_path / "list.txt"), tiles / "data")
    with pytest.raises(UserError, match=r"2 of 3 images are missing.*class 0/gone\.png, nowhere/x\.png"):
        source.check_files()
    TrainingImages(str(tiles / "plain.txt"), tiles / "data").check_files()


def test_classification_needs_labels_within_the_classes(tiles):
    with pytest.raises(UserError, match="needs a label on every line"):
        ClassificationDataset(TrainingImages(str(tiles / "plain.txt"), tiles / "data"), build_pipeline(STEPS))
    dataset = ClassificationDataset(TrainingImages(str(tiles / "labeled.txt"), tiles / "data"), build_pipeline(STEPS))
    dataset.check_classes(3)
    with pytest.raises(UserError, match="row 3: label 2 is outside the 2 classes"):
        dataset.check_classes(2)


def test_images_of_different_sizes_say_what_to_do(tiles):
    small = build_pipeline([dict(type="Resize", size=20)])
    dataset = ContrastiveDataset(TrainingImages(str(tiles / "plain.txt"), tiles / "data"), small)
    wide = {"images": np.zeros((2, 20, 30, 3), np.uint8), "parameters": np.zeros((2, 0)), "labels": 0, "skipped": 0}
    with pytest.raises(UserError, match="images of different sizes in one batch"):
        batch_of(datasets.collate([dataset[0, 0], wide]))
