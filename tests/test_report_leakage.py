"""What is said about leakage and units, and what is not said where it cannot be known."""
import numpy as np
import pytest

from benchmarks.report import draw_result
from fewshot_wsi.foundation.lists import write_list
from fewshot_wsi.meta_test.protocol import build_protocol
from fewshot_wsi.meta_test.results import read_result
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report.evidence import read_evidence
from fewshot_wsi.report.leakage import find_leaks
from fewshot_wsi.report.tiles import shown_tasks

LABELS = np.repeat([0, 1], 10)  # two classes of ten images in every set here
NAMES = [f"s{k // 2}/c{c}/{k}.png" for c in range(2) for k in range(10)]  # two images a slide and class


@pytest.fixture
def world(tmp_path):
    """Folder with a list `all.txt` of NAMES, a training config, and makers of protocols and results."""
    write_list(tmp_path / "all.txt", NAMES, LABELS)
    return World(tmp_path)


class World:
    def __init__(self, folder):
        self.folder = folder

    def write(self, name, names, labels=LABELS):
        write_list(self.folder / name, names, labels)
        return str(self.folder / name)

    def groups(self, name, groups):
        path = self.folder / name
        path.write_text("path,group\n" + "".join(f"{image},{group}\n" for image, group in groups.items()))
        return str(path)

    def trained(self, names, root="data", name="seen.txt"):
        """Model that was trained on `names` below `root`."""
        write_list(self.folder / name, names)
        config = self.folder / "config.py"
        config.write_text("data = dict(train=dict(data_source=dict(list_file='none', root='none')))")
        return {"config": str(config), "options": {"data.train.data_source.list_file": str(self.folder / name),
                                                   "data.train.data_source.root": root}}

    def protocol(self, support=None, query=None, **models):
        """support, query: fields of the sets 'train' and 'test'."""
        base = {"list": str(self.folder / "all.txt"), "root": "data", "classes": "two", "config": "x"}
        return build_protocol({"name": "p", "classes": {"two": ("a", "b")},
                               "sets": {"train": {**base, **(support or {})}, "test": {**base, **(query or {})}},
                               "models": models, "dictionary": {"set": "train", "prefix": "x"}, "tasks": {}})

    def result(self, supports=((9, 19),), queries=((0, 1, 5, 10, 11, 15),), **sets):
        sets = {"support_list": str(self.folder / "all.txt"), "query_list": str(self.folder / "all.txt"), **sets}
        supports, queries = np.array(supports), np.array(queries)
        return read_result(draw_result(self.folder / "r", ways=2, tasks=len(supports), queries=queries.shape[1] // 2,
                                       num_shots=supports.shape[1] // 2, supports=supports, query_rows=queries,
                                       sets=sets, task="out"))


def _leaks(result, sources):
    """Leaks by kind: whether they are known and how many queries they affect, or why they are not."""
    found = find_leaks(result, sources)
    return {leak.kind: leak.queries if leak.known else leak.why for leak in found}


def test_a_slide_that_was_trained_on_is_found_through_its_other_tiles(world):
    result = world.result(support_slide=0, query_slide=0)
    found = _leaks(result, Sources(world.protocol(fsp=world.trained(["s0/other.png", "s2/c1/4.png"]))))
    assert found["pre-training, same image"] == 0
    assert found["pre-training, same slide"] == 6  # slides s0 and s2 of both classes


def test_a_patient_that_was_trained_on_is_found_through_the_table_of_any_set_of_that_folder(world):
    tables = {"support": {"groups": world.groups("a.csv", {"new.png": "P0"})},
              "query": {"groups": world.groups("b.csv", {name: f"P{name[1]}" for name in NAMES})}}
    result = world.result()
    sources = Sources(world.protocol(**tables, fsp=world.trained(["new.png"])))
    assert _leaks(result, sources)["pre-training, same group"] == 4
    alone = Sources(world.protocol(query=tables["query"], fsp=world.trained(["new.png"])))
    assert "no patients, groups or slides" in _leaks(result, alone)["pre-training, same group"]


@pytest.mark.parametrize(("root", "prefix", "slides"), [
    ("data", "", 2), ("./data/", "", 2), ("other/../data", "", 2), (".", "data/", "another folder"),
    ("data/s0", "../", "another folder"), ("elsewhere", "", "another folder")])
def test_pretraining_images_are_told_by_file_whatever_the_roots_are_called(world, root, prefix, slides):
    result = world.result(support_slide=0, query_slide=0)
    listed = [prefix + NAMES[0]] if root != "data/s0" else [NAMES[0].removeprefix("s0/")]
    found = _leaks(result, Sources(world.protocol(fsp=world.trained(listed, root))))
    assert found["pre-training, same image"] == (0 if root == "elsewhere" else 1)
    if isinstance(slides, str):
        assert slides in found["pre-training, same slide"]
    else:
        assert found["pre-training, same slide"] == 4


def test_models_of_one_config_with_other_options_have_their_own_training_lists(world):
    protocol = world.protocol(fsp=world.trained(NAMES[:2], name="a.txt"), clp=world.trained(NAMES[5:6], name="b.txt"))
    sources = Sources(protocol)
    assert [set(sources.training(model)[0].split("/")[-1:]) for model in ("fsp", "clp")] == [{"a.txt"}, {"b.txt"}]
    result = world.result()
    assert _leaks(result, sources)["pre-training, same image"] == 2
    result.config["model"] = "clp"
    assert _leaks(result, sources)["pre-training, same image"] == 1


def test_equal_names_in_two_sets_are_one_image_only_where_their_folders_are_known(world):
    result = world.result(supports=((0, 10),))
    kind = "support, same image"
    assert "--protocol" in _leaks(result, Sources())[kind]
    assert _leaks(result, Sources(world.protocol()))[kind] == 2
    assert _leaks(result, Sources(world.protocol(query={"root": "data/test"})))[kind] == 0


def test_owners_that_one_set_alone_knows_are_no_units(world):
    for sets in ({"support_slide": 0}, {"query_slide": 0, "support_list": None, "support_slide": 0},
                 {"support_slide": 0, "query_groups": world.groups("g.csv", {name: name[:2] for name in NAMES})}):
        result, sources = world.result(**sets), Sources()
        assert sources.units(result).name == "image"
        assert "both sets" in _leaks(result, sources)["support, same group"]
        assert any("single images" in notice for notice in sources.notices)


def test_slides_serve_where_one_set_has_groups_too(world):
    result = world.result(support_slide=0, query_slide=0,
                          query_groups=world.groups("g.csv", dict.fromkeys(NAMES, "P")))
    sources = Sources()
    assert sources.units(result).name == "slide" and _leaks(result, sources)["support, same slide"] == 0


def test_slide_of_the_protocol_counts_where_the_result_names_none(world):
    result = world.result(supports=((1, 11),), support_slide=None, query_slide=None)
    sources = Sources(world.protocol(support={"slide": 0}, query={"slide": 0}))
    assert sources.units(result).name == "slide" and _leaks(result, sources)["support, same slide"] == 4


def test_a_table_of_other_images_gives_no_groups(world):
    table = world.groups("g.csv", {f"x/{name}": "P" for name in NAMES})
    result, sources = world.result(support_groups=table, query_groups=table), Sources()
    assert sources.units(result).name == "image" and "20 of 20 images" in sources.notices[0]


def test_a_path_without_the_slide_is_named_and_its_set_has_no_slides(world):
    short = world.write("short.txt", [*NAMES[:-1], "lonely.png"])
    result, sources = world.result(query_list=short, support_slide=1, query_slide=1), Sources()
    assert sources.units(result).name == "image"
    assert any("'lonely.png' has no path component 1" in notice for notice in sources.notices)


@pytest.mark.parametrize("changed", [NAMES[:12], NAMES[1:] + NAMES[:1]], ids=["shorter", "in another order"])
def test_a_list_that_has_changed_since_names_no_images(world, changed):
    path = world.write("now.txt", changed, np.roll(LABELS, -1)[:len(changed)])
    world.result(queries=((0, 1, 9, 10, 11, 15),), query_list=path, support_slide=0, query_slide=0)
    sources = Sources(world.protocol(fsp=world.trained(NAMES[:2])))
    evidence = read_evidence([world.folder / "r"], sources)
    run, = evidence.runs
    assert run.unit == "image" and not any(leak.known for leak in run.leaks)
    assert any("no longer the list" in notice for notice in evidence.notices)
    assert shown_tasks([run], sources) == []


def test_f1_with_and_without_affected_queries_are_of_the_same_tasks(world):
    same = {"query": "train"}
    result = world.result(supports=((0, 1, 10, 11), (3, 4, 13, 14)),
                          queries=((0, 1, 10, 12), (3, 5, 15, 16)), **same)
    leak = next(leak for leak in find_leaks(result, Sources())
                if leak.kind == "support, same image")
    assert (leak.queries, leak.tasks, leak.kept) == (4, 2, 1)  # the first task loses its first class
    assert leak.f1 == pytest.approx(result.f1[1].mean())
    rest = result.predictions[1, 1:]
    right = rest == [0, 1, 1]
    expected = np.mean([2 * right[:1].sum() / ((rest == 0).sum() + 1), 2 * right[1:].sum() / ((rest == 1).sum() + 2)])
    assert leak.f1_without == pytest.approx(expected) and leak.change == pytest.approx(expected - leak.f1)


def test_copies_under_other_names_are_found_by_the_table_of_check_data(world):
    """Image 9 of class a, a support, is a copy of image 1, a query."""
    table = world.groups("copies.csv", {NAMES[9]: "copy-1", NAMES[1]: "copy-1", NAMES[15]: "copy-2"})
    result = world.result()
    found = _leaks(result, Sources(world.protocol()))
    assert "no table of copies is known" in found["support, copy"]
    found = _leaks(result, Sources(world.protocol({"copies": table}, {"copies": table})))
    assert found["support, copy"] == 1 and found["support, same image"] == 0
    found = _leaks(world.result(support_copies=table, query_copies=table), Sources())
    assert found["support, copy"] == 1  # what the result itself names


def test_an_image_that_is_a_support_itself_is_no_copy(world):
    table = world.groups("copies.csv", {NAMES[9]: "copy-1", NAMES[1]: "copy-1"})
    result = world.result(queries=((9, 0, 5, 10, 11, 15),))
    found = _leaks(result, Sources(world.protocol({"copies": table}, {"copies": table})))
    assert (found["support, same image"], found["support, copy"]) == (1, 0)


def test_copies_of_training_images_are_found(world):
    table = world.groups("copies.csv", {"s9/c0/old.png": "copy-1", NAMES[1]: "copy-1"})
    result = world.result()
    protocol = world.protocol({"copies": table}, {"copies": table}, fsp=world.trained(["s9/c0/old.png", "s8/x.png"]))
    found = _leaks(result, Sources(protocol))
    assert (found["pre-training, same image"], found["pre-training, copy"]) == (0, 1)
