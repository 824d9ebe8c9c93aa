"""The list of the authors' notebooks, its command, and the pages about them."""

import ast
import inspect
import re

import pytest

from kgpc import __main__, cai, paper
from kgpc.paper import papers_notebooks


@pytest.fixture(scope="module")
def table():
    return paper.authors_notebooks()


def test_there_are_the_43_notebooks_of_three_repositories(table):
    counts = table["repository"].value_counts()
    # The two of the paper of 2021 are later examples; its others are copies of those of 2022.
    assert counts.to_dict() == {
        "kEffNetV1": 19,
        "kEffNetV2": 18,
        "two-branch-plant-disease": 4,
        "two-path-noise-lab-plant-disease": 2,
    }
    assert not (table["repository"] + table["notebook"]).duplicated().any()


def test_every_published_row_and_every_unlisted_run_has_its_notebook(table):
    branches = paper.published("two_branch_results")
    ours = branches[branches["raw_notebook"] != ""]
    listed = len(paper.published()) + (ours["table"] != "").sum()
    assert table["published_rows"].sum() == listed
    assert table["unlisted_runs"].sum() == len(paper.published("unlisted_runs")) + (ours["table"] == "").sum()


def test_the_row_of_a_notebook(table):
    row = table[table["label"] == "JP35B14"].iloc[0]
    assert row["networks"] == "MobileNet; kMobileNet D6(16), D6(32), D6(64)"
    assert (row["published_rows"], row["dataset"], row["epochs"], row["gpu"]) == (4, "CIFAR-10", 50, "")
    curves = paper.published("training_curves").query("label == 'JP35B14'")
    assert row["hours"] == pytest.approx(curves["seconds_per_epoch"].sum() / 3600)
    assert row["gigabytes"] == pytest.approx(60_000 * 32 * 32 * 3 * 4 / 1e9)
    colorectal = table[table["label"] == "JP30N13"].iloc[0]
    assert colorectal["gigabytes"] == pytest.approx((3992 + 4 * 504 + 504) * 224 * 224 * 3 * 4 / 1e9)
    assert table.set_index("label").loc["JP33B15", "networks"].endswith("kDenseNet-BC L100 Grouped(32), Grouped(64)")
    assert (table["changes"] != "").sum() == 3


def test_the_command_prints_the_table(table, capsys):
    assert __main__.main(["papers-notebooks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 44 and "kMobileNet D6(16), D6(32), D6(64)" in "\n".join(lines)


def test_the_page_has_the_table_that_the_command_prints(root, capsys):
    assert __main__.main(["papers-notebooks", "--markdown"]) == 0
    page = (root / "docs" / "papers-notebooks.md").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert page.endswith(printed) and printed == papers_notebooks.as_markdown(paper.authors_notebooks())


def test_the_page_on_older_code_names_everything_that_is_carried_over(root):
    page = (root / "docs" / "older-code.md").read_text(encoding="utf-8")
    for name in cai.__all__:
        module = getattr(cai, name)
        if not inspect.ismodule(module):
            assert f"kgpc.cai.{name}()" in page
            continue
        for function, value in vars(module).items():
            ours = getattr(value, "__module__", "").startswith("kgpc.cai")
            generated = function[0].isupper() and function.endswith("ch") or function.startswith(("kT", "D6"))
            numbered = "EfficientNetB" in function
            helper = function in ("ImageDataGenerator", "scheme_of") or function.startswith("_")
            if ours and callable(value) and not (generated or numbered or helper):
                assert f"`{name}.{function}`" in page or f"`{function}`" in page, (name, function)


def old_calls(page):
    """The calls in the list of old arguments: a dict from names such as "util.rgb2bipolar_lab" to syntax trees."""
    code = page.partition("## All old arguments")[2].partition("```text\n")[2].partition("```")[0]
    calls = [statement.value for statement in ast.parse(code).body]
    return {ast.unparse(call.func): call for call in calls}


def test_the_old_arguments_on_the_page_are_those_of_the_functions(root):
    calls = old_calls((root / "docs" / "older-code.md").read_text(encoding="utf-8"))
    assert len(calls) > 25
    for name, call in calls.items():
        module, function = name.split(".")
        parameters = inspect.signature(getattr(getattr(cai, module), function)).parameters.values()
        named = [one for one in parameters if one.kind is not one.VAR_KEYWORD]
        shown = [ast.unparse(argument) for argument in call.args]
        shown += [f"{word.arg}={ast.literal_eval(word.value)!r}" for word in call.keywords if word.arg]
        expected = [one.name if one.default is one.empty else f"{one.name}={one.default!r}" for one in named]
        assert shown == expected, name
        assert any(word.arg is None for word in call.keywords) == (len(named) < len(parameters)), name


def test_the_page_on_older_code_has_every_name_of_the_list_that_it_was_made_from(root):
    source = root.parent / "shared" / "CAI.md"
    if not source.is_file():
        pytest.skip("the list of what the authors' notebooks call is not part of the project")
    text = source.read_text(encoding="utf-8")
    # Functions and layers are in bold; arguments and other names are known by their underlines or capitals.
    names = {name.rpartition(".")[2] for name in re.findall(r"\*\*([A-Za-z_][\w.]+)\*\*", text)}
    names |= set(re.findall(r"\b[A-Za-z]+(?:_[A-Za-z0-9]+)+\b|\b(?:[A-Z][a-z]+){2,}\d*\b", text))
    pages = [(root / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("older-code", "papers-notebooks")]
    assert len(names) > 90
    assert sorted(name for name in names if name not in "".join(pages) and name not in NO_NAMES) == []


# What the list says beside the names: results of functions, files, folders, products.
NO_NAMES = """
    Schemes batch_size class_0 class_11 count_i degrees save_weights train_x train_y val_x val_y x_test x_train y_test
    y_train
""".split()


def test_what_the_accuracies_rest_on_is_on_the_page_of_published_rows(root):
    page = (root / "docs" / "published-rows.md").read_text(encoding="utf-8")
    protocol = paper.published("errata").query("kind == 'protocol'")
    assert len(protocol) == 6 and protocol["what"].is_unique
    for text in protocol["what"]:
        where, _, what = text.rpartition(": ")
        assert f"**{where}.** {what[0].upper()}{what[1:]}: " in page
    # What the texts count.
    recipes = paper.published("recipes")
    recipes = recipes[recipes["same_text_as"].eq("") | recipes["repo"].eq("kEffNetV2")]
    cifar = recipes[recipes["dataset"].str.startswith("CIFAR")]
    assert len(cifar) == 22 and cifar["validation_augmented"].str.startswith("yes").all()
    assert (recipes["checkpoint_monitor"] == "val_loss min").sum() == 11
    branches = paper.published("two_branch_results").query("dataset == 'Cropped-PlantDoc'")
    assert {"77.08", "62.06"} <= set(branches["table_test_accuracy"].map("{:.2f}".format))
    assert 0.7602012 in set(branches["raw_test_accuracy"])
