"""Batches of augmented images as notebooks for Keras 2 ask for them: `ImageDataGenerator` with its two ways to deliver.

Keras deprecates its own, which needs SciPy. This one draws its transformations with `kgpc.training.Augmentation` (equal
in distribution, `tests/test_cai_image_generator.py`) and repeats them exactly for the same seed.
"""

import keras
import numpy as np
import PIL.Image

from kgpc.cai import checks
from kgpc.datasets.decoding import decode
from kgpc.training import Augmentation, sample_generator
from kgpc.training.augmentation import order_generator

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
_CLASS_MODES = ("categorical", "sparse", "binary", None)


class ImageDataGenerator:
    """Keras 2's generator of augmented images, as far as the papers' notebooks use it.

    Per image and epoch one affine map is drawn: angle, shifts, shear and the zoom of each axis, evenly from their
    ranges; it is applied with linear interpolation, and edges are repeated. Then one number of the range of the
    channel shift is added to all channels, and the result clipped to the image's own least and greatest value; then
    come `preprocessing_function` and `rescale`. Each flip has probability 1/2.

    Args:
        featurewise_center: False; no published run has another value, and none is accepted.
        samplewise_center: False.
        featurewise_std_normalization: False.
        samplewise_std_normalization: False.
        zca_whitening: False.
        zca_epsilon: number, without effect.
        rotation_range: number >= 0, degrees to either side.
        width_shift_range, height_shift_range: number in [0, 1), fraction of the width and the height.
        brightness_range: None.
        shear_range: number >= 0, DEGREES, although 0.2 looks like a fraction: it is next to nothing.
        zoom_range: number in [0, 1): factors from 1 - zoom to 1 + zoom, for rows and columns independently.
        channel_shift_range: number >= 0, in the unit of the images BEFORE `rescale`: 0.1 is a tenth of the range of
            images in [0, 1], and nothing on 0..255.
        fill_mode: "nearest".
        cval: number, without effect.
        horizontal_flip, vertical_flip: bool.
        rescale: number, or None; images are multiplied by it.
        preprocessing_function: callable, array (height, width, channels) to array of this shape, or None.
        data_format: None or "channels_last".
        validation_split: number in [0, 1): with `subset="validation"` the FIRST int(n * split) images, of the arrays
            or of each class folder, are delivered, with `subset="training"` the rest. Both are augmented alike.

    Raises:
        TypeError, ValueError: if an argument is something else.
    """

    def __init__(
        self,
        featurewise_center=False,
        samplewise_center=False,
        featurewise_std_normalization=False,
        samplewise_std_normalization=False,
        zca_whitening=False,
        zca_epsilon=1e-6,
        rotation_range=0,
        width_shift_range=0.0,
        height_shift_range=0.0,
        brightness_range=None,
        shear_range=0.0,
        zoom_range=0.0,
        channel_shift_range=0.0,
        fill_mode="nearest",
        cval=0.0,
        horizontal_flip=False,
        vertical_flip=False,
        rescale=None,
        preprocessing_function=None,
        data_format=None,
        validation_split=0.0,
    ):
        for name, value in {
            "featurewise_center": featurewise_center,
            "samplewise_center": samplewise_center,
            "featurewise_std_normalization": featurewise_std_normalization,
            "samplewise_std_normalization": samplewise_std_normalization,
            "zca_whitening": zca_whitening,
        }.items():
            if checks.flag(name, value):
                raise ValueError(f"`{name}` must be False, as in all published runs. Received: {name}={value}.")
        _check_choice("brightness_range", brightness_range, (None,))
        _check_choice("fill_mode", fill_mode, ("nearest",))
        _check_choice("data_format", data_format, (None, "channels_last"))
        if rescale is not None:
            checks.number("rescale", rescale, low=-np.inf)
        if preprocessing_function is not None and not callable(preprocessing_function):
            raise TypeError(
                "`preprocessing_function` must be callable or None. "
                f"Received: preprocessing_function={preprocessing_function!r}."
            )
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.validation_split = checks.number("validation_split", validation_split, high=1)
        self.augmentation = Augmentation(
            rotation=checks.number("rotation_range", rotation_range),
            width_shift=checks.number("width_shift_range", width_shift_range, high=1),
            height_shift=checks.number("height_shift_range", height_shift_range, high=1),
            shear=checks.number("shear_range", shear_range),
            zoom=checks.number("zoom_range", zoom_range, high=1),
            channel_shift=checks.number("channel_shift_range", channel_shift_range),
            horizontal_flip=checks.flag("horizontal_flip", horizontal_flip),
            vertical_flip=checks.flag("vertical_flip", vertical_flip),
        )
        ranges = (rotation_range, width_shift_range, height_shift_range, shear_range, zoom_range, channel_shift_range)
        self._augments = any(ranges) or horizontal_flip or vertical_flip

    def flow(self, x, y=None, batch_size=32, shuffle=True, seed=None, subset=None):
        """Delivers batches of arrays.

        Args:
            x: array (n, height, width, channels).
            y: array-like of n labels, or None for batches of images alone.
            batch_size: int >= 1.
            shuffle: bool, whether the order is drawn anew for each epoch.
            seed: int >= 0, or None for a seed drawn from NumPy's global generator.
            subset: "training", "validation" or None, see `validation_split`.

        Returns:
            `ArrayFlow`, a `keras.utils.PyDataset`.

        Raises:
            TypeError, ValueError: if an argument is something else, or no image is left.
        """
        return ArrayFlow(self, x, y, batch_size, shuffle, seed, subset)

    def flow_from_directory(
        self,
        directory,
        target_size=(256, 256),
        color_mode="rgb",
        classes=None,
        class_mode="categorical",
        batch_size=32,
        shuffle=True,
        seed=None,
        subset=None,
        interpolation="nearest",
    ):
        """Delivers batches of the images of a folder that has one sub-folder for each class.

        Names sort AS TEXT: class_0, class_1, class_10, class_11, ..., class_2. For a data set of more than ten classes
        written by `save_dataset_as_png`, the index of a class is therefore not its number; `class_indices` has it.

        Args:
            directory: path of the folder. Hidden files and folders are passed over.
            target_size: height and width of the images in pixels; sizes change as Pillow's "nearest" does it.
            color_mode: "rgb".
            classes: sequence of folder names, in the order of their indices; None for all, sorted.
            class_mode: "categorical" (one-hot float32), "sparse" or "binary" (float32 indices), or None (no labels).
            batch_size: int >= 1.
            shuffle: bool, as in `flow`.
            seed: int or None, as in `flow`.
            subset: as in `flow`, of each class folder.
            interpolation: "nearest".

        Returns:
            `FolderFlow`, a `keras.utils.PyDataset`.

        Raises:
            FileNotFoundError: if there is no such folder, or no sub-folder of one of the `classes`.
            TypeError, ValueError: if an argument is something else, or no image is left.
        """
        _check_choice("color_mode", color_mode, ("rgb",))
        _check_choice("interpolation", interpolation, ("nearest",))
        return FolderFlow(self, directory, target_size, classes, class_mode, batch_size, shuffle, seed, subset)

    def transformed(self, image, generator):
        """One image as it is delivered.

        Args:
            image: array (height, width, channels).
            generator: `numpy.random.Generator` that decides the transformation.

        Returns:
            float32 array of the same shape.
        """
        image = np.asarray(image, np.float32)
        if self._augments:
            image = self.augmentation.sample(image.shape, generator).apply(image)
        if self.preprocessing_function is not None:
            image = self.preprocessing_function(image)
        return image if self.rescale is None else image * np.float32(self.rescale)


def _check_choice(name, value, choices):
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        allowed = " or ".join(map(repr, choices))
        raise ValueError(f"`{name}` must be {allowed}. Received: {name}={value!r}.")


class Flow(keras.utils.PyDataset):
    """Batches whose order and augmentation depend on seed, epoch and position of an image, and on nothing else.

    Indexing gives a batch; iterating goes on for ever, as in Keras 2. An epoch ends with `on_epoch_end`, which `fit`
    calls, also before the first one.

    Attributes:
        n, samples: int, number of images.
        batch_size: int.
        shuffle: bool.
        seed: int.
        epoch: int, number of the epoch.
    """

    def __init__(self, generator, positions, batch_size, shuffle, seed):
        super().__init__()
        self.generator, self.positions = generator, positions
        self.batch_size = checks.integer("batch_size", batch_size, 1)
        self.shuffle = checks.flag("shuffle", shuffle)
        if seed is None:
            seed = np.random.randint(2**31)
        self.seed = checks.integer("seed", seed, 0)
        self.n = self.samples = len(positions)
        self.epoch = self.batch_index = 0
        self._order = (None, None)

    def __len__(self):
        return -(-self.n // self.batch_size)

    def on_epoch_end(self):
        self.epoch += 1

    def reset(self):
        """Begins the epoch again, for iterating."""
        self.batch_index = 0

    def __iter__(self):
        return self

    def __next__(self):
        batch = self[self.batch_index]
        self.batch_index += 1
        if self.batch_index == len(self):
            self.reset()
            self.on_epoch_end()
        return batch

    next = __next__

    def order(self):
        """Positions of the images in the order of this epoch."""
        if not self.shuffle:
            return self.positions
        epoch = self.epoch
        known, order = self._order  # one read: another thread may replace the pair
        if known != epoch:
            order = order_generator(self.seed, epoch).permutation(self.positions)
            self._order = (epoch, order)
        return order

    def __getitem__(self, number):
        if not 0 <= number < len(self):
            raise IndexError(f"There are {len(self)} batches. Received: {number}.")
        chosen = self.order()[number * self.batch_size : (number + 1) * self.batch_size]
        images = [
            self.generator.transformed(self._image(position), sample_generator(self.seed, self.epoch, int(position)))
            for position in chosen
        ]
        return self._batch(np.stack(images), chosen)


def _part(count, split, subset):
    """The positions of a subset among `count` images."""
    _check_choice("subset", subset, (None, "training", "validation"))
    first = int(count * split)
    return {None: range(count), "training": range(first, count), "validation": range(first)}[subset]


def _check_not_empty(positions, subset, split, total):
    if not len(positions):
        raise ValueError(
            f"`subset` must leave at least one image of {total}. "
            f"Received: subset={subset!r} with validation_split={split}."
        )


class ArrayFlow(Flow):
    """What `ImageDataGenerator.flow` returns: batches `(float32 images, labels)`, or images alone without labels."""

    def __init__(self, generator, x, y, batch_size, shuffle, seed, subset):
        x = checks.images("x", x)
        if y is not None:
            y = np.asarray(y)
            if y.ndim < 1 or len(y) != len(x):
                raise ValueError(
                    f"`y` must have one label for each of the {len(x)} images. Received: y.shape={y.shape}."
                )
        positions = np.array(_part(len(x), generator.validation_split, subset), np.int64)
        _check_not_empty(positions, subset, generator.validation_split, len(x))
        self.x, self.y = x, y
        super().__init__(generator, positions, batch_size, shuffle, seed)

    def _image(self, position):
        return self.x[position]

    def _batch(self, images, chosen):
        return images if self.y is None else (images, self.y[chosen])


class FolderFlow(Flow):
    """What `ImageDataGenerator.flow_from_directory` returns: batches of the images of a folder.

    Attributes, besides those of `Flow`:
        class_indices: dict, index by folder name.
        num_classes: int.
        classes: int32 array, class of each image.
        filenames, filepaths: lists of str, the images relative to the folder, and with it.
        target_size: tuple, height and width.
        image_shape: tuple, height, width and channels.
    """

    def __init__(self, generator, directory, target_size, classes, class_mode, batch_size, shuffle, seed, subset):
        directory = checks.folder("directory", directory)
        self.target_size = checks.size("target_size", target_size)
        _check_choice("class_mode", class_mode, _CLASS_MODES)
        if classes is None:
            classes = sorted(entry.name for entry in directory.iterdir() if entry.is_dir() and not _hidden(entry))
        elif isinstance(classes, str) or not all(isinstance(name, str) for name in classes):
            raise TypeError(f"`classes` must be a sequence of folder names, or None. Received: classes={classes!r}.")
        elif len(set(classes)) < len(classes):
            raise ValueError(f"`classes` must have no name twice. Received: classes={classes!r}.")
        self.class_mode, self.image_shape = class_mode, (*self.target_size, 3)
        self.class_indices = {name: index for index, name in enumerate(classes)}
        self.num_classes = len(self.class_indices)
        if class_mode == "binary" and self.num_classes != 2:
            raise ValueError(
                f'`class_mode` must not be "binary" for {self.num_classes} classes. Received: class_mode="binary".'
            )
        # The transformation of an image depends on its place in the whole folder, not in the subset.
        self._files, labels, positions = [], [], []
        for name, index in self.class_indices.items():
            files = _image_files(checks.folder("classes", directory / name))
            positions += [len(self._files) + place for place in _part(len(files), generator.validation_split, subset)]
            self._files += files
            labels += [index] * len(files)
        if not self._files:
            raise ValueError(
                "`directory` must have a sub-folder with images for each class. "
                f"Received: directory={str(directory)!r}, with {self.num_classes} sub-folders and no image."
            )
        _check_not_empty(positions, subset, generator.validation_split, len(self._files))
        self._labels, positions = np.array(labels, np.int32), np.array(positions, np.int64)
        self.classes = self._labels[positions]
        self.filepaths = [str(self._files[position]) for position in positions]
        self.filenames = [str(self._files[position].relative_to(directory)) for position in positions]
        super().__init__(generator, positions, batch_size, shuffle, seed)
        print(f"Found {self.n} images belonging to {self.num_classes} classes.")

    @property
    def labels(self):
        """The same as `classes`."""
        return self.classes

    def _image(self, position):
        return resized(decode(self._files[position], orient=False), self.target_size)

    def _batch(self, images, chosen):
        if self.class_mode is None:
            return images
        labels = self._labels[chosen]
        if self.class_mode == "categorical":
            return images, np.eye(self.num_classes, dtype=np.float32)[labels]
        return images, labels.astype(np.float32)


def _hidden(path):
    return path.name.startswith(".")


def _image_files(folder):
    """The images of a class in the order of their names, those of sub-folders after them."""
    entries = sorted((entry for entry in folder.iterdir() if not _hidden(entry)), key=lambda entry: entry.name)
    files = [entry for entry in entries if entry.is_file() and entry.suffix.lower() in IMAGE_SUFFIXES]
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            files += _image_files(entry)
    return files


def resized(pixels, target_size):
    """An image of another size, as Pillow's "nearest" does it: the pixel under the centre of the new one.

    Args:
        pixels: uint8 array (height, width, 3).
        target_size: tuple, height and width.

    Returns:
        uint8 array (height, width, 3) of that size.
    """
    if pixels.shape[:2] == tuple(target_size):
        return pixels
    image = PIL.Image.fromarray(pixels).resize(target_size[::-1], PIL.Image.Resampling.NEAREST)
    return np.asarray(image)
