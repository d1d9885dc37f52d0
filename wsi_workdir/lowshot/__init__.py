"""Few-shot half of Few-shot-WSI: features, tasks, dictionary, latent augmentation, classifiers, statistics.

Arrays in, arrays out; importing it needs neither torch nor `openselfsup`. See ARCHITECTURE.md.
"""

__version__ = "1.0.0"
