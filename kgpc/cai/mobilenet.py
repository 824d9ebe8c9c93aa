"""kMobileNet and MobileNet under their old argument names."""

from kgpc import applications
from kgpc.cai import checks
from kgpc.cai.layers import scheme_of


def kMobileNet(
    input_shape=None,
    alpha=1.0,
    depth_multiplier=1,
    dropout=1e-3,
    include_top=True,
    weights=None,
    input_tensor=None,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    conv1_activation=None,
    d_separable_activation=None,
    activation="swish",
    kType=2,
    skip_stride_cnt=-1,
    l_ratio=None,
    ab_ratio=None,
    name=None,
):
    """Instantiates kMobileNet: `kgpc.applications.kMobileNet` under old argument names.

    Arguments that have another name or meaning than there:
        conv1_activation: activation of the stem; None is the paper's, ReLU6.
        d_separable_activation: activation of the depthwise convolutions; None is the paper's, ReLU6.
        activation: activation of the pointwise convolutions; the paper's is swish.
        kType: an old integer or a scheme, see `kgpc.cai.layers.scheme_of`.
        l_ratio, ab_ratio: shares of the stem's filters of a light and a chroma branch; both None or negative: one stem.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there; ValueError also if `kType` is unknown.
    """
    if all(ratio is None or ratio < 0 for ratio in (l_ratio, ab_ratio)):
        l_ratio = ab_ratio = None
    return applications.kMobileNet(
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
        depth_multiplier=depth_multiplier,
        dropout=dropout,
        stem_activation="relu6" if conv1_activation is None else conv1_activation,
        depthwise_activation="relu6" if d_separable_activation is None else d_separable_activation,
        pointwise_activation=activation,
        l_ratio=l_ratio,
        ab_ratio=ab_ratio,
    )


def MobileNet(*arguments, **options):
    """Instantiates MobileNet, the baseline: `kMobileNet` with `kType=-1`, ReLU6 after every convolution."""
    return kMobileNet(*arguments, **{"kType": -1, **options})
