"""The bootstrap of open intervals: what a resample is; what runs, results, comparisons and the report make of it."""
import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _world import make_world_with_tasks
from scipy import stats
from test_engine_runs import start, wait_for

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.engine import run_all
from fewshot_wsi.meta_test.generation import make_tasks
from fewshot_wsi.meta_test.inputs import Inputs
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.settings import RunSettings, TaskPlan
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report.evidence import read_evidence
from fewshot_wsi.report.paired import compare_results
from lowshot.intervals import bootstrap_interval
from lowshot.resampling import Design, Rules, load_design, resample
from lowshot.sampling import Pool


def _design(rule="published", *, one_set=False, units=6, each=8, same_slide=False, **changes):
    """Two classes; every unit holds `each` tiles of both."""
    labels, owners = np.tile(np.repeat([0, 1], each), units), np.repeat(np.arange(units), 2 * each)
    support = Pool("support", labels, np.arange(len(labels)), owners, owners if same_slide else None)
    query = support if one_set else Pool("query", labels, np.arange(len(labels)) + len(labels), owners + units)
    rules = Rules(["a", "b"], 2, 5, 40, rule, False, same_slide, 3, "setting", "slide", {})
    return Design(support, query, support.groups, query.groups, replace(rules, **changes))


def test_a_resample_depends_on_seed_setting_and_number_alone():
    design = _design()
    first, again = resample(design, 4), resample(_design(), 4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for other in (resample(design, 5), resample(_design(seed=4), 4), resample(_design(setting="other"), 4)):
        assert not np.array_equal(first[1], other[1])


def test_rows_are_of_the_class_that_tasks_ask_for_and_of_units_that_were_drawn():
    design, seen = _design(), []
    for number in range(60):
        support, query, _ = resample(design, number)
        assert (design.support.labels[support] == np.repeat([0, 1], 2)).all()
        assert (design.query.labels[query] == np.repeat([0, 1], 5)).all()
        seen.append((len(np.unique(design.support_units[support])), len(np.unique(design.query_units[query]))))
    # of 6 units 6 (1 - (5/6)^6) = 4.0 are in a resample on average, on each side by draws of its own
    assert np.mean(seen, axis=0) == pytest.approx([4, 4], abs=0.4)
    assert abs(np.corrcoef(np.transpose(seen))[0, 1]) < 0.4


def test_a_unit_that_is_drawn_twice_is_drawn_from_twice_as_often():
    design, shares = _design(num_tasks=400), []
    for number in range(8):
        query = resample(design, number)[1]
        shares += list(np.bincount(design.query_units[query].ravel(), minlength=12)[6:] / query.size * 6)
    assert np.abs(np.array(shares) - np.round(shares)).max() < 0.25 and max(shares) > 1.7


def test_one_set_is_resampled_once_for_both_sides():
    design = _design(one_set=True)
    for number in range(20):
        support, query, _ = resample(design, number)
        assert set(design.support_units[support].ravel()) == set(design.query_units[query].ravel())


def test_two_sets_that_share_patients_are_resampled_together():
    two = _design(num_tasks=300)
    design = Design(two.support, replace(two.query, groups=two.support.groups), two.support_units, two.support_units,
                    two.rules)
    assert design.shared and not two.shared
    for number in range(10):
        support, query, _ = resample(design, number)
        assert set(design.support_units[support].ravel()) == set(design.query_units[query].ravel())


def test_copies_of_a_group_never_stand_on_both_sides():
    design = _design("grouped", one_set=True, units=8)
    for number in range(20):
        support, query, _ = resample(design, number)
        for task in range(len(support)):
            assert not set(design.support_units[support[task]]) & set(design.support_units[query[task]])


def test_copies_of_an_image_are_one_image():
    design = _design("distinct", one_set=True, units=4)
    for number in range(10):
        support, query, _ = resample(design, number)
        both = np.concatenate([support, query], axis=1)
        assert all(len(np.unique(row)) == len(row) for row in both)


def test_homo_mode_draws_a_doubled_slide_twice_as_often_and_shots_from_one_slide():
    design = _design(same_slide=True, num_tasks=600)
    support, _, _ = resample(design, 0)
    slides = design.support_units[support]
    assert (slides == slides[:, :1]).all()
    shares = np.bincount(slides[:, 0], minlength=6) / 100
    assert np.abs(shares - np.round(shares)).max() < 0.3 and shares.max() > 1.6


def test_a_resample_that_yields_no_task_is_drawn_again_and_counted():
    """Each unit holds one class, so many resamples hold one class only."""
    labels, owners = np.repeat([0, 1], 30), np.repeat(np.arange(6), 10)
    pool = Pool("set", labels, np.arange(60), owners)
    rules = Rules(["a", "b"], 2, 5, 10, "published", False, False, 0, "setting", "slide", {})
    found = [resample(Design(pool, pool, owners, owners, rules), number) for number in range(200)]
    assert all((labels[support] == np.repeat([0, 1], 2)).all() for support, _, _ in found)
    expected = 1 / (1 - 2 * 0.5 ** 6) - 1  # failures before the first success
    assert np.mean([again for _, _, again in found]) == pytest.approx(expected, abs=0.04)


def test_a_design_that_never_yields_a_task_is_refused():
    with pytest.raises(UserError, match="1000 resamples of the slides .* yielded no task of 2 shots and 90 queries"):
        resample(_design("distinct", queries=90), 0)


@pytest.mark.parametrize("one_set", [False, True])
def test_a_saved_design_draws_the_same(tmp_path, one_set):
    design = _design("grouped", one_set=one_set)
    design.save(tmp_path / "design.npz")
    again = load_design(tmp_path / "design.npz")
    assert again.identity == design.identity and (again.query is again.support) == one_set
    assert all(np.array_equal(a, b) for a, b in zip(resample(design, 1), resample(again, 1), strict=True))


# ------------------------------------------------------------------------------------------------ runs and results

@pytest.fixture
def world(tmp_path):
    return make_world_with_tasks(tmp_path)


def _settings(protocol, **changes):
    values = {"num_shots": 2, "num_task": 30, "open": "bootstrap", "open_resamples": 6, **changes}
    return RunSettings(protocol, values.pop("task", "mix"), values.pop("model", "enc"), **values)


def _run(protocol, workers=1, **changes):
    outcome, = run_all([_settings(protocol, **changes)], workers=workers, quiet=True)
    return outcome, read_result(outcome.path)


def test_the_result_holds_the_bootstrap_whatever_the_number_of_workers(world):
    outcome, result = _run(world[0])
    found = result.bootstrap
    assert found.macro.shape == (6,) and found.unit == "slide"
    assert set(found.groups) == {"soft", "hard", "harmonic_mean"}
    assert found.macro.std() > 0 and found.macro == pytest.approx((found.groups["soft"] + found.groups["hard"]) / 2)
    first = outcome.path.read_bytes()
    outcome.path.unlink()
    assert _run(world[0], workers=2)[0].path.read_bytes() == first


def test_everything_else_of_the_result_is_that_of_the_run_without(world):
    plain, _ = _run(world[0], open="formula")
    before = json.loads(plain.path.read_text())
    kept = plain.path.read_bytes()
    outcome, _ = _run(world[0])  # the same file: its tasks are not scored again
    after = json.loads(outcome.path.read_text())
    assert not outcome.kept and set(after) - set(before) == {"open_bootstrap", "open_resampling"}
    assert {key: after[key] for key in before} == before
    assert _run(world[0])[0].kept and _run(world[0], open="formula")[0].kept
    assert not _run(world[0], open_resamples=7)[0].kept
    outcome.path.unlink()
    assert _run(world[0], open="formula")[0].path.read_bytes() == kept


def test_resamples_depend_on_neither_encoder_nor_classifier_so_that_results_subtract(world):
    protocol = world[0]
    results = [_run(protocol, clf=clf, mode=mode, num_prototypes=4, num_aug_shots=5)[1]
               for clf, mode in (("Ridge", "linear"), ("nearest_centroid", "linear"), ("Ridge", "latent_aug"))]
    assert len({result.bootstrap.identity for result in results}) == 1
    a, b, _ = results
    found = compare_results(a, b, Sources(protocol).units(a)).open
    units = a.bootstrap.units  # patients on both sides
    error = (a.bootstrap.macro - b.bootstrap.macro).std(ddof=1) * units / (units - 1)
    assert found.way == "bootstrap" and found.half == pytest.approx(stats.t.ppf(0.975, units - 1) * error)


def test_a_bootstrap_of_other_resamples_is_not_subtracted(world):
    a, b = _run(world[0])[1], _run(world[0], clf="nearest_centroid", open_resamples=9)[1]
    assert compare_results(a, b, Sources(world[0]).units(a)).open.way == "formula"


def test_grouped_tasks_have_an_open_interval_by_the_bootstrap_alone(world):
    protocol = world[0]
    make_tasks(TaskPlan(protocol, "mix", 2, 30, sampling="grouped"))
    for way in ("formula", "bootstrap"):
        _run(protocol, sampling="grouped", open=way)
        run, = read_evidence([Path(protocol.workdir, "results")], Sources(protocol)).runs
        if way == "formula":
            assert run.open.half is None and "--open bootstrap" in run.open.note
        else:
            assert run.open.way == "bootstrap" and run.open.half > 0 and run.unit == "slide"
            assert run.group_open["soft"].half > 0


def test_homo_tasks_resample_slides(world):
    protocol = world[0]
    result = _run(protocol, task="out_homo")[1]
    assert result.bootstrap.unit == "slide" and not result.bootstrap.shared and result.bootstrap.macro.std() > 0


def test_protocol_key_open_is_the_default_and_checked(world):
    protocol = world[0]
    assert RunSettings(replace(protocol, open="bootstrap"), "mix", "enc", num_shots=2).open == "bootstrap"
    with pytest.raises(UserError, match="--open is 'jackknife'.*bootstrap"):
        _settings(protocol, open="jackknife")
    with pytest.raises(UserError, match="--open_resamples is 1; give a whole number from 2"):
        _settings(protocol, open_resamples=1)


def test_too_few_units_are_said_and_leave_the_run_without(world, capsys, monkeypatch):
    monkeypatch.setattr(Design, "count", 2)
    outcome, result = _run(world[0])
    assert result.bootstrap is None
    assert "no bootstrap, a class is sampled from two slides only" in capsys.readouterr().err
    assert _run(world[0])[0].kept


def test_damaged_bootstraps_are_named(world, tmp_path):
    outcome, _ = _run(world[0])
    data = json.loads(outcome.path.read_text())
    for key, value in (("open_bootstrap", [0.5]), ("open_bootstrap", ["x"] * 6), ("open_resampling", {"unit": "x"})):
        outcome.path.write_text(json.dumps({**data, key: value}))
        with pytest.raises(UserError, match="damaged result .*open_"):
            read_result(outcome.path)


OPTIONS = ("--task", "mix", "--model", "enc", "--num_shots", 2, "--num_task", 60, "--open", "bootstrap", "--quiet")


def test_a_killed_bootstrap_goes_on_with_what_is_missing(world):
    protocol, path = world
    settings = _settings(protocol, num_task=60, open_resamples=400)
    options = [*OPTIONS, "--open_resamples", 400, "--protocol", path, "--num_threads", 1]

    def finished():
        return list(Path(protocol.workdir, "results").rglob(".*/open.*.npy"))

    process = start(*options)
    wait_for(lambda: len(finished()) >= 3, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    times = {found: found.stat().st_mtime_ns for found in finished()}
    assert len(times) >= 3 and not settings.result_file.exists()
    process = start(*options)
    _, err = process.communicate()
    assert process.returncode == 0 and "notice: --open bootstrap scores 24,000 tasks" in err and "401 times" in err
    whole = settings.result_file.read_bytes()
    assert not list(settings.result_file.parent.glob(".*"))
    settings.result_file.unlink()
    run_all([settings], quiet=True)
    assert settings.result_file.read_bytes() == whole


def test_finished_resamples_are_taken_over(world):
    settings = _settings(world[0])
    run = Inputs().prepare(settings)
    run_all([settings], quiet=True)
    whole = settings.result_file.read_bytes()
    run_all([replace(settings, open="formula")], quiet=True)
    settings.result_file.unlink()
    marked = np.array([0.25, 0.2, 0.3, 0.24, 0])  # macro F1, two groups, their harmonic mean, redrawn
    run.folder.mkdir()
    np.save(run.folder / f"open.{run.design.identity[:16]}.2.npy", marked)
    found = _run(world[0])[1]
    assert found.bootstrap.macro[2] == 0.25 and found.path.read_bytes() != whole
    assert found.bootstrap.groups["harmonic_mean"][2] == 0.24


def test_command_prints_how_the_interval_of_a_difference_was_made(world, run):
    protocol, _ = world
    a, b = (_run(protocol, clf=clf)[0].path for clf in ("Ridge", "nearest_centroid"))
    done = run("wsi_workdir/compare.py", a, b, "--protocol", protocol.path)
    assert done.returncode == 0 and "by bootstrap, p " in done.stdout and "new slides" in done.stdout


def test_a_run_says_its_open_interval_and_leaves_standard_output_as_published(world, run):
    protocol, path = world
    lines = {}
    for more in ((), ("--stats",)):
        done = run("wsi_workdir/distributed_meta_test.py", *OPTIONS, "--open_resamples", 6, "--protocol", path, *more)
        assert done.returncode == 0, done.stderr
        lines[more] = done.stdout.splitlines(), done.stderr
    interval = bootstrap_interval(read_result(_settings(protocol, num_task=60).result_file).f1.mean(),
                                  read_result(_settings(protocol, num_task=60).result_file).bootstrap)
    said = f"macro F1 {100 * interval.mean:.2f} ± {100 * interval.half:.2f} is for new slides"
    assert len(lines[()][0]) == 9 and said in lines[()][1]
    assert said in lines["--stats",][0][-1] and said not in lines["--stats",][1]
