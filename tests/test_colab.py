"""As on Colab: no checkout, only packages that are preinstalled there; a notebook and a wheel in an empty folder."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
import stamp_notebooks

import start

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
# What Colab brings: kgpc's own dependencies, and what runs a notebook. (It brings more; nothing here may need that.)
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
PREINSTALLED = ["ipykernel", "ipywidgets", "nbclient", "pip", *DEPENDENCIES]
# Without their outputs, so that those that are there afterwards are new.
EXECUTE = """
import sys

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
for cell in notebook.cells:
    if cell.cell_type == "code":
        cell.outputs = []
NotebookClient(notebook, timeout=None, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lets only administrators make symbolic links")


def with_requirements(names):
    """The installed distributions of these names, and those that they require, by normalized name."""
    found, waiting = {}, list(names)
    while waiting:
        requirement = waiting.pop()
        name = re.match(r"[\w.-]+", requirement)[0]
        normalized = re.sub(r"[-_.]+", "-", name).lower()
        if normalized in found or "extra ==" in requirement:
            continue
        try:
            found[normalized] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # needed on another system or by another Python
        waiting.extend(found[normalized].requires or [])
    return found


class Colab:
    """An environment that has the packages of the one that runs this test, as far as they are wanted, as links.

    Attributes:
        python: Path of its interpreter.
        packages: Path of the folder that pip installs into.
    """

    def __init__(self, folder, names):
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = Path(start.python_of(str(folder)))
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.packages = Path(subprocess.check_output([self.python, "-c", code], text=True).strip())
        distributions = with_requirements(names)
        if "opencv-python" not in distributions:  # here the build without windows took its place; Colab has both
            distributions |= with_requirements(["opencv-python-headless"])
            version = distributions["opencv-python-headless"].version
            record = self.packages / f"opencv_python-{version}.dist-info"
            record.mkdir()
            (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: opencv-python\nVersion: {version}\n")
        assert "kgpc" not in distributions
        here = Path(sysconfig.get_path("purelib"))
        for distribution in distributions.values():
            for top in {Path(file).parts[0] for file in distribution.files} - {"..", "__pycache__"}:
                if (here / top).exists() and not (self.packages / top).exists():
                    (self.packages / top).symlink_to(here / top)

    def run(self, folder, *arguments, **variables):
        """Runs the interpreter in a folder and returns the process; pip finds no packages elsewhere."""
        environ = {name: text for name, text in start.clean_environ().items() if not name.startswith("JUPYTER")}
        del environ["KGPC_RESULTS"]
        # Were pip to take another version of a package, it would write through the links.
        environ |= {"PIP_NO_INDEX": "1", "IPYTHONDIR": str(folder / ".ipython"), **variables}
        return subprocess.run([self.python, *arguments], cwd=folder, env=environ, capture_output=True, text=True)


@pytest.fixture
def colab(tmp_path):
    return Colab(tmp_path / "environment", PREINSTALLED)


@pytest.fixture
def folder(tmp_path):
    """The empty folder that a notebook on Colab runs in."""
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


def installed_version(colab, folder):
    """The version of kgpc that is installed, and None where none is."""
    process = colab.run(folder, "-c", "import importlib.metadata as m; print(m.version('kgpc'))")
    return process.stdout.strip() if process.returncode == 0 else None


@pytest.mark.parametrize(
    "name", [name if name.startswith("00") else pytest.param(name, marks=pytest.mark.slow) for name in NOTEBOOKS]
)
def test_a_notebook_and_a_wheel_are_enough(colab, folder, wheel, name):
    shutil.copy(wheel, folder)
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", folder)
    assert installed_version(colab, folder) is None
    process = colab.run(folder, "-c", EXECUTE, f"{name}.ipynb")
    assert process.returncode == 0, process.stderr
    assert (colab.packages / "kgpc" / "_data").is_dir()
    cells = nbformat.read(folder / f"{name}.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert any({"image/jpeg", "image/png"} & set(output.get("data", {})) for output in outputs)


# Google Colab's own package, as far as notebook 07 asks for it: what is mounted is a link to the Drive that stays.
GOOGLE_DRIVE = """
import os
import pathlib

def mount(path):
    pathlib.Path(path).mkdir()
    (pathlib.Path(path) / "MyDrive").symlink_to(os.environ["GOOGLE_DRIVE"])

def flush_and_unmount():
    print("unmounted")
"""
# In place of what takes hours: few images, few pixels, few epochs; the network is the real one.
SMALL = """
import pathlib

import kgpc.training.progress

def load(name):
    archive = pathlib.Path.home() / ".keras" / "datasets" / "archive"
    if not archive.exists():
        print("downloads", name)
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.write_bytes(bytes(1000))
    return datasets.photo_patches(train_per_photograph=150, test_per_photograph=20)

class Lost(kgpc.training.progress.Progress):
    def begin(self, steps, done=0):
        print("begins with", done, "of", steps, "steps")
        super().begin(steps, done)

    def advance(self, note=""):
        super().advance(note)
        if self.done == LOST_AT:
            sys.stdout.flush()
            os._exit(137)

datasets.load = load
training.fit.__globals__["Progress"] = Lost
published_recipe = training.recipe
training.recipe = lambda *names: published_recipe(*names).replace(image_size=32, epochs=3)
"""


class Runtime:
    """A computer on loan: packages, home and folders of its own, which are gone with it; only the Drive stays."""

    def __init__(self, folder, drive):
        self.folder, self.drive = folder / "content", drive
        self.folder.mkdir(parents=True)
        self.colab = Colab(folder / "environment", PREINSTALLED)
        package = self.colab.packages / "google" / "colab"
        # Parts of the package `google` are links to the packages that run this test: no writing through them.
        google = self.colab.packages / "google"
        if google.is_symlink():
            parts = list(google.resolve().iterdir())
            google.unlink()
            google.mkdir()
            for part in parts:
                (google / part.name).symlink_to(part)
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "drive.py").write_text(GOOGLE_DRIVE)

    def run_07(self, lost_at=None):
        """Runs the cells of notebook 07 in the paper profile, up to the training and the last one."""
        cells = nbformat.read(ROOT / "notebooks" / "07_train_on_colab_gpu.ipynb", as_version=4).cells
        code = [cell.source for cell in cells if cell.cell_type == "code"]
        (imports,) = (number for number, source in enumerate(code) if "from kgpc.applications" in source)
        (trains,) = (number for number, source in enumerate(code) if source.startswith("model = build()\noptions"))
        (ends,) = (source for source in code if "flush_and_unmount" in source)
        small = f"LOST_AT = {lost_at}\n{SMALL}"
        code = [*code[: imports + 1], small, *code[imports + 1 : trains + 1], "print(len(result.history))", ends]
        script = "\n".join(code).replace('PROFILE = "quick"', 'PROFILE = "paper"')
        script = script.replace('"/content/drive', f'"{self.folder}/drive')
        (self.folder / "cells.py").write_text("def display(*_):\n    pass\n" + script)
        return self.colab.run(
            self.folder, "cells.py", HOME=str(self.folder), GOOGLE_DRIVE=str(self.drive), MPLBACKEND="agg"
        )


@pytest.mark.slow
def test_a_reader_who_lost_the_runtime_goes_on_from_drive(tmp_path, wheel):
    drive = tmp_path / "Drive"
    (drive / "kgpc").mkdir(parents=True)
    shutil.copy(wheel, drive / "kgpc")
    steps = 6 * 135 // 64  # 150 images of each of six photographs, without a tenth, in whole batches

    first = Runtime(tmp_path / "first", drive).run_07(lost_at=steps + 2)
    assert first.returncode == 137, first.stderr
    assert f"On Drive: {wheel.name}" in first.stdout and "downloads CIFAR-10" in first.stdout
    assert f"begins with 0 of {3 * steps} steps" in first.stdout
    kept = drive / "kgpc" / "results" / "kmobilenet-16ch-paper"
    assert (kept / "state-000001.npz").exists() and not (kept / "state-000002.npz").exists()

    second = Runtime(tmp_path / "second", drive).run_07()
    assert second.returncode == 0, second.stderr
    assert f"On Drive: downloads, {wheel.name}, results" in second.stdout
    assert "downloads CIFAR-10" not in second.stdout
    assert f"begins with {steps} of {3 * steps} steps" in second.stdout
    assert second.stdout.endswith("3\nunmounted\nDrive has everything.\n")


def test_the_setup_cell_installs_from_the_repository(folder, tmp_path, project_files):
    # A new repository, not a clone of this one: where that is shallow, some releases of git recur without end when pip
    # makes a partial clone of it.
    repository = tmp_path / "repository"
    for file in project_files:
        (repository / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, repository / file.relative_to(ROOT))
    git = ["git", "-C", repository, "-c", "user.name=kgpc", "-c", "user.email=kgpc@localhost"]
    for arguments in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=kgpc"]):
        subprocess.run([*git, *arguments], check=True)
    # What pip would fetch to build the wheel is taken from here; "0" means no isolation, as odd as that looks.
    colab = Colab(tmp_path / "with hatchling", [*PREINSTALLED, "hatchling"])
    process = colab.run(folder, "-c", stamp_notebooks.setup_cell(f"file://{repository}"), PIP_NO_BUILD_ISOLATION="0")
    assert process.returncode == 0, process.stderr
    assert (colab.packages / "kgpc" / "_data").is_dir()


def test_the_setup_cell_says_what_is_missing(colab, folder):
    process = colab.run(folder, "-c", stamp_notebooks.setup_cell(""))
    assert process.returncode == 1
    assert "no kgpc-*.whl lies beside this notebook" in process.stderr
    assert installed_version(colab, folder) is None


# The setup cell with a pip that only says what it was asked for
RECORD = """
import importlib.util
import subprocess

importlib.util.find_spec = lambda name: None
subprocess.run = lambda command, check: print("installs", *command[4:])
"""


@pytest.mark.parametrize(
    ("names", "printed"),
    [
        (["kgpc-0.9.0-py3-none-any.whl", "kgpc-0.10.0-py3-none-any.whl"], "installs --quiet kgpc-0.10.0-"),
        (["kgpc-1.0.0-py3-none-any.whl", "kgpc-1.0.0rc2-py3-none-any.whl"], "installs --quiet kgpc-1.0.0-"),
        (["kgpc-1.0.0-py3-none-any.whl", "kgpc-1.0.0.post1-py3-none-any.whl"], "installs --quiet kgpc-1.0.0.post1-"),
        (
            ["kgpc-0.1.0-py3-none-any.whl", "kgpc-0.1.0-py3-none-any (1).whl"],
            "Passed over: kgpc-0.1.0-py3-none-any (1).whl. pip takes a wheel only by its own name, without ' (1)' and "
            "the like.\ninstalls --quiet kgpc-0.1.0-py3-none-any.whl\n",
        ),
    ],
)
def test_the_setup_cell_takes_the_newest_wheel(folder, names, printed):
    for name in names:
        (folder / name).touch()
    code = RECORD + stamp_notebooks.setup_cell("")
    process = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(printed)


def test_the_setup_cell_explains_names_that_are_none(folder):
    names = ["kgpc-0.1.0-py3-none-any (1).whl", "kgpc-copy.whl"]
    for name in names:
        (folder / name).touch()
    code = RECORD + stamp_notebooks.setup_cell("")
    process = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert process.returncode == 1 and "installs" not in process.stdout
    assert "no kgpc-*.whl lies beside" in process.stderr and f"Passed over: {', '.join(names)}. pip" in process.stderr
