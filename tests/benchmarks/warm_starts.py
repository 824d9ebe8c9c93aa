"""Accuracy against epochs of fine-tuning of a grouped network, for three starts: random, warm, warm and distilled.

    python tests/benchmarks/warm_starts.py fashion --output FOLDER
    python tests/benchmarks/warm_starts.py cifar --output FOLDER --run RUN --images IMAGES

"fashion" trains MobileNet of keras.applications (alpha 0.5, 32x32 pixels) on the sample of Fashion-MNIST that comes
along, and groups it. "cifar" groups the ordinary network of a finished run of the experiment "Does it hold?" (RUN is
its folder, with config.json and best.weights.h5; IMAGES has the class folders train/ and test/). Runs that are in
FOLDER are not repeated. `python data/store_warm_starts.py FOLDER` stores the complete ones and writes their
page, docs/warm-starts.md, anew.
"""

import os

# A training is to give the same numbers again: one thread adds in one order.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import argparse
import json
import re
import time
from pathlib import Path

import kgpc  # isort: skip  before TensorFlow, which reads its settings when it is loaded
import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from kgpc import D6, applications, conversion, datasets, training

STARTS = ("random", "warm", "warm, distilled")
SEEDS = (1, 2, 3)
SCHEME = D6(16)
RATE = 1e-3


class FashionMNIST:
    """MobileNet of keras.applications, half as wide, and clothes.

    A case says how many epochs of fine-tuning there are, on how many images, and how many a warm start looks at.
    """

    network, data = "MobileNet 0.5 (keras.applications)", "Fashion-MNIST sample"
    epochs, images, sample = 6, 1_500, 600
    recipe = training.Recipe(
        epochs=12,
        image_size=32,
        optimizer="AdamW",
        weight_decay=0.05,
        learning_rate=training.OneCycle(peak=0.002, warmup_fraction=0.2),
        augmentation=training.Augmentation(
            rotation=0, width_shift=0, height_shift=0, shear=0, zoom=0, shift_pixels=2, horizontal_flip=True
        ),
        validation_fraction=0.05,
        monitor="last",
        batch_norm_momentum=0.9,
        seed=7,
    )

    def __init__(self, options):
        sample = datasets.fashion_mnist_sample()
        self.x_train, self.y_train, self.x_test, self.y_test = (
            sample.x_train,
            sample.y_train,
            sample.x_test,
            sample.y_test,
        )
        path = options.output / "fashion-original.keras"
        if path.exists():
            self.original = keras.models.load_model(path)
            return
        keras.utils.set_random_seed(self.recipe.seed)
        self.original = keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.5, weights=None, classes=10)
        result = training.fit(self.original, sample, self.recipe, progress=False)
        print(f"the original was trained for {result.seconds:.0f} s", flush=True)
        self.original.save(path)


class CIFAR10:
    """An ordinary network of the experiment "Does it hold?", and small photographs."""

    network, data = "MobileNet", "CIFAR-10 (JPEG copies)"
    epochs, images, sample = 2, 640, 200
    recipe = FashionMNIST.recipe.replace(
        image_size=33,
        margin="edge",
        augmentation=training.Augmentation(
            rotation=0, width_shift=0, height_shift=0, shear=0, zoom=0, shift_pixels=4, horizontal_flip=True
        ),
    )

    def __init__(self, options):
        folder = Path(options.run)
        arguments = json.loads((folder / "config.json").read_text(encoding="utf-8"))["arguments"]
        channels = re.fullmatch(r"D6\((\d+)\)", arguments.pop("scheme"))[1]
        size = self.recipe.image_size
        self.original = applications.kMobileNet(
            input_shape=(size, size, 3), classes=10, scheme=D6(int(channels)), **arguments
        )
        self.original.load_weights(folder / "best.weights.h5")
        self.x_train, self.y_train = _read(Path(options.images) / "train", 150)
        self.x_test, self.y_test = _read(Path(options.images) / "test", 50)


def _read(folder, per_class):
    """The first images of each class folder, and their labels."""
    images, labels = [], []
    for label, name in enumerate(sorted(path.name for path in folder.iterdir() if path.is_dir())):
        for path in sorted((folder / name).iterdir())[:per_class]:
            images.append(datasets.read_image(path, image_size=32))
            labels.append(label)
    return np.stack(images), np.array(labels)


class Order(keras.callbacks.Callback):
    """Tells the batches which epoch it is, of which their order and augmentation are functions."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch


def measure(case, path, options):
    """Runs all trainings of a case that are not in a table yet, and adds their rows."""
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["data"], row["start"], row["seed"]) for row in rows}
    todo = [(seed, start) for seed in SEEDS for start in STARTS if (case.data, start, seed) not in done]
    todo = todo[: options.most]
    if not todo:
        return
    recipe = case.recipe
    tests = training.prepare(case.x_test, recipe)
    original = case.original
    original.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    of_original = original.evaluate(tests, case.y_test, batch_size=250, verbose=0, return_dict=True)
    print(case.network, case.data, of_original, flush=True)
    student = conversion.convert(original, SCHEME)
    training.set_batch_norm_momentum(student, recipe.batch_norm_momentum)
    weights = {}  # what trainings begin with
    steps = case.images // recipe.batch_size * case.epochs
    # Compiled once: between trainings only weights and states of the optimizers are set back.
    optimizers = [keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(RATE, steps)) for _ in range(2)]
    student.compile(optimizers[0], "sparse_categorical_crossentropy", metrics=["accuracy"])
    distiller = conversion.distill(student, original, temperature=2.0, label_weight=0.5, optimizer=optimizers[1])
    for optimizer in optimizers:
        optimizer.build(student.trainable_variables)
    for seed, start in todo:
        begin = time.perf_counter()
        keras.utils.set_random_seed(seed)
        chosen = np.random.default_rng(seed).permutation(len(case.y_train))
        kind = start.partition(",")[0]
        if (kind, seed) not in weights:
            student.set_weights(conversion.convert(original, SCHEME).get_weights())
            if kind == "warm":
                sample = training.prepare(case.x_train[chosen[: case.sample]], recipe)
                carried = conversion.warm_start(student, original, sample, seed=seed)
                seconds = time.perf_counter() - begin
                print(f"warm start in {seconds:.0f} s, mean error {carried['error'].mean():.3f}", flush=True)
            weights[kind, seed] = student.get_weights()
        student.set_weights(weights[kind, seed])
        trainer = distiller if "distilled" in start else student
        for variable in trainer.optimizer.variables:
            if variable is not trainer.optimizer._learning_rate:
                variable.assign(np.zeros(variable.shape))
        batches = training.Batches(
            case.x_train, case.y_train, recipe.replace(seed=seed), indices=np.sort(chosen[: case.images])
        )
        before = student.evaluate(tests, case.y_test, batch_size=250, verbose=0, return_dict=True)
        history = trainer.fit(
            batches,
            epochs=case.epochs,
            shuffle=False,
            validation_data=(tests, case.y_test),
            validation_batch_size=250,
            callbacks=[Order(batches)],
            verbose=0,
        ).history
        accuracies = [before["accuracy"], *history["val_accuracy"]]
        losses = [before["loss"], *history["val_loss"]]
        for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True)):
            rows.append(
                {
                    "network": case.network,
                    "data": case.data,
                    "scheme": str(SCHEME),
                    "start": start,
                    "seed": seed,
                    "epoch": epoch,
                    "accuracy": round(accuracy, 4),
                    "loss": round(loss, 4),
                    "train_images": case.images,
                    "test_images": len(case.y_test),
                    "parameters": student.count_params(),
                    "original_parameters": original.count_params(),
                    "original_accuracy": round(of_original["accuracy"], 4),
                    "kgpc": kgpc.__version__,
                    "keras": keras.__version__,
                    "tensorflow": tf.__version__,
                }
            )
        pd.DataFrame(rows).to_csv(path, index=False, lineterminator="\n")
        print(seed, start, np.round(accuracies, 3), f"{time.perf_counter() - begin:.0f} s", flush=True)


def main():
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=["fashion", "cifar"])
    parser.add_argument("--output", metavar="FOLDER", type=Path, default=Path("results/warm_starts"))
    parser.add_argument("--run", metavar="RUN", help="folder of the run whose network is grouped")
    parser.add_argument("--images", metavar="IMAGES", help="folder with train/ and test/")
    parser.add_argument("--most", metavar="N", type=int, default=99, help="trainings to run now")
    options = parser.parse_args()
    if options.case == "cifar" and not (options.run and options.images):
        parser.error("cifar needs --run and --images")
    options.output.mkdir(parents=True, exist_ok=True)
    kind = FashionMNIST if options.case == "fashion" else CIFAR10
    measure(kind(options), options.output / "warm-starts.csv", options)


if __name__ == "__main__":
    main()
