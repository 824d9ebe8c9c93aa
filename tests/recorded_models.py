"""Models whose outputs are recorded in tests/data.

Those of `MODELS` have weights that a formula gives. Their outputs (recorded_outputs.json) were recorded when every
model family agreed with the outputs of the authors' implementation, which are too large to come along. They tell
whether a family still computes the same. The other file, recorded_included.json, has the outputs of the trained
networks that come along in data/weights. After an intended change, or another network, rerun

    python tests/recorded_models.py
"""

import json
import math
import pathlib
import re
import zlib

import keras
import numpy as np

import kgpc
from kgpc import datasets, included
from kgpc.applications import (
    DenseNetBC,
    kDenseNetBC,
    kEfficientNetB0,
    kInceptionV3,
    kMobileNet,
    kMobileNetV3Large,
    kMobileNetV3Small,
)

RECORDED = pathlib.Path(__file__).resolve().parent / "data" / "recorded_outputs.json"
RECORDED_INCLUDED = RECORDED.with_name("recorded_included.json")
# Name -> constructor, image size, other arguments.
MODELS = {
    "kMobileNet": (kMobileNet, 64, {}),
    "kMobileNet D6v3 skip 2 light and chroma": (
        kMobileNet,
        32,
        {"scheme": kgpc.D6v3(16), "skip_stride_cnt": 2, "l_ratio": 0.25, "ab_ratio": 0.75},
    ),
    "MobileNet": (kMobileNet, 64, {"scheme": None}),
    "kEffNet-B0": (kEfficientNetB0, 64, {}),
    "kEffNet-B0 D6v3 skip 3": (kEfficientNetB0, 32, {"scheme": kgpc.D6v3(16), "skip_stride_cnt": 3}),
    "kMobileNet V3 Large": (kMobileNetV3Large, 64, {}),
    "kMobileNet V3 Small minimalistic": (kMobileNetV3Small, 64, {"minimalistic": True}),
    "kDenseNet-BC L40": (kDenseNetBC, 32, {"depth": 40}),
    "kDenseNet-BC L40 grouped only": (
        kDenseNetBC,
        32,
        {
            "depth": 40,
            "scheme": kgpc.Grouped(32),
            "activation": "relu",
            "interleave_transitions": False,
            "relu_before_3x3": True,
        },
    ),
    "DenseNet-BC L40": (DenseNetBC, 32, {"depth": 40}),
    "kInception V3": (kInceptionV3, 107, {}),
    "kInception V3 two branches": (
        kInceptionV3,
        107,
        {"scheme": None, "two_paths_second_block": True, "l_ratio": 0.2, "ab_ratio": 0.8, "max_mix_idx": 1},
    ),
}


def _values(layer_name, weight):
    """Values of a weight, from its name alone; of a size that keeps the signal alive through a deep network."""
    # The legacy generator, whose numbers NumPy promises never to change.
    random = np.random.RandomState(zlib.crc32(f"{layer_name}/{weight.name}".encode()))
    shape = tuple(weight.shape)
    if weight.name == "kernel":
        depthwise = len(shape) == 4 and shape[-1] == 1
        fan_in = math.prod(shape[:2] if depthwise else shape[:-1])
        return random.standard_normal(shape) * math.sqrt(2 / fan_in)
    if weight.name in ("gamma", "moving_variance"):
        return random.uniform(0.7, 1.3, shape)
    return random.standard_normal(shape) * 0.1


def logits(name):
    """Logits (2, 10) of a model of `MODELS` for two images, one of noise and one of coarse blocks."""
    build, size, arguments = MODELS[name]
    model = build(input_shape=(size, size, 3), classes=10, classifier_activation=None, **arguments)
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(_values(layer.name, weight))
    random = np.random.RandomState(0)
    blocks = random.random_sample((5, 5, 3)).repeat(-(-size // 5), axis=0).repeat(-(-size // 5), axis=1)
    images = np.stack([random.random_sample((size, size, 3)), blocks[:size, :size]])
    return keras.ops.convert_to_numpy(model(images.astype("float32"), training=False))


def included_model(card, **arguments):
    """A network that comes along, with its weights."""
    scheme = re.fullmatch(r"(\w+)\((\d+)\)", card.scheme)
    size = int(card.image_size.partition("x")[0])
    return getattr(kgpc.applications, card.family.replace(" ", ""))(
        input_shape=(size, size, 3),
        classes=card.classes,
        weights=card.name,
        scheme=getattr(kgpc, scheme[1])(int(scheme[2])),
        **card.arguments,
        **arguments,
    )


def included_logits(card):
    """Logits of a network that comes along, for the middles of three photographs."""
    model = included_model(card, classifier_activation=None)
    size = model.input_shape[1]
    images = [photograph.pixels for photograph in datasets.photographs()[:3]]
    corners = [((image.shape[0] - size) // 2, (image.shape[1] - size) // 2) for image in images]
    middles = [image[y : y + size, x : x + size] for image, (y, x) in zip(images, corners, strict=True)]
    return keras.ops.convert_to_numpy(model(np.stack(middles).astype("float32") / 255, training=False))


def record(path, models, outputs_of):
    """Writes the outputs of models to a file."""
    outputs = {}
    for name, model in models.items():
        keras.utils.clear_session()
        # Six significant digits: what float32 leaves after a deep network, and less to read.
        outputs[name] = [[float(f"{value:.6g}") for value in row] for row in outputs_of(model)]
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(rows)}" for name, rows in outputs.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8", newline="\n")
    print(f"{len(outputs)} models recorded in {path.name}")


def main():
    record(RECORDED, {name: name for name in MODELS}, logits)
    record(RECORDED_INCLUDED, {card.name: card for card in included.cards()}, included_logits)


if __name__ == "__main__":
    main()
