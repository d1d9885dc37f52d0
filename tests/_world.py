"""A small world for tests of the few-shot half: lists, features, labels, dictionary and protocol of drawn classes."""

from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.features import unit_length
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.protocol import load_protocol
from fewshot_wsi.meta_test.runs import task_files_of
from lowshot.dictionary import build_dictionary, save_dictionary

DIM = 12
PROTOCOL = """
name = 'world'
workdir = {workdir!r}
seed = 3
classes = dict(organ=('fat', 'gland', 'muscle', 'tumour'))
sets = dict(
    base=dict(list={root!r} + '/base.txt', root={root!r}, classes='organ', config='base.py', slide=0,
              groups={root!r} + '/groups.csv'),
    test=dict(list={root!r} + '/test.txt', root={root!r}, classes='organ', config='test.py', slide=0),
)
models = dict(enc=dict(), enc_wo_3=dict(novel=(3,)))
dictionary = dict(set='base', prefix='B', num_prototypes=4, num_shift_vectors=50)
_all = (('linear', 'Ridge'), ('latent_aug', 'Ridge'), ('linear', 'nearest_centroid'))
tasks = dict(
    near=dict(support='base', query='test', repeat_support=True, shots=(1, 3), num_tasks=60, queries=4,
              novel_classes=(3,), methods=tuple(('enc_wo_{{novel}}', *m) for m in _all)),
    mix=dict(support='base', query='base', shots=(2,), num_tasks=60, queries=4, groups=dict(soft=(0, 1), hard=(2, 3)),
             methods=tuple(('enc', *m) for m in _all)),
    out=dict(support='base', query='test', shots=(2,), num_tasks=60, queries=4, methods=(('enc', 'linear', 'Ridge'),)),
    out_homo=dict(support='base', query='test', shots=(2,), num_tasks=60, queries=4, same_slide=True,
                  methods=(('enc', 'linear', 'Ridge'),)),
    NCT_78_aug=dict(support='base', query='test', shots=(2,), num_tasks=60, queries=4, novel_classes=((2, 3),),
                    methods=(('enc', 'linear', 'Ridge'),)),
)
"""


def make_world(folder, slides=6, per_class=30):
    """Write the world below `folder`; returns (Protocol, path of the protocol file).

    Every slide holds every class; originals are pairs of neighbouring tiles (groups.csv).
    """
    folder = Path(folder)
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((4, DIM))
    workdir = folder / "workdir"
    for name in ("base", "test"):
        labels = np.repeat(np.arange(4), per_class)
        paths = [f"{name}{i % slides}/{label}/tile {i}.png" for i, label in enumerate(labels)]
        write_list(folder / f"{name}.txt", paths, labels)
        features = unit_length(centres[labels] + 1.2 * rng.standard_normal((len(labels), DIM)))[0]
        for model in ("enc", "enc_wo_3"):
            path = workdir / "extracted_feats" / model / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, features)
            if name == "base":
                for novel, inner in (((3,), ""), ((2, 3), "wo_23")):
                    kept = features[~np.isin(labels, novel)]
                    made = build_dictionary(kept, num_prototypes=4, num_shift_vectors=50)
                    save_dictionary(workdir / "dict" / model / inner, "B", made)
        np.save(workdir / "extracted_feats" / f"{name}_labels.npy", labels)
        if name == "base":
            rows = [f"{path},{i // 2}" for i, path in enumerate(paths)]
            (folder / "groups.csv").write_text("\n".join(["path,group", *rows]) + "\n")
    path = folder / "protocol.py"
    path.write_text(PROTOCOL.format(workdir=str(workdir), root=str(folder)))
    return load_protocol(path), path


def make_world_with_tasks(folder):
    """`make_world`, and every task file of its protocol drawn."""
    protocol, path = make_world(folder)
    for plan in task_files_of(protocol):
        make_tasks(plan)
    return protocol, path
