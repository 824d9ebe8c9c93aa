"""What a reader sees of a notebook: code that fits on the page, numbered figures and tables, checked exercises."""

import re

import nbformat
import pytest

COLUMNS, LINES = 88, 25
FOLDED = {"hide-input", "hide-cell"}
NAMES = [
    *("00_start_here", "01_theory", "02_kmobilenet", "03_kmobilenet_v3", "04_keffnet", "05_kdensenet"),
    *("06_kinception_v3", "08_class_activation_maps", "09_reproduce_the_tables", "11_enhanced_scheme"),
    *("12_light_chroma_branches", "13_your_own_images", "14_group_your_own_model", "15_to_a_phone"),
]


@pytest.fixture(scope="module", params=NAMES)
def cells(request):
    root = request.path.parents[1]
    return nbformat.read(root / "notebooks" / f"{request.param}.ipynb", as_version=4).cells


def code(cells):
    return [(cell, set(cell.metadata.get("tags", []))) for cell in cells if cell.cell_type == "code"]


def test_shown_code_fits_on_the_page(cells):
    for cell, tags in code(cells):
        if not tags & FOLDED:
            lines = cell.source.splitlines()
            assert len(lines) <= LINES, cell.source
            assert [line for line in lines if len(line) > COLUMNS] == []


def test_code_that_is_folded_says_what_it_draws(cells):
    for cell, tags in code(cells):
        if tags & FOLDED:
            assert cell.source.startswith("# @title ") and cell.metadata.get("cellView") == "form", cell.source
            assert cell.metadata["jupyter"]["source_hidden"] is True, cell.source


def test_figures_have_captions_with_numbers_in_order(cells):
    captions, pictures, moving = [], 0, 0
    for cell, tags in code(cells):
        if "experiment" not in tags and "hide-cell" not in tags:
            data = [output.data for output in cell.outputs if "data" in output]
            drawn = [output.get("metadata", {}) for output in cell.outputs]
            pictures += sum("'alt'" in str(each) for each in drawn)
            moving += sum("kgpc_figure" in each for each in drawn)  # with titles of their own
            captions += [re.match(r"Figure (\d+)\. ", each.get("text/plain", "")) for each in data]
    numbers = [int(caption[1]) for caption in captions if caption]
    assert numbers == list(range(1, len(numbers) + 1)) and pictures >= 2
    assert pictures - moving <= len(numbers) <= pictures


def test_tables_have_numbers_in_order(cells):
    numbers = []
    for cell, tags in code(cells):
        if "hide-cell" not in tags:
            for output in cell.outputs:
                numbers += re.findall(r"<caption[^>]*>Table (\d+)\.", output.get("data", {}).get("text/html", ""))
    assert list(map(int, numbers)) == list(range(1, len(numbers) + 1)) and numbers


def test_each_exercise_has_a_cell_for_the_answer_and_a_solution(cells):
    sources = [cell.source for cell in cells]
    unfolded = [cell.source for cell in cells if "hide-cell" not in cell.metadata.get("tags", [])]
    checked = [name for text in unfolded for name in re.findall(r'^exercises\.check\("\d\d\.(\d)"', text, re.MULTILINE)]
    solved = [name for text in sources for name in re.findall(r"^# @title Solution (\d) ", text)]
    (place,) = (index for index, text in enumerate(sources) if "## Exercises" in text)
    asked = [name for text in sources[place:] for name in re.findall(r"^\*\*(\d)\.\*\*", text, re.MULTILINE)]
    assert checked == solved == asked and len(asked) >= 3
