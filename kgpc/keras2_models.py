"""Loads whole models from HDF5 files, such as the authors' checkpoints of Keras 2, without trusting the file.

The network is built from the file's own description, out of a closed list of layers with plain values; nothing else is
built, nothing in the file is executed or unpickled. Files that Keras 3 writes under a name ending in `.hdf5` or `.h5`
are read as well. `kgpc.weights.load` is for a model that exists already.
"""

import json

import keras

from kgpc import hdf5, keras2_hdf5, layers, matching, weights
from kgpc.keras2_training import compile_as_stored

MAX_LAYERS = 20_000
# The largest number of channels and the like that is believed.
MAX_SIZE = 2**18


@keras.saving.register_keras_serializable(package="kgpc")
class Negate(keras.layers.Layer):
    """Turns the sign of all values: -x."""

    def call(self, inputs):
        return -inputs


@keras.saving.register_keras_serializable(package="kgpc")
class ConcatNegation(keras.layers.Layer):
    """Appends the negated channels: [x, -x]."""

    def call(self, inputs):
        return keras.ops.concatenate([inputs, -inputs], axis=-1)


@keras.saving.register_keras_serializable(package="kgpc")
class SumIntoHalfChannels(keras.layers.Layer):
    """Adds the second half of the channels to the first."""

    def call(self, inputs):
        half = inputs.shape[-1] // 2
        return inputs[..., :half] + inputs[..., half : 2 * half]


def _convolution(kernel_size, strides=1, groups=1, activation="linear", **options):
    plain = {"padding", "dilation_rate"}
    if groups > 1 and set(_pair(kernel_size)) == set(_pair(strides)) == {1} and activation in ("linear", None):
        options = {name: value for name, value in options.items() if name not in plain}
        return layers.GroupedPointwiseConv2D(groups=groups, **options)
    return keras.layers.Conv2D(
        kernel_size=kernel_size, strides=strides, groups=groups, activation=activation, **options
    )


def _pair(value):
    return value if isinstance(value, tuple) else (value, value)


def _batch_normalization(axis=-1, **options):
    return layers.BatchNormalization(axis=axis[0] if isinstance(axis, tuple) else axis, **options)


def _input(batch_input_shape=None, batch_shape=None, **options):
    shape = batch_input_shape if batch_shape is None else batch_shape
    if not shape:
        raise ValueError("the input has no shape")
    return keras.layers.InputLayer(batch_shape=shape, **options)


def _interleave(step=None, step_size=None, **options):
    return layers.InterleaveChannels(step=step_size if step is None else step, **options)


def _copy(channels=None, start=0, channel_start=None, channel_count=None, **options):
    if channel_count is not None:
        channels, start = channel_count, channel_start
    return layers.CopyChannels(channels, start=start, **options)


def _activation(name):
    def build(**options):
        return layers.Activation(name, **options)

    return build


_CONVOLUTION = "kernel_size strides padding dilation_rate activation use_bias bias_regularizer".split()
_POOLING = ["pool_size", "strides", "padding"]
_GLOBAL_POOLING = ["keepdims"]

# Layers that are built: how, and from which entries of the description.
_LAYERS = {
    "InputLayer": (_input, ["batch_input_shape", "batch_shape"]),
    "Conv2D": (_convolution, ["filters", "groups", "kernel_regularizer", *_CONVOLUTION]),
    "GroupedPointwiseConv2D": (
        layers.GroupedPointwiseConv2D,
        ["filters", "groups", "use_bias", "kernel_regularizer", "bias_regularizer"],
    ),
    "DepthwiseConv2D": (layers.DepthwiseConv2D, ["depth_multiplier", "depthwise_regularizer", *_CONVOLUTION]),
    "Dense": (keras.layers.Dense, ["units", "activation", "use_bias", "kernel_regularizer", "bias_regularizer"]),
    "BatchNormalization": (
        _batch_normalization,
        ["axis", "momentum", "epsilon", "center", "scale", "merge", "beta_regularizer", "gamma_regularizer"],
    ),
    "Activation": (layers.Activation, ["activation"]),
    "ReLU": (keras.layers.ReLU, ["max_value", "negative_slope", "threshold"]),
    "Softmax": (keras.layers.Softmax, ["axis"]),
    "HardSigmoid": (_activation("hard_sigmoid"), []),
    "HardSwish": (_activation("hard_silu"), []),
    "ZeroPadding2D": (layers.ZeroPadding2D, ["padding"]),
    "Add": (keras.layers.Add, []),
    "Multiply": (keras.layers.Multiply, []),
    "Concatenate": (keras.layers.Concatenate, ["axis"]),
    "AveragePooling2D": (keras.layers.AveragePooling2D, _POOLING),
    "MaxPooling2D": (keras.layers.MaxPooling2D, _POOLING),
    "GlobalAveragePooling2D": (keras.layers.GlobalAveragePooling2D, _GLOBAL_POOLING),
    "GlobalMaxPooling2D": (keras.layers.GlobalMaxPooling2D, _GLOBAL_POOLING),
    "Dropout": (keras.layers.Dropout, ["rate", "noise_shape"]),
    "Reshape": (keras.layers.Reshape, ["target_shape"]),
    "Flatten": (keras.layers.Flatten, []),
    "InterleaveChannels": (_interleave, ["step", "step_size"]),
    "CopyChannels": (_copy, ["channels", "start", "channel_start", "channel_count"]),
    "Negate": (Negate, []),
    "ConcatNegation": (ConcatNegation, []),
    "SumIntoHalfChannels": (SumIntoHalfChannels, []),
}
_MERGING = {"Add", "Multiply", "Concatenate"}
# Entries that decide nothing about a network whose weights are stored. All others must be unset.
_WITHOUT_EFFECT = {"name", "trainable", "dtype", "seed", "sparse", "ragged", "optional", "renorm_momentum", "autocast"}

# Activations that are built, by the names of Keras 2, of Keras 3 and of the authors. Their hard sigmoid is
# ReLU6(x + 3) / 6 under any of its names; that of Keras 2 was another.
_ACTIVATIONS = {
    "linear": "linear",
    "relu": "relu",
    "relu6": "relu6",
    "swish": "silu",
    "silu": "silu",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
    "tanh": "tanh",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_silu",
    "hardsilu": "hard_silu",
}
_POLICIES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
_REGULARIZERS = {"L1": ["l1"], "L2": ["l2"], "L1L2": ["l1", "l2"]}


def load_model(path, compile=True):
    """Loads a whole model from an HDF5 file: architecture, weights, and how it was compiled.

    Args:
        path: path of a `.hdf5` or `.h5` file that Keras 2 or Keras 3 wrote with `model.save` or `ModelCheckpoint`.
        compile: bool, whether the model is compiled with the optimizer, loss and metrics that the file names. The
            optimizer starts anew: what it had accumulated is not read.

    Returns:
        A `keras.Model`. Layers have the names of the file, with `_` for `/`, which Keras 3 does not allow.

    Raises:
        TypeError: if `path` is not a path.
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or has no architecture; if that has a layer or a value that is not on the
            list; or if weights are missing, too many or of another shape. Nothing is built then.

    Example:

        model = load_model("JP35B14-mobilenet-CIFAR10-2-best_result.hdf5")
        model.evaluate(images, labels)
    """
    path = weights.existing_file(path)
    try:
        weights.check_is_hdf5(path)
        with hdf5.opened(path) as file:
            description, training = _json(file, "model_config"), _json(file, "training_config")
            if description is None:
                raise ValueError("it has weights only, no architecture; kgpc.weights.load loads them into a model")
            max_names = 1000 + 10 * len(description["config"]["layers"])
            stored = {layer.name: layer.arrays for layer in keras2_hdf5.stored_layers(file, max_names)}
            model, names = _build(description, stored)
            _check_weights(model, names, stored)
            weights.assign(
                [
                    matching.Pair(layer.name, weight, stored[names[layer.name]][weight.name])
                    for layer in model.layers
                    for weight in layer.weights
                ]
            )
        if compile:
            compile_as_stored(model, training)
    except (*weights.DAMAGE, IndexError, RecursionError, AttributeError) as error:
        raise ValueError(
            "`path` must be an HDF5 file of a whole model of the layers that kgpc knows. "
            f"Received: path={str(path)!r} ({type(error).__name__}: {error})."
        ) from error
    return model


def _json(file, attribute):
    """The value of an attribute that holds JSON, or None where there is no such attribute."""
    return json.loads(hdf5.texts(file, attribute, scalar=True)) if attribute in file.attrs else None


def _build(description, stored):
    """The model of a description, and the names that its layers have in the file, by their names here."""
    if description.get("class_name") not in ("Functional", "Model"):
        raise ValueError(f"it is a {description.get('class_name')!r}, not a functional model")
    config = description["config"]
    entries = config["layers"]
    if not 0 < len(entries) <= MAX_LAYERS:
        raise ValueError(f"it has {len(entries)} layers")
    tensors, names, waiting = {}, {}, []
    for entry in entries:
        stored_name = entry["config"]["name"]
        if not isinstance(stored_name, str) or entry["name"] != stored_name:
            raise ValueError(f"a layer has no clear name: {stored_name!r}")
        layer = _layer(entry)
        if layer.name in names:
            raise ValueError(f"two layers are called {layer.name!r}")
        names[layer.name] = stored_name
        nodes = entry["inbound_nodes"]
        if isinstance(layer, keras.layers.InputLayer):
            tensors[stored_name, 0] = layer.output
        for number, node in enumerate(nodes):
            waiting.append((stored_name, number, layer, entry, node))
    while waiting:
        left = []
        for call in waiting:
            stored_name, number, layer, entry, node = call
            merges = entry["class_name"].rpartition(">")[2] in _MERGING
            sources = _sources(node)
            if not all(source in tensors for source in sources):
                left.append(call)
                continue
            inputs = [tensors[source] for source in sources]
            if not merges and len(inputs) != 1:
                raise ValueError(f"{stored_name!r} reads {len(inputs)} layers")
            _check_sizes(entry, inputs, stored.get(stored_name, {}))
            tensors[stored_name, number] = layer(inputs if merges else inputs[0])
        if len(left) == len(waiting):
            raise ValueError(f"{left[0][0]!r} reads a layer that does not exist, or itself")
        waiting = left
    inputs, outputs = ([tensors[source] for source in _ends(config[end])] for end in ("input_layers", "output_layers"))
    if len(inputs) != 1 or len(outputs) != 1:
        raise ValueError(f"it has {len(inputs)} inputs and {len(outputs)} outputs")
    model_name = config.get("name")
    return keras.Model(inputs[0], outputs[0], name=_current_name(model_name) if model_name else None), names


def _current_name(stored_name):
    return stored_name.replace("/BatchNorm", "_bn").replace("/", "_")


def _sources(node):
    """What a layer reads in one call: a list of (layer name, number of that layer's call)."""
    if isinstance(node, dict):  # as Keras 3 writes it
        (arguments,), options = node["args"], node["kwargs"]
        history = [
            tensor["config"]["keras_history"] for tensor in (arguments if isinstance(arguments, list) else [arguments])
        ]
        found = [(*entry, {}) for entry in history]
        options = [options]
    else:
        found, options = node, [entry[3] for entry in node]
    for option in options:
        # Whether the model was being trained when it was put together decides nothing.
        if any(value not in (None, False) for value in option.values()) or option.keys() - {"training", "mask"}:
            raise ValueError(f"a layer is called with {option!r}")
    if any(entry[2] != 0 for entry in found):
        raise ValueError("a layer has several outputs")
    return [(entry[0], entry[1]) for entry in found]


def _ends(value):
    """Inputs or outputs as (layer name, number of the call): a list of such entries, or one entry alone."""
    entries = [value] if isinstance(value[0], str) else value
    return [(name, number) for name, number, _ in entries]


def _layer(entry):
    class_name = entry["class_name"]
    package, _, kind = class_name.rpartition(">")
    if package not in ("", "kgpc", "kgpc.cai") or kind not in _LAYERS:
        raise ValueError(f"{class_name!r} is not on the list of layers: {', '.join(_LAYERS)}")
    build, wanted = _LAYERS[kind]
    config, options = entry["config"], {}
    for key, value in config.items():
        if key in wanted:
            options[key] = _value(key, value)
        elif key == "data_format":
            if value not in (None, "channels_last"):
                raise ValueError(f"{config['name']!r} has data_format={value!r}; only channels_last is read")
        elif key not in _WITHOUT_EFFECT and not key.endswith("initializer") and value not in (None, False):
            if not (key == "groups" and value == 1):
                raise ValueError(f"{config['name']!r} has {key}={value!r}, which is not read")
    options["name"] = _current_name(config["name"])
    policy = config.get("dtype") or "float32"
    policy = policy["config"]["name"] if isinstance(policy, dict) else policy
    if policy not in _POLICIES:
        raise ValueError(f"{config['name']!r} has dtype {policy!r}")
    layer = build(dtype=policy, **options)
    layer.trainable = config.get("trainable", True) is not False
    return layer


def _value(key, value):
    if key == "activation":
        name = value.get("class_name") if isinstance(value, dict) else value
        known = _ACTIVATIONS.get(str("linear" if name is None else name).rpartition(">")[2].replace("_", "").lower())
        if known is None:
            raise ValueError(f"the activation {name!r} is not on the list: {', '.join(_ACTIVATIONS)}")
        return known
    if key.endswith("regularizer"):
        return None if value is None else _regularizer(value)
    return _plain(key, value)


def _plain(key, value):
    """Numbers, texts and lists of them; lists become tuples."""
    if isinstance(value, list):
        return tuple(_plain(key, item) for item in value)
    if isinstance(value, int) and abs(value) > MAX_SIZE:
        raise ValueError(f"{key}={value} is larger than {MAX_SIZE}")
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise ValueError(f"{key}={value!r} is no plain value")
    return value


def _regularizer(value):
    kind = value.get("class_name")
    if kind not in _REGULARIZERS:
        raise ValueError(f"the regularizer {kind!r} is not on the list: {', '.join(_REGULARIZERS)}")
    options = {name: _plain(name, value["config"].get(name, 0.0)) for name in _REGULARIZERS[kind]}
    return getattr(keras.regularizers, kind)(**options)


def _check_sizes(entry, inputs, arrays):
    """Compares what a layer says of its weights with those that are stored, before memory is taken for them."""
    for x in inputs:
        if any(side is not None and side > MAX_SIZE for side in x.shape):
            raise ValueError(f"{entry['name']!r} would read an array of shape {tuple(x.shape)}")
    config, channels = entry["config"], inputs[0].shape[-1]
    kind = entry["class_name"].rpartition(">")[2]
    if kind == "BatchNormalization":
        wrong = any(array.shape != (channels,) for array in arrays.values()) or not arrays
        expected = (channels,)
    elif kind in ("Conv2D", "GroupedPointwiseConv2D", "DepthwiseConv2D", "Dense"):
        size = () if kind == "Dense" else tuple(config.get("kernel_size", (1, 1)))
        if kind == "DepthwiseConv2D":
            expected = (*size, channels, config["depth_multiplier"])
        else:
            groups = config.get("groups") or 1
            expected = (*size, channels // groups, config["units" if kind == "Dense" else "filters"])
        wrong = "kernel" not in arrays or arrays["kernel"].shape != expected
    else:
        wrong, expected = bool(arrays), "none"
    if wrong:
        shapes = {kind: array.shape for kind, array in arrays.items()}
        raise ValueError(f"the weights of {entry['name']!r} are {shapes}, and should be {expected}")


def _check_weights(model, names, stored):
    """Raises a ValueError that names the first layer whose weights differ from those in the file."""
    left = dict(stored)
    for layer in model.layers:
        ours = {weight.name: tuple(weight.shape) for weight in layer.weights}
        theirs = {kind: array.shape for kind, array in left.pop(names[layer.name], {}).items()}
        if ours != theirs:
            raise ValueError(f"the weights of {names[layer.name]!r} are {theirs}, and should be {ours}")
    if left:
        raise ValueError(f"it has weights of {min(left)!r}, which is no layer of the model")
