"""The command `export` of the command line. It imports the package around it only when it runs."""

import argparse
import math
import sys

from . import option_names

_EXAMPLES = """examples:
  python -m kgpc export clothes.keras --to litert --images photographs/ --output clothes.tflite
  python -m kgpc export clothes.keras --to litert --int8 --images photographs/
  python -m kgpc export clothes.keras --to onnx --images photographs/ --batch any

--images is a folder of real pictures, with or without a sub-folder for each class. With sub-folders the classes are in
the order of their names, as `kgpc.datasets.image_folder` has them, and the accuracy is compared too.
"""
_SUFFIXES = {"litert": ".tflite", "onnx": ".onnx"}
_MOST_IMAGES = 500
# Arguments of `kgpc.deploy.export`, and what stands for them here.
_OPTIONS = {
    **{"model": "MODEL", "path": "--output", "format": "--to", "images": "--images", "representative": "--images"},
    **{"batch": "--batch", "integer_io": "--integer-io", "grouped": "--grouped"},
    "precision": "what --float16, --dynamic and --int8 ask for",
}


def add(commands, function):
    """Adds the command to those of the command line.

    Args:
        commands: what `add_subparsers` of the parser returned.
        function: what is called with the parsed options.
    """
    command = commands.add_parser(
        "export",
        help="write a model as a LiteRT or ONNX file, and compare the file with it",
        description="Write a model as a LiteRT or ONNX file. The file is run by its own runtime and compared with the "
        "model before it is kept; labels and preprocessing go into a JSON file beside it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("model", metavar="MODEL.keras", help="what model.save of Keras 3 wrote")
    command.add_argument("--to", choices=tuple(_SUFFIXES), required=True, help="the format")
    precision = command.add_mutually_exclusive_group()
    for name, text in (
        ("float16", "weights in half the bytes"),
        ("dynamic", "weights in 8 bits"),
        ("int8", "weights and maps in 8 bits"),
    ):
        precision.add_argument(
            f"--{name}",
            dest="precision",
            action="store_const",
            const=name,
            default="float32",
            help=f"{text} (LiteRT only)",
        )
    command.add_argument("--images", metavar="FOLDER", required=True, help="real pictures, to compare on; see below")
    command.add_argument("--output", metavar="FILE", help="default: beside the model, under its name")
    command.add_argument("--batch", default="1", metavar="N", help="images at a time (default 1), or: any")
    command.add_argument(
        "--scale", type=float, default=1 / 255, help="value = pixel * scale + offset (default 1/255, pixels 0 to 255)"
    )
    command.add_argument("--offset", type=float, default=0.0, help="default 0")
    command.add_argument(
        "--resize", choices=("pad", "crop", "stretch"), default="pad", help="how a picture becomes square (default pad)"
    )
    command.add_argument("--size", type=int, metavar="PIXELS", help="side of the input, where the model leaves it open")
    command.add_argument("--integer-io", action="store_true", help="with --int8: input and output in 8 bits, too")
    command.add_argument(
        "--grouped", choices=("native", "ordinary", "split", "matmul"), help="how grouped convolutions are written"
    )
    command.set_defaults(function=function)


def run(options, path_of, error):
    """Exports, and prints what was found.

    Args:
        options: the parsed options.
        path_of: function of an option's name and value that returns its path.
        error: class of the exceptions whose message is the one line that the user sees.

    Returns:
        int, exit code.
    """
    source, folder = path_of("MODEL", options.model), path_of("--images", options.images)
    if options.output is None:
        output = source.with_suffix(_SUFFIXES[options.to])
    else:
        output = path_of("--output", options.output)
    option_names.check_other_file("--output", output, source)
    for name in ("scale", "offset"):
        if not math.isfinite(getattr(options, name)):
            raise error(f"--{name} must be a finite number. Received: {getattr(options, name)}.")
    if options.batch != "any" and not (options.batch.isascii() and options.batch.isdigit()):
        raise error(f'--batch must be a number of images or "any". Received: {options.batch}.')
    batch = None if options.batch == "any" else int(options.batch)
    from kgpc import deploy, model_files

    try:
        model = model_files.load(source, argument="MODEL")
        images, labels, class_names = _pictures(model, folder, options, error)
        integers = options.precision == "int8"
        exported = deploy.export(
            model,
            output,
            options.to,
            options.precision,
            images=images,
            labels=labels,
            representative=images if integers else None,
            class_names=class_names,
            preprocessing={
                "scale": options.scale,
                "offset": options.offset,
                "resize": options.resize,
                "channels": "RGB" if images.shape[-1] == 3 else "grey",
            },
            batch=batch,
            integer_io=options.integer_io,
            grouped=options.grouped,
        )
    except (ModuleNotFoundError, TypeError, ValueError) as found:
        raise error(option_names.as_options(found, _OPTIONS)) from found
    print(exported.series().dropna().to_string())
    return 0


def _pictures(model, folder, options, error):
    """The pictures of a folder as the model takes them, their labels and the names of their classes where known."""
    import cv2
    import numpy as np

    from kgpc import datasets

    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] not in (1, 3):
        raise error(
            f"MODEL must take pictures of 1 or 3 channels. Received: a model whose input has the shape {shape}."
        )
    sizes = {size for size in shape[1:3] if size is not None} or {options.size}
    if len(sizes) != 1 or None in sizes or options.size not in (None, *sizes):
        raise error(
            f"MODEL must take square pictures, and --size be their side. Received: --size {options.size}, a model that "
            f"takes {shape[1]} x {shape[2]} pixels."
        )
    (size,) = sizes
    if not folder.is_dir():
        raise error(f"--images must be a folder of pictures. There is none at {folder}.")
    names = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    pictures, labels, left_out = [], [], []
    for label, below in enumerate(names or ["."]):
        paths = sorted(each for each in (folder / below).iterdir() if each.is_file() and not each.name.startswith("."))
        for path in paths[: max(1, _MOST_IMAGES // max(1, len(names)))]:
            try:
                pictures.append(datasets.read_image(path, size, options.resize))
                labels.append(label)
            except ValueError as damaged:
                left_out.append(str(damaged))
    for reason in left_out:
        print(reason, file=sys.stderr)
    if not pictures:
        raise error(f"--images must be a folder of pictures. There is none that can be read in {folder}.")
    if shape[-1] == 1:
        pictures = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None] for picture in pictures]
    images = np.stack(pictures).astype("float32") * np.float32(options.scale) + np.float32(options.offset)
    # With other outputs, or another number of them, folders are no classes of this model.
    shape = model.output_shape
    if len(names) < 2 or not isinstance(shape, tuple) or shape[1:] != (len(names),):
        return images, None, None
    return images, np.array(labels), names
