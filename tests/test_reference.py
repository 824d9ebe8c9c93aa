"""The reference of the package: its five lines run, and every module has its place."""

from pathlib import Path

import pytest
import reference

import kgpc
from kgpc import grouping


@pytest.mark.usefixtures("in_an_empty_folder")
def test_the_five_lines_run_one_after_the_other():
    names = {}
    exec(reference.BEFORE_TASKS, names)
    for title, line, _ in reference.TASKS:
        assert len(line) <= 100 and "\n" not in line, title
    tasks = {title: line for title, line, _ in reference.TASKS}
    # The same calls as on the page, in a fraction of the time.
    names["small"]["alpha"] = 0.25
    exec(tasks["Build"], names)
    exec(tasks["Count"], names)
    exec(tasks["Train"], names)
    exec(tasks["Look"], names)
    assert len(names["result"].history) == 1 and names["maps"].shape[0] == 8
    pytest.importorskip("ai_edge_litert", reason="the extra deploy is not installed")
    exec(tasks["Deploy"], names)


@pytest.fixture
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_lines_are_on_the_first_page_below_their_headings():
    text = reference.index()
    for title, line, where in reference.TASKS:
        assert f"{title}\n{'-' * len(title)}\n\n.. code-block:: python\n\n   {line}\n" in text
        assert set(where.split()) <= set(reference.modules())
    assert text.index("Build\n-----") < text.index("Modules\n-------")


def test_every_module_is_once_in_the_contents():
    pages = {name: reference.page(name, path) for name, path in reference.modules().items() if name != "kgpc"}
    pages |= {"index": reference.index(), "internals": reference.internals_page()}
    listed = [
        line.partition("<")[2].rstrip(">")
        for text in pages.values()
        for part in text.split(".. toctree::")[1:]
        for line in part.splitlines()
        if "<" in line
    ]
    assert sorted(listed) == sorted({*pages} - {"index"})


def test_modules_for_readers_are_apart_from_the_others():
    assert set(reference.FOR_READERS) | set(reference.internals()) == set(reference.inside("kgpc"))
    assert not set(reference.FOR_READERS) & set(reference.internals())
    # What `import kgpc` brings, and what it brings when it is asked for, is for readers; so is nothing that is not.
    named = {f"kgpc.{name}" for name in {*kgpc.__all__, *kgpc._LATER} - {"tensorflow_settings"}}
    assert named & set(reference.inside("kgpc")) <= set(reference.FOR_READERS)


def test_schemes_come_first_in_grouping_and_nothing_is_left_out():
    text = reference.page("kgpc.grouping", reference.modules()["kgpc.grouping"])
    order = [line.split("kgpc.grouping.")[1] for line in text.splitlines() if line.startswith((".. autoc", ".. autof"))]
    assert order[0] == "D6"
    tree = reference.parsed(Path(grouping.__file__))
    assert sorted(order) == sorted(reference.public(tree))
