"""Loading, writing and dividing images under their old names."""

import os

import cv2
import numpy as np

from kgpc.cai import checks, scaling
from kgpc.cai.flips import test_flips_on_saved_model
from kgpc.cai.image_folders import download_zip_and_extract, extract_subset_every, load_images_from_folders

__all__ = [
    "download_zip_and_extract",
    "extract_subset_every",
    "fix_bad_tfkeras_channel_order",
    "load_dataset",
    "load_images_from_folders",
    "save_dataset_as_png",
    "skimage_rgb2lab_a",
    "test_flips_on_saved_model",
]


def load_dataset(dataset, lab=False, verbose=False, bipolar=True, base_model_name=""):
    """Loads a data set of Keras, such as `keras.datasets.cifar10`, and scales its images.

    Args:
        dataset: module or object with a function `load_data()` that returns `(x_train, y_train), (x_test, y_test)`:
            images of 0..255, shape (n, height, width, 3), and int labels, shape (n,) or (n, 1).
        lab: bool, whether images are turned into CIE L*a*b*.
        verbose: bool, whether shapes and the least and greatest value of each channel are printed.
        bipolar: bool, whether the values are around 0. ON by default; all published runs turn it off.
        base_model_name: without effect. It names a cache that was never written.

    Returns:
        Tuple `(x_train, y_train, x_test, y_test)`: images as float32, scaled as `kgpc.cai.scaling.scaled` says; labels
        one-hot in float32, with as many classes as the greatest training label plus one.

    Raises:
        TypeError: if `dataset` has no `load_data`, or a flag is none.
        ValueError: if images or labels have another shape, there is not one label for each image, or a test label does
            not occur in training.
    """
    if not callable(getattr(dataset, "load_data", None)):
        raise TypeError(f"`dataset` must have a function load_data(). Received: dataset={dataset!r}.")
    lab, verbose, bipolar = checks.flag("lab", lab), checks.flag("verbose", verbose), checks.flag("bipolar", bipolar)
    (x_train, y_train), (x_test, y_test) = dataset.load_data()
    y_train, y_test = _labels("dataset", y_train), _labels("dataset", y_test)
    classes = int(y_train.max()) + 1
    unknown = np.setdiff1d(y_test, y_train)
    if unknown.size:
        listed = ", ".join(map(str, unknown[:8].tolist())) + (", ..." if unknown.size > 8 else "")
        raise ValueError(
            f"`dataset` must have no test label that does not occur in training. Received: the test labels {listed}."
        )
    x_train, x_test = (checks.images("dataset", images, channels=3) for images in (x_train, x_test))
    for part, images, labels in (("training", x_train, y_train), ("test", x_test, y_test)):
        if len(images) != len(labels):
            raise ValueError(
                f"`dataset` must have one label for each image. Received: {len(labels)} {part} labels for "
                f"{len(images)} images."
            )
    x_train = scaling.scaled(x_train, lab, bipolar)
    x_test = scaling.scaled(x_test, lab, bipolar)
    if verbose:
        for name, images in (("train", x_train), ("test", x_test)):
            print(f"{name} images: {images.shape}")
            for channel in range(3):
                values = images[..., channel]
                print(f"{name} channel {channel}: min {values.min()}, max {values.max()}")
    one_hot = np.eye(classes, dtype=np.float32)
    return x_train, one_hot[y_train], x_test, one_hot[y_test]


def _labels(name, labels):
    """Class indices (n,) of indices (n,) or (n, 1), or of one-hot vectors (n, classes)."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(axis=1)
    if not labels.size or labels.ndim not in (1, 2) or (labels != labels.astype(np.int64)).any() or labels.min() < 0:
        raise ValueError(
            f"`{name}` must have class indices (n,) or (n, 1), or one-hot vectors (n, classes). "
            f"Received: labels of shape {labels.shape}, dtype {labels.dtype}."
        )
    return labels.astype(np.int64).reshape(-1)


def fix_bad_tfkeras_channel_order(aImages):
    """Exchanges red and blue.

    The name is wrong: the order of Keras was never bad. OpenCV's writer, which `save_dataset_as_png` uses, wants blue
    first.

    Args:
        aImages: array-like (n, height, width, 3).

    Returns:
        float64 array of the same shape, a copy with the channels 0 and 2 exchanged.

    Raises:
        ValueError: if `aImages` has another shape.
    """
    return checks.images("aImages", aImages, channels=3)[..., ::-1].astype(np.float64)


def save_dataset_as_png(
    aImages, aClasses, dest_folder_name="img", with_horizontal_flip=False, with_vertical_flip=False
):
    """Writes images as `<folder>/class_<index>/img_<number>.png`; the number counts over the whole set.

    A file appears when it is complete; one of the same name is replaced.

    Args:
        aImages: array-like (n, height, width, 3), BLUE first, values of 0..255, which are rounded; see
            `fix_bad_tfkeras_channel_order`.
        aClasses: array-like of n class indices, shape (n,) or (n, 1), or one-hot vectors (n, classes).
        dest_folder_name: path of the folder; it and its sub-folders are made.
        with_horizontal_flip: bool, whether copies mirrored left to right are written too, as `h_img_...`.
        with_vertical_flip: bool, the same for top to bottom, as `v_img_...`; where both are on also `hv_img_...`.

    Raises:
        TypeError, ValueError: if an argument is something else.
    """
    images, classes = checks.images("aImages", aImages, channels=3), _labels("aClasses", aClasses)
    if len(images) != len(classes):
        raise ValueError(f"`aClasses` must have one class for each of the {len(images)} images, not {len(classes)}.")
    horizontal = checks.flag("with_horizontal_flip", with_horizontal_flip)
    vertical = checks.flag("with_vertical_flip", with_vertical_flip)
    folder = checks.path("dest_folder_name", dest_folder_name)
    copies = {"": (1, 1)}
    copies |= {"h_": (1, -1)} if horizontal else {}
    copies |= {"v_": (-1, 1)} if vertical else {}
    copies |= {"hv_": (-1, -1)} if horizontal and vertical else {}
    for index in np.unique(classes):
        (folder / f"class_{index}").mkdir(parents=True, exist_ok=True)
    for number, (image, index) in enumerate(zip(images, classes, strict=True)):
        pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
        for prefix, (rows, columns) in copies.items():
            _write_png(folder / f"class_{index}" / f"{prefix}img_{number}.png", pixels[::rows, ::columns])


def _write_png(path, pixels):
    """Writes a file beside its place and renames it."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.write_bytes(cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes())
    os.replace(unfinished, path)


def skimage_rgb2lab_a(aRGB, verbose=True):
    """Turns RGB images into CIE L*a*b* in place, image by image.

    Args:
        aRGB: floating-point array (n, height, width, 3), RGB in [0, 1]; afterwards L (0..100), a (about -86..98) and b
            (about -108..95). In float16, as the published run had it, values are off by up to 0.07.
        verbose: bool, whether it is printed when it is done.

    Raises:
        TypeError: if `aRGB` is not an array of floating-point numbers.
        ValueError: if it has another shape.
    """
    if not isinstance(aRGB, np.ndarray) or aRGB.dtype.kind != "f":
        received = aRGB.dtype if isinstance(aRGB, np.ndarray) else type(aRGB).__name__
        raise TypeError(f"`aRGB` must be an array of floating-point numbers. Received: {received}.")
    checks.images("aRGB", aRGB, channels=3)
    verbose = checks.flag("verbose", verbose)
    for image in aRGB:
        image[:] = scaling.lab(image)
    if verbose:
        print(f"Turned {len(aRGB)} images into CIE L*a*b*.")
