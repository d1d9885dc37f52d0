"""The 22 published training configs say what was published; a misspelt key never trains."""
import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper

from fewshot_wsi.foundation.errors import UserError
from openselfsup.apis.train import make_model, make_optim_wrapper, train_pipeline
from openselfsup.bf16_training import BF16OptimWrapper
from openselfsup.config import load_config
from openselfsup.datasets import DATASETS
from openselfsup.hooks import build_hooks
from openselfsup.optim import LARS, build_optimizer
from openselfsup.schedule import learning_rate

ROOT = Path(__file__).resolve().parents[1]
TAGS = ["all", *(f"wo_{i}" for i in range(9)), "wo_78"]
CLP = ROOT / "configs/wsi_selfsup/moco_v3"
FSP = ROOT / "configs/classification/nct"


@pytest.fixture(scope="module")
def configs():
    paths = [CLP / f"r18_bs256_ep200_{tag}.py" for tag in TAGS] + [FSP / f"r18_bs512_ep100_{tag}.py" for tag in TAGS]
    return {path: load_config(path) for path in paths}


def list_of(tag, labeled):
    start = "" if tag == "all" else f"{tag}_"
    return f"data/NCT/meta/{start}train{'_labeled' if labeled else ''}.txt"


@pytest.mark.parametrize("tag", TAGS)
def test_contrastive_recipe_is_the_published_one(configs, tag):
    config = configs[CLP / f"r18_bs256_ep200_{tag}.py"]
    model = config.model
    assert (model.type, model.backbone.depth, model.temperature, model.base_momentum) == ("MOCOv3", 18, 1, 0.996)
    assert (model.negatives, model.momentum_buffers) == ("local", False)
    for neck, widths in ((model.projector, (512, 1024, 256, 3)), (model.predictor, (256, 1024, 256, 2))):
        assert (neck.in_channels, neck.hid_channels, neck.out_channels, neck.num_layers) == widths
        assert neck.sync_bn and neck.with_last_bn and not neck.with_bias
    assert dict(config.optimizer) == dict(type="LARS", lr=0.3, momentum=0.9, weight_decay=1.5e-6, eta=0.001)
    assert learning_rate(config.lr_config, 0.3, 100 * 7, 7, 200) == pytest.approx(0.15)
    assert "warmup" not in config.lr_config
    assert (config.total_epochs, config.checkpoint_config.interval) == (200, 50)
    assert (config.data.imgs_per_gpu, config.data.workers_per_gpu, config.data.train.prefetch) == (32, 5, True)
    assert dict(config.data.train.data_source) == dict(type="ImageList", list_file=list_of(tag, False),
                                                       root="data/NCT/data")
    assert [dict(hook) for hook in config.custom_hooks] == [dict(type="BYOLHook", end_momentum=1.0)]
    crop, flip, jitter, gray, blur, solarize = config.data.train.pipeline
    assert (crop.size, tuple(crop.scale)) == (224, (0.2, 1.0)) and flip.type == "RandomHorizontalFlip"
    assert (jitter.p, gray.p, blur.p, solarize.p) == (0.8, 0.2, 0.5, 0.2)
    assert {k: v for k, v in jitter.transforms[0].items() if k != "type"} == dict(
        brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4)
    assert (blur.transforms[0].sigma_min, blur.transforms[0].sigma_max) == (0.1, 2.0)
    assert solarize.transforms[0].threshold == 128
    assert config.img_norm_cfg.mean == [0.485, 0.456, 0.406] and config.img_norm_cfg.std == [0.229, 0.224, 0.225]


@pytest.mark.parametrize("tag", TAGS)
def test_supervised_recipe_is_the_published_one(configs, tag):
    config = configs[FSP / f"r18_bs512_ep100_{tag}.py"]
    assert (config.model.type, config.model.backbone.depth, config.model.head.num_classes) == ("Classification", 18, 9)
    assert dict(config.optimizer) == dict(type="SGD", lr=0.5, momentum=0.9, weight_decay=0.0)
    rates = [learning_rate(config.lr_config, 0.5, epoch, 1, 100) for epoch in (0, 30, 60, 90)]
    assert rates == pytest.approx([0.5, 0.05, 0.005, 0.0005])
    assert (config.total_epochs, config.data.imgs_per_gpu, config.data.workers_per_gpu) == (100, 128, 5)
    assert config.data.train.data_source.list_file == list_of(tag, True)
    kinds = [step.type for step in config.data.train.pipeline]
    assert kinds == ["RandomResizedCrop", "RandomHorizontalFlip", "ToTensor", "Normalize"]
    assert "scale" not in config.data.train.pipeline[0]  # torchvision's default, 0.08–1


def test_every_config_builds_its_model_data_set_and_optimiser(configs):
    for path, config in configs.items():
        pipeline = train_pipeline(config)
        assert pipeline.mean == (0.485, 0.456, 0.406), path
        assert config.data.train.type in DATASETS
        build_hooks(config)
        if path.stem.endswith(("all", "78")):  # two of each kind: building 22 models takes long
            model = make_model(config, pipeline, seed=0)
            optimizer = build_optimizer(model, config.optimizer.to_dict())
            assert isinstance(optimizer, LARS if model.contrastive else torch.optim.SGD)
            assert model.contrastive == (DATASETS[config.data.train.type].views == 2)


def test_initial_weights_follow_from_the_seed_alone(configs):
    config = configs[FSP / "r18_bs512_ep100_all.py"]
    one, other, third = (make_model(config, train_pipeline(config), seed).head.fc_cls.weight for seed in (0, 0, 1))
    assert torch.equal(one, other) and not torch.equal(one, third)


def test_drawing_weights_touches_no_gpu(configs, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda *_: pytest.fail("a context on every GPU"))
    config = configs[FSP / "r18_bs512_ep100_all.py"]
    make_model(config, train_pipeline(config), 0)


@pytest.mark.parametrize("generation, wrapper", [(7, AmpOptimWrapper), (8, BF16OptimWrapper)])
def test_mixed_precision_is_bf16_only_where_the_gpu_computes_in_it(configs, monkeypatch, generation, wrapper):
    config = copy.deepcopy(configs[FSP / "r18_bs512_ep100_all.py"])
    model = make_model(config, train_pipeline(config), 0)
    config.performance.amp = True
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=generation))
    # PyTorch emulates bfloat16 on older GPUs, and counts that as support unless told not to
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    assert type(make_optim_wrapper(model, config, scale_lr=False)) is wrapper


@pytest.mark.parametrize("supported, wrapper", [(True, BF16OptimWrapper), (False, OptimWrapper)])
def test_a_processor_without_bf16_trains_in_float32(configs, monkeypatch, supported, wrapper):
    config = copy.deepcopy(configs[FSP / "r18_bs512_ep100_all.py"])
    model = make_model(config, train_pipeline(config), 0)
    config.performance.amp = True
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert type(make_optim_wrapper(model, config, scale_lr=False)) is wrapper


@pytest.mark.parametrize("line, amp", [
    ("use_fp16 = True", True), ("use_fp16 = True\noptimizer_config = dict(use_fp16=use_fp16)", True),
    ("optimizer_config = dict(use_fp16=True)", True), ("use_fp16 = False", False),
    ("use_fp16 = False\nperformance = dict(amp=True)", True)])
def test_the_published_key_of_mixed_precision_is_understood(tmp_path, line, amp):
    path = tmp_path / "mine.py"
    path.write_text(f"_base_ = '{FSP}/r18_bs512_ep100_all.py'\n{line}\n")
    config = load_config(path)
    assert config.performance.amp is amp and "use_fp16" not in config and "use_fp16" not in config.optimizer_config


def test_own_intermediate_names_of_published_files_are_read(tmp_path):
    text = (FSP / "r18_bs512_ep100_all.py").read_text().replace("'../../_base_", f"'{ROOT}/configs/_base_")
    path = tmp_path / "mine.py"
    path.write_text(text + "batch_size = 64\ndata_root = 'x'\ndataset_type = 'ClassificationDataset'\n"
                           "test_pipeline = []\n_mine = 3\n")
    assert load_config(path).total_epochs == 100


@pytest.mark.parametrize("line, words", [
    ("total_epoch = 3", "unknown key 'total_epoch'; did you mean 'total_epochs'"),
    ("data = dict(img_per_gpu=3)", "did you mean 'imgs_per_gpu'"),
    ("optimizer_config = dict(update_intervall=2)", "did you mean 'update_interval'"),
    ("checkpoint_config = dict(intervall=2)", "did you mean 'interval'"),
    ("lr_config = dict(gama=0.1)", "did you mean 'gamma'"),
    ("data = dict(train=dict(prefetc=True))", "did you mean 'prefetch'"),
    ("data = dict(imgs_per_gpu=0)", "data.imgs_per_gpu is 0; give a whole number from 1"),
    ("checkpoint_config = dict(latest_interval=0)", "latest_interval is 0; give a whole number from 1"),
    ("use_fp16 = 1", "use_fp16 is 1; give True or False"),
    ("use_fp16 = True\nperformance = dict(amp=False)", "contradict each other"),
    ("performance = dict(amp='fp16')", "performance.amp is 'fp16'; give True or False"),
    ("optimizer_config = dict(grad_clip=dict(max_nor=1))", "did you mean 'max_norm'"),
    ("workflow = [('train', 1), ('val', 1)]", "only \\[\\('train', 1\\)\\] is supported"),
    ("log_config = dict(hooks=[dict(type='WandbHook')])", "unknown type 'WandbHook'"),
    ("total_epochs = = 3", "not a readable config"),
])
def test_misspelt_or_impossible_settings_stop_with_the_nearest_valid_name(tmp_path, line, words):
    path = tmp_path / "mine.py"
    path.write_text(f"_base_ = '{FSP}/r18_bs512_ep100_all.py'\n{line}\n")
    with pytest.raises(UserError, match=words):
        load_config(path)


@pytest.mark.parametrize("part, words", [
    (dict(backbone=dict(type="ResNets")), "model.backbone: unknown type 'ResNets'; did you mean 'ResNet'"),
    (dict(backbone=dict(type="ResNet", depths=18)), "did you mean 'depth'"),
    (dict(head=dict(type="ClsHead", in_channels=512)), "the key 'num_classes' is missing"),
    (dict(temprature=1), "unknown key 'temprature'"),
])
def test_misspelt_parts_of_a_model_stop_too(configs, part, words):
    from openselfsup.models import build_model
    with pytest.raises(UserError, match=words):
        build_model({**configs[FSP / "r18_bs512_ep100_all.py"].model.to_dict(), **part})


def test_options_reach_nested_keys_and_helpers_are_refused():
    path = FSP / "r18_bs512_ep100_all.py"
    config = load_config(path, {"data.train.pipeline.0.size": 64, "optimizer.lr": 0.1})
    assert config.data.train.pipeline[0].size == 64 and config.optimizer.lr == 0.1
    with pytest.raises(UserError, match="uses only for itself; set the key"):
        load_config(path, {"train_pipeline.0.size": 64})
    with pytest.raises(UserError, match="did you mean 'total_epochs'"):
        load_config(path, {"total_epoch": 1})
    with pytest.raises(UserError, match="no such config"):
        load_config("configs/absent.py")
