"""Batches of augmented images: what `ImageDataGenerator` delivers, from arrays or from a folder."""

import warnings

import keras
import numpy as np
import PIL.Image

from kgpc.cai import checks
from kgpc.datasets.decoding import decode
from kgpc.training import sample_generator
from kgpc.training.augmentation import order_generator

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff")
_CLASS_MODES = ("categorical", "sparse", "binary", None)


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

    def order(self, epoch=None):
        """Positions of the images in the order of an epoch; None for the epoch that it is."""
        if not self.shuffle:
            return self.positions
        if epoch is None:
            epoch = self.epoch
        known, order = self._order  # one read: another thread may replace the pair
        if known != epoch:
            order = order_generator(self.seed, epoch).permutation(self.positions)
            self._order = (epoch, order)
        return order

    def __getitem__(self, number):
        return self.batch(self.epoch, number)

    def batch(self, epoch, number):
        """One batch of an epoch.

        Args:
            epoch: int >= 0.
            number: int in [0, len(self)).

        Returns:
            Array (n, height, width, channels) in float32; or a tuple of it, the labels and, if given, the weights.

        Raises:
            IndexError: if there is no such batch.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"There are {len(self)} batches of {self.n} images. Received: {number}.")
        chosen = self.order(epoch)[number * self.batch_size : (number + 1) * self.batch_size]
        images = [
            self.generator.transformed(self._image(position), sample_generator(self.seed, epoch, int(position)))
            for position in chosen
        ]
        return self._batch(np.stack(images), chosen)


class FlowOfSteps(keras.utils.PyDataset):
    """A given number of batches of a flow: what Keras 2 made of `steps_per_epoch`, `validation_steps` and `steps`.

    Each time it begins with the first batch of an epoch of the flow. Where that has fewer batches, it goes round again,
    with the order and the augmentation of the next epoch, instead of ending as Keras 3 does.

    Args:
        flow: `Flow`.
        steps: int >= 1.

    Raises:
        ValueError: if the flow has no image.
    """

    def __init__(self, flow, steps):
        if not len(flow):
            raise ValueError("`flow` must have at least one image.")
        super().__init__(workers=flow.workers, max_queue_size=flow.max_queue_size)
        self.flow, self.steps = flow, steps

    def __len__(self):
        return self.steps

    def __getitem__(self, number):
        rounds, number = divmod(number, len(self.flow))
        return self.flow.batch(self.flow.epoch + rounds, number)

    def on_epoch_end(self):
        self.flow.epoch += -(-self.steps // len(self.flow))


def _part(count, split, subset):
    """The positions of a subset among `count` images."""
    checks.choice("subset", subset, (None, "training", "validation"))
    first = int(count * split)
    return {None: range(count), "training": range(first, count), "validation": range(first)}[subset]


class ArrayFlow(Flow):
    """What `ImageDataGenerator.flow` returns: batches `(float32 images, labels)`.

    Where there are no labels, images alone; where there are weights, they come third.
    """

    def __init__(self, generator, x, y, batch_size, shuffle, sample_weight, seed, subset):
        x = checks.images("x", x)
        if y is not None:
            y = np.asarray(y)
            if y.ndim < 1 or len(y) != len(x):
                raise ValueError(
                    f"`y` must have one label for each of the {len(x)} images. Received: y.shape={y.shape}."
                )
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight)
            if y is None or sample_weight.shape[:1] != (len(x),) or sample_weight.dtype.kind not in "biuf":
                raise ValueError(
                    f"`sample_weight` must have one number for each of the {len(x)} images, and needs `y`. "
                    f"Received: sample_weight.shape={sample_weight.shape}, dtype {sample_weight.dtype}."
                )
        split = generator.validation_split
        positions = np.array(_part(len(x), split, subset), np.int64)
        if not len(positions):
            raise ValueError(
                f"`subset` must leave at least one image of {len(x)}. "
                f"Received: subset={subset!r} with validation_split={split}."
            )
        self.x, self.y, self.sample_weight = x, y, sample_weight
        super().__init__(generator, positions, batch_size, shuffle, seed)

    def _image(self, position):
        return self.x[position]

    def _batch(self, images, chosen):
        if self.y is None:
            return images
        labelled = images, self.y[chosen]
        return labelled if self.sample_weight is None else (*labelled, self.sample_weight[chosen])


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
        checks.choice("class_mode", class_mode, _CLASS_MODES)
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
        if not positions:
            counts = np.bincount(labels, minlength=self.num_classes)
            warnings.warn(
                f"The {subset} part of validation_split={generator.validation_split} has no image: the classes have "
                f"{counts.min()} to {counts.max()} images.",
                UserWarning,
                stacklevel=4,
            )
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
