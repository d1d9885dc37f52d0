"""The whole command: a head, fitted or read, and its predictions for all queries, block by block."""

import datetime
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from fewshot_wsi import __version__
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import file_sha256, read_json, write_json
from fewshot_wsi.foundation.locks import locked
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.predict.columns import check_output
from fewshot_wsi.predict.dictionary import make_dictionary, read_dictionary
from fewshot_wsi.predict.encoding import EncoderChoice, check_same_encoder
from fewshot_wsi.predict.fit import Method, make_head, support_features
from fewshot_wsi.predict.head import load_head, save_head
from fewshot_wsi.predict.output import PredictionTable, write_predictions
from fewshot_wsi.predict.parts import Parts
from fewshot_wsi.predict.queries import read_queries
from fewshot_wsi.predict.scoring import Scorer
from fewshot_wsi.predict.stored import StoredRows
from fewshot_wsi.predict.supports import read_supports
from lowshot.classifiers import uses_base

logger = logging.getLogger(__name__)

SHOWN = 5  # tiles without prediction that a notice names


@dataclass(frozen=True)
class PredictionRequest:
    """What the command line asks for; None: not given. Paths as text."""
    choice: EncoderChoice
    method: Method
    support: str | None = None
    support_root: str | None = None
    support_features: str | None = None
    support_list: str | None = None
    groups: str | None = None
    classes: tuple | None = None
    query: str | None = None
    query_root: str | None = None
    query_list: str | None = None
    dictionary: str | None = None  # folder or file of one
    base: str | None = None        # features that one is made of
    num_prototypes: int = 16
    coverage: float | None = None
    head: str | None = None        # to be used
    save: str | None = None        # to be written
    out: str | None = None
    overwrite: bool = False
    quiet: bool = False


def run(request):
    """Do it; returns the number of queries without prediction. Everything that can be refused is, before the first
    query is read."""
    if request.out is not None:
        check_output(request.out)
    if request.head is not None:
        head = load_head(request.head)
        request = replace(request, choice=choice_of(head, request.choice))
        queries = _queries(request)
    else:
        supports = read_supports(request.support, request.support_root, request.groups, request.classes)
        queries = _queries(request)
        head = _fitted_head(request, supports, queries)
    if request.save is not None:
        save_head(request.save, head, request.overwrite)
    if queries is None:
        return 0
    check_same_encoder(head.facts["encoder"], queries.encoder, "the features of the supports", request.query)
    with locked(request.out):
        return _predict(request, head, queries)


def _queries(request):
    if request.query is None:
        return None
    return read_queries(request.query, request.choice, request.query_root, request.query_list)


def choice_of(head, given):
    """The encoder of a head, found where it was, or where the command line says it is now."""
    kept = {key: value for key, value in (head.facts.get("choice") or {}).items() if value is not None}
    named = {key: value for key, value in vars(given).items()
             if key in ("encoder", "pretrained", "config") and value is not None}
    return replace(given, **{**kept, **named})


def _fitted_head(request, supports, queries):
    stored = None
    if request.support_features is not None:
        stored = StoredRows(request.support_features, request.support_list)
    elif isinstance(queries, StoredRows) and not request.choice.named:
        stored = queries
    features, hashes, encoder = support_features(supports, request.choice, stored)
    facts = {"encoder": encoder, "dictionary": None, "preprocessing": None, "choice": None}
    if stored is None:
        facts |= request.choice.facts
    dictionary = None
    if request.method.mode != "linear" or uses_base(request.method.classifier):
        dictionary, facts["dictionary"] = _dictionary(request, features.shape[1], encoder)
    return make_head(supports, features, hashes, facts, request.method, dictionary, request.coverage)


def _dictionary(request, dim, encoder):
    if request.base is not None:
        return make_dictionary(request.base, encoder, dim, request.num_prototypes, request.method.seed)
    if request.dictionary is not None:
        return read_dictionary(request.dictionary, dim)
    raise UserError(f"--mode {request.method.mode} --clf {request.method.classifier} needs a base dictionary: name one "
                    "with --dict, or unlabelled features of the same encoder with --base (your queries, for example)")


def _predict(request, head, queries):
    out, beside = Path(request.out), Path(f"{request.out}.json")
    parts = Parts(out, [head.identity, queries.identity])
    if out.exists() and not request.overwrite:
        made = read_json(beside, "description of predictions") if beside.exists() else {}
        if made.get("key") != parts.key or made.get("sha256") != file_sha256(out):
            raise UserError(f"{out}: there already, made of other inputs; choose another --out or replace it with "
                            "--overwrite")
        logger.info(f"kept {out}: made of the same supports and queries before")
        return len(made["problems"])
    count = -(-len(queries) // queries.block)
    _compute(parts, head, queries, count, request.quiet)
    problems = _write(out, beside, parts, PredictionTable(head, queries.names), queries, count, request)
    if problems:
        named = "; ".join(list(problems.values())[:SHOWN]) + (", …" if len(problems) > SHOWN else "")
        logger.warning(f"{len(problems)} of {len(queries)} queries could not be read and have no class: {named}")
    return len(problems)


def _compute(parts, head, queries, count, quiet):
    missing, scorer = parts.missing(count), Scorer(head)
    done = len(queries) - sum(len(queries.rows_of(number)) for number in missing)
    with bar(desc="naming tiles", total=len(queries), initial=done, unit="tiles", quiet=quiet) as shown:
        for number, features, faults in queries.read(missing) if missing else ():
            rows = queries.rows_of(number)
            head.check_rows(features, rows, parts.path)
            parts.write(number, **scorer(features, faults))
            shown.update(len(rows))


def _write(out, beside, parts, table, queries, count, request):
    """Join the blocks, write the description; {name: problem} of the queries that have no class."""
    def blocks():
        return ((queries.rows_of(number), parts.read(number)) for number in range(count))

    write_predictions(out, table, blocks)
    problems = {queries.names[rows[place]]: str(found["fault"][place]) for rows, found in blocks()
                for place in (found["fault"] != "").nonzero()[0]}
    head = table.head
    write_json(beside, {
        "key": parts.key, "sha256": file_sha256(out), "head": head.identity, "query": request.query,
        "rows": len(queries), "problems": problems, "classes": list(head.classes), "method": head.facts["method"],
        "encoder": head.facts["encoder"], "dictionary": head.facts["dictionary"], "estimate": head.facts["estimate"],
        "conformal": head.facts["conformal"], "version": __version__,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")})
    parts.remove()
    logger.info(f"wrote {out}: {len(queries)} rows")
    return problems

