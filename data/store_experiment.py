#!/usr/bin/env python3
"""Adds complete runs of the experiment "Does it hold?" to `data/reruns/does-it-hold*`.

    python data/store_experiment.py FOLDER

FOLDER is what `--output` of `python -m kgpc rerun --profile experiment` was.
"""

import argparse
from pathlib import Path

from kgpc.paper import experiment


def main():
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="FOLDER", help="what --output of rerun was")
    folder = Path(__file__).resolve().parent / "reruns"
    added = experiment.store(parser.parse_args().folder, folder)
    print("\n".join([*added, f"{len(added)} runs added."]))


if __name__ == "__main__":
    main()
