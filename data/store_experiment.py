#!/usr/bin/env python3
"""Adds complete runs of the experiment "Does it hold?" to `data/reruns/does-it-hold*`, and writes its page anew.

    python data/store_experiment.py [FOLDER]

FOLDER is what `--output` of `python -m kgpc rerun --profile experiment` was; without it only the pages are written,
from what is stored: `docs/does-it-hold.md`, and in the notebooks the outputs of the cells that have the tag
"experiment".
"""

import argparse
import os
from pathlib import Path

import nbformat

from kgpc import notebooks
from kgpc.paper import experiment, experiment_page

# What the cells about the experiment need of the cells before them.
IMPORTS = "import kgpc\nfrom kgpc import paper, plots"


def update_pages(folder):
    """Executes the cells of the notebooks that show the experiment, and stores their outputs; all others stay."""
    for path in sorted(folder.glob("*.ipynb")):
        stored = notebooks.read_notebook(path)
        shown = [cell for cell in stored.cells if "experiment" in cell.metadata.get("tags", [])]
        if not shown:
            continue
        small = nbformat.v4.new_notebook(metadata=stored.metadata)
        small.cells = [nbformat.v4.new_code_cell(cell.source) for cell in shown]
        small.cells.insert(0, nbformat.v4.new_code_cell(IMPORTS))
        notebooks.execute([notebooks.Execution(small, folder, path.stem)])
        notebooks.normalise(small)
        for cell, executed in zip(shown, small.cells[1:], strict=True):
            cell.outputs = executed.outputs
        notebooks.refuse_local_paths(stored, path.stem)
        notebooks.write(stored, path)
        os.utime(path.with_suffix(".py"))  # Jupytext complains about a script that is older than its notebook


def main():
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="what --output of rerun was")
    source, root = parser.parse_args().folder, Path(__file__).resolve().parents[1]
    if source is not None:
        added = experiment.store(source, root / "data" / "reruns")
        print("\n".join([*added, f"{len(added)} runs added."]))
    page = experiment_page.page(experiment.stored(), experiment.predictions())
    (root / "docs" / "does-it-hold.md").write_text(page, encoding="utf-8")
    update_pages(root / "notebooks")


if __name__ == "__main__":
    main()
