"""Files that somebody hands over, and files that are written whole or not at all."""

import json
import os
import random
import stat
import threading

import pytest

from kgpc import files

NO_FIFO = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


# Paths


@pytest.mark.parametrize("value", ["folder", "./memory://x", "C:/x", "a/b", ".", "übung", " x", "./~", "x~"])
def test_a_path_is_taken_as_it_is(value):
    assert files.path_argument("output", value) == files.Path(value)


def test_the_home_folder_is_where_the_system_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert files.path_argument("output", "~/runs") == tmp_path / "runs"
    assert files.path_argument("output", "~") == tmp_path


@pytest.mark.parametrize(
    "value, error, message",
    [
        ("", ValueError, "`output` must be a path"),
        ("  ", ValueError, "`output` must be a path"),
        ("a\0b", ValueError, "without null characters"),
        ("memory://x", ValueError, "not a URL"),
        ("s3://bucket/x", ValueError, "not a URL"),
        ("simplecache::s3://bucket", ValueError, "not a URL"),
        ("s3:/bucket", ValueError, "not a URL"),
        (files.Path("s3://bucket/x"), ValueError, "not a URL"),
        ("~nobody-has-this-name/x", ValueError, "no home folder is known for ~nobody-has-this-name"),
        (None, TypeError, "a str or Path"),
        (b"folder", TypeError, "a str or Path"),
        (3, TypeError, "a str or Path"),
        (["folder"], TypeError, "a str or Path"),
    ],
)
def test_what_is_no_path_is_named(value, error, message):
    with pytest.raises(error, match=message) as found:
        files.path_argument("output", value)
    assert "`output`" in str(found.value) and "Received: output=" in str(found.value)


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_folder_that_is_none_is_refused(monkeypatch, home):
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("USERPROFILE", home)
    with pytest.raises(ValueError, match="no home folder is known"):
        files.path_argument("output", "~/runs")


@pytest.mark.parametrize(
    "value, url",
    [("s3://b/x", True), ("simplecache::s3://b", True), ("/x/s3://b", False), ("s3:/b", False), (None, False)],
)
def test_urls(value, url):
    assert files.is_url(value) == url


# Writing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    files.write(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]
    files.write(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["file"]
    # As any other program would make it, not for its maker alone.
    (tmp_path / "usual").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


@pytest.mark.parametrize("name", ["best.weights.h5", "x" * 240 + ".csv", "ü" * 120 + ".csv"])
def test_two_writers_do_not_share_an_unfinished_file(tmp_path, name):
    path = tmp_path / name
    with files.replacing(path) as one, files.replacing(path) as other:
        one.write_bytes(b"one")
        other.write_bytes(b"other")
        assert len(os.listdir(tmp_path)) == 2
        # Keras and NumPy look at the end of a name.
        assert one.name.endswith(name[-10:]) and other.name.endswith(name[-10:])
    assert path.read_bytes() == b"one"  # the outer block ends last
    assert os.listdir(tmp_path) == [name]


def test_a_link_in_the_place_of_a_file_is_replaced_and_its_target_stays(tmp_path):
    (tmp_path / "victim").write_text("theirs")
    (tmp_path / "file").symlink_to(tmp_path / "victim")
    files.write(tmp_path / "file", "ours")
    assert (tmp_path / "victim").read_text() == "theirs" and (tmp_path / "file").read_text() == "ours"
    (tmp_path / "log").symlink_to(tmp_path / "victim")
    with pytest.raises(files.FileError, match="log must be a file of its own, and is a link"):
        files.append(tmp_path / "log", "line\n")
    os.link(tmp_path / "victim", tmp_path / "second")
    with pytest.raises(files.FileError, match="second must be a file of its own, and is a file with a second name"):
        files.append(tmp_path / "second", "line\n")
    assert (tmp_path / "victim").read_text() == "theirs"


def made(path, kind):
    """A folder or pipe at a path."""
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    return path


@NO_FIFO
@pytest.mark.parametrize("kind", ["folder", "named pipe"])
@pytest.mark.parametrize(
    "use",
    [
        files.read_text,
        files.read_json,
        lambda path: files.write(path, b""),
        lambda path: files.append(path, ""),
        lambda path: files.check_target("page", path),
    ],
)
def test_a_folder_or_pipe_in_the_place_of_a_file_is_refused_at_once(tmp_path, kind, use):
    path = made(tmp_path / "thing", kind)
    failures = []

    def work():
        try:
            use(path)
        except files.FileError as error:
            failures.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=20)  # opening a pipe would wait for its other end, for ever
    assert failures and failures[0].startswith(f"{path} must be a file") and f", and is a {kind}" in failures[0]
    assert os.listdir(tmp_path) == ["thing"]


def test_text_that_utf8_cannot_have_is_written_escaped(tmp_path):
    files.append(tmp_path / "log", "a\udcfcb ü\n")
    assert (tmp_path / "log").read_text(encoding="utf-8") == "a\\udcfcb ü\n"


def test_json_without_numbers_that_are_none(tmp_path):
    files.write_json(tmp_path / "file", {"a": [1, 0.5, None, "ü"]})
    assert files.read_json(tmp_path / "file") == {"a": [1, 0.5, None, "ü"]}
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "file", {"a": float("nan")})
    assert files.read_json(tmp_path / "file")["a"][0] == 1


# JSON from elsewhere

DAMAGED = {
    b"": "not JSON",
    b"{": "not JSON",
    b"null": "it has a NoneType, no object",
    b"[1]": "it has a list, no object",
    b"\xff\xfe{}": "not UTF-8",
    b'{"a": NaN}': "it has the number NaN",
    b'{"a": -Infinity}': "it has the number -Infinity",
    b'{"a": 1, "a": 2}': "it has a key twice",
    b'{"a": ' + b"[" * 100_000: "nests too deep",
    b'{"a": ' + b"9" * 5000 + b"}": "not JSON",
    b"<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> main\n": "conflict markers",
    b" " * (files.MAX_JSON_BYTES + 1): "more than 1,048,576 bytes",
}


@pytest.mark.parametrize("content", DAMAGED, ids=lambda content: ascii(content[:20]))
def test_damaged_json_is_named_with_what_is_wrong(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(files.FileError, match=DAMAGED[content]) as error:
        files.read_json(path)
    assert str(path) in str(error.value) and len(str(error.value)) < 500


def test_json_as_an_editor_of_windows_writes_it(tmp_path):
    (tmp_path / "file").write_bytes(b'\xef\xbb\xbf{\r\n"a": 1\r\n}\r\n')
    assert files.read_json(tmp_path / "file") == {"a": 1}


def test_any_bytes_are_an_object_or_a_file_error(tmp_path):
    """A few thousand random changes of a file of ours: cut, overwritten, repeated, mixed with bytes of JSON."""
    generator = random.Random(15)
    good = json.dumps(
        {"name": "a", "epochs": 3, "recipe": {"rate": 0.1, "list": [1, None, True]}, "text": "ü"}
    ).encode()
    pieces = [b"{", b"}", b"[", b'"', b"NaN", b"1e999", b"-", b"\\ud800", b"\0", b"\xff", b",", b":", b"<<<<<<< \n"]
    kept = 0
    for _ in range(3000):
        content = bytearray(good)
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(content) + 1)
            end = at + generator.randint(0, 8)
            content[at:end] = generator.choice([b"", generator.choice(pieces), bytes(content[at:end]) * 2])
        try:
            value = files.parse_json(files.decode(bytes(content), "it", files.MAX_JSON_BYTES), "it")
        except files.FileError as error:
            assert "it" in str(error)
        else:
            kept += isinstance(value, dict)
    assert 0 < kept < 3000
