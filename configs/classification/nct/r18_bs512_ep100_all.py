"""FSP on all nine classes of NCT: bash tools/dist_train.sh configs/classification/nct/r18_bs512_ep100_all.py 8"""
_base_ = '../../_base_/supervised_r18.py'
data = dict(train=dict(data_source=dict(list_file='data/NCT/meta/train_labeled.txt')))
