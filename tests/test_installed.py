"""The installed project, used from another folder: commands, protocols and recipes come along, without a checkout."""
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

PARTS = ("fewshot_wsi", "lowshot", "openselfsup", "configs", "pyproject.toml", "setup.py", "requirements.txt",
         "README.md", "LICENSE")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that the project is installed in, without what it depends on."""
    try:
        importlib.metadata.version("pip")
        builder = int(importlib.metadata.version("setuptools").split(".")[0])
    except importlib.metadata.PackageNotFoundError as error:
        pytest.skip(f"{error.name} is not installed here")
    if builder < 77:
        pytest.skip(f"setuptools {builder} cannot read this pyproject.toml; 77 or newer can")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in PARTS:  # a copy, so that the build leaves nothing in the checkout
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", str(target),
                           str(source)], text=True, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def fewshot_wsi(site, tmp_path):
    """fewshot_wsi('compare', '--help'): the console command, run in an empty folder."""
    def call(*words):
        return subprocess.run([sys.executable, str(site / "bin/fewshot-wsi"), *map(str, words)], cwd=tmp_path,
                              text=True, capture_output=True, timeout=300,
                              env={**os.environ, "PYTHONPATH": str(site)})
    return call


def python(site, code, cwd):
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, text=True, capture_output=True, timeout=100,
                          env={**os.environ, "PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_published_config_and_type_marker_is_installed(site):
    configs = {str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.py")}
    assert configs and all((site / "fewshot_wsi" / name).is_file() for name in configs)
    assert all((site / name / "py.typed").is_file() for name in ("fewshot_wsi", "lowshot", "openselfsup"))


def test_protocol_recipe_and_published_figures_are_found_from_another_folder(site, tmp_path):
    code = ("from fewshot_wsi.meta_test.protocol import load_protocol\n"
            "from fewshot_wsi.meta_test.views import views_config\n"
            "from fewshot_wsi.report.published import published\n"
            "from openselfsup.apis.recipe import load_recipe\nfrom openselfsup.config import load_config\n"
            "import fewshot_wsi, openselfsup, importlib.metadata as installed\n"
            "p = load_protocol()\n"
            "print(p.path, views_config(p, 'NCT_train'), load_recipe(p.set('LC').config).path)\n"
            "assert len(published()['tables']) == 349 and load_config(p.models['clp'].config).total_epochs == 200\n"
            f"assert fewshot_wsi.__file__.startswith({str(site)!r})\n"
            "assert installed.version('few-shot-wsi') == fewshot_wsi.__version__ == openselfsup.__version__\n")
    assert python(site, code, tmp_path).split() == [
        "configs/protocols/paper.py", "configs/extraction/extract_feats_NCT_aug.py",
        "configs/extraction/extract_feats_LC.py"]


def test_a_file_of_the_current_folder_goes_before_the_shipped_one(site, tmp_path):
    own = tmp_path / "configs/protocols/paper.py"
    own.parent.mkdir(parents=True)
    own.write_text((ROOT / "configs/protocols/quickstart.py").read_text().replace(
        "'../_base_/four_tasks.py'", repr(str(ROOT / "configs/_base_/four_tasks.py"))))
    code = "from fewshot_wsi.meta_test.protocol import load_protocol; print(load_protocol().name)"
    assert python(site, code, tmp_path).strip() == "quickstart"


def test_a_protocol_runs_where_there_is_no_checkout(fewshot_wsi, tmp_path):
    def image_set(data, name):
        return dict(list=f"tiles/{data}/meta/{name}_labeled.txt", root=f"tiles/{data}/data", classes=data,
                    config="configs/quickstart/extract.py")

    (tmp_path / "own.json").write_text(json.dumps(dict(
        name="own", workdir="work",
        images=dict(made_by="drawn", folder="tiles", size=32, train=4, test=3, groups=4, siblings=2, slides=2,
                    per_slide=4),
        classes=dict(NCT=["BACK", "ADI", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM"],
                     LC25000=["colon_aca", "colon_n", "lung_aca", "lung_n", "lung_scc"]),
        sets=dict(NCT_train=image_set("NCT", "train"), LC=image_set("LC25000", "img_list")),
        models=dict(random=dict(encoder="random")),
        dictionary=dict(set="NCT_train", prefix="NCT", num_prototypes=3, num_shift_vectors=20),
        tasks=dict(mixture=dict(support="LC", query="LC", shots=[1], num_tasks=4, queries=3, num_aug_shots=4,
                                methods=[["random", "linear", "Ridge"], ["random", "latent_aug", "Ridge"]])))))
    done = fewshot_wsi("run_protocol", "--protocol", "own.json", "--workers", 1, "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "work/results/mixture/random").glob("1shot_*_Ridge.json"))) == 2
    assert (tmp_path / "work/report/report.html").is_file() and (tmp_path / "work/results/summary.md").is_file()
    planned = fewshot_wsi("run_protocol", "--protocol", "configs/protocols/quickstart.py", "--workers", 1, "--dry_run")
    assert planned.returncode == 0 and "pretrain clp_wo_8: to do" in planned.stdout, planned.stderr


def test_a_wrong_command_is_named_and_all_are_listed(fewshot_wsi):
    done = fewshot_wsi("run_protocl")
    assert done.returncode == 2 and "invalid choice: 'run_protocl'" in done.stderr and "'run_protocol'" in done.stderr
