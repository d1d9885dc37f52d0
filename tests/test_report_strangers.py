"""Results from elsewhere: what is damaged, forged or swollen is left out by name, and costs neither memory nor time."""

import base64
import json
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest

from benchmarks.report import draw_result
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.results import encode_array, read_result
from fewshot_wsi.meta_test.sources import Sources
from fewshot_wsi.report.evidence import read_evidence


def packed(shape, size, dtype="int16"):
    """An encoded array of the stated shape, whose data are `size` zero bytes."""
    packer, parts, left = zlib.compressobj(9), [], size
    while left:
        parts.append(packer.compress(bytes(min(left, 1 << 24))))
        left -= min(left, 1 << 24)
    data = b"".join(parts) + packer.flush()
    return {"dtype": dtype, "shape": list(shape), "zlib_base64": base64.b64encode(data).decode()}


def rows(data, number):
    """Encoded query rows of a result, all of them `number`."""
    shape = data["queries"]["shape"]
    return encode_array(np.full(shape, number, dtype=np.int64))


ATTACKS = {
    "unpacks to more than its shape": lambda d: d.update(predictions=packed((100, 75), 1 << 26)),
    "a shape of 2 GiB": lambda d: d.update(predictions=packed((1 << 30,), 1 << 20)),
    "together too large": lambda d: d.update({name: packed((100, 1_000_000), 1 << 20) for name in (
        "predictions", "queries")}),
    "no shape": lambda d: d["predictions"].update(shape=[-1]),
    "a dtype of Python objects": lambda d: d["predictions"].update(dtype="O"),
    "a dtype that is no text": lambda d: d["predictions"].update(dtype=[["a", "O"]]),
    "a dtype of commas": lambda d: d["predictions"].update(dtype="i4,,(("),
    "a million classes": lambda d: d.update(classes=["c"] * 1_000_000, f1=[[0.5] * 1_000_000]),
    "an F1 beyond all floats": lambda d: d["f1"][0].__setitem__(0, 10**400),
    "an infinite F1": lambda d: d["f1"][0].__setitem__(0, "INF"),
    "F1 as text": lambda d: d["f1"][0].__setitem__(0, "0.5"),
    "rows of a set of 10^18 images": lambda d: d.update(queries=rows(d, 10**18)),
    "other tasks under the same hash": lambda d: d.update(queries=rows(d, 5)),
    "other bootstrap": lambda d: d.update(open_bootstrap=[1, 2], open_resampling={"groups": {}}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_one_bad_result_leaves_the_others(tmp_path, attack):
    good, bad = draw_result(tmp_path), draw_result(tmp_path, model="zz")
    data = json.loads(bad.read_text())
    ATTACKS[attack](data)
    bad.write_text(json.dumps(data).replace('"INF"', "1e999"))
    found = read_evidence([tmp_path], Sources())
    assert [run.path for run in found.runs] == [str(good)]
    assert any(str(bad) in notice and len(notice) < 500 for notice in found.notices)


def test_what_no_check_foresees_is_left_out_too(tmp_path, monkeypatch):
    """A fault of arithmetic in one result's summary is a notice about that result."""
    good, bad = draw_result(tmp_path), draw_result(tmp_path, model="zz")
    from fewshot_wsi.report import measure
    whole = measure.run_statistics

    def fails_once(*arrays):
        if fails_once.calls.pop():
            raise OverflowError("int too large to convert to float")
        return whole(*arrays)

    fails_once.calls = [True, False]
    monkeypatch.setattr(measure, "run_statistics", fails_once)
    found = read_evidence([tmp_path], Sources())
    assert [run.path for run in found.runs] == [str(good)]
    assert any(str(bad) in notice and "do not fit together" in notice for notice in found.notices)


def test_the_array_of_a_result_is_not_unpacked_beyond_its_shape(tmp_path):
    """A gigabyte of zeros in a megabyte costs no gigabyte."""
    path = draw_result(tmp_path)
    data = json.loads(path.read_text())
    data["predictions"] = packed(data["predictions"]["shape"], 1 << 30)
    path.write_text(json.dumps(data))
    script = "import sys; from fewshot_wsi.meta_test.results import read_result\n" \
             "try: read_result(sys.argv[1]).predictions\nexcept Exception as error: print(type(error).__name__)\n" \
             "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"  # ru_maxrss has the parent's
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
    kind, peak = done.stdout.split()
    assert kind == "UserError" and int(peak) < 700 << 10, done.stderr


def test_pipes_devices_and_forbidden_lists_are_notices(tmp_path):
    """A pipe and a device among the results, and a list that is a device or has a name no system takes."""
    good = draw_result(tmp_path, sets={"support_list": "/dev/zero", "query_list": "x" * 5000})
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "device.json").symlink_to("/dev/zero")
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    found = read_evidence([tmp_path], Sources())
    assert [run.path for run in found.runs] == [str(good)]
    for part in ("pipe.json", "device.json", "gone.json", "/dev/zero: no regular file", "name too long"):
        assert any(part in notice for notice in found.notices), (part, found.notices)
    with pytest.raises(UserError, match="no regular file"):
        read_result(tmp_path / "pipe.json")
