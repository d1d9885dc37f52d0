"""Make a checkpoint fit to hand out: drop the optimiser and the random state, add the file's hash to its name."""

import argparse
from pathlib import Path

from fewshot_wsi.foundation.files import file_sha256


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python tools/publish_model.py work_dirs/classification/nct/r18_bs512_ep100_all/latest.pth "
               "fsp.pth\n  -> fsp-1a2b3c4d.pth")
    parser.add_argument("checkpoint", help="training checkpoint")
    parser.add_argument("output", help="name of the new file; eight digits of its SHA-256 are put before the suffix")
    args = parser.parse_args(argv)
    from openselfsup.checkpoint import load_file, save_file, state_of

    state = state_of(load_file(args.checkpoint), args.checkpoint)
    output = Path(args.output)
    unnamed = output.with_name(f".{output.name}.unnamed")  # never OUTPUT itself: something may lie there
    save_file(unnamed, dict(state_dict=state, author="OpenSelfSup"))
    final = output.with_name(f"{output.stem}-{file_sha256(unnamed)[:8]}{output.suffix or '.pth'}")
    unnamed.replace(final)
    print(f"{final}: {len(state)} tensors")
