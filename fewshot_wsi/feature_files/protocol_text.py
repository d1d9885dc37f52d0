"""Text of a protocol that scores imported features at once, without images, weights or lists in other places."""

from collections import Counter

SHOTS, QUERIES, TASKS = (1, 5, 10), 15, 1000
FEWEST_GROUPS = 4  # of every class, from which tasks keep groups apart
CLASSIFIERS = ("Ridge", "logistic_regression", "nearest_centroid")


def protocol_text(name, model, features, list_file, wanted, groups_file=None):
    """Python source that `load_protocol` reads: supports and queries from one set, groups (slides) kept apart
    where there are enough; shots and queries as many as the smallest class allows.

    name: of the data. model: name of the encoder. features, list_file, groups_file: paths. wanted: LabelList.
    """
    fewest = fewest_tiles(wanted)
    queries = max(1, min(QUERIES, fewest // 2))
    shots = tuple(shot for shot in SHOTS if shot + queries <= fewest) or (1,)
    own = wanted.groups or wanted.slides
    grouped = own is not None and fewest_groups(wanted, own) >= FEWEST_GROUPS
    rule = ("'grouped'  # supports and queries of a task are from different groups (slides)" if grouped
            else "'distinct'  # no tile twice in a task; tiles of one slide may be on both sides")
    more = f", groups={str(groups_file)!r}" if groups_file else ""
    more += ", slide=-2" if wanted.slides is not None else ""
    return "\n".join([
        '"""Few-shot tasks on imported features. Written by tools/import_features.py; edit it as you like.',
        "",
        "    python wsi_workdir/run_protocol.py --protocol THIS_FILE",
        "",
        "Latent augmentation needs base features of other tiles: import them with another list, then",
        "`dict_construction.py --model MODEL --base FILE.npy`, and add methods (model, 'latent_aug', classifier).",
        "All keys are explained in fewshot_wsi/meta_test/protocol.py.",
        '"""',
        f"name = {name!r}",
        f"workdir = {str(features.with_name(features.stem + '_workdir'))!r}",
        f"sampling = {rule}",
        f"classes = dict(own={tuple(wanted.classes)!r})",
        f"sets = dict(tiles=dict(list={str(list_file)!r}, classes='own'{more}))",
        f"models = {{{model!r}: dict(features=dict(tiles={str(features)!r}))}}",
        f"dictionary = dict(set='tiles', prefix='own', num_prototypes={min(16, len(wanted))})",
        f"tasks = dict(own=dict(support='tiles', query='tiles', shots={shots!r}, queries={queries}, num_tasks={TASKS},",
        "    methods=(", *(f"        ({model!r}, 'linear', {clf!r})," for clf in CLASSIFIERS), "    )))", ""])


def fewest_tiles(wanted):
    """Tiles of the class that has fewest; a task needs two."""
    counts = Counter(wanted.labels.tolist())
    return min(counts.get(label, 0) for label in range(len(wanted.classes)))


def fewest_groups(wanted, groups):
    """Groups of the class that has fewest."""
    pairs = set(zip(wanted.labels.tolist(), groups, strict=True))
    counts = Counter(label for label, _ in pairs)
    return min(counts.get(label, 0) for label in range(len(wanted.classes)))
