"""The base dictionary of one model: from its features to the files of the dictionary, unless they are there."""

import logging
from pathlib import Path

import numpy as np

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_features, normalization
from fewshot_wsi.foundation.files import read_json
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.provenance import ENCODER, RAW, UNIT, features_sha256, labels_sha256, read_provenance
from fewshot_wsi.meta_test.novel_classes import parse_novel
from fewshot_wsi.meta_test.remedies import extract_command
from fewshot_wsi.meta_test.stored import load_stored
from lowshot.dictionary import bank_files, build_dictionary, load_dictionary, save_dictionary, stores_shifts

logger = logging.getLogger(__name__)

_FORMS = {UNIT: "unit length", RAW: "raw"}


def make_dictionary(protocol, model, *, novel_class=None, features=None, base_file=None, folder=None, overwrite=False,
                    **given):
    """Build the dictionary of `model` and say what was built; the same one is kept, another one is a UserError.

    novel_class: text as '7' or '78', the classes to leave out; None: those that the protocol says the model has
    never seen. features: name of the set of base features, else the protocol's. base_file: a .npy of base features
    instead, without labels, so that no class is left out. folder: of the dictionaries, else <workdir>/dict. given:
    num_prototypes, num_shift_vectors, seed; where None, the protocol's. overwrite: build again.
    """
    if base_file is None:
        base, rows, inputs = _base_features(protocol, model, features or protocol.dictionary.set, novel_class)
    else:
        base, rows, inputs = _base_from_file(base_file)
    settings = _settings(protocol, given)
    folder, prefix = protocol.dictionary_folder(model, tuple(inputs["novel"]), folder), protocol.dictionary.prefix
    path = bank_files(folder, prefix, settings["num_prototypes"])["PROTO"]
    with locked(path):
        _make(path, folder, prefix, settings, base, rows, inputs, overwrite)


def _make(path, folder, prefix, settings, base, rows, inputs, overwrite):
    if not overwrite and _made_before(folder, prefix, settings, inputs):
        logger.info(f"{path}: made from the same inputs before, kept")
        return
    dictionary = build_dictionary(base, rows=rows, **settings)
    dictionary.how.update(inputs)
    save_dictionary(folder, prefix, dictionary)
    counts = dictionary.how["counts"]
    logger.info(f"{path}: {len(dictionary)} prototypes of {sum(counts)} features ({_FORMS[inputs['normalize']]}), "
                f"{min(counts)} to {max(counts)} a cluster")
    if min(counts) < 2:
        logger.warning(f"{counts.count(0)} clusters are empty and never used, {counts.count(1)} hold one tile and give "
                       "no shift")


def _base_features(protocol, model, name, novel_class):
    """(features (N, D), which rows are of no novel class, (N,) bool or None, what they were: a dict for the JSON)."""
    classes, path = protocol.classes[protocol.set(name).classes], protocol.features_file(model, name)
    if novel_class is not None:
        novel = parse_novel(novel_class, len(classes))
    else:
        novel = protocol.models[model].novel if model in protocol.models else ()
    inputs, make = {"features": name, "novel": sorted(novel)}, extract_command(protocol, model, name)
    if not novel:
        features = load_features(path, made_by=make, half=True)
        return features, None, {**inputs, **_facts(path), "labels_sha256": None}
    features, labels = load_stored(protocol, model, name)
    return features, ~np.isin(labels, novel), {**inputs, **_facts(path), "labels_sha256": labels_sha256(labels)}


def _base_from_file(path):
    """(features (N, D), None for all rows, what they were: a dict for the JSON)."""
    features, made = load_features(path, half=True), read_provenance(path) or {}
    return features, None, {"features": str(Path(path).absolute()), "base_file": True, "novel": [], **_facts(path),
                            "labels_sha256": None, "encoder": {key: made.get(key) for key in ENCODER}}


def _facts(path):
    return {"features_sha256": features_sha256(path), "normalize": normalization(path)}


def _settings(protocol, given):
    """Arguments of `build_dictionary`: those given, else the protocol's."""
    base = protocol.dictionary
    settings = {"num_prototypes": base.num_prototypes, "num_shift_vectors": base.num_shift_vectors,
                "iterations": base.iterations, "kmeans_seed": base.kmeans_seed, "seed": protocol.seed}
    return settings | {key: value for key, value in given.items() if value is not None}


def _made_before(folder, prefix, settings, inputs):
    """Whether the whole dictionary is there and was made so. UserError: another one is there."""
    files = bank_files(folder, prefix, settings["num_prototypes"])
    if not files["json"].exists():
        if files["PROTO"].exists() or files["COV"].exists():
            raise UserError(f"{files['PROTO']}: a user-provided dictionary; use it as it is, or --overwrite it")
        return False
    found = read_json(files["json"], "description of a dictionary")
    found = {**found, **found.get("how", {})}
    asked = {key: value for key, value in {**settings, **inputs}.items() if key != "normalize"}  # follows from the hash
    other = [key for key, value in asked.items() if found.get(key) != value]
    if other:
        raise UserError(f"{files['json']}: made with other {', '.join(other)}; build again with --overwrite")
    try:
        dictionary = load_dictionary(folder, prefix, settings["num_prototypes"])
        if stores_shifts(dictionary) and not files["SHIFT"].exists():
            raise UserError(f"{files['SHIFT']}: missing")
    except UserError as error:  # stopped half-way, or damaged since: the inputs are the same, so it is made again
        logger.warning(f"{error}; made again now")
        return False
    return True
