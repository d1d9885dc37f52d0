"""Options that the commands which use a classifier share: its encoder and how it is fitted."""

from fewshot_wsi.foundation.numbers import positive


def add_encoder_options(add):
    """What turns tiles into features. add: `add_argument` of a group."""
    add("--encoder", metavar="E", help="preset such as configs/encoders/uni.py, or mean_rgb, color_histogram, random")
    add("--pretrained", metavar="FILE", help="its weights")
    add("--config", metavar="FILE", help="extraction config of encoders without a preset (default: 224 pixels)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--runtime", choices=("torch", "openvino"), default="torch", help="what computes networks on a CPU")
    add("--trust", action="store_true", help="run weights that are a program (TorchScript)")


def add_augmentation_options(add, support):
    """Of latent augmentation. support: what a labelled tile is called."""
    add("--num_prototypes", type=positive, metavar="K", help="--base: clusters (default 16)")
    add("--num_aug_shots", type=positive, metavar="A",
        help=f"latent_aug: features a {support} stands for (default 100)")
    add("--latent", choices=("sampled", "expected"), help="latent_aug: draws, or their expectation (default sampled)")


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
