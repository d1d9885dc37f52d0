"""FSP on NCT without STR (7): bash tools/dist_train.sh configs/classification/nct/r18_bs512_ep100_wo_7.py 8"""
_base_ = '../../_base_/supervised_r18.py'
data = dict(train=dict(data_source=dict(list_file='data/NCT/meta/wo_7_train_labeled.txt')))
