"""Notebook 02: its paper profile, with a budget that a processor can afford."""

import os

import nbformat
import pandas as pd
import pytest

from kgpc.notebooks import Execution, execute, set_profile

TINY = """\
def load(name):
    assert name == "CIFAR-10"
    generator = np.random.default_rng(0)

    def part(per_class):
        labels = np.repeat(np.arange(10), per_class)
        return generator.integers(0, 256, (len(labels), 32, 32, 3), dtype="uint8"), labels

    return datasets.ImageDataset(name, *part(20), *part(2), tuple("abcdefghij"))


datasets.load = load
published = training.recipe
training.recipe = lambda *names: published(*names).replace(image_size=64, epochs=2, batch_size=16)
"""


@pytest.mark.slow
def test_the_paper_profile_runs_with_tiny_values(root, tmp_path, monkeypatch):
    notebook = nbformat.read(root / "notebooks" / "02_kmobilenet.ipynb", as_version=4)
    monkeypatch.setitem(os.environ, "KGPC_RESULTS", str(tmp_path))
    set_profile(notebook, "paper")
    (imports,) = (i for i, cell in enumerate(notebook.cells) if cell.source.startswith("import matplotlib"))
    notebook.cells.insert(imports + 1, nbformat.v4.new_code_cell(TINY))
    execute([Execution(notebook, root / "notebooks", "02_kmobilenet")])
    table = pd.read_csv(tmp_path / "comparison.csv")
    ours = table[table["origin"] == "this run"]
    assert ours["dataset"].tolist() == ["CIFAR-10"] * 4
    assert ours["image_px"].tolist() == [64] * 4 and ours["epochs"].tolist() == [2] * 4
    assert ours["trainable_params"].tolist()[:3] == [3217226, 403018, 244298]
    assert ours["test_acc_pct"].between(0, 100).all() and (ours["train_seconds"] > 0).all()
    published = table[table["origin"] == "published"]
    assert published["test_acc_pct"].tolist() == [93.15, 89.81, 91.27] and published["train_seconds"].isna().all()
