"""extract.py --verify: ready features that are right pass, and each way in which they are wrong is named."""
import re

import numpy as np
import pytest
from PIL import Image

from fewshot_wsi.commands import extract
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import read_json, write_json

RESNET = """kind, architecture = 'resnet', dict(type='ResNet', depth=18)
resize, crop, interpolation, width = 72, 64, 'bilinear', 512
"""
VIT = """kind, pooling = 'timm', 'cls'
architecture = dict(name='vit_tiny_patch16_224', img_size=32, depth=2, embed_dim=24, num_heads=2, reg_tokens=2)
resize, crop, interpolation, width = 32, 32, 'bicubic', 24
"""
ORIGIN = "license, weights, citation = 'none', 'this test', 'none'\n"


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    """A folder with 40 smooth drawn tiles of other than square shape and their list."""
    folder, rng = tmp_path_factory.mktemp("tiles"), np.random.default_rng(0)
    names = [f"{number}.png" for number in range(40)]
    for name in names:
        coarse = rng.integers(0, 256, (12, 14, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((140, 120), Image.BICUBIC).save(folder / name)
    (folder / "L.txt").write_text("".join(f"{name} {i % 2}\n" for i, name in enumerate(names)))
    return folder


def run(tiles, folder, preset, *more, change="", output="f/X.npy"):
    """extract.py with `preset`, its text followed by `change`, into folder/output."""
    path = folder / "preset.py"
    path.write_text(preset + ORIGIN + change)
    return extract.main(["--encoder", str(path), "--pretrained", "random", "--list", str(tiles / "L.txt"), "--root",
                         str(tiles), "--output", str(folder / output), "--quiet", "--device", "cpu", *more])


def verified(tiles, folder, capsys, preset=RESNET, count="20"):
    """(exit code, what is said) of --verify."""
    capsys.readouterr()
    code = run(tiles, folder, preset, "--verify", count)
    return code, capsys.readouterr().out


@pytest.mark.parametrize("preset", [RESNET, VIT], ids=["resnet", "vit"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_of_the_same_encoder_agree_with_or_without_their_provenance(tiles, tmp_path, capsys, preset, dtype):
    run(tiles, tmp_path, preset)
    np.save(tmp_path / "f/X.npy", np.load(tmp_path / "f/X.npy").astype(dtype))
    (tmp_path / "f/X.json").unlink()
    before = (tmp_path / "f/X.npy").read_bytes()
    code, said = verified(tiles, tmp_path, capsys, preset)
    assert code == 0 and "X.npy: 20 of 20 rows agree with preset, smallest cosine 1.000000" in said
    assert (tmp_path / "f/X.npy").read_bytes() == before and not (tmp_path / "f/X.json").exists()


@pytest.mark.parametrize("preset, change, cause", [
    (RESNET, "mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)\n", r"another mean and standard deviation \(0.5 and 0.5\)"),
    (RESNET, "mean, std = (0, 0, 0), (1, 1, 1)\n", r"another mean and standard deviation \(none, levels 0 … 1\)"),
    (VIT, "mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)\n", r"another mean and standard deviation \(0.5 and 0.5\)"),
    (RESNET, "interpolation = 'bicubic'\n", r"another interpolation \(bicubic instead of bilinear\)"),
    (RESNET, "interpolation = 'nearest'\n", r"another interpolation \(nearest instead of bilinear\)"),
    (VIT, "interpolation = 'bilinear'\n", r"another interpolation \(bilinear instead of bicubic\)"),
    (RESNET, "resize = 64\n", r"another resizing \(the shorter side to 64\)"),
    (RESNET, "resize = (64, 64)\n", r"another resizing \(to 64 × 64\)"),
    (RESNET, "resize = None\n", r"another resizing \(none, the centre alone\)"),
    (RESNET, "resize, interpolation = (64, 64), 'lanczos'\n", r"another interpolation \(lanczos .* another resizing"),
    (VIT, "pooling = 'mean'\n", r"another layer or pooling \(pooling = 'mean' instead of 'cls'\)"),
])
def test_another_preprocessing_or_pooling_is_named(tiles, tmp_path, capsys, preset, change, cause):
    run(tiles, tmp_path, preset, change=change)
    code, said = verified(tiles, tmp_path, capsys, preset)
    assert code == 1
    assert_names(said, f"20 of 20 rows differ .* likely cause: {cause}.* \\(with it 1.000000\\)")


def assert_names(said, words):
    assert re.search(words, said), said
    assert said.count("\n") == 1, said


def test_swapped_channels_are_named(tiles, tmp_path, capsys):
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    for path in tiles.glob("*.png"):
        Image.fromarray(np.asarray(Image.open(path))[..., ::-1]).save(swapped / path.name)
    (swapped / "L.txt").write_bytes((tiles / "L.txt").read_bytes())
    run(swapped, tmp_path, RESNET)
    code, said = verified(tiles, tmp_path, capsys)
    assert code == 1
    assert_names(said, r"likely cause: channels are swapped \(BGR instead of RGB\)")


@pytest.mark.parametrize("order", [np.random.default_rng(1).permutation(40), np.roll(np.arange(40), 1),
                                   np.r_[20:30, 10:20, 0:10, 30:40]], ids=["shuffled", "shifted", "in part"])
def test_another_order_is_named_with_an_example(tiles, tmp_path, capsys, order):
    run(tiles, tmp_path, RESNET)
    made = np.load(tmp_path / "f/X.npy")
    np.save(tmp_path / "f/X.npy", made[order])
    code, said = verified(tiles, tmp_path, capsys)
    assert code == 1
    assert_names(said, r"rows are in another order than the list: the tile of row \d+ is row \d+ of the file")
    row, place = map(int, re.search(r"tile of row (\d+) is row (\d+)", said).groups())
    assert order[place] == row


def test_rows_of_another_length_are_named_beside_what_else_is_wrong(tiles, tmp_path, capsys):
    run(tiles, tmp_path, RESNET, change="interpolation = 'nearest'\n")
    np.save(tmp_path / "f/X.npy", np.load(tmp_path / "f/X.npy") * np.linspace(3, 9, 40, dtype=np.float32)[:, None])
    code, said = verified(tiles, tmp_path, capsys, count="40")
    assert code == 1 and "rows are not of unit length (3 … 9), as extraction writes them" in said
    assert "another interpolation (nearest" in said and said.count("\n") == 2


def test_rows_that_their_json_calls_raw_may_have_any_length(tiles, tmp_path, capsys):
    run(tiles, tmp_path, RESNET)
    np.save(tmp_path / "f/X.npy", 7 * np.load(tmp_path / "f/X.npy"))
    made = read_json(tmp_path / "f/X.json")
    for form, agrees in (("raw", True), ("unit", False)):
        write_json(tmp_path / "f/X.json", {**made, "normalize": form})
        code, said = verified(tiles, tmp_path, capsys)
        assert code == (0 if agrees else 1) and ("not of unit length" in said) is not agrees


def test_another_layer_is_known_by_its_width(tiles, tmp_path, capsys):
    import torch

    from fewshot_wsi.pipeline.extraction import recipe_of
    from openselfsup.encoders import build_encoder
    run(tiles, tmp_path, RESNET)
    recipe = recipe_of(str(tmp_path / "preset.py"), None)
    encoder = build_encoder(None, "random", recipe, "cpu")
    images = [recipe.pipeline(np.asarray(Image.open(tiles / f"{i}.png")), None)[0] for i in range(40)]
    maps = encoder.stages(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))[3].mean(dim=(2, 3))
    np.save(tmp_path / "f/X.npy", torch.nn.functional.normalize(maps, dim=1).numpy())
    code, said = verified(tiles, tmp_path, capsys)
    assert code == 1
    assert_names(said, r"rows hold 256 features, this encoder gives 512; likely cause: another layer \(.* stage 3\)")
    np.save(tmp_path / "f/X.npy", np.eye(40, 100, dtype=np.float32))
    code, said = verified(tiles, tmp_path, capsys)
    assert code == 1
    assert_names(said, "rows hold 100 features, this encoder gives 512: another encoder or layer")


def test_other_weights_are_not_blamed_on_the_preprocessing(tiles, tmp_path, capsys):
    run(tiles, tmp_path, VIT, "--seed", "7")
    code, said = verified(tiles, tmp_path, capsys, VIT)
    assert code == 1
    assert_names(said, "no cause was found among .*: other weights, another encoder or other images")


def test_what_cannot_be_compared_is_refused_in_one_line(tiles, tmp_path, capsys):
    with pytest.raises(UserError, match="no such file"):
        run(tiles, tmp_path, RESNET, "--verify", "20")
    run(tiles, tmp_path, RESNET)
    np.save(tmp_path / "f/X.npy", np.load(tmp_path / "f/X.npy")[:39])
    with pytest.raises(UserError, match="39 rows, but labels or list have 40"):
        run(tiles, tmp_path, RESNET, "--verify", "20")
    np.save(tmp_path / "f/X.npy", np.full((40, 512), np.nan, np.float32))
    assert verified(tiles, tmp_path, capsys)[0] == 1
    for more in (["--overwrite"], ["--launcher", "pytorch"]):
        with pytest.raises(SystemExit):
            run(tiles, tmp_path, RESNET, "--verify", "20", *more)
        assert "--verify writes nothing" in capsys.readouterr().err
