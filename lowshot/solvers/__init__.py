"""Arithmetic that classifiers share: the augmented features of tasks without writing them all down, minimisers, GPU.

    augmented, shift_space      the augmented features of one task as an operator, and the basis they are held in
    descent                     minimisers of logistic regression and of least squares
    many                        sampled augmentation of many tasks at once, on a GPU
"""
