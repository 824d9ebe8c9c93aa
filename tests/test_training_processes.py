"""Trainings that are killed, and trainings on several devices and in several processes; see training_check.py."""

import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import training_check


def start(root, *arguments, backend="tensorflow"):
    environment = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(root / "tests" / "training_check.py"), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes):
    try:
        for process in processes:
            output, _ = process.communicate(timeout=600)
            assert process.returncode == 0, output[-3000:]
    finally:
        for process in processes:
            process.kill()


def assert_same(actual, expected, **tolerance):
    assert set(actual) == set(expected)
    for name in expected:
        if tolerance:
            np.testing.assert_allclose(actual[name], expected[name], err_msg=name, **tolerance)
        else:
            np.testing.assert_array_equal(actual[name], expected[name], err_msg=name)


def states(folder):
    return {path.name for path in folder.glob("state-*.npz")}


def run_with_kills(root, folder, epochs, kills, moments):
    """Runs a training that is killed at random moments after its first new state; returns its outcome.

    Also returns how many kills left a file that was being written.
    """
    result, writing = folder.with_suffix(".npz"), 0
    for _ in range(kills):
        before = states(folder)
        process = start(root, "run", result, folder, epochs)
        try:
            while states(folder) <= before:
                assert process.poll() is None, process.communicate()[0][-3000:]
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.4))
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL, "the training was over before it was killed"
        writing += bool(list(folder.glob(".unfinished-*")))
    finish(start(root, "run", result, folder, epochs))
    assert not list(folder.glob(".unfinished-*"))
    return np.load(result), writing


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_training_ends_like_one_that_was_not(root, tmp_path):
    actual, _ = run_with_kills(root, tmp_path / "run", 60, kills=1, moments=random.Random(0))
    assert_same(actual, training_check.train(epochs=60))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_twenty_kills_change_no_bit(root, tmp_path):
    actual, writing = run_with_kills(root, tmp_path / "run", 400, kills=20, moments=random.Random())
    print(f"{writing} of 20 kills interrupted the writing of a file")
    assert_same(actual, training_check.train(epochs=400))


def test_two_devices_compute_what_one_does(root, tmp_path):
    process = start(root, "devices", tmp_path / "two.npz", 2)
    try:
        finish(process)
    except AssertionError as error:
        if "its losses and metrics are wrong on several" not in str(error):
            raise
        pytest.skip("this version of Keras counts wrong on several devices, and fit says so")
    expected = training_check.train(dropout=0.0, synchronized=True)
    assert_same(np.load(tmp_path / "two.npz"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_a_training_resumes_on_jax(root, tmp_path):
    finish(start(root, "resume", tmp_path / "run", backend="jax"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
def test_two_processes_compute_what_one_does(root, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    for _ in range(2):  # the second time from the folder of the complete run
        both = [
            start(root, "processes", tmp_path / f"{number}.npz", tmp_path / "two", number, 2, port, backend="jax")
            for number in (0, 1)
        ]
        finish(*both)
    finish(start(root, "processes", tmp_path / "one.npz", tmp_path / "one", 0, 1, 0, backend="jax"))
    first, second, one = (np.load(tmp_path / f"{name}.npz") for name in ("0", "1", "one"))
    assert_same(second, first)
    assert_same(first, one, rtol=1e-4, atol=1e-5)
    assert states(tmp_path / "two") == states(tmp_path / "one") == {"state-000003.npz", "state-000004.npz"}
