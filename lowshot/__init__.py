"""The method: tasks, base dictionary, latent augmentation, classifiers, and the statistics of few-shot evaluation.

Arrays in, arrays out; importing it needs no torch. Which file holds which rule of the paper: ARCHITECTURE.md.
"""
