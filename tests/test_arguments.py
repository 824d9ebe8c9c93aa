"""Odd arguments of all constructors: refused by name before anything is built; NumPy's numbers are numbers."""

import fractions
import inspect
import json

import keras
import numpy as np
import pytest

import kgpc
from kgpc import applications

CONSTRUCTORS = [
    applications.kMobileNet,
    applications.kMobileNetV3Large,
    applications.kMobileNetV3Small,
    applications.kEfficientNetB0,
    applications.kEfficientNetB7,
    applications.kDenseNetBC,
    applications.DenseNetBC,
    applications.kInceptionV3,
]
FLAG = ("no", "False", "", 0, 1, 2, None, 0.0, np.array([True, False]))
COUNT = (0, -1, -(10**5000), True, 1.5, 2.0, "2", None, float("nan"), float("inf"), np.float32(3), [1])
FACTOR = (0, -0.5, float("nan"), float("inf"), True, "1", None, 1e300, 101, 1j, [1.0])
SHARE = (-0.1, 1.1, float("nan"), float("inf"), True, False, "0.5", 1j, [0.5])
ACTIVATION = ("nosuch", 3, True, 1.5, ["relu"], b"relu")
ODD = {
    "include_top": FLAG,
    "weights": (3, True, b"weights.h5", ["a.keras"], "no_such.keras", "", ".", "nul\0byte.h5", "x" * 5000 + ".h5"),
    "input_tensor": (3, "image", np.zeros((1, 96, 96, 3), "float32"), [1]),
    "input_shape": (32, "abc", (96, 96), (96, 96, 3, 1), (96, 96, None), (0, 96, 3), (96.0, 96, 3), (True, 96, 3), {}),
    "pooling": ("mean", "AVG", True, 1, ["avg"], np.array(["avg", "max"])),
    "classes": COUNT,
    "classifier_activation": ACTIVATION,
    "name": (3, True, "a/b", b"net", ["net"]),
    "scheme": (16, "D6", True, kgpc.D6, [3], {}),
    "skip_stride_cnt": (-2, -(10**5000), True, False, 1.0, "1", None, float("nan"), float("inf"), [1]),
    "alpha": FACTOR,
    "width": FACTOR,
    "depth_multiplier": COUNT,
    "dropout": (*SHARE, 1, 1.0, None),
    "drop_connect_rate": (*SHARE, None),
    "l_ratio": SHARE,
    "ab_ratio": SHARE,
    "stem_activation": ACTIVATION,
    "depthwise_activation": ACTIVATION,
    "pointwise_activation": ACTIVATION,
    "activation": ACTIVATION,
    "minimalistic": FLAG,
    "scale_head": FLAG,
    "path_merge": ("sum", True, 1, None, ["add"]),
    "transition_scheme": (12, "D6", True, "SAME"),
    "depth": (0, -1, True, "40", None, float("nan"), float("inf"), 1e300, [40]),
    "growth_rate": COUNT,
    "bottleneck": tuple(value for value in COUNT if value is not None),
    "compression": (0, -1, 1.5, float("nan"), float("inf"), True, "0.5", None),
    "interleave_transitions": FLAG,
    "relu_before_3x3": FLAG,
    "kernel_regularizer": ("nosuch", 3, True, 1e-4, ["l2"]),
    "two_paths_partial_first_block": (-1, True, 1.0, "1", None, float("nan")),
    "two_paths_first_block": FLAG,
    "two_paths_second_block": FLAG,
    "deep_two_paths": FLAG,
    "max_mix_idx": (-2, 11, 10**5000, True, 1.0, "1", None, float("nan")),
    "max_mix_deep_two_paths_idx": (-2, 11, True, 1.0, "1", None, float("nan")),
}


@pytest.fixture
def nothing_is_built(monkeypatch):
    def build(layer, *_):
        raise AssertionError(f"{type(layer).__name__} was built")

    monkeypatch.setattr(keras.layers.Layer, "__call__", build)


@pytest.mark.parametrize("constructor", CONSTRUCTORS, ids=lambda constructor: constructor.__name__)
def test_every_argument_is_checked_before_anything_is_built(nothing_is_built, constructor, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tried = 0
    for argument in inspect.signature(constructor).parameters:
        for value in ODD[argument]:
            # The ratios of the stem go together.
            with_it = {"ab_ratio": 0.5, "l_ratio": 0.5} if argument in ("l_ratio", "ab_ratio") else {}
            arguments = {"input_shape": (96, 96, 3), **with_it, argument: value}
            if argument == "input_tensor":
                del arguments["input_shape"]
            with pytest.raises((TypeError, ValueError, FileNotFoundError)) as error:
                constructor(**arguments)
            message = str(error.value)
            assert message.startswith(f"`{argument}` ") and "eceived: " in message, (argument, value, message)
            tried += 1
    assert tried > 80


@pytest.mark.parametrize(
    "constructor, arguments",
    [
        (applications.kMobileNet, {"alpha": np.float32(0.25), "depth_multiplier": np.int64(1)}),
        (applications.kMobileNetV3Small, {"alpha": np.float64(0.25), "minimalistic": np.bool_(True)}),
        (applications.kEfficientNetB0, {"width": np.float32(0.25), "depth": np.int64(1)}),
        (applications.kDenseNetBC, {"depth": np.int64(10), "growth_rate": np.int64(4), "bottleneck": np.int32(8)}),
        (applications.DenseNetBC, {"depth": np.int64(10), "growth_rate": np.int64(4), "compression": np.float32(0.5)}),
        (applications.kInceptionV3, {"max_mix_idx": np.int64(0), "alpha": fractions.Fraction(1, 4)}),
    ],
)
def test_numbers_of_numpy_are_numbers(constructor, arguments):
    shape = (np.int64(96), np.int64(96), np.int64(3))
    arguments = {"input_shape": shape, "classes": np.int64(3), "include_top": np.bool_(True), **arguments}
    parameters = inspect.signature(constructor).parameters
    more = {"skip_stride_cnt": np.int64(1), "dropout": np.float32(0.5)}
    arguments |= {name: value for name, value in more.items() if name in parameters}
    plain = {
        name: tuple(map(int, value)) if name == "input_shape" else getattr(value, "item", lambda value=value: value)()
        for name, value in arguments.items()
    }
    saved = []
    for values in (arguments, plain):
        keras.utils.clear_session()
        with keras.StatelessScope():
            saved.append(json.loads(constructor(**values).to_json()))
    assert saved[0] == saved[1]


@pytest.mark.parametrize("ratios", [{"l_ratio": 0.5}, {"ab_ratio": 0.5}, {"l_ratio": 0.0, "ab_ratio": 0.0}])
def test_ratios_of_a_stem_go_together_and_leave_filters(nothing_is_built, ratios):
    with pytest.raises(ValueError, match="`l_ratio`|`ab_ratio`"):
        applications.kMobileNet(input_shape=(32, 32, 3), **ratios)


def test_a_width_that_leaves_no_filter_is_refused(nothing_is_built):
    with pytest.raises(ValueError, match="`alpha` must leave at least one of 32 filters. Received: alpha=0.03"):
        applications.kMobileNet(alpha=0.03)


def test_a_given_input_and_another_shape_are_refused():
    image = keras.Input((32, 32, 3))
    with pytest.raises(ValueError, match="`input_shape` must be that of `input_tensor`"):
        applications.kMobileNet(input_tensor=image, input_shape=(64, 64, 3))


@pytest.mark.parametrize(
    "prepare",
    [
        applications.mobilenet.preprocess_input,
        applications.inception_v3.preprocess_input,
        applications.inception_v3.rgb_to_scaled_lab,
    ],
)
def test_odd_images_and_types_are_named(prepare):
    images = np.zeros((1, 2, 2, 3), "uint8")
    for odd in ("image", None, images[0], images.astype(str), images.astype(bool), images.astype(complex)):
        with pytest.raises(ValueError, match="`images` must be numbers of rank 4"):
            prepare(odd)
    with pytest.raises(ValueError, match="`images` must all have the same shape"):
        prepare([images[0], images[0, :1]])
    for dtype in ("uint8", bool, "nosuch", None, 3, complex):
        with pytest.raises(ValueError, match="`dtype` must be a floating one"):
            prepare(images, dtype)
    assert prepare(images, "float16").dtype == "float16"
