"""Tables that set runs against each other: paired comparisons, gain of augmentation, the paper, leakage."""

from dataclasses import replace

import numpy as np

from fewshot_wsi.meta_test.origins import novel_warning, origin_warnings
from fewshot_wsi.report.overview import CLOSED, chance_of, percent, with_half
from fewshot_wsi.report.published import DIFFERENT, EQUIVALENT, MARGIN, OPEN, match_published
from fewshot_wsi.report.selection import SANITY, of_recipes, partners, place_of
from fewshot_wsi.report.tables import Cell, Column, Table, figure, number_cell, text_cell
from fewshot_wsi.report.uncertainty import collect_line, not_covered_lines
from lowshot.comparison import ALPHA, holm
from lowshot.sign_flip import FEW_TASKS
from lowshot.statistics import t_interval

PLAN = (("mode", "Latent augmentation against linear"), ("family", "Encoder against encoder"))


def comparisons(evidence):
    """Paired comparisons that a reader asks for: augmentation or not, encoder against encoder; Holm over the table, for
    these images and for new units apart."""
    runs = evidence.runs
    chosen = [(kind, i, j) for key, kind in PLAN for i, j in partners(runs, key)]
    results = [_directed(evidence.pairs, i, j) for _, i, j in chosen]
    by_seed = [of_recipes([runs[i]], [runs[j]]) for _, i, j in chosen]
    seeds = any(by_seed)
    adjusted, open_adjusted = holm([found.p for found in results]), _holm_where_known([f.open.p for f in results])
    table = Table("comparisons", "Paired comparisons", (
        "A minus B in points of macro F1, task by task on the same tasks. Closed ± and p speak of further tasks from "
        "these images: t over tasks, and a two-sided sign-flip permutation over tasks. Open ± and p speak of new units "
        "of the same source: t over units. Both p are then corrected for the number of comparisons (Holm over this "
        "table), and the verdict goes by the corrected ones. Won: share of tasks where A is better."
        + " Over seeds, ± and p speak of other trainings of the two recipes: t over pre-training seeds (Welch's; "
          "paired where both use the same trainings), not corrected." * seeds
        + _limits(results, evidence.runs, chosen)),
        [Column("Compared", pick=True), Column("Task", pick=True), Column("Novel class", pick=True),
         Column("Shots", ("",)), Column("A"), Column("B"), Column("Difference", ("A − B", "closed ±")),
         Column("open ±", ("",)), Column("Won (%)", ("",)), Column("Tied (%)", ("",)),
         *(Column(name, ("",), over) for over in ("These images", "New units") for name in ("p", "p (Holm)")),
         Column("Unit"), *[Column("±", ("",), "Over seeds"), Column("p", ("",), "Over seeds")] * seeds,
         Column("Verdict", pick=True)])
    for (kind, i, j), found, holm_p, open_p, drawn in zip(chosen, results, adjusted, open_adjusted, by_seed,
                                                          strict=True):
        a, b = runs[i], runs[j]
        closed, opened = found.closed, found.open
        table.rows.append([
            text_cell(kind), text_cell(a.evaluation), text_cell(a.novel_name), number_cell(a.shots, "{}"),
            text_cell(a.method), text_cell(b.method), with_half(closed.mean, closed.half),
            number_cell(None if opened.half is None else 100 * opened.half), number_cell(100 * found.won, "{:.1f}"),
            number_cell(100 * found.tied, "{:.1f}"), _p_cell(found.p), _p_cell(holm_p), _p_cell(opened.p),
            _p_cell(open_p), text_cell(a.unit),
            *[number_cell(drawn and 100 * drawn.half), _p_cell(drawn and drawn.p)] * seeds,
            text_cell(verdict(closed.mean, holm_p, open_p, a.unit, drawn))])
    return table


def _holm_where_known(p_values):
    """`holm` of the p values that are not None; None stays None."""
    known = [place for place, p in enumerate(p_values) if p is not None]
    found = [None] * len(p_values)
    for place, p in zip(known, holm([p_values[place] for place in known]), strict=True):
        found[place] = p
    return found


def _limits(results, runs, chosen):
    """What few tasks do to the sign-flip test of this table: sentences for its caption, '' where nothing is to say."""
    few = sum(len(runs[i].f1) <= FEW_TASKS for _, i, _ in chosen)
    floor = sum(found.smallest * len(results) >= ALPHA for found in results)
    said = [f" {few} comparisons are of {FEW_TASKS} tasks or fewer: where differences are skewed, p over tasks is too "
            "small."] if few else []
    said += [f" {floor} are of so few tasks that p over tasks, corrected, may not fall below {ALPHA:g} whatever the "
             "difference."] if floor else []
    return "".join(said)


def _directed(pairs, i, j):
    """Comparison of run i minus run j; each pair is stored in one order."""
    found = pairs.get((i, j))
    if found is not None:
        return found
    found = pairs[j, i]
    closed, opened = (replace(one, mean=-one.mean) for one in (found.closed, found.open))
    return replace(found, closed=closed, open=opened, won=1 - found.won - found.tied)


def verdict(difference, p, open_p, unit, seeds=None):
    """What may be said: nothing, something about these images, or something about new units (images, slides, …).

    p and open_p are corrected for the number of comparisons; open_p is None where it is not known. seeds:
    `recipes.OverSeeds` of A minus B, or None.
    """
    if p >= ALPHA:
        return "no difference shown"
    verdict = "A better" if difference > 0 else "B better"
    beyond = open_p is not None and open_p < ALPHA
    said = f"{verdict}, for new {unit}s too" if beyond else f"{verdict} on these images only"
    return said if seeds is None or seeds.shown else f"{said}, not shown for other pre-training seeds"


def _p_cell(p):
    if p is None:
        return Cell("–", (None,))
    return Cell("< 0.001" if p < 0.001 else f"{p:.3f}", (float(p),))


def verdict_lines(table):
    """One sentence for each kind of comparison and pair of encoders: how often A is higher, and on what grounds."""
    counts = {}
    for row in table.rows:
        kind, a, b = row[0].text, row[4].text, row[5].text
        who = "Latent augmentation" if kind == PLAN[0][1] else f"{a.split(' · ')[0]} against {b.split(' · ')[0]}"
        words = row[-1].text.replace("A better", "better").replace("B better", "worse")
        counts.setdefault(who, {}).setdefault(words, 0)
        counts[who][words] += 1
    return [f"{who}: " + ", ".join(f"{words} in {n}" for words, n in sorted(found.items()))
            + f" of {sum(found.values())} paired comparisons." for who, found in counts.items()]


def gains(grid, runs):
    """Gain of latent augmentation for each class: [(classes, method, shots, [(mean, half) per class])].

    Paired per task, averaged over novel classes; half-widths as for `selection.Place`.
    """
    members = {n for numbers in grid.cells.values() for n in numbers}
    found = {}
    for i, j in partners(runs, "mode"):
        if i in members:
            found.setdefault((tuple(runs[i].classes), runs[i].method, runs[i].shots), []).append(
                t_interval(runs[i].f1 - runs[j].f1))
    return [(*key, [(float(np.mean([m[c] for m, _ in each])),
                     float(np.sqrt(np.sum([h[c] ** 2 for _, h in each])) / len(each)))
                    for c in range(len(key[0]))]) for key, each in found.items()]


def gain_tables(grid, runs):
    tables = []
    every = gains(grid, runs)
    for place, classes in enumerate(dict.fromkeys(g[0] for g in every)):
        table = Table(f"gain_{grid.key}" + (f"-{place + 1}" if place else ""),
                      f"{grid.evaluation}: gain of latent augmentation, class by class", (
                          "F1 with latent augmentation minus F1 without, in points, paired on the same tasks"
                          f"{', averaged over novel classes' if len(grid.novels) > 1 else ''}. {CLOSED}"),
                      [Column("Method"), Column("Shots", ("",)), *(Column(c, ("gain", "closed ±")) for c in classes)])
        for _, method, shots, values in (g for g in every if g[0] == classes):
            cells = [with_half(mean, None if np.isnan(half) else half) for mean, half in values]
            table.rows.append([text_cell(method), number_cell(shots, "{}"), *cells])
        tables.append(table)
    return tables


def published_matches(runs, sources):
    matches = []
    for run in runs:
        rows = {side: sources.size(run.sets, side) for side in ("support", "query")}
        rows["support"] = rows["support"] or (run.encoder or {}).get("rows")
        matches += match_published(run.config, run.statistics, rows, run)
    return matches


def published_table(matches, counts):
    """counts: `published.summarise` of the matches."""
    table = Table("published", "Against the paper", (
        f"{counts['matched']} of the {counts['published']} published tables were run here, {counts['comparable']} of "
        f"them on sets that are known to have the published size: {_verdicts(counts)}. Equivalent: two one-sided tests "
        f"at 5 % show that the difference lies within ± {MARGIN:g} points. Different: the 95 % interval of the "
        "difference of two independent sets of tasks (root of the sum of both squared half-widths of the macro F1) "
        "excludes zero. The paper printed the mean of class half-widths alone (class ±); its half-width of the macro "
        "F1 is assumed to be in the same proportion to that as the run's. A match is one of names: task, encoder "
        "family, novel class, shots, mode, classifier, and published sampling, for a model that never saw the novel "
        "class. Where the sets differ, a difference says nothing about the method."),
        [Column("Task", pick=True), Column("Novel class"), Column("Shots", ("",)), Column("Method", pick=True),
         Column("Published", ("F1", "class ±")), Column("This run", ("F1", "class ±")),
         Column("Difference", ("points", "±")),
         Column("Verdict", pick=True), Column("Sets of published size", pick=True)])
    for m in matches:
        table.rows.append([
            text_cell(m.run.evaluation), text_cell(m.run.novel_name), number_cell(m.run.shots, "{}"),
            text_cell(m.run.method), _points(m.table["mean_f1"], m.table["mean_ci95"]), _points(m.f1, m.ci95),
            _points(m.difference, m.half), text_cell(m.verdict),
            text_cell({True: "yes", False: "no", None: "unknown"}[m.same_size])])
    return table


def _verdicts(counts):
    """Of the comparable tables, how many are of each verdict, and how many chance would give."""
    return (f"{counts[EQUIVALENT]} equivalent, {counts[DIFFERENT]} different, {counts[OPEN]} open; beside tables of "
            f"other settings of their task {counts['by_chance']:.1f} would be equivalent")


def _points(value, half):
    text = figure(value) if half is None else f"{figure(value)} ± {half:.2f}"
    return Cell(text, (value, half))


def leakage_table(runs):
    table = Table("leakage", "Leakage", (
        "Queries whose own image, or another image of the same group, is among the supports of their task or among "
        "the images that the encoder was pre-trained on, and macro F1 in percent with and without them, both over "
        "the tasks that keep a query of every class. Copies under other names are known where a set names the table "
        "of copies that tools/check_data.py writes."),
        [Column("Kind", pick=True), Column("Task", pick=True), Column("Novel class"), Column("Shots", ("",)),
         Column("Method", pick=True), Column("Queries affected (%)", ("",)), Column("Tasks affected (%)", ("",)),
         Column("Tasks kept", ("",)), Column("F1", ("",)), Column("F1 without them", ("",)), Column("Change", ("",))])
    for run in runs:
        for leak in run.leaks:
            if leak.known and leak.queries:
                f1, without, change = (None if figure is None else 100 * figure
                                       for figure in (leak.f1, leak.f1_without, leak.change))
                table.rows.append([
                    text_cell(leak.kind), text_cell(run.evaluation), text_cell(run.novel_name),
                    number_cell(run.shots, "{}"), text_cell(run.method), number_cell(100 * leak.share, "{:.3g}"),
                    number_cell(100 * leak.tasks / len(run.f1), "{:.3g}"), number_cell(leak.kept, "{}"),
                    number_cell(f1), number_cell(without), number_cell(change, "{:+.2f}")])
    return table


def leakage_lines(runs):
    """What was checked and found clean, and what could not be checked: one line each."""
    clean, unknown = {}, {}
    for run, leak in [(found, leak) for found in runs for leak in found.leaks]:
        if not leak.known:
            unknown.setdefault((leak.kind, leak.why), {})[run.evaluation] = True
        elif clean.setdefault(leak.kind, {}).get(run.evaluation, True):
            clean[leak.kind][run.evaluation] = leak.queries == 0
    lines = [f"{kind}: checked, none in {', '.join(task for task, none in tasks.items() if none)}."
             for kind, tasks in clean.items() if any(tasks.values())]
    lines += [f"{kind}: not checked for {', '.join(tasks)}; {why}." for (kind, why), tasks in unknown.items()]
    return lines + [f"{line}." for line in _origins(runs)]


def _origins(runs):
    lines = [novel_warning(run.config["model"], run.evaluation, run.novel_name) for run in runs if run.saw_novel]
    return list(dict.fromkeys([*lines, *(
        line for run in runs for line in origin_warnings(run.config["model"], run.encoder, run.sets))]))


def sanity_table(runs):
    """What colour alone, an untrained network and chance reach, beside the best of each column."""
    columns = {}
    for run in runs:
        columns.setdefault((run.evaluation, run.novel_name, run.shots), []).append(run)
    table = Table("sanity", "Sanity baselines", (
        "Best macro F1 in percent, over classifiers, of encoders that know nothing of tissue, beside the best of all "
        "others; – where there is no such run. Where colour alone comes near, the task asks for little more."),
        [Column("Task"), Column("Novel class"), Column("Shots", ("",)), Column("Chance", ("",)),
         *(Column(_say(name), ("F1", "closed ±")) for name in SANITY), Column("Best encoder", ("F1", "closed ±"))])
    for (evaluation, novel, shots), found in columns.items():
        cells = []
        for name in (*SANITY, None):
            runs_of = [r for r in found if encoder_name(r) == name or (name is None and encoder_name(r) not in SANITY)]
            best = max(runs_of, key=lambda r: r.closed.mean, default=None)
            cells.append(Cell("–", (None, None)) if best is None else with_half(best.closed.mean, best.closed.half))
        table.rows.append([text_cell(evaluation), text_cell(novel), number_cell(shots, "{}"),
                           number_cell(100 * chance_of(found[0])), *cells])
    return table


def _say(name):
    return {"mean_rgb": "Mean RGB", "color_histogram": "Colour histogram", "random": "Random weights"}[name]


def encoder_name(run):
    """Name of a sanity encoder behind a run, from its provenance or its model's name."""
    known = (run.encoder or {}).get("encoder")
    return known if known in SANITY else run.family


def _listed(names, most=8):
    """The names, of which a sentence holds no more than `most`."""
    more = [f"{len(names) - most} more (see the table)"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _standing_sentence(grid, stands, runs):
    """Which method is highest at the most shots of `grid`, and by how much that is known; "" where none is."""
    shots = grid.shots[-1]
    stand = stands[shots]
    if stand.best is None:
        return ""
    numbers = grid.cells[stand.best, shots]
    place = place_of(numbers, runs)
    half = "no open interval" if place.open is None else f"open ± {percent(place.open)}"
    drawn = "" if place.spread is None else f"; SD {percent(place.spread)} over {place.seeds} pre-training seeds"
    unsure = _listed([m for m in grid.methods if m in stand.seeds and not stand.seeds[m].shown])
    alike, apart = (_listed([m for m in grid.methods if m in others]) for others in (stand.alike, stand.apart))
    return (f"{grid.evaluation}, {shots}-shot: {stand.best} is highest with {percent(place.mean)} % macro F1 "
            f"({half} for new {runs[numbers[0]].unit}s{drawn})"
            + (f"; on these images not distinguishable from it: {alike}" if alike else "")
            + (f"; for other pre-training seeds not shown to be better than: {unsure}" if unsure else "")
            + (f"; scored on other tasks, so not compared with it: {apart}" if apart else "") + ".")


def _collect_sentence(grid, stands, runs):
    """What would narrow the interval of the highest method at the most shots of `grid`; "" where that is not known."""
    shots = grid.shots[-1]
    numbers = grid.cells.get((stands[shots].best, shots), ())
    return collect_line(runs[numbers[0]]) if len(numbers) == 1 else ""


def sentences_of(grid, stands, runs):
    """What one evaluation shows, in one or two sentences; none where no method is highest."""
    found = _standing_sentence(grid, stands, runs), _collect_sentence(grid, stands, runs)
    return [sentence for sentence in found if sentence]


def in_short(evidence, main, compared, counts):
    """Sentences that say what came out, no more than the intervals allow.

    main: [(Grid, {shots: Standing})]. counts: `published.summarise` of the matches.
    """
    lines = [sentence for grid, stands in main for sentence in sentences_of(grid, stands, evidence.runs)]
    lines += not_covered_lines(evidence.runs)
    lines += verdict_lines(compared)
    if counts["matched"]:
        of_them = f": {_verdicts(counts)}" if counts["comparable"] else ", so none can be compared"
        lines.append(f"Against the paper: {counts['matched']} of {counts['published']} published tables run, "
                     f"{counts['comparable']} of them on sets of the published size{of_them}.")
    leaks = [(leak.share, leak, run) for run in evidence.each for leak in run.leaks if leak.known]
    if leaks:
        share, leak, run = max(leaks, key=lambda item: item[0])
        lifted = "" if leak.f1 is None else (f"; {run.method}, {run.shots}-shot: {percent(leak.f1)} % macro F1 with "
                                             f"them, {percent(leak.f1_without)} % without")
        lines.append("Leakage: none of what could be checked." if not share else
                     f"Leakage: at most {100 * share:.2g} % of queries are affected ({leak.kind}; {run.evaluation}"
                     f"{lifted}).")
    unchecked = sorted({leak.kind for run in evidence.each for leak in run.leaks if not leak.known})
    if unchecked:
        lines.append(f"Leakage that could not be checked: {'; '.join(unchecked)} (the section on leakage says why).")
    return [*lines, *(f"{line}." for line in _origins(evidence.each))]
