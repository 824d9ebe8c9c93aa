"""Image generators with the published augmentation, and one colour conversion, under their old names."""

import numpy as np

from kgpc.cai import scaling
from kgpc.cai.image_generator import ImageDataGenerator


def create_image_generator(
    featurewise_center=False,
    samplewise_center=False,
    featurewise_std_normalization=False,
    samplewise_std_normalization=False,
    zca_whitening=False,
    zca_epsilon=1e-6,
    rotation_range=15,
    width_shift_range=0.1,
    height_shift_range=0.1,
    shear_range=0.2,
    zoom_range=0.3,
    channel_shift_range=0,
    fill_mode="nearest",
    cval=0,
    horizontal_flip=True,
    vertical_flip=False,
    rescale=None,
    preprocessing_function=None,
    data_format=None,
    validation_split=0,
):
    """Instantiates the image generator of the published runs: `kgpc.cai.image_generator.ImageDataGenerator`.

    What a call does not name is on: rotation by up to 15 degrees, shifts by a tenth, shear, zoom and horizontal flips.
    Arguments are as there; only the defaults differ.

    Returns:
        `ImageDataGenerator`, with `flow` and `flow_from_directory`.

    Raises:
        TypeError, ValueError: as there.
    """
    return ImageDataGenerator(
        featurewise_center=featurewise_center,
        samplewise_center=samplewise_center,
        featurewise_std_normalization=featurewise_std_normalization,
        samplewise_std_normalization=samplewise_std_normalization,
        zca_whitening=zca_whitening,
        zca_epsilon=zca_epsilon,
        rotation_range=rotation_range,
        width_shift_range=width_shift_range,
        height_shift_range=height_shift_range,
        shear_range=shear_range,
        zoom_range=zoom_range,
        channel_shift_range=channel_shift_range,
        fill_mode=fill_mode,
        cval=cval,
        horizontal_flip=horizontal_flip,
        vertical_flip=vertical_flip,
        rescale=rescale,
        preprocessing_function=preprocessing_function,
        data_format=data_format,
        validation_split=validation_split,
    )


def create_image_generator_no_augmentation(
    featurewise_center=False,
    samplewise_center=False,
    featurewise_std_normalization=False,
    samplewise_std_normalization=False,
    zca_whitening=False,
    zca_epsilon=0,
    rescale=None,
    preprocessing_function=None,
    data_format=None,
    validation_split=0,
):
    """Instantiates an image generator that leaves images as they are, but for `rescale` and the like.

    Arguments are as in `create_image_generator`.

    Returns:
        `ImageDataGenerator`.

    Raises:
        TypeError, ValueError: as there.
    """
    return ImageDataGenerator(
        featurewise_center=featurewise_center,
        samplewise_center=samplewise_center,
        featurewise_std_normalization=featurewise_std_normalization,
        samplewise_std_normalization=samplewise_std_normalization,
        zca_whitening=zca_whitening,
        zca_epsilon=zca_epsilon,
        rescale=rescale,
        preprocessing_function=preprocessing_function,
        data_format=data_format,
        validation_split=validation_split,
    )


def rgb2bipolar_lab(img):
    """CIE L*a*b* of RGB images, scaled around 0: L / 25 - 2, a / 50, b / 50.

    Args:
        img: array-like (..., 3), RGB in 0..255.

    Returns:
        float32 array of the same shape.

    Raises:
        ValueError: if they are no numbers, or the last axis has another length than 3.
    """
    img = np.asarray(img)
    if img.ndim < 1 or img.shape[-1] != 3 or img.dtype.kind not in "biuf":
        raise ValueError(
            f"`img` must be numbers of the shape (..., 3). Received: shape {img.shape}, dtype {img.dtype}."
        )
    flat = img.reshape(1, -1, 1, 3)
    return scaling.scaled(flat, use_lab=True, bipolar=True).reshape(img.shape)
