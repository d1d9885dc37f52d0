"""Keep the backbone of a training checkpoint: its weights under torchvision's names, ready for feature extraction."""

import argparse


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python tools/extract_backbone_weights.py "
               "work_dirs/wsi_selfsup/moco_v3/r18_bs256_ep200_all/latest.pth "
               "wsi_workdir/workdir/pretrained_weights/clp.pth")
    parser.add_argument("checkpoint", help="training checkpoint (epoch_N.pth, latest.pth)")
    parser.add_argument("weights", help="file to write: dict(state_dict, author)")
    args = parser.parse_args(argv)
    from openselfsup.checkpoint import extract_backbone
    state = extract_backbone(args.checkpoint, args.weights)
    print(f"{args.weights}: {len(state)} tensors of the backbone")
