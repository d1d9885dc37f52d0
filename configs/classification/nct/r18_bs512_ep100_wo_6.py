"""FSP on NCT without NORM (6): bash tools/dist_train.sh configs/classification/nct/r18_bs512_ep100_wo_6.py 8"""
_base_ = '../../_base_/supervised_r18.py'
data = dict(train=dict(data_source=dict(list_file='data/NCT/meta/wo_6_train_labeled.txt')))
