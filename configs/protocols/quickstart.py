"""The whole method in minutes on synthetic tiles: does everything work on this machine? Its figures mean nothing else.

    bash wsi_workdir/scripts/quickstart.sh

Published structure and names, with one novel class (8, TUM), 100 tasks a setting, minutes of training and tiles of 64²
that the project draws itself (fewshot_wsi/pipeline/drawn.py): form tells the classes apart, stain does not.
"""
_base_ = '../_base_/four_tasks.py'

name = 'quickstart'
workdir = 'wsi_workdir/workdir/quickstart'  # or what --workdir says; '{workdir}' stands for it below
seed = 0

_data = '{workdir}/tiles'
images = dict(made_by='drawn', folder=_data, size=64, train=200, test=60, groups=60, siblings=2, slides=5,
              per_slide=20, purity=0.65)

classes = dict(
    NCT=('BACK', 'ADI', 'DEB', 'LYM', 'MUC', 'MUS', 'NORM', 'STR', 'TUM'),
    LC25000=('colon_aca', 'colon_n', 'lung_aca', 'lung_n', 'lung_scc'),
    PAIP19=('outside', 'whole', 'viable'),
)

_extract = 'configs/quickstart/extract.py'
sets = dict(
    NCT_train=dict(list=f'{_data}/NCT/meta/train_labeled.txt', root=f'{_data}/NCT/data', classes='NCT',
                   config=_extract),
    NCT_test=dict(list=f'{_data}/NCT/meta/test_labeled.txt', root=f'{_data}/NCT/data', classes='NCT', config=_extract),
    LC=dict(list=f'{_data}/LC25000/meta/img_list_labeled.txt', root=f'{_data}/LC25000/data', classes='LC25000',
            config=_extract, groups=f'{_data}/LC25000/meta/groups.csv'),
    PAIP_train=dict(list=f'{_data}/PAIP19/meta/paip_train_labeled.txt', root=f'{_data}/PAIP19/data', classes='PAIP19',
                    config=_extract, slide=0),
    PAIP_test=dict(list=f'{_data}/PAIP19/meta/paip_test_labeled.txt', root=f'{_data}/PAIP19/data', classes='PAIP19',
                   config=_extract, slide=0),
)


def _trained_on(name):
    return {'data.train.data_source.list_file': name, 'data.train.data_source.root': f'{_data}/NCT/data'}


# One training of each kind serves all tasks: the minutes go into two encoders that never saw the novel class.
_without_8 = _trained_on('{workdir}/meta/wo_8_NCT_train.txt')
models = dict(
    fsp_wo_8=dict(config='configs/quickstart/fsp.py', options=_without_8, novel=(8,)),
    clp_wo_8=dict(config='configs/quickstart/clp.py', options=_without_8, novel=(8,)),
)

dictionary = dict(set='NCT_train', prefix='NCT')

_ways = (('linear', 'Ridge'), ('latent_aug', 'Ridge'), ('linear', 'logistic_regression'),
         ('latent_aug', 'logistic_regression'), ('linear', 'nearest_centroid'))
_methods = (*((model, *way) for model in models for way in _ways), ('color_histogram', 'linear', 'Ridge'),
            ('random', 'linear', 'Ridge'))
tasks = dict(
    near=dict(support='NCT_train', query='NCT_test', novel_classes=(8,)),
    mixture=dict(support='LC', query='LC', methods=_methods),
    out=dict(support='PAIP_train', query='PAIP_test', methods=_methods),
    out_homo=dict(support='PAIP_train', query='PAIP_test', methods=_methods),
)
