"""Number of parameters of a config's model, part by part."""

import argparse


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python tools/count_parameters.py configs/wsi_selfsup/moco_v3/r18_bs256_ep200_all.py")
    parser.add_argument("config", help="training config")
    args = parser.parse_args(argv)
    from openselfsup.config import load_config
    from openselfsup.models import build_model

    model = build_model(load_config(args.config).model.to_dict())
    for name, part in model.named_children():
        if name != "data_preprocessor" and not (name == "backbone" and hasattr(model, "encoder_q")):
            print(f"{name:12s} {_count(part.parameters()):12,d}")
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    print(f"{'all':12s} {_count(model.parameters()):12,d}\n{'trained':12s} {_count(trained):12,d}")


def _count(weights):
    return sum(weight.numel() for weight in weights)
