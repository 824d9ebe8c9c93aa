"""Zero padding that a convolution may take over."""

import keras

from kgpc import merging
from kgpc.layers.checks import in_compiled_step


@keras.saving.register_keras_serializable(package="kgpc")
class ZeroPadding2D(keras.layers.ZeroPadding2D):
    """`keras.layers.ZeroPadding2D`, which leaves the padding to a `DepthwiseConv2D` where that can do it by itself.

    Same arguments and results as the parent class. In compiled TensorFlow steps the padded copy of the feature map is
    left out where the convolution's own padding, "same", would be the same.
    """

    def call(self, inputs):
        outputs = super().call(inputs)
        if in_compiled_step() and not isinstance(inputs, keras.KerasTensor) and self.data_format == "channels_last":
            return merging.padded(outputs, inputs, self.padding)
        return outputs
