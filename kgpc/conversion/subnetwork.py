"""The sub-network that takes the place of a unit: the convolutions of a plan, each with all that the old one had."""

import keras

from kgpc import blocks, graph
from kgpc.conversion import kinds
from kgpc.layers import Activation, BatchNormalization, DepthwiseConv2D, GroupedPointwiseConv2D

# What a layer hands on to the convolutions that take its place.
_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
_BIAS = ("use_bias", "bias_initializer", "bias_regularizer", "bias_constraint")


class Subnetwork:
    """What is called in place of a unit, wherever that is called: it makes its layers at the first call.

    Args:
        unit: `kgpc.conversion.units.Unit`.
        plan: `kgpc.grouping.Plan` for its channels.
        name: str, that all layers are called after.
        activation: an activation in place of the unit's own, or None.
        output_name: str, name that the layer that computes the result must have, or "".

    Attributes:
        layers: dict from the names of the layers made to the layers, in the order in which they are made.
    """

    def __init__(self, unit, plan, name, activation=None, output_name=""):
        self.unit, self.plan, self.name, self.activation, self.output_name = unit, plan, name, activation, output_name
        self.layers = {}

    def __call__(self, *args, **kwargs):
        x = graph.pass_on(*args, **kwargs)
        layer, rank = self.unit.layer, len(x.shape)
        if isinstance(layer, keras.layers.SeparableConv2D):
            x = self._made(f"{self.name}_depthwise", self._depthwise)(x)
        elif isinstance(layer, keras.layers.Conv2D) and set(layer.strides) != {1}:
            # A 1x1 convolution with strides reads some pixels and leaves out all others.
            x = self._make(keras.layers.MaxPooling2D, 1, layer.strides, name=f"{self.name}_stride", **_LAST)(x)
        if rank == 3:
            x = self._make(keras.layers.Reshape, (-1, 1, x.shape[-1]), name=f"{self.name}_map")(x)
        x = blocks.arrange(x, self.plan, self.name, self._convolve, self._make)
        if rank == 3:
            x = self._make(keras.layers.Reshape, (-1, x.shape[-1]), name=f"{self.name}_sequence")(x)
        if kinds.has_other_activation(layer):
            x = self._make(keras.layers.Activation, layer.activation, name=f"{self.name}_activation")(x)
        if self.output_name:
            x = self._make(keras.layers.Identity, name=self.output_name)(x)
        return x

    def finish(self):
        """Gives the layers that were kept inside, such as the depthwise half of a separable one, their weights."""
        if isinstance(self.unit.layer, keras.layers.SeparableConv2D):
            # As a copy: JAX deletes the arrays of one model's variables when it trains it.
            kernel = keras.ops.convert_to_numpy(self.unit.layer.depthwise_kernel)
            self.layers[f"{self.name}_depthwise"].set_weights([kernel])

    def convolution(self, part):
        """The layer that computes one `kgpc.grouping.Convolution` of the plan."""
        return self.layers[f"{self.name}{part.suffix}_conv"]

    def normalization(self, part):
        """The batch normalization of one `kgpc.grouping.Convolution` of the plan, or None."""
        return self.layers.get(f"{self.name}{part.suffix}_bn")

    def _made(self, name, function):
        if name not in self.layers:
            self.layers[name] = function(name)
        return self.layers[name]

    def _make(self, kind, *args, name, **kwargs):
        """A layer without weights between the convolutions."""
        return self._made(name, lambda name: kind(*args, name=name, dtype=self._output_policy, **kwargs))

    @property
    def _output_policy(self):
        """Dtype policy of the last layer of each convolution: what reads it must not compute in another one."""
        layers = [self.unit.layer, *self.unit.tail]
        return [layer for layer in layers if isinstance(layer, keras.layers.Layer)][-1].dtype_policy

    def _convolve(self, x, part):
        """One convolution of the plan, with normalization and activation."""
        name = self.name + part.suffix
        x = self._made(f"{name}_conv", lambda name: self._convolution(name, part))(x)
        if kinds.own_activation(self.unit.layer):
            x = self._made(name, self._own_activation)(x)
        for operation in self.unit.tail:
            if kinds.is_normalization(operation):
                config = operation.get_config()
                x = self._made(
                    f"{name}_bn",
                    lambda name, config=config: BatchNormalization.from_config({**config, "axis": -1, "name": name}),
                )(x)
            else:
                x = self._made(name, lambda name, operation=operation: self._activation(name, operation))(x)
        return x

    def _convolution(self, name, part):
        config = convolution_config(self.unit.layer)
        config |= {"filters": part.filters, "data_format": "channels_last", "name": name}
        # As Keras reads a configuration: what it holds may be descriptions of objects.
        if part.groups == 1:
            return keras.layers.Conv2D.from_config({**config, "kernel_size": (1, 1)})
        return GroupedPointwiseConv2D.from_config({**config, "groups": part.groups})

    def _depthwise(self, name):
        layer = self.unit.layer
        config = {**layer.get_config(), "name": name, "use_bias": False, "activation": None}
        kept = ("strides", "padding", "dilation_rate", "depth_multiplier", "kernel_size", "data_format", "use_bias")
        kept += ("depthwise_initializer", "depthwise_regularizer", "depthwise_constraint", "name", "dtype")
        return DepthwiseConv2D.from_config({key: config[key] for key in kept})

    def _own_activation(self, name):
        layer = self.unit.layer
        return Activation(self._replaced(layer.activation), name=name, dtype=layer.dtype_policy)

    def _activation(self, name, operation):
        function = kinds.activation_name(operation)
        if not isinstance(operation, keras.layers.Layer):
            return Activation(self._replaced(function), name=name, dtype=self._output_policy)
        if self.activation is not None or isinstance(operation, keras.layers.Activation):
            own = getattr(operation, "activation", function)
            return Activation(self._replaced(own), name=name, dtype=operation.dtype_policy)
        return type(operation).from_config({**operation.get_config(), "name": name})

    def _replaced(self, activation):
        return activation if self.activation is None else self.activation


_LAST = {"data_format": "channels_last"}


def convolution_config(layer):
    """Configuration that a layer hands on to the convolutions that take its place: of kernel, bias and dtype."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.SeparableConv2D):
        config |= {key: config[key.replace("kernel", "pointwise")] for key in _KERNEL}
    return {key: config.get(key) for key in (*_KERNEL, *_BIAS, "dtype")}


class _Names(Subnetwork):
    """Goes the way of a `Subnetwork` and makes no layer, only the names."""

    def _made(self, name, function):
        self.layers[name] = None
        return lambda x: x if isinstance(x, keras.KerasTensor) else x[0]


def names(unit, plan, name):
    """Names of the layers that a `Subnetwork` with these arguments makes, in their order; see there."""
    recorder = _Names(unit, plan, name)
    recorder(unit.places[0].call.inputs[0])
    return list(recorder.layers)
