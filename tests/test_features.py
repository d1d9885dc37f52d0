"""The feature store: what is refused, what is accepted with a notice, and that a file is whole or absent."""
import json

import numpy as np
import pytest

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.feature_writer import FeatureWriter
from fewshot_wsi.foundation.features import load_features, load_labels, load_set, load_views, unit_length
from fewshot_wsi.foundation.files import file_sha256, write_npy
from fewshot_wsi.foundation.provenance import (
    differences,
    features_sha256,
    labels_sha256,
    provenance_file,
    read_provenance,
    rows_sha256,
)


def features(rows=10, dim=3, seed=0):
    return unit_length(np.random.default_rng(seed).standard_normal((rows, dim)))[0]


def hashes(rows):
    """Of the images of these rows."""
    return [f"{row:064x}" for row in rows]


def written(path, values, block=4, **provenance):
    writer = FeatureWriter(path, provenance, rows=len(values), dim=values.shape[1], block=block)
    for number in writer.missing(hashes):
        writer.write(number, values[list(writer.rows_of(number))], hashes(writer.rows_of(number)))
    writer.finish()
    return writer


def test_what_was_written_is_read_back_memory_mapped_and_matches_its_provenance(tmp_path, capsys):
    path, values = tmp_path / "m" / "A.npy", features()
    written(path, values, encoder="resnet18")
    loaded = load_features(path, rows=10)
    assert isinstance(loaded, np.memmap) and loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, values)
    made = read_provenance(path)
    assert made["sha256"] == file_sha256(path) == features_sha256(path)
    assert (made["rows"], made["dim"], made["encoder"], made["schema"]) == (10, 3, "resnet18", 1)
    assert capsys.readouterr().err == ""
    assert sorted(p.name for p in path.parent.iterdir()) == ["A.json", "A.npy"]


def test_the_file_does_not_depend_on_block_size_and_order(tmp_path):
    values = features(23, 5)
    written(tmp_path / "a.npy", values, block=4)
    writer = FeatureWriter(tmp_path / "b.npy", {}, rows=23, dim=5, block=7)
    for number in reversed(writer.missing(hashes)):
        writer.write(number, values[list(writer.rows_of(number))], hashes(writer.rows_of(number)))
    writer.finish()
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_an_interrupted_writer_goes_on_and_leaves_nothing_under_the_final_name(tmp_path):
    values, path = features(), tmp_path / "A.npy"
    first = FeatureWriter(path, {"encoder": "x"}, rows=10, dim=3, block=4)
    first.write(1, values[4:8], hashes(range(4, 8)))
    assert not path.exists()
    again = FeatureWriter(path, {"encoder": "x", "code_version": "newer"}, rows=10, dim=3, block=4)
    assert again.started() and again.missing(hashes) == [0, 2]
    other = FeatureWriter(path, {"encoder": "y"}, rows=10, dim=3, block=4)
    assert not other.started() and other.missing(hashes) == [0, 1, 2]


def test_the_writer_refuses_nan_and_other_shapes(tmp_path):
    writer = FeatureWriter(tmp_path / "A.npy", {}, rows=10, dim=3, block=4)
    values = features()[:4]
    values[2, 1] = np.nan
    with pytest.raises(UserError, match="row 2 are NaN or infinite"):
        writer.write(0, values, hashes(range(4)))
    with pytest.raises(ValueError, match="expected"):
        writer.write(2, values, hashes(range(8, 10)))


def test_a_commit_does_not_make_features_another_but_weights_do():
    made = {"weights_sha256": "a", "list_sha256": "l", "config_sha256": "c", "encoder": "e", "code_version": "1"}
    assert differences(made, {**made, "code_version": "2", "device": "cuda", "batch_size": 7}) == []
    assert differences(made, {**made, "weights_sha256": "b"}) == ["weights_sha256"]


def test_rows_of_zero_stay_zero_and_are_named(tmp_path):
    values, zero = unit_length(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]]))
    np.testing.assert_allclose(values, [[0.6, 0.8], [0, 0], [0, -1]], rtol=1e-6)
    assert zero.tolist() == [1]
    written(tmp_path / "A.npy", values, block=2)
    assert read_provenance(tmp_path / "A.npy")["zero_rows"] == [1]


def test_the_authors_files_without_json_are_accepted_with_one_line(tmp_path, capsys):
    np.save(tmp_path / "A.npy", features())
    load_features(tmp_path / "A.npy")
    load_features(tmp_path / "A.npy")
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "no provenance" in err


def bad_files():
    nan, infinite = features(), features()
    nan[3, 0], infinite[9, 2] = np.nan, -np.inf
    return {"one dimension": (features().ravel(), "2-D array of floats"),
            "whole numbers": (np.ones((10, 3), int), "2-D array of floats"),
            "no rows": (np.ones((0, 3), np.float32), "2-D array of floats"),
            "other length": (features(9), "9 rows, but labels or list have 10"),
            "nan": (nan, "row 3 holds NaN"), "infinite": (infinite, "row 9 holds NaN")}


@pytest.mark.parametrize("name", bad_files())
def test_bad_features_are_refused_with_the_reason(tmp_path, name):
    values, words = bad_files()[name]
    np.save(tmp_path / "A.npy", values)
    with pytest.raises(UserError, match=words):
        load_features(tmp_path / "A.npy", rows=10)


@pytest.mark.parametrize("damage", [lambda b: b[:-5], lambda b: b"", lambda b: b"text", lambda b: b[:40]])
def test_a_damaged_file_is_named_with_the_command_that_makes_it(tmp_path, damage):
    np.save(tmp_path / "A.npy", features())
    (tmp_path / "A.npy").write_bytes(damage((tmp_path / "A.npy").read_bytes()))
    with pytest.raises(UserError, match=r"A.npy: not a readable .npy file.*make-it"):
        load_features(tmp_path / "A.npy", made_by="make-it")


def test_a_pickle_is_never_run(tmp_path):
    np.save(tmp_path / "A.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="not a readable .npy file"):
        load_features(tmp_path / "A.npy")


def test_missing_features_name_the_command(tmp_path):
    with pytest.raises(UserError, match=r"no such file; make it with python wsi_workdir/extract.py"):
        load_features(tmp_path / "A.npy")


def test_features_that_were_replaced_beside_their_json_are_refused(tmp_path):
    path = tmp_path / "A.npy"
    written(path, features())
    load_features(path)
    np.save(path, features(seed=1))
    with pytest.raises(UserError, match="not the file that .*A.json describes"):
        load_features(path)
    provenance_file(path).write_text("{")
    with pytest.raises(UserError, match="not a readable provenance"):
        load_features(path)


def test_float64_features_are_read_as_float32(tmp_path):
    np.save(tmp_path / "A.npy", features().astype(np.float64))
    np.testing.assert_array_equal(load_features(tmp_path / "A.npy"), features())


def test_labels_are_checked(tmp_path):
    path = tmp_path / "A_labels.npy"
    write_npy(path, np.array([0, 2, 1], dtype=np.int16))
    assert load_labels(path, 3).dtype == np.int64
    with pytest.raises(UserError, match="row 2: label 2 is outside the 2 classes"):
        load_labels(path, 2)
    write_npy(path, np.array([0.0, 1.0]))
    with pytest.raises(UserError, match="1-D array of whole numbers"):
        load_labels(path)


def test_labels_of_another_list_are_refused(tmp_path):
    labels = np.arange(10) % 2
    written(tmp_path / "A.npy", features(), labels_sha256=labels_sha256(labels.astype(np.int32)))
    write_npy(tmp_path / "A_labels.npy", labels)
    assert len(load_set(tmp_path / "A.npy", tmp_path / "A_labels.npy")[1]) == 10
    write_npy(tmp_path / "A_labels.npy", 1 - labels)
    with pytest.raises(UserError, match="not the labels that"):
        load_set(tmp_path / "A.npy", tmp_path / "A_labels.npy")


def test_views_are_found_by_row_with_and_without_a_rows_file(tmp_path):
    values, held = features(6), np.array([1, 4, 5, 9, 12, 30], dtype=np.int32)
    np.save(tmp_path / "V_3.npy", values)
    np.testing.assert_array_equal(load_views(tmp_path, "V", 3, [5, 0, 5]), values[[5, 0, 5]])
    np.save(tmp_path / "V_rows.npy", held)
    np.testing.assert_array_equal(load_views(tmp_path, "V", 3, [30, 1, 30, 9]), values[[5, 0, 5, 3]])
    assert load_views(tmp_path, "V", 3, []).shape == (0, 3)
    with pytest.raises(UserError, match="2 of 3 rows asked for have no view here, the first is row 2"):
        load_views(tmp_path, "V", 3, [2, 1, 31])
    with pytest.raises(UserError, match=r"V_4.npy: no such file"):
        load_views(tmp_path, "V", 4, [1])


def test_views_of_other_rows_than_the_rows_file_names_are_refused(tmp_path):
    held = np.array([0, 2], dtype=np.int32)
    written(tmp_path / "V_0.npy", features(2), view=0, view_rows_sha256=rows_sha256(held))
    np.save(tmp_path / "V_rows.npy", held)
    assert load_views(tmp_path, "V", 0, [2]).shape == (1, 3)
    np.save(tmp_path / "V_rows.npy", np.array([0, 3], dtype=np.int32))
    with pytest.raises(UserError, match="made of other rows"):
        load_views(tmp_path, "V", 0, [0])


def test_real_features_pass(real_features):
    values, labels = load_set(real_features / "fsp" / "LC.npy", real_features / "LC_labels.npy", 5)
    assert len(values) == len(labels) == len((real_features / "LC.txt").read_text().splitlines())


def test_provenance_is_plain_sorted_json(tmp_path):
    written(tmp_path / "A.npy", features(), encoder="x")
    text = (tmp_path / "A.json").read_text()
    assert list(json.loads(text)) == sorted(json.loads(text))
