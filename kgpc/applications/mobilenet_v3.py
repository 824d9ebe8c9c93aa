"""kMobileNetV3 Large and Small: MobileNet V3 with parameter-efficient pointwise convolutions.

References: Howard et al. 2019, "Searching for MobileNetV3", arXiv:1905.02244; Schwarz Schuler et al. 2022, section 4,
doi:10.13164/mendel.2022.1.023.
"""

import typing

import keras
from keras import layers

from kgpc.applications import checks, common
from kgpc.blocks import pointwise
from kgpc.grouping import D6
from kgpc.layers import BatchNormalization, DepthwiseConv2D


class Block(typing.NamedTuple):
    """One row of the tables of MobileNet V3: an inverted residual block.

    Attributes:
        expansion: number, channels inside the block for each channel of its input.
        filters: int, channels of its output.
        kernel_size: int, height and width of the depthwise kernel.
        stride: int, stride of the depthwise convolution.
        squeeze_excite: bool, whether it has a squeeze-and-excite branch.
        activation: str, activation after expansion and depthwise convolution.
    """

    expansion: float
    filters: int
    kernel_size: int
    stride: int
    squeeze_excite: bool
    activation: str


# Table 1 of MobileNet V3, without the first and the last convolutions.
LARGE = (
    Block(1, 16, 3, 1, False, "relu"),
    Block(4, 24, 3, 2, False, "relu"),
    Block(3, 24, 3, 1, False, "relu"),
    Block(3, 40, 5, 2, True, "relu"),
    Block(3, 40, 5, 1, True, "relu"),
    Block(3, 40, 5, 1, True, "relu"),
    Block(6, 80, 3, 2, False, "hard_swish"),
    Block(2.5, 80, 3, 1, False, "hard_swish"),
    Block(2.3, 80, 3, 1, False, "hard_swish"),
    Block(2.3, 80, 3, 1, False, "hard_swish"),
    Block(6, 112, 3, 1, True, "hard_swish"),
    Block(6, 112, 3, 1, True, "hard_swish"),
    Block(6, 160, 5, 2, True, "hard_swish"),
    Block(6, 160, 5, 1, True, "hard_swish"),
    Block(6, 160, 5, 1, True, "hard_swish"),
)

# Table 2, likewise.
SMALL = (
    Block(1, 16, 3, 2, True, "relu"),
    Block(72 / 16, 24, 3, 2, False, "relu"),
    Block(88 / 24, 24, 3, 1, False, "relu"),
    Block(4, 40, 5, 2, True, "hard_swish"),
    Block(6, 40, 5, 1, True, "hard_swish"),
    Block(6, 40, 5, 1, True, "hard_swish"),
    Block(3, 48, 5, 1, True, "hard_swish"),
    Block(3, 48, 5, 1, True, "hard_swish"),
    Block(6, 96, 5, 2, True, "hard_swish"),
    Block(6, 96, 5, 1, True, "hard_swish"),
    Block(6, 96, 5, 1, True, "hard_swish"),
)

# Moving statistics of MobileNet V3; the units of a scheme keep the 0.99 of the published k models.
MOMENTUM = 0.999

preprocess_input = common.scale_to_unit


def kMobileNetV3Large(
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
    alpha=1.0,
    minimalistic=False,
    dropout=0.2,
    scale_head=False,
):
    """Instantiates kMobileNetV3 Large.

    Images are expected scaled to [0, 1] (`preprocess_input`). Between global pooling and the classifier stands a
    convolution with a nonlinear activation, so class activation maps need Grad-CAM here.

    Args:
        include_top: bool, whether to include global pooling, the convolution after it, dropout and the classifier.
        weights: None (random); the path of a weight file: `.keras`/`.weights.h5` of this model, or a Keras 2 `.hdf5`;
            or the name of released weights: "cifar10", "plantdoc", "pets" or the label of a run. Where the name
            fits no weights for the model, the error lists those there are. `kgpc.weights.table()` lists all names, also
            of weights that come along. A file is compared completely before anything is loaded.
        input_tensor: Keras tensor to use as the image input, or None.
        input_shape: tuple (height, width, channels); height and width may be None. Default (224, 224, 3).
        pooling: without the top only: None (feature maps), "avg" or "max" (global pooling).
        classes: int >= 1, number of classes.
        classifier_activation: activation of the classifier; None returns logits.
        name: str, name of the model; default "kmobilenetv3large", or "mobilenetv3large" without a scheme.
        scheme: a scheme such as `kgpc.D6(16)`, for all 1x1 convolutions but the classifier. None builds MobileNet V3
            itself.
        skip_stride_cnt: int, for small images: -1 leaves all strides as they are; n >= 0 gives the stem stride 1 and
            also the first n of the four later blocks that reduce. As any block with stride 1, one whose stride is
            skipped has a shortcut where its input and output have the same channels.
        alpha: float > 0, width multiplier of the filters of all blocks; above 1 also of the convolution after global
            pooling. The stem keeps its 16 filters.
        minimalistic: bool, whether to leave out what is slow on some hardware: squeeze-and-excite, hard swish (ReLU
            instead) and 5x5 kernels (3x3 instead).
        dropout: float in [0, 1), share of features dropped before the classifier.
        scale_head: bool, whether the convolution after global pooling (`Conv_2`: 1280 filters, in Small 1024) has the
            width multiplier below 1 too. False is MobileNet V3, in which a narrow network keeps its wide head.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError: if a number or a bool is not one.
        ValueError: if an argument is out of its range, `weights` are damaged or do not fit, `scheme` is unknown, or the
            number of input channels is missing.
        FileNotFoundError: if `weights` is neither a file nor a name.

    References: Howard et al. 2019, table 1, arXiv:1905.02244; Schwarz Schuler et al. 2022, section 4,
    doi:10.13164/mendel.2022.1.023.
    """
    return _mobilenet_v3(
        LARGE,
        last_filters=1280,
        variant="large",
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        scheme=scheme,
        skip_stride_cnt=skip_stride_cnt,
        alpha=alpha,
        minimalistic=minimalistic,
        dropout=dropout,
        scale_head=scale_head,
    )


def kMobileNetV3Small(
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
    alpha=1.0,
    minimalistic=False,
    dropout=0.2,
    scale_head=False,
):
    """Instantiates kMobileNetV3 Small.

    Arguments, result and errors are those of `kMobileNetV3Large`; the default name is "kmobilenetv3small", or
    "mobilenetv3small" without a scheme.

    References: Howard et al. 2019, table 2, arXiv:1905.02244; Schwarz Schuler et al. 2022, section 4,
    doi:10.13164/mendel.2022.1.023.
    """
    return _mobilenet_v3(
        SMALL,
        last_filters=1024,
        variant="small",
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        scheme=scheme,
        skip_stride_cnt=skip_stride_cnt,
        alpha=alpha,
        minimalistic=minimalistic,
        dropout=dropout,
        scale_head=scale_head,
    )


def _mobilenet_v3(
    blocks,
    *,
    last_filters,
    variant,
    include_top,
    weights,
    input_tensor,
    input_shape,
    pooling,
    classes,
    classifier_activation,
    name,
    scheme,
    skip_stride_cnt,
    alpha,
    minimalistic,
    dropout,
    scale_head,
):
    classes = checks.check_arguments(
        scheme=scheme,
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
    skip_stride_cnt = checks.skip_count(skip_stride_cnt)
    dropout = checks.dropout_rate(dropout)
    alpha = checks.positive("alpha", alpha)
    checks.check_flags(minimalistic=minimalistic, scale_head=scale_head)
    inputs = common.model_input(input_tensor, input_shape, default_size=224)
    found = common.find_weights(
        weights,
        include_top=include_top,
        family=f"kMobileNet V3 {variant.capitalize()}",
        scheme=scheme,
        arguments={
            "skip_stride_cnt": skip_stride_cnt,
            "alpha": alpha,
            "minimalistic": minimalistic,
            "scale_head": scale_head,
        },
        classes=classes,
    )
    if minimalistic:
        blocks = tuple(block._replace(kernel_size=3, squeeze_excite=False, activation="relu") for block in blocks)
    activation = blocks[-1].activation
    x = _stem(inputs, 2 if skip_stride_cnt < 0 else 1, activation)
    for index, block in enumerate(_with_skipped_strides(blocks, skip_stride_cnt)):
        x = _inverted_residual(x, index, block, alpha, scheme)
    x = _pointwise(x, _round_channels(6 * x.shape[-1]), scheme, "Conv_1", activation)
    if include_top:
        x = layers.GlobalAveragePooling2D(keepdims=True, name="global_average_pooling2d")(x)
        # As published, a narrower network keeps the width of this layer, a wider one widens it too.
        filters = _round_channels(last_filters * alpha) if scale_head or alpha > 1 else last_filters
        x = _pointwise(x, filters, scheme, "Conv_2", activation, batch_norm=False)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(classes, 1, name="Logits")(x)
        x = layers.Flatten(name="flatten")(x)
        x = layers.Activation(classifier_activation or "linear", name="predictions")(x)
    else:
        x = common.global_pooling(x, pooling)
    name = name or ("mobilenetv3" if scheme is None else "kmobilenetv3") + variant
    return common.load_weights(keras.Model(common.source_inputs(inputs), x, name=name), found, include_top)


def _with_skipped_strides(blocks, skip_stride_cnt):
    """The blocks, the first `skip_stride_cnt` of those that reduce with stride 1."""
    reductions = 0
    for block in blocks:
        reductions += block.stride == 2
        yield block._replace(stride=1) if reductions <= skip_stride_cnt else block


def _round_channels(channels):
    """The nearest multiple of 8, at least 8; the next one where the nearest loses more than a tenth."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _stem(x, stride, activation):
    x, padding = _padded(x, 3, stride, "Conv_pad")
    x = layers.Conv2D(16, 3, strides=stride, padding=padding, use_bias=False, name="Conv")(x)
    x = BatchNormalization(momentum=MOMENTUM, name="Conv_bn")(x)
    return common.activation(x, activation, "Conv_activation")


def _padded(x, kernel_size, stride, name):
    """Input and padding argument of a convolution that leaves size / stride, rounded up.

    A reduction of the published models pads in a layer of its own. Where the size is open, only the convolution knows
    how much to pad.
    """
    if stride == 1 or None in x.shape[1:3]:
        return x, "same"
    after = kernel_size // 2
    pads = [(after - 1 if size % 2 == 0 else after, after) for size in x.shape[1:3]]
    return layers.ZeroPadding2D(pads, name=name)(x), "valid"


def _inverted_residual(x, index, block, alpha, scheme):
    prefix = "expanded_conv" if index == 0 else f"expanded_conv_{index}"
    shortcut = x
    expanded = _round_channels(x.shape[-1] * block.expansion)
    filters = _round_channels(block.filters * alpha)
    if index:
        x = _pointwise(x, expanded, scheme, f"{prefix}_expand", block.activation)
    x = _depthwise(x, block, f"{prefix}_depthwise")
    if block.squeeze_excite:
        x = _squeeze_excite(x, expanded, scheme, f"{prefix}_squeeze_excite")
    x = _pointwise(x, filters, scheme, f"{prefix}_project")
    if block.stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{prefix}_Add")([shortcut, x])
    return x


def _depthwise(x, block, name):
    x, padding = _padded(x, block.kernel_size, block.stride, f"{name}_pad")
    x = DepthwiseConv2D(block.kernel_size, strides=block.stride, padding=padding, use_bias=False, name=name)(x)
    x = BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    return common.activation(x, block.activation, f"{name}_activation")


def _squeeze_excite(x, channels, scheme, name):
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_AvgPool")(x)
    gate = _pointwise(gate, _round_channels(channels / 4), scheme, f"{name}_Conv", "relu", batch_norm=False)
    gate = _pointwise(gate, channels, scheme, f"{name}_Conv_1", "hard_sigmoid", batch_norm=False)
    return layers.Multiply(name=f"{name}_Mul")([x, gate])


def _pointwise(x, filters, scheme, name, activation=None, batch_norm=True):
    """1x1 convolution with batch normalization or a bias, then the activation: the scheme's, or MobileNet V3's own."""
    if scheme is not None:
        return pointwise(
            x, filters, scheme, name=name, activation=activation, batch_norm=batch_norm, use_bias=not batch_norm
        )
    x = layers.Conv2D(filters, 1, use_bias=not batch_norm, name=name)(x)
    if batch_norm:
        x = BatchNormalization(momentum=MOMENTUM, name=f"{name}_bn")(x)
    return common.activation(x, activation, f"{name}_activation")
