"""Settings that all tests share."""

import gc
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# As kgpc.tensorflow_settings does, here before any test imports Keras.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")
if platform.machine().lower() in ("x86_64", "amd64"):
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # Several processes share the machine: with all cores for each of them, they would mostly wait for each other.
    threads = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))
# Models and graphs are many objects that stay. Looking through them for garbage less often saves a tenth of the time.
gc.set_threshold(50_000, 20, 20)
# Not by the variable MPLBACKEND: the kernels of the notebooks would inherit it and show no figure.
matplotlib.use("Agg")

_results = tempfile.TemporaryDirectory(prefix="kgpc-results-", ignore_cleanup_errors=True)
os.environ["KGPC_RESULTS"] = _results.name


@pytest.fixture(scope="session")
def root():
    """The folder of the repository."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_script(root):
    """Function that returns a script of `data` as a module, by its name without the ending."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, root / "data" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def project_files(root):
    """The files that are tracked by git or are about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [root / name for name in listing.split("\0") if name and (root / name).is_file()]


@pytest.fixture(scope="session")
def wheel(root, tmp_path_factory):
    """The path of a wheel made from the repository as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(root)], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def chromium():
    """A Chromium in which pages can be opened; without one the test is left out."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        pytest.skip(f"no browser is installed: none of {', '.join(names)}")
    from playwright.sync_api import sync_playwright

    # It must not ask for anything but the pages that it is given.
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-sync"]
    with sync_playwright() as playwright:
        # No sandbox: build servers run tests as root, for whom Chromium refuses one.
        options = {"executable_path": executable, "chromium_sandbox": False, "args": ["--disable-gpu", *quiet]}
        browser = playwright.chromium.launch(**options)
        yield browser
        browser.close()
