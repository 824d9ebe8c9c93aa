"""The published rows of a family: all of them, with their errata, and what stands in the authors' notebooks alone."""

import pytest

from kgpc import paper, plots
from kgpc.paper.family_rows import GROUPED


@pytest.mark.parametrize("family", GROUPED)
def test_every_published_row_is_there_with_its_numbers(family):
    frame, notes, conditions = paper.family_rows(family)
    published = paper.published().query("paper == 'grouped-pointwise-2022'")
    published = published[published["model"].isin([family, GROUPED[family]])]
    table = frame[frame["source"] == "table"] if "source" in frame else frame
    assert table["trainable parameters"].tolist() == published["parameters"].tolist()
    assert table["test accuracy, %"].tolist() == published["test_accuracy_percent"].tolist()
    marks = {note[0] for note in notes}
    assert marks == {mark for name in frame["network"] for mark in name if mark in "¹²³⁴"}
    for heading, value in (("data set", "CIFAR-10"), ("pixels", "224×224 pixels"), ("epochs", "50 epochs")):
        assert (heading in frame) == (value not in conditions and value.replace("224", "32") not in conditions)
    assert "</table>" in plots.table(frame, "Published.", formats={"test accuracy, %": ".2f"}, notes=notes).to_html()


@pytest.mark.parametrize("family, count", [("DenseNet-BC L100", 2), ("Inception V3", 1)])
def test_runs_that_no_table_has_say_so(family, count):
    frame, _, conditions = paper.family_rows(family)
    alone = frame[frame["source"] == "notebook only"]
    assert (
        alone["scheme"].tolist() == ["grouped-only"] * count and "CIFAR-10" in conditions and "50 epochs" in conditions
    )
    runs = paper.published("unlisted_runs")
    runs = runs[runs["model"] == GROUPED[family]]
    assert alone["trainable parameters"].tolist() == runs["raw_parameters"].tolist()
    assert alone["test accuracy, %"].tolist() == (100 * runs["raw_test_accuracy"]).tolist()


@pytest.mark.parametrize("family", ["MobileNet", "MobileNet V3 Large", "EfficientNet-B0"])
def test_without_such_runs_there_is_no_column_about_them(family):
    assert not {"scheme", "source"} & set(paper.family_rows(family).frame)


def test_another_family_is_refused():
    with pytest.raises(ValueError, match="`family` must be one of 'MobileNet'"):
        paper.family_rows("kMobileNet")
