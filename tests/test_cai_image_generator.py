"""`ImageDataGenerator` against Keras' own, against Pillow, and for the order and the subsets that it promises."""

import inspect
import math

import keras
import numpy as np
import PIL.Image
import pytest

from kgpc import cai
from kgpc.cai.flows import FlowOfSteps, resized
from kgpc.cai.image_generator import ImageDataGenerator
from kgpc.training import Augmentation, sample_generator

CREATE = {
    "featurewise_center": False,
    "samplewise_center": False,
    "featurewise_std_normalization": False,
    "samplewise_std_normalization": False,
    "zca_whitening": False,
    "zca_epsilon": 1e-6,
    "rotation_range": 15,
    "width_shift_range": 0.1,
    "height_shift_range": 0.1,
    "shear_range": 0.2,
    "zoom_range": 0.3,
    "channel_shift_range": 0,
    "fill_mode": "nearest",
    "cval": 0,
    "horizontal_flip": True,
    "vertical_flip": False,
    "rescale": None,
    "preprocessing_function": None,
    "data_format": None,
    "validation_split": 0,
}
AUGMENTING = [name for name in CREATE if name.endswith(("range", "flip")) or name in ("fill_mode", "cval")]


def defaults(function):
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def test_arguments_their_order_and_their_defaults():
    assert list(defaults(cai.util.create_image_generator).items()) == list(CREATE.items())
    plain = {name: value for name, value in CREATE.items() if name not in AUGMENTING}
    expected = {**plain, "zca_epsilon": 0}
    assert list(defaults(cai.util.create_image_generator_no_augmentation).items()) == list(expected.items())


def test_what_a_call_does_not_name_is_on():
    generator = cai.util.create_image_generator(rotation_range=20, width_shift_range=0.3, height_shift_range=0.3)
    assert generator.augmentation == Augmentation()
    generator = cai.util.create_image_generator(vertical_flip=True, rotation_range=90)
    assert generator.augmentation == Augmentation(rotation=90, width_shift=0.1, height_shift=0.1, vertical_flip=True)


def original_matrix(transform, size):
    """The map of Keras' own generator, (row, column, 1) of the result to (row, column) of the original."""
    theta, shear = math.radians(transform["theta"]), math.radians(transform["shear"])
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    slant = np.array([[1, -math.sin(shear)], [0, math.cos(shear)]])
    linear = turn @ slant @ np.diag([transform["zx"], transform["zy"]])
    if transform["flip_horizontal"]:
        linear[:, 1] *= -1
    centre = np.array([(size - 1) / 2] * 2)
    shift = turn @ [transform["tx"], transform["ty"]] + centre - linear @ centre
    return np.column_stack([linear, shift])


def test_transformations_are_distributed_as_those_of_keras():
    legacy = pytest.importorskip("keras.src.legacy.preprocessing.image")
    options = {"rotation_range": 20, "width_shift_range": 0.3, "height_shift_range": 0.3, "shear_range": 0.2}
    options |= {"zoom_range": 0.3, "channel_shift_range": 0.1, "horizontal_flip": True}
    theirs, ours, size, count = legacy.ImageDataGenerator(**options), ImageDataGenerator(**options), 32, 3000
    transforms = [theirs.get_random_transform((size, size, 3), seed=index) for index in range(count)]
    expected = np.array([original_matrix(transform, size).ravel() for transform in transforms])
    samples = [ours.augmentation.sample((size, size), sample_generator(5, 0, index)) for index in range(count)]
    # Ours counts in (x, y): both axes are exchanged.
    actual = np.array([sample.matrix[::-1, [1, 0, 2]].ravel() for sample in samples])
    columns = [*zip(expected.T, actual.T, strict=True)]
    shifts = [transform["channel_shift_intensity"] for transform in transforms]
    columns.append((np.array(shifts), np.array([sample.channel_shift for sample in samples])))
    for index, (first, second) in enumerate(columns):
        # Kolmogorov and Smirnov's distance of two samples, exceeded by chance once in a million.
        values = np.sort(np.concatenate([first, second]))
        steps = [np.searchsorted(np.sort(sample), values, side="right") / count for sample in (first, second)]
        assert np.abs(steps[0] - steps[1]).max() < 2.7 * math.sqrt(2 / count), index
    together = [np.corrcoef(matrix.T) for matrix in (expected, actual)]
    assert np.abs(together[0] - together[1]).max() < 5 * math.sqrt(2 / count)


def images(count, size=8):
    return np.random.default_rng(3).random((count, size, size, 3)).astype("float32")


def test_an_image_is_transformed_shifted_and_then_rescaled():
    x = images(12) * 255
    generator = ImageDataGenerator(
        rotation_range=30,
        channel_shift_range=40.0,
        horizontal_flip=True,
        preprocessing_function=lambda image: image + 1,
        rescale=0.5,
    )
    batches = generator.flow(x, batch_size=5, shuffle=False, seed=4)
    batches.on_epoch_end()
    actual = np.concatenate([batches[number] for number in range(len(batches))])
    augmentation = Augmentation(
        rotation=30, width_shift=0, height_shift=0, shear=0, zoom=0, channel_shift=40.0, horizontal_flip=True
    )
    expected = [augmentation.sample((8, 8), sample_generator(4, 1, index)).apply(x[index]) for index in range(12)]
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, (np.stack(expected) + 1) / 2, rtol=1e-6)


def test_without_augmentation_images_stay_as_they_are():
    x = images(5)
    np.testing.assert_array_equal(cai.util.create_image_generator_no_augmentation().flow(x, shuffle=False)[0], x)
    halves = cai.util.create_image_generator_no_augmentation(rescale=0.5).flow(x, shuffle=False)[0]
    np.testing.assert_allclose(halves, x / 2)


def test_the_first_samples_validate():
    x, y = images(25), np.arange(25)
    generator = ImageDataGenerator(validation_split=0.1)
    parts = {
        subset: generator.flow(x, y, batch_size=10, subset=subset, seed=1)
        for subset in ("validation", "training", None)
    }
    seen = {name: np.concatenate([part[number][1] for number in range(len(part))]) for name, part in parts.items()}
    assert sorted(seen["validation"]) == [0, 1]
    assert sorted(seen["training"]) == list(range(2, 25))
    assert sorted(seen[None]) == list(range(25)) != seen[None].tolist()


def test_batches_depend_on_seed_and_epoch_only():
    x, y = images(20), np.arange(20)
    generator = cai.util.create_image_generator()

    def epoch(seed, number):
        batches = generator.flow(x, y, batch_size=8, seed=seed)
        for _ in range(number):
            batches.on_epoch_end()
        return [batches[2], batches[0], batches[1]]

    for first, second in zip(epoch(3, 1), epoch(3, 1), strict=True):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1], second[1])
    for other in (epoch(4, 1), epoch(3, 2)):
        assert not np.array_equal(epoch(3, 1)[0][1], other[0][1])
    np.random.seed(1)
    first = generator.flow(x, y).seed
    np.random.seed(1)
    assert generator.flow(x, y).seed == first


def test_arguments_of_a_flow_have_the_order_of_keras(folder):
    x, y, weight = images(6), np.arange(6), np.arange(6) / 2
    flow = ImageDataGenerator().flow(x, y, 4, 0, weight, 3, None, "", "png", False, None)
    batch = flow[1]
    assert (flow.seed, flow.shuffle, len(batch)) == (3, False, 3)
    np.testing.assert_array_equal(batch[1], [4, 5])
    np.testing.assert_array_equal(batch[2], [2, 2.5])
    arguments = (20, 20), "rgb", None, "sparse", 2, False, 3, None, "", "png", False, None, "nearest"
    flow = ImageDataGenerator().flow_from_directory(folder, *arguments)
    assert (flow.target_size, flow.class_mode, flow.batch_size, flow.seed) == ((20, 20), "sparse", 2, 3)


def test_more_steps_than_batches_go_round_again():
    x = images(5)
    flow = cai.util.create_image_generator().flow(x, np.arange(5), batch_size=2, seed=4)
    walk = FlowOfSteps(flow, 7)  # two epochs of three batches, and one batch more
    labels = [np.concatenate([walk[number][1] for number in numbers]) for numbers in (range(3), range(3, 6))]
    assert len(walk) == 7 and [sorted(part) for part in labels] == [list(range(5))] * 2
    np.testing.assert_array_equal(walk[5][0], flow.batch(1, 2)[0])
    assert np.abs(flow.batch(1, 0)[0] - flow.batch(0, 0)[0]).max() > 0.01
    np.testing.assert_array_equal(flow[0][0], flow.batch(0, 0)[0])
    walk.on_epoch_end()  # the third epoch was begun
    assert flow.epoch == 3
    np.testing.assert_array_equal(walk[0][0], flow.batch(3, 0)[0])


def test_a_part_of_a_folder_without_images_is_an_error_when_it_is_used(folder, capsys):
    generator = ImageDataGenerator(validation_split=0.001)
    with pytest.warns(UserWarning, match="The validation part of validation_split=0.001 has no image"):
        flow = generator.flow_from_directory(folder, subset="validation")
    assert (flow.n, len(flow), flow.filenames) == (0, 0, [])
    assert "Found 0 images belonging to" in capsys.readouterr().out
    with pytest.raises(IndexError, match="There are 0 batches of 0 images"):
        flow[0]
    with pytest.raises(ValueError, match="`flow` must have at least one image"):
        FlowOfSteps(flow, 3)


def test_iterating_goes_on_for_ever():
    flow = ImageDataGenerator().flow(images(5), np.arange(5), batch_size=2, seed=0)
    assert isinstance(flow, keras.utils.PyDataset) and len(flow) == 3
    labels = [next(flow)[1].tolist() for _ in range(6)]
    assert sorted(sum(labels[:3], [])) == sorted(sum(labels[3:], [])) == [0, 1, 2, 3, 4]
    assert flow.epoch == 2 and flow.next()[0].shape == (2, 8, 8, 3)
    with pytest.raises(IndexError, match="There are 3 batches"):
        flow[3]


@pytest.fixture
def folder(tmp_path):
    """Twelve classes of ten images each, not square, of different sizes."""
    draw = np.random.default_rng(0)
    for index in range(12):
        (tmp_path / f"class_{index}").mkdir()
        for number in range(10):
            pixels = draw.integers(0, 256, (20 + number, 33, 3)).astype("uint8")
            PIL.Image.fromarray(pixels).save(tmp_path / f"class_{index}" / f"img_{number + 5}.png")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "class_0" / "notes.txt").write_text("no image")
    return tmp_path


def test_folders_sort_as_text_and_the_first_files_of_each_validate(folder, capsys):
    generator = ImageDataGenerator(validation_split=0.25)
    flow = generator.flow_from_directory(str(folder), subset="validation", shuffle=False, batch_size=7)
    assert "Found 24 images belonging to 12 classes." in capsys.readouterr().out
    order = ["class_0", "class_1", "class_10", "class_11", *(f"class_{index}" for index in range(2, 10))]
    assert flow.class_indices == {name: index for index, name in enumerate(order)}
    # img_10.png sorts before img_5.png.
    assert flow.filenames[:2] == ["class_0/img_10.png", "class_0/img_11.png"]
    assert flow.classes.tolist() == np.repeat(np.arange(12), 2).tolist()
    training = generator.flow_from_directory(str(folder), subset="training")
    assert not set(training.filenames) & set(flow.filenames) and training.n == 96


def test_images_of_a_folder_are_resized_as_pillow_does(folder):
    flow = ImageDataGenerator(rescale=1 / 255).flow_from_directory(
        folder, target_size=(24, 40), shuffle=False, batch_size=4
    )
    batch, labels = flow[1]
    assert batch.shape == (4, 24, 40, 3) and labels.shape == (4, 12) and labels.dtype == np.float32
    for image, label, path in zip(batch, labels, flow.filepaths[4:8], strict=True):
        expected = PIL.Image.open(path).resize((40, 24), PIL.Image.Resampling.NEAREST)
        np.testing.assert_allclose(image, np.asarray(expected) / 255, atol=1e-6)
        assert label.argmax() == 0


@pytest.mark.parametrize("mode, expected", [("sparse", [3, 3]), (None, None)])
def test_labels_of_a_folder(folder, mode, expected):
    flow = ImageDataGenerator().flow_from_directory(folder, class_mode=mode, shuffle=False, batch_size=2)
    batch = flow[15]
    assert (batch[1].tolist() == expected) if mode else batch.shape == (2, 256, 256, 3)


@pytest.mark.parametrize("size, target", [(150, 224), (32, 224), (300, 224), (37, 224), (224, 32)])
def test_sizes_change_to_the_pixel_under_the_centre(size, target):
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype("uint8")
    index = [(2 * place + 1) * size // (2 * target) for place in range(target)]
    difference = resized(pixels, (target, target)) != pixels[index][:, index]
    # Where a centre lies on a border between pixels, Pillow's rounding decides; 37 to 224 has such.
    assert difference.mean() < 0.005


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rotation_range": "20"}, "`rotation_range` must be a number"),
        ({"zoom_range": 1.0}, "`zoom_range` must be a number in"),
        ({"zoom_range": (0.7, 1.3)}, "`zoom_range` must be a number in"),
        ({"width_shift_range": -0.1}, "`width_shift_range` must be a number in"),
        ({"shear_range": math.nan}, "`shear_range` must be a number in"),
        ({"horizontal_flip": "no"}, "`horizontal_flip` must be a bool"),
        ({"zca_whitening": True}, "`zca_whitening` must be False"),
        ({"fill_mode": "reflect"}, "`fill_mode` must be 'nearest'"),
        ({"fill_mode": np.zeros(2)}, "`fill_mode` must be 'nearest'"),
        ({"data_format": "channels_first"}, "`data_format` must be None or 'channels_last'"),
        ({"validation_split": 1}, "`validation_split` must be a number in"),
        ({"rescale": "1/255"}, "`rescale` must be a number"),
        ({"preprocessing_function": 3}, "`preprocessing_function` must be callable"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        cai.util.create_image_generator(**options)


def test_bad_data_are_refused(tmp_path):
    generator = ImageDataGenerator(validation_split=0.1)
    for call, message in {
        lambda: generator.flow(np.zeros((3, 8, 8))): "`x` must be numbers of the shape",
        lambda: generator.flow(images(3), [1, 2]): "`y` must have one label for each of the 3 images",
        lambda: generator.flow(images(3), batch_size=0): "`batch_size` must be an integer of at least 1",
        lambda: generator.flow(images(3), shuffle=2): "`shuffle` must be a bool, or 0 or 1",
        lambda: generator.flow(images(3), [1, 2, 3], sample_weight=[1, 2]): "`sample_weight` must have one number for",
        lambda: generator.flow(images(3), sample_weight=[1, 2, 3]): "`sample_weight` .* needs `y`",
        lambda: generator.flow(images(3), save_to_dir="here"): "`save_to_dir` must be None",
        lambda: generator.flow_from_directory(tmp_path, follow_links=True): "`follow_links` must be False",
        lambda: generator.flow(images(3), seed=-1): "`seed` must be an integer of at least 0",
        lambda: generator.flow(images(3), subset="test"): "`subset` must be None or 'training' or 'validation'",
        lambda: generator.flow(images(3), subset="validation"): "`subset` must leave at least one image of 3",
        lambda: generator.flow_from_directory(tmp_path): "`directory` must have a sub-folder with images",
        lambda: generator.flow_from_directory(tmp_path, classes="ab"): "`classes` must be a sequence of folder names",
        lambda: generator.flow_from_directory(tmp_path, classes=[1]): "`classes` must be a sequence of folder names",
        lambda: generator.flow_from_directory(tmp_path, classes=["a", "a"]): "`classes` must have no name twice",
        lambda: generator.flow_from_directory(tmp_path / "no"): "`directory` must be an existing folder",
        lambda: generator.flow_from_directory(tmp_path, color_mode="grayscale"): "`color_mode` must be 'rgb'",
        lambda: generator.flow_from_directory(tmp_path, target_size=32): "`target_size` must be two integers",
        lambda: generator.flow_from_directory(tmp_path, class_mode="input"): "`class_mode` must be",
    }.items():
        with pytest.raises((TypeError, ValueError, FileNotFoundError), match=message):
            call()
