"""Forward and backward pass of depthwise convolutions: `kgpc.layers.DepthwiseConv2D` against Keras' own layer.

    python tests/benchmarks/depthwise.py

Prints the median milliseconds of both, timed in turns, and their ratio.
"""

import kgpc  # isort: skip  before TensorFlow, which reads its settings when it is loaded
import keras
import tensorflow as tf

from kgpc.timing import in_turns

# Images, side of the map, channels, side of the kernel, stride: EfficientNet-B0's at 32x32 and 224x224 pixels.
SHAPES = (
    (64, 1, 1152, 5, 1),
    (64, 2, 480, 3, 1),
    (64, 2, 672, 5, 2),
    (64, 4, 240, 5, 1),
    (16, 14, 480, 3, 1),
    (16, 14, 672, 5, 1),
    (16, 28, 240, 5, 1),
    (16, 56, 144, 5, 2),
    (16, 112, 96, 3, 2),
)


def step(layer_class, images, side, stride, **call):
    layer = layer_class(side, strides=stride, padding="same", use_bias=False)
    layer.build(images.shape)

    @tf.function(autograph=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, **call)
        return tape.gradient(outputs, [images, layer.kernel.value])

    return run


if __name__ == "__main__":
    for count, size, channels, side, stride in SHAPES:
        images = tf.random.stateless_normal((count, size, size, channels), seed=(0, 1))
        seconds = in_turns(
            {
                "kgpc": step(kgpc.layers.DepthwiseConv2D, images, side, stride, training=True),
                "Keras": step(keras.layers.DepthwiseConv2D, images, side, stride),
            }
        )
        print(
            f"{count} images, {size}x{size}, {channels} channels, kernel {side}x{side}, stride {stride}: "
            f"kgpc {seconds['kgpc'] * 1e3:.1f} ms, Keras {seconds['Keras'] * 1e3:.1f} ms, "
            f"ratio {seconds['kgpc'] / seconds['Keras']:.2f}",
            flush=True,
        )
