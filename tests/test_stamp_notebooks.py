"""The repository's public location: named once in pyproject.toml, and the same in both files of every notebook."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
import stamp_notebooks
from jupytext.compare import compare_notebooks

ROOT = Path(__file__).resolve().parents[1]
ON_GITHUB = "https://github.com/someone/grouped.convolutions"


@pytest.fixture
def notebooks(tmp_path):
    """A copy of all notebooks."""
    return Path(shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*")))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".ipynb", ".py")}


def test_every_notebook_agrees_with_pyproject(notebooks):
    repository = stamp_notebooks.repository_of(ROOT / "pyproject.toml")
    assert stamp_notebooks.stamp(notebooks, repository) == []
    (setup,) = {
        cell.source
        for path in notebooks.glob("*.ipynb")
        for cell in nbformat.read(path, as_version=4).cells
        if "\nREPOSITORY = " in cell.source
    }
    assert setup == stamp_notebooks.setup_cell(repository)
    links = [text for text in contents(notebooks).values() if b"colab.research.google.com" in text]
    assert len(links) == (len(contents(notebooks)) if stamp_notebooks.colab_link(repository, "") else 0)


def test_stamping_changes_both_files_of_every_pair_and_nothing_else(notebooks):
    before = contents(notebooks)
    changed = stamp_notebooks.stamp(notebooks, ON_GITHUB)
    assert sorted(path.name for path in changed) == sorted(before)
    for path in notebooks.glob("*.ipynb"):
        link = f"https://colab.research.google.com/github/someone/grouped.convolutions/blob/main/notebooks/{path.name}"
        notebook = nbformat.read(path, as_version=4)
        compare_notebooks(notebook, jupytext.read(path.with_suffix(".py")), fmt="py:percent")
        assert notebook.cells[0].source.splitlines()[1:4] == ["", f"[▶ Open in Colab]({link})", ""]
        (setup,) = (cell.source for cell in notebook.cells if "\nREPOSITORY = " in cell.source)
        assert f'\nREPOSITORY = "{ON_GITHUB}"  # where kgpc can be cloned from\n' in setup
        # Everything but the two places is as it was.
        old = nbformat.reads(before[path.name].decode(), as_version=4)
        differing = [
            index for index, cells in enumerate(zip(old.cells, notebook.cells, strict=True)) if cells[0] != cells[1]
        ]
        assert differing == [0, notebook.cells.index(next(cell for cell in notebook.cells if cell.source == setup))]
    shutil.copy(ROOT / "pyproject.toml", notebooks.parent)
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select=E5,W", "notebooks"]
    process = subprocess.run(command, cwd=notebooks.parent, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout


def test_stamping_again_or_with_another_address_replaces_and_empty_removes(notebooks):
    stamp_notebooks.stamp(notebooks, "")
    unset = contents(notebooks)
    assert not any(b"Open in Colab" in text for text in unset.values())
    stamp_notebooks.stamp(notebooks, ON_GITHUB)
    once = contents(notebooks)
    assert stamp_notebooks.stamp(notebooks, ON_GITHUB) == [] and contents(notebooks) == once
    stamp_notebooks.stamp(notebooks, "https://github.com/another/place")
    assert all(text.count(b"Open in Colab") == 1 for text in contents(notebooks).values())
    assert not any(b"github.com/someone" in text for text in contents(notebooks).values())
    stamp_notebooks.stamp(notebooks, "")
    assert contents(notebooks) == unset


def test_an_older_setup_cell_is_replaced_in_both_files(notebooks):
    before = contents(notebooks)
    lines = stamp_notebooks.setup_cell("").splitlines()
    for path in notebooks.glob("*.ipynb"):
        for file, last in ((path, json.dumps(lines[-1])[1:-1]), (path.with_suffix(".py"), lines[-1])):
            text = file.read_text(encoding="utf-8")
            assert last in text  # in the setup cell first: a notebook may have the line once more
            file.write_text(text.replace(last, last.replace("invalidate_caches", "reload"), 1), encoding="utf-8")
    changed = stamp_notebooks.stamp(notebooks, stamp_notebooks.repository_of(ROOT / "pyproject.toml"))
    assert len(changed) == len(before) and contents(notebooks) == before


def test_elsewhere_than_on_github_there_is_an_address_but_no_link(notebooks):
    stamp_notebooks.stamp(notebooks, "https://git.example.com/group/kgpc")
    for text in contents(notebooks).values():
        assert b"https://git.example.com/group/kgpc" in text and b"Colab](" not in text


def test_a_title_at_the_end_of_its_cell_gets_its_link_too():
    stamped = stamp_notebooks.stamp_title("# Title\n\ntext", "[▶ Open in Colab](one)")
    assert stamped == "# Title\n\n[▶ Open in Colab](one)\n\ntext"
    assert stamp_notebooks.stamp_title(stamped, "") == "# Title\n\ntext"


def test_a_notebook_without_a_title_is_named(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("text")]), tmp_path / "00_text.ipynb")
    with pytest.raises(ValueError, match=re.escape("00_text.ipynb: No line begins with '# '")):
        stamp_notebooks.stamp(tmp_path, "")


@pytest.mark.parametrize(
    "value", ['"github.com/owner/name"', '"https://github.com/owner/name/"', '"https://a b"', "0", r'"https://a\"b"']
)
def test_a_bad_address_is_refused(tmp_path, value):
    (tmp_path / "pyproject.toml").write_text(f"[tool.kgpc]\nrepository = {value}\n")
    with pytest.raises(ValueError, match=r"`repository` in the table \[tool.kgpc\].*Received"):
        stamp_notebooks.repository_of(tmp_path / "pyproject.toml")


def test_the_command_says_what_it_did(capsys, monkeypatch, tmp_path, notebooks):
    monkeypatch.setattr(stamp_notebooks, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text(f'[tool.kgpc]\nrepository = "{ON_GITHUB}"\n')
    assert stamp_notebooks.main([]) == 0
    assert f'repository = "{ON_GITHUB}": {len(contents(notebooks))} files changed' in capsys.readouterr().out
    (tmp_path / "pyproject.toml").write_text('[tool.kgpc]\nrepository = "elsewhere"\n')
    assert stamp_notebooks.main([]) == 1
    assert "Received: 'elsewhere'" in capsys.readouterr().err
