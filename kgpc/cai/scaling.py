"""The values that the older package gave to images: RGB or CIE Lab, from 0 on or around 0."""

import numpy as np

# sRGB to CIE XYZ, and the white point D65 for the observer of 2 degrees, in the digits of scikit-image. Its results are
# what the published runs saw; OpenCV's differ from the third decimal place on.
_TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(images):
    """CIE L*a*b* of RGB images: sRGB, white point D65, observer of 2 degrees.

    Args:
        images: array (..., 3), RGB in [0, 1].

    Returns:
        float64 array of the same shape: L in [0, 100], a about in [-86, 98], b about in [-108, 95].
    """
    rgb = np.asarray(images, np.float64)
    linear = np.where(rgb > 0.04045, (np.maximum(rgb, 0) / 1.055 + 0.055 / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ _TO_XYZ.T / _WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def scaled(images, use_lab=False, bipolar=False):
    """Images as the older package scaled them when it loaded them.

    Args:
        images: array (n, height, width, 3), RGB in 0..255.
        use_lab: bool, whether they are turned into CIE L*a*b*.
        bipolar: bool, whether the values are around 0.

    Returns:
        float32 array of the same shape. RGB: x / 255, in [0, 1]; bipolar x / 64 - 2, in [-2, 1.984]. Lab: L / 100,
        a / 200 + 0.5, b / 200 + 0.5, which is [0, 1] but for a pure blue (-0.039 in the last channel); bipolar
        L / 25 - 2, a / 50, b / 50.
    """
    result = np.empty(np.shape(images), np.float32)
    for image, output in zip(images, result, strict=True):  # one by one: float64 of a whole data set is large
        if not use_lab:
            output[:] = np.asarray(image, np.float32) / (64 if bipolar else 255) - (2 if bipolar else 0)
        elif bipolar:
            output[:] = lab(np.asarray(image, np.float64) / 255) / (25, 50, 50) - (2, 0, 0)
        else:
            output[:] = lab(np.asarray(image, np.float64) / 255) / (100, 200, 200) + (0, 0.5, 0.5)
    return result
