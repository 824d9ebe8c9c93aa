"""What the network sees: images of the right size, in batches whose order and augmentation are functions of the epoch.

Nothing here depends on what was drawn before. So a training that was interrupted sees, after the restart, exactly the
batches that it would have seen.
"""

import cv2
import keras
import numpy as np

from kgpc import datasets
from kgpc.arguments import integer
from kgpc.training.augmentation import order_generator, sample_generator, transform
from kgpc.training.recipes import check_recipe

# Threads beyond it only wait for each other, and the system ends a process that asks for millions.
MOST_WORKERS = 256

# Prepared images that are transformed before the next ones are prepared.
_CACHED_BYTES = 2**20

# Small images are padded up to this factor if repeating their pixels then gives the size exactly: 28 -> 32 -> 224.
_PADDING_LIMIT = 1.25


def prepare(images, recipe):
    """Makes images ready for the network: square, of the recipe's size, three channels, colour space and range.

    An image that is not square is padded with zeros. Images are enlarged (and reduced) with the nearest pixel, as in
    the published runs; where padding them by at most a quarter makes the size a multiple of theirs, they are padded
    (with what the recipe's `margin` says), so that all pixels are repeated equally often.

    Args:
        images: uint8 array `(n, height, width)`, `(n, height, width, 1)` or `(n, height, width, 3)`.
        recipe: `Recipe`.

    Returns:
        float32 array `(n, recipe.image_size, recipe.image_size, 3)`, values in [0, `recipe.pixel_maximum`].

    Raises:
        TypeError, ValueError: if `images` is something else.

    Example:

    >>> prepare(np.zeros((5, 28, 28), "uint8"), QUICK).shape
    (5, 32, 32, 3)
    """
    check_recipe(recipe)
    return _finished(*_padded(images, recipe), recipe)


def _padded(images, recipe):
    """The first step of `prepare`: images square and padded, as small as they are, and how often to repeat each pixel.

    The second is None where it would be no whole number.
    """
    size = recipe.image_size
    images = datasets.as_model_input(images, max(images.shape[1:3]) if getattr(images, "ndim", 0) >= 3 else size)
    side = images.shape[1]
    if side == size or not images.size:
        return images, 1 if side == size else None
    largest = min(size, int(_PADDING_LIMIT * side))
    padded = next((larger for larger in range(side, largest + 1) if size % larger == 0), None)
    if padded is None:
        return images, None
    before = (padded - side) // 2
    around = (before, padded - side - before)
    mode = {"zeros": "constant", "edge": "edge"}[recipe.margin]
    return np.pad(images, ((0, 0), around, around, (0, 0)), mode=mode), size // padded


def _finished(images, factor, recipe):
    """The second step of `prepare`: images of the recipe's size, colour space and range."""
    size = recipe.image_size
    if not images.size:
        return np.zeros((len(images), size, size, 3), np.float32)
    if factor is None:
        images = np.stack([cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST) for image in images])
    else:
        images = _enlarged(images, factor)
    if recipe.color_space == "lab":
        images = np.stack([_lab(image) for image in images])
    return images if recipe.pixel_maximum == 1.0 else images * np.float32(recipe.pixel_maximum)


def _enlarged(images, factor):
    """Each pixel `factor` times along both axes; as `repeat` does, in a third of its time and without Python's lock."""
    count, height, width, channels = images.shape
    if factor == 1:
        return images
    rows = np.empty((count, height, width, factor, channels), images.dtype)
    rows[...] = images[:, :, :, np.newaxis]
    result = np.empty((count, height, factor, width * factor * channels), images.dtype)
    result[...] = rows.reshape(count, height, 1, -1)
    return result.reshape(count, height * factor, width * factor, channels)


def _lab(image):
    """CIE Lab of an RGB image in [0, 1], scaled to [0, 1]."""
    light, a, b = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))
    return cv2.merge([light / 100, a / 200 + 0.5, b / 200 + 0.5])


def split(labels, recipe):
    """Divides the training part of a data set into images to train on and images for validation.

    Args:
        labels: int array `(n,)`, class of each image.
        recipe: `Recipe`; `validation_split`, `validation_fraction`, `train_images` and `seed` decide.

    Returns:
        Two int64 arrays, ascending positions of the images for training and for validation.

    Raises:
        ValueError: if `labels` has another shape, if there would be no validation image or none to train on (of a
            class, where the division is by class), or if there are fewer images than `train_images`.

    Example:

    >>> training, validation = split(np.repeat([0, 1], 10), QUICK)
    >>> len(training), len(validation)
    (18, 2)
    """
    check_recipe(recipe)
    labels = _class_numbers(labels)
    if not len(labels):
        raise ValueError(f"`labels` must have the shape (n,) with n >= 1. Received: labels.shape={labels.shape}.")
    everything, fraction = np.arange(len(labels)), recipe.validation_fraction
    parts = [everything] if recipe.validation_split == "first" else _classes(labels)
    chosen = []
    for part in parts:
        count, step = round(len(part) * fraction), None
        if recipe.validation_split == "every nth of each class":
            step = round(1 / fraction)
            if step < 2 or abs(step * fraction - 1) > 0.05:
                raise ValueError(
                    '`validation_fraction` must be about 1/n, with n of at least 2, for "every nth of each class". '
                    f"Received: validation_fraction={fraction}."
                )
            count = len(part[::step])
        if not 0 < count < len(part):
            raise ValueError(
                "`validation_fraction` must leave at least one image for training and one for validation"
                f"{'' if len(parts) == 1 else ' of every class'}; there are {len(part)} images"
                f"{'' if len(parts) == 1 else f' of class {labels[part[0]]}'}. "
                f"Received: validation_fraction={fraction}."
            )
        if step is not None:
            chosen.append(part[::step])
        elif recipe.validation_split == "random of each class":
            chosen.append(part[datasets.stratified_indices(np.zeros(len(part), np.int64), count, seed=recipe.seed)])
        else:
            chosen.append(part[:count])
    validation = np.sort(np.concatenate(chosen)).astype(np.int64)
    training = np.setdiff1d(everything, validation).astype(np.int64)
    if recipe.train_images is not None:
        lost = np.setdiff1d(labels, labels[training])
        if len(lost):
            raise ValueError(
                "`train_images` must be of all classes; the division leaves none of class "
                f"{', '.join(map(str, lost))} to train on. Received: validation_split={recipe.validation_split!r}."
            )
        per_class, rest = divmod(recipe.train_images, len(np.unique(labels)))
        available = min(len(part) for part in _classes(labels[training]))
        if rest or not 0 < per_class <= available:
            raise ValueError(
                f"`train_images` must be a multiple of the {len(np.unique(labels))} classes, at most {available} of "
                f"each. Received: train_images={recipe.train_images}."
            )
        training = training[datasets.stratified_indices(labels[training], per_class, seed=recipe.seed)]
    return training, validation


def _class_numbers(labels):
    """Labels as an array; raises TypeError or ValueError if they are none."""
    try:
        labels = np.asarray(labels)
    except ValueError:  # lists of different lengths
        raise ValueError(f"`labels` must have the shape (n,). Received: labels={labels!r}.") from None
    if labels.ndim != 1:
        raise ValueError(
            f"`labels` must have the shape (n,) with n >= 1, one for each image. Received: labels.shape={labels.shape}."
        )
    if labels.size and not (np.issubdtype(labels.dtype, np.integer) and labels.min() >= 0):
        raise TypeError(f"`labels` must be ints of at least 0. Received: labels={labels!r}.")
    return labels


def _classes(labels):
    """Positions of the images of each class."""
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _dtype_of(images):
    return f" of {images.dtype}" if hasattr(images, "dtype") else ""


def _positions(indices, count):
    """Positions in `count` images as an array; raises TypeError or ValueError if they are none."""
    indices = np.asarray(indices)
    if indices.ndim != 1 or not (np.issubdtype(indices.dtype, np.integer) or not indices.size):
        raise TypeError(f"`indices` must be an int array (n,) or None. Received: indices={indices!r}.")
    if indices.size and not (0 <= indices.min() and indices.max() < count):
        raise ValueError(f"`indices` must be in [0, {count}), the number of images. Received: indices={indices!r}.")
    return indices.astype(np.int64)


class Batches(keras.utils.PyDataset):
    """Batches of prepared images and their labels.

    In training the order is drawn anew for each epoch, from the seed and the number of the epoch; an incomplete last
    batch is left out (the next epoch leaves out others). Otherwise the order is that of the data and no image is left
    out. Set `epoch` before an epoch begins; `fit` does.

    Args:
        images: array or array-like as in `ImageDataset`: uint8, `(n, height, width)` or `(n, height, width, 3)`, which
            an int array can index.
        labels: int array `(n,)`.
        recipe: `Recipe`.
        training: bool.
        indices: int array or None, positions of the images to use; None for all. The augmentation of an image depends
            on its position in `images`, so it stays the same in a selection.
        views: "plain", "augmented" or "mirrored"; see `Recipe.validation_views`. None: augmented in training, if the
            recipe has an augmentation, else plain.
        fill: bool, whether a last batch that is not full begins again with the first images. TensorFlow and JAX compile
            a network anew for a batch of another size, which takes seconds. Not in training.
        workers: int in [1, 256], threads that prepare batches. They change nothing but the time.
        process, processes: ints, number of this process and of all that train together; each of them gets its part of
            every batch, in the order of the processes.

    Items: `(float32 images (batch, size, size, 3), int64 labels (batch,))`, and float32 weights `(batch,)` as a third
    where the recipe weighs classes or the last batch had to be filled up for several processes.

    Raises:
        TypeError, ValueError: if images and labels differ in number, or a batch cannot be filled or divided.

    Example:

    >>> data = datasets.fashion_mnist_sample()
    >>> batches = Batches(data.x_train, data.y_train, QUICK)
    >>> images, labels = batches[0]
    >>> len(batches), images.shape
    (93, (64, 32, 32, 3))
    """

    def __init__(
        self,
        images,
        labels,
        recipe,
        training=True,
        indices=None,
        views=None,
        fill=False,
        workers=1,
        process=0,
        processes=1,
    ):
        super().__init__(workers=integer("workers", workers, 1, MOST_WORKERS))
        check_recipe(recipe)
        labels = _class_numbers(labels)
        if getattr(images, "dtype", None) != np.uint8 or not hasattr(images, "shape"):
            raise TypeError(
                "`images` must be an array of uint8, or be indexed like one. "
                f"Received: images of type {type(images).__name__}{_dtype_of(images)}."
            )
        if len(images) != len(labels):
            raise ValueError(
                "`labels` must have the shape (n,), one for each image. "
                f"Received: {len(images)} images, labels.shape={labels.shape}."
            )
        if not (views is None or (isinstance(views, str) and views in ("plain", "augmented", "mirrored"))):
            raise ValueError(f'`views` must be "plain", "augmented", "mirrored" or None. Received: views={views!r}.')
        if views == "augmented" and recipe.augmentation is None:
            raise ValueError('`views="augmented"` needs a recipe with an augmentation. Received: augmentation=None.')
        for name, value in (("training", training), ("fill", fill)):
            if not isinstance(value, (bool, np.bool_)):
                raise TypeError(f"`{name}` must be a bool. Received: {name}={value!r}.")
        processes = integer("processes", processes, 1)
        process = integer("process", process, 0, processes - 1)
        if recipe.batch_size % processes:
            raise ValueError(
                f"`batch_size` must be a multiple of the {processes} processes. "
                f"Received: batch_size={recipe.batch_size}."
            )
        self.images, self.labels, self.recipe, self.training = images, labels, recipe, training
        self.indices = np.arange(len(labels)) if indices is None else _positions(indices, len(labels))
        if training and len(self.indices) < recipe.batch_size:
            raise ValueError(
                f"`batch_size` must be at most the number of images to train on, {len(self.indices)}. "
                f"Received: batch_size={recipe.batch_size}."
            )
        self.views = views or ("augmented" if training and recipe.augmentation is not None else "plain")
        self.fill, self.process, self.processes = fill, process, processes
        self.epoch = 0
        self._order = (None, None)
        self._class_weights = None
        if training and recipe.class_weight == "balanced":
            counts = np.bincount(labels[self.indices])
            with np.errstate(divide="ignore"):
                self._class_weights = (len(self.indices) / (np.count_nonzero(counts) * counts)).astype(np.float32)

    @property
    def copies(self):
        """How often each image is seen: 4 times where the views are "mirrored", else once."""
        return 4 if self.views == "mirrored" else 1

    def __len__(self):
        whole, rest = divmod(len(self.indices) * self.copies, self.recipe.batch_size)
        return whole if self.training else whole + (rest > 0)

    def order(self, epoch):
        """Positions of the images in the order of an epoch, as an int64 array."""
        if not self.training:
            return self.indices
        known, order = self._order  # one read: another thread may replace the pair
        if known != epoch:
            order = order_generator(self.recipe.seed, epoch).permutation(self.indices)
            self._order = (epoch, order)
        return order

    def __getitem__(self, number):
        # Beyond the last batch an IndexError, with which Python ends a loop over a sequence.
        if not 0 <= integer("number", number) < len(self):
            raise IndexError(f"`number` must be in [0, {len(self)}). Received: number={number}.")
        epoch, size = self.epoch, self.recipe.batch_size
        order = self.order(epoch)
        items, total = np.arange(number * size, (number + 1) * size), len(order) * self.copies
        items = items % total if self.fill else items[items < total]
        weights = None
        if self.processes > 1:
            items, weights = self._part(items)
        copies, positions = np.divmod(items, len(order))
        positions = order[positions]
        if self.views == "augmented":
            images = self._augmented(positions, epoch)
        else:
            images = prepare(self.images[positions], self.recipe)
        if self.views == "mirrored":
            for image, copy in zip(images, copies, strict=True):
                image[:] = image[:: -1 if copy & 2 else 1, :: -1 if copy & 1 else 1].copy()
        labels = self.labels[positions].astype(np.int64)
        if self._class_weights is not None:
            weights = self._class_weights[labels]
        return (images, labels) if weights is None else (images, labels, weights)

    def _augmented(self, positions, epoch):
        """Prepared and transformed images: a few at a time, so that what lies between the two steps stays in the cache.

        Large images are transformed without Python's lock, so that several threads prepare several batches at once.
        """
        size, augmentation = self.recipe.image_size, self.recipe.augmentation
        images = np.empty((len(positions), size, size, 3), np.float32)
        if not len(positions):
            return images
        generators = [sample_generator(self.recipe.seed, epoch, position) for position in positions.tolist()]
        matrices, shifts = augmentation.draw((size, size), generators)
        small, factor = _padded(self.images[positions], self.recipe)
        at_once = max(1, _CACHED_BYTES // images[:1].nbytes)
        for first in range(0, len(positions), at_once):
            few = slice(first, first + at_once)
            prepared = _finished(small[few], factor, self.recipe)
            for image, matrix, shift, into in zip(prepared, matrices[few], shifts[few], images[few], strict=True):
                transform(image, matrix, shift, into)
        return images

    def _part(self, items):
        """The items of this process, and their weights outside of training."""
        size = self.recipe.batch_size // self.processes
        mine = slice(self.process * size, (self.process + 1) * size)
        if self.training:
            return items[mine], None
        # All processes need batches of the same length. Those that fill up the last one have no weight; the others
        # have so much that the mean over all batches is the mean over the images.
        total = len(self.indices) * self.copies
        weights = np.zeros(self.recipe.batch_size, np.float32)
        weights[: len(items)] = len(self) * self.recipe.batch_size / total
        items = np.concatenate([items, np.zeros(self.recipe.batch_size - len(items), items.dtype)])
        return items[mine], weights[mine]
