"""Batch normalization."""

import keras

from kgpc.arguments import boolean, integer, number
from kgpc.layers.checks import GETTERS, found

_FLAGS = {"center", "scale", "synchronized", "renorm"}


@keras.saving.register_keras_serializable(package="kgpc")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the channels of images, through TensorFlow's fused kernel.

    Same arguments (by name), weights, results and moving statistics as the parent class; only the time differs. Other
    backends, other axes, masks, synchronized, renormalized or `float64` normalization run the parent's code.

    Args:
        merge: bool, whether `kgpc.merging.training_twin` may make one layer of this one and the pointwise convolution
            that reads it. Worth it where the input is wide and concatenated, as in DenseNet. It changes nothing in the
            layer itself.
        **kwargs: arguments of `keras.layers.BatchNormalization`.

    Raises:
        TypeError: if `merge`, `center`, `scale`, `synchronized` or `renorm` is not a bool, `axis` not an integer, or
            `momentum` or `epsilon` not a number.
        ValueError: if `momentum` is not in [0, 1], `epsilon` not a finite number above 0, or an initializer,
            regularizer or constraint none that Keras knows.
    """

    def __init__(self, *, merge=False, **kwargs):
        merge = boolean("merge", merge)
        kwargs |= {name: boolean(name, kwargs[name]) for name in _FLAGS & kwargs.keys()}
        integer("axis", kwargs.get("axis", -1))
        number("momentum", kwargs.get("momentum", 0.99), 0, 1)
        number("epsilon", kwargs.get("epsilon", 1e-3), above=0)
        for name in kwargs.keys() & GETTERS.keys():
            found(name, GETTERS[name], kwargs[name])
        super().__init__(**kwargs)
        self.merge = merge

    def get_config(self):
        config = super().get_config()
        # Files without it can be read by every version.
        return {**config, "merge": True} if self.merge else config

    def call(self, inputs, training=None, mask=None):
        if not self.is_fused(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        channels = inputs.shape[-1]
        gamma, beta = self._gamma_and_beta(channels)
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
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs, scale=gamma, offset=beta, mean=[], variance=[], epsilon=self.epsilon, is_training=True
        )
        # The kernel reports the unbiased variance, N / (N - 1) times the one it normalizes with; Keras averages the
        # latter.
        count = tf.cast(tf.size(inputs) // channels, self.variable_dtype)
        self._update_moving(mean, variance * (tf.maximum(count - 1, 1) / count))
        return outputs

    def scale_and_shift(self, mean, variance):
        """What a training step multiplies each channel by and adds to it; the moving statistics are updated.

        Args:
            mean: TensorFlow tensor (channels,), over all pixels of the batch.
            variance: TensorFlow tensor (channels,), the biased one.

        Returns:
            Tuple (scale, shift) of tensors (channels,): `inputs * scale + shift` is normalized.
        """
        import tensorflow as tf

        gamma, beta = self._gamma_and_beta(mean.shape[0])
        self._update_moving(mean, variance)
        scale = gamma * tf.math.rsqrt(variance + self.epsilon)
        return scale, beta - mean * scale

    def _gamma_and_beta(self, channels):
        import tensorflow as tf

        gamma = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones((channels,), self.variable_dtype)
        beta = tf.convert_to_tensor(self.beta) if self.center else tf.zeros((channels,), self.variable_dtype)
        return gamma, beta

    def _update_moving(self, mean, variance):
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))

    def is_fused(self, inputs, mask=None):
        """Whether TensorFlow's fused kernel normalizes these inputs, and not Keras' own code."""
        return (
            keras.backend.backend() == "tensorflow"
            and mask is None
            and not self.synchronized
            # Newer releases of Keras have it.
            and not getattr(self, "renorm", False)
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and self.variable_dtype == "float32"
            and self.compute_dtype in ("float32", "float16", "bfloat16")
        )
