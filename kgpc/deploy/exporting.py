"""Writing a model as a LiteRT or ONNX file that was run and compared before anybody can use it."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from kgpc import files
from kgpc.arguments import boolean, number, positive_integer
from kgpc.deploy import card, conversion, formulation, options, runtimes, verification
from kgpc.deploy.folding import fold, fold_report


class ExportError(ValueError):
    """A model that cannot be written, or whose file does not compute what the model computes. No file is left."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written, and what its own runtime made of it.

    Attributes:
        path: `pathlib.Path` of the file; card: of the JSON file beside it.
        format: "litert" or "onnx"; precision: as it was asked for.
        batch: int or None, images that it takes at a time; None for any number.
        grouped, interleaving: how grouped convolutions and interleavings are written, see `export`.
        folded, not_folded: int, normalizations and interleavings that vanished, and that stayed.
        bytes: int, size of the file.
        runtime: str, name and version of what ran it.
        images: int, images that it was run on.
        agreement: float in [0, 1], share of them to which file and model give the same class; NaN where the outputs are
            no classes.
        largest_difference: float, between an output of the file and of the model, as a share of the largest output.
        keras_accuracy, accuracy: float in [0, 1], share of labelled images that the model and the file get right; NaN
            without labels.
    """

    path: Path
    card: Path
    format: str
    precision: str
    batch: int | None
    grouped: str
    interleaving: str
    folded: int
    not_folded: int
    bytes: int
    runtime: str
    images: int
    agreement: float
    largest_difference: float
    keras_accuracy: float
    accuracy: float

    def series(self):
        """Returns the fields as a `pandas.Series`."""
        return pd.Series(dataclasses.asdict(self), name=self.path.name)


def export(
    model,
    path,
    format=None,
    precision="float32",
    *,
    images=None,
    labels=None,
    representative=None,
    class_names=None,
    preprocessing=None,
    batch=1,
    integer_io=False,
    folding=True,
    grouped=None,
    interleaving=None,
    tolerance=None,
    agreement=None,
    accuracy_loss=None,
):
    """Writes a model as a LiteRT or ONNX file, runs the file in its own runtime, and compares it with the model.

    Batch normalization is folded first (`fold`), and grouped convolutions and the interleaving of channels are written
    in the way that the runtime is fast at. A file that its runtime does not load, or that computes something else than
    the model on `images`, is removed again; what was at `path` before stays. Beside the file a JSON file of the same
    name with `.json` added says what goes in and what comes out: see `kgpc.deploy.card`.

    Args:
        model: a functional or Sequential Keras model on TensorFlow, with one input of images in float32 and one output,
            all of whose layers compute in float32. It is not changed.
        path: path of the file, ending in `.tflite` or `.onnx`.
        format: "litert" or "onnx"; None: what `path` ends in.
        precision: "float32"; for "litert" also "float16" (weights in half the bytes), "dynamic" (weights in int8, sums
            in float32 where the runtime has no integers), "int8" (weights and maps in int8: needs `representative`).
        images: array (images, height, width, channels) of real images, prepared as the model takes them, on which file
            and model are compared. None: `representative`.
        labels: integers (images,), the right classes of `images`; or None. Like `agreement` and `accuracy_loss` only
            where the outputs are classes: two or more in one axis.
        representative: array of real images as `images`, a few hundred, from which "int8" learns the ranges of values.
            Better others than `images`.
        class_names: list of str in the order of the outputs, for the JSON file; or None.
        preprocessing: dict for the JSON file, or None: how pixels become what the model takes. Keys "scale", "offset",
            "resize", "channels": see `kgpc.deploy.card`.
        batch: int >= 1, images that the file takes at a time; None: any number, which some devices do not allow.
        integer_io: bool, for "int8": input and output are int8 too, as processors without floats need it.
        folding: bool, whether to fold batch normalization first.
        grouped: how grouped convolutions are written: "native" (the runtime's own), "ordinary" (zeros between the
            groups, which cost bytes), "split" (a convolution for each group) or "matmul" (batched matrix products).
            None: what was fastest in the runtime.
        interleaving: how channels are interleaved: "transpose", "twice", "mixed", "planes" or "gather", see
            `kgpc.deploy.formulation`. None: as for `grouped`.
        tolerance: float >= 0, how much outputs may differ, as a share of the model's largest output. None: 0.0001 in
            float32, 0.02 in float16; with integers no limit where the outputs are classes, else 0.1.
        agreement: float in [0, 1], smallest share of `images` to which both give the same class. None: 0.9 with
            integers, no limit with floats.
        accuracy_loss: float in [0, 1], how much less of the labelled images may be right. None: 0 in float32, 0.02 in
            float16, 0.05 with integers.

    Returns:
        `Exported`.

    Raises:
        TypeError, ValueError: before anything is written, if an argument is wrong, does not go with another, or the
            model is none that can be exported. As `kgpc.files.FileError`, if `path` cannot be written to.
        OSError: if the folder cannot be written to.
        ModuleNotFoundError: if a package of the extra `deploy` is missing.
        ExportError: a ValueError, if the converter gives up, or the file does not load or differs too much; the message
            says by how much.

    Example::

        exported = deploy.export(model, "clothes.tflite", precision="int8", representative=x_train[:200], images=x_test,
                                 labels=y_test, class_names=names, preprocessing={"scale": 1 / 255, "offset": 0})
        print(exported.series())
    """
    path = files.path_argument("path", path)
    format = options.checked_format(format, path)
    options.check_choice("precision", precision, options.PRECISIONS[format], f' with format "{format}"')
    ways = options.checked_ways(format, grouped, interleaving)
    if boolean("integer_io", integer_io) and precision != "int8":
        raise ValueError(f'`integer_io` goes with precision "int8" only. Received: precision={precision!r}.')
    boolean("folding", folding)
    batch = None if batch is None else positive_integer("batch", batch)
    limits = {"tolerance": tolerance, "agreement": agreement, "accuracy_loss": accuracy_loss}
    for name, value in limits.items():
        if value is not None:
            number(name, value, 0, None if name == "tolerance" else 1)
    options.check_model(model)
    options.check_for_classes(model, labels=labels, agreement=agreement, accuracy_loss=accuracy_loss)
    classes = model.outputs[0].shape[-1]
    representative = options.checked_images("representative", representative, model)
    images = options.checked_images("images", images, model)
    if precision == "int8" and representative is None:
        raise ValueError(
            '`representative` must be an array of real images for precision "int8", whose ranges are learned from them.'
        )
    if images is None and representative is None:
        raise ValueError("`images` must be an array of real images, on which the file is compared with the model.")
    labels = options.checked_labels(labels, images, classes)
    images = representative if images is None else images
    if representative is not None and representative.shape[1:] != images.shape[1:]:
        raise ValueError(
            "`representative` must have images of the same size as `images`. "
            f"Received: shapes {representative.shape} and {images.shape}."
        )
    class_names = card.checked_class_names(class_names, classes)
    preprocessing = card.checked_preprocessing(preprocessing)
    card_path = path.with_name(path.name + card.SUFFIX)
    for each in (path, card_path):
        files.check_target("path", each)
    if runtimes.missing(format):
        raise ModuleNotFoundError(
            f'format "{format}" needs {", ".join(runtimes.missing(format))}: pip install "kgpc[deploy]"'
        )
    with _folder_beside(path) as folder:
        folded = fold(model) if folding else model
        shape = (batch, *images.shape[1:])
        content = _content(folded, shape, format, precision, ways, representative, integer_io)
        staged = folder / f"model{runtimes.SUFFIXES[format]}"
        files.write(staged, content)
        runtime, found, output_shape = _run(staged, model, images, labels)
        refused = verification.why_refused(found, precision, **limits)
        if refused:
            raise ExportError(f"{path} was not kept: in {runtime.name} {refused}.")
        report = fold_report(model) if folding else pd.DataFrame({"folded": []}, dtype=bool)
        exported = Exported(
            path,
            card_path,
            format,
            precision,
            batch,
            *ways,
            int(report["folded"].sum()),
            int((~report["folded"]).sum()),
            len(content),
            runtime.name,
            **dataclasses.asdict(found),
        )
        shapes = shape, (batch, *output_shape)
        values = card.values(path.name, content, exported, shapes, runtime, class_names, preprocessing)
        files.write_json(card_path, values)
        files.write(path, content)
    return exported


@contextlib.contextmanager
def _folder_beside(path):
    """A folder of its own in the folder of a file, where nobody else puts anything; it goes in the end."""
    folder = Path(tempfile.mkdtemp(prefix=files.UNFINISHED, dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _content(model, shape, format, precision, ways, representative, integer_io):
    """The bytes of the file."""
    model = formulation.rewritten(model, *ways, integers=precision == "int8")
    try:
        if format == "onnx":
            return conversion.onnx_bytes(model, shape)
        return conversion.litert_bytes(model, shape, precision, representative, integer_io)
    except Exception as error:  # whatever the converters raise at what they do not know
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ExportError(f'`model` cannot be written with format "{format}" in {precision}: {reason}') from error


def _run(staged, model, images, labels):
    """The file in its runtime, its outputs against the model's, and the shape of an output."""
    expected = verification.keras_outputs(model, images)
    try:
        runtime = runtimes.opened(staged)
        actual = verification.file_outputs(runtime, images)
    except Exception as error:  # whatever the runtimes raise
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        name = os.path.basename(staged)
        raise ExportError(f"The file was not kept: its own runtime cannot run it ({name}): {reason}") from error
    return runtime, verification.compared(expected, actual, labels), actual.shape[1:]
