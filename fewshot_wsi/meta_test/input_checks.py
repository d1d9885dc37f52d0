"""Whether the files that a run reads belong together: its tasks, its dictionary, its augmented views."""

import logging

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.features import load_views, normalization
from fewshot_wsi.foundation.files import arrays_sha256, file_sha256, json_sha256
from fewshot_wsi.foundation.provenance import RAW, UNIT, features_sha256, labels_sha256, read_provenance
from fewshot_wsi.meta_test.remedies import views_command
from fewshot_wsi.meta_test.views import views_of
from lowshot.dictionary import load_dictionary
from lowshot.tasks import check_rows, grouped_meta, load_tasks

logger = logging.getLogger(__name__)


def checked_tasks(s, support_labels, query_labels):
    """TaskSet of the run's task file; UserError unless it was sampled for this task, from these labels (N,)."""
    plan, classes = s.plan, s.classes
    tasks = load_tasks(plan.path, plan.command)
    wanted = {"support_labels_sha256": labels_sha256(support_labels),
              "query_labels_sha256": labels_sha256(query_labels), "task": s.task, "sampling": s.sampling,
              "support_set": s.family.support, "query_set": s.family.query}
    version = grouped_meta(s.sampling, plan.group_weight)
    if tasks.meta.get("sampling") == s.sampling and version and not version.items() <= tasks.meta.items():
        raise UserError(f"{plan.path}: sampled by an earlier version of the rule 'grouped', which hardly asked "
                        f"about large groups, or with another group_weight; sample it again with {plan.command}")
    wrong = [key for key, value in wanted.items() if tasks.meta.get(key) != value]
    if wrong:
        raise UserError(f"{plan.path}: sampled for other data or another task ({', '.join(wrong)} differ); "
                        f"sample it again with {plan.command}")
    if tasks.ways != len(classes) or tasks.shots != s.num_shots:
        raise UserError(f"{plan.path}: {tasks.ways} ways and {tasks.shots} shots, expected {len(classes)} and "
                        f"{s.num_shots}; sample it again with {plan.command}")
    check_rows(tasks.support, support_labels, tasks.support_labels, f"{plan.path}, support")
    check_rows(tasks.query, query_labels, tasks.query_labels, f"{plan.path}, query")
    return tasks


def checked_dictionary(s, dim, form):
    """(identity of the dictionary, file of its base features where they are from no set of the protocol).

    dim, form: width of the tasks' features, and whether they are 'unit' or 'raw'. UserError: the dictionary is missing,
    or was made of other features.
    """
    folder, spec = s.dictionary_folder, s.protocol.dictionary
    if not folder.is_dir():
        raise UserError(f"{folder}: no dictionary of {s.model}; make it with {s.dictionary_command}")
    found = load_dictionary(folder, spec.prefix, s.num_prototypes, dim, s.dictionary_command)
    made_from = found.how.get("features_sha256")
    if found.how.get("normalize", form) != form:
        shown = scaling_of(("its base features", found.how["normalize"]), (f"those of {s.model}", form))
        raise UserError(f"{folder}: {shown}; build it from features that are scaled as those of the tasks")
    base = s.protocol.features_file(s.model, spec.set)
    if found.how.get("base_file"):
        _check_base(s, found)
    elif made_from and base.exists() and made_from != features_sha256(base):
        raise UserError(f"{folder}: the dictionary was built from other features than {base}; build it again "
                        f"with {s.dictionary_command} --overwrite")
    shown = sorted(set(s.novel) - set(found.how.get("novel", s.novel)))
    if shown and not found.how.get("base_file"):
        logger.warning(f"{folder}: the dictionary was built with the novel classes {shown} in it; "
                       f"{s.dictionary_command} --overwrite leaves them out")
    return found.identity, found.how["features"] if found.how.get("base_file") else None


def checked_views(s, rows, dim, form, once):
    """Hash of the augmented views of the tiles `rows` (n,); UserError: one is missing or of another encoder.

    dim, form: as of `checked_dictionary`. once: function of a key and a function, which it calls for a new key alone,
    as runs share views.
    """
    name, needed = s.family.support, s.aug_times - 1
    folder, prefix = views_of(s.protocol, s.model, name)
    command = views_command(s.protocol, s.model, name, needed, s.plan.path)
    missing = [view for view in range(needed) if not (folder / f"{prefix}_{view}.npy").is_file()]
    if missing:
        raise UserError(f"{folder}: {s.aug_times} views a tile are the original and {needed} augmented ones, but "
                        f"{needed - len(missing)} of these are there, {prefix}_{missing[0]}.npy is missing; "
                        f"extract them with {command}")
    identity = arrays_sha256(rows=rows)
    for view in range(needed):  # all views hold the same rows: the first is asked for all, the others for one
        asked = rows if view == 0 else rows[:1]
        width = once(("view", folder, view, identity), lambda view=view, asked=asked: load_views(
            folder, prefix, view, asked, command).shape[1])
        weights = [(read_provenance(path) or {}).get("weights_sha256") for path in (
            folder / f"{prefix}_{view}.npy", s.protocol.features_file(s.model, name))]
        if width != dim or (all(weights) and weights[0] != weights[1]):
            raise UserError(f"{folder}/{prefix}_{view}.npy: made with other weights than the features of {name}; "
                            f"extract the views again with {command} --overwrite")
    if normalization(folder / f"{prefix}_0.npy", command) != form:
        shown = scaling_of(("the views", UNIT if form == RAW else RAW), (f"the features of {name}", form))
        raise UserError(f"{folder}: {shown}; extract both alike")
    listed = folder / f"{prefix}_rows.npy"
    held = file_sha256(listed) if listed.exists() else None
    return json_sha256([held, *(features_sha256(folder / f"{prefix}_{view}.npy") for view in range(needed))])


def scaling_of(*named):
    """How features are scaled, in words, of (name, 'unit' or 'raw') pairs."""
    return ", ".join(f"{name} {'have unit length' if form == UNIT else 'are raw'}" for name, form in named)


def _check_base(s, dictionary):
    """UserError where base features from a file and the tasks' features are of two encoders."""
    made = read_provenance(s.protocol.features_file(s.model, s.family.support)) or {}
    other = [key for key, value in dictionary.how["encoder"].items()
             if value and made.get(key) and value != made[key]]
    if other:
        raise UserError(f"{s.dictionary_folder}: its base features, {dictionary.how['features']}, are of another "
                        f"encoder than those of {s.model} ({', '.join(other)} differ); extract them with the same "
                        "encoder and weights, then build the dictionary again")
