"""kInceptionV3: Inception V3 with parameter-efficient pointwise convolutions, also with two branches for CIE Lab.

In a two-branch network one branch sees the lightness L of an image and the other its colour a, b. The first layers,
whose feature maps are the largest of the network, then need fewer weights and operations.

References: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", arXiv:1512.00567;
Schwarz Schuler et al. 2022, section 4, doi:10.13164/mendel.2022.1.023; for the light and chroma branches Schwarz
Schuler et al. 2022, "Color-Aware Two-Branch DCNN for Efficient Plant Disease Classification", MENDEL 28(1),
doi:10.13164/mendel.2022.1.055.
"""

import dataclasses

import cv2
import keras
import numpy as np
from keras import layers

from kgpc.applications import checks, common
from kgpc.blocks import pointwise
from kgpc.grouping import D6
from kgpc.layers import BatchNormalization, CopyChannels, InterleaveChannels

# Shares of the filters that each half of a deep two-branch layer gets: of pointwise convolutions, and of the others.
POINTWISE_SHARE = 0.5
LARGER_KERNEL_SHARE = 0.655


@dataclasses.dataclass(frozen=True)
class Unit:
    """Convolution, batch normalization without scale, ReLU.

    Attributes:
        suffix: str, what is appended to the name of the mixed layer.
        filters: int.
        kernel_size: tuple (height, width). 1x1 convolutions are the scheme's.
        stride: int; a stride of 2 goes without padding.
        always_ordinary: bool, whether a 1x1 convolution stays ordinary under every scheme, as in the published models.
        share: float, share of the filters in each half of a deep two-branch layer.
    """

    suffix: str
    filters: int
    kernel_size: tuple[int, int]
    stride: int = 1
    always_ordinary: bool = False
    share: float = LARGER_KERNEL_SHARE


@dataclasses.dataclass(frozen=True)
class Pool:
    """3x3 pooling: the average of each neighbourhood, or the maximum of every second one without padding."""

    suffix: str


@dataclasses.dataclass(frozen=True)
class Split:
    """Two convolutions side by side over the same input, concatenated."""

    suffix: str
    units: tuple[Unit, Unit]


def _pointwise_unit(suffix, filters, **options):
    return Unit(suffix, filters, (1, 1), **{"share": POINTWISE_SHARE, **options})


AVERAGE, MAXIMUM = Pool("avg"), Pool("max")


def _grid_35(pool_filters, last="33cc", before_double=False, after_pool=False):
    """Paths of mixed0 to mixed2; `before_double` and `after_pool` say which 1x1 convolutions stay ordinary."""
    return (
        (_pointwise_unit("11a", 64),),
        (_pointwise_unit("11b", 48), Unit("55b", 64, (5, 5))),
        (
            _pointwise_unit("11c", 64, always_ordinary=before_double, share=LARGER_KERNEL_SHARE),
            Unit("33c", 96, (3, 3)),
            Unit(last, 96, (3, 3)),
        ),
        (AVERAGE, _pointwise_unit("avg11", pool_filters, always_ordinary=after_pool)),
    )


def _grid_17(filters):
    """Paths of mixed4 to mixed7."""
    return (
        (_pointwise_unit("11a", 192),),
        (_pointwise_unit("11b", filters), Unit("17b", filters, (1, 7)), Unit("71b", 192, (7, 1))),
        (
            _pointwise_unit("11c", filters),
            Unit("71c", filters, (7, 1)),
            Unit("17c", filters, (1, 7)),
            Unit("71cc", filters, (7, 1)),
            Unit("17cc", 192, (1, 7)),
        ),
        (AVERAGE, _pointwise_unit("avg11", 192)),
    )


# Paths of mixed9 and mixed10. "11a" is a 1x3 convolution: the published models name it so.
_GRID_8 = (
    (_pointwise_unit("11", 320),),
    (_pointwise_unit("22", 384), Split("pa", (Unit("11a", 384, (1, 3)), Unit("31a", 384, (3, 1))))),
    (
        _pointwise_unit("11b", 448),
        Unit("33b", 384, (3, 3)),
        Split("pb", (Unit("13b", 384, (1, 3)), Unit("31b", 384, (3, 1)))),
    ),
    (AVERAGE, _pointwise_unit("avg11", 192)),
)

# The mixed layers 0 to 10 of Inception V3: for each the paths that are concatenated, for each path its steps.
MIXED_LAYERS = (
    _grid_35(32, before_double=True),
    _grid_35(64),
    _grid_35(64, last="33bb", before_double=True, after_pool=True),
    (
        (Unit("33a", 384, (3, 3), stride=2, share=POINTWISE_SHARE),),
        (_pointwise_unit("11b", 64), Unit("33b", 96, (3, 3)), Unit("33bb", 96, (3, 3), stride=2)),
        (MAXIMUM,),
    ),
    _grid_17(128),
    _grid_17(160),
    _grid_17(160),
    _grid_17(192),
    (
        (_pointwise_unit("11a", 192), Unit("33a", 320, (3, 3), stride=2)),
        (
            _pointwise_unit("11b", 192),
            Unit("17b", 192, (1, 7)),
            Unit("71b", 192, (7, 1)),
            Unit("33b", 192, (3, 3), stride=2),
        ),
        (MAXIMUM,),
    ),
    _GRID_8,
    _GRID_8,
)
LAST_MIXED_LAYER = len(MIXED_LAYERS) - 1

# The three convolutions before the first pooling: filters, stride, padding.
STEM = ((32, 2, "valid"), (32, 1, "valid"), (64, 1, "same"))
STEM_POINTWISE_FILTERS = 80
STEM_LAST_FILTERS = 192


def kInceptionV3(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name=None,
    *,
    scheme=D6(16),
    l_ratio=0.5,
    ab_ratio=0.5,
    two_paths_partial_first_block=0,
    two_paths_first_block=False,
    two_paths_second_block=False,
    deep_two_paths=False,
    max_mix_idx=LAST_MIXED_LAYER,
    max_mix_deep_two_paths_idx=-1,
    alpha=1.0,
):
    """Instantiates kInceptionV3.

    The published CIFAR-10 runs fed RGB images of 0..255 (`preprocess_input`), the two-branch ones images in CIE Lab
    (`rgb_to_scaled_lab`).

    Args:
        include_top: bool, whether to include global pooling and the classifier.
        weights: None (random); the path of a weight file: `.keras`/`.weights.h5` of this model, or a Keras 2 `.hdf5`;
            or the name of released weights that fit the model. Those are without a scheme and shorter than the whole
            network: "plant_village" or "plantdoc", or the label of a run, with its `max_mix_idx` and, for two
            branches, `two_paths_first_block=True` and its ratios. A name that does not fit lists those that do, and
            the values of the images they expect: RGB here means [0, 1]. `kgpc.weights.table()` lists all names, also of
            weights that come along. A file is compared completely before anything is loaded.
        input_tensor: Keras tensor to use as the image input, or None.
        input_shape: tuple (height, width, channels), at least 75 pixels high and wide; height and width may be None.
            Default (299, 299, 3); the published runs have (224, 224, 3).
        pooling: without the top only: None (feature maps), "avg" or "max" (global pooling).
        classes: int >= 1, number of classes.
        classifier_activation: activation of the classifier; None returns logits.
        name: str, name of the model; default "kinception_v3", or "inception_v3" without a scheme.
        scheme: a scheme such as `kgpc.D6(16)`. None builds Inception V3 itself, with ordinary pointwise convolutions;
            so were the published two-branch models.
        l_ratio: float in [0, 1], share of the first filters that the light branch (channel 0) gets; 0 removes that
            branch. Without a two-branch stem the ratios have no effect.
        ab_ratio: float in [0, 1], share of the chroma branch (channels 1 and 2).
        two_paths_partial_first_block: int >= 0. 1: only the first convolution is in two branches. 2: the first two. In
            both cases the next two arguments are ignored. 3 is `two_paths_first_block=True`, more is
            `two_paths_second_block=True`.
        two_paths_first_block: bool, whether the three convolutions before the first pooling, and that pooling, are in
            two branches.
        two_paths_second_block: bool, whether also the two convolutions after it are in two branches. Both read all that
            the first block computed, so there are two whatever the ratios are.
        deep_two_paths: bool, whether each mixed layer is in two branches too.
        max_mix_idx: int in [-1, 10], the last mixed layer; smaller makes a shorter network, -1 leaves the stem alone.
        max_mix_deep_two_paths_idx: int in [-1, 10]. From 0 on: only the mixed layers up to this one are in two
            branches, whether or not `deep_two_paths` is set. -1: `deep_two_paths` decides for all.
        alpha: float > 0, width multiplier of all filters, rounded down, but not below 1.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError: if a number or a bool is not one.
        ValueError: if an argument is out of its range, `weights` are damaged or do not fit, `scheme` is unknown, a
            ratio leaves a branch without filters, the number of input channels is missing, or a two-branch stem is
            asked for an input without 3 channels.
        FileNotFoundError: if `weights` is neither a file nor a name.
    """
    classes = checks.check_arguments(
        scheme=scheme,
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
    checks.check_flags(
        two_paths_first_block=two_paths_first_block,
        two_paths_second_block=two_paths_second_block,
        deep_two_paths=deep_two_paths,
    )
    l_ratio, ab_ratio = checks.fraction("l_ratio", l_ratio), checks.fraction("ab_ratio", ab_ratio)
    two_paths_partial_first_block = checks.integer("two_paths_partial_first_block", two_paths_partial_first_block, 0)
    max_mix_idx = checks.integer("max_mix_idx", max_mix_idx, -1, LAST_MIXED_LAYER)
    max_mix_deep_two_paths_idx = checks.integer(
        "max_mix_deep_two_paths_idx", max_mix_deep_two_paths_idx, -1, LAST_MIXED_LAYER
    )
    alpha = checks.positive("alpha", alpha)
    split_convolutions, split_second_block = _stem_layout(
        two_paths_partial_first_block, two_paths_first_block, two_paths_second_block
    )
    last_deep = max_mix_idx if deep_two_paths else -1
    if max_mix_deep_two_paths_idx >= 0:
        last_deep = max_mix_deep_two_paths_idx
    inputs = common.model_input(input_tensor, input_shape, default_size=299, min_size=75)
    found = common.find_weights(
        weights,
        include_top=include_top,
        family="kInception V3",
        scheme=scheme,
        arguments={
            "max_mix_idx": max_mix_idx,
            "two_paths_first_block": split_convolutions == len(STEM),
            "l_ratio": l_ratio,
            "ab_ratio": ab_ratio,
            "two_paths_partial_first_block": two_paths_partial_first_block,
            "two_paths_second_block": split_second_block,
            "last_deep_mixed_layer": min(last_deep, max_mix_idx),
            "alpha": alpha,
        },
        classes=classes,
    )
    x = _first_block(inputs, split_convolutions, l_ratio, ab_ratio, alpha)
    x = _two_branch_second_block(x, scheme, alpha) if split_second_block else _second_block(x, scheme, alpha)
    for index in range(max_mix_idx + 1):
        x = (_two_branch_mixed_layer if index <= last_deep else _whole_mixed_layer)(x, index, scheme, alpha)
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="predictions")(x)
    else:
        x = common.global_pooling(x, pooling)
    name = name or ("inception_v3" if scheme is None else "kinception_v3")
    model = keras.Model(common.source_inputs(inputs), x, name=name)
    return common.load_weights(model, found, include_top)


def preprocess_input(images, dtype="float32"):
    """Images as the published RGB runs of this family fed them: 0..255, not scaled at all.

    This differs from `keras.applications.inception_v3.preprocess_input`, which scales to [-1, 1], and from the other
    models here, which were trained on [0, 1]. Models trained on CIE Lab images need `rgb_to_scaled_lab` instead.

    Args:
        images: array-like of 0..255, usually uint8, (batch, height, width, channels).
        dtype: floating dtype of the result.

    Returns:
        Array of the same shape and values.

    Raises:
        ValueError: if `images` are no numbers of rank 4, or `dtype` is not a floating one.
    """
    return common.checked_images(images, dtype).astype(dtype)


def rgb_to_scaled_lab(images, dtype="float32"):
    """RGB images in CIE Lab, scaled as the two-branch models expect it: L / 100, a / 200 + 0.5, b / 200 + 0.5.

    The RGB values are read as sRGB with the white point D65. White becomes (1, 0.5, 0.5), black (0, 0.5, 0.5).

    Args:
        images: array-like of 0..255, usually uint8, (batch, height, width, 3).
        dtype: floating dtype of the result.

    Returns:
        Array (batch, height, width, 3): channel 0 is the lightness in [0, 1], channels 1 and 2 are the colour,
        in [0, 1] but for the purest blues (b down to -108 units, here -0.04).

    Raises:
        ValueError: if `images` has another shape, or values outside 0..255 (NaN included), or `dtype` is not a floating
            one.
    """
    images = common.checked_images(images, dtype)
    if images.shape[-1] != 3:
        raise ValueError(f"`images` must be (batch, height, width, 3). Received: shape {images.shape}.")
    if images.size and not (images.min() >= 0 and images.max() <= 255):
        raise ValueError(f"`images` must hold values of 0..255. Received: {images.min()} to {images.max()}.")
    srgb = images.reshape(-1, 1, 3).astype("float32") / np.float32(255)
    # Given sRGB, OpenCV interpolates in a table and is off by up to 0.4 units; given linear RGB, it computes.
    linear = np.where(
        srgb <= 0.04045, srgb / np.float32(12.92), ((srgb + np.float32(0.055)) / np.float32(1.055)) ** 2.4
    )
    lab = cv2.cvtColor(linear.astype("float32"), cv2.COLOR_LRGB2LAB) if images.size else linear
    return (lab / np.float32([100, 200, 200]) + np.float32([0, 0.5, 0.5])).reshape(images.shape).astype(dtype)


def _stem_layout(partial_first_block, first_block, second_block):
    """How many of the first three convolutions are in two branches, and whether the second block is too."""
    if partial_first_block in (1, 2):
        return partial_first_block, False
    second_block = bool(second_block) or partial_first_block > len(STEM)
    first_block = bool(first_block) or second_block or partial_first_block == len(STEM)
    return (len(STEM) if first_block else 0), second_block


def _convolution(x, filters, kernel_size, name, stride=1, padding="same"):
    x = layers.Conv2D(filters, kernel_size, strides=stride, padding=padding, use_bias=False, name=f"{name}_conv")(x)
    x = BatchNormalization(scale=False, name=f"{name}_bn")(x)
    return layers.Activation("relu", name=name)(x)


def _pointwise(x, filters, scheme, name, activation="relu"):
    return pointwise(x, filters, scheme, name=name, activation=activation, batch_norm_scale=False)


def _halving_pool(x, name):
    return layers.MaxPooling2D(3, strides=2, name=name)(x)


def _scaled_filters(filters, alpha):
    return max(1, int(filters * alpha))


def _first_convolutions(x, start, stop, name, alpha, ratio=1.0):
    """The convolutions `start` to `stop` - 1 before the first pooling, with that pooling where it follows."""
    for index, (filters, stride, padding) in enumerate(STEM[start:stop], start=start + 1):
        x = _convolution(x, round(_scaled_filters(filters, alpha) * ratio), 3, f"{name}_{index}", stride, padding)
    return _halving_pool(x, f"{name}_pool") if stop == len(STEM) else x


def _first_block(x, split_convolutions, l_ratio, ab_ratio, alpha):
    """The first three convolutions and the pooling, the first `split_convolutions` of them in two branches."""
    if split_convolutions:
        whole = split_convolutions == len(STEM)
        x = _light_and_chroma(
            x,
            split_convolutions,
            l_ratio,
            ab_ratio,
            alpha,
            "concat_first_block" if whole else f"concat_partial_first_block{split_convolutions}",
        )
        if whole:
            return x
    return _first_convolutions(x, split_convolutions, len(STEM), "stem", alpha)


def _light_and_chroma(x, convolutions, l_ratio, ab_ratio, alpha, concatenation):
    """The first convolutions in a branch over the lightness and one over the colour, concatenated."""
    if x.shape[-1] != 3:
        raise ValueError(f"A two-branch stem needs 3 input channels: L, a, b. Received: input shape {tuple(x.shape)}.")
    if not l_ratio and not ab_ratio:
        raise ValueError(f"`l_ratio` or `ab_ratio` must be above 0. Received: l_ratio={l_ratio}, ab_ratio={ab_ratio}.")
    branches = []
    for name, argument, ratio, start, channels in (
        ("light", "l_ratio", l_ratio, 0, 1),
        ("chroma", "ab_ratio", ab_ratio, 1, 2),
    ):
        if not ratio:
            continue
        if not all(round(_scaled_filters(filters, alpha) * ratio) for filters, _, _ in STEM[:convolutions]):
            raise ValueError(f"`{argument}` must be 0 or leave at least one filter. Received: {argument}={ratio}.")
        part = CopyChannels(channels, start=start, name=f"{name}_channels")(x)
        branches.append(_first_convolutions(part, 0, convolutions, name, alpha, ratio))
    return branches[0] if len(branches) == 1 else layers.Concatenate(name=concatenation)(branches)


def _second_block(x, scheme, alpha):
    x = _pointwise(x, _scaled_filters(STEM_POINTWISE_FILTERS, alpha), scheme, "single_path")
    x = _convolution(x, _scaled_filters(STEM_LAST_FILTERS, alpha), 3, "stem_4", padding="valid")
    return _halving_pool(x, "stem_pool_2")


def _two_branch_second_block(x, scheme, alpha):
    branches = []
    for name, transition, path in (
        ("light", "second_block_ta", "l_branch_path"),
        ("chroma", "second_block_tb", "ab_branch_path"),
    ):
        branch = _pointwise(x, int(x.shape[-1] * POINTWISE_SHARE), scheme, transition, activation=None)
        filters = round(_scaled_filters(STEM_POINTWISE_FILTERS, alpha) * LARGER_KERNEL_SHARE)
        branch = _pointwise(branch, filters, scheme, path)
        filters = round(_scaled_filters(STEM_LAST_FILTERS, alpha) * LARGER_KERNEL_SHARE)
        branches.append(_convolution(branch, filters, 3, f"{name}_4", padding="valid"))
    return _halving_pool(layers.Concatenate(name="concat_second_block")(branches), "stem_pool_2")


def _unit(x, unit, name, scheme, alpha, is_half):
    filters = _scaled_filters(unit.filters, alpha)
    if is_half:
        filters = int(unit.share * filters)
        if filters < 1:
            raise ValueError(f"`alpha` must leave at least one filter of each branch. Received: alpha={alpha}.")
    if unit.kernel_size == (1, 1):
        return _pointwise(x, filters, None if unit.always_ordinary else scheme, name)
    return _convolution(x, filters, unit.kernel_size, name, unit.stride, "same" if unit.stride == 1 else "valid")


def _step(x, step, name, scheme, alpha, is_half):
    """One step of a path; `name` is that of the mixed layer."""
    step_name = f"{name}_{step.suffix}"
    if step == AVERAGE:
        return layers.AveragePooling2D(3, strides=1, padding="same", name=step_name)(x)
    if step == MAXIMUM:
        return _halving_pool(x, step_name)
    if isinstance(step, Split):
        outputs = [_unit(x, unit, f"{name}_{unit.suffix}", scheme, alpha, is_half) for unit in step.units]
        return layers.Concatenate(name=step_name)(outputs)
    return _unit(x, step, step_name, scheme, alpha, is_half)


def _mixed_layer(x, index, name, scheme, alpha, is_half=False):
    outputs = []
    for path in MIXED_LAYERS[index]:
        output = x
        for step in path:
            output = _step(output, step, name, scheme, alpha, is_half)
        outputs.append(output)
    return layers.Concatenate(name=name)(outputs)


def _whole_mixed_layer(x, index, scheme, alpha):
    return _mixed_layer(x, index, f"mixed{index}", scheme, alpha)


def _two_branch_mixed_layer(x, index, scheme, alpha):
    x = InterleaveChannels(2, name=f"mixed{index}_interleaved")(x)
    halves = []
    for letter in "ab":
        half = _pointwise(x, int(x.shape[-1] * POINTWISE_SHARE), scheme, f"mixed{index}_t{letter}", activation=None)
        halves.append(_mixed_layer(half, index, f"mixed{index}{letter}", scheme, alpha, is_half=True))
    return layers.Concatenate(name=f"mixed{index}")(halves)
