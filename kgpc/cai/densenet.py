"""kDenseNet-BC and DenseNet-BC under their old argument names, and an old schedule."""

import keras

from kgpc import applications
from kgpc.cai import checks
from kgpc.cai.layers import NEVER_GROUPED, scheme_of
from kgpc.grouping import positive_integer


def _shared(pinput_shape, blocks, growth_rate, bottleneck, compression, l2_decay, num_classes, dropout_rate):
    """The arguments of both networks under their names here."""
    return {
        "input_shape": None if pinput_shape is None else tuple(pinput_shape),
        "depth": 6 * positive_integer("blocks", blocks) + 4,
        "growth_rate": growth_rate,
        "bottleneck": bottleneck,
        "compression": compression,
        "kernel_regularizer": keras.regularizers.L2(l2_decay) if l2_decay else None,
        "classes": num_classes,
        "dropout": dropout_rate,
    }


def simple_densenet(
    pinput_shape=None,
    blocks=6,
    growth_rate=12,
    bottleneck=48,
    compression=0.5,
    l2_decay=0.0,
    num_classes=10,
    dropout_rate=0.0,
    weights=None,
    name=None,
):
    """Instantiates DenseNet-BC: `kgpc.applications.DenseNetBC` under old argument names.

    Arguments that have another name than there:
        pinput_shape: sequence (height, width, channels).
        blocks: int >= 1, blocks in each of the 3 stages; 16 make the L100 of the paper.
        l2_decay: float >= 0, factor of an L2 regularizer of all kernels; 0 for none.
        num_classes: int >= 1, number of classes.
        dropout_rate: float in [0, 1), dropout after each convolution but the first.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there.
    """
    shared = _shared(pinput_shape, blocks, growth_rate, bottleneck, compression, l2_decay, num_classes, dropout_rate)
    return applications.DenseNetBC(**shared, weights=weights, name=name)


def ksimple_densenet(
    pinput_shape=None,
    blocks=6,
    growth_rate=12,
    bottleneck=48,
    compression=0.5,
    l2_decay=0.0,
    kTypeTransition=0,
    kTypeBlock=0,
    num_classes=10,
    dropout_rate=0.0,
    activation="relu",
    has_interleave_at_transition=False,
    weights=None,
    name=None,
):
    """Instantiates kDenseNet-BC: `kgpc.applications.kDenseNetBC` under old argument names.

    Arguments that have another name than there, besides those of `simple_densenet`:

    - `kTypeBlock`: an old integer or a scheme, see `kgpc.cai.layers.scheme_of`, for the bottlenecks. 0 keeps them
      ordinary in the k architecture, which has its activations after the convolutions.
    - `kTypeTransition`: the same for the transitions. Where both are -1, the result is `simple_densenet`.
    - `has_interleave_at_transition`: bool, whether transitions interleave the channels first.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there; ValueError also if a `kType` is unknown.
    """
    shared = _shared(pinput_shape, blocks, growth_rate, bottleneck, compression, l2_decay, num_classes, dropout_rate)
    scheme = scheme_of(kTypeBlock, "kTypeBlock")
    transition_scheme = scheme_of(kTypeTransition, "kTypeTransition")
    if scheme is None and transition_scheme is None:
        return applications.DenseNetBC(**shared, weights=weights, name=name)
    return applications.kDenseNetBC(
        **shared,
        weights=weights,
        name=name,
        scheme=scheme or NEVER_GROUPED,
        transition_scheme=transition_scheme or NEVER_GROUPED,
        activation=activation,
        interleave_transitions=checks.flag("has_interleave_at_transition", has_interleave_at_transition),
    )


def cyclical_smooth_lrscheduler(epoch):
    """Learning rate of an epoch, in cycles of 100 epochs: 0.01, from the 50th 0.001, from the 75th 0.0001.

    Args:
        epoch: int >= 0.

    Returns:
        float.

    Raises:
        TypeError, ValueError: if `epoch` is something else.
    """
    place = checks.integer("epoch", epoch, 0) % 100
    return 0.01 if place < 50 else 0.001 if place < 75 else 0.0001
