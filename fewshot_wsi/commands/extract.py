"""Extract features: tiles of a list through an encoder, one row of unit length a tile.

Published form, one set:
  python wsi_workdir/extract.py --pretrained wsi_workdir/workdir/pretrained_weights/clp.pth \\
      --config configs/extraction/extract_feats_LC.py --output wsi_workdir/workdir/extracted_feats/clp/LC.npy
All sets that a model's tasks need, paths from the protocol:
  python wsi_workdir/extract.py --protocol configs/protocols/paper.py --model clp
Any encoder with a preset in configs/encoders, its weights on disk:
  python wsi_workdir/extract.py --encoder configs/encoders/uni.py --pretrained uni/pytorch_model.bin \\
      --list tiles.txt --root tiles --output uni/tiles.npy
All tiles of a folder, by their colours alone, as a baseline:
  python wsi_workdir/extract.py --encoder color_histogram --list tiles --output features/tiles.npy
15 augmented views of the tiles that a task file uses:
  python wsi_workdir/extract.py --pretrained wsi_workdir/workdir/pretrained_weights/clp_wo_78.pth \\
      --config configs/extraction/extract_feats_NCT_aug.py --views 15 \\
      --rows wsi_workdir/workdir/tasks/NCT_78_aug/9-way-5-shot_wo_78.npz \\
      --output wsi_workdir/workdir/extracted_feats/clp_wo_78/NCT_aug/NCT_aug.npy
Ready features, wherever they come from, checked against their tiles:
  python wsi_workdir/extract.py --encoder configs/encoders/uni.py --pretrained uni/pytorch_model.bin \\
      --list tiles.txt --root tiles --output uni/tiles.npy --verify 20
Several GPUs or processes: tools/dist_extract.sh and tools/srun_extract.sh take the same options.

Beside X.npy lies X.json, which says what made it, and in the folder above X_labels.npy. Finished features are kept and
an interrupted run continues where it stopped.
"""

import argparse

from fewshot_wsi.foundation.numbers import positive
from fewshot_wsi.foundation.provenance import PRECISIONS
from fewshot_wsi.meta_test.protocol import is_preset
from openselfsup import FIXED_ENCODERS
from openselfsup.options import add_launch_options


def parse_args(argv):
    description, examples = __doc__.split("\n\n", 1)
    parser = argparse.ArgumentParser(description=description, epilog=examples,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretrained", "--checkpoint", metavar="FILE", help="weights of the encoder: a file, a training checkpoint, "
        "or a Hugging Face folder; 'random' with a preset: an untrained network")
    add("--encoder", type=_encoder, metavar="E", help="the preset of an encoder, such as configs/encoders/uni.py, or "
        f"an encoder without weights: {', '.join(FIXED_ENCODERS)}")
    add("--config", metavar="FILE", help="extraction config (default: 224 pixels, as published; with --protocol: "
        "that of the set)")
    add("--output", metavar="FILE.npy", help="features to write (with --protocol: named by the protocol)")
    add("--list", metavar="FILE", help="image list, instead of the config's; or a folder or zip of tiles: all of them")
    add("--root", metavar="DIR", help="folder of the images, instead of the config's")
    add("--labels", metavar="FILE.npy", help="where the list's labels go (default: <X>_labels.npy above X's folder)")
    add("--protocol", metavar="FILE", help="take sets, configs and paths from this protocol")
    add("--model", nargs="+", metavar="M", help="models of the protocol to extract with")
    add("--sets", nargs="+", metavar="S", help="sets of the protocol (default: those that tasks need of the model)")
    add("--tiles", metavar="DIR", help="folder for a protocol that reads tiles of yours")
    add("--views", type=positive, metavar="N", help="number of augmented views (random configs; default 100)")
    add("--start", type=int, default=0, metavar="K", help="number of the first view")
    add("--rows", nargs="+", metavar="TASKS.npz", help="views of only the support rows of these task files")
    add("--seed", type=int, default=0, help="of views and of the random encoder")
    add("--batch_size", type=positive, help="rows computed and stored together (default: the config's)")
    add("--workers", type=positive, help="threads that read images (default: the config's, at most one a core)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--runtime", choices=("torch", "openvino"), default="torch", help="what computes networks on a CPU")
    add("--precision", choices=PRECISIONS, default=PRECISIONS[0], help="of a network's products; bf16 is faster where "
        "the processor or GPU has it (with --protocol: named by its models)")
    add("--trust", action="store_true", help="run weights that are a program (TorchScript)")
    add("--verify", type=positive, metavar="N", help="make nothing: compute N rows of ready features again and say "
        "whether encoder, preprocessing and order agree (exit code 1: they do not)")
    add("--overwrite", action="store_true", help="replace features and labels that are there")
    add("--quiet", action="store_true", help="no progress")
    add_launch_options(add)
    args = parser.parse_args(argv)
    if args.protocol:
        wrong = [name for name in ("output", "list", "root", "labels", "pretrained", "encoder") if getattr(args, name)]
        wrong += ["precision"] * (args.precision != PRECISIONS[0])
        if wrong or not args.model:
            parser.error(f"with --protocol, give --model, and leave out --{wrong[0]}" if wrong else
                         "--protocol needs --model M (one of its models)")
    elif not (args.config or args.list or is_preset(args.encoder)) or not args.output:
        parser.error("give --output and --list (or a --config that names one), or --protocol and --model")
    elif args.model or args.sets or args.tiles:
        parser.error("--model, --sets and --tiles belong to --protocol")
    if args.verify and (args.overwrite or args.launcher != "none"):
        parser.error("--verify writes nothing and runs in one process: leave out --overwrite and --launcher")
    if args.seed < 0 or args.start < 0:
        parser.error("--seed and --start are whole numbers from 0")
    return args


def main(argv=None):
    args = parse_args(argv)
    from fewshot_wsi.pipeline import extraction  # here, not above: it imports torch
    from openselfsup.distributed import take_local_rank

    if args.verify:
        return 1 if extraction.verify_ready(request_of(args)) else 0
    take_local_rank(args.local_rank)
    return extraction.on_all_processes(args.launcher, lambda: extraction.run(request_of(args)), args.port)


def request_of(args):
    from fewshot_wsi.meta_test.protocol import load_protocol
    from fewshot_wsi.pipeline.extraction import ExtractionRequest

    same = ("config", "pretrained", "encoder", "output", "list", "root", "labels", "views", "start", "seed",
            "batch_size", "workers", "device", "runtime", "precision", "trust", "overwrite", "quiet",
            "verify")
    protocol = load_protocol(args.protocol, tiles=args.tiles) if args.protocol else None
    return ExtractionRequest(protocol, tuple(args.model or ()), tuple(args.sets or ()), rows=tuple(args.rows or ()),
                   **{name: getattr(args, name) for name in same})


def _encoder(text):
    if is_preset(text) or text in FIXED_ENCODERS:
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(FIXED_ENCODERS)}, nor the file of a preset (.py)")
