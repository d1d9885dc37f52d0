"""What the protocols of the quick start share: four kinds of task with the published methods, 100 tasks a setting.

Beside them what takes no training: colour alone, and random weights. A protocol adds each task's sets, the novel class
of near, and the trained models.
"""
models = dict(color_histogram=dict(encoder='color_histogram'), random=dict(encoder='random'))
_ways = (('linear', 'Ridge'), ('latent_aug', 'Ridge'), ('linear', 'logistic_regression'),
         ('latent_aug', 'logistic_regression'), ('linear', 'nearest_centroid'))
_untrained = tuple((model, 'linear', 'Ridge') for model in models)
_near = tuple((model, *way) for model in ('fsp_wo_{novel}', 'clp_wo_{novel}') for way in _ways) + _untrained
_others = tuple((model, *way) for model in ('fsp', 'clp') for way in _ways) + _untrained
tasks = dict(
    near=dict(repeat_support=True, shots=(1, 5, 10), num_tasks=100, methods=_near),
    mixture=dict(shots=(1, 5, 10), num_tasks=100, groups=dict(colon=(0, 1), lung=(2, 3, 4)), methods=_others),
    out=dict(shots=(1, 5, 10), num_tasks=100, methods=_others),
    out_homo=dict(shots=(5, 10), num_tasks=100, same_slide=True, methods=_others),
)
