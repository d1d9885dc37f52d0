"""Recipes of CLP for the quick start, side by side on its tiles; add one, and the same command trains what is new.

    python wsi_workdir/run_protocol.py --protocol benchmarks/quickstart_search.py --only near,mixture

Tiles and tasks are the quick start's. What was tried and what came out: benchmarks/README.md, 'Quick start'.
"""
_base_ = '../configs/protocols/quickstart.py'

name = 'quickstart_search'
workdir = 'wsi_workdir/workdir/quickstart_search'

_crop = 'data.train.pipeline.0.'
_recipes = dict(
    clp={},
    clp_sharper={'model.temperature': 0.1},
    clp_softer={'model.temperature': 0.5},
    clp_small_crops={_crop + 'scale': (0.1, 0.5)},
    clp_large_crops={_crop + 'scale': (0.5, 1.0)},
    clp_48={_crop + 'size': 48, 'total_epochs': 14},   # as many seconds
    clp_wide_batch={'data.imgs_per_gpu': 128, 'total_epochs': 28},
    clp_lr_3={'optimizer.lr': 3e-3},
)
_data = '{workdir}/tiles'
_on = {'data.train.data_source.list_file': '{workdir}/meta/wo_8_NCT_train.txt',
       'data.train.data_source.root': f'{_data}/NCT/data'}
images = dict(folder=_data)
_models = {f'{name}_wo_8': dict(config='configs/quickstart/clp.py', options={**_on, **options}, novel=(8,))
           for name, options in _recipes.items()}
models = dict(_delete_=True, color_histogram=dict(encoder='color_histogram'), random=dict(encoder='random'),
              fsp_wo_8=dict(config='configs/quickstart/fsp.py', options=_on, novel=(8,)), **_models)
_methods = tuple((model, mode, 'Ridge') for model in models if model != '_delete_'
                 for mode in (('linear',) if model in ('color_histogram', 'random') else ('linear', 'latent_aug')))
tasks = dict(near=dict(methods=_methods), mixture=dict(methods=_methods))
