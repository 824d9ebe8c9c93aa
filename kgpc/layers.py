"""Keras layers that the parameter-efficient pointwise convolution is made of.

They know nothing of an architecture. All are registered under the package name "kgpc", so a `.keras` file that uses
them loads after `import kgpc` without `custom_objects` and with `safe_mode=True`.

On the TensorFlow backend they avoid three slow paths: a grouped `Conv2D`, which Keras sends through a nested XLA-
compiled function; batch normalization written out as moments and an affine map, where TensorFlow has one fused kernel;
and the gradient of swish, which on a processor takes a dozen passes over memory where one is enough.
"""

import functools
import math

import keras
from keras import ops

from kgpc import merging
from kgpc.grouping import interleaved_order, positive_integer


def _in_compiled_training(training):
    """Whether this is a training step that TensorFlow compiles, where layers may do each other's work."""
    if not training or keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.executing_eagerly()


def _channels_of(layer, input_shape):
    if len(input_shape) != 4:
        raise ValueError(
            f"The input of `{layer.name}` must have rank 4: (batch, height, width, channels). "
            f"Received: input_shape={tuple(input_shape)}."
        )
    if input_shape[-1] is None:
        raise ValueError(
            f"The number of input channels of `{layer.name}` (the last axis) must be known. "
            f"Received: input_shape={tuple(input_shape)}."
        )
    return input_shape[-1]


def check_channels_last(data_format):
    """Returns "channels_last", the only layout the layers and models of this package support.

    Args:
        data_format: str or None, where None means the global setting `keras.config.image_data_format()`.

    Raises:
        ValueError: if the layout is another one.
    """
    data_format = keras.config.image_data_format() if data_format is None else data_format
    if data_format != "channels_last":
        raise ValueError(
            '`data_format` must be "channels_last" (batch, height, width, channels). '
            f"Received: data_format={data_format!r}. "
            'Where it comes from the global setting, call keras.config.set_image_data_format("channels_last").'
        )
    return data_format


@functools.cache
def _tensorflow_trains_grouped_convolutions(dtype):
    """Whether TensorFlow's own grouped convolution has its gradients on this machine's processor, for one dtype.

    Builds with oneDNN have them, others raise: asking once is the only test that holds for every build and dtype.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        # Batched matrix products are what GPUs are best at; grouped convolutions are known to be slow there.
        return False
    # An init scope records no gradients, so the two gradient operations are called by themselves.
    with tf.init_scope():
        inputs, kernel, upstream = (
            tf.ones((1, 2, 2, 8), dtype),
            tf.ones((1, 1, 4, 8), dtype),
            tf.ones((1, 2, 2, 8), dtype),
        )
        options = {"out_backprop": upstream, "strides": (1, 1, 1, 1), "padding": "VALID"}
        try:
            outputs = tf.nn.conv2d(inputs, kernel, 1, "VALID")
            to_inputs = tf.raw_ops.Conv2DBackpropInput(input_sizes=inputs.shape, filter=kernel, **options)
            to_kernel = tf.raw_ops.Conv2DBackpropFilter(input=inputs, filter_sizes=kernel.shape, **options)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError):
            return False
        # All three sum four ones.
        return all(bool(tf.reduce_all(result == 4)) for result in (outputs, to_inputs, to_kernel))


def grouped_matmul(inputs, kernel, groups):
    """Grouped pointwise convolution as one batched matrix product, in any Keras backend.

    Args:
        inputs: tensor (batch, height, width, channels).
        kernel: tensor (1, 1, channels / groups, filters), as in `keras.layers.Conv2D`.
        groups: int >= 1 that divides channels and filters.

    Returns:
        Tensor (batch, height, width, filters).
    """
    _, _, channels_per_group, filters = kernel.shape
    batch, height, width, channels = ops.shape(inputs)
    inputs = ops.reshape(inputs, (-1, groups, channels_per_group))
    kernel = ops.reshape(kernel, (channels_per_group, groups, filters // groups))
    outputs = ops.einsum("ngc,cgf->ngf", inputs, kernel)
    return ops.reshape(outputs, (batch, height, width, filters))


@keras.saving.register_keras_serializable(package="kgpc")
class GroupedPointwiseConv2D(keras.layers.Layer):
    """1x1 convolution whose filters each read only the channels of their own group.

    The same mathematics and the same weights as `keras.layers.Conv2D(filters, 1, groups=groups)`, so weights move
    between the two. It differs in speed: see the notes at the top of this module.

    Args:
        filters: int >= 1, channels of the output; a multiple of `groups`.
        groups: int >= 1, number of groups; it must divide the input channels too.
        use_bias: bool, whether to add a bias.
        data_format: None or "channels_last".
        kernel_initializer, bias_initializer: as in `keras.layers.Conv2D`.
        kernel_regularizer, bias_regularizer: as in `keras.layers.Conv2D`.
        kernel_constraint, bias_constraint: as in `keras.layers.Conv2D`.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch, height, width, filters)`.

    Raises:
        TypeError: if `filters` or `groups` is not an integer.
        ValueError: if a number is smaller than 1, if `groups` does not divide filters or input channels, if the layout
            is "channels_first", or if the input has another rank than 4 or no known channel count.

    Example:

    >>> layer = GroupedPointwiseConv2D(128, groups=4, use_bias=False)
    >>> layer.build((None, 8, 8, 64))
    >>> layer.count_params()
    2048

    Reference: Schwarz Schuler et al. 2022, section 3, doi:10.13164/mendel.2022.1.023.
    """

    def __init__(
        self,
        filters,
        groups=1,
        use_bias=True,
        data_format=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = positive_integer("filters", filters)
        self.groups = positive_integer("groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"`filters` must be a multiple of `groups`. Received: filters={filters}, groups={groups}.")
        self.data_format = check_channels_last(data_format)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_shape):
        channels = _channels_of(self, input_shape)
        if channels % self.groups:
            raise ValueError(
                f"`groups` of `{self.name}` must divide the input channels. "
                f"Received: groups={self.groups}, input_shape={tuple(input_shape)}."
            )
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: channels})
        self.kernel = self.add_weight(
            name="kernel",
            shape=(1, 1, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs, training=None):
        kernel, moved_bias = ops.convert_to_tensor(self.kernel), None
        if _in_compiled_training(training) and not isinstance(inputs, keras.KerasTensor):
            inputs, kernel, moved_bias = merging.origin(inputs, kernel, self.groups)
        outputs = self._convolve(inputs, kernel)
        if moved_bias is not None:
            outputs = ops.add(outputs, moved_bias)
        if self.bias is None:
            return outputs
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # The form that TensorFlow merges into the convolution, together with the activation that follows.
            return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias))
        return ops.add(outputs, self.bias)

    def _convolve(self, inputs, kernel):
        if keras.backend.backend() == "tensorflow" and _tensorflow_trains_grouped_convolutions(self.compute_dtype):
            import tensorflow as tf

            return tf.nn.conv2d(inputs, kernel, strides=1, padding="VALID")
        return grouped_matmul(inputs, kernel, inputs.shape[-1] // kernel.shape[2])

    def compute_output_shape(self, input_shape):
        _channels_of(self, input_shape)
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "groups": self.groups,
            "use_bias": self.use_bias,
            "data_format": self.data_format,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
        }


@keras.saving.register_keras_serializable(package="kgpc")
class InterleaveChannels(keras.layers.Layer):
    """Reorders channels so that each group of the next grouped layer reads from every group of the one before.

    Values move and never change; there are no weights. The output channels are the input channels 0, step, 2 * step,
    ..., then 1, 1 + step, ..., and so on. Where `step` divides the channels, this is ShuffleNet's channel shuffle.

    Args:
        step: int >= 1, distance in the input between channels that end up side by side.

    Input shape: `(batch, height, width, channels)`. Output shape: the same.

    Raises:
        TypeError: if `step` is not an integer.
        ValueError: if `step` is smaller than 1, or the input has another rank than 4 or no known channel count.

    Example:

    >>> import numpy as np
    >>> [float(value) for value in InterleaveChannels(step=2)(np.arange(6.0).reshape(1, 1, 1, 6))[0, 0, 0]]
    [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]

    Reference: Schwarz Schuler et al. 2022, section 3, doi:10.13164/mendel.2022.1.023.
    """

    def __init__(self, step, **kwargs):
        super().__init__(**kwargs)
        self.step = positive_integer("step", step)

    def build(self, input_shape):
        channels = _channels_of(self, input_shape)
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: channels})

    def call(self, inputs, training=None):
        outputs = self._interleave(inputs)
        if _in_compiled_training(training) and not isinstance(inputs, keras.KerasTensor):
            return merging.interleaved(outputs, inputs, self.step)
        return outputs

    def _interleave(self, inputs):
        channels = inputs.shape[-1]
        if channels % self.step:
            return ops.take(inputs, interleaved_order(channels, self.step), axis=-1)
        # Swapping two axes of a matrix is the same order as taking channels by index, but a copy in blocks.
        shape = ops.shape(inputs)
        parts = ops.reshape(inputs, (-1, channels // self.step, self.step))
        return ops.reshape(ops.transpose(parts, (0, 2, 1)), shape)

    def compute_output_shape(self, input_shape):
        _channels_of(self, input_shape)
        return tuple(input_shape)

    def get_config(self):
        return {**super().get_config(), "step": self.step}


@keras.saving.register_keras_serializable(package="kgpc")
class CopyChannels(keras.layers.Layer):
    """Returns a run of channels, starting over at the first one where the input ends.

    With fewer channels than the input it selects; with more it appends copies: whole copies first, then a partial one.
    The enhanced scheme needs both.

    Args:
        channels: int >= 1, number of channels of the output.
        start: int >= 0, the first channel; it must be smaller than the number of input channels.

    Input shape: `(batch, height, width, input channels)`. Output shape: `(batch, height, width, channels)`.

    Raises:
        TypeError: if a number is not an integer.
        ValueError: if a number is out of range, or the input has another rank than 4 or no known channel count.

    Example:

    >>> import numpy as np
    >>> [float(value) for value in CopyChannels(5)(np.arange(3.0).reshape(1, 1, 1, 3))[0, 0, 0]]
    [0.0, 1.0, 2.0, 0.0, 1.0]

    Reference: Schwarz Schuler et al. 2022, section 3, doi:10.3390/e24091264.
    """

    def __init__(self, channels, start=0, **kwargs):
        super().__init__(**kwargs)
        self.channels = positive_integer("channels", channels)
        self.start = positive_integer("start", start) if start else 0

    def build(self, input_shape):
        available = _channels_of(self, input_shape)
        if self.start >= available:
            raise ValueError(
                f"`start` of `{self.name}` must be smaller than the {available} input channels. "
                f"Received: start={self.start}."
            )
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: available})

    def call(self, inputs):
        available = inputs.shape[-1]
        pieces, position, missing = [], self.start, self.channels
        while missing:
            count = min(available - position, missing)
            pieces.append(inputs if count == available else inputs[..., position : position + count])
            position, missing = 0, missing - count
        return pieces[0] if len(pieces) == 1 else ops.concatenate(pieces, axis=-1)

    def compute_output_shape(self, input_shape):
        _channels_of(self, input_shape)
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        return {**super().get_config(), "channels": self.channels, "start": self.start}


@keras.saving.register_keras_serializable(package="kgpc")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the channels of images, through TensorFlow's fused kernel.

    Same arguments, weights, results and moving statistics as the parent class; only the time differs. Other backends,
    other axes, masks, synchronized or `float64` normalization run the parent's code.

    Args:
        merge: bool, whether a `GroupedPointwiseConv2D` is what reads the output. In compiled training steps it then
            does the scaling and shifting by its own weights, and a concatenation is normalized by the statistics of its
            pieces, each computed once. Worth it where the input is wide and concatenated, as in DenseNet. Results are
            the same for any reader.
        **kwargs: arguments of `keras.layers.BatchNormalization`.
    """

    def __init__(self, *args, merge=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.merge = bool(merge)

    def get_config(self):
        config = super().get_config()
        # Files without it can be read by every version.
        return {**config, "merge": True} if self.merge else config

    def call(self, inputs, training=None, mask=None):
        if not self._fused(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        channels = inputs.shape[-1]
        ones, zeros = tf.ones((channels,), self.variable_dtype), tf.zeros((channels,), self.variable_dtype)
        gamma = tf.convert_to_tensor(self.gamma) if self.scale else ones
        beta = tf.convert_to_tensor(self.beta) if self.center else zeros
        if not (training and self.trainable):
            outputs, *_ = tf.raw_ops.FusedBatchNormV3(
                x=inputs,
                scale=gamma,
                offset=beta,
                mean=tf.convert_to_tensor(self.moving_mean),
                variance=tf.convert_to_tensor(self.moving_variance),
                epsilon=self.epsilon,
                is_training=False,
            )
            return outputs
        if self.merge and self.compute_dtype == "float32" and _in_compiled_training(training):
            mean, variance = merging.moments(inputs)
            self._update_moving(mean, variance)
            scale = gamma * tf.math.rsqrt(variance + self.epsilon)
            shift = beta - mean * scale
            return merging.scaled(inputs * scale + shift, inputs, scale, shift)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=gamma, offset=beta, mean=[], variance=[], epsilon=self.epsilon, is_training=True
        )
        # The kernel reports the unbiased variance, N / (N - 1) times the one it normalizes with; Keras averages the
        # latter.
        count = tf.cast(tf.size(inputs) // channels, self.variable_dtype)
        self._update_moving(mean, variance * (tf.maximum(count - 1, 1) / count))
        return outputs

    def _update_moving(self, mean, variance):
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))

    def _fused(self, inputs, mask):
        return (
            keras.backend.backend() == "tensorflow"
            and mask is None
            and not self.synchronized
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.variable_dtype == "float32"
            and self.compute_dtype in ("float32", "float16", "bfloat16")
        )


# Below this many elements per image a gradient is too cheap to be worth compiling.
_LARGE_FEATURE_MAP = 2**12


@functools.cache
def _tensorflow_swish():
    """Swish for TensorFlow on a processor whose gradient is one compiled loop, or None where that is not to be had.

    TensorFlow fuses the value `x * sigmoid(x)` by itself, but computes the gradient operation by operation. Each of
    them reads and writes the whole feature map, and memory is what these models wait for. XLA turns the gradient into
    one loop.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return None

    @tf.function(jit_compile=True, autograph=False)
    def gradient(x, upstream):
        sigmoid = tf.sigmoid(x)
        return upstream * sigmoid * (1 + x * (1 - sigmoid))

    @tf.custom_gradient
    def swish(x):
        return x * tf.sigmoid(x), lambda upstream: gradient(x, upstream)

    with tf.init_scope():
        try:
            gradient(tf.zeros(1), tf.zeros(1))
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError):
            return None
    return swish


@keras.saving.register_keras_serializable(package="kgpc")
class Activation(keras.layers.Activation):
    """`keras.layers.Activation` with a faster gradient of swish for large feature maps on TensorFlow.

    Same arguments and results as the parent class; only the time differs. Eager calls, small or open image sizes,
    other activations and other backends run the parent's code.
    """

    def call(self, inputs):
        if self.activation is keras.activations.silu and self._large(inputs):
            swish = _tensorflow_swish()
            if swish is not None:
                return swish(inputs)
        return super().call(inputs)

    def _large(self, inputs):
        if keras.backend.backend() != "tensorflow" or isinstance(inputs, keras.KerasTensor):
            return False
        import tensorflow as tf

        sizes = inputs.shape[1:]
        return not tf.executing_eagerly() and None not in sizes and math.prod(sizes) >= _LARGE_FEATURE_MAP
