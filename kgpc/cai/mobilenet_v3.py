"""kMobileNetV3 and MobileNetV3, Large and Small, under their old argument names."""

from kgpc import applications
from kgpc.cai import checks
from kgpc.cai.layers import scheme_of


def kMobileNetV3Large(
    input_shape=None,
    alpha=1.0,
    minimalistic=False,
    include_top=True,
    input_tensor=None,
    classes=1000,
    pooling=None,
    dropout_rate=0.2,
    classifier_activation="softmax",
    kType=2,
    weights=None,
    skip_stride_cnt=-1,
    name=None,
):
    """Instantiates kMobileNetV3 Large: `kgpc.applications.kMobileNetV3Large` under old argument names.

    Arguments that have another name than there:
        dropout_rate: float in [0, 1), dropout before the classifier.
        kType: an old integer or a scheme, see `kgpc.cai.layers.scheme_of`; -1 is MobileNet V3 itself.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there; ValueError also if `kType` is unknown.
    """
    return applications.kMobileNetV3Large(
        include_top=checks.flag("include_top", include_top),
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        scheme=scheme_of(kType),
        skip_stride_cnt=skip_stride_cnt,
        alpha=alpha,
        minimalistic=checks.flag("minimalistic", minimalistic),
        dropout=dropout_rate,
    )


def kMobileNetV3Small(
    input_shape=None,
    alpha=1.0,
    minimalistic=False,
    include_top=True,
    input_tensor=None,
    classes=1000,
    pooling=None,
    dropout_rate=0.2,
    classifier_activation="softmax",
    kType=2,
    weights=None,
    skip_stride_cnt=-1,
    name=None,
):
    """Instantiates kMobileNetV3 Small; arguments, result and errors as in `kMobileNetV3Large`."""
    return applications.kMobileNetV3Small(
        include_top=checks.flag("include_top", include_top),
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        scheme=scheme_of(kType),
        skip_stride_cnt=skip_stride_cnt,
        alpha=alpha,
        minimalistic=checks.flag("minimalistic", minimalistic),
        dropout=dropout_rate,
    )


def MobileNetV3Large(
    input_shape=None,
    alpha=1.0,
    minimalistic=False,
    include_top=True,
    weights="imagenet",
    input_tensor=None,
    classes=1000,
    pooling=None,
    dropout_rate=0.2,
):
    """Instantiates MobileNetV3 Large, the baseline: `kMobileNetV3Large` with `kType=-1`.

    It is not that of `keras.applications`, which cannot be loaded again from an HDF5 file.

    Arguments that have another meaning than in `kMobileNetV3Large`:
        weights: IGNORED, as in the older package: the weights are always random.
        input_tensor: IGNORED.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there.
    """
    return kMobileNetV3Large(
        input_shape=input_shape,
        alpha=alpha,
        minimalistic=minimalistic,
        include_top=include_top,
        classes=classes,
        pooling=pooling,
        dropout_rate=dropout_rate,
        kType=-1,
    )


def MobileNetV3Small(
    input_shape=None,
    alpha=1.0,
    minimalistic=False,
    include_top=True,
    weights="imagenet",
    input_tensor=None,
    classes=1000,
    pooling=None,
    dropout_rate=0.2,
):
    """Instantiates MobileNetV3 Small, the baseline; arguments, result and errors as in `MobileNetV3Large`."""
    return kMobileNetV3Small(
        input_shape=input_shape,
        alpha=alpha,
        minimalistic=minimalistic,
        include_top=include_top,
        classes=classes,
        pooling=pooling,
        dropout_rate=dropout_rate,
        kType=-1,
    )
