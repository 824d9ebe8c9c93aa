"""Small trainings in a process of their own; tests/test_training_processes.py runs them and compares what they write.

    python training_check.py run RESULT FOLDER EPOCHS
    python training_check.py resume FOLDER
    python training_check.py devices RESULT COUNT
    python training_check.py processes RESULT FOLDER NUMBER COUNT PORT

RESULT is an npz file with the weights and what `fit` returned.
"""

import os
import pathlib
import sys
import types

if os.environ.get("KERAS_BACKEND") == "jax":
    sys.modules["tensorflow"] = None  # as where it is not installed

import keras
import numpy as np

from kgpc import layers, training

RECIPE = training.QUICK.replace(
    epochs=4,
    image_size=8,
    batch_size=8,
    augmentation=training.Augmentation(),
    validation_fraction=0.25,
    batch_norm_momentum=0.7,
)


def small_data(count=60):
    """Three classes of noise that differ in brightness."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = np.minimum(generator.integers(0, 160, (count, 8, 8, 3)) + 45 * labels[:, None, None, None], 255)
    return types.SimpleNamespace(
        name="noise", x_train=images.astype("uint8"), y_train=labels, class_names=("dark", "grey", "bright")
    )


def small_network(input_shape, dropout=0.3, synchronized=False):
    x = inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, use_bias=False)(x)
    x = layers.BatchNormalization(synchronized=synchronized)(x)
    x = keras.layers.Activation("relu")(x)
    x = layers.GroupedPointwiseConv2D(8, groups=2)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def outcome(model, result):
    """Weights and results of a training as a dict of arrays."""
    weights = [keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(weight)) for weight in model.weights]
    return {
        **{f"weight {number}": weight for number, weight in enumerate(weights)},
        "step_losses": result.step_losses,
        "history": result.history.drop(columns="seconds").to_numpy(float),
        "best_epoch": np.array(result.best_epoch),
    }


def train(folder=None, epochs=4, progress=False, **options):
    recipe = RECIPE.replace(epochs=int(epochs))
    model = training.build(small_network, recipe, **options)
    return outcome(model, training.fit(model, small_data(), recipe, folder=folder, progress=progress))


def run(path, folder, epochs):
    np.savez(path, **train(folder, epochs))


class Killed(BaseException):
    """Stands for the end of the process."""


class KillingProgress(training.Progress):
    """Ends a training after a number of steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def advance(self, note=""):
        self.left -= 1
        if not self.left:
            raise Killed


def resume(folder):
    """A training that is interrupted and started again ends like one that is not."""
    expected = train()
    steps = len(expected["step_losses"]) // 4
    try:
        train(folder, progress=KillingProgress(2 * steps + 3))
        raise AssertionError("not interrupted")
    except Killed:
        assert (folder / "state-000002.npz").exists() and not (folder / "state-000003.npz").exists()
    for name, value in train(folder).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def devices(path, count):
    """On several devices that TensorFlow makes of one processor."""
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * int(count)
    )
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    assert len(names) == int(count)
    strategy = tf.distribute.MirroredStrategy(names)
    check_fused_normalization(strategy)
    with strategy.scope():
        np.savez(path, **train(dropout=0.0, synchronized=True))
        resume(path.with_suffix(""))


def check_fused_normalization(strategy):
    """The layer that the networks use: as with Keras' own, each device has its images and its moving statistics."""
    import tensorflow as tf

    count = strategy.num_replicas_in_sync
    parts = np.random.default_rng(1).normal(2.0, 3.0, (count, 6, 5, 5, 4)).astype("float32")
    with strategy.scope():
        layer = layers.BatchNormalization(momentum=0.9)
        layer.build((None, 5, 5, 4))

    @tf.function
    def step():
        return strategy.run(
            lambda: layer(
                tf.gather(tf.constant(parts), tf.distribute.get_replica_context().replica_id_in_sync_group),
                training=True,
            )
        )

    outputs = strategy.experimental_local_results(step())
    axes = (0, 1, 2)
    for part, output in zip(parts, outputs, strict=True):
        expected = (part - part.mean(axes)) / np.sqrt(part.var(axes) + layer.epsilon)
        np.testing.assert_allclose(output.numpy(), expected, atol=1e-5)
    for variable, statistic, initial in ((layer.moving_mean, np.mean, 0.0), (layer.moving_variance, np.var, 1.0)):
        for part, value in zip(parts, strategy.experimental_local_results(variable.value), strict=True):
            np.testing.assert_allclose(value.numpy(), 0.9 * initial + 0.1 * statistic(part, axes), rtol=1e-5)


def processes(path, folder, number, count, port):
    """In several processes, on JAX."""
    if int(count) > 1:
        keras.distribution.initialize(f"localhost:{port}", num_processes=int(count), process_id=int(number))
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    np.savez(path, **train(folder, dropout=0.0))


if __name__ == "__main__":
    command, path, *arguments = sys.argv[1:]
    {"run": run, "resume": resume, "devices": devices, "processes": processes}[command](pathlib.Path(path), *arguments)
