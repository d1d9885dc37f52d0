"""Trainer and encoders of Few-shot-WSI: MoCo-v3 (CLP) and supervised (FSP) pre-training, feature extraction.

Importing the package itself needs no torch; its modules do. See ARCHITECTURE.md.
"""

from fewshot_wsi import __version__  # noqa: F401 (one version of all)

FIXED_ENCODERS = ("mean_rgb", "color_histogram", "random")  # that need no weights
