"""kDenseNet-BC, and DenseNet-BC itself: densely connected networks for small images.

Each block of DenseNet-BC reads the concatenation of all earlier outputs of its stage, narrows it with a pointwise
convolution (the bottleneck), and appends a few channels that a 3x3 convolution makes of it (the growth). kDenseNet-BC
computes the pointwise convolutions under a scheme and moves the activations from before the convolutions to after them.

References: Huang et al. 2017, "Densely Connected Convolutional Networks", arXiv:1608.06993; Schwarz Schuler et al.
2022, section 4, doi:10.13164/mendel.2022.1.023.
"""

import numbers

import keras
from keras import layers

from kgpc.applications import checks, common
from kgpc.blocks import pointwise
from kgpc.grouping import D6, check_scheme, positive_integer
from kgpc.layers import BatchNormalization, InterleaveChannels

STAGES = 3
EPSILON = 1.001e-5

preprocess_input = common.scale_to_unit


def kDenseNetBC(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name=None,
    *,
    scheme=D6(12),
    transition_scheme="same",
    depth=100,
    growth_rate=12,
    bottleneck=None,
    compression=0.5,
    activation="swish",
    interleave_transitions=True,
    relu_before_3x3=False,
    dropout=0.0,
    kernel_regularizer=None,
):
    """Instantiates kDenseNet-BC.

    Images are expected scaled to [0, 1] (`preprocess_input`). The defaults are the published kDenseNet-BC L100 with 12
    channels per group. The published grouped-only runs are `scheme=kgpc.Grouped(32)` and `kgpc.Grouped(64)` with
    `activation="relu"`, `interleave_transitions=False` and `relu_before_3x3=True`.

    Args:
        include_top: bool, whether to include global pooling and the classifier.
        weights: None (random); the path of a weight file: `.keras`/`.weights.h5` of this model, or a Keras 2 `.hdf5`;
            or the name of released weights: "cifar10" or the label of a run, as "JP33B25". Where the name
            fits no weights for the model, the error lists those there are. `kgpc.weights.table()` lists all names, also
            of weights that come along. A file is compared completely before anything is loaded.
        input_tensor: Keras tensor to use as the image input, or None.
        input_shape: tuple (height, width, channels); height and width are None or at least 4. Default (32, 32, 3).
        pooling: without the top only: None (feature maps), "avg" or "max" (global pooling).
        classes: int >= 1, number of classes.
        classifier_activation: activation of the classifier; None returns logits.
        name: str, name of the model; default "kdensenet_bc", or "densenet_bc" without schemes.
        scheme: a scheme such as `kgpc.D6(12)` for the bottlenecks, or None for ordinary convolutions there.
        transition_scheme: a scheme for the pointwise convolutions of the transitions, None for ordinary ones, or "same"
            as `scheme`. Where both are None, the result is `DenseNetBC`, which has no use for `activation`,
            `interleave_transitions` and `relu_before_3x3`.
        depth: int, layers with weights on the way through the ordinary network: 6 * n + 4 for n >= 1 blocks in each of
            the 3 stages.
        growth_rate: int >= 1, channels that each block appends; the first convolution has twice as many filters.
        bottleneck: int >= 1, filters of the bottlenecks; default 4 * growth_rate.
        compression: float in (0, 1], share of the channels that a transition keeps.
        activation: activation after each pointwise convolution and before global pooling.
        interleave_transitions: bool, whether a transition first interleaves the channels with step `growth_rate`, so
            that channels at the same place of their blocks come to lie side by side.
        relu_before_3x3: bool, whether the ReLU of each 3x3 convolution comes before it instead of after it.
        dropout: float in [0, 1), share of values dropped after each convolution but the first; the published models
            have none.
        kernel_regularizer: regularizer of all kernels, or None.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError: if a number or a bool is not one.
        ValueError: if an argument is out of its range, `weights` are damaged or do not fit, a scheme is unknown, or the
            number of input channels is missing.
        FileNotFoundError: if `weights` is neither a file nor a name.

    References: Huang et al. 2017, section 3, arXiv:1608.06993; Schwarz Schuler et al. 2022, section 4,
    doi:10.13164/mendel.2022.1.023.
    """
    transition_scheme = _transition_scheme(transition_scheme, scheme)
    checks.check_flags(interleave_transitions=interleave_transitions, relu_before_3x3=relu_before_3x3)
    checks.check_activations(activation=activation)
    shared = {
        "include_top": include_top,
        "weights": weights,
        "input_tensor": input_tensor,
        "input_shape": input_shape,
        "pooling": pooling,
        "classes": classes,
        "classifier_activation": classifier_activation,
        "depth": depth,
        "growth_rate": growth_rate,
        "compression": compression,
        "dropout": dropout,
        "kernel_regularizer": kernel_regularizer,
    }
    if scheme is None and transition_scheme is None:
        return DenseNetBC(**shared, name=name, bottleneck=bottleneck)
    growth_rate = positive_integer("growth_rate", growth_rate)
    bottleneck = _bottleneck_filters(bottleneck, growth_rate)

    def scheme_pointwise(x, filters, scheme, name):
        return pointwise(
            x,
            filters,
            scheme,
            name=name,
            activation=activation,
            batch_norm=False,
            kernel_regularizer=kernel_regularizer,
        )

    def block(x, name):
        x = _batch_norm(x, f"{name}_bottleneck_bn", merge=True)
        x = scheme_pointwise(x, bottleneck, scheme, f"{name}_k")
        x = _dropout(x, dropout, f"{name}_bottleneck_dropout")
        x = _batch_norm(x, f"{name}_growth_bn")
        if relu_before_3x3:
            x = common.activation(x, "relu", f"{name}_growth_relu")
        return _conv_3x3(x, growth_rate, f"{name}_growth_conv", kernel_regularizer, None if relu_before_3x3 else "relu")

    def transition(x, filters, name):
        if interleave_transitions:
            x = InterleaveChannels(growth_rate, name=f"{name}_inter")(x)
        x = _batch_norm(x, f"{name}_bn")
        return scheme_pointwise(x, filters, transition_scheme, name)

    arguments = {
        "activation": activation,
        "interleave_transitions": interleave_transitions,
        "relu_before_3x3": relu_before_3x3,
        "bottleneck": bottleneck,
    }
    return _densenet_bc(
        block,
        transition,
        last_activation=activation,
        family=f"kDenseNet-BC L{depth}",
        scheme=scheme if scheme == transition_scheme else f"{scheme} with {transition_scheme} in transitions",
        arguments=arguments,
        name="kdensenet_bc" if name is None else name,
        **shared,
    )


def DenseNetBC(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=10,
    classifier_activation="softmax",
    name=None,
    *,
    depth=100,
    growth_rate=12,
    bottleneck=None,
    compression=0.5,
    dropout=0.0,
    kernel_regularizer=None,
):
    """Instantiates DenseNet-BC, the baseline of `kDenseNetBC`: batch normalization and ReLU before each convolution.

    As in the published baseline, the first convolution has a bias. Images are expected scaled to [0, 1]
    (`preprocess_input`).

    Args:
        include_top: bool, whether to include global pooling and the classifier.
        weights: None (random); the path of a weight file: `.keras`/`.weights.h5` of this model, or a Keras 2 `.hdf5`;
            or the name of released weights: "cifar10" or the label of a run, as "JP33B25". Where the name
            fits no weights for the model, the error lists those there are. `kgpc.weights.table()` lists all names, also
            of weights that come along. A file is compared completely before anything is loaded.
        input_tensor: Keras tensor to use as the image input, or None.
        input_shape: tuple (height, width, channels); height and width are None or at least 4. Default (32, 32, 3).
        pooling: without the top only: None (feature maps), "avg" or "max" (global pooling).
        classes: int >= 1, number of classes.
        classifier_activation: activation of the classifier; None returns logits.
        name: str, name of the model; default "densenet_bc".
        depth: int, layers with weights on the way through the network: 6 * n + 4 for n >= 1 blocks in each of the 3
            stages.
        growth_rate: int >= 1, channels that each block appends; the first convolution has twice as many filters.
        bottleneck: int >= 1, filters of the bottlenecks; default 4 * growth_rate.
        compression: float in (0, 1], share of the channels that a transition keeps.
        dropout: float in [0, 1), share of values dropped after each convolution but the first; the published model has
            none.
        kernel_regularizer: regularizer of all kernels, or None.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError: if a number or a bool is not one.
        ValueError: if an argument is out of its range, `weights` are damaged or do not fit, or the number of input
            channels is missing.
        FileNotFoundError: if `weights` is neither a file nor a name.

    Reference: Huang et al. 2017, section 3, arXiv:1608.06993.
    """
    growth_rate = positive_integer("growth_rate", growth_rate)
    bottleneck = _bottleneck_filters(bottleneck, growth_rate)

    def normalized_relu(x, name):
        return common.activation(_batch_norm(x, f"{name}_bn"), "relu", f"{name}_relu")

    def ordinary_pointwise(x, filters, name):
        return layers.Conv2D(filters, 1, use_bias=False, kernel_regularizer=kernel_regularizer, name=f"{name}_conv")(x)

    def block(x, name):
        x = normalized_relu(x, f"{name}_bottleneck")
        x = ordinary_pointwise(x, bottleneck, f"{name}_bottleneck")
        x = _dropout(x, dropout, f"{name}_bottleneck_dropout")
        x = normalized_relu(x, f"{name}_growth")
        return _conv_3x3(x, growth_rate, f"{name}_growth_conv", kernel_regularizer)

    def transition(x, filters, name):
        return ordinary_pointwise(normalized_relu(x, name), filters, name)

    return _densenet_bc(
        block,
        transition,
        last_activation="relu",
        family=f"DenseNet-BC L{depth}",
        scheme=None,
        arguments={"bottleneck": bottleneck},
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name="densenet_bc" if name is None else name,
        depth=depth,
        growth_rate=growth_rate,
        compression=compression,
        dropout=dropout,
        kernel_regularizer=kernel_regularizer,
    )


def _densenet_bc(
    block,
    transition,
    *,
    last_activation,
    family,
    scheme,
    arguments,
    include_top,
    weights,
    input_tensor,
    input_shape,
    pooling,
    classes,
    classifier_activation,
    name,
    depth,
    growth_rate,
    compression,
    dropout,
    kernel_regularizer,
):
    """What the two networks share; `block(x, name)` and `transition(x, filters, name)` are where they differ.

    `family`, `scheme` and `arguments` say which weights with a name fit, see `common.find_weights`.
    """
    classes = checks.check_arguments(
        scheme=None,
        include_top=include_top,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
    )
    dropout = checks.dropout_rate(dropout)
    checks.check_regularizer("kernel_regularizer", kernel_regularizer)
    blocks_per_stage = _blocks_per_stage(depth)
    _check_compression(compression)
    # Two transitions halve the image, so a smaller one would leave nothing.
    inputs = common.model_input(input_tensor, input_shape, default_size=32, min_size=2 ** (STAGES - 1))
    found = common.find_weights(
        weights,
        include_top=include_top,
        family=family,
        scheme=scheme,
        arguments={**arguments, "growth_rate": growth_rate, "compression": float(compression)},
        classes=classes,
    )
    regularized = {"kernel_regularizer": kernel_regularizer}
    x = layers.Conv2D(2 * growth_rate, 3, padding="same", name="stem_conv", **regularized)(inputs)
    for stage in range(1, STAGES + 1):
        for index in range(1, blocks_per_stage + 1):
            block_name = f"dn{stage}_b{index}"
            growth = _dropout(block(x, block_name), dropout, f"{block_name}_growth_dropout")
            x = layers.Concatenate(name=f"{block_name}_concat")([x, growth])
        if stage < STAGES:
            transition_name = f"dntransition{stage}"
            x = transition(x, max(int(x.shape[-1] * compression), 1), transition_name)
            x = _dropout(x, dropout, f"{transition_name}_dropout")
            x = layers.AveragePooling2D(2, name=f"{transition_name}_pool")(x)
    x = _batch_norm(x, "bn")
    # The name is the published one, whatever the activation.
    x = common.activation(x, last_activation, "relu")
    if include_top:
        x = layers.GlobalAveragePooling2D(name="last_avg_pool")(x)
        x = layers.Dense(classes, activation=classifier_activation, name="softmax", **regularized)(x)
    else:
        x = common.global_pooling(x, pooling)
    model = keras.Model(common.source_inputs(inputs), x, name=name)
    return common.load_weights(model, found, include_top)


def _transition_scheme(transition_scheme, scheme):
    check_scheme(scheme)
    if isinstance(transition_scheme, str) and transition_scheme == "same":
        return scheme
    try:
        return check_scheme(transition_scheme)
    except ValueError:
        raise ValueError(
            '`transition_scheme` must be a value such as kgpc.D6(12), None for ordinary convolutions, or "same". '
            f"Received: transition_scheme={transition_scheme!r}."
        ) from None


def _bottleneck_filters(bottleneck, growth_rate):
    return 4 * growth_rate if bottleneck is None else positive_integer("bottleneck", bottleneck)


def _blocks_per_stage(depth):
    """Blocks have two layers each; the other four are the first convolution, two transitions and the classifier."""
    blocks, remainder = divmod(positive_integer("depth", depth) - 4, 2 * STAGES)
    if blocks < 1 or remainder:
        raise ValueError(
            f"`depth` must be 6 * n + 4 for n >= 1 blocks in each stage: 10, 16, ..., 100, ... Received: depth={depth}."
        )
    return blocks


def _check_compression(compression):
    if isinstance(compression, bool) or not isinstance(compression, numbers.Real) or not 0 < compression <= 1:
        raise ValueError(
            f"`compression` must be a fraction above 0 and at most 1. Received: compression={compression!r}."
        )


def _batch_norm(x, name, merge=False):
    return BatchNormalization(epsilon=EPSILON, merge=merge, name=name)(x)


def _conv_3x3(x, filters, name, kernel_regularizer, activation=None):
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        activation=activation,
        kernel_regularizer=kernel_regularizer,
        name=name,
    )(x)


def _dropout(x, rate, name):
    """Without a rate there is no layer, as in the published models."""
    return layers.Dropout(rate, name=name)(x) if rate else x
