"""Several pre-training seeds of one recipe: one encoder in the report, and the spread over them."""
import csv

import numpy as np
import pytest

from benchmarks.report import draw_result
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.protocol import build_protocol
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.runs import runs_of
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.pipeline.pretraining import Pretraining
from fewshot_wsi.report.evidence import read_evidence
from fewshot_wsi.report.recipes import over_seeds, spread
from fewshot_wsi.report.selection import grids, place_of
from fewshot_wsi.report.writing import write_report
from lowshot.statistics import t_interval

MODES = ("linear", "latent_aug")


def _seeds(folder, recipe, skills, novel=None, first=0, **config):
    """A result for each seed of a recipe, right with the probability of its seed; their paths."""
    return [draw_result(folder, model=f"{recipe}_seed{first + n}", recipe=recipe, pretrain_seed=first + n, skill=skill,
                        novel_class=novel, **config) for n, skill in enumerate(skills)]


def test_seeds_of_a_recipe_are_one_row_whose_score_is_the_mean_of_each_task_over_them(tmp_path):
    """A second derivation from the results themselves; one task is one observation, however many seeds there are."""
    paths = _seeds(tmp_path, "clp", (0.5, 0.6, 0.7), groups={"colon": [0, 1], "lung": [2, 3, 4]})
    run, = read_evidence([tmp_path], Sources()).runs
    each = np.array([read_result(path).f1.mean(axis=1) for path in paths])
    mean, half = t_interval(each.mean(axis=0))
    assert run.method == "CLP · Ridge" and len(run.each) == 3
    assert run.closed.mean == pytest.approx(mean) and run.closed.half == pytest.approx(half)
    place = place_of([0], [run])
    assert place.seeds == 3 and place.spread == pytest.approx(each.mean(axis=1).std(ddof=1))
    assert run.statistics["macro_f1"]["mean"] == pytest.approx(mean)
    colon = np.mean([read_result(path).f1[:, :2].mean() for path in paths])
    assert place_of([0], [run], "colon").mean == pytest.approx(colon)


def test_the_open_interval_of_seeds_that_agree_is_that_of_one_of_them(tmp_path):
    """Equal predictions from three seeds hold no more information about new images than one."""
    path = draw_result(tmp_path / "one")
    alone, = read_evidence([tmp_path / "one"], Sources()).runs
    for seed in range(3):
        text = path.read_text().replace('"model": "fsp"', f'"model": "s{seed}", "recipe": "r", "pretrain_seed": {seed}')
        (tmp_path / "three").mkdir(exist_ok=True)
        (tmp_path / "three" / f"{seed}.json").write_text(text)
    run, = read_evidence([tmp_path / "three"], Sources()).runs
    assert len(run.members) == 3
    assert run.open.half == pytest.approx(alone.open.half) and run.closed.half == pytest.approx(alone.closed.half)


def test_the_spread_and_the_interval_over_seeds_are_those_of_the_recipes():
    """Trainings drawn from known distributions: the mean variance is the true one, and 95 % of the intervals of a
    difference hold the truth, between recipes of unlike spread and between the modes of one."""
    rng = np.random.default_rng(0)
    held, held_paired, variances = [], [], []
    for _ in range(4000):
        a, b = rng.normal(0.62, 0.03, 3), rng.normal(0.60, 0.01, 4)
        augmented = a + rng.normal(0.05, 0.005, 3)
        a, b, augmented = (dict(enumerate(values)) for values in (a, b, augmented))
        found, paired = over_seeds(a, b, False), over_seeds(augmented, a, True)
        held.append(abs(np.mean(list(a.values())) - np.mean(list(b.values())) - 0.02) <= found.half)
        held_paired.append(abs(np.mean(list(augmented.values())) - np.mean(list(a.values())) - 0.05) <= paired.half)
        variances.append(spread(a) ** 2)
    assert np.sqrt(np.mean(variances)) == pytest.approx(0.03, rel=0.03)
    assert np.mean(held) == pytest.approx(0.95, abs=0.015) and np.mean(held_paired) == pytest.approx(0.95, abs=0.012)
    assert over_seeds({0: 0.5}, {0: 0.4, 1: 0.5}, False) is None


def test_recipes_whose_trainings_vary_more_than_they_differ_are_not_told_apart(tmp_path):
    """On these tasks the difference is beyond doubt; other trainings of the same recipes might turn it round."""
    _seeds(tmp_path / "r", "clp", (0.45, 0.65, 0.85), tasks=300)
    _seeds(tmp_path / "r", "fsp", (0.50, 0.60, 0.70), tasks=300)
    _seeds(tmp_path / "r", "fsp", (0.60, 0.70, 0.80), tasks=300, mode="latent_aug")
    page, content = write_report([tmp_path / "r"], tmp_path / "out")
    assert [table.rows[0][0].text for table in content.main_tables] == ["FSP · Ridge"]
    short = content.in_short[0]
    assert "over 3 pre-training seeds" in short and "for other pre-training seeds not shown to be better than" in short
    verdicts = {(row[4].text, row[5].text): row[-1].text for row in content.comparisons.rows}
    assert verdicts["CLP · Ridge", "FSP · Ridge"].startswith("A better")
    assert verdicts["CLP · Ridge", "FSP · Ridge"].endswith("not shown for other pre-training seeds")
    assert "seeds" not in verdicts["FSP · Ridge + LA", "FSP · Ridge"]  # the gain is the same in every training
    cell = content.main_tables[0].rows[0][1]
    assert cell.sub.endswith("over 3 seeds") and len(cell.values) == 4
    runs = {row["model"] for row in csv.DictReader((tmp_path / "out/tidy.csv").open())}
    assert runs == {f"{recipe}_seed{n}" for recipe in ("clp", "fsp") for n in range(3)}
    assert len(content.all_runs.rows) == 9 and "clp_seed2" in page.read_text()
    chance, = (row for row in content.main_tables[0].rows if row[0].text.startswith("chance"))
    assert 15 < chance[1].values[0] < 25


def test_seeds_that_one_novel_class_still_lacks_give_no_spread(tmp_path):
    _seeds(tmp_path, "clp_wo_1", (0.5, 0.6), novel="1")
    _seeds(tmp_path, "clp_wo_2", (0.5, 0.6, 0.7), novel="2")
    runs = read_evidence([tmp_path], Sources()).runs
    grid, = grids(runs)
    assert grid.methods == ["CLP · Ridge"] and grid.complete(("CLP · Ridge", 5))
    assert place_of(grid.cells["CLP · Ridge", 5], runs).spread is None
    _seeds(tmp_path, "clp_wo_1", (0.7,), novel="1", first=2)
    runs = read_evidence([tmp_path], Sources()).runs
    place = place_of(grids(runs)[0].cells["CLP · Ridge", 5], runs)
    means = np.array([[member.closed.mean for member in run.members] for run in runs]).mean(axis=0)
    assert place.seeds == 3 and place.spread == pytest.approx(means.std(ddof=1))


def test_two_trainings_from_one_seed_are_not_averaged(tmp_path):
    _seeds(tmp_path / "a", "clp", (0.5, 0.6))
    again, = _seeds(tmp_path / "b", "clp", (0.7,))
    again.write_text(again.read_text().replace("clp_seed0" * 4, "other"))
    runs = read_evidence([tmp_path], Sources()).runs
    assert sorted(len(run.members) for run in runs) == [1, 2] and len({run.method for run in runs}) == 2


def _protocol(model, **more):
    images = dict(root="data", classes="c", config="e.py")
    near = dict(support="base", query="base", shots=(1,), novel_classes=(0, 1),
                methods=[("clp_wo_{novel}", mode, "Ridge") for mode in MODES])
    return build_protocol(dict(
        name="p", classes=dict(c=("a", "b", "d")), sets=dict(base=dict(list="base.txt", **images)),
        models={**{f"clp_wo_{n}": dict(novel=(n,), **model) for n in (0, 1)}, **more},
        dictionary=dict(set="base", prefix="B"), tasks=dict(near=near)))


def test_a_protocol_trains_and_scores_each_seed_of_a_model():
    protocol = _protocol(dict(config="clp.py", pretrain_seeds=(0, 1, 2)))
    runs = runs_of(protocol)
    assert len(runs) == 2 * 3 * len(MODES) and len({run.result_file for run in runs}) == len(runs)
    assert {(run.model, run.config["recipe"], run.config["pretrain_seed"]) for run in runs} == {
        (f"clp_seed{seed}_wo_{n}", f"clp_wo_{n}", seed) for seed in range(3) for n in (0, 1)}
    trained = [Pretraining(protocol, model, None) for model in protocol.models]
    assert sorted(one.seed for one in trained) == [0, 0, 1, 1, 2, 2]
    assert len({one.work_dir for one in trained}) == len({one.weights for one in trained}) == 6
    assert "recipe" not in runs_of(_protocol(dict(config="clp.py")))[0].config


@pytest.mark.parametrize("model, more, said", [
    (dict(pretrain_seeds=(0, 1)), {}, "pretrain_seeds needs a training config"),
    (dict(config="c.py", pretrain_seeds=(0, 0)), {}, "each once"),
    (dict(config="c.py", pretrain_seeds=(-1,)), {}, "whole numbers from 0"),
    (dict(config="c.py", pretrain_seeds=(0,), recipe="r"), {}, "leave these out"),
    (dict(recipe="r"), {}, "needs the pretrain_seed"),
    (dict(recipe="r", pretrain_seed=1), {}, "both recipe 'r' with pretrain_seed 1"),
    (dict(config="c.py", pretrain_seeds=(0,)), {"clp_seed0_wo_1": dict()}, "as another model is")])
def test_seeds_that_make_no_sense_are_refused(model, more, said):
    with pytest.raises(UserError, match=said):
        _protocol(model, **more)
