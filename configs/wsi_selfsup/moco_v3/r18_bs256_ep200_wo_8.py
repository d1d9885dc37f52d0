"""CLP on NCT without TUM (8): bash tools/dist_train.sh configs/wsi_selfsup/moco_v3/r18_bs256_ep200_wo_8.py 8"""
_base_ = '../../_base_/moco_v3_r18.py'
data = dict(train=dict(data_source=dict(list_file='data/NCT/meta/wo_8_train.txt')))
