"""Drawn tiles: seeded, skippable by content, overlapping classes, siblings and slides as published sets have them."""
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from fewshot_wsi.foundation import seeds
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.foundation.lists import groups_of, read_groups, read_list
from fewshot_wsi.pipeline.drawn import TISSUES, Drawing, _parts, contents_sha256, draw_all
from fewshot_wsi.pipeline.tissue import draw_stain, draw_tile

SMALL = Drawing(size=32, train=3, test=2, groups=2, siblings=3, slides=2, per_slide=2)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "tiles"
    assert draw_all(folder, SMALL, quiet=True)
    return folder


def test_every_listed_tile_is_there_in_its_size(drawn):
    for data, name, count in (("NCT", "train", 27), ("NCT", "test", 18), ("LC25000", "img_list", 30),
                              ("PAIP19", "paip_train", 12), ("PAIP19", "paip_test", 12)):
        images = read_list(drawn / data / "meta" / f"{name}_labeled.txt", labeled=True)
        assert len(images) == len(set(images.names)) == count
        assert {Image.open(drawn / data / "data" / one).size for one in images.names} == {(32, 32)}
        per_class = np.bincount(images.labels)
        assert (per_class == per_class[0]).all()


def test_the_same_drawing_is_the_same_bytes_for_any_number_of_workers(drawn, tmp_path):
    draw_all(tmp_path / "again", SMALL, workers=2, quiet=True)
    assert contents_sha256(tmp_path / "again") == contents_sha256(drawn)


def test_a_smaller_set_is_a_part_of_a_larger_one(drawn, tmp_path):
    draw_all(tmp_path / "less", replace(SMALL, train=1), quiet=True)
    name = "NCT/data/train/TUM/0000.png"
    assert file_sha256(tmp_path / "less" / name) == file_sha256(drawn / name)


def test_what_is_there_stays_and_what_was_touched_is_drawn_again(tmp_path):
    folder = tmp_path / "tiles"
    draw_all(folder, SMALL, quiet=True)
    before = contents_sha256(folder)
    assert not draw_all(folder, SMALL, quiet=True)
    (folder / "NCT/data/train/LYM/0001.png").write_bytes(b"no image")
    assert draw_all(folder, SMALL, quiet=True)
    assert contents_sha256(folder) == before
    assert draw_all(folder, replace(SMALL, seed=1), quiet=True)
    assert contents_sha256(folder) != before


def test_a_folder_of_the_user_is_never_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files that were not drawn here"):
        draw_all(tmp_path / "mine", SMALL, quiet=True)
    assert (tmp_path / "mine" / "precious.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("wrong, said", [(dict(size=0), "size is a whole number"), (dict(purity=0.0), "purity"),
                                         (dict(train=1.5), "train is a whole number")])
def test_impossible_drawings_are_refused(tmp_path, wrong, said):
    with pytest.raises(UserError, match=said):
        draw_all(tmp_path / "tiles", replace(SMALL, **wrong), quiet=True)
    assert not list(tmp_path.iterdir())


def test_groups_are_siblings_of_one_original(drawn):
    images = read_list(drawn / "LC25000/meta/img_list_labeled.txt", labeled=True)
    table = read_groups(drawn / "LC25000/meta/groups.csv")
    groups = groups_of(images.names, table, "groups.csv")
    colour = np.array([np.asarray(Image.open(drawn / "LC25000/data" / name)).mean((0, 1)) for name in images.names])
    assert (np.bincount(groups) == 3).all()
    assert all(len(set(images.labels[groups == g])) == 1 for g in set(groups))
    distance = np.linalg.norm(colour[:, None] - colour[None], axis=-1)
    same = groups[:, None] == groups[None]
    other = ~same
    assert np.median(distance[same & ~np.eye(len(groups), dtype=bool)]) < 0.3 * np.median(distance[other])


def test_tiles_of_a_slide_share_its_stain(drawn):
    """The hue of a slide's tiles varies less than that of all tiles."""
    images = read_list(drawn / "PAIP19/meta/paip_train_labeled.txt", labeled=True)
    slides = np.array([name.split("/")[0] for name in images.names])
    tiles = [np.asarray(Image.open(drawn / "PAIP19/data" / name), dtype=float).mean((0, 1)) for name in images.names]
    density = -np.log(np.array(tiles) / 255)
    hue = density / density.sum(1, keepdims=True)
    within = np.mean([hue[slides == slide].std(0).mean() for slide in set(slides)])
    assert set(slides) == {"train_slide_00", "train_slide_01"}
    assert within < hue.std(0).mean()


def test_colour_alone_is_above_chance_and_far_from_enough():
    def tiles(split):
        images, labels = [], []
        for label, name in enumerate(TISSUES["NCT"]):
            for i in range(25):
                rng = seeds.generator(1, split, name, i)
                images.append(draw_tile(rng, _parts(rng, TISSUES["NCT"], name, 0.5), 48, draw_stain(rng)))
                labels.append(label)
        levels = np.array([[np.histogram(image[..., c], 8, (0, 256))[0] for c in range(3)] for image in images])
        return levels.reshape(len(images), -1) / 48**2, np.array(labels)

    (train, labels), (test, truth) = tiles("train"), tiles("test")
    score = LogisticRegression(C=100, max_iter=3000).fit(train, labels).score(test, truth)
    assert 2 / 9 < score < 0.8
