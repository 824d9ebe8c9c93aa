#!/usr/bin/env python3
"""Stores the trained weights of a run of the experiment in `data/weights`, with their card.

    python data/store_weights.py OUTPUT RUN NAME --images FOLDER

OUTPUT is what `--output` of `python -m kgpc rerun --profile experiment` was, RUN the name of a complete run in it, NAME
what `weights=` will call the weights, FOLDER the images. The weights are rounded to what is stored, and all test images
are recognized anew with the rounded network: that accuracy is on the card.
"""

import argparse
import sys
from pathlib import Path
from unittest import mock

from kgpc import applications, training, weight_archives
from kgpc.applications import common
from kgpc.paper import experiment, protocol
from kgpc.paper.rerun_results import results
from kgpc.paper.selection import load_dataset

COMMAND = "python -m kgpc rerun --profile experiment --stages {stage} --images FOLDER --output FOLDER"


def find(name, output, images):
    """The stage and the `Run` of this name.

    Raises:
        ValueError: if the protocol has no such run with a test, or it is not complete in the folder.
    """
    found = results(output)
    if name not in set(found["name"]):
        raise ValueError(f"`run` must be complete in {str(output)!r}. Received: run={name!r}.")
    table = experiment.joined(experiment.stored(), found).drop_duplicates("name")
    for stage in (*protocol.STAGES, *protocol.GPU_STAGES):
        if stage.search or any(
            experiment.rate_of(table, protocol.arm(stage.family, key)) is None for key in stage.keys
        ):
            continue
        for run in experiment.runs_of_stage(stage, table, images):
            if run.name == name:
                return stage, run
    raise ValueError(f"`run` must be one of the protocol's that are tested. Received: run={name!r}.")


def described(run, classes):
    """What the constructor compares a card with: dict of family, scheme, arguments and classes."""
    asked = {}
    with mock.patch.object(common, "find_weights", lambda weights, **network: asked.update(network)):
        shape = (run.recipe.image_size, run.recipe.image_size, 3)
        getattr(applications, run.constructor)(input_shape=shape, classes=classes, **run.arguments)
    return {name: value for name, value in asked.items() if name != "include_top"}


def store(output, name, weights_name, images, folder):
    """Writes weights and card.

    Args:
        output: path of the folder with the runs.
        name: str, name of the run.
        weights_name: str, name of the weights.
        images: path of the folder with the images; None for data that are fetched.
        folder: path of the folder for the two files.

    Returns:
        The `kgpc.included.Card`.
    """
    stage, run = find(name, output, images)
    data = load_dataset(run.dataset, run.recipe.image_size, run.images)
    model = run.build(len(data.class_names))
    model.load_weights(Path(output) / name / "best.weights.h5")
    weight_archives.round_to_stored(model)
    evaluation = training.evaluate(model, data, run.recipe)
    recipe = {
        key: value for key, value in run.config()["recipe"].items() if key not in ("epochs", "seed", "image_size")
    }
    return weight_archives.write(
        model,
        folder,
        name=weights_name,
        dataset=run.dataset,
        epochs=run.recipe.epochs,
        image_size=f"{run.recipe.image_size}x{run.recipe.image_size}",
        images=f"RGB, [0,{run.recipe.pixel_maximum:g}]",
        recipe=recipe,
        seed=run.recipe.seed,
        test_accuracy=evaluation.accuracy,
        test_images=evaluation.images,
        command=COMMAND.format(stage=stage.name),
        **described(run, len(data.class_names)),
    )


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", metavar="OUTPUT", help="what --output of rerun was")
    parser.add_argument("run", metavar="RUN", help="name of a complete run in it")
    parser.add_argument("name", metavar="NAME", help="what `weights=` will call the weights")
    parser.add_argument("--images", metavar="FOLDER", help="the folder with train/<class>/ and test/<class>/")
    options = parser.parse_args(arguments)
    folder = Path(__file__).resolve().parent / "weights"
    try:
        card = store(options.output, options.run, options.name, options.images, folder)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    before = results(options.output).set_index("name").loc[options.run, "test_accuracy"]
    print(f"{card}: {card.test_accuracy:.2%} of {card.test_images:,} test images, {before:.2%} before it was rounded")
    print(f"{card.path.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
