"""Lists appear together or not at all; links and names; where nothing can be written, nothing changes."""
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from data_material import NOBODY, make_images, run_as_user, small_command

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.foundation.image_files import check_listable, find_images, same_but_for_case
from fewshot_wsi.foundation.lists import read_groups, read_list
from fewshot_wsi.prepare_data.links import link_folder
from fewshot_wsi.prepare_data.publish import groups, lists, publish

NAMES, LABELS = ["TUM/a b.tif", "TUM/ü, c.tif", "ADI/3"], [1, 1, 0]


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else None


def test_lists_are_read_back_as_they_were_given(tmp_path):
    publish(tmp_path / "meta", {**lists("train", NAMES, LABELS), **groups({"TUM/ü, c.tif": "patient 1, left"})})
    read = read_list(tmp_path / "meta" / "train_labeled.txt")
    assert (list(read.names), read.labels.tolist()) == (NAMES, LABELS)
    assert list(read_list(tmp_path / "meta" / "train.txt", labeled=False).names) == NAMES
    assert read_groups(tmp_path / "meta" / "groups.csv") == {"TUM/ü, c.tif": "patient 1, left"}


def test_equal_content_is_no_change_and_other_content_is_refused(tmp_path):
    folder = tmp_path / "meta"
    assert publish(folder, lists("train", NAMES, LABELS)) == "written"
    assert publish(folder, lists("train", NAMES, LABELS)) == "unchanged"
    before = content(folder)
    with pytest.raises(UserError, match="there already, with other content: train_labeled.txt; give --overwrite"):
        publish(folder, {**lists("new", NAMES, LABELS), **lists("train", NAMES, [0, 0, 0])})
    assert content(folder) == before


def test_overwrite_replaces_and_leaves_other_files_alone(tmp_path):
    folder = tmp_path / "meta"
    publish(folder, lists("train", NAMES, LABELS))
    (folder / "authors.txt").write_text("kept")
    assert publish(folder, lists("train", NAMES[:1], LABELS[:1]), overwrite=True) == "written"
    assert (folder / "train_labeled.txt").read_text() == "TUM/a b.tif 1\n"
    assert sorted(os.listdir(folder)) == ["authors.txt", "train.txt", "train_labeled.txt"]


@pytest.mark.parametrize("there", [False, True])
def test_a_failure_half_way_leaves_what_was_there(there, tmp_path):
    folder = tmp_path / "meta"
    if there:
        publish(folder, lists("train", NAMES, LABELS))
    before = content(folder)

    def fail(path):
        raise OSError(28, "No space left on device", str(path))
    with pytest.raises(OSError, match="No space"):
        publish(folder, {**lists("train", NAMES, [0, 0, 0]), "z": fail}, overwrite=True)
    assert content(folder) == before
    assert os.listdir(tmp_path) == (["meta"] if there else [])


def test_a_move_that_was_killed_is_finished_by_the_next_call(tmp_path):
    folder = tmp_path / "meta"
    publish(folder, lists("train", NAMES, LABELS))
    publish(tmp_path / "new", {**lists("train", NAMES, [0, 0, 0]), **lists("test", NAMES, LABELS)})
    (tmp_path / "new" / "test.txt").rename(folder / "test.txt")  # as if killed after the first move
    (tmp_path / "new").rename(folder / ".publishing")
    assert publish(folder, {**lists("train", NAMES, [0, 0, 0]), **lists("test", NAMES, LABELS)}) == "unchanged"
    assert len(os.listdir(folder)) == 4


def test_an_empty_list_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="the list test would be empty"):
        lists("test", [], [])


@pytest.mark.parametrize("name", ["a\nb.tif", " a.tif", "a.tif ", "a\rb.tif", "a\u2028b.tif", "a\udcff.tif", ""])
def test_names_that_no_list_can_hold_are_refused(name):
    with pytest.raises(UserError, match="rename it"):
        check_listable([name], "root")


def test_images_are_found_in_an_order_of_their_own(tmp_path):
    make_images(tmp_path, ["b/2.TIF", "b/10.tif", "ü, a/x y.png", "B/1.jpeg"])
    (tmp_path / "b" / "notes.txt").write_text("no image")
    make_images(tmp_path, ["b/.hidden.png", ".trash/a.png"])
    assert find_images(tmp_path) == ["B/1.jpeg", "b/10.tif", "b/2.TIF", "ü, a/x y.png"]
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    assert len(find_images(tmp_path)) == 4


def test_names_that_a_file_system_may_confuse_are_paired():
    assert same_but_for_case(["Tumour", "a", "tumour", "Mu\u0308ller", "M\u00fcller"]) == [
        ("Tumour", "tumour"), ("Mu\u0308ller", "M\u00fcller")]


def test_a_link_leads_to_its_source_and_is_not_turned_unasked(tmp_path):
    for name in ("one", "two"):
        make_images(tmp_path / name, ["a.png"])
    link = tmp_path / "set" / "data" / "TUM"
    link_folder(link, tmp_path / "one")
    link_folder(link, tmp_path / "one")
    with pytest.raises(UserError, match="leads to .*one, not to .*two; give --overwrite"):
        link_folder(link, tmp_path / "two")
    link_folder(link, tmp_path / "two", overwrite=True)
    assert link.resolve() == tmp_path / "two"
    with pytest.raises(UserError, match="a folder of its own is there"):
        link_folder(tmp_path / "one", tmp_path / "two", overwrite=True)


def test_a_link_beside_its_source_survives_a_move(tmp_path):
    make_images(tmp_path / "set" / "unpacked", ["a.png"])
    link_folder(tmp_path / "set" / "data" / "TUM", tmp_path / "set" / "unpacked")
    shutil.move(tmp_path / "set", tmp_path / "moved")
    assert (tmp_path / "moved" / "data" / "TUM" / "a.png").is_file()


@pytest.fixture
def user_folder():
    """A folder that a user who is not root can enter (pytest's own cannot be entered)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_read_only_target_is_named_and_stays_empty(user_folder):
    make_images(user_folder / "tiles", [f"{c}/{i}.png" for c in "ab" for i in range(10)])
    target = user_folder / "out"
    target.mkdir()
    if os.geteuid() == 0:
        os.chown(target, NOBODY, NOBODY)
    target.chmod(0o555)
    result = run_as_user("tools/prepare_data/folder.py", user_folder / "tiles", "--name", "x", "--out", target / "x",
                         cwd=user_folder)
    assert result.returncode == 2
    assert "out/x: permission denied; choose another place or change the permissions" in result.stderr
    assert "Traceback" not in result.stderr
    assert os.listdir(target) == []


def test_a_full_disk_leaves_no_list(tmp_path):
    make_images(tmp_path / "tiles", [f"{c}/{'long' * 20}{i}.png" for c in "ab" for i in range(40)])
    result = run_as_user("tools/prepare_data/folder.py", "tiles", "--name", "x", cwd=tmp_path, file_limit=4000)
    assert result.returncode == 2
    assert "the file would grow over the size limit; free some space" in result.stderr
    assert os.listdir(tmp_path / "data") == ["x"] and os.listdir(tmp_path / "data" / "x") == []


def test_a_device_that_is_full_is_reported(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    script = small_command(tmp_path, """from fewshot_wsi.prepare_data.publish import publish
def write(path):
    with open('/dev/full', 'w') as stream:
        stream.write('x' * 100000)
publish('meta', {'a.txt': write})""")
    result = run_as_user(script, cwd=tmp_path, file_limit=10_000_000)
    assert (result.returncode, os.listdir(tmp_path)) == (2, ["command.py"])
    assert "no space left on the device; free some space" in result.stderr


def test_two_links_to_one_folder_both_count_and_a_link_upwards_does_not(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/1.png").write_bytes(b"")
    tiles = tmp_path / "tiles"
    for name in ("benign", "tumour"):
        (tiles / name).mkdir(parents=True)
        (tiles / name / "images").symlink_to(tmp_path / "store")
    (tiles / "benign/up").symlink_to(tiles)
    (tiles / "2.jfif").write_bytes(b"")
    (tiles / "._3.png").write_bytes(b"")
    assert find_images(tiles) == ["2.jfif", "benign/images/1.png", "tumour/images/1.png"]
