import json

import numpy as np
import pytest

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.meta_test.results import (
    CONFIG,
    HASHES,
    KEYS,
    SETS,
    decode_array,
    encode_array,
    find_results,
    read_result,
    write_result,
)


def some_data(tasks=3):
    rng = np.random.default_rng(0)
    data = {key: {} for key in KEYS} | {"encoder": None, "classes": ["a", "b"], "f1": rng.random((tasks, 2)).tolist()}
    for part, forms in (("config", CONFIG), ("hashes", HASHES), ("sets", SETS)):
        data[part] = {name: 1 if form is int else "x" for name, form in forms.items()}
    arrays = {"predictions": rng.integers(0, 2, (tasks, 4)).astype(np.int16), "query_labels": np.array([0, 0, 1, 1]),
              "queries": rng.integers(0, 99, (tasks, 4)).astype(np.int32), "supports": np.zeros((tasks, 2), np.int32)}
    return data | arrays


@pytest.mark.parametrize("dtype", ["int16", ">i4", "int64", "uint8"])
def test_arrays_survive_the_round_trip(dtype):
    array = np.arange(12, dtype=dtype).reshape(3, 4)[:, ::2]
    again = decode_array(json.loads(json.dumps(encode_array(array))))
    np.testing.assert_array_equal(again, array)
    assert again.dtype.itemsize == array.dtype.itemsize


@pytest.mark.parametrize("value", [None, {}, {"dtype": "object", "shape": [1], "zlib_base64": ""},
                                   {"dtype": "int16", "shape": [9], "zlib_base64": encode_array(np.ones(2))["shape"]},
                                   {"dtype": "int16", "shape": [2], "zlib_base64": "AAAA"}])
def test_what_is_no_encoded_array_is_refused(value):
    with pytest.raises(ValueError):
        decode_array(value)


def test_a_result_reads_back_and_equal_runs_make_equal_bytes(tmp_path):
    data = some_data()
    write_result(tmp_path / "a.json", data, {"seconds": 1})
    write_result(tmp_path / "b.json", dict(reversed(data.items())), {"seconds": 2})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    result = read_result(tmp_path / "b.json")
    np.testing.assert_array_equal(result.f1, data["f1"])
    np.testing.assert_array_equal(result.predictions, data["predictions"])
    np.testing.assert_array_equal(result.queries, data["queries"])
    assert result.predictions.dtype == np.int16 and result.meta == {"seconds": 2}


def test_damage_is_named(tmp_path):
    path = tmp_path / "a.json"
    write_result(path, some_data(), {})
    whole = path.read_text()
    path.write_text(whole[:len(whole) // 2])
    with pytest.raises(UserError, match="a.json: not a readable result"):
        read_result(path)
    path.write_text(whole.replace('"schema": 1', '"schema": 9'))
    with pytest.raises(UserError, match="schema 9, this version reads 1"):
        read_result(path)
    path.write_text('{"schema": 1}')
    with pytest.raises(UserError, match="config, classes, .* missing"):
        read_result(path)
    path.write_text(whole.replace('"zlib_base64": "', '"zlib_base64": "xx'))
    with pytest.raises(UserError, match="damaged result"):
        _ = read_result(path).predictions


def test_find_results_leaves_meta_and_hidden_files_out(tmp_path):
    for name in ("near/m/1.json", "near/m/1.meta.json", ".cache/2.json", "out/3.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    want = [tmp_path / "near/m/1.json", tmp_path / "out/3.json"]
    assert find_results(tmp_path) == want
    assert find_results([tmp_path / "near", tmp_path / "out/3.json", tmp_path]) == want
    with pytest.raises(UserError, match="no such result file or folder"):
        find_results(tmp_path / "absent")
