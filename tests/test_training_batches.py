"""Preparing, dividing and ordering images."""

import numpy as np
import pytest

from kgpc import datasets, training
from kgpc.training import QUICK, Augmentation, Batches, prepare, split

TINY = QUICK.replace(batch_size=4, image_size=8)


def numbered(count, size=8):
    """Images that can be told apart: all pixels of image i have the value i."""
    return np.broadcast_to(np.arange(count, dtype="uint8")[:, None, None], (count, size, size))


def seen(batches, epoch=0):
    """Numbers of the images in each batch of an epoch."""
    batches.epoch = epoch
    return [np.round(batches[index][0][:, 0, 0, 0] * 255).astype(int).tolist() for index in range(len(batches))]


# Preparing


@pytest.mark.parametrize(
    "side, size, padded",
    [(28, 32, 32), (28, 64, 32), (28, 224, 28), (32, 224, 32), (32, 32, 32), (30, 224, 32), (8, 8, 8)],
)
def test_pixels_are_repeated_equally_often(side, size, padded):
    images = np.random.default_rng(0).integers(1, 256, (2, side, side, 3), dtype="uint8")
    prepared = prepare(images, QUICK.replace(image_size=size))
    assert prepared.shape == (2, size, size, 3) and prepared.dtype == np.float32
    factor = size // padded
    before = (padded - side) // 2 * factor
    inside = prepared[:, before : before + side * factor, before : before + side * factor]
    np.testing.assert_array_equal(inside, (images / np.float32(255)).repeat(factor, 1).repeat(factor, 2))
    assert np.count_nonzero(prepared) == inside.size


@pytest.mark.parametrize("side, size", [(150, 224), (28, 75), (32, 75), (50, 32)])
def test_other_sizes_take_the_nearest_pixel(side, size):
    images = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype="uint8")
    prepared = prepare(images, QUICK.replace(image_size=size))
    nearest = np.floor(np.arange(size) * side / size).astype(int)
    np.testing.assert_allclose(prepared[0], images[0][nearest][:, nearest] / 255, atol=1e-6)


def test_other_shapes_are_padded_to_a_square():
    images = np.full((1, 16, 8), 255, "uint8")
    prepared = prepare(images, QUICK.replace(image_size=32))
    assert prepared[0, :, 8:24].min() == 1 and prepared[0, :, :8].max() == prepared[0, :, 24:].max() == 0


def test_colour_spaces_and_ranges():
    images = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [128, 128, 128]], "uint8")
    images = np.broadcast_to(images[:, None, None], (4, 8, 8, 3))
    np.testing.assert_array_equal(prepare(images, TINY.replace(pixel_maximum=255.0)), images)
    lab = prepare(images, TINY.replace(color_space="lab"))[:, 0, 0]
    # CIE: white is L 100, black 0, sRGB red (53.24, 80.09, 67.20), and grey has no colour.
    expected = [[1, 0.5, 0.5], [0, 0.5, 0.5], [0.5324, 0.9005, 0.8360], [0.5359, 0.5, 0.5]]
    np.testing.assert_allclose(lab, expected, atol=2e-3)


def test_images_of_another_kind_are_refused():
    with pytest.raises(TypeError, match="`images` must be an array of uint8"):
        prepare(np.zeros((2, 8, 8), "float32"), TINY)
    with pytest.raises(ValueError, match="`images` must have the shape"):
        prepare(np.zeros((8, 8), "uint8"), TINY)


# Dividing


def test_divisions_are_what_they_are_called():
    labels = np.array([0, 1] * 10 + [1] * 10)  # 10 of class 0, 20 of class 1
    divided = {
        name: split(labels, QUICK.replace(validation_split=name, validation_fraction=0.2))
        for name in training.recipes.CHOICES["validation_split"]
    }
    for chosen, validation in divided.values():
        assert sorted([*chosen, *validation]) == list(range(30)) and len(validation) == 6
    assert divided["first"][1].tolist() == [0, 1, 2, 3, 4, 5]
    assert divided["first of each class"][1].tolist() == [0, 1, 2, 3, 5, 7]
    assert divided["every nth of each class"][1].tolist() == [0, 1, 10, 11, 20, 25]
    random = divided["random of each class"][1]
    assert np.bincount(labels[random]).tolist() == [2, 4]
    again, other = (split(labels, QUICK.replace(validation_fraction=0.2, seed=seed))[1] for seed in (7, 8))
    assert random.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("fraction", [0.3, 0.4, 0.6, 0.7, 0.9])
def test_every_nth_image_is_of_a_fraction_that_is_one_nth(fraction):
    recipe = QUICK.replace(validation_split="every nth of each class", validation_fraction=fraction)
    with pytest.raises(ValueError, match="must be about 1/n, with n of at least 2"):
        split(np.repeat([0, 1], 20), recipe)


def test_a_class_that_the_division_takes_away_is_not_left_out_of_the_training_images():
    recipe = QUICK.replace(validation_split="first", validation_fraction=0.1, train_images=100)
    with pytest.raises(ValueError, match="`train_images` must be of all classes; the division leaves none of class 0"):
        split(np.repeat(np.arange(10), 20), recipe)


def test_every_tenth_file_is_every_ninth_after_the_test_files_are_gone():
    files = np.arange(100)
    validation = files[::10]
    rest = np.setdiff1d(files, validation)
    test = rest[::9]
    training_part = np.setdiff1d(files, test)
    recipe = training.recipe("malaria")
    chosen = training_part[split(np.zeros(len(training_part), int), recipe)[1]]
    assert chosen.tolist() == validation.tolist()


def test_a_part_of_the_training_images_has_the_same_number_of_each_class():
    labels = np.repeat([0, 1, 2], [10, 20, 30])
    chosen, validation = split(labels, QUICK.replace(train_images=15))
    assert np.bincount(labels[chosen]).tolist() == [5, 5, 5]
    assert not set(chosen) & set(validation)


@pytest.mark.parametrize(
    "labels, changes, message",
    [
        (np.zeros((3, 1), int), {}, r"`labels` must have the shape \(n,\)"),
        (np.zeros(0, int), {}, r"`labels` must have the shape \(n,\) with n >= 1"),
        (
            np.array([0] * 20 + [1]),
            {},
            "at least one image for training and one for validation of every class; there are 1 images of class 1",
        ),
        (np.zeros(3, int), {"validation_split": "first"}, "there are 3 images. Received: validation_fraction=0.1"),
        (np.repeat([0, 1], 20), {"train_images": 7}, "`train_images` must be a multiple of the 2 classes, at most 18"),
        (np.repeat([0, 1], 20), {"train_images": 38}, "Received: train_images=38"),
    ],
)
def test_impossible_divisions_are_refused(labels, changes, message):
    with pytest.raises(ValueError, match=message):
        split(labels, QUICK.replace(**changes))


# Ordering


def test_the_order_depends_on_seed_and_epoch_only():
    batches = Batches(numbered(10), np.arange(10), TINY)
    first, second = seen(batches, 0), seen(batches, 1)
    assert [len(batch) for batch in first] == [4, 4]  # whole batches
    assert len(set(sum(first, []))) == 8 and first != second
    assert seen(batches, 0) == first  # whatever came before
    assert seen(Batches(numbered(10), np.arange(10), TINY), 1) == second
    assert seen(Batches(numbered(10), np.arange(10), TINY.replace(seed=8)), 0) != first


def test_without_training_all_images_come_in_their_order():
    batches = Batches(numbered(10), np.arange(10), TINY, training=False)
    assert sum(seen(batches, 3), []) == list(range(10))
    assert [len(batch) for batch in seen(batches)] == [4, 4, 2]


def test_labels_and_selections_go_with_their_images():
    batches = Batches(numbered(40), np.arange(40), TINY, indices=np.arange(5, 40, 2))
    for index in range(len(batches)):
        images, labels = batches[index]
        assert np.round(images[:, 0, 0, 0] * 255).astype(int).tolist() == labels.tolist()
        assert labels.dtype == np.int64 and all(label % 2 and label >= 5 for label in labels)


def test_array_likes_that_decode_on_demand_are_asked_for_a_batch_at_a_time():
    asked = []

    class Lazy:
        shape, dtype = (10, 8, 8), np.dtype("uint8")

        def __len__(self):
            return 10

        def __getitem__(self, positions):
            asked.append(len(positions))
            return numbered(10)[positions]

    batches = Batches(Lazy(), np.arange(10), TINY, training=False)
    assert asked == [] and sum(seen(batches), []) == list(range(10)) and asked == [4, 4, 2]


def test_augmentation_depends_on_seed_epoch_and_position_only():
    data = datasets.fashion_mnist_sample()
    recipe = QUICK.replace(augmentation=Augmentation(), batch_size=16)

    def by_position(images, labels, indices, epoch):
        batches = Batches(images, labels, recipe, indices=indices)
        batches.epoch = epoch
        return {
            position: image
            for number in range(len(batches))
            for position, image in zip(
                batches.order(epoch)[number * 16 : (number + 1) * 16], batches[number][0], strict=True
            )
        }

    labels = np.arange(len(data.x_train))
    wide = by_position(data.x_train, labels, np.arange(64), 0)
    narrow = by_position(data.x_train, labels, np.arange(16, 48), 0)
    for position, image in narrow.items():
        np.testing.assert_array_equal(image, wide[position])
    later = by_position(data.x_train, labels, np.arange(16, 48), 1)
    assert all(not np.array_equal(later[position], narrow[position]) for position in narrow)
    assert 0 <= min(image.min() for image in wide.values()) and max(image.max() for image in wide.values()) <= 1


def test_mirrored_views_are_four_of_each_image():
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype="uint8")
    batches = Batches(images, np.arange(3), TINY, training=False, views="mirrored")
    assert len(batches) == 3
    everything = np.concatenate([batches[index][0] for index in range(3)])
    labels = np.concatenate([batches[index][1] for index in range(3)])
    assert labels.tolist() == [0, 1, 2] * 4
    for image in range(3):
        views = {everything[image + 3 * copy].tobytes() for copy in range(4)}
        plain = images[image] / np.float32(255)
        flips = {plain[::up, ::left].tobytes() for up in (1, -1) for left in (1, -1)}
        assert views == flips and len(flips) == 4


@pytest.mark.parametrize("views, items", (("plain", 11), ("mirrored", 44)))
def test_a_last_batch_is_filled_up_with_the_first_images(views, items):
    order = np.arange(13, 2, -1)
    recipe = TINY.replace(batch_size=8)
    arguments = {"training": False, "indices": order, "views": views}
    short = Batches(numbered(20), np.arange(20), recipe, **arguments)
    filled = Batches(numbered(20), np.arange(20), recipe, **arguments, fill=True)
    assert len(filled) == len(short) and len(short[len(short) - 1][1]) < 8
    batches = [filled[number] for number in range(len(filled))]
    assert {images.shape for images, _ in batches} == {(8, 8, 8, 3)}
    labels = np.concatenate([labels for _, labels in batches])
    images = np.concatenate([images for images, _ in batches])
    np.testing.assert_array_equal(labels[:items], np.tile(order, items // 11))
    np.testing.assert_array_equal(labels[items:], order[: len(labels) - items])
    np.testing.assert_array_equal(images[items:], images[: len(labels) - items])


def test_balanced_weights_give_every_class_the_same_total():
    labels = np.repeat([0, 1, 2], [4, 8, 12])
    batches = Batches(numbered(24), labels, TINY.replace(class_weight="balanced"))
    totals = np.zeros(3)
    for index in range(len(batches)):
        _, classes, weights = batches[index]
        np.add.at(totals, classes, weights)
    np.testing.assert_allclose(totals, [8, 8, 8], rtol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_processes_share_each_batch(training):
    recipe = TINY.replace(class_weight="balanced") if training else TINY
    whole = Batches(numbered(10), np.arange(10) % 3, recipe, training=training)
    parts = [
        Batches(numbered(10), np.arange(10) % 3, recipe, training=training, process=p, processes=2) for p in (0, 1)
    ]
    assert len(parts[0]) == len(parts[1]) == len(whole)
    loss = lambda images: images[:, 0, 0, 0]  # noqa: E731  any function of the images
    total, count = 0.0, 0
    for index in range(len(whole)):
        left, right = parts[0][index], parts[1][index]
        assert len(left[0]) == len(right[0]) == 2
        expected, both = whole[index], np.concatenate([left[0], right[0]])
        np.testing.assert_array_equal(both[: len(expected[0])], expected[0])
        if not training:
            weights = np.concatenate([left[2], right[2]])
            total, count = total + (weights * loss(both)).sum(), count + len(both)
    if not training:
        # The mean over all, those that fill up included, is the mean over the images.
        assert total / count == pytest.approx(np.mean(np.arange(10) / 255))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": np.arange(9)}, r"`labels` must have the shape \(n,\), one for each image. Received: 10 images"),
        ({"views": "upside down"}, '`views` must be "plain", "augmented", "mirrored" or None'),
        ({"views": "augmented"}, "needs a recipe with an augmentation"),
        ({"recipe": TINY.replace(batch_size=11)}, "`batch_size` must be at most the number of images to train on, 10"),
        ({"processes": 3}, "`batch_size` must be a multiple of the 3 processes"),
    ],
)
def test_bad_batches_are_refused(changes, message):
    arguments = {"images": numbered(10), "labels": np.arange(10), "recipe": TINY}
    with pytest.raises(ValueError, match=message):
        Batches(**(arguments | changes))


def test_a_loop_over_batches_ends_with_the_last_one():
    labels = np.arange(10) % 2
    batches = Batches(np.zeros((10, 4, 4), "uint8"), labels, QUICK.replace(batch_size=4), training=False)
    assert np.concatenate([batch_labels for _, batch_labels in batches]).tolist() == labels.tolist()
    for number in (3, -1):
        with pytest.raises(IndexError, match=rf"`number` must be in \[0, 3\). Received: number={number}"):
            batches[number]
