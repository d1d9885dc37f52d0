"""Training tiles of NCT-CRC-HE-100K: base domain, support tiles of the near domain."""
_base_ = 'base.py'
data = dict(extract=dict(data_source=dict(
    list_file='data/NCT/meta/train_labeled.txt', root='data/NCT/data')))
