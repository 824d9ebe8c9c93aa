"""How alike two maps are: rank correlation and structural similarity."""

import numpy as np

from kgpc.cam.arguments import numeric_array

_WINDOW = 7  # side of the window of the structural similarity, in cells


def rank_correlation(first, second):
    """Spearman's rank correlation of maps: whether they order the positions alike, whatever their values.

    Args:
        first: array (..., map height, map width) of finite numbers.
        second: array of the same shape.

    Returns:
        float64 array (...), in [-1, 1]: 1 for the same order, -1 for the opposite one. Equal values share the mean of
        their ranks. NaN where a map has the same value everywhere, such as one without evidence: it has no order.

    Raises:
        TypeError: if a map is no array of numbers.
        ValueError: if the shapes differ, have fewer than two dimensions or no positions, or numbers are not finite.

    Reference: Spearman 1904, "The Proof and Measurement of Association between Two Things", The American Journal of
    Psychology 15, doi:10.2307/1412159.
    """
    first, second = _checked(first, second)
    shape = first.shape[:-2]
    pairs = zip(*(array.reshape(-1, array.shape[-2] * array.shape[-1]) for array in (first, second)), strict=True)
    return np.array([_correlation(_ranks(one), _ranks(other)) for one, other in pairs], "float64").reshape(shape)


def structural_similarity(first, second):
    """Structural similarity (SSIM) of maps with values in [0, 1]: alike in place, brightness and contrast.

    Means, variances and the covariance are those of square windows of 7×7 cells (of the largest odd side that fits,
    where a map is smaller), the latter two with n - 1; the result is the mean over all windows within the maps. The
    constants are those of the reference, (0.01)² and (0.03)².

    Args:
        first: array (..., map height, map width) of numbers in [0, 1], at least 3×3 cells.
        second: array of the same shape.

    Returns:
        float64 array (...), at most 1: 1 for equal maps.

    Raises:
        TypeError: if a map is no array of numbers.
        ValueError: if the shapes differ or are smaller, or numbers are outside [0, 1].

    Reference: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE
    Transactions on Image Processing 13, doi:10.1109/TIP.2003.819861.
    """
    first, second = _checked(first, second)
    smallest = min(first.shape[-2:])
    if smallest < 3:
        raise ValueError(f"`first` must have at least 3x3 cells. Received: first of shape {first.shape}.")
    for name, array in (("first", first), ("second", second)):
        if array.min() < 0 or array.max() > 1:
            raise ValueError(f"`{name}` must be in [0, 1]. Received: values from {array.min():g} to {array.max():g}.")
    side = min(_WINDOW, smallest - 1 + smallest % 2)

    def mean(array):
        return np.lib.stride_tricks.sliding_window_view(array, (side, side), axis=(-2, -1)).mean(axis=(-2, -1))

    sample = side**2 / (side**2 - 1)
    means = mean(first), mean(second)
    variances = [sample * (mean(array**2) - average**2) for array, average in zip((first, second), means, strict=True)]
    covariance = sample * (mean(first * second) - means[0] * means[1])
    brightness, contrast = 0.01**2, 0.03**2
    top = (2 * means[0] * means[1] + brightness) * (2 * covariance + contrast)
    bottom = (means[0] ** 2 + means[1] ** 2 + brightness) * (sum(variances) + contrast)
    return (top / bottom).mean(axis=(-2, -1))


def _checked(first, second):
    """Both as float64 arrays."""
    expected = "an array (..., map height, map width) of finite numbers"
    arrays = [numeric_array(name, value, expected) for name, value in (("first", first), ("second", second))]
    for name, array in zip(("first", "second"), arrays, strict=True):
        if array.ndim < 2 or not array.size or array.dtype.kind == "b" or not np.isfinite(array).all():
            raise ValueError(
                f"`{name}` must be {expected}. Received: {name} of shape {array.shape}, dtype {array.dtype}"
                f"{', with NaN or infinity' if array.dtype.kind == 'f' and not np.isfinite(array).all() else ''}."
            )
    if arrays[0].shape != arrays[1].shape:
        raise ValueError(
            f"`second` must have the shape of `first`, {arrays[0].shape}. Received: second of shape {arrays[1].shape}."
        )
    return [array.astype("float64") for array in arrays]


def _ranks(values):
    """Ranks from 0; equal values share their mean rank."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    lasts = np.cumsum(counts)
    return (lasts - (counts + 1) / 2)[places.ravel()]


def _correlation(first, second):
    first, second = first - first.mean(), second - second.mean()
    spread = np.sqrt((first**2).sum() * (second**2).sum())
    return np.clip((first * second).sum() / spread, -1, 1) if spread else np.nan
