"""What works where TensorFlow is not installed: tests/test_backends.py runs this in a process of its own.

    KERAS_BACKEND=jax python tensorflow_missing_check.py FOLDER

Every import of TensorFlow, or of a package that needs it, fails here as it does where it is missing. One line per check
is printed; the first that fails ends with an error.
"""

import importlib.abc
import pathlib
import sys

MISSING = ("tensorflow", "tensorflow_datasets", "tensorflow_metadata", "tf_keras", "ai_edge_litert")


class Missing(importlib.abc.MetaPathFinder):
    """Answers before all others that a package is not there."""

    asked = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            self.asked.append(name)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())

import keras  # noqa: E402
import numpy as np  # noqa: E402

import kgpc  # noqa: E402
from kgpc import datasets, paper, training  # noqa: E402
from kgpc.paper import execution  # noqa: E402

# The same in all checks, so that it is compiled once (the test names a folder where JAX keeps what it compiled).
RECIPE = training.QUICK.replace(epochs=2, batch_size=32, train_images=320, validation_fraction=0.05, seed=3)
NETWORK = {"scheme": kgpc.D6(4), "depth": 10, "growth_rate": 4}


def check_training(folder):
    """Build, train, evaluate, save, load: the network that comes back computes the same."""
    data, recipe = datasets.fashion_mnist_sample(), RECIPE
    model = training.build(kgpc.applications.kDenseNetBC, recipe, classes=10, **NETWORK)
    before = training.evaluate(model, data, recipe)
    result = training.fit(model, data, recipe, folder=folder / "fit", progress=False, workers=2)
    assert len(result.history) == 2 and np.isfinite(result.step_losses).all(), result
    assert len(result.step_losses) == 20
    after = training.evaluate(model, data, recipe)
    assert after.loss < before.loss, (before.loss, after.loss)
    model.save(folder / "model.keras")
    again = training.evaluate(keras.saving.load_model(folder / "model.keras"), data, recipe)
    np.testing.assert_allclose(again.loss, after.loss, rtol=1e-5)
    print(f"trained: loss {before.loss:.3f} became {after.loss:.3f}")


def check_rerun(folder):
    """A training as `kgpc rerun` does it: its folder has results that can be read."""
    run = paper.Run(
        profile="quick",
        family="DenseNet-BC L10",
        model="kDenseNet-BC L10 4ch",
        variant="grouped",
        label="",
        dataset="Fashion-MNIST sample",
        constructor="kDenseNetBC",
        arguments=NETWORK,
        recipe=RECIPE,
        test_images=50,
    )
    outcome = execution.execute(run, folder / "reruns", progress=False)
    assert outcome == "trained", outcome
    assert execution.execute(run, folder / "reruns", progress=False) == "complete"
    software = execution.versions()
    assert software["backend"] == "jax" and software["jax"] and "tensorflow" not in software, software
    print("rerun: trained, and complete the second time")


def check_other_rooms():
    """Counting, folding and timing need no TensorFlow either."""
    model = kgpc.applications.kMobileNet(input_shape=(32, 32, 3), classes=10, alpha=0.25)
    assert kgpc.flops.macs(model) > 0
    assert len(kgpc.deploy.fold(model).layers) < len(model.layers)
    assert kgpc.timing.machine()["backend"] == "jax"
    print(f"{len(model.layers)} layers counted and folded")


def main():
    assert keras.backend.backend() == "jax"
    folder = pathlib.Path(sys.argv[1])
    check_training(folder)
    check_rerun(folder)
    check_other_rooms()
    loaded = [name for name in sys.modules if name.partition(".")[0] in MISSING]
    assert not loaded, loaded
    print("without TensorFlow: all checks passed")


if __name__ == "__main__":
    main()
