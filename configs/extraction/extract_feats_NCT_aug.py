r"""Augmented views of NCT's training tiles, for the data-augmentation ablation. Files NCT_aug_0.npy, NCT_aug_1.npy, …

    python wsi_workdir/extract.py --pretrained wsi_workdir/workdir/pretrained_weights/clp_wo_78.pth \
        --config configs/extraction/extract_feats_NCT_aug.py --views 15 --rows TASKS.npz \
        --output wsi_workdir/workdir/extracted_feats/clp_wo_78/NCT_aug/NCT_aug.npy
"""
_base_ = 'extract_feats_NCT_train.py'
data = dict(extract=dict(pipeline=[
    dict(type='RandomResizedCrop', size=224, scale=(0.8, 1.0)),
    dict(type='RandomHorizontalFlip'),
    dict(type='RandomAppliedTrans', p=0.8, transforms=[
        dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2)]),
    dict(type='ToTensor'),
    dict(type='Normalize', mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
]))
