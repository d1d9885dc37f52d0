"""Few-shot evaluation with latent augmentation (Yang et al., ICLR 2022) in scikit-learn's conventions.

    tasks = sample_tasks(y, shots=5, groups=slides)
    plain = evaluate(RidgeClassifier(), x, y, tasks)
    latent = LatentAugmentation(RidgeClassifier(), BaseDictionary().fit(base), n_aug=100)
    print(compare(evaluate(latent, x, y, tasks), plain))

Arrays in, arrays out; importing it loads neither torch nor scikit-learn, names are resolved when first used
(`__init__.pyi` lists them). Which file holds which rule of the paper: docs/PAPER_IN_CODE.md.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
