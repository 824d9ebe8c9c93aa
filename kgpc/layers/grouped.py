"""Grouped pointwise convolution."""

import functools

import keras
from keras import ops

from kgpc import wide_groups
from kgpc.arguments import boolean, positive_integer
from kgpc.layers.checks import GETTERS, channels_of, check_channels_last, found, trains_on_tensorflow


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

    Raises:
        TypeError: if `groups` is not an integer.
        ValueError: if the shapes do not fit each other.
    """
    groups = positive_integer("groups", groups)
    if len(inputs.shape) != 4 or len(kernel.shape) != 4 or tuple(kernel.shape[:2]) != (1, 1):
        raise ValueError(
            "`inputs` must be (batch, height, width, channels), and `kernel` (1, 1, channels / groups, filters). "
            f"Received: shapes {tuple(inputs.shape)} and {tuple(kernel.shape)}."
        )
    _, _, channels_per_group, filters = kernel.shape
    if channels_per_group * groups != inputs.shape[-1] or filters % groups:
        raise ValueError(
            "`groups` must divide the channels of `inputs` into those that `kernel` reads, and its filters. "
            f"Received: groups={groups}, shapes {tuple(inputs.shape)} and {tuple(kernel.shape)}."
        )
    batch, height, width, channels = ops.shape(inputs)
    inputs = ops.reshape(inputs, (-1, groups, channels_per_group))
    kernel = ops.reshape(kernel, (channels_per_group, groups, filters // groups))
    outputs = ops.einsum("ngc,cgf->ngf", inputs, kernel)
    return ops.reshape(outputs, (batch, height, width, filters))


@keras.saving.register_keras_serializable(package="kgpc")
class GroupedPointwiseConv2D(keras.layers.Layer):
    """1x1 convolution whose filters each read only the channels of their own group.

    The same mathematics and the same weights as `keras.layers.Conv2D(filters, 1, groups=groups)`, so weights move
    between the two. It differs in speed: see the notes of `kgpc.layers`.

    Args:
        filters: int >= 1, channels of the output; a multiple of `groups`.
        groups: int >= 1, number of groups; it must divide the input channels too.
        use_bias: bool, whether to add a bias.
        data_format: None or "channels_last".
        kernel_initializer, bias_initializer: as in `keras.layers.Conv2D`.
        kernel_regularizer, bias_regularizer: as in `keras.layers.Conv2D`.
        kernel_constraint, bias_constraint: as in `keras.layers.Conv2D`.
        activity_regularizer: as in `keras.layers.Conv2D`.

    Input shape: `(batch, height, width, channels)`. Output shape: `(batch, height, width, filters)`.

    Raises:
        TypeError: if `filters` or `groups` is not an integer, or `use_bias` not a bool.
        ValueError: if a number is smaller than 1, if `groups` does not divide filters or input channels, if the layout
            is "channels_first", if an initializer, regularizer or constraint is none that Keras knows, or if the input
            has another rank than 4 or no known channel count.

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
        activity_regularizer=None,
        **kwargs,
    ):
        found("activity_regularizer", GETTERS["activity_regularizer"], activity_regularizer)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = positive_integer("filters", filters)
        self.groups = positive_integer("groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"`filters` must be a multiple of `groups`. Received: filters={filters}, groups={groups}.")
        self.data_format = check_channels_last(data_format)
        self.use_bias = boolean("use_bias", use_bias)
        self.kernel_initializer = found("kernel_initializer", GETTERS["kernel_initializer"], kernel_initializer)
        self.bias_initializer = found("bias_initializer", GETTERS["bias_initializer"], bias_initializer)
        self.kernel_regularizer = found("kernel_regularizer", GETTERS["kernel_regularizer"], kernel_regularizer)
        self.bias_regularizer = found("bias_regularizer", GETTERS["bias_regularizer"], bias_regularizer)
        self.kernel_constraint = found("kernel_constraint", GETTERS["kernel_constraint"], kernel_constraint)
        self.bias_constraint = found("bias_constraint", GETTERS["bias_constraint"], bias_constraint)

    def build(self, input_shape):
        channels = channels_of(self, input_shape)
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
        return self.convolve(inputs, ops.convert_to_tensor(self.kernel), self.bias, training)

    def convolve(self, inputs, kernel, bias, training=None):
        """The convolution that `call` computes, with other weights.

        Args:
            inputs: tensor (batch, height, width, channels).
            kernel: tensor (1, 1, channels per group, filters) of any number of groups.
            bias: tensor (filters,) or None.
            training: bool or None, whether gradients are what counts.

        Returns:
            Tensor (batch, height, width, filters).
        """
        on_tensorflow = keras.backend.backend() == "tensorflow"
        if on_tensorflow and _tensorflow_trains_grouped_convolutions(self.compute_dtype):
            trains = trains_on_tensorflow(training)
            outputs = (wide_groups.convolve_in_training if trains else wide_groups.convolve)(inputs, kernel)
        else:
            outputs = grouped_matmul(inputs, kernel, inputs.shape[-1] // kernel.shape[2])
        if bias is None:
            return outputs
        if on_tensorflow:
            import tensorflow as tf

            # The form that TensorFlow merges into the convolution, together with the activation that follows.
            return tf.nn.bias_add(outputs, tf.convert_to_tensor(bias))
        return ops.add(outputs, bias)

    def compute_output_shape(self, input_shape):
        channels_of(self, input_shape)
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
