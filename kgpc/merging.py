"""Work of one layer that the next one does on its way, in compiled TensorFlow training steps.

A layer that only scales, shifts or reorders channels costs a pass over memory, in training more than one. A pointwise
convolution that follows can do the same by other weights: rows of its kernel scaled, a bias, rows in another order.
So such a layer computes its output as usual and notes on the tensor where it came from (`scaled`, `interleaved`). The
convolution reads the note and starts from there (`origin`); TensorFlow then drops the output that nobody reads.

The values are those of the plain formulation, up to rounding, and so are the gradients of the loss with respect to all
weights and inputs. There is no gradient with respect to the skipped output itself, so notes are taken only where a
model is trained, and never in eager mode.
"""

import numpy as np

from kgpc import wide_groups
from kgpc.grouping import interleaved_order


def scaled(outputs, source, scale, shift):
    """Notes that `outputs` is `source * scale + shift`, channel by channel, and returns it."""
    outputs._kgpc_scaled = (source, scale, shift)
    return outputs


def interleaved(outputs, source, step):
    """Notes that `outputs` has the channels of `source` interleaved with `step`, and returns it."""
    outputs._kgpc_interleaved = (source, step)
    return outputs


def padded(outputs, source, padding):
    """Notes that `outputs` is `source` with zeros around it, and returns it; `padding` as in `ZeroPadding2D`."""
    outputs._kgpc_padded = (source, tuple(map(tuple, padding)))
    return outputs


def unpadded(inputs, convolution):
    """The tensor before zero padding, if a convolution that pads by itself ("same") has the same result.

    Args:
        inputs: tensor (batch, height, width, channels).
        convolution: Keras convolution layer over height and width, "channels_last".

    Returns:
        Tensor or None.
    """
    source, padding = getattr(inputs, "_kgpc_padded", (None, None))
    if source is None or convolution.padding != "valid" or set(convolution.dilation_rate) != {1}:
        return None
    same = [
        same_padding(size, width, stride)
        for size, width, stride in zip(source.shape[1:3], convolution.kernel_size, convolution.strides, strict=True)
    ]
    return source if tuple(same) == padding else None


def same_padding(size, width, stride):
    """Zeros (before, after) that TensorFlow's padding "same" adds along an axis; None where its size is open."""
    if size is None:
        return None
    zeros = max((-(-size // stride) - 1) * stride + width - size, 0)
    return zeros // 2, zeros - zeros // 2


def origin(inputs, kernel, groups):
    """What a grouped pointwise convolution computes, written on the tensor that its input came from.

    Args:
        inputs: TensorFlow tensor (batch, height, width, channels).
        kernel: tensor (1, 1, channels / groups, filters).
        groups: int >= 1.

    Returns:
        Tuple (inputs, kernel, bias): a convolution of these has the same result. The bias is None or (filters,); the
        kernel may be that of an ordinary convolution.
    """
    import tensorflow as tf

    if hasattr(inputs, "_kgpc_scaled"):
        source, scale, shift = inputs._kgpc_scaled
        # Each filter gets the scale and shift of the channels that it reads.
        rows, filters_of_group = kernel.shape[2], kernel.shape[3] // groups

        def per_weight(values):
            return tf.repeat(tf.transpose(tf.reshape(values, (groups, rows))), filters_of_group, axis=1)

        bias = tf.reduce_sum(kernel[0, 0] * per_weight(shift), axis=0)
        return source, kernel * per_weight(scale), bias
    if hasattr(inputs, "_kgpc_interleaved") and inputs.shape[-1] <= wide_groups.FEW_CHANNELS:
        source, step = inputs._kgpc_interleaved
        rows = np.argsort(interleaved_order(source.shape[-1], step))
        return source, tf.gather(wide_groups.widen(kernel, groups, 1), rows, axis=2), None
    return inputs, kernel, None


def moments(inputs):
    """Mean and variance of each channel over all pixels of the batch.

    A concatenation has the moments of its pieces, and each piece is looked at once however many concatenations it is
    part of: in DenseNet every feature map is part of all that follow.

    Args:
        inputs: symbolic TensorFlow tensor (batch, height, width, channels).

    Returns:
        Tuple (mean, variance) of tensors (channels,); the variance is the biased one.
    """
    import tensorflow as tf

    found = [_piece_moments(piece) for piece in _pieces(inputs)]
    means, variances = zip(*found, strict=True)
    return (found[0]) if len(found) == 1 else (tf.concat(means, 0), tf.concat(variances, 0))


def _pieces(tensor):
    """What a tensor was concatenated from along the channels, concatenations within it dissolved too."""
    import tensorflow as tf

    if tensor.op.type != "ConcatV2":
        return [tensor]
    *parts, axis = tensor.op.inputs
    if tf.get_static_value(axis) not in (3, -1):
        return [tensor]
    return [piece for part in parts for piece in _pieces(part)]


def _piece_moments(piece):
    known = getattr(piece, "_kgpc_moments", None)
    if known is None:
        known = piece._kgpc_moments = _mean_and_variance(piece)
    return known


def _mean_and_variance(x):
    import tensorflow as tf

    @tf.custom_gradient
    def compute(x):
        mean, variance = tf.nn.moments(x, axes=(0, 1, 2))

        def gradient(to_mean, to_variance):
            count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
            slope = 2 * to_variance / count
            # One product and one sum over the feature map: slope * (x - mean) + to_mean / count.
            return x * slope + (to_mean / count - slope * mean)

        return (mean, variance), gradient

    return compute(x)
