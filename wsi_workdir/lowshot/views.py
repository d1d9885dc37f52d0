"""Where the augmented views of a set lie, and which config makes them."""

from pathlib import Path


def views_of(protocol, model, name):
    """(folder, prefix) of the augmented views of a set: NCT_train -> (…/<model>/NCT_aug, 'NCT_aug')."""
    prefix = f"{name.removesuffix('_train')}_aug"
    return Path(protocol.workdir, "extracted_feats", model, prefix), prefix


def views_config(protocol, name):
    """Extraction config of the augmented views of a set: as the protocol says, else as the set's own is named."""
    image_set = protocol.set(name)
    return image_set.views or image_set.config.replace(name, views_of(protocol, "", name)[1])
