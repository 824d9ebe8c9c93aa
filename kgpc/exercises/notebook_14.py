"""The exercises of notebook 14, Group your own model."""

from kgpc.exercises.kinds import Choice, Made, Number
from kgpc.grouping import D6

_CHANNELS, _FILTERS = 256, 10  # of the classifier of MobileNet, a quarter as wide


def _counts():
    """Parameters of the classifier with its bias: as it is, and under D6(16)."""
    plan = D6(16).plan(_CHANNELS, _FILTERS)
    return (_CHANNELS + 1) * _FILTERS, plan.weights + sum(stage.filters for stage in plan.stages)


def _stays_as_it_is(answer):
    """What a network lacks that has a wide pointwise convolution and nothing to group."""
    import keras

    import kgpc

    if not isinstance(answer, keras.Model):
        return "the answer is a network, a functional or Sequential model of Keras."
    try:
        report = kgpc.convert(answer, D6(16), report_only=True)
    except (TypeError, ValueError) as error:
        return f"kgpc.convert cannot read this network. {error}"
    wide = [
        layer
        for layer in answer._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Conv2D)
        and set(layer.kernel_size) == {1}
        and layer.filters >= 64
        and getattr(layer, "kernel", None) is not None
        and layer.kernel.shape[2] * layer.groups >= 64
    ]
    if not wide:
        return "not right yet. It has no pointwise convolution of at least 64 channels and 64 filters."
    if report["replaced"].any():
        changed = report["layer"][report["replaced"]].iloc[0]
        return f"not right yet. D6(16) replaces {changed!r}."
    reasons = dict(zip(report["layer"].str.split("/").str[-1], report["reason"], strict=True))
    if all("classifier" in reasons.get(layer.name, "") for layer in wide):
        return "not right yet. It stays because it is a classifier."
    return None


EXERCISES = {
    "14.1": Number(
        "a number of parameters",
        lambda: _counts()[0] - _counts()[1],
        hints={
            "That is what the grouped classifier has.": lambda: _counts()[1],
            "That is what the ordinary classifier has.": lambda: _counts()[0],
        },
    ),
    "14.2": Made("a network", _stays_as_it_is),
    "14.3": Choice(
        "one of three functions",
        ["convert", "warm_start", "distill"],
        lambda: "warm_start",
        hints={
            "convert": "What it makes has random weights in its groups.",
            "distill": "It says what a training is to learn, and somebody has to train.",
        },
    ),
}
