"""Documents do what they say: the notebook prints what it shows, the snippets of CONTRIBUTING.md run."""

import ast
import contextlib
import io
import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT

from fewshot_wsi.foundation.declared import described
from fewshot_wsi.meta_test.protocol import DictionarySettings, ImageSet, ModelEntry, Protocol, TaskFamily
from openselfsup.apis.recipe import preset_recipe
from openselfsup.encoders import build_encoder
from openselfsup.encoders.presets import load_preset

NUMBER = r"[-+]?\d+\.\d+"


def notebook():
    return json.loads((ROOT / "docs/evaluate_features.ipynb").read_text())["cells"]


def test_the_notebook_prints_what_it_shows():
    space = {}
    for cell in notebook():
        if cell["cell_type"] != "code":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), "notebook", "exec"), space)
        shown = "".join("".join(output.get("text", "")) for output in cell["outputs"])
        assert re.sub(NUMBER, "#", printed.getvalue()) == re.sub(NUMBER, "#", shown)
        numbers = [[float(number) for number in re.findall(NUMBER, text)] for text in (printed.getvalue(), shown)]
        assert numbers[0] == pytest.approx(numbers[1], abs=0.35)  # another processor may round another way


def test_the_table_of_a_protocols_keys_is_that_of_the_code():
    kinds = ((Protocol, "the file itself"), (ImageSet, "sets"), (ModelEntry, "models"),
             (DictionarySettings, "dictionary"), (TaskFamily, "tasks"))
    tables = []
    for kind, place in kinds:
        rows = [f"| `{name}` | {f'`{usual}`' if usual else 'needed'} | {meaning} |"
                for name, usual, meaning in described(kind, hidden=("path",))]
        tables += [f"## {place.capitalize()}", "", "| key | default | meaning |", "| --- | --- | --- |", *rows, ""]
    document = (ROOT / "docs/PROTOCOLS.md").read_text()
    assert document[document.index("## "):].splitlines() == tables[:-1]


def snippets():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return re.findall(r"^## (Add [^\n]+)$(?:(?!^## ).)*?^```python\n(.*?)^```", text, flags=re.M | re.S)


@pytest.mark.parametrize("title, code", snippets(), ids=lambda value: value if "\n" not in value else "")
def test_snippets_of_the_recipes_run(title, code):
    ast.parse(code)
    if "classifier" in title:
        code += ("import numpy as np\nfrom lowshot import evaluate, sample_tasks\n"
                 "y = np.repeat([0, 1], 30)\nx = np.random.default_rng(0).normal(size=(60, 4)) + 9 * y[:, None]\n"
                 "assert evaluate('knn', x, y, sample_tasks(y, shots=3, num_tasks=5)).mean > 0.9\n"
                 "from fewshot_wsi.commands.distributed_meta_test import main\n"
                 "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "classifier" not in title or "knn" in done.stdout


def test_every_recipe_has_a_snippet():
    assert [title for title, _ in snippets()] == [f"Add a{'n' * (what[0] in 'aeiou')} {what}" for what in (
        "classifier", "encoder", "data set", "statistic")]


def test_the_table_of_presets_is_that_of_their_files():
    text = (ROOT / "docs/ENCODERS.md").read_text()
    rows = {name: cells.split(" | ") for name, cells in re.findall(r"^\| \[`(\w+)`\]\([^)]+\) \| (.+) \|$", text, re.M)}
    found = {path.stem: load_preset(str(path)) for path in (ROOT / "configs/encoders").glob("*.py")}
    assert rows.keys() == found.keys()
    for name, (kind, _, pooling, width, parameters, license) in rows.items():
        preset = found[name]
        assert (kind, pooling, width, license) == (preset.kind, preset.pooling, f"{preset.width:,}", preset.license)
        assert parameters == (f"{preset.parameters / 1e6:,.1f} M" if preset.parameters else "–")


def test_the_preset_that_the_document_shows_is_one(tmp_path):
    text = (ROOT / "docs/ENCODERS.md").read_text()
    code, = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    (tmp_path / "mine.py").write_text(code)
    encoder = build_encoder(None, "random", preset_recipe(str(tmp_path / "mine.py")), "cpu")
    assert encoder.dim == 384
