"""The list of the authors' notebooks, its command, and the pages about them."""

import inspect

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


def test_what_the_accuracies_rest_on_is_on_the_page_of_published_rows(root):
    page = (root / "docs" / "published-rows.md").read_text(encoding="utf-8")
    protocol = paper.published("errata").query("kind == 'protocol'")
    assert len(protocol) == 6 and protocol["what"].is_unique
    for text in protocol["what"]:
        assert f"**{text}: " in page
    # What the texts count.
    recipes = paper.published("recipes")
    recipes = recipes[recipes["same_text_as"].eq("") | recipes["repo"].eq("kEffNetV2")]
    cifar = recipes[recipes["dataset"].str.startswith("CIFAR")]
    assert len(cifar) == 22 and cifar["validation_augmented"].str.startswith("yes").all()
    assert (recipes["checkpoint_monitor"] == "val_loss min").sum() == 11
    branches = paper.published("two_branch_results").query("dataset == 'Cropped-PlantDoc'")
    assert {"77.08", "62.06"} <= set(branches["table_test_accuracy"].map("{:.2f}".format))
    assert 0.7602012 in set(branches["raw_test_accuracy"])
