"""The settings: applied where nothing was chosen, in a process that imports kgpc first, and left alone otherwise."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kgpc import tensorflow_settings as settings

CHECK = """
import resource, kgpc, tensorflow as tf
print(kgpc.layers.grouped._tensorflow_trains_grouped_convolutions("float32"))
images = tf.zeros((8, 112, 112, 32))
double = tf.function(lambda x: x * 2.0)
for _ in range(3):
    result = double(images)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    result = double(images)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.parametrize("machine, onednn", [("x86_64", "1"), ("AMD64", "1"), ("aarch64", None)])
def test_only_what_is_not_set_is_set(machine, onednn):
    environ = {}
    settings.apply(environ, machine)
    assert environ.get(settings.ONEDNN) == onednn and environ[settings.KEEP_MEMORY] == "1"
    chosen = {settings.ONEDNN: "0", settings.KEEP_MEMORY: "0"}
    settings.apply(chosen, machine)
    assert chosen == {settings.ONEDNN: "0", settings.KEEP_MEMORY: "0"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults as Linux does")
def test_memory_is_kept_for_the_next_step():
    """Five results of 12.8 MB: fetched from the operating system they would take some 15,000 page faults."""
    environ = {name: value for name, value in os.environ.items() if name not in (settings.ONEDNN, settings.KEEP_MEMORY)}
    run = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, check=True, env=environ)
    grouped_gradients, faults = run.stdout.split()
    assert int(faults) < 1500
    if "avx2" in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        assert grouped_gradients == "True"
