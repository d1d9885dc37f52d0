"""How well a trained classifier does on a labelled list."""

import numpy as np
import torch
from sklearn.metrics import confusion_matrix, f1_score

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.progress import bar
from openselfsup import distributed
from openselfsup.apis.train import make_model
from openselfsup.checkpoint import fit, load_file, state_of
from openselfsup.datasets import batch_of, build_dataset, build_loader, workers_for, workers_of
from openselfsup.sampler import BatchSampler
from openselfsup.transforms import build_pipeline


def evaluate(config, checkpoint):
    """dict(images, accuracy, f1 (classes,), macro_f1, confusion (classes, classes): rows truth, columns prediction).

    config: checked training config of a Classification model, with data.val; the images are shared out over the
    processes, and every process returns the same. Fractions 0 … 1.
    """
    if config.model.type != "Classification":
        raise UserError(f"{config.model.type} predicts no classes; extract its features with "
                        "wsi_workdir/extract.py")
    section = config.data.val
    if section is None:
        raise UserError("the config has no data.val; give data.val.data_source.list_file and root by --cfg-options")
    normalize = config.img_norm_cfg if section.prefetch else None
    pipeline = build_pipeline(section.pipeline, "data.val.pipeline", normalize=normalize)
    dataset = build_dataset(section, pipeline, 0, config.data.on_error, "data.val")
    dataset.source.check_files()
    model = make_model(config, pipeline, 0).eval()
    dataset.check_classes(model.head.fc_cls.out_features)
    fit(model, state_of(load_file(checkpoint), checkpoint), checkpoint)
    predictions = _predict(model, dataset, config)
    return _scores(dataset.source.labels, predictions, model.head.fc_cls.out_features)


@torch.no_grad()
def _predict(model, dataset, config):
    """(N,) int64 predicted labels of all images, on every process."""
    processes = distributed.world_size()
    batches = BatchSampler(len(dataset), config.data.imgs_per_gpu, 0, distributed.rank(), processes, shuffle=False)
    loader = build_loader(dataset, batches, workers_for(config.data.workers_per_gpu, processes))
    parts = []
    with workers_of(loader):
        for batch in bar(loader, desc="evaluating", unit="batch", quiet=distributed.rank() != 0):
            data = model.data_preprocessor(batch_of(batch))
            parts.append(model(data["images"], mode="predict").argmax(1).cpu().numpy())
    shares = distributed.gather_objects(np.concatenate(parts))
    return np.stack(shares, 1).ravel()[:len(dataset)]  # process r had the images r, r + world, …


def _scores(labels, predictions, classes):
    names = range(classes)
    f1 = f1_score(labels, predictions, labels=names, average=None, zero_division=0)
    present = np.unique(labels)
    confusion = confusion_matrix(labels, predictions, labels=names)
    return dict(images=len(labels), accuracy=float((labels == predictions).mean()), f1=f1.tolist(),
                macro_f1=float(f1[present].mean()), confusion=confusion.tolist())


def report(scores):
    """The scores as lines of text, in percent; a class that no image has is left out of the mean F1."""
    lines = [f"{scores['images']} images: accuracy {100 * scores['accuracy']:.2f} %, mean F1 "
             f"{100 * scores['macro_f1']:.2f} %", "class  F1 %   confusion (rows: truth, columns: prediction)"]
    width = max(len(str(max(row))) for row in scores["confusion"]) + 1
    for label, (f1, row) in enumerate(zip(scores["f1"], scores["confusion"], strict=True)):
        lines.append(f"{label:5d} {100 * f1:6.2f}  " + "".join(f"{count:{width}d}" for count in row))
    return "\n".join(lines)
