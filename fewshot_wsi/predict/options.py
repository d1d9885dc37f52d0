"""Options that the commands which use labelled tiles and a classifier share: one name and one help for one thing."""

from fewshot_wsi.foundation.declared import option
from fewshot_wsi.foundation.device import DEVICES
from fewshot_wsi.foundation.numbers import natural, positive
from lowshot.classifiers import classifiers

ROWS = "names of the features' rows: a list (default: the one in the features' JSON)"
GROUPS = "path,group: slide or patient of each image"
CLASSES = "class names in label order (default: sorted)"
LABELED = ("--support", "--labeled")  # one option by two names


def add_features_options(add):
    """Of commands that choose among the rows of one features file."""
    add("features", metavar="FEATURES.npy", help="features of the tiles (wsi_workdir/extract.py)")
    add("--list", metavar="LIST", help=ROWS)
    add("--groups", metavar="CSV", help=GROUPS)


def add_classifier_option(add, default=None, usual="Ridge", of_base=True):
    """default: None where the option is to show whether it was given; usual: what it then is. of_base: whether
    classifiers that look at base features are among them."""
    known = [name for name, one in classifiers().items() if of_base or not one.uses_base]
    add("--clf", default=default, metavar="C", choices=known, help=f"classifier: {', '.join(known)} (default {usual})")


def add_seed_option(add, default=None):
    add("--seed", type=natural, default=default, metavar="S", help="of all random numbers (default 0)")


def add_encoder_options(add):
    """What turns tiles into features. add: `add_argument` of a group."""
    add("--encoder", metavar="E", help="preset such as configs/encoders/uni.py, or mean_rgb, color_histogram, random")
    add("--pretrained", metavar="FILE", help="its weights")
    add("--config", metavar="FILE", help="extraction config of encoders without a preset (default: 224 pixels)")
    add("--device", choices=DEVICES, default="auto")
    add("--runtime", choices=("torch", "openvino"), default="torch", help="what computes networks on a CPU")
    add("--trust", action="store_true", help="run weights that are a program (TorchScript)")


def add_mode_option(add):
    from fewshot_wsi.meta_test.settings import RunSettings  # here, not above: select_tiles.py starts without it
    add("--mode", **option(RunSettings, "mode", default=None))


def add_augmentation_options(add):
    """Of latent augmentation; each is None where it is not given."""
    from fewshot_wsi.meta_test.protocol import DictionarySettings, TaskFamily
    from fewshot_wsi.meta_test.settings import RunSettings

    add("--num_prototypes", metavar="K", **{**option(DictionarySettings, "num_prototypes", default=None),
                                            "type": positive})
    add("--num_aug_shots", metavar="A", **{**option(TaskFamily, "num_aug_shots", default=None), "type": positive})
    add("--latent", **option(RunSettings, "latent", default=None))


def check_fit_options(parser, args, fit, source):
    """Refuse options of fitting that do not belong together. fit: names of those that --head has no use for;
    source: the option that names labelled tiles, to which they belong."""
    if args.head:
        given = [name for name in fit if getattr(args, name) is not None]
        if given:
            parser.error(f"--{given[0]} belongs to {source}; the classifier of --head is fitted already")
    if args.num_prototypes and not args.base:
        parser.error("--num_prototypes belongs to --base")
    if (args.num_aug_shots or args.latent) and args.mode in (None, "linear"):
        parser.error("--num_aug_shots and --latent belong to --mode latent_aug")
    if args.coverage is not None and not 0 < args.coverage < 1:
        parser.error("--coverage lies between 0 and 1")
