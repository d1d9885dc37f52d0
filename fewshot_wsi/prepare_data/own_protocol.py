"""Text of a protocol file for a data set of one's own: few-shot tasks from the training to the held-out list."""

from dataclasses import dataclass, field
from pathlib import Path

SHOTS = (1, 5, 10)
QUERIES = 15
PROTOTYPES = 16
ENCODERS = ("random", "mean_rgb", "color_histogram")  # need no weights: the protocol runs at once


@dataclass(frozen=True)
class OwnSet:
    name: str
    root: str                # data root, as the lists' paths are relative to it
    meta: Path               # folder of the lists
    classes: tuple           # names in label order
    command: str             # the script that writes it
    train: int = 0           # training images
    fewest_train: int = 0    # images of the smallest class on each side
    fewest_test: int = 0
    groups: str | None = None  # path of the group table
    slide: int | None = None   # which folder of a path names the slide
    mpp: float | None = None   # micrometres a pixel of the tiles
    models: dict = field(default_factory=dict)  # name: (file of its preset, weights), or None: weights of a ResNet
    seed: int = 0


def protocol_text(own):
    """Python source that `load_protocol` reads: shots, queries, prototypes as many as the images allow. Colour encoders
    are scored without augmentation: they are a warning, not a method."""
    shots = tuple(shot for shot in SHOTS if shot <= own.fewest_train)
    queries = min(QUERIES, own.fewest_test)
    models = [f"    {name!r}: dict(encoder={name!r})," for name in ENCODERS if name not in own.models]
    models += [_model_row(own, name, preset) for name, preset in own.models.items()]
    methods = [f"        ({name!r}, {mode!r}, 'Ridge')," for name in (*own.models, *ENCODERS)
               for mode in ("linear", "latent_aug") if mode == "linear" or name not in ENCODERS[1:]]
    groups = f",\n               groups={own.groups!r}" if own.groups else ""
    groups += f", slide={own.slide}" if own.slide is not None else ""
    groups += f", mpp={own.mpp!r}" if own.mpp else ""
    sets = [f"    {side}=dict(list={(own.meta / f'{side}_labeled.txt').as_posix()!r}, root={own.root!r},\n"
            f"               classes='own', config='configs/extraction/extract_feats_NCT_{side}.py'{groups}),"
            for side in ("train", "test")]
    return "\n".join([
        f'"""Few-shot tasks on {_plain(own.name)}: support from its training list, query from its held-out list.',
        "",
        "    python wsi_workdir/run_protocol.py --protocol THIS_FILE",
        "",
        f"Written by {own.command}; configs/protocols/paper.py explains each key. Each row of `models`",
        "is an encoder; weights of your own need a row there and a method below: --models NAME writes both.",
        '"""',
        f"name = {own.name!r}",
        f"workdir = {workdir(own)!r}",
        f"seed = {own.seed}",
        "sampling = 'distinct'  # no image twice in a task",
        f"classes = dict(own={own.classes!r})",
        "sets = dict(", *sets, ")",
        "models = {", *models, "}",
        f"dictionary = dict(set='train', prefix='own', num_prototypes={min(PROTOTYPES, own.train)})",
        "tasks = dict(near=dict(",
        f"    support='train', query='test', shots={shots!r}, queries={queries}, num_tasks=1000,",
        "    methods=(", *methods, "    )))", ""])


def _model_row(own, name, preset):
    if preset is None:
        return f"    {name!r}: dict(),  # weights: {workdir(own)}/pretrained_weights/{name}.pth"
    file, weights = preset
    return f"    {name!r}: dict(encoder={file!r}, weights={weights!r}),"


def workdir(own):
    return f"wsi_workdir/workdir/{own.name}"


def _plain(text):
    return text.replace("\\", "/").replace('"', "'")
