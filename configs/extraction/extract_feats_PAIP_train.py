"""PAIP19, first 15 slides: support tiles of the out domain."""
_base_ = 'base.py'
data = dict(extract=dict(data_source=dict(
    list_file='data/PAIP19/meta/paip_train_labeled.txt', root='data/PAIP19/data')))
