"""Zero padding, under the name that files saved with earlier versions know it by."""

import keras


@keras.saving.register_keras_serializable(package="kgpc")
class ZeroPadding2D(keras.layers.ZeroPadding2D):
    """`keras.layers.ZeroPadding2D`, for `.keras` files saved with earlier versions; networks are built of Keras' own.

    Arguments, shapes and results are those of the parent class.
    """
