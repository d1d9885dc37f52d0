"""From a checked config to a finished run: the one module that maps OpenSelfSup's vocabulary onto MMEngine's Runner."""

import inspect
import os
import signal
import sys
from pathlib import Path

import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch.nn.parallel import DistributedDataParallel

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.seeds import sequence
from openselfsup import distributed
from openselfsup.amp import bf16_works
from openselfsup.bf16_training import BF16OptimWrapper
from openselfsup.datasets import build_dataset, build_loader, workers_for
from openselfsup.hooks import build_hooks
from openselfsup.models import build_model
from openselfsup.models.preprocess import Preprocess
from openselfsup.optim import build_optimizer
from openselfsup.sampler import BatchSampler
from openselfsup.trainer import Trainer
from openselfsup.transforms import build_pipeline

BASE_GPUS = 8  # the published learning rates are for so many


def train(config, *, work_dir, seed=0, deterministic=False, scale_lr=False):
    """Run `config` (openselfsup.config.load_config) to its end; the processes have been joined before.

    Returns the exit code: 0 at the end and after SIGTERM, 130 after SIGINT, with a checkpoint in both cases.
    scale_lr: multiply the learning rate by processes · update_interval / 8.
    """
    pipeline = train_pipeline(config)
    dataset = build_dataset(config.data.train, pipeline, seed, config.data.on_error, "data.train")
    if distributed.rank() == 0:
        dataset.source.check_files()
    model = make_model(config, pipeline, seed)
    if hasattr(dataset, "check_classes") and hasattr(model, "head"):
        dataset.check_classes(model.head.fc_cls.out_features)
    if model.contrastive != (dataset.views == 2):
        raise UserError(f"{config.model.type} does not train on a {config.data.train.type}; contrastive models take a "
                        "ContrastiveDataset, classification a ClassificationDataset")
    hooks = build_hooks(config)
    wrapper = make_optim_wrapper(model, config, scale_lr)
    trainer = Trainer(
        model=_distribute(model, config), work_dir=work_dir, train_dataloader=_loader(dataset, config, seed),
        train_cfg=dict(max_epochs=config.total_epochs), update_interval=config.optimizer_config.update_interval,
        optim_wrapper=wrapper, custom_hooks=hooks, cfg=config, log_level=config.log_level,
        load_from=config.resume_from or config.load_from, resume=bool(config.resume_from),
        launcher="pytorch" if distributed.world_size() > 1 else "none",
        env_cfg=dict(cudnn_benchmark=config.cudnn_benchmark and not deterministic,
                     mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0)),
        randomness=dict(seed=seed, deterministic=deterministic))
    _announce(trainer, config)
    trainer.train()
    return 130 if trainer.train_loop.stopped_by == signal.SIGINT else 0


def train_pipeline(config):
    """transforms.Pipeline of data.train; with prefetch=True it normalises by img_norm_cfg."""
    section = config.data.train
    if section.prefetch and config.img_norm_cfg is None:
        raise UserError("data.train.prefetch=True needs img_norm_cfg = dict(mean=…, std=…)")
    on_device = config.performance.device_augmentation
    on_device = torch.cuda.is_available() if on_device is None else on_device
    return build_pipeline(section.pipeline, "data.train.pipeline", on_device,
                          config.img_norm_cfg if section.prefetch else None)


def make_model(config, pipeline, seed):
    """The model of `config`, its initial weights set by `seed` alone."""
    with torch.random.fork_rng(devices=[]):  # on the CPU: the other processes' GPUs are left alone
        torch.manual_seed(int(sequence(seed, "train/weights").generate_state(1, "uint64")[0] >> 1))
        model = build_model(config.model.to_dict(), Preprocess(pipeline, config.performance.channels_last))
    if config.performance.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if config.performance.compile:
        for part in (model.encoder_q, model.encoder_k) if model.contrastive else (model.backbone, model.head):
            part.compile()
    return model.to(distributed.device())


def _distribute(model, config):
    if distributed.world_size() == 1:
        return model
    ids = [torch.cuda.current_device()] if torch.cuda.is_available() else None
    known = inspect.signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # its name before 2.14
    return MMDistributedDataParallel(model, device_ids=ids, **{buffers: False})


def make_optim_wrapper(model, config, scale_lr):
    """MMEngine's optimiser wrapper: accumulation, clipping and mixed precision around the optimiser of the config."""
    interval = config.optimizer_config.update_interval
    optimizer = config.optimizer.to_dict()
    if scale_lr:
        optimizer["lr"] *= distributed.world_size() * interval / BASE_GPUS
    clip = config.optimizer_config.grad_clip
    options = dict(optimizer=build_optimizer(model, optimizer), accumulative_counts=interval,
                   clip_grad=dict(clip) if clip else None)
    if not config.performance.amp:
        return OptimWrapper(**options)
    if bf16_works():
        return BF16OptimWrapper(**options)
    return AmpOptimWrapper(dtype="float16", **options) if torch.cuda.is_available() else OptimWrapper(**options)


def _loader(dataset, config, seed):
    here = int(os.environ.get("LOCAL_WORLD_SIZE", distributed.world_size()))
    smallest = 2 if dataset.views == 2 else 1  # BN in the projector cannot normalise a single embedding
    batches = BatchSampler(len(dataset), config.data.imgs_per_gpu, seed, distributed.rank(), distributed.world_size(),
                           smallest)
    if len(batches) == 0:
        raise UserError(f"{dataset.source.list_file}: {len(dataset)} images are too few for one batch")
    return build_loader(dataset, batches, workers_for(config.data.workers_per_gpu, here))


def _announce(trainer, config):
    """Log what the numbers of the config amount to on these processes."""
    loader, processes = trainer.train_dataloader, distributed.world_size()
    interval = config.optimizer_config.update_interval
    batch = config.data.imgs_per_gpu
    log = trainer.logger.info
    log(f"{len(loader.dataset)} images, {len(loader)} iterations an epoch, {loader.num_workers} loader worker(s) a "
        f"process; effective batch size {batch * processes * interval} = {batch} images × {processes} process(es) × "
        f"{interval} iteration(s); learning rate {trainer.optim_wrapper.optimizer.param_groups[0]['initial_lr']:g} "
        f"(published rates are for {BASE_GPUS} processes: --auto_scale_lr)")
    if loader.batch_sampler.left_out:
        log("the last batch of an epoch would be a single image, which BatchNorm cannot take: it is left out")
    if config.performance.amp and not torch.cuda.is_available() and not bf16_works():
        log("performance.amp: this processor has no bfloat16, float32 is used")
    parts = [part for part in config.model.values() if isinstance(part, dict)]
    wants_sync = any(part.get("sync_bn") or (part.get("norm_cfg") or {}).get("type") == "SyncBN" for part in parts)
    if wants_sync and processes > 1 and not distributed.sync_bn_works():
        log("synchronised BatchNorm needs GPUs: here each process normalises its own batch")
    if trainer.on_terminal:  # lines go to the file, the bar to the terminal
        for handler in trainer.logger.handlers:
            if getattr(handler, "stream", None) is sys.stdout:
                handler.setLevel("WARNING")


def latest(work_dir):
    """work_dir/latest.pth; UserError where it is missing: a resume that cannot resume must not start afresh."""
    path = Path(work_dir) / "latest.pth"
    if not path.exists():
        raise UserError(f"{path}: no checkpoint to continue from; leave --continue_training out for a first start")
    return str(path)
