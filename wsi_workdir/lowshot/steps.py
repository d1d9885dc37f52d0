"""The steps of a protocol that leave files: weights, features, tasks, dictionaries."""

import sys

from lowshot.children import call
from lowshot.dictionary import bank_files
from lowshot.errors import UserError
from lowshot.features import features_sha256, labels_sha256, provenance_file
from lowshot.files import file_sha256, json_sha256
from lowshot.generation import make_tasks, set_labels
from lowshot.lists import read_list
from lowshot.pretraining import Pretraining, resolved_config
from lowshot.records import Step


def pretrain_steps(plan):
    for name in plan.models:
        model, weights = plan.protocol.models[name], plan.protocol.weights_file(name)
        if plan.brought_along(name):
            print(f"pretrain {name}: its features were brought along, no weights needed")
        elif model.config:
            yield Pretraining(plan.protocol, name, plan.hashes, plan.processes, plan.protocol.seed).step()
        elif not model.encoder and not weights.is_file():
            raise UserError(f"{weights}: no such weights, and the protocol has no training config for {name}; put the "
                            "weights there, or the features below extracted_feats")


def extract_steps(plan):
    return (_extract_step(plan, model) for model in plan.models)


def _extract_step(plan, model):
    def run(again):  # without --overwrite finished features are kept, and an interrupted extraction goes on
        call([sys.executable, "wsi_workdir/extract.py", "--protocol", plan.protocol.path, "--model", model,
              "--sets", *plan.features[model], *(["--overwrite"] if again else [])])

    def accept():
        if not plan.features_are_there(model):
            return ""
        known = any(provenance_file(path).exists() for path in plan.feature_files(model))
        return "its features were brought along" if plan.brought_along(model) or not known else ""

    return Step("extract", model, run, lambda: _extract_inputs(plan, model),
                (*plan.feature_files(model), *plan.label_files(model)), accept)


def _extract_inputs(plan, model):
    protocol, weights = plan.protocol, plan.protocol.weights_file(model)
    if plan.brought_along(model):
        return {"weights": None}
    inputs = {"encoder": protocol.models[model].encoder, "weights": file_sha256(weights) if weights.is_file() else None}
    for name in plan.features[model]:
        image_set = protocol.sets[name]
        inputs |= {f"{name}.list": file_sha256(image_set.list),
                   f"{name}.config": json_sha256(resolved_config(image_set.config)),
                   f"{name}.images": plan.hashes.of(image_set.root, read_list(image_set.list, labeled=True).names)}
    return inputs


def task_steps(plan):
    return (_task_step(plan, one) for one in plan.task_files)


def _task_step(plan, one):
    def run(again):  # tasks that this command made are replaced when they no longer fit; those of others never
        tasks, how = make_tasks(one, replace=again and plan.records.made(step))
        print(f"{one.path}: {tasks.num_tasks} tasks {how}")

    step = Step("tasks", f"{one.task}/{one.stem}", run, lambda: _task_inputs(plan, one), (one.path,))
    return step


def _task_inputs(plan, one):
    family, protocol = one.family, plan.protocol
    facts = {"seed": one.seed, "sampling": one.sampling, "num_tasks": one.num_tasks, "queries": family.queries,
             "repeat_support": family.repeat_support, "same_slide": family.same_slide}
    for side, name in (("support", family.support), ("query", family.query)):
        image_set = protocol.set(name)
        facts[f"{side}.labels"] = labels_sha256(set_labels(protocol, name))
        if family.same_slide or one.sampling == "grouped":
            facts |= {f"{side}.list": file_sha256(image_set.list), f"{side}.slide": image_set.slide,
                      f"{side}.groups": file_sha256(image_set.groups) if image_set.groups else None}
    return facts


def dictionary_steps(plan):
    return (_dictionary_step(plan, *one) for one in plan.dictionaries)


def _dictionary_step(plan, model, tag, count):
    files = bank_files(f"{plan.protocol.workdir}/dict/{model}", plan.protocol.dictionary.prefix, count)

    def run(again):
        call([sys.executable, "wsi_workdir/dict_construction.py", "--protocol", plan.protocol.path, "--model", model,
              "--num_prototypes", count, *(["--novel_class", tag] if tag else []), *(["--overwrite"] if again else [])])

    def accept():
        own = files["PROTO"].exists() and files["COV"].exists() and not files["json"].exists()
        return "it was brought along" if own else ""

    return Step("dictionary", f"{model}_{count}", run, lambda: _dictionary_inputs(plan, model, tag, count),
                (files["PROTO"], files["COV"]), accept)


def _dictionary_inputs(plan, model, tag, count):
    protocol, base = plan.protocol, plan.protocol.dictionary
    return {"features": features_sha256(protocol.features_file(model, base.set)),
            "labels": labels_sha256(set_labels(protocol, base.set)), "novel": tag, "num_prototypes": count,
            "num_shift_vectors": base.num_shift_vectors, "iterations": base.iterations,
            "kmeans_seed": base.kmeans_seed, "seed": protocol.seed}
