"""Scores, deletion and insertion, the randomization test and similarities: each against a plain computation."""

import functools
import itertools

import keras
import numpy as np
import pytest
from keras import layers

from kgpc import cam

CLASSES = 3


def images(count=2, size=(6, 5), seed=0):
    return np.random.default_rng(seed).random((count, *size, 3), dtype="float32")


@functools.cache
def network(activation="softmax", classes=CLASSES, separate=None):
    """Two convolutions, one with batch normalization, and a linear classifier."""
    x = inputs = keras.Input((6, 5, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="first")(x)
    x = layers.BatchNormalization(name="normalized")(layers.Conv2D(4, 3, padding="same", name="second")(x))
    x = layers.Dense(classes, activation=activation, name="classifier")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x if separate is None else separate(x), name="small")
    random = np.random.default_rng(3)
    for weight in model.weights:
        positive = "variance" in weight.path
        weight.assign(random.uniform(0.5, 1.5, weight.shape) if positive else random.normal(0, 1, weight.shape))
    return model


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_scores_are_what_the_compiled_model_predicts():
    """`predict` compiles the model as a whole, the scores are computed step by step."""
    with_softmax, without = network(), network(None)
    x = images(5)
    logits = without.predict(x, verbose=0)
    probabilities = with_softmax.predict(x, verbose=0)
    best = probabilities.argmax(axis=1)
    for model in (with_softmax, without, network(None, separate=layers.Softmax())):
        for batch_size in (2, 32):
            scores = cam.class_scores(model, x, batch_size=batch_size)
            np.testing.assert_array_equal(scores.classes, best)
            np.testing.assert_allclose(scores.logits, logits[np.arange(5), best], atol=1e-5)
            np.testing.assert_allclose(scores.probabilities, probabilities[np.arange(5), best], atol=1e-6)
    assert [array.dtype for array in scores] == ["int64", "float32", "float32"]
    asked = cam.class_scores(with_softmax, x, [[2, 0]] * 5)
    np.testing.assert_allclose(asked.probabilities, probabilities[:, [2, 0]], atol=1e-6)
    np.testing.assert_allclose(asked.logits, logits[:, [2, 0]], atol=1e-5)


def test_scores_of_one_output_unit_are_those_of_two_classes():
    x = images()
    logit = network(None, 1).predict(x, verbose=0)[:, 0]
    expected = 1 / (1 + np.exp(-logit))
    for model in (network(None, 1), network("sigmoid", 1)):
        scores = cam.class_scores(model, x, [[1, 0]] * 2)
        np.testing.assert_allclose(scores.logits, np.stack([logit, -logit], axis=1), atol=1e-5)
        np.testing.assert_allclose(scores.probabilities, np.stack([expected, 1 - expected], axis=1), atol=1e-6)
    np.testing.assert_array_equal(cam.class_scores(model, x).classes, logit > 0)


def test_scores_of_sigmoids_for_several_classes_are_those_of_each():
    model, x = network("sigmoid"), images()
    np.testing.assert_allclose(
        cam.class_scores(model, x, 1).probabilities, model.predict(x, verbose=0)[:, 1], atol=1e-6
    )


def test_scores_of_an_unknown_end_are_its_outputs_where_these_are_probabilities():
    probabilities = network(separate=keras.ops.square)  # of the softmax: still in [0, 1]
    x = images()
    scores = cam.class_scores(probabilities, x, 1)
    np.testing.assert_allclose(scores.probabilities, probabilities.predict(x, verbose=0)[:, 1], atol=1e-6)
    assert np.isnan(scores.logits).all()
    assert scores._replace(probabilities=np.array([0.5, 1.0])).titles() == ["class 1: 50%", "class 1: 100.00%"]
    large = network(None, separate=keras.ops.square)
    with pytest.raises(ValueError, match="`model` must end in softmax, in sigmoid, .*outputs from .* to "):
        cam.class_scores(large, 9 * x, 1)


def test_titles_say_class_logit_and_probability():
    scores = cam.ClassScores(np.array([1, 0]), np.array([3.14, -9.0]), np.array([0.924, 0.00012]))
    assert scores.titles(["cat", "dog"]) == ["dog: logit 3.1, 92%", "cat: logit -9.0, 0.01%"]
    assert scores.titles()[0] == "class 1: logit 3.1, 92%"
    several = cam.ClassScores(*(array[:, None] for array in scores))
    assert several.titles(np.array(["cat", "dog"])) == [["dog: logit 3.1, 92%"], ["cat: logit -9.0, 0.01%"]]
    with pytest.raises(ValueError, match="`class_names` must have a name for class 1. Received: 1 names"):
        scores.titles(["cat"])
    with pytest.raises(TypeError, match="`class_names` must be a sequence of names. Received: class_names='cat'"):
        scores.titles("cat")


def linear_model(kernel, size):
    """Softmax of a linear function of the mean colour."""
    inputs = keras.Input((*size, len(kernel)))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(inputs)))
    model.layers[-1].set_weights([np.asarray(kernel, "float32"), np.array([0.1, -0.2], "float32")])
    return model


def plain_curve(kernel, image, heat, label, baseline, steps, deleting):
    """By loops over single pixels; the map has the size of the image, and no two values alike."""
    height, width = heat.shape
    places = sorted(itertools.product(range(height), range(width)), key=lambda place: -heat[place])
    current = np.array(image if deleting else baseline, "float64")
    target = baseline if deleting else image
    curve, done = [], 0
    for step in range(steps + 1):
        while done < step * height * width // steps:
            current[places[done]] = target[places[done]]
            done += 1
        curve.append(softmax(current.mean(axis=(0, 1)) @ kernel + [0.1, -0.2])[label])
    x = [step * height * width // steps / (height * width) for step in range(steps + 1)]
    area = sum((x[i + 1] - x[i]) * (curve[i + 1] + curve[i]) / 2 for i in range(steps))
    return x, curve, area


@pytest.mark.parametrize("steps", [1, 4, 7, 30])
def test_curves_are_those_of_pixels_replaced_one_by_one(steps):
    random = np.random.default_rng(5)
    kernel, x, maps = random.normal(0, 3, (3, 2)), images(), random.random((2, 6, 5))
    model, colour = linear_model(kernel, (6, 5)), [0.5, 0.0, 1.0]
    for function, deleting in ((cam.deletion_curve, True), (cam.insertion_curve, False)):
        for baseline, colours in (("mean", x.mean(axis=(1, 2))), (colour, [colour] * 2)):
            for batch_size in (3, 64):
                curve = function(model, x, maps, [1, 0], baseline=baseline, steps=steps, batch_size=batch_size)
                assert curve.probabilities.shape == (2, steps + 1) and curve.areas.shape == (2,)
                for index, label in enumerate([1, 0]):
                    empty = np.broadcast_to(colours[index], x[index].shape)
                    fractions, expected, area = plain_curve(
                        kernel, x[index], maps[index], label, empty, steps, deleting
                    )
                    np.testing.assert_allclose(curve.fractions, fractions, atol=1e-12)
                    np.testing.assert_allclose(curve.probabilities[index], expected, atol=1e-5)
                    np.testing.assert_allclose(curve.areas[index], area, atol=1e-5)


def test_the_blurred_baseline_is_the_image_under_a_gaussian():
    """Computed with sums over a wide window; beyond its borders the image is mirrored."""
    x, deviation = images(1, (20, 30)), 2.0
    model = linear_model(np.random.default_rng(5).normal(0, 3, (3, 2)), (20, 30))
    seen = []
    seeing = keras.Model(model.input, model.output)
    original = seeing.layers[1].call
    seeing.layers[1].call = lambda tensor: seen.append(np.array(tensor)) or original(tensor)
    cam.insertion_curve(seeing, x, np.ones((1, 2, 2)), 0, steps=1)
    offsets = np.arange(-12, 13)
    weights = np.exp(-(offsets**2) / (2 * deviation**2))
    weights /= weights.sum()
    blurred = x[0].astype("float64")
    for axis in (0, 1):
        padded = np.pad(blurred, [(12, 12) if each == axis else (0, 0) for each in range(3)], mode="symmetric")
        size = blurred.shape[axis]
        blurred = sum(
            weight * np.take(padded, range(start, start + size), axis=axis) for start, weight in enumerate(weights)
        )
    np.testing.assert_allclose(seen[-1][0], blurred, atol=2e-4)
    np.testing.assert_array_equal(seen[-1][1], x[0])


def test_small_maps_are_enlarged_between_their_positions():
    """The order of the pixels is that of bilinear interpolation between the middles of the positions."""
    random = np.random.default_rng(6)
    heat = random.random((2, 3))
    rows, columns = (
        np.clip((np.arange(size) + 0.5) / size * cells - 0.5, 0, cells - 1) for size, cells in ((9, 2), (13, 3))
    )
    across = np.stack([np.interp(columns, range(3), row) for row in heat])
    enlarged = np.stack([np.interp(rows, range(2), column) for column in across.T], axis=1)
    model, x = linear_model(random.normal(0, 3, (3, 2)), (9, 13)), images(1, (9, 13))
    small = cam.deletion_curve(model, x, heat[None], 0, steps=13)
    large = cam.deletion_curve(model, x, enlarged[None], 0, steps=13)
    np.testing.assert_allclose(small.probabilities, large.probabilities, atol=1e-6)


def test_a_map_of_the_evidence_is_more_faithful_than_the_opposite_one():
    x = np.zeros((1, 4, 4, 2), "float32")
    x[0, 1, 2, 0] = x[0, 3, 0, 0] = 1  # the first channel speaks for class 0
    model = linear_model(np.array([[30.0, 0], [0, 30.0]]), (4, 4))
    right = cam.class_activation_map(model, x, 0)
    maps = np.stack([right, 1 - right], axis=1)
    deletion = cam.deletion_curve(model, x, maps, 0, baseline=(0, 0), steps=16)
    insertion = cam.insertion_curve(model, x, maps, 0, baseline=(0, 0), steps=16)
    assert deletion.areas.shape == (1, 2) and deletion.probabilities.shape == (1, 2, 17)
    # Two pixels hold all evidence: of the right map they are the first ones, of the other the last ones.
    whole, half, none = (1 / (1 + np.exp(-(0.3 + 30 * share / 16))) for share in (2, 1, 0))
    early, late = [whole, half, *[none] * 15], [*[whole] * 15, half, none]
    np.testing.assert_allclose(deletion.probabilities[0], [early, late], atol=1e-5)
    np.testing.assert_allclose(insertion.probabilities[0], [late[::-1], early[::-1]], atol=1e-5)
    assert deletion.areas[0, 0] < deletion.areas[0, 1] and insertion.areas[0, 0] > insertion.areas[0, 1]


def test_curves_ask_for_the_predicted_class_of_the_whole_image_by_default():
    model, x, maps = network(), images(), np.random.default_rng(1).random((2, 3, 3))
    predicted = model.predict(x, verbose=0).argmax(axis=1)
    given = cam.deletion_curve(model, x, maps, predicted, steps=3)
    for one, other in zip(cam.deletion_curve(model, x, maps, steps=3), given, strict=True):
        np.testing.assert_array_equal(one, other)
    each = [cam.deletion_curve(model, x, maps, label, steps=3).areas for label in (0, 2)]
    both = cam.deletion_curve(model, x, np.stack([maps, maps], axis=1), [[0, 2]] * 2, steps=3)
    np.testing.assert_allclose(both.areas, np.stack(each, axis=1), atol=1e-6)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"maps": np.ones((1, 3, 3))}, ValueError, r"`maps` must be .*for the 2 images. Received: maps of shape \(1,"),
        ({"maps": np.ones((2, 3))}, ValueError, "`maps` must be an array"),
        ({"maps": np.ones((2, 3, 3), "int64")}, ValueError, "`maps` must be .*dtype int64"),
        ({"maps": np.full((2, 3, 3), np.nan)}, ValueError, "`maps` must be .*Received: NaN"),
        ({"class_index": [[0, 1]] * 2}, ValueError, r"`maps` must be one for each of the 2 classes.*\(2, 3, 3\)"),
        ({"class_index": 3}, ValueError, r"`class_index` must be in \[0, 3\)"),
        ({"baseline": "black"}, ValueError, '`baseline` must be "mean", "blur", or 3 finite.*baseline=\'black\''),
        ({"baseline": (0, 0)}, ValueError, '`baseline` must be "mean", "blur", or 3 finite'),
        ({"baseline": (0, 0, np.inf)}, ValueError, '`baseline` must be "mean"'),
        ({"baseline": None}, TypeError, '`baseline` must be "mean".*None'),
        ({"steps": 0}, ValueError, "`steps` must be at least 1"),
        ({"steps": 31}, ValueError, "`steps` must be at most 30. Received: steps=31"),
        ({"steps": True}, TypeError, "`steps` must be an integer"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"images": np.ones((2, 6, 6, 3), "float32")}, ValueError, "`images` must be a batch"),
        ({"images": np.ones((2, 6, 5, 3), "uint8")}, TypeError, "`images` must be floating-point"),
    ],
)
def test_a_bad_curve_is_named(change, error, message):
    arguments = {"model": network(), "images": images(), "maps": np.ones((2, 3, 3)), "class_index": 0, **change}
    for function in (cam.deletion_curve, cam.insertion_curve):
        with pytest.raises(error, match=message):
            function(**arguments)


def test_rank_correlation_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    first, second = random.integers(0, 5, (2, 3, 4, 5)), random.random((2, 3, 4, 5))
    actual = cam.rank_correlation(first, second)
    assert actual.shape == (2, 3)
    for place in np.ndindex(2, 3):
        expected = stats.spearmanr(first[place].ravel(), second[place].ravel()).statistic
        np.testing.assert_allclose(actual[place], expected, atol=1e-12)


def test_rank_correlation_by_hand():
    heat = np.array([[0.0, 0.1], [0.5, 0.9]])
    assert cam.rank_correlation(heat, heat**3) == 1 and cam.rank_correlation(heat, -heat) == -1
    # Ranks 0, 1, 2, 3 and 3, 1, 2, 0: 1 - 6 * (9 + 0 + 0 + 9) / (4 * 15).
    assert cam.rank_correlation(heat, [[0.8, 0.2], [0.3, 0.1]]) == pytest.approx(-0.8)
    assert np.isnan(cam.rank_correlation(heat, np.zeros((2, 2))))


def test_structural_similarity_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    random = np.random.default_rng(0)
    for size, window in (((16, 12), 7), ((7, 9), 7), ((6, 8), 5), ((3, 4), 3)):
        first, second = random.random((2, 2, *size))
        second[1] = first[1] ** 2
        actual = cam.structural_similarity(first, second)
        expected = [
            metrics.structural_similarity(one, other, win_size=window, data_range=1)
            for one, other in zip(first, second, strict=True)
        ]
        np.testing.assert_allclose(actual, expected, atol=1e-9)


def test_structural_similarity_by_hand():
    """A single window: its means, variances and covariance with n - 1."""
    first = np.arange(9.0).reshape(3, 3) / 8
    second = 1 - first
    variance = 60 / 64 / 8
    expected = (2 * 0.25 + 1e-4) * (-2 * variance + 9e-4) / ((0.5 + 1e-4) * (2 * variance + 9e-4))
    assert cam.structural_similarity(first, second) == pytest.approx(expected)
    assert cam.structural_similarity(first, first) == pytest.approx(1)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"first": np.ones((3, 4))}, ValueError, r"`second` must have the shape of `first`, \(3, 4\)"),
        ({"second": np.ones(9)}, ValueError, r"`second` must be an array \(..., map height"),
        ({"second": np.full((3, 3), np.nan)}, ValueError, "`second` must be .*NaN or infinity"),
        ({"first": "map"}, TypeError, "`first` must be an array.*first='map'"),
        ({"first": np.ones((3, 3), bool)}, ValueError, "`first` must be an array.*dtype bool"),
    ],
)
def test_bad_maps_to_compare_are_named(change, error, message):
    for function in (cam.rank_correlation, cam.structural_similarity):
        with pytest.raises(error, match=message):
            function(**{"first": np.eye(3), "second": np.eye(3), **change})


def test_structural_similarity_needs_cells_and_a_range():
    with pytest.raises(ValueError, match=r"`first` must have at least 3x3 cells.*\(2, 5\)"):
        cam.structural_similarity(np.eye(2, 5), np.eye(2, 5))
    with pytest.raises(ValueError, match=r"`second` must be in \[0, 1\]. Received: values from 0 to 2"):
        cam.structural_similarity(np.eye(3), 2 * np.eye(3))


ALL_LAYERS = ["classifier", "normalized", "second", "first"]


def shuffled(model, names, seed=0):
    """Copies of the weights with the values of each array in another order, from the top down."""
    generator = np.random.RandomState(seed)
    weights = {name: [array.numpy() for array in model.get_layer(name).weights] for name in ALL_LAYERS}
    for name in ALL_LAYERS:
        random = [generator.permutation(array.ravel()).reshape(array.shape) for array in weights[name]]
        weights[name] = random if name in names else weights[name]
    return weights


def plain_map(weights, x, label):
    """The class activation map of `network`, computed from its weights by NumPy."""

    def convolved(x, kernel, bias):
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        return np.einsum("yxcij,ijcf->yxf", windows, kernel) + bias

    gamma, beta, mean, variance = weights["normalized"]
    maps = convolved(np.maximum(convolved(x, *weights["first"]), 0), *weights["second"])
    maps = gamma * (maps - mean) / np.sqrt(variance + 1e-3) + beta
    heat = np.maximum(maps @ weights["classifier"][0][:, label], 0)
    return heat / heat.max() if heat.any() else heat


@pytest.mark.parametrize("cascading", [True, False])
def test_the_weights_of_a_copy_are_randomized_from_the_top_down(cascading):
    model, x = network(), images(3)
    before = model.get_weights()
    labels = model.predict(x, verbose=0).argmax(axis=1)
    test = cam.randomization_test(model, x, method=cam.hires_cam, cascading=cascading)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert test.layers == ALL_LAYERS
    assert test.maps.shape == (4, 3, 6, 5) and test.rank_correlations.shape == test.similarities.shape == (4, 3)
    np.testing.assert_array_equal(test.original, cam.hires_cam(model, x, labels))
    for step, name in enumerate(ALL_LAYERS):
        weights = shuffled(model, ALL_LAYERS[: step + 1] if cascading else [name])
        expected = [plain_map(weights, image, label) for image, label in zip(x, labels, strict=True)]
        np.testing.assert_allclose(test.maps[step], expected, atol=1e-4)
        np.testing.assert_array_equal(
            test.rank_correlations[step], cam.rank_correlation(test.original, test.maps[step])
        )
        np.testing.assert_array_equal(
            test.similarities[step], cam.structural_similarity(test.original, test.maps[step])
        )


def test_chosen_layers_have_the_weights_that_they_have_among_all():
    model, x = network(), images(1)
    whole = cam.randomization_test(model, x, [[0, 1]], method=cam.layer_cam, seed=4)
    chosen = cam.randomization_test(model, x, [[0, 1]], method=cam.layer_cam, seed=4, layers=["first", "normalized"])
    assert chosen.layers == ["normalized", "first"] and chosen.maps.shape == (2, 1, 2, 6, 5)
    np.testing.assert_array_equal(chosen.maps, whole.maps[[1, 3]])
    other = cam.randomization_test(model, x, [[0, 1]], method=cam.layer_cam, seed=5, layers=["first"])
    assert not np.array_equal(other.maps[0], whole.maps[3])


def test_a_method_that_shows_the_image_passes_for_unchanged():
    """What the test is for: a map that does not depend on the weights is found out."""

    def edges(model, images, class_index, batch_size):
        return images.mean(axis=-1)

    test = cam.randomization_test(network(), images(), method=edges)
    np.testing.assert_allclose(test.rank_correlations, 1)
    np.testing.assert_allclose(test.similarities, 1)


def test_models_within_models_and_small_maps():
    inner = keras.Sequential([keras.Input((6, 5, 3)), layers.Conv2D(4, 3, strides=3, name="within")], name="inner")
    model = keras.Sequential([inner, layers.GlobalAveragePooling2D(), layers.Dense(2, name="top")])
    test = cam.randomization_test(model, images(), 0)
    assert test.layers == ["top", "inner/within"] and test.maps.shape[2:] == (2, 1)
    assert np.isnan(test.similarities).all()
    again = cam.randomization_test(model, images(), 0, layers=["within"])
    np.testing.assert_array_equal(again.maps[0], test.maps[1])


def test_a_layer_that_is_called_twice_is_randomized_where_it_is_called_last():
    x, twice = keras.Input((6, 5, 3)), layers.Conv2D(3, 3, padding="same", name="twice")
    y = twice(layers.Conv2D(3, 1, name="between")(twice(x)))
    model = keras.Model(x, layers.Dense(2, name="top")(layers.GlobalAveragePooling2D()(y)))
    assert cam.randomization_test(model, images(1), 0).layers == ["top", "twice", "between"]


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"method": "grad_cam"}, TypeError, "`method` must be a function such as `kgpc.cam.grad_cam`"),
        ({"layers": "first"}, TypeError, "`layers` must be a list of names of layers, or None"),
        ({"layers": []}, ValueError, "`layers` must name at least one layer"),
        ({"layers": ["third"]}, ValueError, "`layers` must hold names.*'classifier', 'normalized'.*Received: 'third'"),
        ({"layers": [3]}, ValueError, "`layers` must hold names.*Received: 3"),
        ({"cascading": 1}, TypeError, "`cascading` must be True or False"),
        ({"seed": -1}, ValueError, "`seed` must be at least 0"),
        ({"seed": 1.0}, TypeError, "`seed` must be an integer"),
    ],
)
def test_a_bad_randomization_is_named(change, error, message):
    with pytest.raises(error, match=message):
        cam.randomization_test(**{"model": network(), "images": images(1), **change})


class Incomplete(layers.Layer):
    """Its configuration lacks an argument, so that no copy can be made of it."""

    def __init__(self, units):
        super().__init__(name="incomplete")
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer="ones")

    def call(self, x):
        return x @ self.kernel

    def get_config(self):
        return {"name": "incomplete"}


def test_a_layer_that_cannot_be_copied_is_named():
    x = keras.Input((6, 5, 3))
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(Incomplete(2)(x))))
    with pytest.raises(ValueError, match="`model` must have layers that can be copied. Received: 'incomplete'"):
        cam.randomization_test(model, images(1), 0)
    without = keras.Model(x, layers.Softmax()(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(ValueError, match="`model` must have layers with weights"):
        cam.randomization_test(without, images(1), 0)
