"""The exercises of notebook 01, Theory."""

import keras

from kgpc.blocks import pointwise
from kgpc.exercises.kinds import Choice, Made, Number, Numbers
from kgpc.grouping import D6
from kgpc.layers import GroupedPointwiseConv2D


def _first():
    plan = D6(16).plan(96, 24)
    return plan.groups, plan.first.weights, plan.second.weights


def _convolutions(model):
    """Filters and groups of the pointwise convolutions of a model, in their order."""
    return [
        (layer.filters, layer.groups)
        for layer in model.layers
        if isinstance(layer, GroupedPointwiseConv2D | keras.layers.Conv2D)
    ]


def _activations(model):
    """Names of the activations of a model that are not linear."""
    names = []
    for layer in model.layers:
        function = getattr(layer, "activation", None)
        name = getattr(function, "__name__", str(function)) if function is not None else "linear"
        if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU | keras.layers.PReLU | keras.layers.ELU):
            name = type(layer).__name__
        if name != "linear":
            names.append({"silu": "swish"}.get(name, name))
    return names


def _expansion_and_projection():
    inputs = keras.Input((7, 7, 96))
    x = pointwise(inputs, 192, D6(16), name="expand", activation="swish")
    return keras.Model(inputs, pointwise(x, 96, D6(16), name="project", activation=None))


def _look_at_the_pair(answer):
    ends = [getattr(answer, ends, None) or [] for ends in ("inputs", "outputs")]
    if not isinstance(answer, keras.Model) or not answer.built or list(map(len, ends)) != [1, 1]:
        return "the answer is a Keras model with one input, keras.Model(inputs, outputs)."
    right = _expansion_and_projection()
    for what, shape, wanted in (
        ("input", answer.inputs[0].shape, right.inputs[0].shape),
        ("output", answer.outputs[0].shape, right.outputs[0].shape),
    ):
        if tuple(shape) != tuple(wanted):
            return f"its {what} has the shape {tuple(shape)}; it should be {tuple(wanted)}."
    if _convolutions(answer) != _convolutions(right):
        return "its convolutions are not those that D6(16) plans from 96 channels to 192 and back."
    activations = _activations(answer)
    if not activations:
        return "it is linear: there is no activation in it, and two linear layers are worth one."
    if set(activations) != {"swish"}:
        return f"its activations are {', '.join(activations)}; asked for is swish."
    if len(activations) > len(_activations(right)):
        return "there is an activation too many: the projection has none."
    if len(answer.trainable_weights) != len(right.trainable_weights):
        return "batch normalization should follow each convolution, and no convolution needs a bias then."
    return None


EXERCISES = {
    "01.1": Numbers(
        "the number of groups, the weights of K, and the weights of L",
        _first,
        hint="The groups must divide the channels and the filters, and each has at least 16 channels.",
    ),
    # A sum of one function for each group is right in three quadrants of four at best, and training stays below that:
    # a test compares this with what the notebook trained.
    "01.2": Choice(
        "how accurate the network becomes on test samples",
        ["near 50%", "near 75%", "above 95%"],
        lambda: "near 50%",
        hints={
            "near 75%": "No sum of one function for each group can do better. Does training get there?",
            "above 95%": "Can a function of channel 0 plus a function of channel 8 have the sign of their product?",
        },
    ),
    "01.3": Number(
        "a number of layers",
        lambda: 4,  # 2, 4, 8, 16 channels
        hints={"One layer sees only its own group of two channels.": lambda: 1},
    ),
    "01.4": Made("a Keras model", _look_at_the_pair),
}
