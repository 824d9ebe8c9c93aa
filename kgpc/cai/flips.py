"""Testing a saved model on mirrored, cropped and grey images, under its old name."""

import cv2
import numpy as np

from kgpc.cai import checks
from kgpc.cai.models import load_kereas_model


def test_flips_on_saved_model(
    test_x, test_y, model_file_name, has_flip_x=True, has_flip_y=True, has_bw=True, center_crop=0.0
):
    """Prints a classification report for each of up to twelve views of the test images and their sums.

    The views are: the images; mirrored left to right (X); top to bottom (Y); cropped; grey. "+" adds the softmax
    outputs with equal weights. A view that is turned off is left out, with all sums it is in.

    Args:
        test_x: array (n, height, width, 3), images as the model was trained on.
        test_y: array (n, classes), one-hot labels.
        model_file_name: path of a model, see `kgpc.cai.models.load_kereas_model`.
        has_flip_x: bool, whether the view X is tested.
        has_flip_y: bool, whether the view Y is tested.
        has_bw: bool, whether grey images are tested: the plain mean of the channels in all three.
        center_crop: number in [0, 1). Of each end int(side * center_crop / 2) pixels are cut off, and the rest brought
            back to size by OpenCV's "nearest"; 0 leaves the view out. The published runs have 0.15.

    Raises:
        FileNotFoundError: if there is no such file.
        ModuleNotFoundError: if scikit-learn is not installed.
        TypeError, ValueError: if an argument is something else, or the model does not fit it.
    """
    test_x, test_y = checks.images("test_x", test_x, channels=3), np.asarray(test_y)
    if test_y.ndim != 2 or len(test_y) != len(test_x) or not len(test_x):
        raise ValueError(
            f"`test_y` must have the shape (n, classes), one row for each of the {len(test_x)} images, at least one. "
            f"Received: test_y.shape={test_y.shape}."
        )
    flags = {"has_flip_x": has_flip_x, "has_flip_y": has_flip_y, "has_bw": has_bw}
    has_flip_x, has_flip_y, has_bw = (checks.flag(name, value) for name, value in flags.items())
    center_crop = checks.number("center_crop", center_crop, high=1)
    path = checks.file("model_file_name", model_file_name)
    report = _classification_report()
    model = load_kereas_model(path)
    labels = test_y.argmax(axis=1)

    def predict(images):
        return model.predict(images, verbose=0)

    def show(heading, *views):
        print(heading)
        print(report(labels, sum(views).argmax(axis=1), digits=4, zero_division=0))

    original = predict(test_x)
    show("Test Results: original", original)
    if has_flip_x:
        flip_x = predict(test_x[:, :, ::-1])
        show("Test Results: flip X", flip_x)
        show("Test Results: original + flip X", original, flip_x)
    if has_flip_y:
        flip_y = predict(test_x[:, ::-1])
        show("Test Results: flip Y", flip_y)
        show("Test Results: original + flip Y", original, flip_y)
    if has_flip_x and has_flip_y:
        show("Test Results: original + flip X + flip Y", original, flip_x, flip_y)
    if center_crop:
        cropped = predict(_cropped(test_x, center_crop))
        show("Test Results: center crop", cropped)
        show("Test Results: original + center crop", original, cropped)
        if has_flip_x:
            show("Test Results: original + flip X + center crop", original, flip_x, cropped)
    if has_bw:
        grey = predict(np.repeat(test_x.mean(axis=-1, keepdims=True), 3, axis=-1))
        show("Test Results: grey", grey)
        show("Test Results: original + grey", original, grey)
        if has_flip_x and has_flip_y:
            show("Test Results: original + flip X + flip Y + grey", original, flip_x, flip_y, grey)


# Its name looks like that of a test.
test_flips_on_saved_model.__test__ = False


def _classification_report():
    try:
        from sklearn.metrics import classification_report
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'test_flips_on_saved_model needs scikit-learn: pip install "kgpc[cai]".', name=error.name
        ) from error
    return classification_report


def _cropped(images, share):
    height, width = images.shape[1:3]
    rows, columns = int(height * share / 2), int(width * share / 2)
    inner = images[:, rows : height - rows, columns : width - columns]
    return np.stack(
        [cv2.resize(np.float32(image), (width, height), interpolation=cv2.INTER_NEAREST) for image in inner]
    )
