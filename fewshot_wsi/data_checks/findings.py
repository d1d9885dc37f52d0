"""Each check as a function from measurements to findings. Findings are corrected, or reported with results."""

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from fewshot_wsi.data_checks import colour
from fewshot_wsi.data_checks.duplicates import exact_groups, near_groups
from fewshot_wsi.data_checks.measure import FLAT

IMBALANCE = 2.0   # largest class over smallest class, above which it is a finding
COLOUR = 0.5      # share of the way from chance to perfect that colour alone may go, beyond two standard errors
EXAMPLES = 5
FILLED = 1 / 16    # share of the height that is one colour, from which on an image may have been cut
DARK = 64


@dataclass(frozen=True)
class Finding:
    check: str    # one of a few fixed words, for programs
    lists: tuple  # names of the lists concerned
    text: str
    count: int
    examples: list = field(default_factory=list)


@dataclass(frozen=True)
class MeasuredImages:
    """All different image files of all lists. M rows."""
    paths: list
    records: np.ndarray  # (M,) RECORD; zeros where broken
    broken: dict         # row: reason
    exact: np.ndarray    # (M,) equal for equal content
    near: np.ndarray     # (M,) equal for near duplicates, exact ones included

    @property
    def usable(self):
        usable = np.ones(len(self.paths), bool)
        usable[list(self.broken)] = False
        return usable


def compare(paths, records, broken):
    """MeasuredImages, with its duplicates found."""
    usable = np.ones(len(paths), bool)
    usable[list(broken)] = False
    exact = np.arange(len(paths)) + len(paths)  # broken images are like no other
    exact[usable] = exact_groups(records["sha256"][usable])
    first = np.unique(exact, return_index=True)[1]
    textured = usable[first] & (records["spread"][first] >= FLAT)
    groups = near_groups(records["hash"][first], records["thumb"][first], textured)
    near = groups[np.searchsorted(exact[first], exact)]
    return MeasuredImages(paths, records, broken, exact, near)


def check_files(checked, measured):
    """Images that are missing or do not decode, odd sizes and modes, lines that stand twice."""
    rows, names = checked.rows, checked.images.names
    broken = [i for i, row in enumerate(rows.tolist()) if row in measured.broken]
    if broken:
        yield Finding("unreadable", (checked.name,), f"{len(broken)} images are missing or do not decode", len(broken),
                      [measured.broken[int(rows[i])] for i in broken[:EXAMPLES]])
    whole = np.flatnonzero(measured.usable[rows])
    records = measured.records[rows[whole]]
    sizes = [f"{w}×{h}" for w, h in zip(records["width"].tolist(), records["height"].tolist(), strict=True)]
    yield from _odd("size", checked, whole, sizes, Counter(sizes).most_common(1)[0][0] if sizes else None)
    yield from _odd("mode", checked, whole, [mode.decode() for mode in records["mode"].tolist()], "RGB")
    partial = (records["filled"] >= FILLED) & (records["spread"] >= FLAT)
    yield from _some("filled_end", checked, whole[partial], "end in rows of one single colour, as cut images do")
    yield from _some("dark", checked, whole[records["brightest"] < DARK], f"have no level above {DARK - 1} of 255, as "
                     "where 12 bits are stored in 16")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        yield Finding("repeated_line", (checked.name,), f"{len(twice)} images are listed more than once", len(twice),
                      twice[:EXAMPLES])


def _some(check, checked, places, what):
    if len(places):
        yield Finding(check, (checked.name,), f"{len(places)} images {what}", len(places),
                      [checked.images.names[i] for i in places[:EXAMPLES]])


def _odd(what, checked, places, values, usual):
    odd = [i for i, value in enumerate(values) if value != usual]
    if odd:
        kinds = ", ".join(f"{count} of {value}" for value, count in Counter(values[i] for i in odd).most_common(4))
        yield from _some(f"odd_{what}", checked, places[odd], f"have another {what} than {usual}: {kinds}")


def check_balance(checked):
    counts = np.array([(checked.labels == label).sum() for label in checked.classes])
    if counts.max() > IMBALANCE * counts.min():
        least, most = (list(checked.classes.values())[i] for i in (counts.argmin(), counts.argmax()))
        yield Finding("imbalance", (checked.name,), f"class {most} has {counts.max()} images, class {least} "
                      f"{counts.min()}: {counts.max() / counts.min():.1f} times as many", int(counts.max()))


def check_duplicates_within(checked, measured):
    """Different files of one list with equal or nearly equal content, and whether their labels agree."""
    rows, first = np.unique(checked.rows, return_index=True)
    rows, first = rows[measured.usable[rows]], first[measured.usable[rows]]
    labels, names = checked.labels[first], [checked.images.names[i] for i in first]
    exact = _repeated(measured.exact[rows])
    if exact:
        yield _duplicates("exact_duplicates", "the very same content as another", checked, exact, labels, names)
    _, one = np.unique(measured.exact[rows], return_index=True)  # near: between different contents only
    near = [one[members] for members in _repeated(measured.near[rows[one]])]
    if near:
        yield _duplicates("near_duplicates", "nearly the content of another, flips and quarter turns included", checked,
                          near, labels, names)


def _repeated(keys):
    """List of index arrays, one for each value of `keys` that occurs more than once."""
    order = np.argsort(keys, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
    return [part for part in parts if part.size > 1]


def _duplicates(check, what, checked, groups, labels, names):
    count = sum(part.size for part in groups)
    mixed = sum(np.unique(labels[part]).size > 1 for part in groups)
    conflict = f"; in {mixed} of the {len(groups)} sets the labels differ" if mixed else ""
    groups = sorted(groups, key=lambda part: np.unique(labels[part]).size, reverse=True)
    examples = [" = ".join(names[i] for i in part[:3]) for part in groups[:EXAMPLES]]
    return Finding(check, (checked.name,), f"{count} images have {what} ({len(groups)} sets of like images){conflict}",
                   count, examples)


def check_between(one, two, measured):
    """What two lists share: files, content, near duplicates, groups."""
    rows, others = np.unique(one.rows), np.unique(two.rows)
    both = np.intersect1d(rows, others)
    lists = (one.name, two.name)
    if both.size:
        yield Finding("same_files", lists, f"{both.size} images are in both lists ({one.name} has {rows.size}, "
                      f"{two.name} {others.size})", int(both.size), [str(measured.paths[i]) for i in both[:EXAMPLES]])
    rows, others = (np.setdiff1d(part, both) for part in (rows, others))
    rows, others = rows[measured.usable[rows]], others[measured.usable[others]]
    exact = _common(measured.exact, rows, others)
    near = [pair for pair in _common(measured.near, rows, others) if measured.exact[pair[0]] != measured.exact[pair[1]]]
    for check, what, pairs in (("exact_duplicates", "the very same content as", exact),
                               ("near_duplicates", "nearly the content of", near)):
        if pairs:
            yield Finding(check, lists, f"{len(pairs)} images of {one.name} have {what} an image of {two.name}",
                          len(pairs), [f"{measured.paths[i]} = {measured.paths[j]}" for i, j in pairs[:EXAMPLES]])
    if one.groups and two.groups:
        common = sorted(set(one.groups) & set(two.groups) - {None})
        if common:
            shares = [sum(group in set(common) for group in part.groups) for part in (one, two)]
            yield Finding("group_overlap", lists, f"{len(common)} groups are in both lists: {shares[0]} images of "
                          f"{one.name}, {shares[1]} of {two.name}", len(common), common[:EXAMPLES])


def _common(keys, rows, others):
    """(row, other) for each of `rows` whose key one of `others` has; the first such other."""
    values, first = np.unique(keys[others], return_index=True)
    if not values.size:
        return []
    place = np.minimum(np.searchsorted(values, keys[rows]), values.size - 1)
    found = np.flatnonzero(values[place] == keys[rows])
    return [(int(rows[i]), int(others[first[place[i]]])) for i in found]


def check_groups(checked, alone):
    """Images that the table of groups forgets; groups of several images, from which a task may draw both sides.

    alone: no other list is in the same table, so support and query can only come from this one."""
    if checked.groups is None:
        return
    lacking = [name for name, group in zip(checked.images.names, checked.groups, strict=True) if group is None]
    if lacking:
        yield Finding("no_group", (checked.name,), f"{len(lacking)} images have no group", len(lacking),
                      lacking[:EXAMPLES])
    sizes = Counter(group for group in checked.groups if group is not None)
    several = [group for group, count in sizes.most_common() if count > 1]
    if several and alone:
        count = sum(sizes[group] for group in several)
        yield Finding("groups_inside", (checked.name,), f"{count} of {len(checked.images)} images share their group "
                      f"with another ({len(sizes)} groups): where support and query both come from this list, draw "
                      "tasks with sampling 'grouped'", count, several[:EXAMPLES])


def colour_facts(checked, measured, workers):
    """Mean RGB of each class, and balanced accuracy of mean RGB and of the histogram, None where not estimable."""
    whole = measured.usable[checked.rows]
    labels, records = checked.labels[whole], measured.records[checked.rows[whole]]
    means = {name: [round(float(value), 1) for value in records["mean_rgb"][labels == label].mean(axis=0)]
             for label, name in checked.classes.items() if (labels == label).any()}
    # near duplicates stay in one fold, and so do the groups that are known
    groups = measured.near[checked.rows[whole]]
    if checked.groups:
        known = {}
        groups = np.array([known.setdefault(group or ("", i), len(known))
                           for i, group in enumerate(np.array(checked.groups, object)[whole])])
    accuracy = {what: colour.predictability(features, labels, groups, workers) for what, features in
                (("mean_rgb", records["mean_rgb"]), ("histogram", np.sqrt(records["histogram"])))}
    return {"mean_rgb": means, "balanced_accuracy": accuracy, "chance": 1 / len(checked.classes)}


def check_colour(checked, facts):
    chance = facts["chance"]
    for what, accuracy in facts["balanced_accuracy"].items():
        if accuracy is None:
            continue
        error = np.sqrt(accuracy * (1 - accuracy) / len(checked.images))  # few images prove little
        if accuracy - 2 * error - chance > COLOUR * (1 - chance):
            what = what.replace("mean_rgb", "the mean colour").replace("histogram", "the colour histogram")
            yield Finding("colour", (checked.name,), f"{what} alone predicts the class with a balanced accuracy of "
                          f"{100 * accuracy:.1f} % (chance {100 * chance:.1f} %)", round(100 * accuracy))


def all_findings(sets, measured, workers):
    """(list of Finding, dict of facts per list name)."""
    found, facts = [], {}
    for checked in sets:
        colours = colour_facts(checked, measured, workers)
        rows = np.unique(checked.rows)
        flat = measured.usable[rows] & (measured.records["spread"][rows] < FLAT)
        facts[checked.name] = {
            "list": str(checked.images.path), "root": str(checked.root), "images": len(checked.images),
            "classes": {name: int((checked.labels == label).sum()) for label, name in checked.classes.items()},
            "labelled": checked.images.labels is not None, "too_uniform_to_compare": int(flat.sum()), "colour": colours}
        alone = sum(other.table == checked.table for other in sets) == 1
        found += [*check_files(checked, measured), *check_balance(checked), *check_groups(checked, alone),
                  *check_duplicates_within(checked, measured), *check_colour(checked, colours)]
    for one, two in combinations(sets, 2):
        found += check_between(one, two, measured)
    return found, facts


def with_rows(sets):
    """(sets whose `rows` are set, all different paths): rows point into the paths, equal files are one."""
    numbers, paths, answer = {}, [], []
    for checked in sets:
        rows = np.empty(len(checked.images), np.int64)
        for i, path in enumerate(checked.paths()):
            key = str(path.absolute())
            if key not in numbers:
                numbers[key] = len(paths)
                paths.append(path.absolute())
            rows[i] = numbers[key]
        answer.append(replace(checked, rows=rows))
    return answer, paths
