"""Repeats the experiment on noise of notebook 12 with three seeds, and stores it as `reruns/noise-seeds.csv`.

    python data/store_noise_seeds.py

The cells of the notebook that have the tag "noise-seeds" are executed, with another seed each time; a fourth network
comes along that the page has no time for.
"""

from pathlib import Path

import jupytext
import pandas as pd

SEEDS = (7, 8, 9)
MORE = {"80% L + 20% AB": ("lab", {"two_paths_first_block": True, "l_ratio": 0.8, "ab_ratio": 0.2})}
COLUMNS = ["seed", "network", "noise", "level", "test_images", "correct"]


def source(root):
    """The code of the notebook's cells that make up the experiment."""
    notebook = jupytext.read(root / "notebooks" / "12_light_chroma_branches.py")
    cells = [cell.source for cell in notebook.cells if "noise-seeds" in cell.metadata.get("tags", [])]
    return "\n\n".join(cells)


def main():
    """Trains and tests all networks with all seeds, and writes the table."""
    root = Path(__file__).resolve().parent.parent
    code, rows = source(root), []
    if code.count("SEED = 7") != 1:
        raise ValueError("The notebook must set its seed once, as SEED = 7.")
    for seed in SEEDS:
        cells = {"PROFILE": "quick"}
        exec(compile(code.replace("SEED = 7", f"SEED = {seed}"), "notebook 12", "exec"), cells)
        for name, options in (cells["compared"] | MORE).items():
            rows += cells["trained_and_tested"](name, *options)[0]
            print(f"seed {seed}, {name}: {rows[-1]}", flush=True)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.to_csv(root / "data" / "reruns" / "noise-seeds.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
