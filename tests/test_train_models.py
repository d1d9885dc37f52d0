"""Models against formulas written out a second time; weights in and out of files."""
import copy
import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from fewshot_wsi.foundation.errors import UserError
from openselfsup import checkpoint
from openselfsup.hooks import BYOLHook
from openselfsup.models import build_backbone, build_model
from openselfsup.models.moco_v3 import contrastive_loss, momentum_at
from openselfsup.models.preprocess import Preprocess
from openselfsup.transforms import build_pipeline

NECK = dict(type="NonLinearNeckSimCLR", in_channels=512, hid_channels=24, out_channels=16, num_layers=3)
MOCO = dict(type="MOCOv3", backbone=dict(type="ResNet", depth=18), projector=NECK,
            predictor=dict(NECK, in_channels=16, num_layers=2, with_avg_pool=False))
FSP = dict(type="Classification", backbone=dict(type="ResNet"), head=dict(type="ClsHead", in_channels=512,
                                                                        num_classes=4))


def model_of(config, **changes):
    torch.manual_seed(0)
    return build_model({**config, **changes}, Preprocess(build_pipeline([])))


def test_loss_equals_the_formula_summed_row_by_row():
    torch.manual_seed(1)
    q, k = (F.normalize(torch.randn(5, 7, dtype=torch.float64), dim=1) for _ in range(2))
    for temperature in (1.0, 0.3):
        want = 0.0
        for i in range(5):
            scores = [float(q[i] @ k[j]) / temperature for j in range(5)]
            want += math.log(sum(map(math.exp, scores))) - scores[i]
        got = contrastive_loss(q, k, temperature)
        assert float(got) == pytest.approx(2 * temperature * want / 5, rel=1e-12)


def test_gathered_negatives_take_the_positive_of_their_own_rows():
    torch.manual_seed(2)
    q, k = (F.normalize(torch.randn(6, 7), dim=1) for _ in range(2))
    whole = contrastive_loss(q, k, 1.0)
    parts = [contrastive_loss(q[first:first + 2], k, 1.0, first) for first in (0, 2, 4)]
    torch.testing.assert_close(sum(parts) / 3, whole)


def test_forward_is_symmetric_loss_of_normalised_embeddings_and_spares_the_key_encoder():
    model = model_of(MOCO, temperature=0.5)
    images = torch.randn(2, 4, 3, 32, 32)
    loss = model(images)["loss"]
    loss.backward()
    assert all(p.grad is None for p in model.encoder_k.parameters())
    assert all(p.grad is not None for p in model.encoder_q.parameters())
    twin = model_of(MOCO)  # in train mode too: BN normalises each view by its own statistics
    q1, q2 = (F.normalize(twin.encoder_q(x)) for x in images)
    k1, k2 = (F.normalize(twin.encoder_k(x)) for x in images)
    target = torch.arange(4)
    want = F.cross_entropy(q1 @ k2.T / 0.5, target) + F.cross_entropy(q2 @ k1.T / 0.5, target)
    torch.testing.assert_close(loss, want)  # 2T = 1
    want.backward()
    for mine, theirs in zip(model.encoder_q.parameters(), twin.encoder_q.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_key_momentum_rises_from_its_start_to_one_by_a_half_cosine():
    for step in range(0, 101, 10):
        want = 1 - (1 - 0.996) * (math.cos(math.pi * step / 100) + 1) / 2
        assert momentum_at(step, 100, 0.996) == pytest.approx(want, abs=1e-15)
    assert momentum_at(0, 100, 0.996) == pytest.approx(0.996)


@pytest.mark.parametrize("buffers", [False, True])
def test_key_update_averages_parameters_and_leaves_buffers_unless_asked(buffers):
    model = model_of(MOCO, momentum_buffers=buffers)
    model(torch.randn(2, 4, 3, 32, 32))  # running statistics move
    for weight in model.encoder_q.parameters():
        weight.data.add_(0.1)
    model.encoder_q[0].bn1.running_mean.add_(3.0)
    before = copy.deepcopy(model.encoder_k)
    model.momentum = 0.9
    model.momentum_update()
    for old, new, query in zip(before.parameters(), model.encoder_k.parameters(), model.encoder_q.parameters(),
                               strict=False):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * query)
    old, new, query = (m[0].bn1.running_mean for m in (before, model.encoder_k, model.encoder_q))
    torch.testing.assert_close(new, 0.9 * old + 0.1 * query if buffers else old)


def test_neck_is_linear_bn_relu_and_ends_with_bn():
    neck = model_of(MOCO).encoder_q[1].eval()
    x = torch.randn(3, 512, 2, 2)
    y = x.mean((2, 3))
    for i in range(3):
        y = getattr(neck, f"fc{i}")(y) / math.sqrt(1 + 1e-5)  # BN of fresh statistics
        y = y.clamp(min=0) if i < 2 else y
    torch.testing.assert_close(neck(x), y)
    assert all(module.bias is None for module in neck.modules() if isinstance(module, nn.Linear))


def test_supervised_model_starts_from_the_published_distributions():
    model = model_of(FSP)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.in_channels * module.kernel_size[0] ** 2
            assert float(module.weight.detach().std()) == pytest.approx(math.sqrt(2 / fan_in), rel=0.05), name
    assert float(model.head.fc_cls.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert not model.head.fc_cls.bias.any()


def test_contrastive_model_starts_from_pytorch_defaults_and_equal_encoders():
    model = model_of(MOCO)
    conv = model.backbone.layer1[0].conv1
    bound = 1 / math.sqrt(conv.in_channels * 9)  # kaiming_uniform with a = sqrt(5)
    assert float(conv.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)
    for query, key in zip(model.encoder_q.state_dict().items(), model.encoder_k.state_dict().items(), strict=False):
        assert query[0] == key[0]
        torch.testing.assert_close(query[1], key[1], rtol=0, atol=0)


@pytest.mark.parametrize("depth", [18, 50])
def test_backbone_is_torchvisions_resnet_without_its_classifier(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=3).eval()
    ours = build_backbone(depth).eval()
    checkpoint.fit(ours, checkpoint.backbone_of(theirs.state_dict()), "torchvision")
    x = torch.randn(2, 3, 64, 64)
    maps = ours.stages(x)
    assert len(maps) == 5 and maps[0].shape[1:] == (64, 32, 32)
    torch.testing.assert_close(theirs.fc(ours(x).mean((2, 3))), theirs(x))
    assert ours.width == theirs.fc.in_features


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("stage", range(5))
def test_any_stage_can_be_the_output_and_what_follows_it_is_not_trained(depth, stage):
    backbone = build_backbone(depth, out_indices=(stage,))
    maps = backbone(torch.randn(2, 3, 64, 64))
    assert maps.shape[1] == backbone.width
    maps.square().sum().backward()
    assert all((weight.grad is not None) == weight.requires_grad for weight in backbone.parameters())
    assert set(backbone.state_dict()) == set(build_backbone(depth).state_dict())


def test_what_the_backbone_cannot_do_is_refused():
    for options, words in ((dict(depth=20), "no ResNet of depth 20"), (dict(out_indices=(5,)), "one of 0 … 4"),
                           (dict(norm_cfg=dict(type="GN")), "known: BN, SyncBN")):
        with pytest.raises(UserError, match=words):
            build_backbone(**options)
    with pytest.raises(UserError, match="in_channels is 512, but this backbone gives 2048"):
        build_model({**FSP, "backbone": dict(type="ResNet", depth=50)})
    for part, change, words in (("projector", dict(with_avg_pool=False), "backbone gives maps"),
                                ("predictor", dict(with_avg_pool=True), "nothing to pool"),
                                ("predictor", dict(in_channels=15), "in_channels is 15, but this projector gives 16"),
                                ("predictor", dict(out_channels=8), "out_channels is 8, but this projector gives 16")):
        with pytest.raises(UserError, match=words):
            model_of(MOCO, **{part: {**MOCO[part], **change}})
    with pytest.raises(UserError, match="choose 'local' or 'gathered'"):
        model_of(MOCO, negatives="all")


def write(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize("prefix", ["backbone.", "encoder_q.0.", "module.backbone.", ""])
def test_backbones_of_every_known_layout_load_alike(tmp_path, prefix):
    state = build_backbone().state_dict()
    content = {prefix + key: value for key, value in state.items()}
    content["module.head.fc.weight" if prefix.startswith("module.") else "fc.weight"] = torch.zeros(1)
    content = content if prefix == "" else dict(state_dict=content, meta=dict(epoch=3), optimizer=dict(state={}))
    loaded = checkpoint.load_weights(write(tmp_path / "weights.pth", content))
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_authors_backbone_file_round_trips_through_extraction(tmp_path):
    model = model_of(MOCO)
    source = write(tmp_path / "epoch_1.pth", dict(state_dict=model.state_dict(), meta={}))
    checkpoint.extract_backbone(source, tmp_path / "clp.pth")
    content = torch.load(tmp_path / "clp.pth", weights_only=True)
    assert content["author"] == "OpenSelfSup" and "conv1.weight" in content["state_dict"]
    checkpoint.fit(build_backbone(), checkpoint.load_weights(tmp_path / "clp.pth"), "clp.pth")


def test_pretrained_weights_reach_both_encoders(tmp_path):
    source = build_backbone()
    path = write(tmp_path / "start.pth", dict(state_dict=source.state_dict(), author="OpenSelfSup"))
    model = model_of(MOCO, pretrained=str(path))
    for encoder in (model.encoder_q[0], model.encoder_k[0]):
        assert torch.equal(encoder.conv1.weight, source.conv1.weight)
    assert torch.equal(model_of(FSP, pretrained=str(path)).backbone.conv1.weight, source.conv1.weight)


def test_weights_that_do_not_fit_name_their_keys(tmp_path):
    state = build_backbone(18).state_dict()
    del state["layer4.1.conv2.weight"]
    state["extra.weight"] = torch.zeros(1)
    state["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    with pytest.raises(UserError, match=r"missing: layer4\.1\.conv2\.weight; unexpected: extra\.weight; other shape: "
                                        r"conv1\.weight \(64, 1, 7, 7\) instead of \(64, 3, 7, 7\)"):
        checkpoint.fit(build_backbone(18), state, "some.pth")


class Anything:
    pass


def test_files_that_are_no_weights_are_refused(tmp_path):
    (tmp_path / "text.pth").write_text("not a checkpoint")
    whole = write(tmp_path / "whole.pth", dict(state_dict={"a": torch.zeros(5000)}))
    (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[:9000])
    write(tmp_path / "code.pth", dict(state_dict={}, meta=Anything()))
    write(tmp_path / "numbers.pth", [1, 2])
    for name, words in (("absent", "no such checkpoint"), ("text", "not a"), ("cut", "not a readable checkpoint"),
                        ("code", "it holds the class .*, which could run code"), ("numbers", "holds no weights")):
        with pytest.raises(UserError, match=words):
            checkpoint.load_weights(tmp_path / f"{name}.pth")


def test_more_neighbours_than_there_are_images_are_refused(tmp_path):
    from openselfsup.hooks import KNNHook
    from openselfsup.knn import knn_accuracy
    labels = np.repeat(np.arange(3), 5)
    x = (10 * np.eye(8)[labels] + np.random.default_rng(0).normal(0, 0.1, (15, 8))).astype(np.float32)
    assert knn_accuracy(x, labels, x, labels, 4, same=True) == 1
    assert 0 <= knn_accuracy(x, labels, x, labels, 15) <= 1
    for k, same, words in ((15, True, "k = 15 nearest neighbours are asked for among 14"), (16, False, "among 15")):
        with pytest.raises(UserError, match=words):
            knn_accuracy(x, labels, x, labels, k, same=same)
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{i}.png {label}\n" for i, label in enumerate(labels)))
    with pytest.raises(UserError, match="k = 20 nearest neighbours are asked for among 14"):  # before training starts
        KNNHook(str(listed), str(tmp_path))


def test_knn_accuracy_agrees_with_scikit_learn():
    from sklearn.neighbors import KNeighborsClassifier

    from openselfsup.knn import knn_accuracy
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 6)).astype(np.float32), rng.integers(0, 3, 300)
    q, t = rng.normal(size=(90, 6)).astype(np.float32), rng.integers(0, 3, 90)
    x[:, 0] += 2 * y
    q[:, 0] += 2 * t
    theirs = KNeighborsClassifier(5, metric="cosine").fit(x, y).score(q, t)
    assert knn_accuracy(x, y, q, t, k=5) == pytest.approx(theirs)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = y[similarity.argmax(1)]
    assert knn_accuracy(x, y, x, y, k=1, same=True) == pytest.approx((nearest == y).mean())


@pytest.mark.parametrize("options, updates", [({}, [1, 2, 3, 4, 5, 6, 7, 8, 9]), ({"update_interval": 4}, [4, 8, 9])])
def test_the_key_encoder_follows_every_iteration_unless_the_hook_says_otherwise(options, updates):
    """Also with gradients accumulated over 4 iterations, as published; the last iteration is always a step."""
    done = []
    model = SimpleNamespace(base_momentum=0.9, momentum_update=lambda: done.append(runner.iter + 1))
    runner = SimpleNamespace(bare_model=model, iter=0, max_iters=9, update_interval=4, logger=logging.getLogger("run"))
    hook = BYOLHook(**options)
    hook.before_train(runner)
    for runner.iter in range(9):
        hook.before_train_iter(runner, 0)
        assert model.momentum == pytest.approx(momentum_at(runner.iter, 9, 0.9))
        hook.after_train_iter(runner, 0)
    assert done == updates
    with pytest.raises(UserError, match="update_interval is 0; give a whole number from 1"):
        BYOLHook(update_interval=0)
