"""Where the augmented views of a set lie, and which config makes them."""

from pathlib import Path

from fewshot_wsi.foundation.files import shipped


def views_of(protocol, model, name):
    """(folder, prefix) of the augmented views of a set: NCT_train -> (…/<model>/NCT_aug, 'NCT_aug')."""
    prefix = f"{name.removesuffix('_train')}_aug"
    return Path(protocol.workdir, "extracted_feats", model, prefix), prefix


def views_config(protocol, name):
    """Extraction config of the augmented views of a set, or None where it is not there: the one that the protocol
    names, else that of the set with the prefix of its views in the name."""
    image_set = protocol.set(name)
    usual = (image_set.config or "").replace(name, views_of(protocol, "", name)[1])
    config = image_set.views or (usual if usual != image_set.config else None)
    return config if config and shipped(config).is_file() else None


def no_views_config(protocol, name):
    """What to do where `views_config` finds none."""
    return (f"{protocol.path}: sets.{name}.views is to name an extraction config with random operations, such as "
            "configs/extraction/extract_feats_NCT_aug.py")
