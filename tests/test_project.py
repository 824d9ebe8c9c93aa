"""The repository as a whole: what its files say of each other, what they must not contain, what the wheel carries."""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.parse
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import kgpc
import start
from kgpc import measurements

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(
    {path.with_suffix("") for path in (ROOT / "notebooks").glob("*") if path.suffix in (".py", ".ipynb")}
)
CONDA_TO_PYPI = {"opencv": "opencv-python", "playwright-python": "playwright"}
EVERY_NOTEBOOK = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def text_of(path):
    """The text of a file; empty for a binary one."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(language):
    """The blocks of README in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", read("README.md"), flags=re.MULTILINE | re.DOTALL)


# Dependencies and versions


def specifiers(requirements):
    return {Requirement(text).name: Requirement(text).specifier for text in requirements}


def test_environment_and_pyproject_name_the_same_packages(pyproject):
    project = pyproject["project"]
    extras = {name: packages for name, packages in project["optional-dependencies"].items() if name != "cluster"}
    wanted = project["dependencies"] + sum(extras.values(), [])  # CONTRIBUTING names conda's packages for a cluster
    *conda, from_pip = yaml.safe_load(read("environment.yml"))["dependencies"]
    conda = specifiers(conda + from_pip["pip"])
    assert conda.pop("python") == SpecifierSet(project["requires-python"])
    assert conda.pop("pip") == SpecifierSet()
    assert {CONDA_TO_PYPI.get(name, name): specifier for name, specifier in conda.items()} == specifiers(wanted)


def test_every_dependency_has_a_lower_and_an_upper_bound(pyproject):
    project = pyproject["project"]
    for name, specifier in specifiers(project["dependencies"]).items():
        assert sorted(bound.operator for bound in specifier) == ["<", ">="], name


def test_the_supported_versions_of_python_are_the_same_everywhere(pyproject):
    versions = [f"{major}.{minor}" for major, minor in start.SUPPORTED]
    allowed = SpecifierSet(pyproject["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(30) if allowed.contains(f"3.{minor}.0")] == versions
    classifier = "Programming Language :: Python :: 3."
    named = [text.removeprefix(classifier[:-2]) for text in pyproject["project"]["classifiers"] if classifier in text]
    assert named == versions
    workflow = yaml.safe_load(read(".github/workflows/tests.yml"))
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["python"] == versions


def test_the_version_is_the_same_everywhere():
    assert yaml.safe_load(read("CITATION.cff"))["version"] == kgpc.__version__
    assert re.search(rf"^## .*\b{re.escape(kgpc.__version__)}\b", read("CHANGELOG.md"), flags=re.MULTILINE)


# Commands


def test_readme_shows_the_two_commands_on_its_first_screen():
    first_screen = "\n".join(read("README.md").splitlines()[:20])
    assert re.findall(r"^    (python3 .*)$", first_screen, flags=re.MULTILINE) == [
        "python3 start.py",
        "python3 start.py test",
    ]


def test_the_build_servers_run_the_commands_of_readme():
    assert read(".ci/run").splitlines()[-1] == "python3 start.py test"
    jobs = yaml.safe_load(read(".github/workflows/tests.yml"))["jobs"]
    assert [step["run"] for step in jobs["tests"]["steps"] if "run" in step] == ["bash .ci/run"]
    assert [step["run"] for step in jobs["everything"]["steps"] if "run" in step] == [
        "python3 start.py",
        "python3 start.py test --slow",
        "python3 start.py site",
    ]


# README


def test_the_ten_lines_of_readme_print_what_it_says():
    (code,), (printed, *_) = fenced("python"), fenced("text")
    assert len(code.strip().splitlines()) <= 11
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout == printed


NO_NAMES = re.compile(r"kgpc\._data\b")  # a folder of the wheel


def is_there(name):
    """Whether a dotted name that begins with `kgpc` is found from `import kgpc` on."""
    value = kgpc
    for part in name.split(".")[1:]:
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


def test_the_pages_name_what_import_kgpc_gives():
    names = set()
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        names |= set(re.findall(r"\bkgpc(?:\.[A-Za-z_]\w*)+", page.read_text(encoding="utf-8")))
    assert "kgpc.deploy.fold" in names
    assert [name for name in sorted(names) if not NO_NAMES.match(name) and not is_there(name)] == []


def test_modules_that_few_programs_need_are_imported_when_they_are_asked_for():
    code = """
import sys, kgpc
later = ["cai", "conversion", "deploy", "timing"]
assert not [name for name in later if f"kgpc.{name}" in sys.modules]
assert set(later) <= set(dir(kgpc))
assert [getattr(kgpc, name).__name__ for name in later] == [f"kgpc.{name}" for name in later]
assert kgpc.convert is kgpc.conversion.convert
assert kgpc.deploy.fold and not hasattr(kgpc, "nothing")
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_the_table_of_readme_holds_the_published_numbers():
    rows = kgpc.paper.published().query("paper == 'grouped-pointwise-2022' and dataset == 'CIFAR-10'")
    rows = rows[rows["model"].isin(["MobileNet", "kMobileNet"])]
    expected = []
    for row in rows.sort_values("channels_per_group", na_position="first").to_dict("records"):
        name = row["model"] if row["scheme"] == "none" else f"{row['model']} {row['channels_per_group']}ch"
        accuracy = f"{row['test_accuracy_percent']:.2f}%"
        expected.append(f"| {name} | {row['parameters']:,} | {row['flops']:,} | {accuracy} |")
    assert re.findall(r"^\| k?MobileNet(?: \d+ch)? \|.*$", read("README.md"), flags=re.MULTILINE) == expected


def test_the_table_of_speed_in_readme_holds_the_stored_measurements():
    speed = measurements.stored("speed")
    table = measurements.as_text(measurements.ratios(speed), speed)
    table["processor"] = table["processor"].str.removeprefix("AMD EPYC with ")  # what README says above the table
    expected = ["| " + " | ".join(row) + " |" for row in table.itertuples(index=False, name=None)]
    expected = [row.replace("|  |", "| |") for row in expected]
    assert re.findall(r"^\| k.* vs .*$", read("README.md"), flags=re.MULTILINE) == expected


def test_readme_says_how_much_smaller_the_network_is():
    (printed, *_) = fenced("text")
    dense, grouped = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) parameters", printed))
    assert f"up to {100 * (dense - grouped) // dense}% fewer parameters" in read("README.md")


def test_the_headline_says_what_it_holds_for_and_costs():
    rows = kgpc.paper.published().query("dataset == 'CIFAR-10' and label == 'JP35B14'").set_index("channels_per_group")
    rows = rows["test_accuracy_percent"]
    lost = rows[rows.index.isna()].iloc[0] - rows[16]
    options = {"classes": 1000, "weights": None}
    sizes = [
        kgpc.flops.trainable_parameters(kgpc.applications.kMobileNet(scheme=scheme, **options))
        for scheme in (None, kgpc.D6(16))
    ]
    left = round(100 * sizes[1] / sizes[0])
    for name in ("README.md", "docs/index.md"):
        text = " ".join(read(name).split())
        assert f"{lost:.1f} points of accuracy on CIFAR-10 as published" in text
        assert f"With 1000 classes {left}% of its parameters stay" in text


@pytest.mark.skipif(not NOTEBOOKS, reason="there are no notebooks yet")
def test_readme_names_every_notebook():
    assert re.findall(r"^\| `notebooks/(\w+)\.ipynb`", read("README.md"), flags=re.MULTILINE) == [
        path.name for path in NOTEBOOKS
    ]


def heading_anchors(text):
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ +(.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere(project_files):
    for page in (path for path in project_files if path.suffix == ".md"):
        for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            target = urllib.parse.urlsplit(link)
            if target.scheme:
                continue
            path = page.parent / urllib.parse.unquote(target.path) if target.path else page
            assert path.exists(), f"{page.relative_to(ROOT)}: {link}"
            if target.fragment:
                assert target.fragment in heading_anchors(text_of(path)), f"{page.relative_to(ROOT)}: {link}"


# Notebooks


@EVERY_NOTEBOOK
def test_a_notebook_and_its_script_hold_the_same_cells(notebook):
    import jupytext

    def cells(node):
        return [(cell.cell_type, cell.source.strip(), cell.metadata.get("tags", [])) for cell in node.cells]

    assert notebook.with_suffix(".py").is_file() and notebook.with_suffix(".ipynb").is_file()
    stored = nbformat.read(notebook.with_suffix(".ipynb"), as_version=4)
    assert cells(jupytext.read(notebook.with_suffix(".py"))) == cells(stored)


@EVERY_NOTEBOOK
def test_a_stored_notebook_is_as_the_update_command_writes_it(notebook):
    stored = nbformat.read(notebook.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(stored)
    assert stored.metadata.kernelspec.name == "python3"
    assert stored.metadata.jupytext.formats == "ipynb,py:percent"
    assert not {"widgets", "papermill"} & set(stored.metadata)
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "not executed from top to bottom"
    for cell in code:
        for output in cell.outputs:
            assert output.get("name") != "stderr", cell.source
            assert output.output_type != "error" or "raises-exception" in cell.metadata.get("tags", []), cell.source


@EVERY_NOTEBOOK
def test_a_notebook_has_one_parameters_cell_with_the_quick_profile(notebook):
    stored = nbformat.read(notebook.with_suffix(".ipynb"), as_version=4)
    (cell,) = (cell for cell in stored.cells if "parameters" in cell.metadata.get("tags", []))
    assert re.search(r'^PROFILE = "quick"', cell.source, flags=re.MULTILINE)


# What no file may contain


def test_no_file_names_a_folder_of_one_computer(project_files):
    names = "|".join(("home", "root", "Users", "work", "tmp"))
    elsewhere = re.compile(rf"(?<![\w.\-/+])/(?:{names})/\w|\b[A-Z]:\\\\?(?:{names})\\", flags=re.IGNORECASE)
    here = [
        str(folder) + os.sep for folder in (ROOT, Path.home(), Path(tempfile.gettempdir())) if len(folder.parts) > 1
    ]
    for path in project_files:
        for number, line in enumerate(text_of(path).splitlines(), start=1):
            found = elsewhere.search(line) or any(folder in line for folder in here)
            assert not found, f"{path.relative_to(ROOT)}:{number}: {line[:200]}"


def test_no_file_names_a_package_registry(project_files):
    hosts = (("pypi", "org"), ("pythonhosted", "org"), ("anaconda", "org"), ("debian", "org"), ("npmjs", "org"))
    pattern = re.compile("|".join(re.escape(".".join(host)) for host in hosts))
    for path in project_files:
        found = pattern.search(text_of(path))
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_no_file_is_too_large_to_clone(project_files):
    assert [path for path in project_files if path.stat().st_size > 4 * 2**20] == []


# Ruff


@pytest.mark.parametrize("command", [["check"], ["format", "--check", "--diff"]], ids=" ".join)
def test_ruff_has_no_complaint(command):
    process = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr


# The wheel


def test_the_wheel_carries_the_package_and_its_data(wheel, project_files):
    names = {path.relative_to(ROOT).as_posix() for path in project_files}
    modules = {name for name in names if name.startswith("kgpc/")}
    data = {name.replace("data/", "kgpc/_data/", 1) for name in names if re.match(r"data/(?!.*make_\w+\.py$)", name)}
    assert data
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata_name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(metadata_name).decode())
    assert carried == modules | data
    assert metadata["Version"] == kgpc.__version__
    assert metadata["License-Expression"] == "MIT"


@pytest.mark.slow
def test_the_installed_wheel_works_without_a_checkout(wheel, tmp_path):
    venv.create(tmp_path / "empty environment", with_pip=True)
    environment = start.Environment(str(tmp_path / "empty environment"))
    environment.pip("installing the wheel", "install", str(wheel))
    environment.choose_opencv()
    quick_start = fenced("python")[0] + (
        "import json, pathlib\n"
        "sample = kgpc.datasets.fashion_mnist_sample()\n"
        "print(json.dumps([kgpc.__file__, sample.x_train.shape, len(kgpc.paper.published()), "
        "grouped := kgpc.flops.trainable_parameters(models['kMobileNet 16ch'])]))\n"
    )
    process = subprocess.run(
        [environment.python, "-c", quick_start],
        cwd=tmp_path,
        env=start.clean_environ(),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    *printed, last = process.stdout.splitlines(keepends=True)
    assert "".join(printed) == fenced("text")[0]
    location, shape, rows, parameters = json.loads(last)
    assert Path(location).is_relative_to(tmp_path / "empty environment")
    assert shape == [6000, 28, 28]
    assert rows == len(kgpc.paper.published())
    assert parameters == 244_298
