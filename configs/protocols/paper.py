"""The published protocol (Yang et al., ICLR 2022): NCT as base, near, mixture (LC25000) and out (PAIP19) domain.

    python wsi_workdir/run_protocol.py --protocol configs/protocols/paper.py

329 runs, and with --ablation full the 53 variations of the ablation. Every path below may be replaced by your own; a
copy of this file with other sets and classes is a protocol of your own (tools/prepare_data/folder.py writes one).
"""
name = 'paper'
workdir = 'wsi_workdir/workdir'  # features, tasks, dictionaries and results go below it
seed = 0
sampling = 'published'  # or distinct, grouped, disjoint: see lowshot/sampling.py
group_weight = 'tiles'  # 'grouped' asks about slides or patients in proportion to their tiles, or 'equal'
open = 'formula'  # how open intervals are made, or bootstrap, in 100 times the time: see docs/REPORT.md

classes = dict(  # in label order: label 0 first
    NCT=('BACK', 'ADI', 'DEB', 'LYM', 'MUC', 'MUS', 'NORM', 'STR', 'TUM'),
    LC25000=('colon_aca', 'colon_n', 'lung_aca', 'lung_n', 'lung_scc'),
    PAIP19=('outside', 'whole', 'viable'),  # outside any tumour, whole but not viable tumour, viable tumour
)

# what makes a list that is missing
images = dict(made_by='commands', NCT_train='python tools/prepare_data/nct.py',
              NCT_test='python tools/prepare_data/nct.py',
              LC='python tools/prepare_data/lc25000.py --archive LC25000.zip',
              PAIP_train='python tools/prepare_data/paip19.py --slides SLIDES',
              PAIP_test='python tools/prepare_data/paip19.py --slides SLIDES')

_extract = 'configs/extraction/extract_feats_'
sets = dict(
    NCT_train=dict(list='data/NCT/meta/train_labeled.txt', root='data/NCT/data', classes='NCT',
                   config=_extract + 'NCT_train.py', views=_extract + 'NCT_aug.py'),  # views: augmented, for aug_times
    NCT_test=dict(list='data/NCT/meta/test_labeled.txt', root='data/NCT/data', classes='NCT',
                  config=_extract + 'NCT_test.py'),
    LC=dict(list='data/LC25000/meta/img_list_labeled.txt', root='data/LC25000/data', classes='LC25000',
            config=_extract + 'LC.py'),
    PAIP_train=dict(list='data/PAIP19/meta/paip_train_labeled.txt', root='data/PAIP19/data', classes='PAIP19',
                    config=_extract + 'PAIP_train.py', slide=0),  # <slide>/<class>/<x>+<y>+<class>.png
    PAIP_test=dict(list='data/PAIP19/meta/paip_test_labeled.txt', root='data/PAIP19/data', classes='PAIP19',
                   config=_extract + 'PAIP_test.py', slide=0),
)

_fsp = 'configs/classification/nct/r18_bs512_ep100_'
_clp = 'configs/wsi_selfsup/moco_v3/r18_bs256_ep200_'
models = dict(
    fsp=dict(config=_fsp + 'all.py'),
    clp=dict(config=_clp + 'all.py'),
    clp_wo_78=dict(config=_clp + 'wo_78.py', novel=(7, 8)),
    **{f'fsp_wo_{i}': dict(config=f'{_fsp}wo_{i}.py', novel=(i,)) for i in range(9)},
    **{f'clp_wo_{i}': dict(config=f'{_clp}wo_{i}.py', novel=(i,)) for i in range(9)},
)

classifiers = dict()  # beside the project's own (`--clf`), as svm=dict(type='sklearn.svm.SVC', C=10.0)
dictionary = dict(set='NCT_train', prefix='NCT', num_prototypes=16, num_shift_vectors=2000, iterations=20,
                  kmeans_seed=66)

_five = (('linear', 'Ridge'), ('latent_aug', 'Ridge'), ('linear', 'logistic_regression'),
         ('latent_aug', 'logistic_regression'), ('linear', 'nearest_centroid'))
_three = (('fsp', 'linear', 'Ridge'), ('clp', 'linear', 'Ridge'), ('clp', 'latent_aug', 'Ridge'))
_wo = 'clp_wo_{novel}'
_ablation = (  # i views of a tile are the original and i - 1 augmented ones
    *((_wo, 'latent_aug', 'Ridge', dict(num_prototypes=2**k)) for k in range(1, 9)),
    *((_wo, 'latent_aug', 'Ridge', dict(num_aug_shots=i**2)) for i in range(2, 17)),
    *((_wo, 'linear', 'Ridge', dict(aug_times=i**2)) for i in range(2, 17)),
    *((_wo, 'latent_aug', 'Ridge', dict(aug_times=i, num_aug_shots=i)) for i in range(2, 17)),
)
tasks = dict(
    near=dict(support='NCT_train', query='NCT_test', repeat_support=True, shots=(1, 5, 10), num_tasks=1000,
              novel_classes=tuple(range(9)),
              methods=tuple((m, *way) for m in ('fsp_wo_{novel}', 'clp_wo_{novel}') for way in _five)),
    mixture=dict(support='LC', query='LC', shots=(1, 5, 10), num_tasks=1000,
                 groups=dict(colon=(0, 1), lung=(2, 3, 4)),
                 methods=tuple((m, *way) for m in ('fsp', 'clp') for way in _five)),
    out=dict(support='PAIP_train', query='PAIP_test', shots=(1, 5, 10, 50, 100), num_tasks=1000, methods=_three),
    out_homo=dict(support='PAIP_train', query='PAIP_test', shots=(5, 10, 50, 100), num_tasks=1000, same_slide=True,
                  methods=_three),
    NCT_78_aug=dict(support='NCT_train', query='NCT_test', shots=(5,), more_shots=(1, 10), num_tasks=300,
                    novel_classes=((7, 8),), methods=((_wo, 'linear', 'Ridge'), (_wo, 'latent_aug', 'Ridge')),
                    variations=_ablation),
)
