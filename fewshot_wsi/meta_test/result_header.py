"""What a result says before its first task is scored: which data, encoder and tasks, and what to be careful about."""

from pathlib import Path

from fewshot_wsi.foundation.provenance import RAW, labels_sha256, read_provenance
from fewshot_wsi.meta_test.origins import novel_warning, origin_warnings, saw_novel

EVALUATION = 3  # raise it when the same inputs are to give other predictions


def result_header(s, tasks, hashes, base, form):
    """(the part of the result of the RunSettings `s` that is known beforehand, as a dict; lines to warn of).

    tasks: TaskSet. hashes: of what the result is computed from. base: file of base features from outside the protocol,
    or None. form: 'unit' or 'raw', the scaling of the features.
    """
    model = s.protocol.models.get(s.model)
    encoder = read_provenance(s.protocol.features_file(s.model, s.family.support))
    sets, notices = _sets(s, tasks, base, form), []
    if saw_novel(s.model, s.tag, model):
        sets["novel_seen"] = True
        notices.append(novel_warning(s.model, s.task, ", ".join(s.classes[label] for label in s.novel)))
    if form == RAW:
        notices.append(f"{s.model}: its features are raw, not of unit length as published; results say so")
    counts = {"num_tasks": tasks.num_tasks, "ways": tasks.ways, "shots": tasks.shots, "queries": tasks.queries}
    header = {"evaluation": EVALUATION, "config": s.config, "classes": list(s.classes), "class_groups": s.class_groups,
              "hashes": hashes, "sets": sets, "encoder": encoder,
              "tasks": {**counts, "file": Path(tasks.path).as_posix(), **_group_use(tasks)}}
    return header, notices + origin_warnings(s.model, encoder, sets)


def hashes_of(tasks, support_features, query_features, support_labels, query_labels, dictionary):
    """What a result says of what it was computed from: hashes of features, labels (N,) and dictionary, and of tasks."""
    return {"tasks": tasks.identity, "support_features": support_features, "query_features": query_features,
            "support_labels": labels_sha256(support_labels), "query_labels": labels_sha256(query_labels),
            "dictionary": dictionary}


def _sets(s, tasks, base, form):
    sets = {"normalize": form}
    tables = tasks.meta.get("groups", (None, None))  # a table given to generate_task.py comes first
    for side, name, groups in zip(("support", "query"), (s.family.support, s.family.query), tables, strict=True):
        entry = s.protocol.set(name)
        sets |= {side: name, f"{side}_list": entry.list, f"{side}_groups": groups or entry.groups,
                 f"{side}_slide": entry.slide}
        sets |= {f"{side}_{key}": value for key in ("source", "mpp", "copies")
                 if (value := getattr(entry, key)) is not None}
    return sets if base is None else {**sets, "base": base}


def _group_use(tasks):
    """What the meta of grouped tasks says of how often each group is used; {} of other tasks and of a part of them."""
    whole = tasks.num_tasks == tasks.meta.get("num_tasks")
    return {"group_use": tasks.meta["group_use"]} if whole and "group_use" in tasks.meta else {}
