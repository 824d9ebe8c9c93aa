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
