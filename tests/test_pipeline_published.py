"""The commands of the authors' own description, comments removed and variables set, are commands of this project."""
import importlib.util
import re
import shlex

import pytest
from conftest import ROOT

from fewshot_wsi.foundation.errors import UserError

VARIABLES = {"num_shot": "5", "model": "clp_wo_7", "_model": "clp_wo_7", "i": "7", "novel": "7", "clf": "Ridge",
             "CONFIG_FILE": "configs/classification/nct/r18_bs512_ep100_all.py", "GPUS": "8"}


def commands(text):
    """Command lines of the description: joined at '\\', without comments, with the variables above."""
    lines = [re.sub(r"(\\?)\s*#.*$", r"\1", line).rstrip() for line in text.splitlines()]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(lines))
    joined = re.sub(r"\$\{?(\w+)\}?", lambda match: VARIABLES[match[1]] if match[1] in VARIABLES else match[0], joined)
    found = [line.strip() for line in joined.splitlines()]
    return [shlex.split(line) for line in found if re.match(r"(python3?|sh|bash) \S*(wsi_workdir|tools|-u)", line)]


def main_of(path):
    spec = importlib.util.spec_from_file_location(f"published_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def described(reference):
    return commands((reference / "published_readme.txt").read_text(encoding="utf-8"))


def test_the_description_was_understood(described):
    assert len(described) >= 10
    names = {word for command in described for word in command if word.endswith((".py", ".sh"))}
    assert {"wsi_workdir/tools/generate_task.py", "wsi_workdir/dict_construction.py",
            "wsi_workdir/distributed_meta_test.py"} <= names


def test_every_file_that_it_names_is_there(described):
    for command in described:
        for word in command[:3]:
            if word.endswith((".py", ".sh")) and "xxx" not in word:
                assert (ROOT / word).is_file(), shlex.join(command)


def test_every_option_that_it_uses_is_declared(described, monkeypatch, tmp_path):
    """Each command gets as far as its input: it says what is missing (code 2), not how it is used."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for command in described:
        if command[0].startswith("python"):
            script = next(word for word in command if word.endswith(".py"))
            options = command[command.index(script) + 1:]
            with pytest.raises(UserError):
                main_of(ROOT / script)(options)


@pytest.mark.parametrize("config", [
    *(f"classification/nct/r18_bs512_ep100_{which}.py" for which in ("all", *(f"wo_{i}" for i in range(9)), "wo_78")),
    *(f"wsi_selfsup/moco_v3/r18_bs256_ep200_{which}.py" for which in ("all", *(f"wo_{i}" for i in range(9)), "wo_78")),
    *(f"extraction/extract_feats_{name}.py" for name in ("NCT_train", "NCT_test", "NCT_aug", "LC", "PAIP_train",
                                                         "PAIP_test"))])
def test_every_published_config_is_there(config):
    assert (ROOT / "configs" / config).is_file()


@pytest.mark.parametrize("script, options", [
    ("wsi_workdir/extract.py", "--pretrain F --config configs/extraction/extract_feats_LC.py --output F.npy"),
    ("wsi_workdir/dict_construction.py", "--model clp_wo_7 --novel_class 7 --num_proto 16")])
def test_shortened_options_of_the_published_scripts_work(script, options, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    with pytest.raises(UserError):
        main_of(ROOT / script)(options.split())
