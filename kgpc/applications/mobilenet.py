"""kMobileNet: MobileNet V1 with parameter-efficient pointwise convolutions.

References: Howard et al. 2017, "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
arXiv:1704.04861; Schwarz Schuler et al. 2022, section 4, doi:10.13164/mendel.2022.1.023.
"""

import keras
from keras import layers

from kgpc.applications import checks, common
from kgpc.blocks import pointwise
from kgpc.grouping import D6, positive_integer
from kgpc.layers import BatchNormalization, CopyChannels, DepthwiseConv2D

# (filters, stride) of the 13 depthwise separable blocks: table 1 of MobileNet without its stem.
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)

STEM_FILTERS = 32

preprocess_input = common.scale_to_unit


def kMobileNet(
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
    depth_multiplier=1,
    dropout=1e-3,
    stem_activation="relu6",
    depthwise_activation="relu6",
    pointwise_activation="swish",
    l_ratio=None,
    ab_ratio=None,
):
    """Instantiates kMobileNet.

    Images are expected scaled to [0, 1] (`preprocess_input`).

    Args:
        include_top: bool, whether to include global pooling, dropout and the classifier.
        weights: None (random); the path of a weight file: `.keras`/`.weights.h5` of this model, or a Keras 2 `.hdf5`;
            or the name of released weights: "cifar10" or the label of a run, as "JP35B14". Where the name
            fits no weights for the model, the error lists those there are. `kgpc.weights.table()` lists all names, also
            of weights that come along. A file is compared completely before anything is loaded.
        input_tensor: Keras tensor to use as the image input, or None.
        input_shape: tuple (height, width, channels); height and width may be None. Default (224, 224, 3).
        pooling: without the top only: None (feature maps), "avg" or "max" (global pooling).
        classes: int >= 1, number of classes.
        classifier_activation: activation of the classifier; None returns logits.
        name: str, name of the model; default "kmobilenet", or "mobilenet" without a scheme.
        scheme: a scheme such as `kgpc.D6(16)`. None builds MobileNet itself: ordinary pointwise convolutions followed
            by ReLU6.
        skip_stride_cnt: int, for small images: -1 leaves all strides as they are; n >= 0 gives the stem stride 1 and
            also the first n of the four later blocks that reduce.
        alpha: float > 0, width multiplier of all filters.
        depth_multiplier: int >= 1, filters per channel of each depthwise convolution.
        dropout: float in [0, 1), share of features dropped before the classifier.
        stem_activation: activation after the stem; the paper's models have ReLU6.
        depthwise_activation: activation after each depthwise convolution; the paper's models have ReLU6.
        pointwise_activation: activation after each convolution of the scheme. Ignored where `scheme` is None.
        l_ratio: float in [0, 1] or None. With `ab_ratio`: the stem becomes a light branch over channel 0 with this
            share of its filters and a chroma branch over channels 1 and 2, concatenated, for images in CIE Lab. A
            ratio of 0 removes that branch.
        ab_ratio: float in [0, 1] or None, the share of the chroma branch.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError: if a number or a bool is not one.
        ValueError: if an argument is out of its range, `weights` are damaged or do not fit, `scheme` is unknown, or the
            number of input channels is missing.
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
    activations = {
        "stem_activation": stem_activation,
        "depthwise_activation": depthwise_activation,
        "pointwise_activation": pointwise_activation,
    }
    checks.check_activations(**activations)
    skip_stride_cnt = checks.skip_count(skip_stride_cnt)
    depth_multiplier = positive_integer("depth_multiplier", depth_multiplier)
    dropout = checks.dropout_rate(dropout)
    alpha = checks.positive("alpha", alpha)
    if int(STEM_FILTERS * alpha) < 1:
        raise ValueError(f"`alpha` must leave at least one of {STEM_FILTERS} filters. Received: alpha={alpha}.")
    branches = _stem_branches(alpha, l_ratio, ab_ratio)
    inputs = common.model_input(input_tensor, input_shape, default_size=224)
    found = common.find_weights(
        weights,
        include_top=include_top,
        family="kMobileNet",
        scheme=scheme,
        arguments={
            "skip_stride_cnt": skip_stride_cnt,
            "alpha": alpha,
            "depth_multiplier": depth_multiplier,
            **activations,
            "l_ratio": l_ratio,
            "ab_ratio": ab_ratio,
        },
        classes=classes,
    )
    if branches and inputs.shape[-1] != 3:
        raise ValueError(
            f"`l_ratio` and `ab_ratio` need 3 input channels: L, a, b. Received: input shape {tuple(inputs.shape)}."
        )
    strides = _strides(skip_stride_cnt)
    x = _stem(inputs, alpha, strides[0], stem_activation, branches)
    for index, ((filters, _), stride) in enumerate(zip(BLOCKS, strides[1:], strict=True), start=1):
        x = _depthwise(x, index, stride, depth_multiplier, depthwise_activation)
        x = _pointwise(x, index, int(filters * alpha), scheme, pointwise_activation)
    if include_top:
        x = layers.GlobalAveragePooling2D(keepdims=True, name="global_average_pooling2d")(x)
        x = layers.Dropout(dropout, name="dropout")(x)
        x = layers.Conv2D(classes, 1, name="conv_preds")(x)
        x = layers.Reshape((classes,), name="reshape_2")(x)
        x = layers.Activation(classifier_activation or "linear", name="predictions")(x)
    else:
        x = common.global_pooling(x, pooling)
    name = name or ("mobilenet" if scheme is None else "kmobilenet")
    model = keras.Model(common.source_inputs(inputs), x, name=name)
    return common.load_weights(model, found, include_top)


def _strides(skip_stride_cnt):
    """Strides of the stem and the 13 blocks."""
    strides, reductions = [2 if skip_stride_cnt < 0 else 1], 0
    for _, stride in BLOCKS:
        if stride == 2:
            reductions += 1
        strides.append(1 if reductions <= skip_stride_cnt else stride)
    return strides


def _stem_branches(alpha, l_ratio, ab_ratio):
    """The branches of a stem in light and chroma: (name, first channel, channels, filters); none without ratios."""
    if l_ratio is None and ab_ratio is None:
        return []
    branches = []
    for name, argument, ratio, start, channels in (("l", "l_ratio", l_ratio, 0, 1), ("ab", "ab_ratio", ab_ratio, 1, 2)):
        filters = int(round(STEM_FILTERS * checks.fraction(argument, ratio)) * alpha)
        if filters:
            branches.append((name, start, channels, filters))
    if not branches:
        raise ValueError(
            f"One of `l_ratio` and `ab_ratio` must leave filters. Received: l_ratio={l_ratio}, ab_ratio={ab_ratio}."
        )
    return branches


def _stem(x, alpha, stride, activation, branches):
    if not branches:
        return _stem_branch(x, int(STEM_FILTERS * alpha), stride, activation, "conv1")
    outputs = []
    for name, start, channels, filters in branches:
        part = CopyChannels(channels, start=start, name=f"{name}_channels")(x)
        outputs.append(_stem_branch(part, filters, stride, activation, name))
    return outputs[0] if len(outputs) == 1 else layers.Concatenate(name="concat_stem")(outputs)


def _stem_branch(x, filters, stride, activation, name):
    x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}_pad")(x)
    x = layers.Conv2D(filters, 3, strides=stride, padding="valid", use_bias=False, name=name)(x)
    x = BatchNormalization(name=f"{name}_bn")(x)
    return common.activation(x, activation, f"{name}_relu")


def _depthwise(x, index, stride, depth_multiplier, activation):
    if stride != 1:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"conv_pad_{index}")(x)
    x = DepthwiseConv2D(
        3,
        strides=stride,
        padding="same" if stride == 1 else "valid",
        depth_multiplier=depth_multiplier,
        use_bias=False,
        name=f"conv_dw_{index}",
    )(x)
    x = BatchNormalization(name=f"conv_dw_{index}_bn")(x)
    return common.activation(x, activation, f"conv_dw_{index}_relu")


def _pointwise(x, index, filters, scheme, activation):
    if scheme is not None:
        return pointwise(x, filters, scheme, name=f"conv_pw_{index}_bn", activation=activation)
    # MobileNet's own names and activation, so that its weights fit too.
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"conv_pw_{index}")(x)
    x = BatchNormalization(name=f"conv_pw_{index}_bn")(x)
    return common.activation(x, "relu6", f"conv_pw_{index}_relu")
