"""A protocol is data that is checked before the first image is read."""
import copy

import pytest
from conftest import ROOT

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.novel_classes import novel_tag, parse_novel
from fewshot_wsi.meta_test.protocol import build_protocol, load_protocol

SMALL = dict(
    name="small",
    classes=dict(organ=["a", "b", "c"]),
    sets=dict(train=dict(list="train.txt", root=".", classes="organ", config="c.py", slide=0),
              test=dict(list="test.txt", root=".", classes="organ", config="c.py")),
    models=dict(clp=dict(config="m.py"), clp_wo_2=dict(config="m2.py", novel=[2])),
    dictionary=dict(set="train", prefix="TRAIN"),
    tasks=dict(near=dict(support="train", query="test", shots=[1, 5], novel_classes=[2],
                         methods=[["clp_wo_{novel}", "linear", "Ridge"]])),
)


def changed(**edits):
    """SMALL with 'sets.train.list'-like keys replaced (dots written as __)."""
    data = copy.deepcopy(SMALL)
    for key, value in edits.items():
        *parents, last = key.split("__")
        inner = data
        for part in parents:
            inner = inner[part]
        inner[last] = value
    return data


def test_the_published_protocol_has_the_published_runs():
    paper = load_protocol(ROOT / "configs/protocols/paper.py")
    runs = {name: len(f.methods) * len(f.shots) * max(1, len(f.novel_classes)) for name, f in paper.tasks.items()}
    assert (runs["near"], runs["mixture"], runs["out"], runs["out_homo"]) == (270, 30, 15, 12)
    assert paper.classes_of("NCT_train") == ("BACK", "ADI", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")
    assert [paper.tasks[t].repeat_support for t in ("near", "mixture", "out", "NCT_78_aug")] == [True] + [False] * 3
    assert all(f.queries == 15 for f in paper.tasks.values())


def test_lists_and_tuples_are_the_same_data():
    assert build_protocol(SMALL).tasks["near"].shots == (1, 5)


@pytest.mark.parametrize("edits, words", [
    (dict(tasks__near__shot=1), "unknown key 'shot'; did you mean 'shots'"),
    (dict(sampling="pubished"), "sampling is 'pubished'; did you mean 'published'"),
    (dict(sets__train__classes="organs"), "no class list 'organs'; did you mean 'organ'"),
    (dict(tasks__near__support="tarin"), "no set 'tarin'; did you mean 'train'"),
    (dict(tasks__near__shots=[]), "whole numbers from 1"),
    (dict(tasks__near__shots=[0]), "whole numbers from 1"),
    (dict(tasks__near__query="3"), "no set '3'"),
    (dict(tasks__near__novel_classes=[3]), "lies outside the 3 classes"),
    (dict(tasks__near__groups=dict(x=[7])), "lies outside the 3 classes"),
    (dict(tasks__near__groups=dict(x=[], y=[0])), "the group 'x' is .*; expected a list of classes, not empty"),
    (dict(tasks__near__groups=dict(a=1)), "the group 'a' is 1; expected a list of classes"),
    (dict(tasks__near__groups=dict(a=["0"])), "lies outside the 3 classes"),
    (dict(tasks__near__methods=[]), "no task names methods"),
    (dict(tasks__near__methods=[["clp", {}, "Ridge"]]), "a method is"),
    (dict(tasks__near__novel_classes=[[0, 1, 2]]), "all 3 classes, none is left"),
    (dict(models__clp_wo_2__novel=[0, 1, 2]), "all 3 classes, none is left"),
    (dict(models__clp_wo_2__novel=[1, 1]), "names a class twice"),
    (dict(tasks__near__methods=[["clp_wo_{novel}", "linear"]]), "a method is"),
    (dict(tasks__near__methods=[["fsp", "linear", "Ridge"]]), "no model 'fsp'"),
    (dict(tasks__near__methods=[["clp", "linear", "ridge"]]), "no classifier 'ridge'; did you mean 'Ridge'"),
    (dict(tasks__near__methods=[["clp", "latent", "Ridge"]]), "no mode 'latent'"),
    (dict(models__clp_wo_2__novel=[5]), "lies outside the 3 classes"),
    (dict(dictionary=dict(set="train")), "the key 'prefix' is missing"),
    (dict(models__clp="m.py"), "expected a dict"),
    (dict(models__clp_wo_2__precision="bf61"), "models.clp_wo_2: precision is .bf61.; did you mean .bf16."),
])
def test_a_fault_is_named_with_its_place(edits, words):
    with pytest.raises(UserError, match=words):
        build_protocol(changed(**edits), "p.py")


@pytest.mark.parametrize("edits, words", [
    (dict(tasks__near__shots=5), "tasks.near: shots is 5; expected a list such as"),
    (dict(tasks__near__shots=[[1]]), "whole numbers from 1"),
    (dict(tasks__near__novel_classes=2), "novel_classes is 2; expected a list"),
    (dict(tasks__near__query=3), "query is 3; expected text in quotes"),
    (dict(tasks__near__num_tasks="9"), "num_tasks is '9'; expected a whole number"),
    (dict(tasks__near__same_slide=1), "same_slide is 1; expected True or False"),
    (dict(models__clp_wo_2__novel=2), "models.clp_wo_2: novel is 2; expected a list"),
    (dict(sets__train__slide="0"), "sets.train: slide is '0'; expected a whole number or None"),
    (dict(sets__train__slide=True), "slide is True"), (dict(sets=5), "sets is 5; expected a dict"),
    (dict(classes=dict(organ="abc")), "classes.organ is 'abc'"), (dict(classes=dict(organ=3)), "classes.organ is 3"),
    (dict(workdir=5), "p.py: workdir is 5; expected text in quotes"), (dict(seed=0.5), "seed is 0.5"),
    (dict(dictionary=[1]), r"dictionary is \(1,\); expected a dict"), (dict(tasks__near=[]), "expected a dict"),
])
def test_a_value_of_another_type_is_named(edits, words):
    with pytest.raises(UserError, match=words):
        build_protocol(changed(**edits), "p.py")


def test_tiles_of_yours_are_named_or_read_from_the_written_protocol(tmp_path):
    (tmp_path / "p.py").write_text("name = 'x'\nworkdir = 'w'\nsets = dict(a=dict(root='{tiles}/a'))\n")
    with pytest.raises(UserError, match=r"--tiles DIR .* w/protocol\.json, which run_protocol.py --tiles DIR writes"):
        load_protocol(tmp_path / "p.py")


def test_homo_mode_needs_to_know_the_slide():
    with pytest.raises(UserError, match=r"same_slide needs sets\.test\.slide"):
        build_protocol(changed(tasks__near__same_slide=True, tasks__near__support="test"))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match="no such protocol"):
        load_protocol(tmp_path / "p.py")
    (tmp_path / "p.py").write_text("name = 'x'\nclasses = 1 / 0\n")
    with pytest.raises(UserError, match=r"p\.py: not a readable config \(ZeroDivisionError"):
        load_protocol(tmp_path / "p.py")


@pytest.mark.parametrize("text, classes, novel", [("7", 9, (7,)), ("78", 9, (7, 8)), ("12", 30, (12,)),
                                                  ("7,8", 9, (7, 8)), ("87", 9, (7, 8)), ("1_12", 30, (1, 12))])
def test_novel_classes_as_typed(text, classes, novel):
    assert parse_novel(text, classes) == novel


def test_the_tag_of_novel_classes_is_unambiguous():
    assert novel_tag(7) == "7" and novel_tag((7, 8)) == novel_tag((8, 7)) == "78"
    assert novel_tag((1, 12)) != novel_tag((11, 2))


@pytest.mark.parametrize("text", ["9", "x", "77", "-1", ""])
def test_impossible_novel_classes_are_refused(text):
    with pytest.raises(UserError, match="novel class"):
        parse_novel(text, 9)


def test_some_class_must_be_left_as_base():
    with pytest.raises(UserError, match="all 3 classes"):
        parse_novel("0,1,2", 3)
