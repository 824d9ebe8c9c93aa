"""Where the time of an exported file goes: to convolutions of which kind, to activations, to the interleaving.

`tests/benchmarks/export.py profile` and `parts` measure with what is here. ONNX Runtime has a profiler. LiteRT hands a
whole file to XNNPACK, which says nothing of what is inside; there each layer of the network becomes a file of its own,
on maps of the same size, or the network is written without some of its layers.
"""

import collections
import json
import pathlib
import tempfile
import time

import keras
import numpy as np

from kgpc import deploy, graph
from kgpc.conversion import kinds
from kgpc.deploy import conversion, formulation, runtimes
from kgpc.layers import InterleaveChannels

PARTS = (
    "first convolution",
    "depthwise convolutions",
    "pointwise convolutions",
    "activations",
    "interleaving",
    "changes of layout",
    "additions",
    "the rest",
)
# Operations of ONNX Runtime that are no convolutions. Multiplications and pooling are those of squeeze-and-excite.
_OPERATIONS = {
    "QuickGelu": "activations",
    "Sigmoid": "activations",
    "Clip": "activations",
    "Gather": "interleaving",
    "ReorderInput": "changes of layout",
    "ReorderOutput": "changes of layout",
    "Transpose": "changes of layout",
    "Add": "additions",
}
# Activations that runtimes merge into the convolution before them.
_MERGED = ("relu", "relu6")
# So long is one timing, by repeating what takes less.
_TIMED_MS = 1.0


def of_profile(path, image, rounds):
    """Milliseconds of each part of an ONNX file: the fastest run of each operation, by ONNX Runtime's own profiler.

    Args:
        path: path of the file.
        image: array (1, height, width, channels).
        rounds: int >= 1, profiled predictions.

    Returns:
        str, name of the runtime, and a dict from each of `PARTS` to a float.
    """
    with tempfile.TemporaryDirectory() as folder:
        runtime = runtimes.ONNX(path, profile=pathlib.Path(folder) / "profile")
        for _ in range(rounds):
            runtime.predict(image)
        events = json.loads(pathlib.Path(runtime.session.end_profiling()).read_text(encoding="utf-8"))
    times = collections.defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            times[event["name"], _part_of_operation(event["args"])].append(event["dur"] / 1000)
    sums = dict.fromkeys(PARTS, 0.0)
    for (_, part), durations in times.items():
        sums[part] += min(durations)
    return runtime.name, sums


def _part_of_operation(event):
    """The part that an operation of ONNX Runtime belongs to, by what the profiler says of it."""
    if event["op_name"] not in ("Conv", "FusedConv"):
        return _OPERATIONS.get(event["op_name"], "the rest")
    shapes = [next(iter(shape.values())) for shape in event["input_type_shape"]]
    (*_, map_height, map_width), (filters, channels, *kernel) = shapes[:2]
    return _part_of_convolution(kernel, channels == 1 and filters > 1, (map_height, map_width))


def _part_of_convolution(kernel, depthwise, size):
    if set(kernel) != {1}:
        return "depthwise convolutions" if depthwise else "first convolution"
    return "pointwise convolutions" if set(size) != {1} else "the rest"  # of squeeze-and-excite, or the classifier


def parts_of(level):
    """The layers of a network with the part that each belongs to.

    Args:
        level: `kgpc.graph.Graph` of a functional model, all of whose sizes are known.

    Returns:
        List of tuples: part, `kgpc.graph.Call` and a tuple of layers. A padding and an activation that runtimes merge
        into the convolution behind or before them come along with that convolution.
    """
    found, before, merged = [], {}, set()
    for call in level.calls:
        layer = call.operation
        if call in merged or not isinstance(layer, keras.layers.Layer) or isinstance(layer, keras.layers.Dropout):
            continue
        reader = level.only_reader(call)
        if isinstance(layer, keras.layers.ZeroPadding2D) and reader is not None and hasattr(reader.operation, "kernel"):
            before[reader] = call
            continue
        layers, part = (layer,), _part_of_layer(layer, call.inputs[0].shape[1:])
        if call in before:
            call, layers = before[call], (before[call].operation, layer)
        if hasattr(layer, "kernel") and reader is not None and kinds.activation_name(reader.operation) in _MERGED:
            merged.add(reader)
            layers += (reader.operation,)
        found.append((part, call, layers))
    return found


def layers_of(model):
    """The layers of a model with batch normalization folded, as models of one layer each.

    Args:
        model: functional model with nothing left to fold, all of whose sizes are known.

    Returns:
        List of tuples: part, how many layers are alike, and a function that makes a `keras.Model` of one of them, with
        random weights.
    """
    (level,) = graph.Network(model).graphs
    counted = {}
    for part, call, layers in parts_of(level):
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in call.inputs)
        configs = [{**each.get_config(), "name": None} for each in layers]
        key = type(layers[0]).__name__, json.dumps(configs, sort_keys=True, default=str), shapes
        _, count, make = counted.get(key, (part, 0, _maker(layers, shapes)))
        counted[key] = part, count + 1, make
    return list(counted.values())


def without(model, part):
    """A model from which the layers of a part are taken that hand on maps of the same size; None if it has none."""
    network = graph.Network(model)
    calls = {call: graph.pass_on for found, call, _ in parts_of(network.graphs[0]) if found == part}
    return graph.rewrite(network, calls=calls, share=True) if calls else None


def _part_of_layer(layer, shape):
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return "depthwise convolutions"
    if hasattr(layer, "kernel") and len(shape) == 3:
        return _part_of_convolution(layer.kernel.shape[:2], False, shape[:2])
    if isinstance(layer, InterleaveChannels):
        return "interleaving"
    if isinstance(layer, keras.layers.Add):
        return "additions"
    return "activations" if kinds.activation_name(layer) else "the rest"


def _maker(layers, shapes):
    def make():
        inputs = [keras.Input(shape) for shape in shapes]
        x = inputs if len(inputs) > 1 else inputs[0]
        for layer in layers:
            x = type(layer).from_config(layer.get_config())(x)
        return keras.Model(inputs, x)

    return make


def litert(model, precision):
    """A LiteRT interpreter for a model, on one thread, with an input of random numbers.

    Args:
        model: functional model with any number of inputs.
        precision: "float32", or "int8", where input and output are integers too.

    Returns:
        `ai_edge_litert.interpreter.Interpreter`.
    """
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    shapes = [(1, *tensor.shape[1:]) for tensor in model.inputs]
    model = formulation.rewritten(model, *formulation.BEST["litert"], integers=precision == "int8")
    signature = [tf.TensorSpec(shape, "float32") for shape in shapes]
    function = tf.function(
        lambda *images: model(list(images) if len(images) > 1 else images[0], training=False), autograph=False
    )
    generator = np.random.default_rng(0)
    with conversion.quietly():
        # Kernels as constants, which XNNPACK brings into its own order once.
        frozen = convert_variables_to_constants_v2(function.get_concrete_function(*signature))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        if precision == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: [
                [generator.normal(size=shape).astype("float32") for shape in shapes] for _ in range(2)
            ]
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        content = converter.convert()
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        values = generator.normal(size=details["shape"]) * (30 if precision == "int8" else 1)
        interpreter.set_tensor(details["index"], values.clip(-127, 127).astype(details["dtype"]))
    return interpreter


def of_layers(networks, precision, rounds):
    """Milliseconds of each part of LiteRT files, all of which are measured in turns.

    What the interleaving costs is how much longer the whole network takes than one without it: in a file of its own,
    the map would be copied twice more. Other parts are sums of files of one layer.

    Args:
        networks: dict from names to functions that make a network.
        precision: "float32" or "int8".
        rounds: int >= 1.

    Returns:
        dict from names to dicts: milliseconds that the processor worked for each of `PARTS`, and for the "whole".
    """
    runs, counts = {}, collections.Counter()
    for name, make in networks.items():
        model = deploy.fold(make())
        variants = {"whole": model, "interleaving": without(model, "interleaving")}
        for part, variant in variants.items():
            if variant is not None:
                runs[name, part, "whole"] = litert(variant, precision).invoke
        for index, (part, count, layer) in enumerate(layers_of(model)):
            if part != "interleaving":
                runs[name, part, index], counts[name, part, index] = litert(layer(), precision).invoke, count
        keras.backend.clear_session()
    times = _in_turns(runs, rounds)
    sums = {name: dict.fromkeys(PARTS, 0.0) | {"whole": times[name, "whole", "whole"]} for name in networks}
    for (name, part, index), milliseconds in times.items():
        if index != "whole":
            sums[name][part] += counts[name, part, index] * milliseconds
        elif part != "whole":
            sums[name][part] = sums[name]["whole"] - milliseconds
    return sums


def _in_turns(runs, rounds):
    """Median milliseconds of functions that were called in turns, each so often that a timing is no moment."""
    repeats, found = {}, {key: [] for key in runs}
    for key, run in runs.items():
        run()
        start = time.thread_time()
        for _ in range(5):
            run()
        each = 1e3 * (time.thread_time() - start) / 5
        repeats[key] = max(1, round(_TIMED_MS / max(each, 1e-3)))
    for _ in range(rounds):
        for key, run in runs.items():
            start = time.thread_time()
            for _ in range(repeats[key]):
                run()
            found[key].append(1e3 * (time.thread_time() - start) / repeats[key])
    return {key: float(np.median(values)) for key, values in found.items()}
