"""Reading results for the report: what is left out and why, open intervals by group and slide, leakage."""
import json

import numpy as np
import pytest

from benchmarks.report import draw_result
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.meta_test.protocol import build_protocol
from fewshot_wsi.meta_test.results import encode_array, meta_path, read_result
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report.contrasts import comparisons, in_short
from fewshot_wsi.report.evidence import read_evidence
from fewshot_wsi.report.leakage import f1_without, in_same_task
from fewshot_wsi.report.overview import main_tables
from fewshot_wsi.report.paired import compare_results
from fewshot_wsi.report.published import summarise
from fewshot_wsi.report.selection import grids, partners, place_of, standing
from fewshot_wsi.report.tables import APART
from lowshot.intervals import closed_interval
from lowshot.statistics import f1_scores, harmonic_mean

GROUPS = {"colon": [0, 1], "lung": [2, 3, 4]}


def _evidence(folder, **options):
    return read_evidence([folder], Sources(), **options)


def _spoil(path, change):
    text = path.read_text()
    data = json.loads(text)
    change(data)
    path.write_text(json.dumps(data))


def test_broken_files_are_named_and_left_out(tmp_path):
    good = draw_result(tmp_path)
    broken = {name: draw_result(tmp_path, model=name) for name in ("cut", "empty", "schema", "f1", "shape", "label")}
    broken["cut"].write_text(broken["cut"].read_text()[:5000])
    broken["empty"].write_text("")
    _spoil(broken["schema"], lambda d: d.update(schema=99))
    _spoil(broken["f1"], lambda d: d["f1"][0].__setitem__(0, 0.123))
    _spoil(broken["shape"], lambda d: d.update(queries=d["supports"]))
    _spoil(broken["label"], lambda d: d.update(classes=d["classes"][:4], f1=[row[:4] for row in d["f1"]]))
    (tmp_path / "other.json").write_text('{"what": "no result"}')
    found = _evidence(tmp_path)
    assert [run.path for run in found.runs] == [str(good)]
    for path in (*broken.values(), tmp_path / "other.json"):
        assert any(str(path) in notice for notice in found.notices), path


DAMAGE = {
    "ragged f1": lambda d: d["f1"][0].pop(), "no f1": lambda d: d.update(f1={}),
    "no config": lambda d: d["config"].clear(), "numbered groups": lambda d: d.update(class_groups=[[0], [1]]),
    "words for numbers": lambda d: d["config"].update(num_shots="5"), "no hashes": lambda d: d.update(hashes=None),
    "empty hashes": lambda d: d["hashes"].clear(), "no task hash": lambda d: d["hashes"].update(tasks=None),
    "no classes": lambda d: d.update(classes=None), "numbered classes": lambda d: d.update(classes=[0, 1, 2, 3, 4]),
    "group too high": lambda d: d.update(class_groups={"colon": [0, 5]}), "no sets": lambda d: d["sets"].clear(),
    "empty group": lambda d: d.update(class_groups={"colon": []}), "no labels": lambda d: d.update(
        query_labels=encode_array(np.zeros(0, np.int16)), predictions=encode_array(np.zeros((100, 0), np.int16)),
        queries=encode_array(np.zeros((100, 0), np.int16)))}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_part_leaves_its_file_out_and_no_other(tmp_path, damage):
    good, bad = draw_result(tmp_path), draw_result(tmp_path, model="bad")
    _spoil(bad, DAMAGE[damage])
    found = _evidence(tmp_path)
    assert [run.path for run in found.runs] == [str(good)]
    notice, = found.notices
    assert notice.startswith(f"left out: {bad}: damaged result (") and notice.endswith("remove it and run again")


def test_a_damaged_meta_file_costs_time_and_versions_only(tmp_path):
    path = draw_result(tmp_path)
    meta_path(path).write_text('{"seconds": 1')
    found = _evidence(tmp_path)
    assert found.runs[0].meta == {} and str(meta_path(path)) in found.notices[0]


def test_nothing_readable_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match="no readable result"):
        _evidence(tmp_path)
    draw_result(tmp_path).write_text("{")
    with pytest.raises(UserError, match="no readable result"):
        _evidence(tmp_path)


def test_copies_of_a_run_count_once(tmp_path):
    draw_result(tmp_path / "a")
    draw_result(tmp_path / "b")
    found = _evidence(tmp_path)
    assert len(found.runs) == 1 and "the same run as" in found.notices[0]


@pytest.mark.parametrize("side", ["support", "query"])
def test_equal_settings_on_other_features_are_told_apart(tmp_path, side):
    draw_result(tmp_path / "a")
    _spoil(draw_result(tmp_path / "b"), lambda d: d["hashes"].update({f"{side}_features": "another"}))
    found = _evidence(tmp_path)
    assert [run.method for run in found.runs] == ["FSP · Ridge", "FSP · Ridge (features 2)"]
    grid, = grids(found.runs)
    assert all(len(numbers) == 1 and grid.complete(cell) for cell, numbers in grid.cells.items())


def test_variants_keep_their_name_from_column_to_column(tmp_path):
    """Features A with dictionary 1, B with 1 and B with 2, at two numbers of shots; a linear run of each."""
    for place, (features, dictionary) in enumerate([("A", "1"), ("B", "1"), ("B", "2"), ("A", None), ("B", None)]):
        for shots in (1, 5):
            mode = "latent_aug" if dictionary else "linear"
            _spoil(draw_result(tmp_path / str(place), mode=mode, num_shots=shots),
                   lambda d, f=features, k=dictionary: d["hashes"].update(support_features=f, dictionary=k))
    runs = _evidence(tmp_path).runs
    grid, = grids(runs)
    assert set(grid.methods) == {"FSP · Ridge", "FSP · Ridge (features 2)", "FSP · Ridge + LA",
                                 "FSP · Ridge + LA (features 2)", "FSP · Ridge + LA (features 2, dictionary 2)"}
    assert len(grid.cells) == 10 and set(map(len, grid.cells.values())) == {1}
    pairs = partners(runs, "mode")
    assert len(pairs) == 6
    assert all(runs[i].hashes["support_features"] == runs[j].hashes["support_features"] for i, j in pairs)


def test_a_pilot_of_few_tasks_stands_beside_the_full_run_and_is_not_compared_with_it(tmp_path):
    for novel in "012":
        for clf in ("Ridge", "nearest_centroid"):
            draw_result(tmp_path / "full", model=f"fsp_wo_{novel}", novel_class=novel, tasks=30, clf=clf)
    for novel in "012":
        draw_result(tmp_path / "pilot", model=f"fsp_wo_{novel}", novel_class=novel, tasks=10)
    found = _evidence(tmp_path)
    grid, = grids(found.runs)
    assert set(grid.methods) == {"FSP · Ridge", "FSP · NC", "FSP · Ridge (10 tasks)"}
    stand = standing(grid, 5, found.runs)
    apart = {m for m in grid.methods if m != stand.best} - set(stand.p)
    assert stand.best and apart == set(stand.apart) == (
        {"FSP · Ridge (10 tasks)"} if "10" not in stand.best else {"FSP · Ridge", "FSP · NC"})
    stands = {5: stand}
    marks = {row[0].text: row[1].mark for row in main_tables(grid, stands, found.runs)[0].rows}
    assert all((marks[method] == APART) == (method in apart) for method in grid.methods)
    said = in_short(found, [(grid, stands)], comparisons(found), summarise([]))[0]
    assert all(method in said.split("scored on other tasks")[1] for method in apart)


def test_a_run_without_a_group_of_classes_leaves_its_cell_open(tmp_path):
    draw_result(tmp_path, groups=GROUPS)
    draw_result(tmp_path, model="clp")
    runs = _evidence(tmp_path).runs
    grid, = grids(runs)
    table = main_tables(grid, {5: standing(grid, 5, runs)}, runs)[1]
    assert {row[0].text: row[2].text for row in table.rows}["CLP · Ridge"] == "–"


def test_evaluations_of_like_names_have_files_and_anchors_of_their_own(tmp_path):
    for task in ("a-b", "a b", "a b 2", "胃", "肝"):
        draw_result(tmp_path, task=task)
    keys = [grid.key for grid in grids(_evidence(tmp_path).runs)]
    assert len(set(keys)) == 5 and all(key.isascii() for key in keys)


def test_pairs_within_the_report_are_those_of_the_comparison_command(tmp_path):
    a, b = draw_result(tmp_path, model="clp", skill=0.65), draw_result(tmp_path, model="fsp")
    found = _evidence(tmp_path)
    (i, j), inside = next(iter(found.pairs.items()))
    first, second = (read_result(found.runs[n].path) for n in (i, j))
    alone = compare_results(first, second, Sources().units(first))
    assert {found.runs[i].path, found.runs[j].path} == {str(a), str(b)}
    assert inside.closed == alone.closed and inside.p == alone.p
    assert inside.open.half == pytest.approx(alone.open.half)


def test_workers_and_the_cache_of_a_live_view_change_nothing(tmp_path):
    for model in ("clp", "fsp"):
        for shots in (1, 5):
            draw_result(tmp_path, model=model, num_shots=shots)
    cache = {}
    one, two = _evidence(tmp_path, cache=cache), _evidence(tmp_path, jobs=2)
    again = _evidence(tmp_path, cache=cache)
    for other in (two, again):
        assert [r.path for r in one.runs] == [r.path for r in other.runs]
        assert [r.open for r in one.runs] == [r.open for r in other.runs] and one.pairs == other.pairs


def _slides(tmp_path, slides=6, tasks=120):
    """A result whose supports come from one slide a task and whose F1 depends on the slide."""
    names = [f"slide{s}/c{c}/{k}.png" for c in range(5) for s in range(slides) for k in range(10)]
    write_list(tmp_path / "train.txt", names, np.repeat(np.arange(5), slides * 10))
    chosen = np.arange(tasks) % slides
    supports = np.concatenate([c * slides * 10 + chosen[:, None] * 10 + np.arange(5) for c in range(5)], axis=1)
    query_names = [f"slide{k % 6 + 6}/c{c}/{k}.png" for c in range(5) for k in range(2000)]
    write_list(tmp_path / "test.txt", query_names, np.repeat(np.arange(5), 2000))
    sets = {"support_list": str(tmp_path / "train.txt"), "support_slide": 0,
            "query_list": str(tmp_path / "test.txt"), "query_slide": 0}
    path = draw_result(tmp_path / "r", tasks=tasks, supports=supports, sets=sets, skill=0.7)
    return path, chosen


def test_slides_named_in_the_result_are_the_units_of_the_open_interval(tmp_path):
    path, _ = _slides(tmp_path)
    units = Sources().units(read_result(path))
    assert (units.name, units.one_draw, units.count) == ("slide", True, 6)
    run, = _evidence(tmp_path / "r").runs
    assert run.unit == "slide" and run.open.n == 6 and run.open.half > run.closed.half


def test_a_list_that_is_not_here_leaves_images_as_units_and_says_so(tmp_path):
    path, _ = _slides(tmp_path)
    (tmp_path / "train.txt").unlink()
    found = _evidence(tmp_path / "r")
    assert found.runs[0].unit == "image" and any("train.txt: no such list" in notice for notice in found.notices)


def test_harmonic_means_are_per_task_then_averaged(tmp_path):
    draw_result(tmp_path, groups=GROUPS)
    run, = _evidence(tmp_path).runs
    per_task = harmonic_mean([run.f1[:, [0, 1]].mean(1), run.f1[:, [2, 3, 4]].mean(1)], axis=0)
    assert run.statistics["groups"]["harmonic_mean"]["mean"] == pytest.approx(per_task.mean())
    means = run.f1[:, [0, 1]].mean(), run.f1[:, [2, 3, 4]].mean()
    of_means = 2 * means[0] * means[1] / sum(means)  # the paper: 42.92 and 49.07 give 45.79
    assert run.statistics["harmonic_mean_of_means"] == pytest.approx(of_means) and of_means > per_task.mean()
    assert run.group_open["harmonic_mean"].mean == pytest.approx(per_task.mean())
    assert run.group_open["harmonic_mean"].half >= closed_interval(per_task).half * 0.999


def test_target_says_how_many_tasks(tmp_path):
    draw_result(tmp_path)
    run, = _evidence(tmp_path, target=0.005).runs
    assert run.needed["closed"] > len(run.f1)


def test_same_image_and_same_group_in_support_and_query_are_found(tmp_path):
    names = [f"c{c}/{k}.png" for c in range(2) for k in range(10)]
    write_list(tmp_path / "all.txt", names, np.repeat([0, 1], 10))
    (tmp_path / "groups.csv").write_text("path,group\n" + "".join(f"{n},{n[:2]}-{int(n[3]) // 2}\n" for n in names))
    supports, queries = np.array([[0, 10], [4, 14]]), np.array([[0, 1, 5, 11, 12, 13], [0, 1, 2, 10, 11, 12]])
    same = {}
    for side in ("support", "query"):
        same |= {side: "all", f"{side}_list": str(tmp_path / "all.txt"), f"{side}_groups": str(tmp_path / "groups.csv")}
    draw_result(tmp_path / "r", ways=2, tasks=2, queries=3, num_shots=1, supports=supports, query_rows=queries,
                sets=same)
    run, = _evidence(tmp_path / "r").runs
    image, copy, group, pretraining = run.leaks
    assert not copy.known
    assert (image.kind, image.queries, image.tasks) == ("support, same image", 1, 1)
    assert (group.kind, group.queries, group.tasks) == ("support, same group", 3, 1)
    assert not pretraining.known and "--protocol" in pretraining.why


def test_pretraining_images_among_queries_are_found_through_the_protocol(tmp_path):
    names = [f"{k}.png" for k in range(20)]
    write_list(tmp_path / "test.txt", names, np.repeat([0, 1], 10))
    write_list(tmp_path / "seen.txt", names[:3])
    (tmp_path / "config.py").write_text(
        f"data = dict(train=dict(data_source=dict(list_file='{tmp_path}/seen.txt', root='data')))")
    image_set = {"list": str(tmp_path / "test.txt"), "root": "data", "classes": "two", "config": "x"}
    protocol = build_protocol({"name": "p", "classes": {"two": ("a", "b")},
                               "sets": {"test": image_set, "train": image_set},
                               "models": {"fsp": {"config": str(tmp_path / "config.py")}},
                               "dictionary": {"set": "train", "prefix": "x"}, "tasks": {}})
    queries = np.array([[0, 3, 4, 10, 11, 12]])
    draw_result(tmp_path / "r", ways=2, tasks=1, queries=3, num_shots=1, supports=np.array([[5, 15]]),
                query_rows=queries, sets={"query_list": str(tmp_path / "test.txt")})
    run, = read_evidence([tmp_path / "r"], Sources(protocol)).runs
    leak = next(leak for leak in run.leaks if leak.kind.startswith("pre-training"))
    assert leak.known and leak.queries == 1


def test_figure_without_affected_queries_is_f1_of_the_others(tmp_path):
    result = read_result(draw_result(tmp_path, tasks=8))
    affected = np.random.default_rng(0).random(result.predictions.shape) < 0.3
    scores, kept = f1_without(result, affected)
    assert kept.all()
    for task in range(8):
        rest = ~affected[task]
        assert scores[task] == pytest.approx(f1_scores(
            result.query_labels[rest], result.predictions[task:task + 1, rest], 5).mean())
    everything = np.ones_like(affected)
    assert not f1_without(result, everything)[1].any()


def test_overlap_is_looked_for_within_a_task_only():
    query, support = np.array([[1, 2], [3, 4]]), np.array([[2, 9], [1, 2]])
    assert in_same_task(query, support).tolist() == [[False, True], [False, False]]


def test_near_cells_average_novel_classes_and_wait_until_all_are_there(tmp_path):
    for novel in ("0", "1"):
        for model in ("clp", "fsp"):
            if (novel, model) != ("1", "fsp"):
                draw_result(tmp_path, model=f"{model}_wo_{novel}", novel_class=novel,
                            skill=0.7 if model == "clp" else 0.6)
    runs = _evidence(tmp_path).runs
    grid, = grids(runs)
    assert grid.novels == ("0", "1") and grid.methods == ["FSP · Ridge", "CLP · Ridge"]
    numbers = grid.cells["CLP · Ridge", 5]
    place = place_of(numbers, runs)
    assert place.mean == pytest.approx(np.mean([runs[n].closed.mean for n in numbers]))
    assert place.closed == pytest.approx(np.hypot(*[runs[n].closed.half for n in numbers]) / 2)
    assert standing(grid, 5, runs).best == "CLP · Ridge" and not standing(grid, 5, runs).p


def test_best_is_told_from_clearly_worse_and_not_from_its_equal(tmp_path):
    for clf, skill in (("Ridge", 0.7), ("logistic_regression", 0.7), ("nearest_centroid", 0.5)):
        draw_result(tmp_path, clf=clf, skill=skill, tasks=60)
    runs = _evidence(tmp_path).runs
    grid, = grids(runs)
    stand = standing(grid, 5, runs)
    assert "FSP · NC" not in stand.alike and len(stand.alike) <= 1


def test_partners_differ_in_one_thing_only(tmp_path):
    for model in ("clp", "fsp"):
        for mode in ("linear", "latent_aug"):
            draw_result(tmp_path, model=model, mode=mode)
    draw_result(tmp_path, model="clp", mode="latent_aug", num_aug_shots=50)
    runs = _evidence(tmp_path).runs
    name = [(run.family, run.config["mode"], run.config["num_aug_shots"]) for run in runs]
    assert sorted((name[i], name[j]) for i, j in partners(runs, "mode")) == [
        (("clp", "latent_aug", 50), ("clp", "linear", 100)), (("clp", "latent_aug", 100), ("clp", "linear", 100)),
        (("fsp", "latent_aug", 100), ("fsp", "linear", 100))]
    assert all(runs[i].family == "clp" and runs[j].family == "fsp" for i, j in partners(runs, "family"))
    assert len(partners(runs, "family")) == 2
