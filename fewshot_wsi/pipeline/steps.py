"""The steps of a protocol that leave files: weights, features, tasks, views, dictionaries, report."""

import logging
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.feature_writer import remove_blocks
from fewshot_wsi.foundation.files import file_sha256, json_sha256, weights_sha256
from fewshot_wsi.foundation.provenance import PRECISIONS, features_sha256, labels_sha256, provenance_file
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.novel_classes import parse_novel
from fewshot_wsi.meta_test.protocol import is_preset
from fewshot_wsi.meta_test.remedies import command_line
from fewshot_wsi.meta_test.results import find_results
from fewshot_wsi.meta_test.stored import set_labels
from fewshot_wsi.meta_test.views import no_views_config, views_config, views_of
from fewshot_wsi.pipeline.dictionaries import make_dictionary
from fewshot_wsi.pipeline.listing import check_set
from fewshot_wsi.pipeline.pretraining import Pretraining, resolved_config
from fewshot_wsi.pipeline.records import Step
from lowshot.dictionary import bank_files
from lowshot.tasks import load_tasks

logger = logging.getLogger(__name__)


def pretrain_steps(plan):
    for name in plan.models:
        model, weights = plan.protocol.models[name], plan.protocol.weights_file(name)
        if not plan.to_extract(name):
            logger.info(f"pretrain {name}: its features are user-provided, no weights needed")
        elif model.config:
            yield Pretraining(plan.protocol, name, plan.hashes, plan.processes).step()
        elif model.needs_weights and not weights.exists():
            raise UserError(f"{weights}: no such weights, and the protocol has no training config for {name}; put the "
                            "weights there, or the features below extracted_feats")


def extract_steps(plan):
    for model in plan.models:
        mine = plan.to_extract(model)
        for name in plan.features[model]:
            if name in mine:
                yield _extract_step(plan, model, name)
            else:
                logger.info(f"extract {model}/{name}: its features are user-provided")


def _extract_step(plan, model, name):
    def run(again):  # without overwrite finished features are kept, and an interrupted extraction continues
        _extract(plan, model, name, overwrite=again)

    return Step("extract", f"{model}/{name}", run, lambda: _extract_inputs(plan, model, name),
                (plan.protocol.features_file(model, name), plan.protocol.labels_file(name)),
                clear=lambda: remove_blocks(plan.protocol.features_file(model, name)))


def _extract(plan, model, name, **more):
    from fewshot_wsi.pipeline import extraction  # here, not above: it imports torch
    extraction.run(extraction.ExtractionRequest(plan.protocol, (model,), (name,), **more))


def _extract_inputs(plan, model, name):
    image_set = plan.protocol.set(name)
    listed = check_set(image_set, len(plan.protocol.classes_of(name)))
    return {**_encoder_inputs(plan.protocol, model), "list": file_sha256(listed.path),
            "config": json_sha256(resolved_config(plan.protocol.config_of(name))),
            "images": plan.hashes.of(image_set.root, listed.names)}


def _encoder_inputs(protocol, model):
    entry, path = protocol.models[model], protocol.weights_file(model)
    if entry.needs_weights and not path.exists():
        raise UserError(f"{path}: no such weights; make them with python wsi_workdir/run_protocol.py --stages pretrain "
                        f"--protocol {protocol.path}, or put them there")
    preset = {"preset": json_sha256(resolved_config(entry.encoder))} if is_preset(entry.encoder) else {}
    precision = {"precision": entry.precision} if entry.precision != PRECISIONS[0] else {}
    return {"encoder": entry.encoder, "weights": weights_sha256(path) if entry.needs_weights else None, **preset,
            **precision}


def task_steps(plan):
    return (_task_step(plan, one) for one in plan.task_files)


def _task_step(plan, one):
    def run(again):  # tasks that this command made are replaced when they no longer fit; others by a fresh start alone
        tasks, how = make_tasks(one, replace=plan.fresh or again and plan.records.made(step))
        logger.info(f"{one.path}: {tasks.num_tasks} tasks {how}")

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


def view_steps(plan):
    return (_view_step(plan, *key, *value) for key, value in plan.views.items())


def _view_step(plan, model, name, count, task_plans):
    """Augmented views of the support tiles of these tasks; the extraction itself keeps what is finished."""
    folder, prefix = views_of(plan.protocol, model, name)
    config = views_config(plan.protocol, name)
    views = [folder / f"{prefix}_{view}.npy" for view in range(count)]

    def run(again):
        _extract(plan, model, name, config=config, views=count, rows=tuple(one.path for one in task_plans),
                 overwrite=again)

    def inputs():
        if config is None:
            raise UserError(no_views_config(plan.protocol, name))
        listed = check_set(plan.protocol.set(name), len(plan.protocol.classes_of(name)))
        return {**_encoder_inputs(plan.protocol, model), "views": count,
                "config": json_sha256(resolved_config(config)), "list": file_sha256(listed.path),
                "images": plan.hashes.of(plan.protocol.set(name).root, listed.names),
                "tasks": [load_tasks(one.path, one.command).identity for one in task_plans]}

    def accept():
        own = all(path.is_file() and not provenance_file(path).exists() for path in views)
        return f"{count} views are user-provided" if own else ""

    return Step("views", f"{model}_{name}", run, inputs, tuple(map(provenance_file, views)), accept)


def dictionary_steps(plan):
    return (_dictionary_step(plan, *one) for one in plan.dictionaries)


def _dictionary_step(plan, model, tag, count):
    protocol = plan.protocol
    novel = parse_novel(tag, len(protocol.classes_of(protocol.dictionary.set))) if tag else ()
    folder = protocol.dictionary_folder(model, novel)
    files = bank_files(folder, protocol.dictionary.prefix, count)

    def run(again):
        make_dictionary(protocol, model, novel_class=tag or None, num_prototypes=count, overwrite=again)

    def accept():
        own = files["PROTO"].exists() and files["COV"].exists() and not files["json"].exists()
        return "it is user-provided" if own else ""

    item = f"{folder.relative_to(Path(protocol.workdir, 'dict'))}_{count}"
    return Step("dictionary", item, run, lambda: _dictionary_inputs(plan, model, tag, count),
                (files["PROTO"], files["COV"]), accept)


def _dictionary_inputs(plan, model, tag, count):
    protocol, base = plan.protocol, plan.protocol.dictionary
    features = protocol.features_file(model, base.set)
    if not features.is_file():
        raise UserError(f"{features}: no such features; make them with python wsi_workdir/run_protocol.py --stages "
                        f"extract --protocol {protocol.path}, or put them there")
    return {"features": features_sha256(features),
            "labels": labels_sha256(set_labels(protocol, base.set)), "novel": tag, "num_prototypes": count,
            "num_shift_vectors": base.num_shift_vectors, "iterations": base.iterations,
            "kmeans_seed": base.kmeans_seed, "seed": protocol.seed}


def report_steps(plan):
    results = Path(plan.protocol.workdir, "results")
    if not results.is_dir() or not find_results(results):
        logger.info(f"no results below {results} yet, so no report")
        return
    out = Path(plan.protocol.workdir, "report")

    def run(again):
        from fewshot_wsi.report.writing import write_report  # here, not above: it imports Matplotlib
        roots = dict.fromkeys(image_set.root for image_set in plan.protocol.sets.values())
        command = command_line("report.py", results, "--out", out, "--protocol", plan.protocol.path, "--tiles", *roots,
                               "--workers", plan.workers)
        page, content = write_report([results], out, protocol=plan.protocol, tiles=list(roots), jobs=plan.workers,
                                     command=command)
        for notice in content.evidence.notices:
            logger.warning(notice)
        logger.info(f"report of {len(content.evidence.each)} runs: {page}")

    yield Step("report", "page", run, lambda: {str(path): file_sha256(path) for path in find_results(results)},
               (out / "report.html",))
    logger.info(f"{out / 'report.html'}: open it in a browser")
