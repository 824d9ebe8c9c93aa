"""Every published row: the model that it stands for has the published parameters and flops, to the unit."""

import keras
import pandas as pd
import pytest

import kgpc
from kgpc import __main__ as command_line
from kgpc import paper


@pytest.fixture(scope="module")
def comparison():
    return paper.compare_counts()


def test_every_row_has_the_published_parameters(comparison):
    differing = comparison[~comparison["parameters_equal"]]
    assert differing.empty, differing.to_string()
    assert comparison["published_parameters"].equals(comparison["our_parameters"])


def test_every_row_has_the_published_flops(comparison):
    with_flops = comparison.dropna(subset=["published_flops"])
    differing = with_flops[~with_flops["flops_equal"].astype(bool)]
    assert differing.empty, differing.to_string()
    assert with_flops["published_flops"].equals(with_flops["our_flops"])


def test_no_row_is_left_out(comparison):
    assert comparison["table"].value_counts().to_dict() == {"results": 65, "two_branch_results": 13, "unlisted_runs": 4}
    assert comparison["published_parameters"].notna().all()
    assert comparison["published_flops"].notna().sum() == 65 + 4
    assert comparison["model"].str.endswith(", 2 passes").sum() == 2


def test_one_table_can_be_compared_alone(comparison):
    alone = paper.compare_counts(tables=["unlisted_runs"])
    assert alone.equals(comparison[comparison["table"] == "unlisted_runs"].reset_index(drop=True))
    for bad in ("results", [], ["errata"]):
        with pytest.raises(ValueError, match="'results', 'unlisted_runs', 'two_branch_results'"):
            paper.compare_counts(tables=bad)


def test_a_printed_number_that_the_notebook_contradicts_is_shown(comparison):
    errata = comparison[comparison["erratum"] != ""].set_index("label")["erratum"]
    assert errata.to_dict() == {
        "JP35B18": "printed flops: 201421626 (copied value)",
        "JP30N13": "printed parameters: 355064 (wrong column)",
        "JP30N14": "printed parameters: 397888 (wrong column)",
        "JP30N15": "printed parameters: 487416 (wrong column)",
    }


def test_the_stored_page_is_what_the_command_writes(comparison, root):
    stored = (root / "docs" / "published-rows.md").read_text(encoding="utf-8")
    assert stored == paper.counts_page(comparison), (
        "write it anew: python -m kgpc table --output docs/published-rows.md"
    )


def test_the_command_prints_the_rows_and_fails_where_one_differs(comparison, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(paper, "compare_counts", lambda: comparison)
    assert command_line.main(["table"]) == 0
    printed = capsys.readouterr().out
    assert "kEffNet-B0, 2 passes" in printed and "246,418,220" in printed
    assert "82 rows: parameters equal in 82 of 82, flops equal in 69 of the 69" in printed
    page = tmp_path / "page.md"
    assert command_line.main(["table", "--output", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == paper.counts_page(comparison)
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]
    wrong = comparison.assign(our_flops=comparison["our_flops"] + 1)
    wrong["flops_equal"] = wrong["our_flops"].eq(wrong["published_flops"])
    monkeypatch.setattr(paper, "compare_counts", lambda: wrong)
    assert command_line.main(["table"]) == 1
    assert "flops equal in 0 of" in capsys.readouterr().out


# One row of each family with other classes than the counts above are made with where there is one: table, query.
SPREAD = [
    ("results", "label == 'JP30M04'"),
    ("results", "label == 'JP30I02j' and horizontal_flip_test"),
    ("results", "label == 'JP30A03' and scheme == 'none'"),
    ("results", "label == 'JP35B18'"),
    ("results", "label == 'JP36E01' and channels_per_group == 32"),
    ("results", "label == 'JP33B25' and channels_per_group == 24"),
    ("unlisted_runs", "label == 'JP33B15' and channels_per_group == 32"),
    ("results", "label == 'JP34B12'"),
    ("two_branch_results", "label == 'JP27B13' and l_ratio == 0.8"),
]


@pytest.mark.parametrize("table, query", SPREAD)
def test_models_with_weights_have_the_published_counts(table, query):
    rows = paper.published(table).query(query)
    assert len(rows) == 1
    row = rows.iloc[0]
    model = paper.model_of(row)
    trainable = sum(weight.numpy().size for weight in model.trainable_weights)
    assert trainable == row.get("parameters", row.get("raw_parameters", row.get("raw_trainable_parameters")))
    assert model.count_params() == row["raw_total_parameters"]
    if table != "two_branch_results":
        passes = row.get("forward_passes", 1)
        assert kgpc.flops.paper_flops(model) * passes == row.get("flops", row["raw_flops"])


def test_rows_and_recipes_agree_on_classes_and_size():
    for _, row in paper.published().iterrows():
        _, arguments = paper.arguments_of(row)
        assert arguments["classes"] == row["classes"], row["label"]
        assert arguments["input_shape"] == (row["image_size"], row["image_size"], 3), row["label"]
        assert arguments.get("skip_stride_cnt", -1) == (3 if row["image_size"] == 32 and "Eff" in row["model"] else -1)


def test_experiments_with_several_recipes_have_the_same_model_in_all():
    recipes = paper.published("recipes")
    for column in ("classes", "input_size", "skip_stride_cnt"):
        assert (recipes.groupby("label")[column].nunique(dropna=False) == 1).all()


def test_an_ordinary_model_is_built_from_a_row():
    row = paper.published().query("model == 'DenseNet-BC L100'").iloc[0]
    with keras.StatelessScope():
        assert paper.model_of(row).name == "densenet_bc"


@pytest.mark.parametrize(
    "row, error",
    [
        ({"label": "JP35B14", "model": "kMobileNet"}, TypeError),
        (pd.Series({"label": "JP00", "model": "kMobileNet"}), ValueError),
        (pd.Series({"label": "JP35B14", "model": "ResNet"}), ValueError),
        (pd.Series({"accuracy": 0.9}), ValueError),
        (paper.published("two_branch_results").query("author == 'Toda'").iloc[0], ValueError),
    ],
)
def test_other_rows_are_refused(row, error):
    with pytest.raises(error, match="`row` must be a"):
        paper.model_of(row)
