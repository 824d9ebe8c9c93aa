"""Notebooks 03 to 06: their paper profile takes a published recipe of its family, and runs with tiny values."""

import os
import re

import nbformat
import pytest

from kgpc import paper, training
from kgpc.notebooks import Execution, execute, set_profile

# Notebook -> the baseline and the grouped network as the published tables call them.
FAMILIES = {
    "03_kmobilenet_v3": ("MobileNet V3 Large", "kMobileNet V3 Large"),
    "04_keffnet": ("EfficientNet-B0", "kEffNet-B0"),
    "05_kdensenet": ("DenseNet-BC L100", "kDenseNet-BC L100"),
}

TINY_DATA = """\
def load(name):
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 4)
    images = generator.integers(0, 256, (40, 32, 32, 3), dtype="uint8")
    return datasets.ImageDataset(name, images, labels, images[:20], labels[:20], tuple("abcdefghij"))


import numpy as np

from kgpc import datasets

datasets.load = load
"""


@pytest.fixture(params=FAMILIES)
def notebook(request, root):
    """Name of a notebook, and the notebook as it is stored."""
    return request.param, nbformat.read(root / "notebooks" / f"{request.param}.ipynb", as_version=4)


def index_of(notebook, text):
    """Position of the only code cell that contains a text."""
    (index,) = (i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and text in cell.source)
    return index


def test_the_paper_profile_has_a_published_recipe_of_the_family(notebook):
    name, stored = notebook
    source = stored.cells[index_of(stored, "training.recipe(")].source
    dataset, label = re.search(r'training\.recipe\("([^"]+)", "([^"]+)"\)', source).groups()
    recipe = training.recipe(dataset, label)
    rows = paper.published().query("label == @label and dataset == @dataset")
    assert set(rows["model"]) & set(FAMILIES[name])
    assert {(recipe.epochs, recipe.image_size)} == set(zip(rows["epochs"], rows["image_size"], strict=True))


def test_every_published_row_of_the_family_is_on_the_page(notebook):
    name, stored = notebook
    page = "\n".join(
        str(output.get("data", {}).get("text/plain", "")) for cell in stored.cells for output in cell.get("outputs", [])
    )
    rows = paper.published().query("paper == 'grouped-pointwise-2022'")
    for row in rows[rows["model"].isin(FAMILIES[name])].itertuples():
        assert f"{row.parameters:,}" in page and f"{row.test_accuracy_percent:.2f}" in page


@pytest.mark.slow
def test_the_paper_profile_runs_with_tiny_values(notebook, root, tmp_path, monkeypatch):
    name, stored = notebook
    monkeypatch.setitem(os.environ, "KGPC_RESULTS", str(tmp_path))
    set_profile(stored, "paper")
    index = index_of(stored, "training.recipe(")
    source = stored.cells[index].source
    tiny = "epochs=15, batch_size=16, image_size=32, validation_fraction=0.25, validation_split='first of each class'"
    stored.cells[index].source = re.sub(r'(training\.recipe\("[^"]+", "[^"]+"\))', rf"\1.replace({tiny})", source)
    stored.cells.insert(index, nbformat.v4.new_code_cell(TINY_DATA))
    execute([Execution(stored, root / "notebooks", name)])
    page = "\n".join(str(output) for cell in stored.cells for output in cell.get("outputs", []))
    assert 'Profile "paper"' in page and "CIFAR-10" in page
