"""LC25000, 768² tiles: mixture domain."""
_base_ = 'base.py'
data = dict(extract=dict(data_source=dict(
    list_file='data/LC25000/meta/img_list_labeled.txt', root='data/LC25000/data')))
