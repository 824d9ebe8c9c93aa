"""How a network computes in training: optimizer, loss and metrics of a recipe, and settings that save time."""

import contextlib
import gc

import keras

from kgpc.arguments import number
from kgpc.merging import training_twin
from kgpc.training.step_losses import keep_step_losses, share_step_losses
from kgpc.training.step_rates import StepRates

# Steps up to which optimizing the graph takes longer than it saves.
_SHORT_TRAINING = 200


def set_batch_norm_momentum(model, momentum):
    """Sets how far back the moving averages of all batch normalizations reach, about 1 / (1 - momentum) steps.

    Args:
        model: Keras model, changed in place.
        momentum: float in [0, 1).

    Raises:
        TypeError: if `model` is no Keras model or `momentum` no number.
        ValueError: if `momentum` is out of range.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. Received: model of type {type(model).__name__}.")
    if not 0 <= number("momentum", momentum) < 1:
        raise ValueError(f"`momentum` must be in [0, 1). Received: momentum={momentum}.")
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = momentum


def compile_network(model, recipe, steps, weighted):
    """Compiles a network for a recipe.

    Args:
        model: Keras model. Its variables stay as they are.
        recipe: `Recipe`.
        steps: int, of an epoch.
        weighted: bool, whether the images of validation have weights.

    Returns:
        `StepLosses` of the network.
    """
    strategy = getattr(model, "distribute_strategy", None)
    # All that has variables belongs to the devices that the network is on.
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        model.compile(_optimizer(model, recipe, steps), **_loss_and_metrics(model, recipe, weighted))
        # A first training step that has to make variables is traced twice by TensorFlow, which takes seconds.
        model.optimizer.build(model.trainable_variables)
        return keep_step_losses(model, steps)


def trained_network(model, recipe, steps, losses, weighted):
    """What a compiled network is trained as: itself, or its twin where that is worth making.

    Args:
        model: Keras model, from `compile_network`.
        recipe: `Recipe`.
        steps: int, of an epoch.
        losses: `StepLosses` of the network.
        weighted: bool, whether the images of validation have weights.

    Returns:
        `model`, or a model with the same variables, optimizer and kept losses (`kgpc.merging.training_twin`).
    """
    strategy = getattr(model, "distribute_strategy", None)
    if recipe.epochs * steps <= _SHORT_TRAINING or (strategy is not None and strategy.num_replicas_in_sync > 1):
        return model
    twin = training_twin(model)
    if twin is not model:
        twin.compile(model.optimizer, **_loss_and_metrics(model, recipe, weighted))
        share_step_losses(twin, losses)
    return twin


def _loss_and_metrics(model, recipe, weighted):
    loss, metrics = "sparse_categorical_crossentropy", [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    if recipe.label_smoothing:
        loss = _smoothed_cross_entropy(recipe.label_smoothing)
    # What is minimized may be more than the plain cross-entropy that is reported.
    if recipe.label_smoothing or recipe.class_weight or model.losses:
        metrics.append(keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"))
    return {"loss": loss, "weighted_metrics" if weighted else "metrics": metrics}


def _optimizer(model, recipe, steps):
    options = {
        "SGD": {"momentum": recipe.momentum, "nesterov": recipe.nesterov},
        "AdamW": {"weight_decay": recipe.weight_decay},
    }.get(recipe.optimizer, {})
    schedule = recipe.learning_rate
    rate = (
        schedule.rate(0, recipe.epochs) if schedule.constant_within_epoch else StepRates(schedule, recipe.epochs, steps)
    )
    optimizer = getattr(keras.optimizers, recipe.optimizer)(rate, **options)
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


@contextlib.contextmanager
def graph_optimization(steps):
    """Leaves out TensorFlow's graph optimization where a training on a processor is too short to be worth it.

    It takes as long as some hundred steps gain by it, seconds for a network of many layers.

    Args:
        steps: int, of the whole training.
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
def rare_garbage_collection():
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
