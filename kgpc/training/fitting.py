"""Training and testing by a recipe: `build` a network, `fit` it, `evaluate` it.

`fit` is Keras' own `model.fit` with what makes a run trustworthy around it: an order and an augmentation that are
functions of seed and epoch, the schedule, the choice of the best epoch, a stop where the loss is no number, and
checkpoints from which an interrupted run goes on as if nothing had happened.
"""

import contextlib
import csv
import dataclasses
import gc
import hashlib
import json
import math
import platform
import re
import time

import keras
import numpy as np
import pandas as pd

from kgpc.training.batches import Batches, split
from kgpc.training.checkpoints import Checkpoints, State
from kgpc.training.progress import Progress
from kgpc.training.recipes import Recipe

HISTORY_FILE = "history.csv"
BEST_WEIGHTS_FILE = "best.weights.h5"
# Steps up to which optimizing the graph takes longer than it saves.
_SHORT_TRAINING = 200
COLUMNS = ("epoch", "learning_rate", "loss", "accuracy", "val_loss", "val_accuracy", "seconds")


class NonFiniteLoss(ArithmeticError):
    """The loss of a training step is infinite or not a number, so the training was stopped.

    Attributes:
        epoch, step: int, from 1; where it happened.
        loss: float.
    """

    def __init__(self, epoch, step, loss, kept):
        super().__init__(
            f"The loss of step {step} in epoch {epoch} is {loss}: training stopped. {kept} "
            "A lower learning rate, or the precision float32, usually helps."
        )
        self.epoch, self.step, self.loss = epoch, step, loss


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a training was like.

    Attributes:
        history: `pandas.DataFrame`, one row for each epoch: `epoch` (from 1), `learning_rate` (of its last step),
            `loss` and `accuracy` (means over the training batches while they were learned from), `val_loss` and
            `val_accuracy` (on the validation images), `seconds` (with validation). Losses are cross-entropies in nats
            without smoothing (those of validation as in `Evaluation`), accuracies fractions.
        step_losses: float64 array, what was minimized in each training step: with the recipe's label smoothing.
        best_epoch: int, from 1; the network has the weights of this epoch.
        seconds: float, sum over the epochs, also over those before an interruption.
    """

    history: pd.DataFrame
    step_losses: np.ndarray
    best_epoch: int
    seconds: float

    def __repr__(self):
        best = self.history.iloc[self.best_epoch - 1]
        return (
            f"<TrainingResult: {len(self.history)} epochs in {self.seconds:.1f} s, best epoch {self.best_epoch} with "
            f"val_accuracy {best['val_accuracy']:.4f}, val_loss {best['val_loss']:.4f}>"
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a network does on images with known classes.

    Attributes:
        accuracy: float, fraction of the images whose class has the highest probability.
        loss: float, mean cross-entropy in nats; a probability below 1e-7 counts as 1e-7.
        images: int, their number.
        predictions: int64 array `(n,)`, the class with the highest probability, in the order of the images.
        correct: bool array `(n,)`.
    """

    accuracy: float
    loss: float
    images: int
    predictions: np.ndarray
    correct: np.ndarray

    def __repr__(self):
        return f"<Evaluation: accuracy {self.accuracy:.4f}, loss {self.loss:.4f} on {self.images:,} images>"


def build(constructor, recipe, **options):
    """Builds a network with the seed, the precision and the image size of a recipe.

    With a mixed precision, the last layer computes in float32, so that small probabilities are not lost.

    Args:
        constructor: function that returns a Keras model, such as `kgpc.applications.kMobileNet`.
        recipe: `Recipe`.
        options: for the constructor; `input_shape` is that of the recipe unless it is given.

    Returns:
        Keras model.

    Example:

        model = training.build(kMobileNet, training.QUICK, classes=10, scheme=D6(16))
    """
    _check_recipe(recipe)
    options.setdefault("input_shape", (recipe.image_size, recipe.image_size, 3))
    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        model = constructor(**options)
    finally:
        keras.config.set_dtype_policy(before)
    if recipe.precision != "float32":
        model.layers[-1].dtype_policy = keras.DTypePolicy("float32")
    return model


def fit(model, data, recipe, folder=None, progress=True, workers=1):
    """Trains a network by a recipe, and leaves it with the weights of the epoch that was best in validation.

    With a folder, the state is written there after each epoch. A run that was killed, at whatever moment, and is
    started again with the same arguments goes on after the last complete epoch. On a processor it ends with the same
    weights, history and best epoch as a run without interruption, bit for bit. A run that is complete is not repeated:
    its weights and history come from the folder. The folder has

    - `run.json`: recipe, network and data that the folder belongs to, and versions;
    - `state-<epoch>.npz`: the last two states, from which a run goes on;
    - `best.weights.h5`: best weights so far, for `model.load_weights`;
    - `history.csv`: one line for each epoch.

    Where several processes train together (`keras.distribution`), the first one writes; all of them need to see the
    folder.

    Args:
        model: Keras model whose output is class probabilities, for images of the recipe's size; for a training that
            can be repeated, from `build`. Its compilation is replaced.
        data: `kgpc.datasets.ImageDataset`, or any object with `x_train`, `y_train` and `class_names`. The test images
            are not looked at.
        recipe: `Recipe`.
        folder: path or None.
        progress: bool, whether to show one line of progress; a str to begin it with; or a `Progress`, so that several
            trainings share a line.
        workers: int >= 1, threads that prepare batches. More of them make a GPU wait less, and change no result.

    Returns:
        `TrainingResult`.

    Raises:
        TypeError, ValueError: if network, data and recipe do not fit together, or the folder belongs to another run.
        DamagedCheckpoint: if the folder has checkpoints, but none that can be read.
        NonFiniteLoss: if the loss is infinite or not a number. The states in the folder stay, and the network has its
            best weights so far, or its initial ones.

    Example:

        data = datasets.fashion_mnist_sample()
        recipe = training.QUICK.replace(epochs=2)
        model = training.build(kMobileNet, recipe, classes=10, scheme=D6(16))
        result = training.fit(model, data, recipe, folder="runs/kmobilenet")
        training.evaluate(model, data, recipe).accuracy
    """
    _check_recipe(recipe)
    _check_model(model, recipe, len(data.class_names))
    _check_labels(data.y_train, len(data.class_names))
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"`workers` must be an int of at least 1. Received: workers={workers!r}.")
    process, processes = _processes()
    shared = {"workers": workers, "process": process, "processes": processes}
    chosen, for_validation = split(data.y_train, recipe)
    batches = Batches(data.x_train, data.y_train, recipe, training=True, indices=chosen, **shared)
    validation = Batches(
        data.x_train,
        data.y_train,
        recipe,
        training=False,
        indices=for_validation,
        views=recipe.validation_views,
        # Keras' own validation and `evaluate` would compile the network once each, which takes seconds. Where processes
        # share the images only Keras' own will do: none of them sees the answers of all.
        fill=processes == 1,
        **shared,
    )
    if recipe.batch_norm_momentum is not None:
        set_batch_norm_momentum(model, recipe.batch_norm_momentum)
    checkpoints = None
    if folder is not None:
        checkpoints = Checkpoints(folder, _identity(model, data, recipe), _versions(), writes=process == 0)
    _compile(model, recipe, weighted=processes > 1)
    state = checkpoints.latest() if checkpoints else None
    if processes > 1:
        _check_agreement(state)
    if state is None:
        state = _state_of(model)
        if checkpoints:
            checkpoints.save(state)
    else:
        _restore(model, state)
    if not isinstance(progress, Progress):
        progress = Progress(progress if isinstance(progress, str) else "") if progress else None
    run = _Run(recipe, batches, validation, state, checkpoints, progress)
    if state.epoch < recipe.epochs:
        with _synchronized(model), _graph_optimization(recipe.epochs * len(batches)), _rare_garbage_collection():
            model.fit(
                batches,
                epochs=recipe.epochs,
                initial_epoch=state.epoch,
                shuffle=False,
                verbose=0,
                callbacks=[run],
                validation_data=None if validation.fill else validation,
            )
    else:
        run.nothing_to_do()
    _assign(model.weights, state.best)
    if checkpoints:
        run.write_products(model)
    history = pd.DataFrame(state.history, columns=list(COLUMNS)).astype({"epoch": "int64"})
    return TrainingResult(history, state.step_losses, state.best_epoch, float(history["seconds"].sum()))


def evaluate(model, data, recipe, part="test"):
    """Tests a network on the test images, or on the validation images of a recipe.

    Args:
        model: Keras model whose output is class probabilities.
        data: `kgpc.datasets.ImageDataset`.
        recipe: `Recipe`; its image size, colour space and range count, and its batch size for speed.
        part: "test" or "validation"; validation images are taken as they are, without augmentation.

    Returns:
        `Evaluation`.

    Raises:
        TypeError, ValueError: if network, data and recipe do not fit together, there are no images to test on, or
            `part` is something else.

    Example:

        result = training.evaluate(model, data, training.QUICK)
        print(f"{result.accuracy:.1%} of {result.images} images")
    """
    _check_recipe(recipe)
    _check_model(model, recipe, len(data.class_names))
    if part not in ("test", "validation"):
        raise ValueError(f'`part` must be "test" or "validation". Received: part={part!r}.')
    if part == "test":
        images, labels = data.x_test, np.asarray(data.y_test)
        indices = np.arange(len(labels))
    else:
        images, labels, indices = data.x_train, np.asarray(data.y_train), split(data.y_train, recipe)[1]
    _check_labels(labels, len(data.class_names))
    if not len(indices):
        raise ValueError("`data` must have test images to be tested on. Received: data.x_test of length 0.")
    return _evaluation(model, Batches(images, labels, recipe, training=False, indices=indices, fill=True))


def set_batch_norm_momentum(model, momentum):
    """Sets how far back the moving averages of all batch normalizations reach, about 1 / (1 - momentum) steps.

    Args:
        model: Keras model, changed in place.
        momentum: float in [0, 1).
    """
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


def _evaluation(model, batches):
    """The `Evaluation` of a network on batches that are filled up."""
    labels = np.concatenate([np.asarray(batches.labels)[batches.indices]] * batches.copies)
    probabilities = np.asarray(model.predict(batches, verbose=0), np.float64)[: len(labels)]
    predictions = probabilities.argmax(axis=1)
    of_label = probabilities[np.arange(len(labels)), labels]
    return Evaluation(
        accuracy=float(np.mean(predictions == labels)),
        loss=float(-np.log(np.clip(of_label, 1e-7, 1.0)).mean()),
        images=len(labels),
        predictions=predictions.astype(np.int64),
        correct=predictions == labels,
    )


class _Run(keras.callbacks.Callback):
    """All that happens around the steps of a training; validation too, unless Keras does it (batches not filled up)."""

    def __init__(self, recipe, batches, validation, state, checkpoints, progress):
        super().__init__()
        self.recipe, self.batches, self.validation = recipe, batches, validation
        self.state, self.checkpoints, self.progress = state, checkpoints, progress
        self.losses, self.rate, self.started = [], None, None

    def nothing_to_do(self):
        steps = self.recipe.epochs * len(self.batches)
        if self.progress:
            self.progress.begin(steps, steps)
            self.progress.end()

    def on_train_begin(self, logs=None):
        if self.progress:
            steps = len(self.batches)
            self.progress.begin(self.recipe.epochs * steps, self.state.epoch * steps)

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        self.batches.epoch = self.validation.epoch = epoch
        self.losses = []
        if self.recipe.learning_rate.constant_within_epoch:
            self._set_rate(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if not self.recipe.learning_rate.constant_within_epoch:
            # On JAX the optimizer's variables live in the training loop until they are asked for.
            if hasattr(self.model, "jax_state_sync"):
                self.model.jax_state_sync()
            self._set_rate(self.batches.epoch + (batch + 0.5) / len(self.batches))

    def _set_rate(self, epochs):
        self.rate = self.recipe.learning_rate.rate(epochs, self.recipe.epochs)
        optimizer = self.model.optimizer
        # One that scales the loss wraps the one that has the rate.
        getattr(optimizer, "inner_optimizer", optimizer).learning_rate = self.rate

    def on_train_batch_end(self, batch, logs=None):
        # Keras reports the mean of the epoch so far; this is the loss of the step.
        mean = float(logs["loss"])
        loss = mean * (len(self.losses) + 1) - sum(self.losses)
        if not math.isfinite(loss):
            self._stop(loss)
        self.losses.append(loss)
        if self.progress:
            self.progress.advance(f"epoch {self.batches.epoch + 1} of {self.recipe.epochs}, loss {mean:.3f}")

    def _stop(self, loss):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        if self.state.best:
            _assign(self.model.weights, self.state.best)
            kept = f"The network has the weights of epoch {self.state.best_epoch}, the best so far."
        else:
            _assign(_variables(self.model), self.state.variables)
            kept = "The network has its initial weights."
        if self.checkpoints:
            kept += f" The last good checkpoint, after epoch {self.state.epoch}, is in {self.checkpoints.folder}."
        if self.progress:
            self.progress.end()
        raise NonFiniteLoss(self.batches.epoch + 1, len(self.losses) + 1, loss, kept)

    def on_epoch_end(self, epoch, logs=None):
        state = self.state
        if self.validation.fill:
            _average_over_devices(self.model)
            result = _evaluation(self.model, self.validation)
            logs = {**logs, "val_loss": result.loss, "val_accuracy": result.accuracy}
        # What is minimized may be another loss than the plain one that is reported.
        logs = {**logs, "loss": logs.get("cross_entropy", logs["loss"])}
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        row = {"epoch": epoch + 1, "learning_rate": self.rate, **{name: float(logs[name]) for name in names}}
        improved = self._improves(row)
        row["seconds"] = time.perf_counter() - self.started
        state.epoch = epoch + 1
        state.history = [*state.history, row]
        state.step_losses = np.concatenate([state.step_losses, self.losses])
        now = _state_of(self.model)
        state.variables, state.optimizer = now.variables, now.optimizer
        if improved:
            state.best_epoch, state.best = epoch + 1, _values(self.model.weights)
        if self.checkpoints:
            self.checkpoints.save(state)
            self.write_products(self.model if improved else None)

    def _improves(self, row):
        """Whether an epoch is better than the best so far; of equally good ones the first counts."""
        if not self.state.best_epoch:
            return True
        best = self.state.history[self.state.best_epoch - 1]
        if self.recipe.monitor == "last":
            return True
        if self.recipe.monitor == "val_accuracy":
            return row["val_accuracy"] > best["val_accuracy"]
        return row["val_loss"] < best["val_loss"] or (math.isnan(best["val_loss"]) and not math.isnan(row["val_loss"]))

    def on_train_end(self, logs=None):
        if self.progress:
            self.progress.end()

    def write_products(self, model):
        """Writes what follows from the state, for people and other programs; `model` has the best weights, or None."""
        with (
            self.checkpoints.product(HISTORY_FILE) as path,
            path.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.state.history)
        if model is not None:
            with self.checkpoints.product(BEST_WEIGHTS_FILE) as path:
                model.save_weights(path)


def _optimizer(model, recipe):
    options = {
        "SGD": {"momentum": recipe.momentum, "nesterov": recipe.nesterov},
        "AdamW": {"weight_decay": recipe.weight_decay},
    }.get(recipe.optimizer, {})
    optimizer = getattr(keras.optimizers, recipe.optimizer)(recipe.learning_rate.rate(0, recipe.epochs), **options)
    if recipe.weight_decay:
        optimizer.exclude_from_weight_decay([weight for weight in model.trainable_weights if weight.name != "kernel"])
    return optimizer


def _smoothed_cross_entropy(smoothing):
    """Cross-entropy against labels of which a share is spread evenly over all classes; labels are class numbers."""

    def smoothed_cross_entropy(labels, probabilities):
        classes = probabilities.shape[-1]
        targets = keras.ops.one_hot(keras.ops.reshape(labels, (-1,)), classes, dtype=probabilities.dtype)
        return keras.losses.categorical_crossentropy(targets, probabilities, label_smoothing=smoothing)

    return smoothed_cross_entropy


def _compile(model, recipe, weighted):
    strategy = getattr(model, "distribute_strategy", None)
    # All that has variables belongs to the devices that the network is on.
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        loss, metrics = "sparse_categorical_crossentropy", [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
        if recipe.label_smoothing:
            loss = _smoothed_cross_entropy(recipe.label_smoothing)
            metrics.append(keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"))
        model.compile(_optimizer(model, recipe), loss, **{"weighted_metrics" if weighted else "metrics": metrics})
        # A first training step that has to make variables is traced twice by TensorFlow, which takes seconds.
        model.optimizer.build(model.trainable_variables)


@contextlib.contextmanager
def _synchronized(model):
    """On JAX, gives the network its variables back when the training is interrupted."""
    try:
        yield
    except BaseException:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        raise


@contextlib.contextmanager
def _graph_optimization(steps):
    """Leaves out TensorFlow's graph optimization where a training on a processor is too short to be worth it.

    It takes as long as some hundred steps gain by it, seconds for a network of many layers.
    """
    if keras.backend.backend() != "tensorflow" or steps > _SHORT_TRAINING:
        yield
        return
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        yield
        return
    before = tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})


@contextlib.contextmanager
def _rare_garbage_collection():
    """Looks for garbage less often than Python does by default.

    The first step makes hundreds of thousands of objects that stay, among them TensorFlow's graph. Looking through them
    again and again took a tenth to a sixth of it.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], 50_000) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _average_over_devices(model):
    """Makes the moving statistics of all devices of a `tf.distribute` strategy the mean of them.

    Each device keeps its own. Only one could be saved, and a training that goes on from it would be another one.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return
    for variable in model.non_trainable_variables:
        if keras.backend.is_float_dtype(variable.dtype):
            values = strategy.experimental_local_results(variable.value)
            variable.assign(np.mean([value.numpy() for value in values], axis=0))


def _variables(model):
    """All variables of the network, seed states among them, without those of the metrics."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def _values(variables):
    return [np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable))) for variable in variables]


def _state_of(model):
    return State(epoch=0, variables=_values(_variables(model)), optimizer=_values(model.optimizer.variables))


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _restore(model, state):
    _assign(_variables(model), state.variables)
    _assign(model.optimizer.variables, state.optimizer)


def _processes():
    """Number of this process, and of all that train one network together."""
    if keras.backend.backend() == "jax" and keras.distribution.distribution() is not None:
        import jax

        return jax.process_index(), jax.process_count()
    return 0, 1


def _check_agreement(state):
    """Waits for the processes that train together; raises an error if they would go on from different states."""
    from jax.experimental import multihost_utils

    epoch = -1 if state is None else state.epoch
    first = int(multihost_utils.broadcast_one_to_all(np.int32(epoch)))
    if epoch != first:
        raise ValueError(
            "`folder` must be the same for all processes; the first one goes on after epoch "
            f"{max(first, 0)}, this one after epoch {max(epoch, 0)}."
        )


def _versions():
    return {"python": platform.python_version(), "keras": keras.version(), "backend": keras.backend.backend()}


def _identity(model, data, recipe):
    """What makes a run what it is, as plain values."""
    labels = np.ascontiguousarray(data.y_train, np.int64)
    first = np.ascontiguousarray(data.x_train[np.arange(1)])
    return {
        "recipe": recipe.as_dict(),
        "model": {
            "parameters": int(model.count_params()),
            "layers": len(model.layers),
            "sha256": _model_digest(model),
        },
        "data": {
            "name": getattr(data, "name", ""),
            "training_images": len(labels),
            "classes": len(data.class_names),
            "sha256": hashlib.sha256(labels.tobytes() + first.tobytes()).hexdigest(),
        },
    }


def _model_digest(model):
    """A digest of layers, their options and the shapes of the variables; automatic names and numbers do not count."""
    layers = []
    for layer in model._flatten_layers(include_self=False):
        config = {key: value for key, value in layer.get_config().items() if key not in ("name", "layers")}
        layers.append((type(layer).__name__, config))
    variables = [
        (re.sub(r"_\d+$", "", variable.name), list(variable.shape), keras.backend.standardize_dtype(variable.dtype))
        for variable in _variables(model)
    ]
    text = json.dumps([layers, variables], default=lambda value: type(value).__name__, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _check_recipe(recipe):
    if not isinstance(recipe, Recipe):
        raise TypeError(f"`recipe` must be a Recipe. Received: recipe={recipe!r} of type {type(recipe).__name__}.")


def _check_model(model, recipe, classes):
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model of type {type(model).__name__}.")
    if not model.built or len(model.inputs or ()) != 1 or len(model.outputs or ()) != 1:
        raise ValueError("`model` must be built, with one input and one output.")
    size, shape = recipe.image_size, tuple(model.inputs[0].shape)
    if len(shape) != 4 or shape[3] != 3 or any(length not in (None, size) for length in shape[1:3]):
        raise ValueError(
            f"`model` must take images of {size}x{size} with 3 channels, as the recipe says. "
            f"Received: model.input_shape={shape}."
        )
    if tuple(model.outputs[0].shape) != (None, classes):
        raise ValueError(
            f"`model` must have one output for each of the {classes} classes of `data`. "
            f"Received: model.output_shape={tuple(model.outputs[0].shape)}."
        )
    if getattr(model.layers[-1], "activation", None) is keras.activations.linear:
        raise ValueError(
            "`model` must end in probabilities (softmax). Received: a last layer without activation. "
            'The constructors of kgpc.applications have classifier_activation="softmax".'
        )
    policies = {layer.dtype_policy.name for layer in model._flatten_layers(include_self=False) if layer.weights}
    if recipe.precision not in policies and policies:
        raise ValueError(
            f"`model` must have the precision of the recipe, {recipe.precision!r}; kgpc.training.build sees to that. "
            f"Received: layers with {', '.join(map(repr, sorted(policies)))}."
        )


def _check_labels(labels, classes):
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"Labels must be an int array of shape (n,). Received: {labels.dtype}, shape {labels.shape}.")
    if len(labels) and not (0 <= labels.min() and labels.max() < classes):
        raise ValueError(
            f"Labels must be in [0, {classes}), the number of class names. "
            f"Received: labels from {labels.min()} to {labels.max()}."
        )
