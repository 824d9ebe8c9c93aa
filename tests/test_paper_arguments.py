"""The public functions of kgpc.paper and kgpc.notebooks with odd arguments: each is named, with its value."""

import dataclasses
import re

import nbformat
import numpy as np
import pandas as pd
import pytest

from kgpc import notebooks, paper, training
from kgpc.paper.run_table import COLUMNS, typed


def row(**changes):
    """A row of the published results, changed."""
    values = paper.published().iloc[2].copy()
    for key, value in changes.items():
        values[key] = value
    return values


def run(**changes):
    return dataclasses.replace(paper.runs(models="MobileNet", seeds=1)[0], **changes)


def table(**changes):
    """One result of the quick profile, changed."""
    result = {
        **dict.fromkeys(COLUMNS, ""),
        **{"profile": "quick", "family": "MobileNet", "model": "MobileNet", "variant": "baseline", "label": "JP35B14"},
        **{"seed": 1, "epochs": 3, "batch_size": 64, "image_size": 32, "train_images": 3200, "test_images": 1000},
        **{"parameters": 1000, "flops": 10000, "test_accuracy": 0.8},
    }
    return typed(pd.DataFrame([result])).assign(**changes)


NOTEBOOK = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", metadata={"tags": ["parameters"]})])
COMPARISON = pd.DataFrame({"table": ["results"]})
LISTS = ([], (), {}, set())

# Function, what is passed by position or name, the argument that the message must name.
CALLS = [
    *[(paper.published, {"table": value}, "table") for value in ("nonsense", "", None, 3, ["results"], b"results")],
    *[(paper.arguments_of, {"row": value}, "row") for value in (None, "JP35B14", 3, {}, pd.DataFrame())],
    *[
        (paper.arguments_of, {"row": lambda changes=changes: row(**changes)}, "row")
        for changes in (
            {"label": None},
            {"label": "JP00"},
            {"label": ["JP35B14"]},
            {"model": None},
            {"model": "ResNet"},
            {"model": {}},
            {"scheme": "D7"},
            {"scheme": None},
            {"scheme": []},
            {"scheme": "D6", "channels_per_group": pd.NA},
            {"scheme": "D6", "channels_per_group": 0},
            {"scheme": "D6", "channels_per_group": "x"},
        )
    ],
    *[(paper.arguments_of, {"row": value}, "row") for value in (pd.Series(dtype=object), pd.Series([1, 2]))],
    (paper.model_of, {"row": "JP35B14"}, "row"),
    *[(paper.compare_counts, {"tables": value}, "tables") for value in (None, 3, "results", *LISTS, [3], ["errata"])],
    (paper.compare_counts, {"tables": ["results", "results"]}, "tables"),
    *[
        (function, {"comparison": value}, "comparison")
        for function in (paper.as_text, paper.counts_page, paper.summary)
        for value in (None, 3, "x", [], {}, pd.Series(dtype=object), pd.DataFrame(), COMPARISON)
    ],
    *[(paper.listing, {"selected": value}, "selected") for value in (None, 3, "x", [3], run(), {"a": 1})],
    *[(paper.runs, {"profile": value}, "profile") for value in (None, 3, [], "fast", "experiment", b"quick")],
    *[
        (paper.runs, {name: value}, name)
        for name in ("rows", "models", "schemes", "datasets")
        for value in ("", "nonsense", 3, True, [3], [None], b"x", {"a": 1}, *LISTS)
    ],
    *[
        (paper.runs, {"seeds": value}, "seeds")
        for value in ("1", "", b"1", 1.0, True, [True], [1.5], ["1"], [None], -1, 2**32, [1, 1], [[1]], *LISTS)
    ],
    (paper.runs, {"seed": 1}, "seed"),
    (paper.runs, {"epoch": 1}, "'epoch'"),
    *[(paper.runs, {"epochs": value}, "epochs") for value in (0, -1, 1.5, True, "3", None)],
    *[(paper.rerun, {"output": value}, "output") for value in (None, 3, b"x", [], "", " ", "a\0b", "s3://x", "s3:/x")],
    *[(paper.rerun, {"output": "x", "ray": value}, "ray") for value in ("", 3, True, ["local"])],
    *[
        (paper.rerun, {"output": "x", "ray": "local", name: value}, name)
        for name in ("cpus", "gpus")
        for value in (-1, "1", True, float("nan"), float("inf"), [1])
    ],
    *[(paper.rerun, {"output": "x", name: 1}, name) for name in ("cpus", "gpus")],
    *[(paper.rerun, {"output": "x", "progress": value}, "progress") for value in ("no", 1, None, [])],
    (paper.rerun, {"output": "x", "seeds": "1"}, "seeds"),
    (paper.rerun, {"output": "x", "profile": "experiment", "images": "s3://x"}, "images"),
    (paper.rerun, {"output": "x", "profile": "experiment", "images": 3}, "images"),
    *[(paper.results, {"output": value}, "output") for value in (3, b"x", [], "", "s3:/x", "~nobody-has-this-name")],
    (paper.results, {"output": __file__}, "output"),
    *[(paper.results, {"output": ".", "names": value}, "names") for value in ("x", 3, [3], True)],
    *[
        (function, {"source": value}, "source")
        for function in (paper.compare, paper.compare_variants)
        for value in (None, 3, b"x", "", [], "nowhere", __file__, pd.DataFrame(), pd.DataFrame({"profile": ["quick"]}))
    ],
    *[
        (function, {"source": lambda changes=changes: table(**changes)}, "source")
        for function in (paper.compare, paper.compare_variants)
        for changes in ({"test_accuracy": 92.5}, {"test_accuracy": np.nan}, {"seed": None}, {"test_accuracy": "x"})
    ],
    (paper.compare_variants, {"source": lambda: table(profile="paper")}, "source"),
    *[(paper.reruns, {"name": value}, "name") for value in (None, 3, "", "../published/errata", "a/b", b"x")],
    *[
        (run, {name: value}, name)
        for name in ("profile", "family", "model", "variant", "dataset", "constructor")
        for value in (None, 3, "", [])
    ],
    (run, {"profile": "fast"}, "profile"),
    (run, {"constructor": "os"}, "constructor"),
    *[(run, {"label": value}, "label") for value in (None, 3)],
    *[(run, {"arguments": value}, "arguments") for value in (None, [], "x", {3: 1})],
    *[(run, {"recipe": value}, "recipe") for value in (None, "CIFAR-10", {})],
    *[(run, {name: value}, name) for name in ("mirrored_test", "tested") for value in (None, "no", 1, np.nan)],
    *[(run, {"test_images": value}, "test_images") for value in (0, -1, 1.5, True, "all")],
    # Notebooks
    *[(notebooks.find_notebooks, {"folder": value, "names": []}, "folder") for value in (None, 3, "", "s3://x")],
    *[(notebooks.find_notebooks, {"folder": ".", "names": value}, "names") for value in ("01_theory", None, 3, [3])],
    *[
        (notebooks.find_notebooks, {"folder": ".", "names": [], "suffixes": value}, "suffixes")
        for value in (".ipynb", None, [3])
    ],
    *[
        (function, {"notebook": value, **more}, "notebook")
        for function, more in (
            (notebooks.set_profile, {"profile": "quick"}),
            (notebooks.normalise, {}),
            (notebooks.refuse_local_paths, {"title": "x"}),
            (notebooks.Execution, {"folder": ".", "title": "x"}),
            (notebooks.write, {"path": "x"}),
        )
        for value in (None, 3, "x", {}, [], nbformat.NotebookNode())
    ],
    *[
        (notebooks.set_profile, {"notebook": NOTEBOOK, "profile": value}, "profile")
        for value in (None, 3, "fast", 'quick"; import os')
    ],
    *[(notebooks.default_jobs, {"profile": value}, "profile") for value in (None, 3, "fast", [])],
    *[(notebooks.Execution, {"notebook": NOTEBOOK, "folder": ".", "title": value}, "title") for value in (None, 3)],
    (notebooks.Execution, {"notebook": NOTEBOOK, "folder": 3, "title": "x"}, "folder"),
    (notebooks.refuse_local_paths, {"notebook": NOTEBOOK, "title": 3}, "title"),
    *[(notebooks.execute, {"executions": value}, "executions") for value in (None, 3, "x", [3], NOTEBOOK)],
    *[(notebooks.execute, {"executions": [], "jobs": value}, "jobs") for value in (0, -1, 1.5, "1", True, None)],
    *[(notebooks.execute, {"executions": [], "store": value}, "store") for value in (3, "x")],
    *[(notebooks.write, {"notebook": NOTEBOOK, "path": value}, "path") for value in (None, 3, "", "s3://x")],
    *[(notebooks.read_notebook, {"path": value}, "path") for value in (None, 3, "", "s3://x", b"x")],
    *[(notebooks.format_table, {"path": value}, "path") for value in (None, 3, "", "s3://x")],
    *[(notebooks.is_volatile, {"output": value}, "output") for value in (None, 3, "x", {})],
    *[
        (notebooks.run, {"paths": value, "profile": "quick", "output": "."}, "paths")
        for value in (None, 3, "01_theory", [], [3])
    ],
    *[(notebooks.run, {"paths": ["x"], "profile": value, "output": "."}, "profile") for value in (None, 3, "fast")],
    *[
        (notebooks.run, {"paths": ["x"], "profile": "quick", "output": value}, "output")
        for value in (None, 3, "", "nowhere", __file__)
    ],
    *[
        (notebooks.run, {"paths": ["x"], "profile": "quick", "output": ".", "jobs": value}, "jobs")
        for value in (0, 1.5, "2", True)
    ],
    *[(notebooks.update, {"paths": value}, "paths") for value in (None, 3, "01_theory", [], [3])],
]


def title(call):
    function, arguments, name = call
    value = arguments.get(name, "")
    return f"{function.__name__}-{name}-{'changed' if callable(value) else ascii(value)[:30]}"


@pytest.mark.parametrize("function, arguments, name", CALLS, ids=map(title, CALLS))
def test_an_odd_argument_is_named_with_what_was_received(function, arguments, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = {key: value() if callable(value) else value for key, value in arguments.items()}
    with pytest.raises((TypeError, ValueError)) as error:
        function(**arguments)
    message = str(error.value)
    assert re.search(rf"`{name}` (must|cannot)|{re.escape(name)}", message), message
    assert f"`{name}`" in message or name.startswith("'"), message
    assert "must" in message or "cannot" in message or "has no field" in message, message
    assert len(message) < 2000 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("seeds", [np.int64(3), [np.int32(3)], np.array([3]), range(3, 4), {3}, (3,)])
def test_integers_of_numpy_and_other_collections_are_seeds(seeds):
    (selected,) = paper.runs(models="kMobileNet 16ch", seeds=seeds, epochs=np.int64(2), train_images=np.int64(100))
    assert type(selected.recipe.seed) is int and selected.name.endswith("seed3")
    (plain,) = paper.runs(models="kMobileNet 16ch", seeds=3, epochs=2, train_images=100)
    assert selected.config() == plain.config()


def test_a_run_with_numbers_of_numpy_has_a_configuration_that_json_can_hold():
    import json

    recipe = training.QUICK.replace(seed=np.int64(5), epochs=np.int64(2))
    odd = run(recipe=recipe, arguments={"alpha": np.float64(0.5), "depth": np.int64(4)}, test_images=np.int64(10))
    plain = run(recipe=training.QUICK.replace(seed=5, epochs=2), arguments={"alpha": 0.5, "depth": 4}, test_images=10)
    assert json.dumps(odd.config()) == json.dumps(plain.config()) and odd.name == plain.name
