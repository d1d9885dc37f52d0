"""Pre-training seeds of one recipe as one encoder: the score of a task is the mean over the seeds.

The mean over seeds and tasks is a statistic of the same tasks, so closed and open intervals and paired comparisons are
computed from it as from one run; the influence of a unit on it is the mean of the influences (lowshot.influence). How
far one training differs from another is a question of its own, answered by the spread over the seeds:

    m_s = mean over tasks (and novel classes) of the training from seed s,  SD = std(m_s, ddof=1)
"""

import json
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from fewshot_wsi.foundation.files import json_sha256
from lowshot.comparison import ALPHA
from lowshot.influence import Influence
from lowshot.resampling import Bootstrap
from lowshot.statistics import published_block, summary

DRAWN = ("recipe", "pretrain_seed")  # keys of a result's config: see `meta_test.protocol.ModelEntry`


@dataclass(frozen=True)
class Measured:
    """What intervals and comparisons are computed from, for one run or for the mean of several.

    scores, influences: of the macro F1 (None) and of each class group; influences of the units, and `by_image` that
    of single images on the macro F1, None where a bootstrap makes that needless.
    """
    scores: dict       # name -> (T,)
    influences: dict   # name -> Influence
    by_image: Influence | None
    bootstrap: Bootstrap | None


def mean_measured(members):
    """Measured of the mean over `members`, which were scored on the same tasks."""
    if len(members) == 1:
        return members[0]
    singles, resampled = [m.by_image for m in members], [m.bootstrap for m in members]
    return Measured({name: np.mean([m.scores[name] for m in members], axis=0) for name in members[0].scores},
                    {name: _mean_influence([m.influences[name] for m in members]) for name in members[0].influences},
                    None if None in singles else _mean_influence(singles), _mean_bootstrap(resampled))


def _mean_influence(found):
    return Influence(np.mean([one.residual for one in found], axis=0), np.mean([one.query for one in found], axis=0))


def _mean_bootstrap(found):
    """None unless all were made of the same resamples."""
    if None in found or len({(one.identity, len(one.macro)) for one in found}) > 1:
        return None
    return replace(found[0], macro=np.mean([one.macro for one in found], axis=0),
                   groups={name: np.mean([one.groups[name] for one in found], axis=0) for name in found[0].groups})


def by_recipe(runs):
    """Places of the runs that stand in tables as one: [[place, …], …], a list of one for a run without a recipe.

    runs: list of ReportedRun on one task set. Two runs from one seed that differ in their inputs are not averaged:
    the first of each seed is, and the others stand alone.
    """
    groups = {}
    for place, run in enumerate(runs):
        recipe, seed = (run.config.get(key) for key in DRAWN)
        if recipe is None:
            groups[place] = {seed: place}
            continue
        rest = {key: value for key, value in run.config.items() if key not in (*DRAWN, "model")}
        key = json.dumps([recipe, rest], sort_keys=True)
        while seed in groups.setdefault(key, {}):
            key += "+"  # another training from the same seed
        groups[key][seed] = place
    return [[found[seed] for seed in sorted(found, key=lambda s: -1 if s is None else s)] for found in groups.values()]


def as_one(members, f1, scores):
    """ReportedRun that stands for `members`, sorted by seed, without its intervals. f1: (T, C), scores: as in
    `Measured`, both means over the seeds."""
    first = members[0]
    config = {key: value for key, value in first.config.items() if key not in DRAWN}
    hashes = {key: value if all(m.hashes[key] == value for m in members)
              else json_sha256([m.hashes[key] for m in members]) for key, value in first.hashes.items()}
    return replace(first, config={**config, "model": first.config["recipe"]}, hashes=hashes, f1=f1, members=members,
                   leaks=[], statistics=_statistics(members, f1, scores))


def _statistics(members, f1, scores):
    """As `statistics.run_statistics`: of the mean over seeds where it is an average of tasks, and confusion matrices
    summed over seeds."""
    every = [member.statistics for member in members]
    mean, half = published_block(f1)[-1]
    return {**_averaged(every), "num_tasks": len(f1), "confidence": every[0]["confidence"],
            "class_f1": [summary(column) for column in f1.T], "macro_f1": summary(f1.mean(axis=1)),
            "groups": {name: summary(values) for name, values in scores.items() if name is not None},
            "published_last_line": {"mean": mean, "mean_of_class_half_widths": None if np.isnan(half) else half},
            "confusion": np.sum([one["confusion"] for one in every], axis=0).tolist(),
            **{key: every[0][key] for key in ("distinct_support", "distinct_query")}}


def _averaged(values):
    """The mean of numbers, also within dicts and lists; None where one is None."""
    if any(value is None for value in values):
        return None
    if isinstance(values[0], dict):
        return {key: _averaged([value[key] for value in values]) for key in values[0]}
    if isinstance(values[0], list):
        return [_averaged(list(each)) for each in zip(*values, strict=True)]
    return float(np.mean(values))


def seed_means(runs, group=None):
    """{seed: mean over the runs (one for each novel class)} of runs that stand for the same seeds of a recipe; {}
    where they do not, or have no seeds. group: as in `selection.place_of`."""
    seeds = [tuple(member.config["pretrain_seed"] for member in run.members) for run in runs]
    if len(set(seeds)) != 1:
        return {}
    def score(member):
        return member.closed.mean if group is None else member.statistics["groups"][group]["mean"]
    return {seed: float(np.mean([score(run.members[place]) for run in runs])) for place, seed in enumerate(seeds[0])}


def spread(means):
    """Standard deviation over the seeds; None for fewer than two."""
    return float(np.std(list(means.values()), ddof=1)) if len(means) > 1 else None


@dataclass(frozen=True)
class OverSeeds:
    """A difference of two methods as an effect of their recipes: what other seeds would give on these tasks."""
    half: float  # 95 % half-width
    p: float

    @property
    def shown(self):
        return self.p < ALPHA


def over_seeds(a, b, paired):
    """OverSeeds of A minus B; None where one of them has fewer than two seeds.

    a, b: {seed: mean score}. paired: both use the same trainings (with augmentation and without, say): t over the
    differences of the seeds. Otherwise Welch's t, which takes trainings from equal seeds to be independent.
    """
    if min(len(a), len(b)) < 2 or (paired and a.keys() != b.keys()):
        return None
    one, other = np.array(list(a.values())), np.array([b[seed] for seed in a] if paired else list(b.values()))
    difference = one.mean() - other.mean()
    parts = [(one - other).var(ddof=1) / len(one)] if paired else [x.var(ddof=1) / len(x) for x in (one, other)]
    error = np.sqrt(sum(parts))
    if error == 0:
        return OverSeeds(0.0, float(difference == 0))
    sizes = [len(one)] if paired else [len(one), len(other)]
    freedom = sum(parts) ** 2 / sum(part ** 2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    half, p = stats.t.ppf(0.975, freedom) * error, 2 * stats.t.sf(abs(difference) / error, freedom)
    return OverSeeds(float(half), float(p))
