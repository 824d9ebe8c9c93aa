"""The convolutions of one grouped sub-network fitted to what the ordinary convolution returned.

First each convolution by least squares: those that read the input to the pre-activations of the unit, those that read
the first ones' output to what is still missing of its result. That is where a few hundred steps of Adam begin, which
minimize the square error of the result as it is, with the activations between and behind the convolutions.
"""

import keras
import numpy as np

from kgpc.conversion import kinds
from kgpc.conversion.streams import to_numpy

_RIDGE = 1e-4  # of the mean variance of the inputs
_PIXELS_A_STEP = 512
_RATE = 0.01


def pre_activations(pair, inputs):
    """What a unit of the original has before its activation, given what its 1x1 kernel reads: `(..., in_channels)`."""
    layer, normalization = pair.unit.layer, pair.unit.normalization
    kernel = layer.pointwise_kernel if isinstance(layer, keras.layers.SeparableConv2D) else layer.kernel
    kernel = to_numpy(kernel)
    values = inputs @ kernel.reshape(kernel.shape[-2:])
    if layer.use_bias:
        values += to_numpy(layer.bias)
    # Behind an activation, which may be the layer's own, a normalization comes too late.
    if normalization is not None and pair.unit.tail[0] is normalization and not kinds.own_activation(layer):
        scale, shift = affine(normalization)
        values = values * scale + shift
    return values


def affine(normalization):
    """Scale and shift of a batch normalization in inference."""
    parts = [normalization.gamma, normalization.beta, normalization.moving_mean, normalization.moving_variance]
    gamma, beta, mean, variance = (None if part is None else to_numpy(part) for part in parts)
    scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + normalization.epsilon)
    return scale, (0.0 if beta is None else beta) - mean * scale


def normalize(normalization, inputs, same=False):
    """Gives a batch normalization the statistics of an array `(n, channels)`.

    Args:
        normalization: layer.
        inputs: array.
        same: bool, whether scale and offset change so that it computes what it did, where it has them.
    """
    scale, shift = affine(normalization)
    mean, variance = inputs.mean(axis=0, dtype=np.float64), inputs.var(axis=0, dtype=np.float64)
    normalization.moving_mean.assign(mean)
    normalization.moving_variance.assign(variance)
    if same and normalization.gamma is not None and normalization.beta is not None:
        normalization.gamma.assign(scale * np.sqrt(variance + normalization.epsilon))
        normalization.beta.assign(shift + scale * mean)


class Fit:
    """Copies of the layers of a sub-network that are fitted apart from the network, pixel by pixel.

    Args:
        pair: `kgpc.conversion.pairs.Pair`.
    """

    def __init__(self, pair):
        self.pair = pair
        inputs = keras.Input((1, 1, pair.inputs.shape[-1]))
        tensors, self._layers = {pair.inputs: inputs}, []
        for step in pair.steps:
            layer = _copy(step.operation)
            self._layers.append(layer)
            given = [tensors[value] for value in step.inputs]
            outputs = layer(given if len(given) > 1 else given[0])
            tensors[step.outputs[0]] = outputs
        self._model = keras.Model(inputs, outputs)

    def least_squares(self, inputs, pre_activations, target):
        """Fits one convolution after another.

        Args:
            inputs: array `(n, in_channels)`, what the sub-network reads.
            pre_activations: array `(n, filters)`, what the unit of the original has before its activation.
            target: array `(n, filters)`, what it returns.
        """
        stages = self.pair.stages()
        columns = {}
        for stage in stages:
            ends = np.cumsum([step.operation.filters for step in stage])
            columns |= {step: slice(end - step.operation.filters, end) for step, end in zip(stage, ends, strict=True)}
        order = self.pair.filter_order()
        before, after = (np.empty_like(target) for _ in range(2))
        before[:, order], after[:, order] = pre_activations, target
        values, channels, missing = {self.pair.inputs: inputs}, {}, None
        for step, layer in zip(self.pair.steps, self._layers, strict=True):
            given, output = [values[value] for value in step.inputs], step.outputs[0]
            channels[output] = columns.get(step, channels.get(step.inputs[0]))
            if step in stages[1] and missing is None:
                # The first ones' output is added in the end: what is missing then is what the second ones give.
                before = after = missing = target - self._added(values)
            if step in columns:
                values[output] = _fit(layer, self._normalization(step), given[0], before[:, columns[step]])
                continue
            if kinds.is_normalization(layer):
                normalize(layer, given[0])
                if not any(step is self._normalizing(each) for each in self.pair.steps):
                    _fit_normalization(layer, given[0], after[:, channels[output]])
            values[output] = _run(layer, given)

    def _added(self, values):
        """The array that the last step adds to the output of the second convolutions."""
        known = [value for value in self.pair.steps[-1].inputs if value in values]
        return values[known[0]]

    def _normalizing(self, convolution):
        """The step of the normalization that reads a convolution, or None."""
        reads = convolution.outputs[0]
        return next(
            (
                step
                for step in self.pair.steps
                if hasattr(convolution.operation, "kernel")
                and reads in step.inputs
                and kinds.is_normalization(step.operation)
            ),
            None,
        )

    def _normalization(self, convolution):
        """The copy of that normalization, or None."""
        step = self._normalizing(convolution)
        return None if step is None else self._layers[self.pair.steps.index(step)]

    def descend(self, inputs, target, steps, seed):
        """Minimizes the square error of the output by steps of Adam; arrays as in `least_squares`."""
        scale = float(np.sqrt(target.var(axis=0).mean())) or 1.0
        generator = np.random.default_rng(seed)
        rows = min(_PIXELS_A_STEP, len(inputs))
        rounds = -(-steps * rows // len(inputs))
        chosen = np.concatenate([generator.permutation(len(inputs)) for _ in range(rounds)])[: steps * rows]
        inputs, target = (values[chosen][:, None, None] for values in (inputs, target))
        rate = keras.optimizers.schedules.CosineDecay(_RATE, steps)
        self._model.compile(keras.optimizers.Adam(rate), lambda y, found: keras.ops.square((y - found) / scale))
        self._model.fit(inputs, target, batch_size=rows, shuffle=False, verbose=0)

    def restate(self, inputs):
        """Gives the normalizations the statistics of an array `(n, in_channels)`."""
        values = {self.pair.inputs: inputs}
        for step, layer in zip(self.pair.steps, self._layers, strict=True):
            given = [values[value] for value in step.inputs]
            if kinds.is_normalization(layer):
                normalize(layer, given[0])
            values[step.outputs[0]] = _run(layer, given)

    def predict(self, inputs):
        """The output in inference for an array `(n, in_channels)`, as an array `(n, filters)`."""
        return _run(self._model, [inputs])

    def weights(self):
        """List of pairs of a layer of the network and the weights that were fitted for it."""
        return [
            (step.operation, layer.get_weights())
            for step, layer in zip(self.pair.steps, self._layers, strict=True)
            if layer.weights
        ]


def _copy(operation):
    config = operation.get_config()
    config |= {key: None for key in config if key.endswith("_regularizer")}
    return type(operation).from_config({**config, "dtype": "float32", "trainable": True})


def _run(layer, given):
    given = [values[:, None, None] for values in given]
    outputs = keras.ops.convert_to_numpy(layer(given if len(given) > 1 else given[0], training=False))
    return outputs.reshape(len(outputs), -1)


def _fit(layer, normalization, inputs, wanted):
    """Gives a convolution, and its normalization, the weights that are best for a linear unit; returns its output."""
    groups = getattr(layer, "groups", 1)
    shift = normalization is not None or layer.use_bias
    mean_in, mean_out = (inputs.mean(axis=0), wanted.mean(axis=0)) if shift else (0.0, 0.0)
    # (groups, n, channels or filters of a group)
    read, written = (
        np.moveaxis((values - mean).reshape(len(values), groups, -1), 1, 0)
        for values, mean in ((inputs, mean_in), (wanted, mean_out))
    )
    squares = read.transpose(0, 2, 1) @ read
    channels = squares.shape[-1]
    ridge = _RIDGE * np.trace(squares, axis1=1, axis2=2) / channels + 1e-6
    squares += ridge[:, None, None] * np.eye(channels, dtype=squares.dtype)
    kernel = np.linalg.solve(squares, read.transpose(0, 2, 1) @ written)
    outputs = np.moveaxis(read @ kernel, 0, 1).reshape(len(inputs), -1)
    kernel = kernel.transpose(1, 0, 2).reshape(1, 1, channels, -1)
    if normalization is None:
        layer.set_weights([kernel, mean_out - _dot(kernel, mean_in, groups)] if layer.use_bias else [kernel])
        return outputs + mean_out
    if normalization.gamma is not None:
        normalization.gamma.assign(np.sqrt(outputs.var(axis=0) + normalization.epsilon))
    if normalization.beta is not None:
        normalization.beta.assign(mean_out)
    layer.set_weights([kernel, np.zeros_like(mean_out)] if layer.use_bias else [kernel])
    return outputs + _dot(kernel, mean_in, groups)


def _fit_normalization(layer, inputs, wanted):
    """Gives a normalization behind an activation the scale and shift that are best for each channel."""
    centred = inputs - inputs.mean(axis=0)
    if layer.gamma is not None:
        variance = centred.var(axis=0)
        slope = (centred * wanted).mean(axis=0) / np.maximum(variance, 1e-12)
        layer.gamma.assign(slope * np.sqrt(variance + layer.epsilon))
    if layer.beta is not None:
        layer.beta.assign(wanted.mean(axis=0))


def _dot(kernel, values, groups):
    """The output of a grouped convolution for one pixel."""
    read = np.reshape(values, (groups, 1, -1))
    weights = kernel[0, 0].reshape(kernel.shape[2], groups, -1).transpose(1, 0, 2)
    return (read @ weights).reshape(-1)
