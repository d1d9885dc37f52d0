"""Augmentations by config. Each operation draws its parameters first and then applies them, so that the same draw can
be carried out on one image in a worker (OpenCV) or on a whole batch on the device (torch)."""

from openselfsup.transforms.pipeline import Pipeline, build_pipeline

__all__ = ["Pipeline", "build_pipeline"]
