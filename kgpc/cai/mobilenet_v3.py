"""kMobileNetV3 Large and Small under their old argument names."""

from kgpc import applications
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
        include_top=include_top,
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
        minimalistic=minimalistic,
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
        include_top=include_top,
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
        minimalistic=minimalistic,
        dropout=dropout_rate,
    )
