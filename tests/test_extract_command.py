"""Extraction as a user runs it: same numbers however the work is cut, resumed, skipped, refused."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from torchvision import transforms
from torchvision.models import resnet18

from fewshot_wsi.commands import extract
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_set, load_views
from fewshot_wsi.foundation.files import file_sha256
from fewshot_wsi.foundation.lists import read_list
from fewshot_wsi.foundation.provenance import read_provenance
from openselfsup.amp import bf16_works

SIZE, MEAN, STD = 48, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@pytest.fixture
def site(tmp_path):
    """22 drawn tiles of two classes, a list of them, a small config, and weights of a ResNet-18."""
    rng = np.random.default_rng(0)
    names = [f"tile {i}.png" for i in range(22)]
    for name in names:
        size = rng.integers(40, 90)
        Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "L.txt").write_text("\r\n".join(f"{name} {i % 2}" for i, name in enumerate(names)))
    normalize = f"dict(type='ToTensor'), dict(type='Normalize', mean={MEAN}, std={STD})"
    for name, operations in {"plain": f"dict(type='Resize', size={SIZE}), dict(type='CenterCrop', size={SIZE})",
                             "aug": f"dict(type='RandomResizedCrop', size={SIZE}, scale=(.8, 1.)), "
                                    "dict(type='RandomHorizontalFlip'), dict(type='RandomAppliedTrans', p=.8, "
                                    "transforms=[dict(type='ColorJitter', brightness=.4, hue=.2)])"}.items():
        (tmp_path / f"{name}.py").write_text(
            f"model = dict(type='Extractor', backbone=dict(type='ResNet', depth=18))\n"
            f"data = dict(imgs_per_gpu=8, workers_per_gpu=2, extract=dict(type='ExtractDataset', data_source=dict("
            f"type='ImageList', list_file=r'{tmp_path}/L.txt', root=r'{tmp_path}'), "
            f"pipeline=[{operations}, {normalize}]))\n")
    torch.manual_seed(0)
    state = {k: v for k, v in resnet18().state_dict().items() if not k.startswith("fc.")}
    state["bn1.running_mean"] += 0.1  # so that folding has something to fold
    state["layer2.0.downsample.1.running_var"] *= 1.7
    torch.save(dict(state_dict=state, author="OpenSelfSup"), tmp_path / "m.pth")
    return tmp_path


def run_here(site, *more, config="plain", output="m/S.npy", encoder=None):
    source = ["--encoder", encoder] if encoder else ["--pretrain", str(site / "m.pth")]
    return extract.main([*source, "--config", str(site / f"{config}.py"), "--output", str(site / "feats" / output),
                         "--quiet", "--device", "cpu", *map(str, more)])


def published(site):
    """The published recipe, written with torchvision and Pillow alone."""
    network = resnet18().eval()
    network.fc = torch.nn.Identity()
    network.load_state_dict(torch.load(site / "m.pth", weights_only=True)["state_dict"])
    prepare = transforms.Compose([transforms.Resize(SIZE), transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    names = [line.rsplit(" ", 1)[0] for line in (site / "L.txt").read_text().splitlines()]
    with torch.no_grad():
        x = network(torch.stack([prepare(Image.open(site / name).convert("RGB")) for name in names]))
    return torch.nn.functional.normalize(x, dim=1).numpy()


def test_features_are_those_of_the_published_recipe_with_labels_and_provenance(site, capsys):
    run_here(site)
    features, labels = load_set(site / "feats/m/S.npy", site / "feats/S_labels.npy", 2)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    # small tiles are enlarged, where OpenCV's bilinear filter and Pillow's round differently
    assert (features * published(site)).sum(axis=1).min() > 0.9999
    np.testing.assert_array_equal(labels, np.arange(22) % 2)
    made = read_provenance(site / "feats/m/S.npy")
    assert made["encoder"] == "resnet18" and made["weights_sha256"] == file_sha256(site / "m.pth")
    assert made["list_sha256"] == file_sha256(site / "L.txt") and made["batch_size"] == 8
    assert "images/s" in capsys.readouterr().out


def test_threads_batches_and_processes_change_no_bit(site, run):
    run_here(site)
    run_here(site, "--workers", 5, "--batch_size", 5, output="m5/S.npy")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        run_here(site, "--workers", 1, output="m1/S.npy")
    finally:
        torch.set_num_threads(threads)
    done = run("bash", ROOT / "tools/dist_extract.sh", site / "plain.py", 2, "--pretrained", site / "m.pth",
               "--output", site / "feats/m2/S.npy", "--device", "cpu",
               env={"PYTHON": sys.executable, "PORT": str(29700 + os.getpid() % 200)})
    assert done.returncode == 0, done.stderr
    one = (site / "feats/m/S.npy").read_bytes()
    assert one == (site / "feats/m5/S.npy").read_bytes() == (site / "feats/m1/S.npy").read_bytes()
    assert one == (site / "feats/m2/S.npy").read_bytes()


def test_the_same_again_is_skipped_and_another_encoder_needs_overwrite(site, capsys):
    run_here(site)
    before = os.stat(site / "feats/m/S.npy").st_mtime_ns
    run_here(site)
    assert "kept" in capsys.readouterr().out and os.stat(site / "feats/m/S.npy").st_mtime_ns == before
    with pytest.raises(UserError, match="made with another encoder than asked for now; .* --overwrite"):
        run_here(site, encoder="mean_rgb")
    run_here(site, "--overwrite", encoder="mean_rgb")
    assert np.load(site / "feats/m/S.npy").shape == (22, 3)


def test_bf16_is_recorded_and_never_mistaken_for_float32(site, capsys):
    if not bf16_works("cpu"):
        pytest.skip("this processor has no bfloat16")
    run_here(site, "--precision", "bf16")
    made = read_provenance(site / "feats/m/S.npy")
    assert made["precision"] == "bf16"
    assert (np.load(site / "feats/m/S.npy") * published(site)).sum(axis=1).min() > 0.999
    run_here(site, "--precision", "bf16", "--workers", 4)
    assert "kept" in capsys.readouterr().out
    with pytest.raises(UserError, match="made with another precision than asked for now"):
        run_here(site)
    run_here(site, "--overwrite")
    provenance = site / "feats/m/S.json"
    before = {key: value for key, value in json.loads(provenance.read_text()).items() if key != "precision"}
    provenance.write_text(json.dumps(before))  # as earlier versions wrote it
    run_here(site)
    with pytest.raises(UserError, match="made with another precision than asked for now"):
        run_here(site, "--precision", "bf16")


def test_bf16_features_do_not_depend_on_threads(site):
    if not bf16_works("cpu"):
        pytest.skip("this processor has no bfloat16")
    run_here(site, "--precision", "bf16")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        run_here(site, "--precision", "bf16", "--workers", 1, output="m1/S.npy")
    finally:
        torch.set_num_threads(threads)
    assert (site / "feats/m/S.npy").read_bytes() == (site / "feats/m1/S.npy").read_bytes()


def test_features_without_provenance_are_kept_with_a_notice(site, capsys):
    (site / "feats/m").mkdir(parents=True)
    np.save(site / "feats/m/S.npy", np.ones((22, 4), np.float32))
    run_here(site)
    assert np.load(site / "feats/m/S.npy").shape == (22, 4)
    assert "kept" in capsys.readouterr().out
    np.save(site / "feats/m/S.npy", np.ones((21, 4), np.float32))
    with pytest.raises(UserError, match="21 rows, but labels or list have 22"):
        run_here(site)


def test_other_labels_are_not_replaced_by_the_way(site):
    run_here(site, encoder="mean_rgb")
    (site / "L.txt").write_text((site / "L.txt").read_text().replace(".png 1", ".png 0"))
    with pytest.raises(UserError, match="S_labels.npy: holds other labels .* --overwrite"):
        run_here(site, encoder="color_histogram", output="other/S.npy")
    run_here(site, "--overwrite", encoder="color_histogram", output="other/S.npy")
    with pytest.raises(UserError, match="not the labels that"):
        load_set(site / "feats/m/S.npy", site / "feats/S_labels.npy")


def test_missing_images_are_counted_before_the_first_is_read(site):
    for i in (3, 4, 5, 6, 7, 8, 9):
        (site / f"tile {i}.png").unlink()
    with pytest.raises(UserError, match=r"7 of 22 images are missing below .*tile 3.png.* and 2 more"):
        run_here(site)
    assert not (site / "feats").exists()


def test_undecodable_images_are_all_counted_the_rest_is_kept_and_mending_goes_on(site):
    good = {i: (site / f"tile {i}.png").read_bytes() for i in (1, 20)}
    (site / "tile 1.png").write_bytes(good[1][:200])
    (site / "tile 20.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2 of 22 images do not decode: .*tile 1.png.*tile 20.png"):
        run_here(site)
    assert not (site / "feats/m/S.npy").exists()
    assert [p.name for p in (site / "feats/m").rglob("*.npz")] == ["000001.npz"]
    for i, data in good.items():
        (site / f"tile {i}.png").write_bytes(data)
    run_here(site)
    run_here(site, output="whole/S.npy")
    assert (site / "feats/m/S.npy").read_bytes() == (site / "feats/whole/S.npy").read_bytes()
    assert sorted(p.name for p in (site / "feats/m").iterdir()) == ["S.json", "S.npy"]


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_is_ended_keeps_its_batches(site, number, code):
    lines = (site / "L.txt").read_text().splitlines()
    (site / "L.txt").write_text("\n".join(lines * 60))
    command = [sys.executable, ROOT / "wsi_workdir/extract.py", "--pretrained", site / "m.pth", "--config",
               site / "plain.py", "--output", site / "feats/m/S.npy", "--quiet"]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(site.rglob("000002.npz")):
        time.sleep(0.02)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code and "Traceback" not in err
    assert not (site / "feats/m/S.npy").exists() and len(list(site.rglob("0*.npz"))) >= 3
    for part in site.rglob("0*.npz"):
        assert np.load(part)["features"].shape == (8, 512)


def test_a_black_tile_stays_zero_and_is_named(site, capsys):
    Image.new("RGB", (60, 60)).save(site / "tile 2.png")
    run_here(site, encoder="mean_rgb")
    features = np.load(site / "feats/m/S.npy")
    assert not features[2].any() and np.isfinite(features).all()
    assert "tile 2.png" in capsys.readouterr().err
    assert read_provenance(site / "feats/m/S.npy")["zero_rows"] == [2]


def test_damaged_weights_are_refused(site):
    state = torch.load(site / "m.pth", weights_only=True)
    state["state_dict"]["conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(state, site / "m.pth")
    with pytest.raises(UserError, match="are NaN or infinite; the weights are damaged"):
        run_here(site)
    del state["state_dict"]["layer4.1.bn2.bias"]
    torch.save(state, site / "m.pth")
    with pytest.raises(UserError, match=r"m.pth: the weights do not fit.*missing: layer4.1.bn2.bias"):
        run_here(site, output="other/S.npy")


@pytest.mark.parametrize("change, words", [
    (("imgs_per_gpu", "imgs_per_gp"), "data: unknown key 'imgs_per_gp'.*imgs_per_gpu"),
    (("'ImageList'", "'Imagelist'"), "extraction knows 'ImageList' alone"),
    (("'Resize'", "'Rezise'"), "unknown type 'Rezise'; did you mean 'Resize'"),
    (("depth=18", "depth=19"), "no ResNet of depth 19"), (("model =", "modell ="), "model: expected a dict"),
    (("dict(type='CenterCrop', size=48), ", ""), "different sizes|do not fit")])
def test_faults_of_the_config_are_named(site, change, words):
    text = (site / "plain.py").read_text()
    assert change[0] in text
    (site / "plain.py").write_text(text.replace(*change))
    Image.new("RGB", (60, 90)).save(site / "tile 2.png")
    with pytest.raises(UserError, match=words):
        run_here(site)


def test_one_of_weights_and_encoder_must_be_given(site):
    with pytest.raises(UserError, match="give the weights of an encoder as --pretrained FILE, or one without"):
        extract.main(["--config", str(site / "plain.py"), "--output", str(site / "S.npy"), "--quiet"])
    with pytest.raises(UserError, match="not both"):
        run_here(site, "--pretrained", site / "m.pth", encoder="random")


def tasks_file(site, support):
    arrays = dict(support=np.array(support, np.int32), query=np.array(support, np.int32),
                  support_labels=np.array([0, 0, 1, 1], np.int16), query_labels=np.array([0, 0, 1, 1], np.int16))
    np.savez(site / "T.npz", **arrays, meta=np.array(json.dumps({"schema": 1})))
    return site / "T.npz"


def test_views_of_task_rows_equal_those_of_the_whole_set_and_say_what_they_save(site, capsys):
    run_here(site, "--views", 2, config="aug", output="m/aug/V.npy")
    rows = tasks_file(site, [[2, 4, 3, 7], [4, 0, 7, 7]])
    run_here(site, "--views", 1, "--start", 1, "--rows", rows, config="aug", output="m/some/V.npy")
    assert "5 images that the tasks use, instead of all 22" in capsys.readouterr().out
    whole, some = np.load(site / "feats/m/aug/V_1.npy"), np.load(site / "feats/m/some/V_1.npy")
    assert np.load(site / "feats/m/some/V_rows.npy").tolist() == [0, 2, 3, 4, 7]
    np.testing.assert_array_equal(some, whole[[0, 2, 3, 4, 7]])
    np.testing.assert_array_equal(load_views(site / "feats/m/some", "V", 1, [7, 0]), whole[[7, 0]])
    assert (np.abs(np.load(site / "feats/m/aug/V_0.npy") - whole).max(axis=1) > 1e-4).all()
    assert not (site / "feats/m/aug/V_rows.npy").exists()


def test_views_of_other_rows_are_not_mixed(site):
    run_here(site, "--views", 2, "--rows", tasks_file(site, [[0, 2, 1, 3]]), config="aug", output="m/a/V.npy")
    other = tasks_file(site, [[0, 4, 1, 5]])
    with pytest.raises(UserError, match="2 views hold other rows .* --overwrite"):
        run_here(site, "--views", 1, "--rows", other, config="aug", output="m/a/V.npy")
    run_here(site, "--views", 1, "--rows", other, "--overwrite", config="aug", output="m/a/V.npy")
    assert not (site / "feats/m/a/V_1.npy").exists()
    assert load_views(site / "feats/m/a", "V", 0, [5]).shape == (1, 512)


def test_tasks_of_another_list_are_refused(site):
    with pytest.raises(UserError, match="takes row 1 for class 0, but its label is 1"):
        run_here(site, "--views", 1, "--rows", tasks_file(site, [[0, 1, 2, 3]]), config="aug", output="m/a/V.npy")
    with pytest.raises(UserError, match="for configs with random operations"):
        run_here(site, "--views", 1)


def test_a_protocol_names_the_sets_of_a_model_and_where_they_go(site, capsys):
    image_set = dict(list=str(site / "L.txt"), root=str(site), classes="two", config=str(site / "plain.py"))
    protocol = dict(name="p", workdir=str(site / "wd"), classes=dict(two=("a", "b")),
                    sets=dict(train=image_set, test=image_set, spare=image_set),
                    models=dict(colour=dict(encoder="mean_rgb"), net=dict()),
                    dictionary=dict(set="train", prefix="P"),
                    tasks=dict(near=dict(support="train", query="test", shots=(1,),
                                         methods=(("colour", "linear", "Ridge"), ("net", "linear", "Ridge")))))
    (site / "p.py").write_text("\n".join(f"{key} = {value!r}" for key, value in protocol.items()))
    (site / "wd/pretrained_weights").mkdir(parents=True)
    shutil.copy(site / "m.pth", site / "wd/pretrained_weights/net.pth")
    extract.main(["--protocol", str(site / "p.py"), "--model", "colour", "net", "--quiet", "--device", "cpu"])
    made = sorted(str(p.relative_to(site / "wd/extracted_feats")) for p in (site / "wd").rglob("*.npy"))
    assert made == ["colour/test.npy", "colour/train.npy", "net/test.npy", "net/train.npy", "test_labels.npy",
                    "train_labels.npy"]
    with pytest.raises(UserError, match="no model 'nett'"):
        extract.main(["--protocol", str(site / "p.py"), "--model", "nett"])


PRESET = """kind = 'timm'
architecture = dict(name='vit_tiny_patch16_224', img_size=32, depth=2, embed_dim=24, num_heads=2)
resize, crop, interpolation = 40, 32, 'bicubic'
mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
pooling, width = 'cls', 24
license, weights, citation, pretraining_data = 'a licence', 'somewhere', 'a paper', ('TCGA',)
"""


@pytest.fixture
def vit(site):
    """`site` with the preset vit.py of a small vision transformer, its weights vit.pth, and its features by timm."""
    timm = pytest.importorskip("timm")
    (site / "vit.py").write_text(PRESET)
    torch.manual_seed(1)
    network = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, embed_dim=24, num_heads=2,
                                num_classes=0).eval()
    torch.save(network.state_dict(), site / "vit.pth")
    prepare = transforms.Compose([transforms.Resize(40, transforms.InterpolationMode.BICUBIC),
                                  transforms.CenterCrop(32),
                                  transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    names = [line.rsplit(" ", 1)[0] for line in (site / "L.txt").read_text().splitlines()]
    with torch.no_grad():
        x = network(torch.stack([prepare(Image.open(site / name).convert("RGB")) for name in names]))
    return site, torch.nn.functional.normalize(x, dim=1).numpy()


def by_preset(site, *more, weights="vit.pth", output="vit/S.npy"):
    return extract.main(["--encoder", str(site / "vit.py"), "--pretrained", str(weights and site / weights), "--list",
                         str(site / "L.txt"), "--root", str(site), "--output", str(site / "feats" / output), "--quiet",
                         "--device", "cpu", *map(str, more)])


def test_features_by_a_preset_are_timms_and_say_where_they_come_from(vit, capsys):
    site, expected = vit
    by_preset(site)
    features, _ = load_set(site / "feats/vit/S.npy", site / "feats/S_labels.npy", 2)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    made = read_provenance(site / "feats/vit/S.npy")
    assert made["encoder"] == "vit" and made["weights_sha256"] == file_sha256(site / "vit.pth")
    assert (made["license"], made["citation"], made["pretraining_data"]) == ("a licence", "a paper", ["TCGA"])
    capsys.readouterr()
    by_preset(site)
    assert "kept" in capsys.readouterr().out
    (site / "vit.py").write_text(PRESET.replace("resize, crop, interpolation = 40", "resize, crop, interpolation = 32"))
    with pytest.raises(UserError, match="made with another config"):
        by_preset(site)
    state = torch.load(site / "vit.pth", weights_only=True)
    state["cls_token"] += 1
    torch.save(state, site / "other.pth")
    with pytest.raises(UserError, match="made with another weights file and config"):
        by_preset(site, weights="other.pth")


def test_openvino_changes_no_feature_beyond_rounding(vit):
    pytest.importorskip("openvino")
    site, expected = vit
    by_preset(site, "--runtime", "openvino")
    np.testing.assert_allclose(np.load(site / "feats/vit/S.npy"), expected, atol=1e-5)


def test_views_of_a_preset_are_random_before_its_own_preprocessing(vit):
    site, expected = vit
    by_preset(site, "--config", site / "aug.py", "--views", 2, output="vit/a/V.npy")
    first, second = (np.load(site / f"feats/vit/a/V_{view}.npy") for view in range(2))
    assert first.shape == expected.shape and not np.allclose(first, second) and not np.allclose(first, expected)
    with pytest.raises(UserError, match="for configs with random operations"):
        by_preset(site, "--config", site / "plain.py", "--views", 2, output="vit/b/V.npy")


def test_a_protocol_names_an_encoder_by_its_preset_and_weights(vit):
    site, expected = vit
    image_set = dict(list=str(site / "L.txt"), root=str(site), classes="two", config=str(site / "plain.py"))
    protocol = dict(name="p", workdir=str(site / "wd"), classes=dict(two=("a", "b")), sets=dict(tiles=image_set),
                    models=dict(vit=dict(encoder=str(site / "vit.py"), weights=str(site / "vit.pth"))),
                    dictionary=dict(set="tiles", prefix="P"),
                    tasks=dict(mix=dict(support="tiles", query="tiles", shots=(1,),
                                        methods=(("vit", "linear", "Ridge"),))))
    (site / "p.py").write_text("\n".join(f"{key} = {value!r}" for key, value in protocol.items()))
    extract.main(["--protocol", str(site / "p.py"), "--model", "vit", "--quiet", "--device", "cpu"])
    np.testing.assert_allclose(np.load(site / "wd/extracted_feats/vit/tiles.npy"), expected, atol=1e-5)


@pytest.mark.parametrize("options, words", [
    (("--encoder", "vit"), "'vit' is none of mean_rgb, .* nor the file of a preset"),
    (("--encoder", "nowhere.py", "--pretrained", "x"), "nowhere.py: no such preset of an encoder"),
    (("--encoder", "{site}/vit.py"), "name the weights of this encoder with --pretrained"),
    (("--encoder", "{site}/vit.py", "--pretrained", "{site}/absent.pth"), "no such checkpoint"),
    (("--encoder", "{site}/vit.py", "--pretrained", "{site}/m.pth"), "the weights do not fit the model")])
def test_encoders_that_cannot_run_are_one_line(vit, run, options, words):
    site = vit[0]
    done = run("wsi_workdir/extract.py", *(option.format(site=site) for option in options), "--list", site / "L.txt",
               "--root", site, "--output", site / "feats/X.npy")
    assert done.returncode == 2 and not (site / "feats/X.npy").exists()
    assert re.search(words, done.stderr.splitlines()[-1]), done.stderr


def test_a_list_without_labels_gives_features_alone(site):
    (site / "U.txt").write_text("tile 0.png\ntile 1.png")
    run_here(site, "--list", site / "U.txt", encoder="mean_rgb")
    assert np.load(site / "feats/m/S.npy").shape == (2, 3) and not (site / "feats/S_labels.npy").exists()


def test_a_folder_of_tiles_is_a_list_of_all_of_them(site):
    tiles = site / "tiles"
    tiles.mkdir()
    for name in ("b.png", "a 1.png"):
        (tiles / name).write_bytes((site / "tile 0.png").read_bytes())
    options = ["--encoder", "mean_rgb", "--list", str(tiles), "--output", str(site / "feats/m/T.npy"), "--quiet"]
    extract.main(options)
    assert np.load(site / "feats/m/T.npy").shape == (2, 3)
    assert read_list(site / "feats/m/T.txt").names == ("a 1.png", "b.png")
    (tiles / "c.png").write_bytes((site / "tile 1.png").read_bytes())
    with pytest.raises(UserError, match="made with another list"):
        extract.main(options)
    extract.main([*options, "--overwrite"])
    assert np.load(site / "feats/m/T.npy").shape == (3, 3)


def test_srun_gets_the_whole_command(site, run):
    (site / "srun").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (site / "srun").chmod(0o755)
    done = run("bash", ROOT / "tools/srun_extract.sh", "gpu", "CONFIG.py", "4", "--pretrained", "F", "--output", "O",
               env={"PATH": f"{site}:{os.environ['PATH']}"})
    words = done.stdout.split()
    assert "--config" in words and words[words.index("--config") + 1] == "CONFIG.py"
    assert words[-6:] == ["--launcher", "slurm", "--pretrained", "F", "--output", "O"]


@pytest.mark.parametrize("script", ["wsi_workdir/extract.py", "tools/extract.py"])
def test_help_has_an_example(run, script):
    done = run(script, "--help")
    assert done.returncode == 0 and "--config configs/extraction" in done.stdout


@pytest.mark.parametrize("script", ["extract", "visualize"])
def test_help_does_not_wait_for_torch(run, script):
    code = ("import runpy, sys; sys.argv[1:] = ['--help']\n"
            f"try: runpy.run_path('wsi_workdir/{script}.py', run_name='__main__')\n"
            "finally: print('torch' in sys.modules)")
    assert run(sys.executable, "-c", code).stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize("script, partition", [("dist_extract", []), ("srun_extract", ["part"])])
def test_the_published_work_folder_is_explained(run, script, partition):
    done = run("bash", f"tools/{script}.sh", *partition, "configs/extraction/extract_feats_LC.py", 1, "work_dirs/x")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "'work_dirs/x' is no option" in done.stderr and "--pretrained FILE and the features" in done.stderr


def test_a_config_without_a_list_says_which_option_names_one(tmp_path):
    with pytest.raises(UserError, match="extract.py: names no list .*--list FILE and its images with --root DIR"):
        extract.main(["--encoder", "mean_rgb", "--config", str(ROOT / "configs/quickstart/extract.py"), "--output",
                      str(tmp_path / "S.npy"), "--quiet"])
