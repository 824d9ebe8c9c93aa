"""The augmentation against a plain formulation of what the published generator does."""

import math

import numpy as np
import pytest

from kgpc import training
from kgpc.training import Augmentation, Transformation, sample_generator

PUBLISHED = training.recipe("CIFAR-10").augmentation


def homogeneous(rows):
    return np.array([*rows, (0, 0, 1)], float)


def plain_matrix(height, width, theta, shift_rows, shift_columns, shear, zoom_rows, zoom_columns, flips):
    """From a pixel (row, column) of the result to one of the original, as a product of textbook matrices.

    The old generator counts in rows and columns: it turns by theta, shifts, shears, zooms (in this order as factors of
    a product), all around the centre; and mirrors the result.
    """
    turn = homogeneous([(math.cos(theta), -math.sin(theta), 0), (math.sin(theta), math.cos(theta), 0)])
    shift = homogeneous([(1, 0, shift_rows * height), (0, 1, shift_columns * width)])
    slant = homogeneous([(1, -math.sin(shear), 0), (0, math.cos(shear), 0)])
    zoom = homogeneous([(zoom_rows, 0, 0), (0, zoom_columns, 0)])
    to_centre = homogeneous([(1, 0, (height - 1) / 2), (0, 1, (width - 1) / 2)])
    from_centre = homogeneous([(1, 0, -(height - 1) / 2), (0, 1, -(width - 1) / 2)])
    vertical, horizontal = flips
    mirror = homogeneous(
        [
            (-1, 0, height - 1) if vertical else (1, 0, 0),
            (0, -1, width - 1) if horizontal else (0, 1, 0),
        ]
    )
    return to_centre @ turn @ shift @ slant @ zoom @ from_centre @ mirror


class Draws:
    """Stands for a generator: what `sample` draws is given."""

    def __init__(self, values, mirrored):
        self.values, self.mirrored = values, mirrored

    def uniform(self, low, high, size):
        assert (low, high, size) == (-1.0, 1.0, len(self.values))
        return np.array(self.values)

    def random(self, size):
        assert size == 2
        return np.where(self.mirrored, 0.1, 0.9)


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("draw", range(8))
def test_the_matrix_is_that_of_the_plain_formulation(draw, horizontal, vertical):
    augmentation = Augmentation(rotation=20, width_shift=0.3, height_shift=0.2, shear=15, zoom=0.3, vertical_flip=True)
    height, width = 48, 64
    values = np.random.default_rng(draw).uniform(-1, 1, 7)
    angle, right, down, shear, zoom_x, zoom_y, _ = values
    actual = augmentation.sample((height, width), Draws(values, (horizontal, vertical))).matrix
    expected = plain_matrix(
        height,
        width,
        theta=math.radians(20 * angle),
        shift_rows=0.2 * down,
        shift_columns=0.3 * right,
        shear=math.radians(15 * shear),
        zoom_rows=1 + 0.3 * zoom_y,
        zoom_columns=1 + 0.3 * zoom_x,
        flips=(vertical, horizontal),
    )
    swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], float)
    np.testing.assert_allclose(actual, (swap @ expected @ swap)[:2], atol=1e-12)


def parameters(matrix, size):
    """Angle, shear (degrees), zooms, shifts (fractions) and mirroring of a matrix, by taking it apart again."""
    linear = matrix[:, :2]
    # Only the first column, that of x, is turned and scaled without shear's help; shear moves it along y.
    mirrored = np.linalg.det(linear) < 0
    second = linear[:, 1]
    zoom_y = np.hypot(*second)
    angle = math.atan2(second[0], second[1])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    first = turn.T @ linear[:, 0]
    zoom_x = np.hypot(*first)
    shear = math.atan2(-first[1], first[0]) if first[0] > 0 else math.atan2(first[1], -first[0])
    centre = (size - 1) / 2
    shift = turn.T @ (matrix @ [centre, centre, 1] - centre)
    return math.degrees(angle), math.degrees(shear), zoom_x, zoom_y, *(shift / size), mirrored


def test_what_is_drawn_fills_the_published_ranges_evenly():
    size, count = 32, 4000
    drawn = np.array(
        [
            parameters(PUBLISHED.sample((size, size), sample_generator(7, 0, index)).matrix, size)
            for index in range(count)
        ],
        float,
    )
    ranges = {0: (-20, 20), 1: (-0.2, 0.2), 2: (0.7, 1.3), 3: (0.7, 1.3), 4: (-0.3, 0.3), 5: (-0.3, 0.3)}
    for column, (low, high) in ranges.items():
        values = (drawn[:, column] - low) / (high - low)
        assert -1e-9 < values.min() < 0.01 and 0.99 < values.max() < 1 + 1e-9
        # The largest distance from the even distribution: exceeded by chance once in a million.
        distance = np.abs(np.sort(values) - (np.arange(count) + 0.5) / count).max()
        assert distance < 2.7 / math.sqrt(count), column
    # Nothing is drawn together with anything else; the limit is five standard errors.
    correlations = np.corrcoef(drawn, rowvar=False) - np.eye(7)
    assert np.abs(correlations).max() < 5 / math.sqrt(count)
    assert abs(drawn[:, 6].mean() - 0.5) < 5 * 0.5 / math.sqrt(count)


def test_it_is_keyed_by_seed_epoch_and_index():
    def matrix(*key):
        return PUBLISHED.sample((32, 32), sample_generator(*key)).matrix.tolist()

    keys = [(7, 0, 0), (8, 0, 0), (7, 1, 0), (7, 0, 1), (0, 7, 0), (0, 0, 7), (1, 0, 0), (0, 1, 0)]
    assert len({str(matrix(*key)) for key in keys}) == len(keys)
    assert matrix(7, 3, 12345) == matrix(7, 3, 12345)


def bilinear(image, matrix):
    """Linear interpolation with the nearest pixel outside, written out pixel by pixel."""
    height, width, _ = image.shape
    result = np.empty_like(image)
    for row in range(height):
        for column in range(width):
            x, y = matrix @ (column, row, 1)
            x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
            left, top = min(int(x), width - 2), min(int(y), height - 2)
            right, down = x - left, y - top
            corners = image[top : top + 2, left : left + 2]
            result[row, column] = (
                corners[0, 0] * (1 - right) * (1 - down)
                + corners[0, 1] * right * (1 - down)
                + corners[1, 0] * (1 - right) * down
                + corners[1, 1] * right * down
            )
    return result


@pytest.mark.parametrize("index", range(4))
def test_an_image_is_interpolated_with_the_nearest_pixel_outside(index):
    image = np.random.default_rng(index).random((24, 24, 3), "float32")
    transformation = PUBLISHED.sample(image.shape, sample_generator(7, 0, index))
    actual = transformation.apply(image)
    assert actual.dtype == np.float32 and actual.shape == image.shape
    # OpenCV may round positions to a 32nd of a pixel.
    np.testing.assert_allclose(actual, bilinear(image, transformation.matrix), atol=2 / 32)
    assert np.abs(actual - bilinear(image, transformation.matrix)).mean() < 0.5 / 32


def test_nothing_to_do_changes_nothing():
    nothing = Augmentation(rotation=0, width_shift=0, height_shift=0, shear=0, zoom=0, horizontal_flip=False)
    image = np.random.default_rng(0).random((31, 20, 3), "float32")
    transformation = nothing.sample(image.shape, sample_generator(7, 0, 0))
    np.testing.assert_allclose(transformation.matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(transformation.apply(image), image, atol=1e-6)


def test_a_channel_shift_stays_in_the_range_of_the_image():
    image = np.random.default_rng(0).uniform(0.2, 0.7, (8, 8, 3)).astype("float32")
    shifted = Transformation(np.eye(2, 3), 0.1).apply(image)
    np.testing.assert_allclose(shifted, np.minimum(image + np.float32(0.1), image.max()), atol=1e-6)
    drawn = [Augmentation(channel_shift=0.1).sample((8, 8), sample_generator(7, 0, index)) for index in range(200)]
    values = [transformation.channel_shift for transformation in drawn]
    assert -0.1 <= min(values) < -0.09 and 0.09 < max(values) <= 0.1


def test_grey_images_keep_their_axis():
    image = np.random.default_rng(0).random((8, 8, 1), "float32")
    assert Transformation(np.eye(2, 3)).apply(image).shape == (8, 8, 1)
