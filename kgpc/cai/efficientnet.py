"""kEffNet and EfficientNet under their old argument names."""

from kgpc import applications
from kgpc.cai import checks
from kgpc.cai.layers import NEVER_GROUPED, scheme_of

_DOCSTRING = """Instantiates kEffNet-{variant}: `kgpc.applications.kEfficientNet{variant}` under old argument names.

    Arguments that have another name or meaning than there:
        kType: an old integer or a scheme, see `kgpc.cai.layers.scheme_of`; a list of them for one path each.
        dropout_rate: float in [0, 1), dropout before the classifier; None for that of the variant.
        concat_paths: bool, whether several paths are concatenated; else they are added.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there; ValueError also if a `kType` is unknown.
    """


def _scheme(kType):
    if isinstance(kType, (list, tuple)):
        # In one path of several, the baseline and ordinary convolutions are the same.
        return [scheme_of(path) or NEVER_GROUPED for path in kType]
    return scheme_of(kType)


def _constructor(variant):
    build = getattr(applications, f"kEfficientNet{variant}")

    def constructor(
        include_top=True,
        input_tensor=None,
        input_shape=None,
        pooling="avg",
        classes=1000,
        kType=2,
        dropout_rate=None,
        drop_connect_rate=0.2,
        skip_stride_cnt=-1,
        weights=None,
        classifier_activation="softmax",
        concat_paths=True,
        name=None,
    ):
        options = {} if dropout_rate is None else {"dropout": dropout_rate}
        return build(
            include_top=checks.flag("include_top", include_top),
            weights=weights,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            name=name,
            scheme=_scheme(kType),
            skip_stride_cnt=skip_stride_cnt,
            drop_connect_rate=drop_connect_rate,
            path_merge="concat" if checks.flag("concat_paths", concat_paths) else "add",
            **options,
        )

    constructor.__name__ = constructor.__qualname__ = f"kEfficientNet{variant}"
    constructor.__doc__ = _DOCSTRING.format(variant=variant)
    return constructor


def _baseline(variant):
    build = _constructor(variant)

    def baseline(*arguments, **options):
        return build(*arguments, **{"kType": -1, **options})

    baseline.__name__ = baseline.__qualname__ = f"EfficientNet{variant}"
    baseline.__doc__ = f"Instantiates the baseline, EfficientNet-{variant}: `kEfficientNet{variant}` with `kType=-1`."
    return baseline


kEfficientNetB0, EfficientNetB0 = _constructor("B0"), _baseline("B0")
kEfficientNetB1, EfficientNetB1 = _constructor("B1"), _baseline("B1")
kEfficientNetB2, EfficientNetB2 = _constructor("B2"), _baseline("B2")
kEfficientNetB3, EfficientNetB3 = _constructor("B3"), _baseline("B3")
kEfficientNetB4, EfficientNetB4 = _constructor("B4"), _baseline("B4")
kEfficientNetB5, EfficientNetB5 = _constructor("B5"), _baseline("B5")
kEfficientNetB6, EfficientNetB6 = _constructor("B6"), _baseline("B6")
kEfficientNetB7, EfficientNetB7 = _constructor("B7"), _baseline("B7")
