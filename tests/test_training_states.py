"""States and `run.json` on the disk: what is no state of the run is refused before it takes memory or is believed."""

import dataclasses
import io
import json
import os
import random
import tracemalloc
import zipfile

import numpy as np
import pytest

from kgpc.training.checkpoints import Checkpoints
from kgpc.training.files import check_file
from kgpc.training.identity import fingerprints
from kgpc.training.monitoring import best_epoch
from kgpc.training.run_file import DamagedCheckpoint, read_run, write_run
from kgpc.training.states import Layout, State, WrongState, read_state, shapes, state_epoch, state_name, write_state

STEPS = 3


def row(epoch, accuracy=0.5):
    return {
        "epoch": epoch,
        "learning_rate": 0.01,
        "loss": 1.5,
        "accuracy": 0.25,
        "val_loss": 2.0 / epoch,
        "val_accuracy": accuracy,
        "seconds": 0.5,
    }


def small_state(epoch=3):
    """A state of which the second epoch is the best."""
    generator = np.random.default_rng(epoch)
    weights = [generator.normal(size=(3, 4)).astype("float32"), generator.normal(size=4).astype("float32")]
    return State(
        epoch=epoch,
        variables=[*weights, np.array([7, epoch], "uint32")],
        optimizer=[np.array(STEPS * epoch), *weights],
        best_epoch=min(epoch, 2),
        best=weights if epoch else [],
        history=[row(number, accuracy=0.6 if number == 2 else 0.5) for number in range(1, epoch + 1)],
        step_losses=generator.uniform(0, 2, STEPS * epoch),
    )


LAYOUT = Layout(
    shapes(small_state().variables),
    shapes(small_state().optimizer),
    shapes(small_state().best),
    5,
    STEPS,
    "val_accuracy",
)


def assert_equal_states(actual, expected):
    assert (actual.epoch, actual.best_epoch, actual.history) == (expected.epoch, expected.best_epoch, expected.history)
    for name in ("variables", "optimizer", "best"):
        for one, other in zip(getattr(actual, name), getattr(expected, name), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(actual.step_losses, expected.step_losses)


@pytest.fixture
def path(tmp_path):
    """A state after three epochs."""
    write_state(tmp_path / "state-000003.npz", small_state())
    return tmp_path / "state-000003.npz"


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_a_state_comes_back_as_it_was(epoch, tmp_path):
    path = tmp_path / state_name(epoch)
    write_state(path, small_state(epoch))
    assert_equal_states(read_state(path, LAYOUT), small_state(epoch))


def test_a_name_says_one_number():
    assert [state_epoch(state_name(epoch)) for epoch in (0, 7, 10**6)] == [0, 7, 10**6]
    for name in ("state-7.npz", "state-0000007.npz", "state-000007.npz.bak", "run.json", "state-٠٠٠٠٠٧.npz"):
        assert state_epoch(name) is None, name


def changed(path, about=None, **arrays):
    """Writes a state again with another description or other arrays; None removes one."""
    with np.load(path) as file:
        content = dict(file)
    if about is not None:
        content["about"] = np.array(json.dumps(about(json.loads(str(content["about"])))))
    for name, value in arrays.items():
        content[name.replace("_0", "/00000")] = value
    path.unlink()
    np.savez(path, **{name: value for name, value in content.items() if value is not None})


def with_entry(key, value):
    return lambda about: about | {key: value}


def with_row(key, value):
    return lambda about: about | {"history": [*about["history"][:-1], about["history"][-1] | {key: value}]}


def text_instead(text):
    """Writes a state whose description is a text."""

    def change(path):
        with np.load(path) as file:
            content = dict(file) | {"about": np.array(text)}
        path.unlink()
        np.savez(path, **content)

    return change


def compressed(path):
    with np.load(path) as file:
        content = dict(file)
    path.unlink()
    np.savez_compressed(path, **content)


def twice(path):
    with zipfile.ZipFile(path) as archive:
        content = archive.read("variables/000000.npy")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("variables/000000.npy", content)


def renamed(path):
    os.replace(path, path.with_name("state-000004.npz"))


WRONG = {
    "another shape": (lambda path: changed(path, variables_00=np.zeros((4, 3), "float32")), "variables/000000.npy is"),
    "another type": (lambda path: changed(path, optimizer_01=np.zeros((3, 4))), "optimizer/000001.npy is float64"),
    "objects": (lambda path: changed(path, best_01=np.array([{}] * 4)), "best/000001.npy is not as long as"),
    "an array less": (lambda path: changed(path, best_01=None), "has 9 arrays, a state of this run 10"),
    "an array more": (lambda path: changed(path, best_02=np.zeros(3)), "has 11 arrays"),
    "an array twice": (twice, "has 11 arrays"),
    "compressed": (compressed, "about.npy is compressed"),
    "NaN": (
        lambda path: changed(path, variables_01=np.array([0, np.nan, 0, 0], "float32")),
        "weights that are infinite",
    ),
    "infinity": (
        lambda path: changed(path, best_01=np.array([0, np.inf, 0, 0], "float32")),
        "weights that are infinite",
    ),
    "NaN of the optimizer": (
        lambda path: changed(path, optimizer_02=np.full(4, np.nan, "float32")),
        "its optimizer has",
    ),
    "a loss too many": (lambda path: changed(path, step_losses=np.zeros(10)), r"step_losses.npy is float64 \(10,\)"),
    "NaN as loss": (lambda path: changed(path, step_losses=np.full(9, np.nan)), "losses that are infinite"),
    "a huge epoch": (lambda path: changed(path, about=with_entry("epoch", 10**9)), "is 1000000000, not one of 0 to 5"),
    "a huger epoch": (lambda path: changed(path, about=with_entry("epoch", 10**400)), "is 10{39}, not one of 0 to 5"),
    "a negative epoch": (lambda path: changed(path, about=with_entry("epoch", -1)), "is -1, not one of 0 to 5"),
    "half an epoch": (lambda path: changed(path, about=with_entry("epoch", 2.5)), "is 2.5, not one of 0 to 5"),
    "an epoch that is true": (lambda path: changed(path, about=with_entry("epoch", True)), "is True, not one of"),
    "another epoch": (renamed, "after epoch 3, not the one that its name says"),
    "another best epoch": (lambda path: changed(path, about=with_entry("best_epoch", 1)), "best epoch is 1, which its"),
    "a best epoch to come": (
        lambda path: changed(path, about=with_entry("best_epoch", 9)),
        "best epoch is 9, which its",
    ),
    "no history": (lambda path: changed(path, about=with_entry("history", [])), "one row for each epoch"),
    "another history": (lambda path: changed(path, about=with_entry("history", "abc")), "one row for each epoch"),
    "a row of another epoch": (lambda path: changed(path, about=with_row("epoch", 2)), "row 3 .* not that of epoch 3"),
    "a text as loss": (lambda path: changed(path, about=with_row("loss", "low")), "row 3 .* not that of epoch 3"),
    "accuracy above 1": (lambda path: changed(path, about=with_row("val_accuracy", 7)), "row 3 .* out of range"),
    "NaN as accuracy": (lambda path: changed(path, about=with_row("accuracy", float("nan"))), "row 3 .* out of range"),
    "a negative time": (lambda path: changed(path, about=with_row("seconds", -1)), "row 3 .* out of range"),
    "another column": (lambda path: changed(path, about=with_row("top5", 1)), "columns of a history"),
    "foreign JSON": (lambda path: changed(path, about=lambda about: ["a"]), "description is not that of a state"),
    "deep JSON": (text_instead("[" * 4000), "recursion|nest|Expecting"),
    "no JSON": (text_instead("<<<<<<< HEAD"), "Expecting value"),
    "a long description": (text_instead("x" * 30_000), "about.npy is no description|has .* bytes"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_state_is_refused_and_the_one_before_it_taken(kind, path):
    change, message = WRONG[kind]
    write_state(path.with_name("state-000002.npz"), small_state(2))
    change(path)
    (wrong,) = set(path.parent.iterdir()) - {path.with_name("state-000002.npz")}
    with pytest.raises(Exception, match=message):
        read_state(wrong, LAYOUT)
    checkpoints = folder_of_run(path.parent)
    with pytest.warns(UserWarning, match=rf"is damaged: {wrong.name} .* after epoch 2"):
        assert_equal_states(checkpoints.latest(LAYOUT), small_state(2))
    with checkpoints:
        checkpoints.acquire()
        checkpoints.save(small_state(3))
    assert {name for name in os.listdir(path.parent) if name.startswith("state")} == {
        "state-000002.npz",
        "state-000003.npz",
    }


def folder_of_run(folder, identity=None):
    """A run in a folder that may have states already."""
    identity = {"recipe": {"epochs": 5}, "model": {}, "data": {}} if identity is None else identity
    write_run(folder / "run.json", identity, fingerprints(small_state().best), {})
    return Checkpoints(folder, identity, fingerprints(small_state().best), {})


def npy(header, version=(1, 0), data=b""):
    """An array file whose header says what it is told to."""
    header = header.encode().ljust(117) + b"\n"
    length = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + header + data


def replaced(path, name, content, compression=zipfile.ZIP_STORED):
    """Writes a state again with another file in its archive."""
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in (files | {name: content}).items():
            archive.writestr(key, value, compression if key == name else zipfile.ZIP_STORED)


ZEROS = bytes(2**26)
LARGE = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**24},), }}"
BOMBS = {
    "zeros": ("variables/000000.npy", npy(LARGE, data=ZEROS), zipfile.ZIP_DEFLATED),
    "a shape without data": ("variables/000000.npy", npy(LARGE.replace("16777216", str(2**50))), zipfile.ZIP_STORED),
    "a header of zeros": (
        "variables/000000.npy",
        b"\x93NUMPY\x02\x00" + (2**26).to_bytes(4, "little") + ZEROS,
        zipfile.ZIP_DEFLATED,
    ),
    "a description of zeros": (
        "about.npy",
        npy(f"{{'descr': '<U{2**24}', 'fortran_order': False, 'shape': (), }}", data=ZEROS),
        zipfile.ZIP_DEFLATED,
    ),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_file_does_not_choose_how_much_memory_it_takes(kind, path):
    replaced(path, *BOMBS[kind])
    tracemalloc.start()
    try:
        with pytest.raises(WrongState):
            read_state(path, LAYOUT)
        assert tracemalloc.get_traced_memory()[1] < 2**22  # of 2**26
    finally:
        tracemalloc.stop()


def test_a_file_that_is_too_long_is_not_looked_into(path):
    with path.open("rb+") as file:
        file.truncate(2**40)  # takes no room on the disk
    with pytest.raises(WrongState, match="it has 1,099,511,627,776 bytes; a state of this run has at most"):
        read_state(path, LAYOUT)


def test_every_single_flipped_byte_is_noticed_or_without_effect(tmp_path):
    state = State(1, [np.arange(5.0)], [np.arange(3)], 1, [np.ones(2)], [row(1)], np.arange(1.0))
    layout = Layout(shapes(state.variables), shapes(state.optimizer), shapes(state.best), 1, 1, "val_accuracy")
    path = tmp_path / "state-000001.npz"
    write_state(path, state)
    whole = path.read_bytes()
    noticed = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            read = read_state(path, layout)
        except Exception:
            noticed += 1
            continue
        assert_equal_states(read, state)  # dates and such in the zip directory have no meaning here
    assert noticed > len(whole) / 2


def mutated(content, generator):
    """Bytes with one to four changes: cut, doubled, moved, replaced, with a number at its limits."""
    content = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(content) + 1)
        end = min(len(content), start + generator.choice([1, 2, 4, 8, 64, 1024]))
        content[start:end] = generator.choice(
            [
                b"",
                content[start:end] * 2,
                bytes(end - start),
                b"\xff" * (end - start),
                generator.randbytes(end - start),
                content[: end - start],
                generator.choice(
                    [b"null", b"NaN", b"-1", b"1e999", b"[[", b'{"a":', b'"', b"\\ud800", b"\xef\xbb\xbf"]
                ),
            ]
        )
    return bytes(content)


def test_states_that_were_changed_at_random_are_refused_or_as_before(path):
    whole, generator = path.read_bytes(), random.Random(15)
    refused = 0
    for _ in range(400):
        path.write_bytes(mutated(whole, generator))
        try:
            state = read_state(path, LAYOUT)
        except Exception:
            refused += 1
            continue
        assert_equal_states(state, small_state())
    assert refused > 300


def test_a_run_file_that_was_changed_at_random_is_refused_by_name_or_read(tmp_path):
    identity = {"recipe": {"epochs": 5, "seed": 7}, "model": {"sha256": "ab"}, "data": {"class_names": ["a", "ö"]}}
    folder_of_run(tmp_path, identity)
    path = tmp_path / "run.json"
    whole, generator = path.read_bytes(), random.Random(15)
    refused = 0
    for _ in range(400):
        path.write_bytes(mutated(whole, generator))
        try:
            Checkpoints(path.parent, identity, fingerprints(small_state().best), {})
        except ValueError as error:  # DamagedCheckpoint is one
            refused += 1
            assert str(path.parent) in str(error)
            continue
        assert read_run(path)["identity"] == identity
    assert refused > 200


@pytest.mark.parametrize(
    "content, error, message",
    [
        (b"", DamagedCheckpoint, "run.json is damaged: Expecting value.* Choose another folder, or remove"),
        (b"\xff\xfe", DamagedCheckpoint, "run.json is damaged: 'utf-8' codec"),
        (b"<<<<<<< HEAD\n{}", DamagedCheckpoint, "run.json is damaged: Expecting value"),
        (b"[" * 100_000, DamagedCheckpoint, "run.json is damaged: "),
        (b"[1, 2]", DamagedCheckpoint, "does not describe a run of kgpc.training.fit, as if another program"),
        (b'{"name": "experiment", "steps": 3}', DamagedCheckpoint, "does not describe a run"),
        (b'{"format": 2, "identity": {}, "versions": {}}', DamagedCheckpoint, "does not describe a run"),
        (b'{"format": 2, "identity": {}, "versions": [], "initial_weights": []}', DamagedCheckpoint, "not describe"),
        (
            b'{"format": 2, "identity": {}, "versions": {}, "initial_weights": [[1.0, "a"]]}',
            DamagedCheckpoint,
            "does not describe a run",
        ),
        (b'{"format": 3, "identity": {}}', ValueError, "is of a later version of kgpc. Update kgpc"),
        (
            b'{"identity": {"recipe": {}, "model": {}, "data": {}}, "versions": {"keras": "3.8"}}',
            ValueError,
            "is of an earlier version of kgpc.*history.csv and best.weights.h5 beside it can be used",
        ),
        (
            b'{"format": 2, "identity": ' + b'{"recipe":' * 300 + b"1" + b"}" * 300 + b', "versions": {}, '
            b'"initial_weights": []}',
            ValueError,
            "belongs to another run",
        ),
    ],
)
def test_damaged_and_foreign_run_files_say_what_is_wrong_and_what_to_do(content, error, message, tmp_path):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(error, match=message) as raised:
        Checkpoints(tmp_path, {"recipe": {"epochs": 5}}, [], {})
    assert type(raised.value) is error and str(tmp_path) in str(raised.value)
    assert os.listdir(tmp_path) == ["run.json"]


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_what_is_no_file_is_told_apart(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    for name, kind in (("folder", "a folder"), ("pipe", "a named pipe"), ("nowhere", "a link that leads nowhere")):
        with pytest.raises(ValueError, match=f"{name} must be a file, but is {kind}. Remove it"):
            check_file(tmp_path / name)
    check_file(tmp_path / "file")
    check_file(tmp_path / "link")
    check_file(tmp_path / "gone")
    with pytest.raises(ValueError, match="link must be a file, but is a link"):
        check_file(tmp_path / "link", links=False)
    check_file(tmp_path / "file", links=False)
    os.link(tmp_path / "file", tmp_path / "second name")
    check_file(tmp_path / "second name")
    with pytest.raises(ValueError, match="second name must be a file with one name, but has 2"):
        check_file(tmp_path / "second name", links=False)


def test_the_best_epoch_is_what_the_monitor_says():
    history = [row(1, 0.5), row(2, 0.7), row(3, 0.7), row(4, 0.6)]
    assert best_epoch(history, "val_accuracy") == 2  # of equally good ones the first
    assert best_epoch(history, "val_loss") == 4
    assert best_epoch(history[:3], "last") == 3
    assert best_epoch([], "last") == 0
    undefined = [row(1) | {"val_loss": float("nan")}, row(2), row(3) | {"val_loss": float("nan")}]
    assert best_epoch(undefined, "val_loss") == 2


def test_other_steps_are_another_layout(path):
    with pytest.raises(WrongState, match="step_losses.npy"):
        read_state(path, dataclasses.replace(LAYOUT, steps=4))
    buffer = io.BytesIO()
    np.savez(buffer, a=1)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(KeyError, match="about.npy"):
        read_state(path, LAYOUT)
