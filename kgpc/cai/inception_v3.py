"""kInceptionV3, Inception V3 and the compiled two-branch networks under their old names."""

import numbers
import warnings

import keras

from kgpc import applications
from kgpc.cai import checks
from kgpc.cai.layers import scheme_of

# The old defaults of the two compressions; where they act, kgpc has these and no others.
COMPRESSION, BOTTLENECK_COMPRESSION = 0.655, 0.5


def two_path_inception_v3(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=None,
    pooling=None,
    classes=1000,
    two_paths_partial_first_block=0,
    two_paths_first_block=False,
    two_paths_second_block=False,
    deep_two_paths=False,
    deep_two_paths_compression=COMPRESSION,
    deep_two_paths_bottleneck_compression=BOTTLENECK_COMPRESSION,
    l_ratio=0.5,
    ab_ratio=0.5,
    max_mix_idx=10,
    max_mix_deep_two_paths_idx=-1,
    model_name=None,
    kType=0,
    classifier_activation="softmax",
    **unknown,
):
    """Instantiates kInceptionV3: `kgpc.applications.kInceptionV3` under its old name.

    Arguments that have another name or meaning than there:

    - `deep_two_paths_compression`, `deep_two_paths_bottleneck_compression`: shares of the filters in each half of the
      second block and of the mixed layers in two branches. Without such layers they have no effect; with them only the
      defaults, 0.655 and 0.5, are accepted.
    - `l_ratio`, `ab_ratio`: shares of a light and a chroma branch. WITHOUT a two-branch stem they are ignored whatever
      they are; notebooks pass -1 and 2 there. 0 leaves one branch.
    - `model_name`: str or None, name of the model.
    - `kType`: an old integer or a scheme, see `kgpc.cai.layers.scheme_of`; 0 and -1 both are Inception V3 itself.
    - Arguments of other names are ignored, as in the older package; a warning names them.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there; ValueError also if `kType` is unknown.
    """
    if unknown:
        warnings.warn(f"Unknown arguments are ignored: {', '.join(sorted(unknown))}.", UserWarning, stacklevel=2)
    two_paths_first_block = checks.flag("two_paths_first_block", two_paths_first_block)
    two_paths_second_block = checks.flag("two_paths_second_block", two_paths_second_block)
    deep_two_paths = checks.flag("deep_two_paths", deep_two_paths)
    partial = two_paths_partial_first_block
    two_path_stem = bool(partial or two_paths_first_block or two_paths_second_block)
    in_second_block = (two_paths_second_block and partial not in (1, 2)) or _at_least(4, partial)
    if in_second_block or deep_two_paths or _at_least(0, max_mix_deep_two_paths_idx):
        compressions = {
            "deep_two_paths_compression": (deep_two_paths_compression, COMPRESSION),
            "deep_two_paths_bottleneck_compression": (deep_two_paths_bottleneck_compression, BOTTLENECK_COMPRESSION),
        }
        for name, (value, only) in compressions.items():
            if value != only:
                raise ValueError(
                    f"`{name}` must be {only} where the second block or mixed layers are in two branches. "
                    f"Received: {name}={value!r}."
                )
    return applications.kInceptionV3(
        include_top=checks.flag("include_top", include_top),
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=model_name,
        scheme=scheme_of(kType),
        l_ratio=l_ratio if two_path_stem else 0.5,
        ab_ratio=ab_ratio if two_path_stem else 0.5,
        two_paths_partial_first_block=two_paths_partial_first_block,
        two_paths_first_block=two_paths_first_block,
        two_paths_second_block=two_paths_second_block,
        deep_two_paths=deep_two_paths,
        max_mix_idx=max_mix_idx,
        max_mix_deep_two_paths_idx=max_mix_deep_two_paths_idx,
    )


def _at_least(limit, value):
    """Whether a value is an integer that large; if it is none, `kInceptionV3` says so."""
    return isinstance(value, numbers.Integral) and value >= limit


def compiled_two_path_inception_v3(
    input_tensor=None,
    input_shape=(224, 224, 3),
    classes=1000,
    two_paths_partial_first_block=0,
    two_paths_first_block=False,
    two_paths_second_block=False,
    deep_two_paths=False,
    deep_two_paths_compression=COMPRESSION,
    deep_two_paths_bottleneck_compression=BOTTLENECK_COMPRESSION,
    l_ratio=0.5,
    ab_ratio=0.5,
    max_mix_idx=10,
    max_mix_deep_two_paths_idx=-1,
    model_name="two_path_inception_v3",
    optimizer=None,
    kType=0,
    **unknown,
):
    """Instantiates `two_path_inception_v3` with a classifier, compiled: cross-entropy, metric accuracy.

    The classifier is global average pooling, a dense layer `preprediction` and a softmax `prediction`.

    Arguments that it has besides those of `two_path_inception_v3`:
        optimizer: Keras optimizer or its name; None for stochastic gradient descent at 0.01 with Nesterov momentum 0.9,
            as since February 2021. Runs before, two-path-inception-v6 for one, had no momentum, and top-5 accuracy as a
            second metric.

    Returns:
        A compiled `keras.Model`.

    Raises:
        TypeError, ValueError: as there.
    """
    body = two_path_inception_v3(
        include_top=False,
        input_tensor=input_tensor,
        input_shape=input_shape,
        two_paths_partial_first_block=two_paths_partial_first_block,
        two_paths_first_block=two_paths_first_block,
        two_paths_second_block=two_paths_second_block,
        deep_two_paths=deep_two_paths,
        deep_two_paths_compression=deep_two_paths_compression,
        deep_two_paths_bottleneck_compression=deep_two_paths_bottleneck_compression,
        l_ratio=l_ratio,
        ab_ratio=ab_ratio,
        max_mix_idx=max_mix_idx,
        max_mix_deep_two_paths_idx=max_mix_deep_two_paths_idx,
        kType=kType,
        classes=classes,
        **unknown,
    )
    x = keras.layers.GlobalAveragePooling2D()(body.output)
    x = keras.layers.Dense(classes, name="preprediction")(x)
    x = keras.layers.Activation("softmax", name="prediction")(x)
    model = keras.Model(body.input, x, name=model_name)
    if optimizer is None:
        optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(optimizer=optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def InceptionV3(include_top=True, weights="imagenet", input_tensor=None, input_shape=None, pooling=None, classes=1000):
    """Instantiates Inception V3, the baseline: `two_path_inception_v3` with `kType=-1`.

    It is not that of `keras.applications`, which refuses (None, None, 3) with a top.

    Arguments that have another meaning than in `two_path_inception_v3`:
        weights: IGNORED: the weights are random, and a warning says so where it is not None. The published runs have
            None.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there.
    """
    if weights is not None:
        warnings.warn(f"`weights` is ignored, the weights are random. Received: weights={weights!r}.", stacklevel=2)
    return two_path_inception_v3(
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        kType=-1,
    )
