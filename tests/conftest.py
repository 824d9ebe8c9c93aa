"""Settings that all tests share."""

import os
import platform
import tempfile
from pathlib import Path

import matplotlib
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As kgpc.tensorflow_settings does, here before any test imports Keras.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
if platform.machine().lower() in ("x86_64", "amd64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Not by the variable MPLBACKEND: the kernels of the notebooks would inherit it and show no figure.
matplotlib.use("Agg")

_results = tempfile.TemporaryDirectory(prefix="kgpc-results-", ignore_cleanup_errors=True)
os.environ["KGPC_RESULTS"] = _results.name


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return Path(__file__).resolve().parents[1]
