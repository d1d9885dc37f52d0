import copy

import numpy as np
import torch
import torch.distributed as dist
from mmengine.hooks import Hook

from fewshot_wsi.foundation.errors import UserError
from openselfsup import distributed
from openselfsup.bf16_training import BF16OptimWrapper
from openselfsup.datasets import ClassificationDataset, TrainingImages, batch_of, build_loader, workers_of
from openselfsup.hooks.record import RecordHook
from openselfsup.knn import check_neighbours, knn_accuracy
from openselfsup.models.preprocess import Preprocess
from openselfsup.sampler import BatchSampler
from openselfsup.transforms import build_pipeline


class KNNHook(Hook):
    """k-nearest-neighbour accuracy (cosine) of the frozen backbone before training and every `interval` epochs.

    list_file, root: labelled images. test_list_file: the queries, with list_file as their neighbours; without it every
    image of list_file is a query among the others. size: images become size × size pixels. mean, std: normalisation.
    """

    priority = "VERY_LOW"

    def __init__(self, list_file, root, test_list_file=None, interval=1, k=20, size=224, batch_size=64, workers=2,
                 mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
        if interval < 1 or k < 1:
            raise UserError(f"KNNHook: interval {interval} and k {k} are whole numbers from 1")
        steps = [dict(type="Resize", size=(size, size)), dict(type="ToTensor"),
                 dict(type="Normalize", mean=mean, std=std)]
        self.pipeline = build_pipeline(steps, "KNNHook")
        self.interval, self.k, self.batch_size, self.workers = interval, k, batch_size, workers
        files = [list_file] if test_list_file is None else [list_file, test_list_file]
        self.sets = [ClassificationDataset(TrainingImages(file, root), self.pipeline) for file in files]
        check_neighbours(k, len(self.sets[0]) - (len(self.sets) == 1))
        for images in self.sets:
            images.source.check_files()

    def before_train(self, runner):
        if runner.iter == 0:
            self._measure(runner)

    def after_train_epoch(self, runner):
        if (runner.epoch + 1) % self.interval == 0 or runner.epoch + 1 == runner.max_epochs:
            self._measure(runner)

    def _measure(self, runner):
        backbone = copy.deepcopy(runner.bare_model.backbone).eval()
        if distributed.world_size() > 1:  # each process has its own running statistics: process 0's count
            for buffer in backbone.buffers():
                dist.broadcast(buffer, 0)
        half = isinstance(runner.optim_wrapper, BF16OptimWrapper)  # as in training
        with torch.autocast(distributed.device().type, torch.bfloat16, half):
            features = [self._features(backbone, images) for images in self.sets]
        if distributed.rank() == 0:
            labels = [images.source.labels for images in self.sets]
            accuracy = knn_accuracy(features[0], labels[0], features[-1], labels[-1], self.k, same=len(self.sets) == 1)
            record = next(hook for hook in runner.hooks if isinstance(hook, RecordHook))
            record.scalars(runner, {"knn_accuracy": accuracy})

    @torch.no_grad()
    def _features(self, backbone, images):
        """(N, D) average-pooled features of all images, on every process."""
        processes = distributed.world_size()
        batches = BatchSampler(len(images), self.batch_size, 0, distributed.rank(), processes, shuffle=False)
        preprocess = Preprocess(self.pipeline).to(distributed.device())
        with workers_of(build_loader(images, batches, self.workers)) as loader:
            parts = [backbone(preprocess(batch_of(batch))["images"]).mean((2, 3)).float().cpu().numpy()
                     for batch in loader]
        shares = distributed.gather_objects(np.concatenate(parts))
        return np.stack(shares, 1).reshape(-1, shares[0].shape[1])[:len(images)]  # process r had r, r + world, …
