"""Batches of augmented images as notebooks for Keras 2 ask for them: `ImageDataGenerator` with its two ways to deliver.

Keras deprecates its own, which needs SciPy. This one draws its transformations with `kgpc.training.Augmentation` (equal
in distribution, `tests/test_cai_image_generator.py`) and repeats them exactly for the same seed.
"""

import numpy as np

from kgpc.cai import checks
from kgpc.cai.flows import ArrayFlow, FolderFlow
from kgpc.training import Augmentation


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
        checks.choice("brightness_range", brightness_range, (None,))
        checks.choice("fill_mode", fill_mode, ("nearest",))
        checks.choice("data_format", data_format, (None, "channels_last"))
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

    def flow(
        self,
        x,
        y=None,
        batch_size=32,
        shuffle=True,
        sample_weight=None,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        ignore_class_split=False,
        subset=None,
    ):
        """Delivers batches of arrays.

        Args:
            x: array (n, height, width, channels).
            y: array-like of n labels, or None for batches of images alone.
            batch_size: int >= 1.
            shuffle: bool, whether the order is drawn anew for each epoch.
            sample_weight: array-like of n numbers, or None.
            seed: int >= 0, or None for a seed drawn from NumPy's global generator.
            save_to_dir: None; pictures are not written.
            save_prefix: without effect.
            save_format: without effect.
            ignore_class_split: without effect.
            subset: "training", "validation" or None, see `validation_split`.

        Returns:
            `ArrayFlow`, a `keras.utils.PyDataset`.

        Raises:
            TypeError, ValueError: if an argument is something else, or no image is left.
        """
        checks.choice("save_to_dir", save_to_dir, (None,))
        return ArrayFlow(self, x, y, batch_size, shuffle, sample_weight, seed, subset)

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
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        follow_links=False,
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
            save_to_dir: None, as in `flow`.
            save_prefix: without effect.
            save_format: without effect.
            follow_links: False; folders that are links are passed over.
            subset: as in `flow`, of each class folder. Where no class has enough images for one of the part, there is
                a warning, and an error only when a batch is asked for, as in Keras 2.
            interpolation: "nearest".

        Returns:
            `FolderFlow`, a `keras.utils.PyDataset`.

        Raises:
            FileNotFoundError: if there is no such folder, or no sub-folder of one of the `classes`.
            TypeError, ValueError: if an argument is something else, or there is no image at all.
        """
        checks.choice("color_mode", color_mode, ("rgb",))
        checks.choice("interpolation", interpolation, ("nearest",))
        checks.choice("save_to_dir", save_to_dir, (None,))
        if checks.flag("follow_links", follow_links):
            raise ValueError(f"`follow_links` must be False. Received: follow_links={follow_links!r}.")
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
