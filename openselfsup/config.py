"""Training configs in OpenSelfSup's vocabulary: read, completed with defaults, checked to the last key."""

import math

from mmengine.config import Config

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import shipped
from fewshot_wsi.foundation.keys import check_keys, nearest_known
from fewshot_wsi.foundation.python_config import read_python_config
from openselfsup.schedule import check_schedule

# Every key with a meaning, and its default; ... stands for one that a config must set.
KEYS = dict(
    model=..., data=..., optimizer=..., lr_config=..., total_epochs=...,
    optimizer_config={}, checkpoint_config={}, log_config={}, custom_hooks=[], performance={}, dist_params={},
    img_norm_cfg=None,       # dict(mean, std) that the device applies where a data set says prefetch=True
    cudnn_benchmark=True, log_level="INFO", load_from=None, resume_from=None,
    workflow=[("train", 1)], train_cfg={}, test_cfg={},  # of the published base file; only these values
)
SECTIONS = dict(
    optimizer_config=dict(update_interval=1,   # gradients of so many iterations are averaged before a step
                          grad_clip=None),     # dict(max_norm=…) or None
    checkpoint_config=dict(interval=1,         # epoch_N.pth after every so many epochs, and after the last
                           latest_interval=1,  # latest.pth after every so many epochs
                           latest_minutes=15,  # and in mid-epoch when the last one is so old; None: never
                           keep=None),         # so many epoch_N.pth at most, the newest; None: all
    log_config=dict(interval=50, hooks=[dict(type="TextLoggerHook"), dict(type="TensorboardLoggerHook")]),
    performance=dict(channels_last=True,
                     amp=False,                # True: bf16; without it fp16 with a loss scale (GPU), float32 (CPU)
                     compile=False,            # torch.compile of the training step's forward
                     device_augmentation=None),  # None: on GPUs; worker decodes and crops, the device does the rest
    dist_params=dict(backend="nccl"),
    data=dict(imgs_per_gpu=..., workers_per_gpu=2, train=..., val=None, on_error="raise"),
)
DATASET_KEYS = ("type", "data_source", "pipeline", "prefetch")
# Names that the published config files use for their own intermediate values.
HELPERS = ("batch_size", "data_source_cfg", "data_root", "data_list", "data_train_list", "data_train_root",
           "data_test_list", "data_test_root", "dataset_type", "train_pipeline", "test_pipeline", "prefetch")


def load_config(path, options=None):
    """Config (attribute access) from a file, with `options` (dict of dotted keys) on top.

    UserError where the file is missing or does not run, or a key is unknown; the nearest valid name is given.
    """
    config = Config(read_python_config(path, "config"), filename=str(shipped(path)))
    for key in options or {}:
        if key.partition(".")[0] in HELPERS:
            raise UserError(f"--cfg-options {key}: a name that the config file uses only for itself; set the key that "
                            "it ends up in, such as data.train.pipeline or data.imgs_per_gpu")
    try:
        config.merge_from_dict(dict(options or {}))
    except (KeyError, TypeError, IndexError, AssertionError) as error:
        raise UserError(f"--cfg-options: {error} does not fit {path}") from None
    for key in [key for key in config if key in HELPERS or key.startswith("_")]:
        config.pop(key)
    complete(config, str(path))
    return config


def complete(config, where="config"):
    """Fill in defaults and check every key of `config`, in place."""
    _published_amp(config, where)
    check_keys(dict(config), KEYS, where)
    _defaults(config, KEYS, where)
    for name, keys in SECTIONS.items():
        check_keys(config[name], keys, f"{where}: {name}")
        _defaults(config[name], keys, f"{where}: {name}")
    if config.workflow != KEYS["workflow"] and [tuple(w) for w in config.workflow] != KEYS["workflow"]:
        raise UserError(f"{where}: workflow {config.workflow}: only [('train', 1)] is supported; to watch a run add a "
                        "KNNHook to custom_hooks")
    if config.train_cfg or config.test_cfg:
        raise UserError(f"{where}: train_cfg and test_cfg have no meaning for these models; leave them empty")
    for name in ("train", "val"):
        if config.data[name] is not None:
            check_keys(config.data[name], DATASET_KEYS, f"{where}: data.{name}")
            _defaults(config.data[name], dict(type=..., data_source=..., pipeline=..., prefetch=False),
                      f"{where}: data.{name}")
    check_schedule(config.lr_config)
    _check_numbers(config, where)
    _check_switches(config.performance, f"{where}: performance")
    if config.optimizer_config.grad_clip:
        check_keys(config.optimizer_config.grad_clip, ("max_norm", "norm_type"), f"{where}: optimizer_config.grad_clip")


def _published_amp(config, where):
    """`use_fp16`, here or in optimizer_config, becomes performance.amp; UserError where the two disagree."""
    asked = [section.pop("use_fp16") for section in (config, config.get("optimizer_config", {}))
             if "use_fp16" in section]
    if not all(isinstance(value, bool) for value in asked):
        raise UserError(f"{where}: use_fp16 is {next(v for v in asked if not isinstance(v, bool))!r}; give True or "
                        "False")
    if any(asked):
        config.setdefault("performance", {})
        config.performance.setdefault("amp", True)
        if config.performance.amp is False:
            raise UserError(f"{where}: use_fp16=True and performance.amp=False contradict each other; both mean mixed "
                            "precision: leave one out")


def _defaults(section, keys, where):
    for key, default in keys.items():
        if default is ... and key not in section:
            raise UserError(f"{where}: the key {key!r} is missing")
        section.setdefault(key, default)


def _check_numbers(config, where):
    for name, value, least in (("total_epochs", config.total_epochs, 1),
                               ("data.imgs_per_gpu", config.data.imgs_per_gpu, 1),
                               ("data.workers_per_gpu", config.data.workers_per_gpu, 0),
                               ("optimizer_config.update_interval", config.optimizer_config.update_interval, 1),
                               ("checkpoint_config.interval", config.checkpoint_config.interval, 1),
                               ("checkpoint_config.latest_interval", config.checkpoint_config.latest_interval, 1),
                               ("log_config.interval", config.log_config.interval, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise UserError(f"{where}: {name} is {value!r}; give a whole number from {least}")
    _check_optimizer(config.optimizer, where)
    for hook in config.log_config.hooks:
        known = ("TextLoggerHook", "TensorboardLoggerHook")
        if hook.get("type") not in known:
            raise UserError(f"{where}: log_config.hooks: unknown type {hook.get('type')!r}"
                            f"{nearest_known(hook.get('type'), known)}")


def _check_optimizer(optimizer, where):
    """UserError for a rate of the optimiser that is no number, as after `--cfg-options optimizer.lr=abc`."""
    for name in ("lr", "momentum", "weight_decay", "eta"):
        value = optimizer.get(name, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise UserError(f"{where}: optimizer.{name} is {value!r}; give a number from 0")


def _check_switches(section, where):
    for name, value in section.items():
        if not isinstance(value, bool) and value != SECTIONS["performance"][name]:
            raise UserError(f"{where}.{name} is {value!r}; give True or False")
