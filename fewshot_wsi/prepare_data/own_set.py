"""A data set of one's own, once its images are known: lists, classes, groups and a protocol, written together."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import shipped, write_text
from fewshot_wsi.foundation.keys import nearest_known
from fewshot_wsi.foundation.names import visible
from fewshot_wsi.prepare_data.own_protocol import protocol_text
from fewshot_wsi.prepare_data.publish import lists, publish, table


def add_own_options(parser):
    """--name, --held_out, --models and --out."""
    parser.add_argument("--name", required=True, help="name of the data set: letters, digits, _ and -")
    parser.add_argument("--held_out", type=float, default=0.2,
                        help="share of each class held out where no split is given; groups stay whole (default: 0.2)")
    parser.add_argument("--models", nargs="*", default=(), metavar="NAME[=FILE]",
                        help="models of the protocol besides the encoders that need no weights: uni=FILE, weights for "
                        "the preset configs/encoders/uni.py (or mine.py=FILE, a preset of yours); or the name of a "
                        "ResNet whose weights you put in place")
    parser.add_argument("--out", type=Path, help="folder of lists and protocol (default: data/<name>)")


def check_own_options(parser, args):
    """Refuse a bad name, by `parser.error`; fill in the folder, and {name: preset} of the models."""
    if not re.fullmatch(r"[\w-]+", args.name, re.ASCII):
        parser.error("--name holds letters, digits, _ and - only")
    args.out = args.out or Path("data", args.name)
    args.models = dict(map(named_model, args.models))


def named_model(text):
    """(name, (file of its preset, weights)) of 'uni=FILE' or 'mine.py=FILE'; (name, None) of a bare name."""
    name, equals, weights = text.partition("=")
    if not equals:
        return name, None
    file = name if name.endswith(".py") else f"configs/encoders/{name}.py"
    if not shipped(file).is_file():
        known = sorted(path.stem for path in shipped("configs/encoders/uni.py").parent.glob("*.py"))
        raise UserError(f"--models {text}: no preset {file}{nearest_known(name, known)}")
    if not Path(weights).exists():
        raise UserError(f"--models {text}: no such weights {weights!r}")
    return Path(file).stem, (file, weights)


def publish_own(own, names, labels, held, owners, *, overwrite=False):
    """Write the lists `train` and `test`, classes.csv, groups.csv and protocol.py into own.meta; print what they hold.

    own: OwnSet without its counts. names: (N,) str; labels: (N,) int; held: (N,) bool, in the test list; owners: dict
    from kind of `lists.OWNERS` to (N,) names, empty where nothing is known. UserError: a class without images on one
    side, or files there that differ and not `overwrite`."""
    classes = own.classes
    counts = np.array([np.bincount(labels[held == side], minlength=len(classes)) for side in (False, True)])
    refuse_one_sided(counts, classes)
    own = replace(own, train=int(counts[0].sum()), fewest_train=int(counts[0].min()), fewest_test=int(counts[1].min()),
                  groups=(own.meta / "groups.csv").as_posix() if owners else None)
    writers = {**lists("train", names[~held], labels[~held]), **lists("test", names[held], labels[held]),
               **table("classes.csv", ("label", "class", "train", "test"),
                       [(label, name, *counts[:, label]) for label, name in enumerate(classes)]),
               "protocol.py": lambda path: write_text(path, protocol_text(own))}
    if owners:
        writers |= table("groups.csv", ("path", *owners), zip(names, *owners.values(), strict=True))
    report(own, counts, publish(own.meta, writers, overwrite=overwrite))


def refuse_one_sided(counts, classes):
    """counts: (2, C) images of each class in train and test."""
    for side, row in zip(("training", "test"), counts, strict=True):
        absent = [name for name, number in zip(classes, row, strict=True) if not number]
        if absent:
            raise UserError(f"no {side} image of {', '.join(absent)}; every class needs images on both sides")


def report(own, counts, outcome):
    classes = [visible(name) for name in own.classes]
    width = max(map(len, (*classes, "class")))
    print(f"label {'class':{width}}   train    test")
    for label, (name, train, test) in enumerate(zip(classes, *counts, strict=True)):
        print(f"{label:5} {name:{width}} {train:7} {test:7}")
    print(f"{own.meta}: {outcome}")
    print(f"next: python wsi_workdir/run_protocol.py --protocol {own.meta / 'protocol.py'}")
