"""Archives: unpacked whole or not at all, and never outside the target."""
import io
import os
import tarfile
import zipfile

import pytest
from data_material import run_as_user, small_command

from fewshot_wsi.foundation.errors import UserError
from fewshot_wsi.prepare_data.archive import unpack, unpack_once

FILES = {"NCT/TUM/a.tif": b"1" * 5000, "NCT/ADI/ü, b c.tif": b"2" * 300, "NCT/ADI/empty.tif": b""}


def make_zip(path, files=FILES, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return path


def make_tar(path, files=FILES, mode="w:gz", special=()):
    with tarfile.open(path, mode) as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        for info in special:
            archive.addfile(info)
    return path


MAKERS = {"zip": lambda path: make_zip(path / "a.zip", compression=zipfile.ZIP_DEFLATED),
          "stored zip": lambda path: make_zip(path / "a.zip"),
          "tar": lambda path: make_tar(path / "a.tar", mode="w"), "tar.gz": lambda path: make_tar(path / "a.tar.gz"),
          "tar.xz": lambda path: make_tar(path / "a.tar.xz", mode="w:xz"),
          "tar.bz2": lambda path: make_tar(path / "a.tar.bz2", mode="w:bz2")}


@pytest.mark.parametrize("kind", MAKERS)
def test_every_file_comes_out_as_it_went_in(kind, tmp_path):
    target = unpack(MAKERS[kind](tmp_path), tmp_path / "out", quiet=True)
    found = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert found == FILES


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("share", [0.2, 0.5, 1])
def test_an_archive_cut_short_leaves_nothing(kind, share, tmp_path):
    archive = MAKERS[kind](tmp_path)
    body = archive.read_bytes()
    if kind == "tar":
        body = body.rstrip(b"\0")  # the padding of a plain tar may go without harm
    archive.write_bytes(body[:int(len(body) * share) - 4])
    with pytest.raises(UserError, match="damaged, cut short or encrypted|neither a zip nor a tar"):
        unpack(archive, tmp_path / "out", quiet=True)
    assert os.listdir(tmp_path) == [archive.name]


def test_a_tar_cut_between_two_members_is_noticed(tmp_path):
    archive = make_tar(tmp_path / "a.tar", mode="w")
    archive.write_bytes(archive.read_bytes()[:512 + 5120])  # the first member and no end mark
    with pytest.raises(UserError, match="end mark is missing"):
        unpack(archive, tmp_path / "out", quiet=True)


def test_a_damaged_header_within_a_tar_is_noticed(tmp_path):
    archive = make_tar(tmp_path / "a.tar", mode="w")
    body = bytearray(archive.read_bytes())
    body[512 + 5120 + 3] ^= 1  # in the name of the second member
    archive.write_bytes(body)
    with pytest.raises(UserError, match="end mark is missing"):
        unpack(archive, tmp_path / "out", quiet=True)


def test_a_flipped_bit_is_noticed(tmp_path):
    archive = make_zip(tmp_path / "a.zip")
    body = bytearray(archive.read_bytes())
    body[1000] ^= 1
    archive.write_bytes(body)
    with pytest.raises(UserError, match="Bad CRC-32"):
        unpack(archive, tmp_path / "out", quiet=True)
    assert os.listdir(tmp_path) == ["a.zip"]


CLIMBERS = ["../up.tif", "a/../../up.tif", "/tmp/up.tif", "C:/up.tif", "..\\up.tif", "//host/up.tif"]


@pytest.mark.parametrize("name", CLIMBERS)
def test_a_path_that_climbs_out_is_refused_before_anything_is_written(name, tmp_path):
    makers = [make_zip(tmp_path / "a.zip", {"ok.tif": b"1", name: b"2"}),
              make_tar(tmp_path / "a.tar", {"ok.tif": b"1", name: b"2"}, mode="w")]
    for archive in makers:
        with pytest.raises(UserError, match="would land outside the target; refused, nothing was unpacked"):
            unpack(archive, tmp_path / "in" / "out", quiet=True)
    assert not (tmp_path / "in" / "out").exists()
    assert not (tmp_path / "up.tif").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(kind, tmp_path):
    info = tarfile.TarInfo("link")
    info.type, info.linkname = kind, "/etc/passwd"
    with pytest.raises(UserError, match="'link' is a link or a device; refused"):
        unpack(make_tar(tmp_path / "a.tar", special=[info], mode="w"), tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UserError, match="'link' is a link or a device; refused"):
        unpack(tmp_path / "a.zip", tmp_path / "out", quiet=True)


def test_names_that_differ_only_in_case_are_refused(tmp_path):
    with pytest.raises(UserError, match="'x/A.tif' and 'x/a.tif' are one name or differ only in case"):
        unpack(make_zip(tmp_path / "a.zip", {"x/a.tif": b"1", "x/A.tif": b"2"}), tmp_path / "out", quiet=True)


def test_a_name_that_is_file_and_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="'x' is both a file and a folder"):
        unpack(make_tar(tmp_path / "a.tar", {"x": b"1", "x/a.tif": b"2"}, mode="w"), tmp_path / "out", quiet=True)


def test_an_existing_target_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="exists already; remove it, or name it with --root"):
        unpack(make_zip(tmp_path / "a.zip"), tmp_path / "out", quiet=True)


def test_what_a_killed_run_left_does_not_get_into_the_target(tmp_path):
    (tmp_path / "out.unpacking" / "old").mkdir(parents=True)
    target = unpack(make_zip(tmp_path / "a.zip"), tmp_path / "out", quiet=True)
    assert sorted(os.listdir(target)) == ["NCT"]


@pytest.mark.parametrize("body", [b"", b"no archive at all" * 100])
def test_another_kind_of_file_is_refused(body, tmp_path):
    (tmp_path / "a.tgz").write_bytes(body)
    with pytest.raises(UserError, match="neither a zip nor a tar|holds no file"):
        unpack(tmp_path / "a.tgz", tmp_path / "out", quiet=True)


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.zip: no such archive"):
        unpack(tmp_path / "none.zip", tmp_path / "out", quiet=True)


def test_too_little_space_is_found_before_unpacking(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match="to unpack but 0.0 GB free"):
        unpack(make_zip(tmp_path / "a.zip"), tmp_path / "out", quiet=True)


def test_a_full_disk_leaves_no_target(tmp_path):
    make_zip(tmp_path / "a.zip")
    script = small_command(tmp_path, "from fewshot_wsi.prepare_data.archive import unpack\n"
                                     "unpack('a.zip', 'out', quiet=True)")
    result = run_as_user(script, cwd=tmp_path, file_limit=1000)
    assert result.returncode == 2
    assert "a.tif: the file would grow over the size limit" in result.stderr
    assert sorted(os.listdir(tmp_path)) == ["a.zip", "command.py"]


@pytest.mark.parametrize("described", [True, False])
def test_a_second_archive_is_not_taken_for_the_first(tmp_path, described, capsys):
    target = tmp_path / "set"
    first = make_zip(tmp_path / "a.zip")
    unpack_once(first, target)
    if not described:  # as versions before left it
        (tmp_path / ".set.unpacked.json").unlink()
    assert unpack_once(first, target) == target
    assert "unpacked before, used as it is" in capsys.readouterr().out
    other = make_zip(tmp_path / "b.zip", {**FILES, "NCT/TUM/a.tif": b"1" * 4999})
    with pytest.raises(UserError, match="holds what another archive than .*b.zip held; remove the folder"):
        unpack_once(other, target)
    first.unlink()  # unpacked, it is not needed any more
    assert unpack_once(first, target) == target
    if described:
        with pytest.raises(UserError, match="holds what another archive than .*c.zip held"):
            unpack_once(tmp_path / "c.zip", target)
