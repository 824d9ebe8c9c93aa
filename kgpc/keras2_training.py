"""Compiles a model as an HDF5 file says that it was, from closed lists of optimizers, losses and metrics."""

import warnings

import keras

_OPTIMIZERS = {
    "RMSprop": ["learning_rate", "rho", "momentum", "epsilon", "centered"],
    "SGD": ["learning_rate", "momentum", "nesterov"],
    "Adam": ["learning_rate", "beta_1", "beta_2", "epsilon", "amsgrad"],
}
# What Keras 3 knows of all optimizers, where it is set.
_SHARED = ["weight_decay", "clipnorm", "global_clipnorm", "clipvalue"]
# What each of them is without, or what changes nothing.
_UNSET = {
    "name": None,
    "decay": 0.0,
    "use_ema": False,
    "ema_momentum": None,
    "ema_overwrite_frequency": None,
    "jit_compile": None,
    "is_legacy_optimizer": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}
_LOSSES = {
    "categorical_crossentropy": "CategoricalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
    "binary_crossentropy": "BinaryCrossentropy",
}
_METRICS = (
    "accuracy",
    "acc",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "binary_accuracy",
    "top_k_categorical_accuracy",
)


def compile_as_stored(model, training):
    """Compiles a model.

    Args:
        model: a Keras model.
        training: dict, the file's `training_config`; or None where it has none: a warning says so, and the model stays
            uncompiled.

    Raises:
        ValueError: if the optimizer or the loss is not on the list. A metric that is not on it is left out, with a
            warning.
    """
    if training is None:
        warnings.warn("The file does not say how the model was compiled: compile it before use.", stacklevel=3)
        return
    if training.get("loss_weights") or training.get("weighted_metrics"):
        raise ValueError("the model was compiled with weights of losses, which are not read")
    metrics = [metric for metric in map(_metric, _flat(training.get("metrics"))) if metric is not None]
    model.compile(optimizer=_optimizer(training["optimizer_config"]), loss=_loss(training["loss"]), metrics=metrics)


def _flat(value):
    if value is None:
        return []
    return [item for part in value for item in _flat(part)] if isinstance(value, list) else [value]


def _optimizer(description):
    kind, config = description["class_name"], description["config"]
    if kind == "LossScaleOptimizer":
        inner = _optimizer(config["inner_optimizer"])
        return keras.mixed_precision.LossScaleOptimizer(
            inner,
            initial_scale=_number("initial_scale", config.get("initial_scale", 32768.0)),
            dynamic_growth_steps=int(_number("dynamic_growth_steps", config.get("dynamic_growth_steps", 2000))),
        )
    if kind not in _OPTIMIZERS:
        raise ValueError(f"the optimizer {kind!r} is not on the list: {', '.join(_OPTIMIZERS)}, LossScaleOptimizer")
    options = {}
    for name, value in config.items():
        if name in _OPTIMIZERS[kind] or (name in _SHARED and value is not None):
            options[name] = value if isinstance(value, bool) else _number(name, value)
        elif name not in _SHARED and (name not in _UNSET or (value and _UNSET[name] is not None)):
            raise ValueError(f"the optimizer has {name}={value!r}, which is not read")
    return getattr(keras.optimizers, kind)(**options)


def _number(name, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"the optimizer has {name}={value!r}, no number")
    return value


def _loss(description):
    if isinstance(description, str) and description in _LOSSES:
        return description
    if isinstance(description, dict):
        kind = str(description.get("class_name")).rpartition(">")[2]
        if kind in _LOSSES.values():
            config = description.get("config", {})
            options = {name: config[name] for name in ("from_logits", "label_smoothing") if name in config}
            if not all(isinstance(value, (bool, int, float)) for value in options.values()):
                raise ValueError(f"the loss has {options!r}")
            return getattr(keras.losses, kind)(**options)
    raise ValueError(f"the loss {description!r} is not on the list: {', '.join(_LOSSES)}")


def _metric(description):
    if isinstance(description, str) and description in _METRICS:
        return description
    if isinstance(description, dict):
        config = description.get("config", {})
        name, function = config.get("name"), config.get("fn")
        if description.get("class_name") == "MeanMetricWrapper" and function in _METRICS[2:] and isinstance(name, str):
            return keras.metrics.MeanMetricWrapper(getattr(keras.metrics, function), name=name)
        if description.get("class_name") == "TopKCategoricalAccuracy" and isinstance(config.get("k"), int):
            return keras.metrics.TopKCategoricalAccuracy(k=config["k"], name=name)
    warnings.warn(f"A metric that is not known is left out: {description!r}.", stacklevel=4)
    return None
