"""Grouped pointwise convolutions with narrow groups, computed in wider ones, for TensorFlow on a processor.

Several groups side by side are one wider group whose kernel has zeros between them. That is more arithmetic and the
same result. It is faster where the groups are so narrow, or their widths so odd, that the convolution routines cannot
fill the processor's vectors: one and a half times to three times for the bottlenecks of kDenseNet-BC. Which width is
best differs between the forward pass and the two gradients; the rules below were read off measurements of all grouped
layers of the five families (`tests/benchmarks/speed.py layers`). They depend on shapes alone, so a network computes
the same on every machine of a kind.
"""

# Vectors of the processors at hand hold 8 or 16 numbers: a group should write a multiple of the former, and fill the
# latter.
VECTOR, FULL = 8, 16
# Wider groups than this read too many zeros.
WIDEST = 128
# Up to so many weights an ordinary convolution costs no more than a grouped one, whatever the groups; by part of the
# training step.
FEW_INPUT_WEIGHTS, FEW_KERNEL_WEIGHTS = 72**2, 128**2
# An ordinary kernel gradient computes `groups` times what is needed.
FEW_GROUPS = 8
# A feature map with so few channels is read and written whole.
FEW_CHANNELS = 64


def forward(groups, channels, filters):
    """In how many groups to compute a grouped pointwise convolution.

    Args:
        groups: int >= 1, groups that the convolution has.
        channels: int, channels of its input, a multiple of `groups`.
        filters: int, channels of its output, a multiple of `groups`.

    Returns:
        int, a divisor of `groups`.
    """
    reads, writes = channels // groups, filters // groups
    for joined in range(1, groups + 1):
        width = writes * joined
        if groups % joined == 0 and width % VECTOR == 0 and width >= FULL and (joined == 1 or reads * joined <= WIDEST):
            return groups // joined
    return groups


def input_gradient(groups, channels, filters):
    """In how many groups to compute the gradient with respect to the input; arguments as in `forward`."""
    weights = channels * filters
    if groups <= 2 and weights <= FEW_CHANNELS**2:
        return 1
    # It is the convolution in the other direction.
    found = forward(groups, filters, channels)
    if found == groups and (channels // groups) % VECTOR and weights <= FEW_INPUT_WEIGHTS:
        return 1
    return found


def kernel_gradient(groups, channels, filters):
    """In how many groups to compute the gradient with respect to the kernel; arguments as in `forward`."""
    few_weights = groups <= FEW_GROUPS and channels * filters <= FEW_KERNEL_WEIGHTS
    return 1 if few_weights or max(channels, filters) <= FEW_CHANNELS else groups


def widen(kernel, groups, into):
    """The kernel of a grouped pointwise convolution for fewer, wider groups, with zeros between the original ones.

    Args:
        kernel: TensorFlow tensor (1, 1, channels / groups, filters).
        groups: int >= 1.
        into: int, a divisor of `groups`.

    Returns:
        Tensor (1, 1, channels / into, filters).
    """
    import tensorflow as tf

    joined = groups // into
    if joined == 1:
        return kernel
    _, _, rows, filters = kernel.shape
    blocks = tf.reshape(kernel, (1, rows, into, joined, filters // groups))
    diagonal = tf.reshape(tf.eye(joined, dtype=kernel.dtype), (joined, 1, 1, joined, 1))
    return tf.reshape(blocks * diagonal, (1, 1, joined * rows, filters))


def narrow(kernel, groups, into):
    """The inverse of `widen`: takes what belongs to the original groups out of a kernel of wider ones."""
    import tensorflow as tf

    joined = groups // into
    if joined == 1:
        return kernel
    _, _, rows, filters = kernel.shape
    blocks = tf.reshape(kernel, (joined, rows // joined, into, joined, filters // groups))
    diagonal = tf.reshape(tf.eye(joined, dtype=kernel.dtype), (joined, 1, 1, joined, 1))
    return tf.reshape(tf.reduce_sum(blocks * diagonal, axis=0), (1, 1, rows // joined, filters))


def convolve(inputs, kernel):
    """Grouped pointwise convolution for prediction; its gradients are right, but not the fastest.

    Args:
        inputs: TensorFlow tensor (batch, height, width, channels).
        kernel: tensor (1, 1, channels / groups, filters), as in `keras.layers.Conv2D`.

    Returns:
        Tensor (batch, height, width, filters).
    """
    import tensorflow as tf

    shape = _shape(inputs, kernel)
    return tf.nn.conv2d(inputs, widen(kernel, shape[0], forward(*shape)), strides=1, padding="VALID")


def convolve_in_training(inputs, kernel):
    """As `convolve`, for training: each gradient is computed in groups of its own width."""
    import tensorflow as tf

    shape = _shape(inputs, kernel)
    groups = shape[0]
    if {forward(*shape), input_gradient(*shape), kernel_gradient(*shape)} == {groups}:
        return tf.nn.conv2d(inputs, kernel, strides=1, padding="VALID")
    options = {"strides": (1, 1, 1, 1), "padding": "VALID"}

    @tf.custom_gradient
    def compute(inputs, kernel):
        def gradient(upstream):
            into = input_gradient(*shape)
            to_inputs = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(inputs), filter=widen(kernel, groups, into), out_backprop=upstream, **options
            )
            into = kernel_gradient(*shape)
            sizes = (1, 1, shape[1] // into, shape[2])
            to_kernel = tf.raw_ops.Conv2DBackpropFilter(
                input=inputs, filter_sizes=sizes, out_backprop=upstream, **options
            )
            return to_inputs, narrow(to_kernel, groups, into)

        return convolve(inputs, kernel), gradient

    # A variable would be taken for more than an argument.
    return compute(inputs, tf.convert_to_tensor(kernel))


def _shape(inputs, kernel):
    """Groups, channels and filters of a convolution."""
    _, _, reads, filters = kernel.shape
    return inputs.shape[-1] // reads, inputs.shape[-1], filters
