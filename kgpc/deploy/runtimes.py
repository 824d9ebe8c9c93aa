"""The runtimes of exported files: LiteRT's interpreter with XNNPACK, and ONNX Runtime, both on the processor."""

import importlib
import importlib.metadata
from pathlib import Path

import numpy as np

# Ending of a file by its format, and what each needs: packages of the extra `deploy` by the names they are imported by.
SUFFIXES = {"litert": ".tflite", "onnx": ".onnx"}
_NEEDS = {
    "litert": {"ai_edge_litert.interpreter": "ai-edge-litert"},
    "onnx": {"tf2onnx": "tf2onnx", "onnx": "onnx", "onnxruntime": "onnxruntime"},
}


def missing(format):
    """Names of the packages that a format needs and that are not installed."""
    found = []
    for module, package in _NEEDS[format].items():
        try:
            importlib.metadata.version(package)
            importlib.util.find_spec(module)
        except (importlib.metadata.PackageNotFoundError, ModuleNotFoundError):
            found.append(package)
    return found


def format_of(path):
    """The format that a file has by the ending of its name, or None."""
    return next((format for format, suffix in SUFFIXES.items() if Path(path).suffix == suffix), None)


def name_of(format):
    """Name and version of the runtime that a format is run by here."""
    name, package = {"litert": ("LiteRT", "ai-edge-litert"), "onnx": ("ONNX Runtime", "onnxruntime")}[format]
    return f"{name} {importlib.metadata.version(package)}"


def opened(path):
    """A file in its runtime.

    Returns:
        `LiteRT` or `ONNX`.

    Raises:
        Whatever the runtime raises at a file that it cannot run.
    """
    return {"litert": LiteRT, "onnx": ONNX}[format_of(path)](path)


class LiteRT:
    """A `.tflite` file in LiteRT's interpreter, which hands to XNNPACK what that can compute.

    Args:
        path: path of the file.
        threads: int, threads of the processor.
    """

    def __init__(self, path, threads=1):
        from ai_edge_litert.interpreter import Interpreter

        self.name = name_of("litert")
        # Read here, so that nothing keeps the file open.
        self._interpreter = Interpreter(model_content=Path(path).read_bytes(), num_threads=threads)
        (self._input,), (self._output,) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )
        self.shape = tuple(None if size == -1 else int(size) for size in self._input["shape_signature"])
        # Of input and output: dtype, and scale and zero point of integers.
        self.given, self.returned = (
            (np.dtype(each["dtype"]).name, each["quantization"]) for each in (self._input, self._output)
        )
        self._allocated = None

    def set(self, images):
        """Makes a batch the next input."""
        if self._allocated != images.shape:
            if (self._allocated or tuple(self._input["shape"])) != images.shape:
                self._interpreter.resize_tensor_input(self._input["index"], images.shape)
            self._interpreter.allocate_tensors()
            self._allocated = images.shape
        self._interpreter.set_tensor(self._input["index"], _quantized(images, self._input))

    def run(self):
        """Computes what was set last; returns the output as the file has it."""
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])

    def predict(self, images):
        """The output for a batch, in float32."""
        self.set(images)
        scale, zero = self._output["quantization"]
        outputs = self.run()
        return (outputs.astype("float32") - zero) * np.float32(scale) if scale else outputs.astype("float32")

    def operations(self):
        """Names of the file's operations as XNNPACK leaves them: a `DELEGATE` is what it computes in one piece."""
        return [operation["op_name"] for operation in self._interpreter._get_ops_details()]


def _quantized(images, details):
    """A batch as an input of integers takes it; as it is for an input of floats."""
    scale, zero = details["quantization"]
    if not scale or details["dtype"] not in (np.int8, np.uint8):
        return images.astype(details["dtype"], copy=False)
    limits = np.iinfo(details["dtype"])
    return np.clip(np.rint(images / scale + zero), limits.min, limits.max).astype(details["dtype"])


class ONNX:
    """A `.onnx` file in ONNX Runtime, on the processor.

    Args:
        path: path of the file.
        threads: int, threads of the processor.
        profile: str or None, what the names of profiles begin with; see ONNX Runtime.
    """

    def __init__(self, path, threads=1, profile=None):
        import onnxruntime

        self.name = name_of("onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        options.log_severity_level = 3  # errors
        if profile is not None:
            options.enable_profiling, options.profile_file_prefix = True, str(profile)
        # From its bytes: a file may name others beside it, which would be read too.
        self.session = onnxruntime.InferenceSession(
            Path(path).read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        (details,) = self.session.get_inputs()
        self._name = details.name
        self.shape = tuple(size if isinstance(size, int) else None for size in details.shape)
        self.given = self.returned = ("float32", (0, 0))
        self._images = None

    def set(self, images):
        """Makes a batch the next input."""
        self._images = images.astype("float32", copy=False)

    def run(self):
        """Computes what was set last; returns the output."""
        return self.session.run(None, {self._name: self._images})[0]

    def predict(self, images):
        """The output for a batch, in float32."""
        self.set(images)
        return self.run()
