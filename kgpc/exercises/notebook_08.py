"""The exercises of notebook 08, Class activation maps."""

import numpy as np

from kgpc.exercises.kinds import Made, Numbers


def _pointing(answer):
    """What a function lacks that tells whether a map is strongest in a tile; None for a good one."""
    if not callable(answer):
        return "the answer is a function of a map, a row and a column."
    generator = np.random.default_rng(8)
    for tile in np.ndindex(2, 2):
        heat = generator.uniform(0, 0.5, (6, 8)).astype("float32")
        place = tuple(half * which + generator.integers(half) for half, which in zip((3, 4), tile, strict=True))
        heat[place] = 1
        for asked in np.ndindex(2, 2):
            try:
                said = bool(answer(heat.copy(), *asked))
            except Exception as error:  # whatever a reader's function does
                return f"for a map of 6 by 8 positions it raises {type(error).__name__}."
            if said != (asked == tile):
                return "not right yet. It is wrong about a map that is strongest in a single position."
    try:
        empty = any(bool(answer(np.zeros((4, 4), "float32"), *asked)) for asked in np.ndindex(2, 2))
    except Exception as error:
        return f"for a map without evidence it raises {type(error).__name__}."
    return "not right yet. What of a map that is 0 everywhere?" if empty else None


def _grey(answer):
    """What a function lacks that takes the colour of images away; None for a good one."""
    if not callable(answer):
        return "the answer is a function of a batch of images."
    generator = np.random.default_rng(8)
    images = generator.random((2, 5, 7, 3)).astype("float32")
    plain = generator.random((1, 5, 7, 1)).astype("float32").repeat(3, axis=-1)
    try:
        made, kept = (np.asarray(answer(batch.copy()), "float64") for batch in (images, plain))
    except Exception as error:  # whatever a reader's function does
        return f"for images of shape (2, 5, 7, 3) it raises {type(error).__name__}."
    if made.shape != images.shape or kept.shape != plain.shape:
        return f"not right yet. Images of shape {images.shape} become an array of shape {made.shape}."
    if not np.allclose(made, made[..., :1], atol=1e-5):
        return "not right yet. The three channels of a pixel differ."
    if not np.allclose(kept, plain, atol=1e-3):
        return "not right yet. Images that are grey already should stay as they are."
    lowest, highest = images.min(axis=-1) - 1e-5, images.max(axis=-1) + 1e-5
    if not ((made[..., 0] >= lowest) & (made[..., 0] <= highest)).all():
        return "not right yet. A pixel is darker or lighter than each of its colours."
    if np.ptp(made[0], axis=(0, 1)).min() < 0.1:
        return "not right yet. The image itself is gone."
    return None


EXERCISES = {
    "08.1": Numbers(
        "the chance for a tile of a 3×3 collage, that for the middle ninth, and the mean share of a fixed map",
        lambda: (1 / 9, 1 / 9, 1 / 4),
        tolerance=0.01,
        hint="A map that knows nothing has in a part what the part has of the area. The four tiles share all of a map.",
    ),
    "08.2": Made("a function of a map, the row and the column of a tile", _pointing),
    "08.3": Made("a function of a batch of images", _grey),
}
