"""Contrastive-learning pre-training, CLP: MoCo-v3 with a ResNet-18, 200 epochs of batches of 256 = 8 processes × 32.

A config over this one sets data.train.data_source.list_file. Published on 8 V100s.
"""
_base_ = '../base.py'

model = dict(
    type='MOCOv3',
    base_momentum=0.996,
    temperature=1.0,
    negatives='local',         # published; 'gathered': keys of all processes, as in MoCo-v3's own code
    momentum_buffers=False,    # published: each encoder keeps its own BN statistics
    backbone=dict(type='ResNet', depth=18, in_channels=3, out_indices=[4], norm_cfg=dict(type='BN')),
    projector=dict(type='NonLinearNeckSimCLR', in_channels=512, hid_channels=1024, out_channels=256, num_layers=3,
                   sync_bn=True, with_bias=False, with_last_bn=True, with_avg_pool=True),
    predictor=dict(type='NonLinearNeckSimCLR', in_channels=256, hid_channels=1024, out_channels=256, num_layers=2,
                   sync_bn=True, with_bias=False, with_last_bn=True, with_avg_pool=False))

img_norm_cfg = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
train_pipeline = [
    dict(type='RandomResizedCrop', size=224, scale=(0.2, 1.0)),
    dict(type='RandomHorizontalFlip'),
    dict(type='RandomAppliedTrans', p=0.8,
         transforms=[dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4)]),
    dict(type='RandomGrayscale', p=0.2),
    dict(type='RandomAppliedTrans', p=0.5, transforms=[dict(type='GaussianBlur', sigma_min=0.1, sigma_max=2.0)]),
    dict(type='RandomAppliedTrans', p=0.2, transforms=[dict(type='Solarization', threshold=128)]),
]
data = dict(
    imgs_per_gpu=256 // 8,
    workers_per_gpu=5,
    train=dict(type='ContrastiveDataset', data_source=dict(type='ImageList', root='data/NCT/data'),
               pipeline=train_pipeline, prefetch=True))  # prefetch: normalised on the device

custom_hooks = [dict(type='BYOLHook', end_momentum=1.0)]
optimizer = dict(type='LARS', lr=0.3, momentum=0.9, weight_decay=1.5e-6, eta=0.001)
lr_config = dict(policy='CosineAnnealing', min_lr=0.0)
checkpoint_config = dict(interval=50)
total_epochs = 200
