"""Every published row that has an erratum carries its footnote, in the tables of kgpc and on the pages."""

import nbformat
import pandas as pd
import pytest

from kgpc import paper

NOTEBOOKS = ["00", "02", "03", "04", "06", "09", "11", "12"]


def marked(rows):
    marks, notes = paper.footnotes(rows)
    texts = {note.split(" ", 1)[0]: note.split(" ", 1)[1] for note in notes}
    return [[texts[mark] for mark in mark.split(",") if mark] for mark in marks]


def test_each_erratum_of_the_result_tables_is_found_with_its_rows():
    rows = paper.published()
    found = pd.Series([len(texts) for texts in marked(rows)], index=rows.index)
    assert len(paper.footnotes(rows)[1]) == 10
    of_one = {
        ("JP30B27", "none", False): "test accuracy: 93.52% is printed, the authors' notebook has 93.33%",
        ("JP35B18", "D6", False): "flops: 201,421,626 is printed, the authors' notebook has 370,384,414",
        ("JP30I02", "D6v3", True): "test accuracy: 94.01% is printed, no notebook of the authors prints it",
        ("JP30N13", "D6v3", False): "parameters: 355,064 is printed, the authors' notebook has 309,432",
    }
    for (label, scheme, mirrored), text in of_one.items():
        same = (rows["label"] == label) & (rows["scheme"] == scheme) & (rows["horizontal_flip_test"] == mirrored)
        row = rows[same.astype(bool)].iloc[:1]
        assert marked(row)[0][0].startswith(text)
    # The printed size of eleven rows, and the printed name of four of them.
    every = [text for texts in marked(rows) for text in texts]
    assert sum(text.startswith("input size: 224x244") for text in every) == 11
    assert sum(text.startswith("model name: kMovbileNet") for text in every) == 4
    assert found.sum() == 8 + 11 + 4


def test_a_row_of_the_other_paper_and_one_of_another_scheme_have_none():
    rows = paper.published()
    assert marked(rows.query("label == 'JP30B27' and scheme == 'none' and paper == 'enhanced-scheme-2022'")) == [[], []]
    assert marked(rows.query("label == 'JP30B27' and scheme == 'D6'")) == [[], []]


def test_networks_with_two_branches_have_theirs():
    rows = paper.published("two_branch_results")
    found = {(rows["dataset"].iloc[i], rows["architecture"].iloc[i]): t[0] for i, t in enumerate(marked(rows)) if t}
    assert found == {
        ("Plant Village", "80%L + 20%AB"): "test accuracy: 99.08% is printed, the authors' notebook has 99.053% "
        "(different value).",
        ("Plant Village", "50%L + 50%AB"): "test accuracy: 99.11% is printed, the authors' notebook has 99.1173% "
        "(last digit).",
        ("Plant Village", "single branch RGB (baseline)"): "test accuracy: 99.32% is printed, the authors' notebook "
        "has 99.3012% (different value).",
        ("Cropped-PlantDoc", "100%L + 0%AB"): "F1: 0.66 is printed, the authors' notebook has 0.6394 "
        "(different value).",
    }


@pytest.mark.parametrize("bad", [None, 3, "JP35B14", []])
def test_what_is_no_table_is_refused(bad):
    with pytest.raises(TypeError, match="`rows`"):
        paper.footnotes(bad)


def test_a_table_of_something_else_is_refused():
    with pytest.raises(ValueError, match="`rows` must have the columns.*without dataset"):
        paper.footnotes(pd.DataFrame({"label": ["JP35B14"]}))


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_pages_that_show_such_rows_have_the_notes(number, root):
    """A page with the accuracy of such a row has the text of its note in its stored output."""
    (path,) = (root / "notebooks").glob(f"{number}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    page = "\n".join(
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    assert "is printed, the authors' notebook has" in page
