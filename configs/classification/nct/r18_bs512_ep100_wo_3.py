"""FSP on NCT without LYM (3): bash tools/dist_train.sh configs/classification/nct/r18_bs512_ep100_wo_3.py 8"""
_base_ = '../../_base_/supervised_r18.py'
data = dict(train=dict(data_source=dict(list_file='data/NCT/meta/wo_3_train_labeled.txt')))
