"""Tables of what was run and what came out: provenance, main tables, all runs."""

import numpy as np
from scipy import stats

from fewshot_wsi.report.selection import place_of
from fewshot_wsi.report.tables import APART, DAGGER, Cell, Column, Table, figure, number_cell, text_cell

CLOSED = "± is the closed 95 % half-width: t over tasks, for further tasks from these same images."
OPEN = ("Open ± is the open 95 % half-width, by {ways}: for new {units} from the same source. "
        "It does not shrink below what the data allow.")


def percent(value, digits=2):
    return "–" if value is None else figure(100 * value, f"{{:.{digits}f}}")


def with_half(mean, closed, opened=None, place=None, **options):
    """'83.04 ± 0.25', with the open half-width as second line where it is given, and the spread over the seeds of a
    `selection.Place` where it has one."""
    text = f"{percent(mean)} ± {percent(closed)}" if closed is not None else percent(mean)
    drawn = () if place is None or place.spread is None else (place.spread,)
    sub = "; ".join([*[f"open ± {percent(opened)}"] * (opened is not None),
                     *(f"SD {percent(value)} over {place.seeds} seeds" for value in drawn)])
    values = tuple(None if v is None else 100 * v for v in (mean, closed, opened, *drawn))
    return Cell(text, values, sub, **options)


SEEDS = (" SD … over seeds: standard deviation over pre-training seeds of one recipe, whose mean the figure is; the "
         "intervals speak of these very trainings, the SD of how far another may lie from them.")


def parts_of(runs):
    """Names of a cell's values in a main table, and what its caption says of pre-training seeds."""
    figures = ("F1", "closed ±", "open ±")
    return ((*figures, "SD over seeds"), SEEDS) if any(len(run.members) > 1 for run in runs) else (figures, "")


def units_of(runs):
    names = sorted({run.unit for run in runs})
    return " and ".join(f"{name}s" for name in names)


def open_words(runs):
    """OPEN with the units of these runs and the ways in which their intervals were made."""
    ways = sorted({run.open.way for run in runs} - {""}) or ["formula"]
    return OPEN.format(units=units_of(runs), ways=" or ".join(ways))


def main_tables(grid, stands, runs):
    """[Table of macro F1, Table of class groups where there are any] of one evaluation. stands: shots -> Standing."""
    members = [runs[n] for numbers in grid.cells.values() for n in numbers]
    averaged = f" Mean over {len(grid.novels)} novel classes." if len(grid.novels) > 1 else ""
    parts, seeds = parts_of(members)
    columns = [Column("Method"), *(Column(f"{s}-shot", parts, "F1 (%)") for s in grid.shots)]
    table = Table(f"main_{grid.key}", f"{grid.evaluation}: macro F1", (
        f"Macro F1 in percent.{averaged} Bold: highest in its column; {DAGGER}: a paired test on the same tasks does "
        f"not tell it from the highest on these images (sign-flip permutation over tasks, Holm over the column, "
        f"p ≥ 0.05; for new units the open ± says more)"
        + (f"; {APART}: scored on other tasks than the highest, so not compared" if any(
            stand.apart for stand in stands.values()) else "")
        + f". {CLOSED} {open_words(members)}{seeds}"), columns)
    for method in grid.methods:
        table.rows.append([text_cell(method), *(_main_cell(grid, method, shots, stands[shots], runs)
                                                for shots in grid.shots)])
    table.rows.append([text_cell("chance (uniform guess)"), *(_chance_cell(grid, shots, runs)
                                                             for shots in grid.shots)])
    return [table, *_group_table(grid, runs, members, averaged)]


def _main_cell(grid, method, shots, stand, runs):
    numbers = grid.cells.get((method, shots))
    if not numbers:
        return Cell("–", (None, None, None))
    place = place_of(numbers, runs)
    cell = with_half(place.mean, place.closed, place.open, place, best=method == stand.best,
                     mark=DAGGER if method in stand.alike else APART if method in stand.apart else "")
    if grid.complete((method, shots)):
        return cell
    so_far = f"{len(numbers)} of {len(grid.novels)} novel classes so far"
    return Cell(cell.text, cell.values, "" if place.spread is None else cell.sub, so_far)


def chance_f1(counts):
    """Expected macro F1 of a guess that picks every class alike. counts: (C,) queries of each class.

    With n of N queries of a class: TP ~ Binomial(n, 1/C), FP ~ Binomial(N - n, 1/C), F1 = 2 TP / (n + TP + FP).
    """
    counts = np.asarray(counts)
    scores = []
    for n in counts:
        hits, false = np.arange(n + 1)[:, None], np.arange(counts.sum() - n + 1)[None]
        weight = stats.binom.pmf(hits, n, 1 / len(counts)) * stats.binom.pmf(false, counts.sum() - n, 1 / len(counts))
        scores.append(float((weight * 2 * hits / (n + hits + false)).sum()))
    return float(np.mean(scores))


def chance_of(run):
    """`chance_f1` of a run's tasks."""
    return chance_f1(np.sum(run.statistics["confusion"], axis=1) // (len(run.f1) * len(run.each)))


def _chance_cell(grid, shots, runs):
    numbers = next((found for (_, s), found in grid.cells.items() if s == shots), ())
    values = [chance_of(runs[n]) for n in numbers]
    return number_cell(100 * float(np.mean(values)) if values else None)


def _group_table(grid, runs, members, averaged):
    groups = list(dict.fromkeys(name for run in members for name in run.statistics["groups"]))
    if not groups:
        return []
    columns = [Column("Method"), Column("Shots", ("",))]
    parts, seeds = parts_of(members)
    columns += [Column(_group_name(name), parts) for name in groups]
    columns += [Column("harmonic mean of the means", ("",))] * (len(groups) > 1)
    table = Table(f"groups_{grid.key}", f"{grid.evaluation}: groups of classes", (
        "Mean F1 of each group of classes, in percent, and two harmonic means of them: per task, then averaged, and "
        f"of the means over tasks, as in the paper, which is never the smaller one.{averaged} {CLOSED} "
        f"{open_words(members)}{seeds}"), columns)
    for shots in grid.shots:
        for method in grid.methods:
            numbers = grid.cells.get((method, shots))
            if numbers:
                places = [place_of(numbers, runs, group) for group in groups]
                table.rows.append([text_cell(method), number_cell(shots, "{}"),
                                   *(with_half(p.mean, p.closed, p.open, p) for p in places),
                                   *[number_cell(_of_means(numbers, runs))] * (len(groups) > 1)])
    return [table]


def _group_name(name):
    return "harmonic mean, per task" if name == "harmonic_mean" else name


def _of_means(numbers, runs):
    """Harmonic mean of the means over tasks, in percent, averaged over runs; None where a run has no groups."""
    found = [runs[n].statistics.get("harmonic_mean_of_means") for n in numbers]
    return None if None in found else 100 * sum(found) / len(found)


def all_runs(runs, target=None):
    """One row a run: every statistic of it."""
    groups = list(dict.fromkeys(name for run in runs for name in run.statistics["groups"]))
    quantiles = ("5", "25", "50", "75", "95")
    columns = [Column("Run", ("",)), Column("Task", pick=True), Column("Novel class", pick=True),
               Column("Shots", ("",)), Column("Method", pick=True), Column("F1", ("",)), Column("closed ±", ("",)),
               Column("open ±", ("",)), Column("published ±", ("",)), Column("SD", ("",)),
               *(Column(f"{q} %", ("",), "Quantiles over tasks") for q in quantiles),
               Column("Accuracy", ("",)), Column("Balanced", ("",)),
               *(Column(_group_name(name), ("",), "Groups") for name in groups),
               Column("Tasks", ("",)), Column("support", ("",), "Distinct images"),
               Column("query", ("",), "Distinct images"), Column("made by", over="Open interval"),
               Column("unit", over="Open interval"), Column("units, fewest a class", ("",), "Open interval"),
               *([Column(f"tasks for ± {100 * target:g}", ("",), kind) for kind in ("closed", "open")] if target
                 else [])]
    table = Table("all_runs", "Every run", (
        "Macro F1 in percent with its closed and open 95 % half-widths; 'published ±' is the mean of the class "
        "half-widths, as in the last line of the published print-out. Standard deviation and quantiles are over "
        "tasks. Open intervals are made by formula from the scores of these tasks, or by a bootstrap that draws units "
        "and tasks anew; without one the reason stands instead. Few units make wide open intervals: three slides can "
        "say little about the fourth."), columns)
    for number, run in enumerate(runs, 1):
        s = run.statistics
        figures = [run.closed.mean, run.closed.half, run.open.half,
                   s["published_last_line"]["mean_of_class_half_widths"], s["macro_f1"]["sd"],
                   *(s["macro_f1"]["quantiles"][q] for q in quantiles), s["accuracy"]["mean"],
                   s["balanced_accuracy"]["mean"], *(s["groups"].get(g, {}).get("mean") for g in groups)]
        table.rows.append([
            number_cell(number, "{}"), text_cell(run.evaluation), text_cell(run.novel_name),
            number_cell(run.shots, "{}"), text_cell(run.method),
            *(number_cell(None if f is None else 100 * f) for f in figures),
            *(number_cell(n, "{}") for n in (s["num_tasks"], s["distinct_support"], s["distinct_query"])),
            text_cell(", ".join(filter(None, (run.open.way, run.open.note)))), text_cell(run.unit),
            number_cell(run.open.n, "{}"),
            *(_needed_cell(run, kind) for kind in ("closed", "open") if target)])
    return table


def _needed_cell(run, kind):
    count = run.needed[kind]
    if isinstance(count, str):
        return Cell(count, (None,))
    more = count - len(run.f1)
    return Cell(f"{count}" if more <= 0 else f"{count} ({more} more)", (count,))


def class_tables(grid, runs):
    """F1 of every class of every run of one evaluation, one table for each list of classes."""
    tables = {}
    for numbers in grid.cells.values():
        for n in numbers:
            tables.setdefault(tuple(runs[n].classes), []).append(n)
    out = []
    for place, (classes, numbers) in enumerate(tables.items()):
        table = Table(f"classes_{grid.key}" + (f"-{place + 1}" if place else ""),
                      f"{grid.evaluation}: F1 of each class", f"F1 in percent. {CLOSED}",
                      [Column("Novel class", pick=True), Column("Shots", ("",)), Column("Method", pick=True),
                       *(Column(name, ("F1", "closed ±")) for name in classes)])
        for run in (runs[n] for n in sorted(numbers)):
            table.rows.append([text_cell(run.novel_name), number_cell(run.shots, "{}"), text_cell(run.method),
                               *(with_half(c["mean"], c["ci95"]) for c in run.statistics["class_f1"])])
        out.append(table)
    return out


def provenance(runs, sources):
    """[Table of image sets, Table of encoders, Table of how it was computed]."""
    return [_sets(runs, sources), _encoders(runs), _computed(runs)]


def _sets(runs, sources):
    table = Table("sets", "Image sets", "Rows are images; units are what open intervals draw anew.",
                  [Column("Set"), Column("Role"), Column("Task"), Column("Images", ("",)),
                   Column("used by tasks, at most", ("",)), Column("Unit"), Column("List")])
    seen = {}
    for run in runs:
        for side in ("support", "query"):
            key = (run.sets[side], side, run.evaluation)
            used = run.statistics[f"distinct_{side}"]
            seen[key] = (max(used, seen[key][0]) if key in seen else used, run)
    for (name, side, evaluation), (used, run) in seen.items():
        rows = sources.size(run.sets, side) or ((run.encoder or {}).get("rows") if side == "support" else None)
        table.rows.append([text_cell(name), text_cell(side), text_cell(evaluation), number_cell(rows, "{:,}"),
                           number_cell(used, "{:,}"), text_cell(run.unit), text_cell(run.sets.get(f"{side}_list"))])
    return table


def _encoders(runs):
    table = Table("encoders", "Encoders", (
        "The first characters of the SHA-256 of weights and features; – where features came without provenance."),
        [Column("Model"), Column("Encoder"), Column("Dimensions", ("",)), Column("Weights"), Column("Features"),
         Column("Feature set"), Column("Code version")])
    seen = {}
    for run in runs:
        seen.setdefault((run.config["model"], run.sets["support"], run.hashes["support_features"]), run.encoder or {})
    if any(encoder.get("license") for encoder in seen.values()):
        table.columns.extend([Column("Licence"), Column("Pre-trained on"), Column("Citation")])
    for (model, name, features), encoder in sorted(seen.items()):
        table.rows.append([text_cell(model), text_cell(encoder.get("encoder")), number_cell(encoder.get("dim"), "{}"),
                           text_cell((encoder.get("weights_sha256") or "")[:12]), text_cell((features or "")[:12]),
                           text_cell(name), text_cell(encoder.get("code_version"))])
        if len(table.columns) > len(table.rows[-1]):
            table.rows[-1] += [text_cell(encoder.get("license")),
                               text_cell(", ".join(encoder.get("pretraining_data") or ())),
                               text_cell(encoder.get("citation"))]
    return table


def _computed(runs):
    table = Table("computed", "Tasks, seeds and time", (
        "Task hashes name the very tasks: runs with equal hashes were scored on the same ones. Effective groups: 1 / "
        "sum of the squared shares of support tiles, or of queries, that each group has; largest: the largest such "
        "share, in percent. Seconds are those of the runs, added up."),
        [Column("Task"), Column("Novel class"), Column("Shots", ("",)), Column("Tasks", ("",)), Column("Ways", ("",)),
         Column("Queries a class", ("",)), Column("Task hash"), Column("Seed"), Column("Sampling"),
         Column("Support groups", ("effective", "largest")), Column("Query groups", ("effective", "largest")),
         Column("Runs", ("",)), Column("Seconds", ("",)), Column("Versions")])
    groups = {}
    for run in runs:
        groups.setdefault(run.hashes["tasks"], []).append(run)
    for tasks, members in groups.items():
        run = members[0]
        seconds = [m.meta["seconds"] for m in members if isinstance(m.meta.get("seconds"), int | float)]
        versions = {f"{name} {v}" for m in members if isinstance(m.meta.get("versions"), dict)
                    for name, v in m.meta["versions"].items()}
        table.rows.append([
            text_cell(run.evaluation), text_cell(run.novel_name), number_cell(run.shots, "{}"),
            number_cell(len(run.f1), "{}"), number_cell(run.tasks.get("ways"), "{}"),
            number_cell(run.tasks.get("queries"), "{}"), text_cell(tasks[:12]),
            text_cell(", ".join(sorted({str(m.config["seed"]) for m in members}))),
            text_cell(run.config["sampling"]), *(_use_cell(run.group_use.get(side)) for side in ("support", "query")),
            number_cell(len(members), "{}"),
            number_cell(sum(seconds) if seconds else None, "{:.1f}"), text_cell(", ".join(sorted(versions)))])
    return table


def _use_cell(use):
    """Effective number and largest share of groups; – where tiles count as single images."""
    if use is None:
        return Cell("–", (None, None))
    return Cell(f"{use['effective']:.1f} of {use['groups']}, {100 * use['largest']:.0f} %",
                (use["effective"], 100 * use["largest"]))
