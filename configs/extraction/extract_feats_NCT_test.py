"""Test tiles of NCT-CRC-HE-100K: query tiles of the near domain."""
_base_ = 'base.py'
data = dict(extract=dict(data_source=dict(
    list_file='data/NCT/meta/test_labeled.txt', root='data/NCT/data')))
