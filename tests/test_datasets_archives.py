"""Unpacking archives: what belongs is unpacked, what is dangerous or damaged is refused and leaves nothing behind."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import shutil
import stat
import tarfile
import tracemalloc
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
@pytest.mark.parametrize("second", ["cat.png", "./cat.png", "a/../cat.png"])
def test_a_name_that_appears_twice_is_refused(tmp_path, second):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat.png", b"1")
        archive.writestr(second, b"2")
    assert_refused(path, tmp_path / "out", "twice|leads out of its folder")
    with tarfile.open(path, "w") as archive:
        for name in ("cat.png", second):
            archive.addfile(tarfile.TarInfo(name))
    assert_refused(path, tmp_path / "out", "twice|leads out of its folder")


@pytest.fixture
def case_matters(tmp_path):
    (tmp_path / "case").mkdir()
    (tmp_path / "case" / "A").touch()
    return not (tmp_path / "case" / "a").exists()


@pytest.mark.parametrize("write", [write_zip, write_tar])
def test_names_that_differ_in_case_are_two_files_where_the_file_system_tells_them_apart(tmp_path, write, case_matters):
    files = {"a/Leaf.jpg": b"1", "a/leaf.jpg": b"2", "a/LEAF.JPG": b"3", "B/x": b"4", "b/x": b"5"}
    path = write(tmp_path / "a.archive", files)
    if case_matters:
        assert contents(extract_archive(path, tmp_path / "out")) == files
    else:
        assert_refused(path, tmp_path / "out", "does not tell their names apart")


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/", "a"), ("a", "a/")])
def test_a_name_of_a_file_and_of_a_folder_is_refused(tmp_path, names):
    path = write_zip(tmp_path / "a.zip", {name: b"" for name in names})
    assert_refused(path, tmp_path / "out", f"cannot both be made here, the second is '{names[1]}'")


def test_a_name_that_cannot_be_written_is_refused(tmp_path):
    for write in (write_zip, write_tar):
        path = write(tmp_path / "a.archive", {"good": b"1", "x" * 300: b"2"})
        assert_refused(path, tmp_path / "out", "a name that cannot be written here: 'xxx")


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


def test_links_and_files_in_place_of_the_folder_are_left_alone(tmp_path):
    path = write_zip(tmp_path / "a.zip", FILES)
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    before = sorted(tmp_path.iterdir())
    for name in ("lost", "link", "a.zip", "a.zip/below"):
        with pytest.raises(FileExistsError, match="`folder` must .* Received: folder="):
            extract_archive(path, tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before and not list((tmp_path / "empty").iterdir())
    assert contents(extract_archive(path, tmp_path / "empty")) == FILES


def test_a_missing_archive_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no archive .*nowhere\.zip"):
        extract_archive(tmp_path / "nowhere.zip", tmp_path / "out")


# Tar archives that lost something


def raw_tar(count=10, size=700):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(count):
            entry = tarfile.TarInfo(f"a/{number}.bin")
            entry.size = size
            archive.addfile(entry, io.BytesIO(bytes([number + 1]) * size))
    return content.getvalue()


@pytest.mark.parametrize("kind", ["", "gz", "xz", "bz2"])
@pytest.mark.parametrize("length", [512, 3 * 1536 - 1, 3 * 1536, 3 * 1536 + 1, 3 * 1536 + 512, 10 * 1536])
def test_a_tar_archive_that_was_cut_is_refused(tmp_path, kind, length):
    compress = {"": bytes, "gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}[kind]
    path = tmp_path / "a.tar"
    path.write_bytes(compress(raw_tar()[:length]))
    assert_refused(path, tmp_path / "out", "cut off or damaged|damaged")
    path.write_bytes(compress(raw_tar()[: 10 * 1536 + 512]))
    assert len(contents(extract_archive(path, tmp_path / "out"))) == 10


@pytest.mark.parametrize("damage", [bytes(512), b"x" * 512, b"1", bytes(40)])
def test_damage_to_the_header_of_an_entry_is_noticed(tmp_path, damage):
    """`tarfile` ends there without a word, and the rest of the files is lost."""
    path = tmp_path / "a.tar"
    content = bytearray(raw_tar())
    content[4 * 1536 : 4 * 1536 + len(damage)] = damage
    path.write_bytes(content)
    assert_refused(path, tmp_path / "out", "damaged")


def test_two_archives_in_one_file_are_refused(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(raw_tar() * 2)
    assert_refused(path, tmp_path / "out", "two archives in one")


# What an archive may cost


@pytest.mark.parametrize("kind", ["pax", "gnu", "global"])
def test_names_and_notes_of_entries_are_limited(tmp_path, kind):
    """They lie in the memory as a whole; here 20 MB that take 20 kB in the archive."""
    path = tmp_path / "a.tar.gz"
    notes = {"comment": "x" * 20_000_000}
    options = {"format": tarfile.GNU_FORMAT if kind == "gnu" else tarfile.PAX_FORMAT}
    if kind == "global":
        options["pax_headers"] = notes
    with tarfile.open(path, "w:gz", **options) as archive:
        entry = tarfile.TarInfo("x" * 20_000_000 if kind == "gnu" else "x")
        if kind == "pax":
            entry.pax_headers = notes
        archive.addfile(entry)
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    assert_refused(path, tmp_path / "out", "name or notes have more than 1048576 bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000


def test_names_and_notes_count_as_bytes(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for number in range(30):
            entry = tarfile.TarInfo(str(number))
            entry.pax_headers = {"comment": "x" * 500_000}
            archive.addfile(entry)
    assert_refused(path, tmp_path / "out", "more than the 10000000 bytes", max_bytes=10_000_000)
    assert len(contents(extract_archive(path, tmp_path / "out", max_bytes=20_000_000))) == 30


@pytest.mark.parametrize(
    "notes", [b"3 a" * 200_000 + b"=\n", b"1" * 900_000, b"7 a=bc\n9999999 a=b\n", b"1 a=\n", b"x"]
)
def test_notes_that_take_long_are_refused(tmp_path, notes):
    """`tarfile` searches the whole rest again for each of them; older releases take minutes for a million digits."""
    path = tmp_path / "a.tar"
    entry = tarfile.TarInfo("notes")
    entry.type, entry.size = tarfile.XHDTYPE, len(notes)
    with tarfile.open(path, "w") as archive:
        archive.addfile(entry, io.BytesIO(notes))
        archive.addfile(tarfile.TarInfo("file"))
    assert_refused(path, tmp_path / "out", "notes on an entry are not readable")


def test_notes_on_all_entries_are_few_and_those_on_each_short(tmp_path):
    """70,000 notes on all entries take `tarfile` a tenth of a second for each entry."""
    path = tmp_path / "a.tar"
    notes = {f"key{number}": "x" for number in range(101)}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers=notes) as archive:
        archive.addfile(tarfile.TarInfo("file"))
    assert_refused(path, tmp_path / "out", "it has more than 100 notes on all entries")
    del notes["key0"]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers=notes) as archive:
        archive.addfile(tarfile.TarInfo("file"))
    assert contents(extract_archive(path, tmp_path / "out")).keys() == {"file"}
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for number in range(40):
            entry = tarfile.TarInfo(str(number))
            entry.pax_headers = {"comment": "x" * 500_000}
            archive.addfile(entry)
    assert_refused(tmp_path / "b.tar.gz", tmp_path / "other", "have more than 8192 bytes for each of them")


def test_a_file_with_holes_has_few_pieces(tmp_path):
    def write(pieces, gap):
        """A file as `tar --sparse` writes it: pieces of one byte, each after a hole."""
        entry = tarfile.TarInfo("file")
        entry.size = pieces
        entry.pax_headers = {
            "GNU.sparse.map": ",".join(f"{gap * number},1" for number in range(pieces)),
            "GNU.sparse.size": str(gap * pieces),
        }
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(entry, io.BytesIO(b"x" * pieces))
        return tmp_path / "a.tar.gz"

    assert contents(extract_archive(write(3, 4), tmp_path / "out")) == {"file": b"x\0\0\0" * 3}
    assert_refused(write(2**16 + 1, 2), tmp_path / "other", "its files with holes have more than 65536 pieces")


def test_a_negative_length_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    content = bytearray(raw_tar(2))
    header = bytearray(content[1536 : 1536 + 512])
    header[124:136] = b"\xff" * 11 + b"\x00"
    header[156:157] = b"L"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[1536 : 1536 + 512] = header
    path.write_bytes(content)
    assert_refused(path, tmp_path / "out", "damaged")


def test_a_zip_with_too_many_entries_is_refused_before_they_are_listed(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", {str(number): b"" for number in range(1000)})
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert_refused(path, tmp_path / "out", "more than the 999 entries", max_files=999)


def test_a_pipe_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "folder.zip").mkdir()
    for name in ("pipe.zip", "folder.zip"):
        assert_refused(tmp_path / name, tmp_path / "out", "no regular file")


def test_a_folder_in_the_home_folder_is_made_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_zip(tmp_path / "a.zip", FILES)
    assert contents(extract_archive("~/a.zip", "~/made")) == FILES
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_any_damage_gives_the_files_or_an_archive_error(tmp_path, kind):
    """A few seconds of random damage: nothing else is raised, and nothing is left behind."""
    generator = random.Random(kind)
    files = {f"a/{number}.txt": generator.randbytes(300) for number in range(5)}
    path = tmp_path / f"a.{kind}"
    write_zip(path, files) if kind == "zip" else write_tar(path, files, "w:" + kind[4:])
    whole, refused = path.read_bytes(), 0
    for number in range(150):
        content = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            start = generator.randrange(len(content))
            content[start : start + generator.randint(1, 60)] = generator.choice(
                (b"", bytes(20), b"\xff" * 8, generator.randbytes(12), content[:200])
            )
        path.write_bytes(content)
        folder = tmp_path / f"out{number}"
        try:
            extract_archive(path, folder, max_bytes=10**6, max_files=100)
        except ArchiveError:
            refused += 1
            assert not folder.exists()
        else:
            shutil.rmtree(folder)
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert refused > 100


def test_a_tar_whose_rest_is_zeros_is_not_complete(tmp_path):
    """A file that is as long as the archive and has only its beginning, as an unfinished download may leave it."""
    whole = write_tar(tmp_path / "whole.tar", {f"a/{n}.bin": bytes([n + 1]) * 100_000 for n in range(20)}, mode="w")
    content = whole.read_bytes()
    begun = tmp_path / "begun.tar"
    begun.write_bytes(content[: 2 * 100_864].ljust(len(content), b"\0"))  # two entries of a header and 197 blocks
    with pytest.raises(ArchiveError, match="is not complete"):
        extract_archive(begun, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # Filled up to a megabyte, as some programs do, it is whole.
    filled = tmp_path / "filled.tar"
    filled.write_bytes(content.ljust(-(-len(content) // 2**20) * 2**20, b"\0"))
    extract_archive(filled, tmp_path / "out")
    assert len(list((tmp_path / "out" / "a").iterdir())) == 20


@pytest.mark.parametrize("claimed", [0, 1, 4, 50])
def test_a_zip_that_claims_another_number_of_entries_is_refused(tmp_path, claimed):
    path = write_zip(tmp_path / "a.zip", FILES)
    content = bytearray(path.read_bytes())
    end = content.rfind(b"PK\5\6")
    content[end + 8 : end + 12] = claimed.to_bytes(2, "little") * 2
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=f"says that it has {claimed} entries, and has 3"):
        extract_archive(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
