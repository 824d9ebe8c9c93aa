"""The exercises of notebook 12, Light and chroma branches."""

import numpy as np

from kgpc.exercises.kinds import Number, Numbers


def _fewest_weights():
    """Smallest and largest share of the light branch, in percent, with the fewest weights, and these."""
    from kgpc.applications.inception_v3 import STEM

    counts = {}
    for percent in range(101):
        counts[percent] = 0
        for channels, share in ((1, percent / 100), (2, 1 - percent / 100)):
            for filters, _, _ in STEM:
                counts[percent] += 9 * channels * round(filters * share)
                channels = round(filters * share)
    fewest = min(counts.values())
    best = [percent for percent, count in counts.items() if count == fewest]
    return best[0], best[-1], fewest


def _without_light():
    import keras

    from kgpc import D6, flops
    from kgpc.applications import kMobileNet

    options = {"input_shape": (32, 32, 3), "classes": 6, "scheme": D6(16)}
    with keras.StatelessScope():  # counting needs no values of weights
        both, colours = kMobileNet(**options), kMobileNet(l_ratio=0.0, ab_ratio=1.0, **options)
    return flops.trainable_parameters(both) - flops.trainable_parameters(colours)


def _noise():
    """Standard deviations of L, a and b in a grey image with Gaussian noise."""
    from kgpc.applications.inception_v3 import rgb_to_scaled_lab

    noisy = 128 + np.random.default_rng(12).normal(0, 20, (1, 300, 300, 3))
    scaled = rgb_to_scaled_lab(np.clip(np.rint(noisy), 0, 255).astype("uint8"))[0]
    return scaled.std(axis=(0, 1)) * (100, 200, 200)


EXERCISES = {
    "12.1": Numbers(
        "the smallest and the largest of the best shares in percent, and the weights",
        _fewest_weights,
        hint="Try every percent from 0 to 100, with filters rounded to whole ones.",
    ),
    "12.2": Number(
        "a number of parameters",
        _without_light,
        hints={"A filter of the stem reads 3×3 positions of each channel.": lambda: 32},
    ),
    "12.3": Numbers(
        "the standard deviations of L, a and b",
        _noise,
        tolerance=0.05,
        hint="rgb_to_scaled_lab divides L by 100, and a and b by 200.",
    ),
}
