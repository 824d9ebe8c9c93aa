#!/usr/bin/env python3
"""Adds complete runs of the experiment "Does it hold?" to `data/reruns/does-it-hold*`, and writes its page anew.

    python data/store_experiment.py [FOLDER]

FOLDER is what `--output` of `python -m kgpc rerun --profile experiment` was; without it only `docs/does-it-hold.md` is
written, from what is stored.
"""

import argparse
from pathlib import Path

from kgpc.paper import experiment, experiment_page


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
    print("Notebooks show it too: python3 start.py run --update 02_kmobilenet 03_kmobilenet_v3 04_keffnet", end=" ")
    print("09_reproduce_the_tables")


if __name__ == "__main__":
    main()
