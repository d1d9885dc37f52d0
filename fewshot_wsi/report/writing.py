"""Write the report: the page, and every table and figure of it as files."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.files import replacing, write_json, write_text
from fewshot_wsi.foundation.names import csv_cell
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report import ablations, contrasts, figures, first, overview, selection, tiles, uncertainty
from fewshot_wsi.report.evidence import read_evidence
from fewshot_wsi.report.page import render
from fewshot_wsi.report.published import summarise
from fewshot_wsi.report.tables import to_csv, to_latex, to_markdown
from fewshot_wsi.report.tiles import encoder_pictures

SUMMARY = "summary.json"


@dataclass
class Content:
    """All that stands on the page."""
    evidence: object
    in_short: list
    main_tables: list
    comparisons: object
    gain_tables: list
    class_tables: list
    ablations: object
    published: object
    published_counts: dict  # `published.summarise`
    leakage: object
    leakage_lines: list
    sanity: object
    components: object
    all_runs: object
    provenance: list
    figures: dict       # section -> list of style.Figure
    shown_tasks: list
    pictures: list

    @property
    def tables(self):
        """Every table that has rows."""
        every = [*self.main_tables, self.comparisons, *self.gain_tables, *self.class_tables, self.ablations,
                 self.published, self.leakage, self.sanity, self.components, self.all_runs, *self.provenance]
        return [table for table in every if table.rows]


def make_content(evidence, sources, target=None, pictures=()):
    """Content from evidence. target: half-width in fractions that `all_runs` counts tasks for; pictures:
    list of `tiles.Tile`."""
    runs, every = evidence.runs, evidence.each
    grids = selection.grids(runs)
    matches = contrasts.published_matches(runs, sources)
    counts = summarise(matches)
    compared = contrasts.comparisons(evidence)
    stands = [(grid, {shots: selection.standing(grid, shots, runs) for shots in grid.shots}) for grid in grids]
    best = [selection.best_run(grid, stand[grid.shots[-1]], runs) for grid, stand in stands]
    return Content(
        evidence=evidence, in_short=contrasts.in_short(evidence, stands, compared, counts),
        main_tables=[table for each in stands for table in overview.main_tables(*each, runs)], comparisons=compared,
        gain_tables=[table for grid in grids for table in contrasts.gain_tables(grid, runs)],
        class_tables=[table for grid in grids for table in overview.class_tables(grid, runs)],
        ablations=ablations.ablation_table(runs), published=contrasts.published_table(matches, counts),
        published_counts=counts,
        leakage=contrasts.leakage_table(every), leakage_lines=contrasts.leakage_lines(every),
        sanity=contrasts.sanity_table(runs), components=uncertainty.components_table(runs),
        all_runs=overview.all_runs(every, target),
        provenance=overview.provenance(every, sources),
        figures={"first": first.first_figures(stands, runs), **figures.draw_all(runs, grids, best, matches)},
        shown_tasks=tiles.shown_tasks([run for run in best if run], sources), pictures=pictures)


def write_report(paths, out, *, protocol=None, tiles=(), pictures=None, target=None, jobs=1, title=None, command="",
                 refresh=None, live=None, cache=None):
    """Write the report of the results at `paths` into the folder `out`; returns (path of report.html, Content).

    protocol: `fewshot_wsi.meta_test.protocol.Protocol` or None; it adds slides, pre-training lists and roots of images.
    tiles: folders of images; pictures: folder made by visualize.py; target: half-width in fractions.
    jobs: processes that read results. refresh, live: see `page.render`; cache: see `runs.read_evidence`.
    UserError when no result can be read.
    """
    out = Path(out)
    if out.is_file():
        raise UserError(f"{out}: is a file; --out names a folder")
    pictures = encoder_pictures(pictures)
    sources = Sources(protocol, tiles)
    evidence = read_evidence(paths, sources, target=target, jobs=jobs, cache=cache, besides=out / SUMMARY)
    content = make_content(evidence, sources, target, pictures)
    for table in content.tables:
        for ending, form in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex)):
            write_text(out / "tables" / f"{table.key}.{ending}", form(table))
    for figure in (figure for found in content.figures.values() for figure in found):
        write_text(out / "figures" / f"{figure.key}.svg", figure.svg)
        with replacing(out / "figures" / f"{figure.key}.png") as stream:
            stream.write(figure.png)
    _write_tidy(out / "tidy.csv", evidence.each)
    _write_confusion(out / "confusion.csv", evidence.each)
    write_json(out / SUMMARY, summary(content))
    name = title or (f"Few-shot evaluation: {protocol.name}" if protocol else "Few-shot evaluation")
    page = render(content, title=name, protocol=protocol and protocol.path, report_command=command, refresh=refresh,
                  live=live)
    write_text(out / "report.html", page)
    return out / "report.html", content


TIDY = ("run", "task", "novel_class", "shots", "model", "mode", "clf", "method", "task_number", "class", "f1")


def _rows_of(run, number):
    """Columns of a run that stay the same in every row of `tidy.csv` and `confusion.csv`."""
    names = (run.config["model"], run.config["mode"], run.config["clf"], run.method)
    return [number, csv_cell(run.evaluation), run.novel and csv_cell(run.novel), run.shots, *map(csv_cell, names)]


def _csv_line(values):
    stream = io.StringIO()
    csv.writer(stream, lineterminator="").writerow(values)
    return stream.getvalue()


def _write_tidy(path, runs):
    """One row for each run, task and class; the class name is quoted where it needs to be."""
    with replacing(path, "w", encoding="utf-8", newline="\n") as stream:
        stream.write(",".join(TIDY) + "\n")
        for number, run in enumerate(runs, 1):
            head = _csv_line(_rows_of(run, number))
            names = [_csv_line([csv_cell(name)]) for name in run.classes]
            stream.write("".join(f"{head},{task},{name},{value:.6g}\n" for task, row in enumerate(run.f1.tolist())
                                 for name, value in zip(names, row, strict=True)))


def _write_confusion(path, runs):
    with replacing(path, "w", encoding="utf-8", newline="\n") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*TIDY[:8], "true", "predicted", "queries"])
        for number, run in enumerate(runs, 1):
            head, classes = _rows_of(run, number), [csv_cell(name) for name in run.classes]
            writer.writerows([*head, true, predicted, count]
                             for true, row in zip(classes, run.statistics["confusion"], strict=True)
                             for predicted, count in zip(classes, row, strict=True))


def summary(content):
    """What programs read: JSON-able dict; F1 and intervals are fractions, as in the results."""
    return {"schema": 1, "notices": content.evidence.notices, "in_short": content.in_short,
            "published": content.published_counts, "tables": sorted(table.key for table in content.tables),
            "runs": [_run_summary(run, number) for number, run in enumerate(content.evidence.each, 1)],
            "comparisons": [{column.label: cell.values[0] if column.parts else cell.text
                             for column, cell in zip(content.comparisons.columns, row, strict=True)}
                            for row in content.comparisons.rows]}


def _run_summary(run, number):
    macro = run.statistics["macro_f1"]
    return {"run": number, "path": run.path, "config": run.config, "method": run.method, "classes": run.classes,
            "num_tasks": len(run.f1), "macro_f1": macro, "closed_ci95": run.closed.half, "open_ci95": run.open.half,
            "open_unit": run.unit, "open_units": run.open.n, "open_note": run.open.note, "open_way": run.open.way,
            "not_covered": run.not_covered, "variance_components": run.parts and vars(run.parts),
            "class_f1": run.statistics["class_f1"], "groups": run.statistics["groups"],
            "accuracy": run.statistics["accuracy"], "balanced_accuracy": run.statistics["balanced_accuracy"],
            "distinct_support": run.statistics["distinct_support"],
            "distinct_query": run.statistics["distinct_query"], "tasks_for_target": run.needed,
            "tasks_hash": run.hashes["tasks"], "leaks": [vars(leak) for leak in run.leaks]}
