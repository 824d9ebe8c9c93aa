"""kEffNet B0 to B7: EfficientNet with parameter-efficient pointwise convolutions, in one path or several.

References: Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
arXiv:1905.11946; Schwarz Schuler et al. 2022, section 4, doi:10.13164/mendel.2022.1.023; with D6v3,
doi:10.3390/e24091264.
"""

import functools
import math
from typing import NamedTuple

import keras
from keras import layers

from kgpc.applications import checks, common
from kgpc.blocks import pointwise
from kgpc.grouping import D6, check_scheme
from kgpc.layers import BatchNormalization, DepthwiseConv2D


class Stage(NamedTuple):
    """Blocks in a row that share a table row. `stride` is that of the first one; `repeats` is for B0."""

    expansion: int
    kernel_size: int
    filters: int
    stride: int
    repeats: int


class Variant(NamedTuple):
    """How a variant differs from B0: factors of filters and of repeats, image size, dropout before the classifier."""

    width: float
    depth: float
    image_size: int
    dropout: float


class Block(NamedTuple):
    """One inverted residual block of a variant, such as "2b", the second one of stage 2."""

    label: str
    expansion: int
    kernel_size: int
    filters: int
    stride: int


# Table 1 of EfficientNet without its stem and its top.
STEM_FILTERS = 32
STAGES = (
    Stage(expansion=1, kernel_size=3, filters=16, stride=1, repeats=1),
    Stage(expansion=6, kernel_size=3, filters=24, stride=2, repeats=2),
    Stage(expansion=6, kernel_size=5, filters=40, stride=2, repeats=2),
    Stage(expansion=6, kernel_size=3, filters=80, stride=2, repeats=3),
    Stage(expansion=6, kernel_size=5, filters=112, stride=1, repeats=3),
    Stage(expansion=6, kernel_size=5, filters=192, stride=2, repeats=4),
    Stage(expansion=6, kernel_size=3, filters=320, stride=1, repeats=1),
)
TOP_FILTERS = 1280
SQUEEZE_RATIO = 0.25

VARIANTS = {
    "B0": Variant(width=1.0, depth=1.0, image_size=224, dropout=0.2),
    "B1": Variant(width=1.0, depth=1.1, image_size=240, dropout=0.2),
    "B2": Variant(width=1.1, depth=1.2, image_size=260, dropout=0.3),
    "B3": Variant(width=1.2, depth=1.4, image_size=300, dropout=0.3),
    "B4": Variant(width=1.4, depth=1.8, image_size=380, dropout=0.4),
    "B5": Variant(width=1.6, depth=2.2, image_size=456, dropout=0.4),
    "B6": Variant(width=1.8, depth=2.6, image_size=528, dropout=0.5),
    "B7": Variant(width=2.0, depth=3.1, image_size=600, dropout=0.5),
}

# As configurations, so that each layer draws its own numbers: a Keras initializer repeats itself.
CONVOLUTION_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"},
}
CLASSIFIER_INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_out", "distribution": "uniform"},
}

preprocess_input = common.scale_to_unit

_DOCSTRING = """Instantiates kEffNet-{variant}: EfficientNet-{variant} whose pointwise convolutions follow a scheme.

    EfficientNet-{variant} is B0 with {width:g} times the filters and {depth:g} times the blocks in each stage. The
    scheme replaces the expansion, the two convolutions of squeeze-and-excite and the projection of every block, and
    the top convolution. Nothing follows the batch normalization of the top convolution, where EfficientNet has a
    swish.

    Images are expected scaled to [0, 1] (`preprocess_input`): there is no preprocessing inside the model, unlike in
    `keras.applications.EfficientNet{variant}`.

    Args:
        include_top: bool, whether to include global pooling, dropout and the classifier.
        weights: None (random); the path of a weight file: `.keras`/`.weights.h5` of this model, or a Keras 2 `.hdf5`;
            or the name of released weights: "cifar10" or the label of a run, as "JP30I02j". Where the name
            fits no weights for the model, the error lists those there are. `kgpc.weights.table()` lists all names, also
            of weights that come along. A file is compared completely before anything is loaded.
        input_tensor: Keras tensor to use as the image input, or None. What it is computed from becomes part of the
            model.
        input_shape: tuple (height, width, channels). Default ({image_size}, {image_size}, 3). Height and width may be
            None: then every reduction pads as for an even size, as in `keras.applications`; where a size on the way
            is odd, the result differs from that of a model with a fixed shape.
        pooling: without the top only: None (feature maps), "avg" or "max" (global pooling).
        classes: int >= 1, number of classes.
        classifier_activation: activation of the classifier; None returns logits.
        name: str, name of the model; default "kefficientnet{lower}", or "efficientnet{lower}" for the baseline.
        scheme: a scheme such as `kgpc.D6(16)`, or a list or tuple of them: one path of blocks for each, side by side
            after the shared stem, each ending in ReLU, merged before the top convolution, which uses the last scheme.
            In a list, None stands for ordinary pointwise convolutions in that path. None alone builds the baseline,
            EfficientNet-{variant} itself with its own activations, initializers and layer names (only its classifier
            is called `probs`, as in the published models, not `predictions`).
        skip_stride_cnt: int, for small images: -1 leaves all strides as they are; n >= 0 gives the stem stride 1 and
            also the first n of the seven stages. Stages 2, 3, 4 and 6 are the ones that reduce, so 3 (published for
            32x32 images) keeps the size up to the end of stage 3.
        dropout: float in [0, 1), share of pooled features dropped before the classifier.
        drop_connect_rate: float in [0, 1]. In training, block b of a path (counted from 0), if it has a residual
            connection, leaves out its branch for a share of `drop_connect_rate * b / 16` of the images; all shares
            must be below 1. As published, the divisor is the number of blocks of B0 whatever the variant, so deeper
            ones exceed `drop_connect_rate` (its default gives {last_rate:.4g} for the last of the {block_count}
            blocks here). The baseline divides by its own number of blocks, {block_count}, as `keras.applications`
            does.
        path_merge: "concat" or "add", how several paths are merged.
        width: float > 0, factor of the filters of B0. Another one than the default {width:g} makes a narrower or a
            wider network of the same depth.
        depth: float > 0, factor of the blocks in each stage of B0, rounded up to whole blocks. Another one than the
            default {depth:g} makes a shallower or a deeper network of the same width.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError: if a number or a bool is not one.
        ValueError: if an argument is out of its range, `weights` are damaged or do not fit, a scheme is unknown, a list
            of schemes is empty, or the number of input channels is missing.
        FileNotFoundError: if `weights` is neither a file nor a name.

    Example:

    >>> import kgpc
    >>> model = kgpc.applications.kEfficientNet{variant}(
    ...     input_shape=(32, 32, 3), classes=10, scheme=kgpc.D6(16), skip_stride_cnt=3
    ... )
    >>> model.output_shape
    (None, 10)

    References: Tan and Le 2019, arXiv:1905.11946; Schwarz Schuler et al. 2022, section 4,
    doi:10.13164/mendel.2022.1.023.
    """


def _constructor(variant_name):
    """Constructor of one variant, with its own name, defaults and docstring."""
    variant = VARIANTS[variant_name]

    def constructor(
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
        skip_stride_cnt=-1,
        dropout=variant.dropout,
        drop_connect_rate=0.2,
        path_merge="concat",
        width=variant.width,
        depth=variant.depth,
    ):
        classes = checks.check_arguments(
            scheme=None,
            include_top=include_top,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
        )
        skip_stride_cnt = checks.skip_count(skip_stride_cnt)
        dropout = checks.dropout_rate(dropout)
        if not isinstance(path_merge, str) or path_merge not in ("concat", "add"):
            raise ValueError(f'`path_merge` must be "concat" or "add". Received: path_merge={path_merge!r}.')
        width, depth = checks.positive("width", width), checks.positive("depth", depth)
        schemes = _schemes(scheme)
        scaled = variant._replace(width=width, depth=depth)
        blocks = _blocks(scaled, skip_stride_cnt)
        drop_rates = _drop_rates(len(blocks), drop_connect_rate, baseline=scheme is None)
        inputs = common.model_input(input_tensor, input_shape, default_size=variant.image_size)
        found = common.find_weights(
            weights,
            include_top=include_top,
            family=f"{'EfficientNet' if scheme is None else 'kEffNet'}-{variant_name}",
            scheme=schemes[0] if len(schemes) == 1 else schemes,
            arguments={
                "skip_stride_cnt": skip_stride_cnt,
                "path_merge": path_merge,
                "width": width,
                "depth": depth,
            },
            classes=classes,
        )
        # Without a scheme, the layer names are those of keras.applications.
        prefix = "" if scheme is None else "k_"
        x = _stem(inputs, _scaled_filters(STEM_FILTERS, scaled), 2 if skip_stride_cnt < 0 else 1, prefix)
        if scheme is None:
            x = _path(x, blocks, drop_rates, _baseline_pointwise, "block{}_")
            x = _baseline_pointwise(x, _scaled_filters(TOP_FILTERS, scaled), name="top_conv", activation="swish")
        else:
            units = [functools.partial(_scheme_pointwise, scheme=path_scheme) for path_scheme in schemes]
            x = _merged_paths(x, blocks, drop_rates, units, path_merge)
            # The published models with several paths build their top from the last scheme.
            x = units[-1](x, _scaled_filters(TOP_FILTERS, scaled), name="k_top_conv")
        if include_top:
            x = _classifier(x, classes, classifier_activation, dropout, prefix)
        else:
            x = common.global_pooling(x, pooling)
        default_name = f"{'efficientnet' if scheme is None else 'kefficientnet'}{variant_name.lower()}"
        model = keras.Model(common.source_inputs(inputs), x, name=name or default_name)
        return common.load_weights(model, found, include_top)

    block_count = len(_blocks(variant))
    constructor.__name__ = constructor.__qualname__ = f"kEfficientNet{variant_name}"
    constructor.__doc__ = _DOCSTRING.format(
        variant=variant_name,
        lower=variant_name.lower(),
        block_count=block_count,
        last_rate=_drop_rates(block_count, 0.2)[-1],
        **variant._asdict(),
    )
    return constructor


def _schemes(scheme):
    """The scheme of each path."""
    if not isinstance(scheme, (list, tuple)):
        return (check_scheme(scheme),)
    if not scheme:
        raise ValueError(f"`scheme` must hold at least one scheme where it is a list. Received: scheme={scheme!r}.")
    return tuple(check_scheme(path_scheme) for path_scheme in scheme)


def _scaled_filters(filters, variant):
    """Filters of a variant: a multiple of 8, and not more than 10% below what was asked for."""
    scaled = filters * variant.width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def _blocks(variant, skip_stride_cnt=-1):
    """All blocks of one path."""
    return [
        Block(
            label=f"{index + 1}{chr(ord('a') + repeat)}",
            expansion=stage.expansion,
            kernel_size=stage.kernel_size,
            filters=_scaled_filters(stage.filters, variant),
            stride=stage.stride if repeat == 0 and index >= skip_stride_cnt else 1,
        )
        for index, stage in enumerate(STAGES)
        for repeat in range(math.ceil(variant.depth * stage.repeats))
    ]


def _drop_rates(blocks, drop_connect_rate, baseline=False):
    """Drop-connect rate of each of so many blocks."""
    drop_connect_rate = checks.fraction("drop_connect_rate", drop_connect_rate)
    divisor = blocks if baseline else sum(stage.repeats for stage in STAGES)
    rates = [drop_connect_rate * index / divisor for index in range(blocks)]
    if rates[-1] >= 1:
        raise ValueError(
            f"`drop_connect_rate` must be smaller than {divisor}/{blocks - 1} for {blocks} blocks, so that none is "
            f"always dropped. Received: drop_connect_rate={drop_connect_rate}."
        )
    return rates


def _padding(size, kernel_size):
    """Padding (before, after) of one axis that makes a 'valid' convolution of stride 2 halve it, rounded up.

    An open size (None) counts as even.
    """
    after = kernel_size // 2
    return (after - 1 if size is None or size % 2 == 0 else after, after)


def _pad(x, kernel_size, name):
    return layers.ZeroPadding2D((_padding(x.shape[1], kernel_size), _padding(x.shape[2], kernel_size)), name=name)(x)


def _stem(x, filters, stride, prefix):
    x = _pad(x, 3, f"{prefix}stem_conv_pad")
    x = layers.Conv2D(
        filters,
        3,
        strides=stride,
        padding="valid",
        use_bias=False,
        kernel_initializer=CONVOLUTION_INITIALIZER,
        name=f"{prefix}stem_conv",
    )(x)
    x = BatchNormalization(name=f"{prefix}stem_bn")(x)
    return common.activation(x, "swish", f"{prefix}stem_activation")


def _block(inputs, block, drop_rate, unit, name):
    """Inverted residual block with squeeze-and-excite; `unit` makes its pointwise convolutions."""
    in_channels = inputs.shape[-1]
    x = inputs
    if block.expansion != 1:
        x = unit(x, in_channels * block.expansion, name=f"{name}expand", activation="swish")
    x = _depthwise(x, block.kernel_size, block.stride, name)
    x = _squeeze_and_excite(x, max(1, int(in_channels * SQUEEZE_RATIO)), unit, name)
    x = unit(x, block.filters, name=f"{name}project_conv")
    if block.stride != 1 or block.filters != in_channels:
        return x
    if drop_rate:
        # One random number for each image: the branch is there as a whole or not at all.
        x = layers.Dropout(drop_rate, noise_shape=(None, 1, 1, 1), name=f"{name}drop")(x)
    return layers.Add(name=f"{name}add")([x, inputs])


def _path(x, blocks, drop_rates, unit, name):
    """All blocks of one path; `name` has a place for the label of the block."""
    for block, drop_rate in zip(blocks, drop_rates, strict=True):
        x = _block(x, block, drop_rate, unit, name.format(block.label))
    return x


def _merged_paths(x, blocks, drop_rates, units, path_merge):
    """One path for each unit, side by side over the same stem."""
    paths = [_path(x, blocks, drop_rates, unit, f"k_block{{}}__{index}") for index, unit in enumerate(units)]
    if len(paths) == 1:
        return paths[0]
    paths = [layers.ReLU(name=f"k_end_relu_{index}")(path) for index, path in enumerate(paths)]
    if path_merge == "add":
        return layers.Add(name="k_global_add")(paths)
    return layers.Concatenate(name="k_global_concat")(paths)


def _classifier(x, classes, activation, dropout, prefix):
    x = layers.GlobalAveragePooling2D(name=f"{prefix}avg_pool")(x)
    x = layers.Dropout(dropout, name=f"{prefix}top_dropout")(x)
    return layers.Dense(
        classes, activation=activation, kernel_initializer=CLASSIFIER_INITIALIZER, name=f"{prefix}probs"
    )(x)


def _depthwise(x, kernel_size, stride, name):
    if stride != 1:
        x = _pad(x, kernel_size, f"{name}dwconv_pad")
    x = DepthwiseConv2D(
        kernel_size,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        use_bias=False,
        depthwise_initializer=CONVOLUTION_INITIALIZER,
        name=f"{name}dwconv",
    )(x)
    x = BatchNormalization(name=f"{name}bn")(x)
    return common.activation(x, "swish", f"{name}activation")


def _squeeze_and_excite(x, squeezed, unit, name):
    channels = x.shape[-1]
    y = layers.GlobalAveragePooling2D(name=f"{name}se_squeeze")(x)
    y = layers.Reshape((1, 1, channels), name=f"{name}se_reshape")(y)
    y = unit(y, squeezed, name=f"{name}se_reduce", activation="swish", batch_norm=False)
    y = unit(y, channels, name=f"{name}se_expand", activation="sigmoid", batch_norm=False)
    return layers.Multiply(name=f"{name}se_excite")([x, y])


def _scheme_pointwise(x, filters, *, scheme, name, activation=None, batch_norm=True):
    return pointwise(
        x, filters, scheme, name=name, activation=activation, batch_norm=batch_norm, use_bias=not batch_norm
    )


def _baseline_pointwise(x, filters, *, name, activation=None, batch_norm=True):
    """EfficientNet's own: the layers, names and initializer of keras.applications, so that its weights fit too."""
    if not batch_norm:
        return layers.Conv2D(filters, 1, activation=activation, kernel_initializer=CONVOLUTION_INITIALIZER, name=name)(
            x
        )
    name = name.removesuffix("_conv")
    x = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer=CONVOLUTION_INITIALIZER, name=f"{name}_conv")(x)
    x = BatchNormalization(name=f"{name}_bn")(x)
    return common.activation(x, activation, f"{name}_activation")


kEfficientNetB0 = _constructor("B0")
kEfficientNetB1 = _constructor("B1")
kEfficientNetB2 = _constructor("B2")
kEfficientNetB3 = _constructor("B3")
kEfficientNetB4 = _constructor("B4")
kEfficientNetB5 = _constructor("B5")
kEfficientNetB6 = _constructor("B6")
kEfficientNetB7 = _constructor("B7")
