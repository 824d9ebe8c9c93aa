"""Unpacking archives: what belongs is unpacked, what is dangerous or damaged is refused and leaves nothing behind."""

import hashlib
import io
import os
import stat
import tarfile
import zipfile

import pytest

from kgpc.datasets import ArchiveError, extract_archive

FILES = {"pictures/cat/1.png": b"one" * 1000, "pictures/dog/2.png": b"two", "readme.txt": b""}


def write_zip(path, files, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def tar_with(path, name, kind, target=""):
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, target
        archive.addfile(entry)
    return path


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(archive, folder, message, **limits):
    before = sorted(path.name for path in archive.parent.iterdir())
    with pytest.raises(ArchiveError, match=message) as error:
        extract_archive(archive, folder, **limits)
    assert archive.name in str(error.value)
    assert sorted(path.name for path in archive.parent.iterdir()) == before


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_archives_are_unpacked(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        write_zip(path, FILES)
    else:
        write_tar(path, FILES, "w:" + kind.partition(".")[2])
    folder = tmp_path / "new" / "folder"
    assert extract_archive(path, folder, sha256=hashlib.sha256(path.read_bytes()).hexdigest()) == folder
    assert contents(folder) == FILES
    assert [entry.name for entry in folder.parent.iterdir()] == ["folder"]


def test_a_wrong_checksum_is_noticed_before_the_archive_is_opened(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"no archive")
    assert_refused(path, tmp_path / "out", f"SHA-256 is {hashlib.sha256(b'no archive').hexdigest()}", sha256="0" * 64)


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "C:/evil", "C:evil", "..\\evil", "\\\\server\\share\\evil"]
)
def test_paths_that_lead_out_of_the_folder_are_refused(tmp_path, name):
    for write in (write_zip, write_tar):
        assert_refused(write(tmp_path / "a.archive", {"good": b"1", name: b"2"}), tmp_path / "out", "leads out of its")
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_refused(tmp_path, kind):
    assert_refused(tar_with(tmp_path / "a.tar", "link", kind, "/etc/passwd"), tmp_path / "out", "has a link, 'link'")


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert_refused(path, tmp_path / "out", "has a link, 'link'")


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_devices_are_refused(tmp_path, kind):
    assert_refused(tar_with(tmp_path / "a.tar", "odd", kind), tmp_path / "out", "has a device, 'odd'")


def test_a_bomb_is_noticed_while_it_is_unpacked(tmp_path):
    bomb = {"zeros": bytes(5_000_000)}
    for path in (write_zip(tmp_path / "a.zip", bomb), write_tar(tmp_path / "a.tar.gz", bomb)):
        assert path.stat().st_size < 10_000
        assert_refused(path, tmp_path / "out", "more than the 4000000 bytes", max_bytes=4_000_000)


def test_bytes_are_counted_over_all_files(tmp_path):
    path = write_zip(tmp_path / "a.zip", {str(number): bytes(1000) for number in range(10)})
    assert_refused(path, tmp_path / "out", "more than the 9999 bytes", max_bytes=9999)
    extract_archive(path, tmp_path / "out", max_bytes=10_000)


def test_too_many_entries_are_refused(tmp_path):
    path = write_zip(tmp_path / "a.zip", {str(number): b"" for number in range(10)})
    assert_refused(path, tmp_path / "out", "more than the 9 entries", max_files=9)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_appears_twice_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Cat.png", b"1")
        archive.writestr("cat.png", b"2")
    assert_refused(path, tmp_path / "out", "has 'cat.png' twice")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_a_damaged_archive_is_refused(tmp_path, kind):
    files = {"a": os.urandom(100_000)}
    path = tmp_path / f"a.{kind}"
    write_zip(path, files) if kind == "zip" else write_tar(path, files, "w:" + kind[4:])
    content = bytearray(path.read_bytes())
    content[50_000:50_100] = bytes(100)
    path.write_bytes(content)
    assert_refused(path, tmp_path / "out", "damaged")


@pytest.mark.parametrize("length", [0, 100, 60_000])
def test_a_truncated_archive_is_refused(tmp_path, length):
    for write in (write_zip, write_tar):
        path = write(tmp_path / "a.archive", {"a": os.urandom(100_000)})
        path.write_bytes(path.read_bytes()[:length])
        assert_refused(path, tmp_path / "out", "damaged")


def test_an_existing_folder_is_left_alone(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES)
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="`folder` must not exist yet, or be empty"):
        extract_archive(path, folder)
    assert contents(folder) == {"mine": b"mine"}


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no archive .*nowhere\.zip"):
        extract_archive(tmp_path / "nowhere.zip", tmp_path / "out")
