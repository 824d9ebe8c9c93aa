"""The published tables: complete, typed, documented, and with the right value where table and notebook disagree."""

import re

import pandas as pd
import pytest

from kgpc.paper import published
from kgpc.resources import data_path

FILES = {
    "results": ("published_results.csv", 65),
    "errata": ("errata.csv", 24),
    "unlisted_runs": ("unlisted_runs.csv", 4),
    "classification_reports": ("classification_reports.csv", 185),
    "training_curves": ("training_curves.csv", 9778),
    "training_curves_gaps": ("training_curves_gaps.csv", 4),
    "recipes": ("recipes.csv", 45),
    "released_weights": ("released_weights.csv", 46),
    "two_branch_results": ("two_branch_results.csv", 42),
    "two_branch_first_layers": ("two_branch_first_layers.csv", 4),
    "two_branch_released_weights": ("two_branch_released_weights.csv", 27),
}


def one(frame, **values):
    """The only row of `frame` with these values."""
    for column, value in values.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.mark.parametrize("table", FILES)
def test_every_row_of_a_table_is_read(table):
    assert len(published(table)) == FILES[table][1]


def test_the_default_is_the_result_tables_of_both_papers():
    counts = published()["paper"].value_counts()
    assert counts.to_dict() == {"grouped-pointwise-2022": 37, "enhanced-scheme-2022": 28}


@pytest.mark.parametrize("table", ["result", "", "Results", None, 3, ["results"]])
def test_an_unknown_table_lists_the_choices(table):
    with pytest.raises(ValueError, match="`table` must be one of") as error:
        published(table)
    assert f"Received: table={table!r}" in str(error.value)
    assert all(repr(name) in str(error.value) for name in FILES)


def test_a_caller_may_change_the_table_it_got():
    table = published()
    table["parameters"] = 0
    assert (published()["parameters"] > 0).all()


@pytest.mark.parametrize("table", FILES)
def test_numbers_have_number_types(table):
    for name, values in published(table).items():
        if not pd.api.types.is_string_dtype(values.dtype):
            continue
        assert values.notna().all(), name
        filled = values[values != ""]
        numeric = pd.to_numeric(filled, errors="coerce").notna()
        assert not len(filled) or not numeric.all(), f"{name} of {table} holds numbers as text"


@pytest.mark.parametrize("table", FILES)
def test_every_column_is_explained_in_the_readme(table):
    file = FILES[table][0]
    sections = re.split(r"^### ", data_path("README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    (section,) = [text for text in sections if text.startswith(f"`{file}`")]
    assert section.startswith(f'`{file}` ("{table}")')
    columns = pd.read_csv(data_path(f"published/{file}"), nrows=0).columns
    explained = set(re.findall(r"`(\w+)`", section))
    assert [name for name in columns if name not in explained] == []


def test_types_of_the_results():
    results = published()
    for name in ("parameters", "flops", "classes", "epochs", "channels_per_group", "ktype", "image_size"):
        assert str(results[name].dtype) == "Int64", name
    for name in ("table_test_accuracy", "raw_test_accuracy", "table_parameters_share", "test_accuracy_percent"):
        assert str(results[name].dtype) == "float64", name
    assert str(results["horizontal_flip_test"].dtype) == "boolean"


def test_baselines_have_a_scheme_called_none_and_no_channels_per_group():
    results = published()
    baseline = results["scheme"] == "none"
    assert baseline.sum() == 16
    assert (results["channels_per_group"].isna() == baseline).all()
    assert set(results["scheme"]) == {"none", "D6", "D6v3"}


def test_units_of_the_accuracies():
    results = published()
    assert results["raw_test_accuracy"].dropna().between(0.4, 1).all()
    assert results["table_test_accuracy"].between(40, 100).all()
    assert results["test_accuracy_percent"].between(40, 100).all()
    assert results["table_parameters_share"].dropna().between(0.05, 1).all()
    assert one(results, label="JP30I10")["table_parameters_share"] == 0.0776


def test_a_row_of_the_paper():
    row = one(published(), paper="grouped-pointwise-2022", label="JP35B14", channels_per_group=16)
    assert (row["model"], row["scheme"], row["dataset"]) == ("kMobileNet", "D6", "CIFAR-10")
    assert (row["parameters"], row["flops"], row["test_accuracy_percent"]) == (244_298, 92_007_966, 89.81)
    assert (row["image_size"], row["classes"], row["epochs"]) == (224, 10, 50)


def test_the_misprinted_flops_are_kept_and_corrected():
    row = one(published(), model="kMobileNet", channels_per_group=128)
    assert (row["table_flops"], row["raw_flops"], row["flops"]) == (201_421_626, 370_384_414, 370_384_414)


def test_the_table_flops_disagree_in_one_row_only():
    results = published()
    assert list(results.loc[results["table_flops"] != results["flops"], "label"]) == ["JP35B18"]


def test_total_parameters_printed_as_trainable_are_corrected():
    results = published()
    wrong = results[results["table_parameters"] != results["parameters"]]
    assert list(wrong["label"]) == ["JP30N13", "JP30N14", "JP30N15"]
    assert (wrong["table_parameters"] == wrong["raw_total_parameters"]).all()


def test_trainable_and_non_trainable_parameters_sum_to_the_total():
    results = published()
    assert (results["parameters"] + results["raw_non_trainable_parameters"] == results["raw_total_parameters"]).all()


def test_mirrored_tests_are_two_passes_of_one_model():
    results = published()
    mirrored = results[results["horizontal_flip_test"]]
    assert list(mirrored["label"]) == ["JP30I02", "JP30I02j"]
    assert (mirrored["forward_passes"] == 2).all()
    assert (mirrored["flops"] == 2 * mirrored["raw_flops"]).all()
    assert (results.loc[~results["horizontal_flip_test"], "forward_passes"] == 1).all()


def test_accuracy_comes_from_the_table_where_no_notebook_prints_it():
    results = published()
    unprinted = results[results["raw_test_accuracy"].isna()]
    assert list(unprinted["test_accuracy_percent"]) == [94.01]
    assert one(results, label="JP30A03", channels_per_group=16)["test_accuracy_percent"] == 64.84069


def test_each_misprint_of_the_results_is_among_the_errata():
    errata = published("errata")
    for label in ("JP35B18", "JP30N13", "JP30N14", "JP30N15"):
        assert errata["what"].str.contains(label).sum() == 1


def test_the_misprinted_flops_belong_to_an_unlisted_run():
    row = one(published("unlisted_runs"), label="JP33B15", channels_per_group=64)
    assert (row["model"], row["scheme"], row["raw_flops"]) == ("kDenseNet-BC L100", "grouped-only", 201_421_626)


def test_training_curves_are_whole_apart_from_the_listed_gaps():
    curves, gaps = published("training_curves"), published("training_curves_gaps")
    incomplete = {(row.label, row.ktype): row.epochs_logged for row in gaps.itertuples()}
    planned = published().drop_duplicates(["label", "ktype"]).set_index(["label", "ktype"])["epochs"]
    for (label, ktype), run in curves.groupby(["label", "ktype"]):
        assert list(run["epoch"]) == list(range(1, len(run) + 1))
        if (label, ktype) in incomplete:
            assert len(run) == incomplete[label, ktype]
        elif (label, ktype) in planned.index:
            assert len(run) == planned[label, ktype]


def test_released_weights_agree_with_the_results():
    results = published().drop_duplicates(["label", "ktype"]).set_index(["label", "ktype"])["parameters"]
    weights = published("released_weights")
    assert weights["git_blob_sha1"].str.fullmatch("[0-9a-f]{40}").all()
    listed = [row for row in weights.itertuples() if (row.label, row.ktype) in results.index]
    assert len(listed) == 44
    assert all(row.trainable_parameters == results[row.label, row.ktype] for row in listed)


def test_two_branch_columns_have_one_fact_each():
    weights = published("two_branch_released_weights")
    assert weights["l_ratio"].dropna().between(0, 1).all()
    assert weights["max_mix_idx"].notna().all()
    assert set(weights.loc[weights["l_ratio"].isna(), "model"].str.contains("single branch")) == {True}
