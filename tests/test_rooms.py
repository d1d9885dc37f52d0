"""The rooms of the code: which may import which, what loads no torch, and scripts that are doors and nothing else."""
import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from fewshot_wsi.commands import COMMANDS, main

# each room: the rooms that it may import, all of them further up
ROOMS = {
    "fewshot_wsi.foundation": (),
    "openselfsup": ("fewshot_wsi.foundation",),
    "lowshot": ("fewshot_wsi.foundation",),
    "fewshot_wsi.slides": ("fewshot_wsi.foundation",),
    "fewshot_wsi.annotations": ("fewshot_wsi.foundation", "fewshot_wsi.slides"),
    "fewshot_wsi.prepare_data": ("fewshot_wsi.foundation", "openselfsup", "fewshot_wsi.slides",
                                 "fewshot_wsi.annotations"),
    "fewshot_wsi.data_checks": ("fewshot_wsi.foundation", "openselfsup"),
    "fewshot_wsi.feature_files": ("fewshot_wsi.foundation", "fewshot_wsi.prepare_data"),
    "fewshot_wsi.meta_test": ("fewshot_wsi.foundation", "lowshot"),
    "fewshot_wsi.report": ("fewshot_wsi.foundation", "lowshot", "fewshot_wsi.meta_test"),
    "fewshot_wsi.labelling": ("fewshot_wsi.foundation", "openselfsup", "lowshot", "fewshot_wsi.meta_test",
                              "fewshot_wsi.report"),
    "fewshot_wsi.pipeline": ("fewshot_wsi.foundation", "openselfsup", "lowshot", "fewshot_wsi.meta_test",
                             "fewshot_wsi.report"),
}
ROOMS["fewshot_wsi.predict"] = ("fewshot_wsi.foundation", "openselfsup", "lowshot", "fewshot_wsi.meta_test",
                                "fewshot_wsi.pipeline")
ROOMS["fewshot_wsi.slide_maps"] = tuple(room for room in ROOMS if room not in ("fewshot_wsi.data_checks",
                                                                              "fewshot_wsi.labelling"))
ROOMS["fewshot_wsi.commands"] = tuple(ROOMS)
ON_A_GPU = "lowshot.solvers.many"  # imported where a GPU is used, and nowhere else
OURS = ("fewshot_wsi", "lowshot", "openselfsup", "benchmarks")
DOORS = sorted(path for folder in ("tools", "wsi_workdir") for path in (ROOT / folder).rglob("*.py")
               if "workdir" not in path.relative_to(ROOT).parts[1:])


def imported(path):
    """Modules of ours that a file imports anywhere, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return {name for name in found if name.split(".")[0] in OURS}


def room_of(module):
    return next((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), None)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_lies_below_it(room):
    files = sorted(ROOT.joinpath(*room.split(".")).rglob("*.py"))
    assert files
    wrong = [f"{path.relative_to(ROOT)} imports {module}" for path in files for module in imported(path)
             if room_of(module) not in (room, *ROOMS[room]) and module != "fewshot_wsi.__version__"]
    assert not wrong


def test_the_table_has_no_cycle_and_leaves_no_module_out():
    names = list(ROOMS)
    assert all(names.index(below) < names.index(room) for room in names for below in ROOMS[room])
    modules = [path for name in OURS[:3] for path in (ROOT / name).rglob("*.py")]
    outside = {str(path.relative_to(ROOT)) for path in modules
               if room_of(".".join(path.relative_to(ROOT).parts).removesuffix(".py")) is None}
    assert outside == {"fewshot_wsi/__init__.py", "fewshot_wsi/__main__.py"}


@pytest.mark.parametrize("room", ["fewshot_wsi.foundation", "lowshot"])
def test_foundation_and_method_load_no_torch(room):
    code = ("import importlib, pkgutil, sys\n"
            f"room = importlib.import_module({room!r})\n"
            "for found in pkgutil.walk_packages(room.__path__, room.__name__ + '.'):\n"
            f"    found.name == {ON_A_GPU!r} or importlib.import_module(found.name)\n"
            "print(*sorted({'torch', 'mmengine', 'openselfsup', 'fewshot_wsi.meta_test'} & set(sys.modules)))\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=100)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("path", DOORS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_published_script_is_a_door_to_its_command(path):
    lines = path.read_text().splitlines()
    assert [line for line in lines if "sys.path" in line] == [
        f"sys.path[0] = str(Path(__file__).resolve().parents[{len(path.relative_to(ROOT).parts) - 1}])"]
    command, = re.findall(r"^from fewshot_wsi\.commands\.(\w+) import main$", path.read_text(), flags=re.M)
    assert command == path.stem and len(lines) <= 12


def test_only_scripts_edit_the_path():
    packages = [path for name in OURS[:3] for path in (ROOT / name).rglob("*.py")]
    assert not [path for path in packages if "sys.path" in path.read_text()]


def test_every_command_has_a_script_and_a_name(capsys):
    modules = {path.stem for path in (ROOT / "fewshot_wsi/commands").glob("*.py")} - {"__init__"}
    assert set(COMMANDS) == modules == {path.stem for path in DOORS}
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_a_console_command_is_the_script_of_its_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fewshot-wsi"])
    assert main(["compare", "a.json", "b.json", "--seed", "-1"]) == 2
    assert "--seed -1: seeds are not negative" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["compare", "--help"])
    assert capsys.readouterr().out.startswith("usage: fewshot-wsi compare ")


def rules_of_the_paper():
    text = (ROOT / "docs/PAPER_IN_CODE.md").read_text()
    return re.findall(r"^\| (.+) \| `([^`]+)` \| `([^`]+)` \|$", text, flags=re.M)


@pytest.mark.parametrize("rule, path, name", rules_of_the_paper())
def test_each_rule_of_the_paper_is_where_the_table_says(rule, path, name):
    nodes = list(ast.walk(ast.parse((ROOT / path).read_text())))
    defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = {target.id for node in nodes if isinstance(node, ast.Assign) for target in node.targets
                if isinstance(target, ast.Name)}
    keywords = {node.arg for node in nodes if isinstance(node, ast.keyword)}
    assert name in defined | assigned | keywords, rule


def test_the_table_of_the_paper_is_read_whole():
    lines = re.findall(r"^\| .*", (ROOT / "docs/PAPER_IN_CODE.md").read_text(), flags=re.M)
    assert len(rules_of_the_paper()) == len([line for line in lines if not line.startswith(("| rule |", "| --- |"))])
