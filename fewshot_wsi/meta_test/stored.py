"""Features and labels of a protocol's sets, wherever they lie: ready features need nothing beside them but the list."""

from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_labeled, load_labels
from fewshot_wsi.foundation.lists import check_labels, read_list
from fewshot_wsi.meta_test.remedies import extract_command, list_command


def set_labels(protocol, name):
    """Labels (N,) int64 of a set, checked against its classes: those of the feature store, else those of its list.

    UserError names what makes them."""
    path, image_set, classes = protocol.labels_file(name), protocol.set(name), protocol.classes_of(name)
    if path.exists():
        model = next(iter(protocol.models), "MODEL")  # any of them
        return load_labels(path, len(classes), made_by=extract_command(protocol, model, name))
    if not Path(image_set.list).exists():
        raise UserError(f"{image_set.list}: no such list of the set {name}, nor its labels {path}; make it with "
                        f"{list_command(protocol, name)}")
    labels = read_list(image_set.list, labeled=True).labels
    check_labels(labels, len(classes), image_set.list)
    return labels


def load_stored(protocol, model, name):
    """(features (N, D) float32 or float16, labels (N,) int64) of a set, as `model` sees it; UserError as of
    `set_labels` and `load_features`, and where the two do not belong together."""
    labels, stored = set_labels(protocol, name), protocol.labels_file(name)
    source = stored if stored.exists() else protocol.set(name).list
    make = extract_command(protocol, model, name)
    return load_labeled(protocol.features_file(model, name), labels, source, make, half=True), labels
