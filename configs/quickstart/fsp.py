"""The quick start's supervised pre-training: the published model on 48² crops of synthetic tiles, a minute or two."""
_base_ = '../_base_/supervised_r18.py'

_normalize = dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
_data = 'wsi_workdir/workdir/quickstart/tiles/NCT'
data = dict(
    imgs_per_gpu=32,
    workers_per_gpu=1,
    train=dict(data_source=dict(list_file=f'{_data}/meta/train_labeled.txt', root=f'{_data}/data'), pipeline=[
        dict(type='RandomResizedCrop', size=48, scale=(0.2, 1.0)), dict(type='RandomHorizontalFlip'),
        dict(type='ToTensor'), _normalize]),
    val=dict(data_source=dict(list_file=f'{_data}/meta/test_labeled.txt', root=f'{_data}/data'), pipeline=[
        dict(type='Resize', size=64), dict(type='ToTensor'), _normalize]))
optimizer = dict(lr=0.03, weight_decay=1e-4)
lr_config = dict(_delete_=True, policy='CosineAnnealing', min_lr=0.0, warmup='linear', warmup_iters=1,
                 warmup_by_epoch=True)  # steps too few for the published ones
log_config = dict(interval=50)
checkpoint_config = dict(interval=100)
total_epochs = 10
