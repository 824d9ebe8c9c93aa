"""Batch normalization."""

import keras

from kgpc import merging
from kgpc.layers.checks import in_compiled_training


@keras.saving.register_keras_serializable(package="kgpc")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the channels of images, through TensorFlow's fused kernel.

    Same arguments (by name), weights, results and moving statistics as the parent class; only the time differs. Other
    backends, other axes, masks, synchronized or `float64` normalization run the parent's code.

    Args:
        merge: bool, whether a `GroupedPointwiseConv2D` is what reads the output. In compiled training steps it then
            does the scaling and shifting by its own weights, and a concatenation is normalized by the statistics of its
            pieces, each computed once. Worth it where the input is wide and concatenated, as in DenseNet. Results are
            the same for any reader.
        **kwargs: arguments of `keras.layers.BatchNormalization`.
    """

    def __init__(self, *, merge=False, **kwargs):
        super().__init__(**kwargs)
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
        if self.merge and self.compute_dtype == "float32" and in_compiled_training(training):
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
