"""From what the workers hand over to what a model takes: move, augment, normalise, all on the device."""

import torch
from mmengine.model import BaseDataPreprocessor


class Preprocess(BaseDataPreprocessor):
    """Moves a batch of datasets.collate to the device, and finishes and normalises its images there.

    pipeline: transforms.Pipeline, whose `finish` and `normalize` run here, in float32 even under autocast.
    channels_last: memory order of the images.

    Takes dict(images (N, views, H, W, 3) uint8, parameters (N, views, P) float32, labels). Returns dict(images,
    labels): images (N, 3, H, W) float32 for one view, (views, N, 3, H, W) for more; labels (N,) int64, −1 where there
    are none. A dict without `parameters`, as this returns, is returned unchanged.
    """

    def __init__(self, pipeline, channels_last=True):
        super().__init__(non_blocking=True)
        self.pipeline, self.channels_last = pipeline, channels_last

    def forward(self, data, training=False):
        if "parameters" not in data:
            return data
        images = data["images"].to(self.device, non_blocking=True).transpose(0, 1)  # (views, N, H, W, 3) uint8
        views, n = images.shape[:2]
        images = images.flatten(0, 1).permute(0, 3, 1, 2).float()  # channels last in memory, as the arrays came
        parameters = data["parameters"].transpose(0, 1).flatten(0, 1)
        with torch.autocast(self.device.type, enabled=False):  # levels up to 255 need more than bfloat16's 8 bits
            images = self.pipeline.normalize(self.pipeline.finish(images, parameters))
        if not self.channels_last:
            images = images.contiguous()
        images = images.unflatten(0, (views, n)) if views > 1 else images
        return {"images": images, "labels": data["labels"].to(self.device, non_blocking=True)}

    def ahead(self, batches):
        """Yield (batch, what the model takes) for each batch.

        A GPU copies and augments the next batch on a stream of its own while the model trains on this one.
        """
        if self.device.type != "cuda":
            yield from ((batch, self(batch)) for batch in batches)
            return
        stream, waiting = torch.cuda.Stream(), None
        for batch in batches:
            with torch.cuda.stream(stream):
                following = batch, self(batch), stream.record_event()
            if waiting:
                yield self._handed_over(*waiting)
            waiting = following
        if waiting:
            yield self._handed_over(*waiting)

    @staticmethod
    def _handed_over(batch, ready, event):
        trained_on = torch.cuda.current_stream()
        trained_on.wait_event(event)
        for tensor in ready.values():
            tensor.record_stream(trained_on)  # its memory is free again only after the step that reads it
        return batch, ready
