"""Check lists and their images before you trust a number made from them.

Looks for images that are missing or do not decode, odd sizes and modes, exact and near duplicates (flips and quarter
turns included) inside and across lists, groups that several lists share, unequal classes, and classes that colour alone
gives away. Writes a report (Markdown and JSON) and a contact sheet of every list.
Exit code: 0 clean, 1 something was found, 2 it could not run."""

import argparse
import re
from pathlib import Path

import numpy as np
from joblib import Parallel, cpu_count, delayed

from fewshot_wsi.data_checks.cache import Cache
from fewshot_wsi.data_checks.copies import copies_of
from fewshot_wsi.data_checks.findings import all_findings, compare, with_rows
from fewshot_wsi.data_checks.measure import RECORD, Broken, measure
from fewshot_wsi.data_checks.report import write_report
from fewshot_wsi.data_checks.sets import load_sets
from fewshot_wsi.data_checks.sheet import write_sheet
from fewshot_wsi.foundation.messages import say
from fewshot_wsi.foundation.progress import bar
from fewshot_wsi.foundation.tables import write_table

EXAMPLE = """examples:
  python tools/check_data.py data/NCT/meta/train_labeled.txt data/NCT/meta/test_labeled.txt --out reports/nct
  python tools/check_data.py data/LC25000/meta/img_list_labeled.txt --groups data/LC25000/meta/groups.csv

Writes <out>.md, <out>.json, <out>_<list>.png and <out>_<list>_copies.csv: images with copies under other names, as
path,group; `copies` of a protocol's set names it, and reports count them as leakage. Name support, query and
pre-training lists together to see what they share."""
CHUNK = 32  # images a worker takes at once


def main(argv=None):
    args = parse_args(argv)
    sets, paths = with_rows(load_sets(args.lists, args.root, args.groups, args.classes))
    records, broken = measure_all(paths, args)
    measured = compare(paths, records, broken)
    found, facts = all_findings(sets, measured, args.workers)
    sheets = {}
    for checked in bar(sets, desc="contact sheets", quiet=args.quiet):
        stem = f"{args.out}_" + re.sub(r"[^\w.-]+", "_", checked.name)
        write_table(f"{stem}_copies.csv", ("path", "group"), copies_of(checked, measured))
        sheet = Path(f"{stem}.png")
        write_sheet(sheet, checked, measured.usable[checked.rows])
        sheets[checked.name] = sheet.name
    write_report(args.out, found, facts, sheets)
    for finding in found:
        say(f"{finding.check}: {', '.join(finding.lists)}: {finding.text}")
    print(f"{args.out}.md: {len(found)} findings" if found else f"{args.out}.md: clean")
    return 1 if found else 0


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="+", type=Path, help="image lists, 'path' or 'path label' a line")
    parser.add_argument("--root", nargs="+", type=Path, default=(),
                        help="folder that the paths start from: one for all lists or one each "
                             "(default: data beside the list's folder)")
    parser.add_argument("--groups", nargs="+", type=Path, default=(), help="CSV path,group: patients, slides …")
    parser.add_argument("--classes", nargs="+", default=(), help="class names in label order (default: from the paths)")
    parser.add_argument("--out", type=Path, default=Path("data_check"), help="stem of the report (default: data_check)")
    parser.add_argument("--cache", type=Path, default=Path("data", ".check_data.sqlite"),
                        help="measurements kept between runs, by path, size and time of change (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="measure every image again")
    parser.add_argument("--workers", type=int, default=cpu_count(),
                        help="processes (default: one a core); the report does not depend on it")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    args = parser.parse_args(argv)
    if args.workers < 1:
        parser.error("--workers is a whole number from 1")
    return args


def measure_all(paths, args):
    """(M,) RECORD and a dict from row to reason for images that could not be measured; what is cached is not read."""
    records, broken = np.zeros(len(paths), RECORD), {}
    cache = Cache(args.cache)
    try:
        known = [None if args.fresh else cache.get(path) for path in paths]
        todo = [row for row, record in enumerate(known) if record is None]
        for row, record in enumerate(known):
            if record is not None:
                records[row] = record
        chunks = [todo[start:start + CHUNK] for start in range(0, len(todo), CHUNK)]
        answers = Parallel(n_jobs=args.workers, return_as="generator")(
            delayed(_measure_some)([paths[row] for row in chunk]) for chunk in chunks)
        with bar(desc="measuring", total=len(paths), initial=len(paths) - len(todo), unit="images",
                 quiet=args.quiet) as progress:
            for chunk, answer in zip(chunks, answers, strict=True):
                for row, record in zip(chunk, answer, strict=True):
                    if isinstance(record, Broken):
                        broken[row] = record.reason
                    else:
                        records[row] = record
                        cache.put(paths[row], record)
                progress.update(len(chunk))
    finally:
        cache.close()
    return records, broken


def _measure_some(paths):
    return [measure(path) for path in paths]
