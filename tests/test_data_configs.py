"""Configs in YAML and JSON are data: nothing in them runs, and their size is bounded."""

import json

import pytest

from fewshot_wsi.foundation.data_config import read_data_config
from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.names import check_part
from fewshot_wsi.foundation.python_config import read_python_config


@pytest.mark.parametrize("name, text", [
    ("a.yaml", "a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{mark}]]"),
    ("a.yaml", "_base_: evil.py"),
    ("a.json", '{{"_base_": "evil.py"}}'),
    ("a.json", '{{"_base_": ["evil.yaml"]}}'),
    ("a.py", "_base_ = ['evil.yaml']"),
])
def test_data_run_nothing(tmp_path, name, text):
    mark = tmp_path / "mark"
    (tmp_path / "evil.py").write_text(f"open({str(mark)!r}, 'w')")
    (tmp_path / "evil.yaml").write_text(
        f"a: !!python/object/apply:os.system ['touch {mark}']", encoding="utf-8")
    (tmp_path / name).write_text(text.format(mark=mark))
    with pytest.raises(UserError, match="_base_|constructor"):
        read_python_config(tmp_path / name, "config")
    assert not mark.exists()


@pytest.mark.parametrize("text, words", [
    ("a: &a [1, 2]\n" + "".join(f"{c}: &{c} [{', '.join(['*' + chr(ord(c) - 1)] * 9)}]\n" for c in "bcdefg"),
     "aliases included"),
    ("a: &a [*a]", "aliases included"), ("a: " + "[" * 60 + "]" * 60, "nested deeper"), ("a: 2020-01-01", "quotes"),
    ("1: 2", "quotes"), ("null: 2", "quotes"), ("a: .inf", "finite"), ("a: '{{ x }}'", "templates"), ("[1]", "no keys"),
])
def test_yaml_is_bounded_and_plain(tmp_path, text, words):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=words):
        read_data_config(tmp_path / "a.yaml")


def test_json_is_bounded(tmp_path):
    for text in ("[" * 100_000, '{"a": NaN}', '{"a": 1' + "0" * 400 + "}", '{"a": "\\u0000"}'):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match="not a readable config"):
            read_data_config(tmp_path / "a.json")


def test_values_are_merged_over_a_base_of_the_same_kind(tmp_path):
    (tmp_path / "base.json").write_text(json.dumps({"a": {"x": 1, "y": 2}, "b": [1], "c": {"z": 1}}))
    (tmp_path / "a.json").write_text(json.dumps({"_base_": "base.json", "a": {"y": 3}, "b": [2],
                                                 "c": {"_delete_": True, "w": 1}}))
    expected = {"a": {"x": 1, "y": 3}, "b": [2], "c": {"w": 1}}
    assert read_data_config(tmp_path / "a.json") == expected
    (tmp_path / "base.json").write_text(json.dumps({"_base_": "a.json"}))
    with pytest.raises(UserError, match="circle"):
        read_data_config(tmp_path / "a.json")


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "a\\b", "", " ", "a\x1b", "a" * 300])
def test_names_of_files_never_leave_their_folder(name):
    with pytest.raises(UserError, match="name of files"):
        check_part(name, "protocol: models")
