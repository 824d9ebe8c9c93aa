"""Downloaded archives outlive a computer on loan: kept on a Drive, and back where Keras looks for them."""

import hashlib
from pathlib import Path

import pytest

from kgpc.datasets import keep_downloads, restore_downloads


@pytest.fixture
def keras_folder(tmp_path, monkeypatch):
    """Where Keras downloads to: an archive, and what it unpacked of it."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    folder = tmp_path / "keras" / "datasets"
    (folder / "unpacked").mkdir(parents=True)
    (folder / "unpacked" / "batch").write_bytes(b"batch")
    (folder / "archive.tar.gz").write_bytes(b"archive")
    (folder / ".unfinished-archive").write_bytes(b"half")
    return folder


def test_archives_are_kept_and_come_back_to_an_empty_computer(keras_folder, tmp_path, monkeypatch):
    kept = tmp_path / "Drive" / "downloads"
    assert keep_downloads(kept) == ["archive.tar.gz"]
    assert [path.name for path in kept.iterdir()] == ["archive.tar.gz"]
    assert keep_downloads(kept) == []
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "another computer"))
    assert restore_downloads(kept) == ["archive.tar.gz"]
    assert (tmp_path / "another computer" / "datasets" / "archive.tar.gz").read_bytes() == b"archive"
    assert restore_downloads(kept) == []


def test_what_did_not_arrive_whole_is_copied_again(keras_folder, tmp_path):
    kept = tmp_path / "kept"
    keep_downloads(kept)
    (kept / "archive.tar.gz").write_bytes(b"arc")
    assert keep_downloads(kept) == ["archive.tar.gz"]
    assert (kept / "archive.tar.gz").read_bytes() == b"archive"


def test_keras_finds_what_comes_back_and_does_not_download(tmp_path, monkeypatch):
    from keras.utils import get_file

    content = b"the archive of a data set"
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "set.bin").write_bytes(content)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    restore_downloads(tmp_path / "kept")
    arguments = {"origin": "http://localhost:1/set.bin", "file_hash": hashlib.sha256(content).hexdigest()}
    # Nothing answers at this address: a download would be an error. (Keras reads KERAS_HOME when it is imported.)
    path = get_file("set.bin", cache_dir=str(tmp_path / "keras"), **arguments)
    assert Path(path) == tmp_path / "keras" / "datasets" / "set.bin" and Path(path).read_bytes() == content


def test_nothing_to_keep_and_nothing_to_bring_back(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert keep_downloads(tmp_path / "kept") == []
    assert restore_downloads(tmp_path / "nowhere") == []
    assert not (tmp_path / "keras").exists()


def test_a_file_in_the_place_of_the_folder_is_an_error(keras_folder, tmp_path):
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(OSError, match="`folder` must be a folder"):
        keep_downloads(tmp_path / "kept")
