"""The quick start on real tiles, in a folder that --tiles names.

    bash wsi_workdir/scripts/quickstart.sh --tiles DIR

    DIR/CRC5/data/{train,test}/{AC,H,S,T,V}             colorectal lesions: base and near domain, novel class 4 (V)
    DIR/LC25000/data/{colon,lung}_image_sets/<class>    lung and colon: mixture domain; DIR/LC25000/groups.csv
    DIR/PROSTATE3/data/{train,test}/<slide>/{0,1,2}     prostate: out domain
"""
_base_ = '../_base_/four_tasks.py'

name = 'tiles'
workdir = 'wsi_workdir/workdir/tiles'  # or what --workdir says; '{workdir}' stands for it below
seed = 0
images = dict(made_by='folders')

classes = dict(
    CRC5=('AC', 'H', 'S', 'T', 'V'),
    LC25000=('colon_aca', 'colon_n', 'lung_aca', 'lung_n', 'lung_scc'),
    PROSTATE3=('benign', 'gleason_3', 'gleason_4'),  # folders 0, 1, 2
)

_extract = 'configs/quickstart/extract_tiles.py'
_meta = '{workdir}/meta'
sets = dict(
    CRC5_train=dict(list=f'{_meta}/CRC5_train.txt', root='{tiles}/CRC5/data/train', classes='CRC5', config=_extract),
    CRC5_test=dict(list=f'{_meta}/CRC5_test.txt', root='{tiles}/CRC5/data/test', classes='CRC5', config=_extract),
    LC=dict(list=f'{_meta}/LC25000.txt', root='{tiles}/LC25000/data', classes='LC25000', config=_extract,
            groups='{tiles}/LC25000/groups.csv'),
    PROSTATE3_train=dict(list=f'{_meta}/PROSTATE3_train.txt', root='{tiles}/PROSTATE3/data/train',
                         classes='PROSTATE3', config=_extract, slide=0),
    PROSTATE3_test=dict(list=f'{_meta}/PROSTATE3_test.txt', root='{tiles}/PROSTATE3/data/test', classes='PROSTATE3',
                        config=_extract, slide=0),
)


def _trained_on(name):
    return {'data.train.data_source.list_file': f'{_meta}/{name}.txt',
            'data.train.data_source.root': '{tiles}/CRC5/data/train'}


_all, _without_4 = _trained_on('CRC5_train'), _trained_on('wo_4_CRC5_train')
models = dict(
    fsp=dict(config='configs/quickstart/fsp_tiles.py', options=_all),
    clp=dict(config='configs/quickstart/clp_tiles.py', options=_all),
    fsp_wo_4=dict(config='configs/quickstart/fsp_tiles.py', options=_without_4, novel=(4,)),
    clp_wo_4=dict(config='configs/quickstart/clp_tiles.py', options=_without_4, novel=(4,)),
)

dictionary = dict(set='CRC5_train', prefix='CRC5')

tasks = dict(
    near=dict(support='CRC5_train', query='CRC5_test', novel_classes=(4,)),
    mixture=dict(support='LC', query='LC'),
    out=dict(support='PROSTATE3_train', query='PROSTATE3_test'),
    out_homo=dict(support='PROSTATE3_train', query='PROSTATE3_test'),
)
