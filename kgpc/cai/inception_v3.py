"""kInceptionV3 under its old name."""

from kgpc import applications
from kgpc.cai.layers import scheme_of


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
    l_ratio=0.5,
    ab_ratio=0.5,
    max_mix_idx=10,
    max_mix_deep_two_paths_idx=-1,
    model_name=None,
    kType=0,
    classifier_activation="softmax",
):
    """Instantiates kInceptionV3: `kgpc.applications.kInceptionV3` under its old name.

    Arguments that have another name than there:
        model_name: str or None, name of the model.
        kType: an old integer or a scheme, see `kgpc.cai.layers.scheme_of`; 0 and -1 both are Inception V3 itself.

    Returns:
        A `keras.Model`.

    Raises:
        TypeError, ValueError: as there; ValueError also if `kType` is unknown.
    """
    return applications.kInceptionV3(
        include_top=include_top,
        weights=weights,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=model_name,
        scheme=scheme_of(kType),
        l_ratio=l_ratio,
        ab_ratio=ab_ratio,
        two_paths_partial_first_block=two_paths_partial_first_block,
        two_paths_first_block=two_paths_first_block,
        two_paths_second_block=two_paths_second_block,
        deep_two_paths=deep_two_paths,
        max_mix_idx=max_mix_idx,
        max_mix_deep_two_paths_idx=max_mix_deep_two_paths_idx,
    )
