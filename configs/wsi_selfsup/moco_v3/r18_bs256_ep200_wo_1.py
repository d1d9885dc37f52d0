"""CLP on NCT without ADI (1): bash tools/dist_train.sh configs/wsi_selfsup/moco_v3/r18_bs256_ep200_wo_1.py 8"""
_base_ = '../../_base_/moco_v3_r18.py'
data = dict(train=dict(data_source=dict(list_file='data/NCT/meta/wo_1_train.txt')))
