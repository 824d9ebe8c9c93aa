"""Folding: same predictions with fewer layers, for layouts where it is exact, and left alone where it is not.

Every case is compared with the predictions of the original.
"""

import re

import keras
import numpy as np
import pytest

import kgpc
from kgpc import applications, layers
from kgpc.deploy import fold, fold_report


def trained_looking(model, seed=0):
    """Gives all normalizations statistics and parameters far from their initial ones."""
    rng = np.random.default_rng(seed)
    draw = {
        "gamma": lambda shape: rng.uniform(0.7, 1.3, shape),
        "beta": lambda shape: rng.normal(0, 0.1, shape),
        "moving_mean": lambda shape: rng.normal(0, 0.3, shape),
        "moving_variance": lambda shape: rng.uniform(0.3, 1.3, shape),
    }
    for layer in inner_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([draw.get(weight.name, np.ones)(weight.shape) for weight in layer.weights])
    return model


def inner_layers(model):
    return model._flatten_layers()


def normalizations(model):
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in inner_layers(model))


def check_same(model, folded, atol=1e-4):
    rng = np.random.default_rng(1)
    x = [rng.random((2, *tensor.shape[1:]), dtype="float32") for tensor in model.inputs]
    results = [keras.tree.flatten(each(x if len(x) > 1 else x[0])) for each in (model, folded)]
    for expected, actual in zip(*results, strict=True):
        expected, actual = keras.ops.convert_to_numpy(expected), keras.ops.convert_to_numpy(actual)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


SMALL = {"classes": 10, "classifier_activation": None}
MODELS = {
    "kMobileNet": (lambda: applications.kMobileNet(input_shape=(32, 32, 3), **SMALL), 0),
    "kMobileNet D6v3": (lambda: applications.kMobileNet(input_shape=(32, 32, 3), scheme=kgpc.D6v3(12), **SMALL), 0),
    "MobileNet": (
        lambda: keras.applications.MobileNet(
            weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
        ),
        0,
    ),
    "kEffNet-B0": (lambda: applications.kEfficientNetB0(input_shape=(32, 32, 3), **SMALL), 0),
    # The normalizations before padded 3x3 convolutions stay: one in each of the 3 x 2 units, and the last one.
    "kDenseNet-BC": (lambda: applications.kDenseNetBC(depth=16, **SMALL), 7),
}


@pytest.mark.parametrize("make, left", MODELS.values(), ids=MODELS)
def test_a_folded_model_predicts_the_same(make, left):
    model = trained_looking(make())
    weights = [np.array(value) for value in model.get_weights()]
    folded = fold(model)
    assert normalizations(folded) == left < normalizations(model)
    check_same(model, folded)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_folded_model_survives_saving(tmp_path):
    folded = fold(trained_looking(applications.kMobileNet(input_shape=(32, 32, 3), **SMALL)))
    folded.save(tmp_path / "folded.keras")
    check_same(folded, keras.saving.load_model(tmp_path / "folded.keras", safe_mode=True), atol=0)


@pytest.mark.parametrize("groups", [1, 4])
def test_normalization_before_a_pointwise_convolution_is_folded_into_its_rows(groups):
    x = inputs = keras.Input((3, 3, 8))
    x = layers.BatchNormalization()(x)
    x = layers.GroupedPointwiseConv2D(12, groups, bias_initializer="normal")(x)
    model = trained_looking(keras.Model(inputs, x))
    folded = fold(model)
    assert normalizations(folded) == 0
    check_same(model, folded, atol=1e-6)


CHANNELS_FIRST = {"data_format": "channels_first"}
KINDS = {
    "Dense": keras.layers.Dense(5),
    "Conv1D": keras.layers.Conv1D(5, 3, padding="causal", use_bias=False),
    "Conv2D": keras.layers.Conv2D(6, 3, strides=2, groups=3, bias_initializer="normal"),
    "Conv3D": keras.layers.Conv3D(5, 2, bias_initializer="normal"),
    "Conv1DTranspose": keras.layers.Conv1DTranspose(5, 3, strides=2, bias_initializer="normal"),
    "Conv2DTranspose": keras.layers.Conv2DTranspose(5, 3, strides=2, padding="same"),
    "Conv3DTranspose": keras.layers.Conv3DTranspose(5, 2, use_bias=False),
    "DepthwiseConv1D": keras.layers.DepthwiseConv1D(2, depth_multiplier=2),
    "DepthwiseConv2D": keras.layers.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2, bias_initializer="normal"),
    "DepthwiseConv2D of kgpc": layers.DepthwiseConv2D(3, padding="same", use_bias=False),
    "SeparableConv1D": keras.layers.SeparableConv1D(5, 3, bias_initializer="normal"),
    "SeparableConv2D": keras.layers.SeparableConv2D(5, 3, depth_multiplier=2, padding="same", use_bias=False),
    "GroupedPointwiseConv2D": layers.GroupedPointwiseConv2D(6, 3, bias_initializer="normal"),
    "Conv2D, channels first": keras.layers.Conv2D(5, 3, bias_initializer="normal", **CHANNELS_FIRST),
    "Conv2DTranspose, channels first": keras.layers.Conv2DTranspose(5, 3, **CHANNELS_FIRST),
    "SeparableConv2D, channels first": keras.layers.SeparableConv2D(5, 3, **CHANNELS_FIRST),
    "DepthwiseConv2D, channels first": keras.layers.DepthwiseConv2D(3, depth_multiplier=2, **CHANNELS_FIRST),
}


def input_for(name):
    return keras.Input((6,) * (next((int(digit) for digit in name if digit.isdigit()), 1)) + (6,))


def axis_of(layer):
    return 1 if getattr(layer, "data_format", None) == "channels_first" else -1


def copy_of(layer):
    return type(layer).from_config(layer.get_config())


@pytest.mark.parametrize("name", KINDS)
def test_normalization_after_every_kind_of_layer_is_folded(name):
    layer, inputs = copy_of(KINDS[name]), input_for(name)
    model = trained_looking(keras.Model(inputs, keras.layers.BatchNormalization(axis_of(layer))(layer(inputs))))
    folded = fold(model)
    assert normalizations(folded) == 0 and type(folded.get_layer(layer.name)) is type(layer)
    check_same(model, folded, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in KINDS if "Transpose" not in name and "Separable" not in name])
def test_normalization_before_a_layer_that_does_not_pad_is_folded(name):
    layer, inputs = copy_of(KINDS[name]), input_for(name)
    pads = getattr(layer, "padding", "valid") != "valid"
    model = trained_looking(keras.Model(inputs, layer(keras.layers.BatchNormalization(axis_of(layer))(inputs))))
    folded = fold(model)
    assert normalizations(folded) == pads
    check_same(model, folded, atol=1e-5)


def test_normalizations_on_both_sides_are_folded_into_one_layer():
    x = inputs = keras.Input((4, 4, 6))
    for layer in (layers.BatchNormalization(), keras.layers.Conv2D(4, 3), layers.BatchNormalization(scale=False)):
        x = layer(x)
    model = trained_looking(keras.Model(inputs, x))
    assert normalizations(fold(model)) == 0
    check_same(model, fold(model), atol=1e-5)


class Standardized(keras.layers.Conv2D):
    def call(self, inputs):
        kernel = keras.ops.convert_to_tensor(self.kernel)
        return keras.ops.conv(inputs, kernel - keras.ops.mean(kernel)) + self.bias


class Tripled(layers.BatchNormalization):
    def call(self, inputs, training=None, mask=None):
        return 3 * super().call(inputs, training=training)


class Noted(keras.layers.Conv2D):
    """A subclass that computes as its parent, with a configuration that its own `__init__` does not take."""

    def get_config(self):
        return {**super().get_config(), "note": "x"}


def then(*parts):
    """A function of x that calls layers one after another."""

    def build(x):
        for part in parts:
            x = part()(x)
        return x

    return build


def conv(*arguments, **options):
    return lambda: keras.layers.Conv2D(*(arguments or (6, 1)), **options)


def norm(*arguments, **options):
    return lambda: keras.layers.BatchNormalization(*arguments, **options)


def read_twice(x):
    x = keras.layers.Conv2D(6, 1)(x)
    return keras.layers.Add()([layers.BatchNormalization()(x), x])


def called_twice(x):
    convolution = keras.layers.Conv2D(6, 1)
    return convolution(layers.BatchNormalization()(convolution(x)))


def normalization_called_twice(x):
    normalization = layers.BatchNormalization()
    return normalization(keras.layers.Conv2D(6, 1)(normalization(x)))


def read_at_two_nodes(x):
    """The convolution's first call is normalized, its second one is an output."""
    convolution = keras.layers.Conv2D(6, 1)
    return [layers.BatchNormalization()(convolution(x)), convolution(keras.ops.tanh(x))]


def used_in_a_wrapper(x):
    dense = keras.layers.Dense(6)
    return keras.layers.BatchNormalization()(dense(keras.layers.TimeDistributed(dense)(x)))


def shared_with_an_inner_model(x):
    convolution = keras.layers.Conv2D(6, 1)
    inner = keras.Input((5, 5, 6))
    return keras.Model(inner, convolution(inner))(layers.BatchNormalization()(convolution(x)))


def low_rank(x):
    layer = keras.layers.Dense(6)
    outputs = keras.layers.BatchNormalization()(layer(x))
    layer.enable_lora(2)
    layer.lora_alpha = 5
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    return outputs


def quantized(x):
    layer = keras.layers.Dense(6)
    outputs = keras.layers.BatchNormalization()(layer(x))
    layer.quantize("int8")
    return outputs


def called_for_training(x):
    return layers.BatchNormalization()(keras.layers.Conv2D(6, 1)(x), training=True)


def inner_model_called_for_training(x):
    inner = keras.Sequential([keras.Input((5, 5, 6)), keras.layers.Conv2D(6, 1), layers.BatchNormalization()])
    return inner(x, training=True)


def with_a_mask(x):
    outputs = keras.layers.Dense(6)(x)
    return keras.layers.BatchNormalization()(outputs, mask=keras.ops.all(keras.ops.greater(x, 0.1), axis=-1))


def activation_outside(x):
    return layers.BatchNormalization()(keras.layers.ReLU()(keras.layers.Conv2D(6, 1)(x)))


def inside_a_wrapper(x):
    return keras.layers.TimeDistributed(keras.layers.BatchNormalization(name="hidden"))(x)


def convolving_otherwise(x):
    layer = keras.layers.Conv2D(6, 3)
    original = layer.convolution_op
    layer.convolution_op = lambda inputs, kernel: original(inputs, 3 * kernel)
    return layers.BatchNormalization()(layer(x))


def another_dtype(x):
    return keras.layers.BatchNormalization(dtype="float32")(keras.layers.Dense(6, dtype="mixed_bfloat16")(x))


LEFT_ALONE = {
    "before padding": (then(norm(), conv(4, 3, padding="same")), "pads its input"),
    "read twice": (read_twice, "is read elsewhere too"),
    "after an activation": (then(conv(6, 1, activation="relu"), norm()), "has an activation"),
    "after an activation layer": (activation_outside, "is a ReLU"),
    "subclassed convolution": (then(lambda: Standardized(6, 3), norm()), "is a Standardized"),
    "before a subclassed convolution": (then(norm(), lambda: Standardized(6, 3)), "is a Standardized"),
    "subclass with a configuration of its own": (then(lambda: Noted(6, 1), norm()), "is a Noted"),
    "subclassed normalization": (then(conv(), Tripled), "a Tripled may compute something else"),
    "axis of another layout": (then(conv(6, 1, **CHANNELS_FIRST), norm()), "axis -1 is not that of the channels"),
    "another axis": (then(conv(), norm(2)), "axis 2 is not that of the channels"),
    "convolution called twice": (called_twice, "is called 2 times"),
    "normalization called twice": (normalization_called_twice, "is called 2 times"),
    "one of two calls": (read_at_two_nodes, "is called 2 times"),
    "used in a wrapper too": (used_in_a_wrapper, "is used inside 'time_distributed.*' too"),
    "shared with an inner model": (shared_with_an_inner_model, "is called 2 times"),
    "LoRA": (low_rank, "has LoRA weights"),
    "quantized": (quantized, "is quantized"),
    "called for training": (called_for_training, "called with training=True or a mask"),
    "inner model called for training": (inner_model_called_for_training, "the model around it is called with training"),
    "with a mask": (with_a_mask, "called with training=True or a mask"),
    "inside a wrapper": (inside_a_wrapper, "it is inside 'time_distributed.*', a TimeDistributed"),
    "a method replaced": (convolving_otherwise, "is a Conv2D whose convolution_op was replaced"),
    "another dtype": (another_dtype, "computes in another dtype|is a Cast"),  # older Keras has a step for the cast
}


@pytest.mark.parametrize("build, reason", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_what_would_not_be_exact_is_left_alone_and_the_reason_said(build, reason):
    inputs = keras.Input((5, 5, 6))
    model = trained_looking(keras.Model(inputs, build(inputs)))
    folded = fold(model)
    assert normalizations(folded) == 1
    check_same(model, folded, atol=1e-6)
    report = fold_report(model)
    (row,) = report[report.type.isin(["BatchNormalization", "Tripled"])].itertuples()
    assert not row.folded and row.into == "" and re.search(reason, row.reason)


def test_a_normalization_whose_values_are_not_finite_is_left_alone():
    inputs = keras.Input((2, 2, 3))
    normalization = layers.BatchNormalization()
    model = keras.Model(inputs, normalization(keras.layers.Conv2D(3, 1)(inputs)))
    normalization.moving_variance.assign([1.0, -1.0, 1.0])
    assert normalizations(fold(model)) == 1
    assert fold_report(model).reason[0] == "its weights are not finite or its variance is negative"


def sequential(*parts, size=(5, 5, 6)):
    return keras.Sequential([keras.Input(size), *(part() for part in parts)])


def functional_in_functional_in_sequential():
    inner = keras.Input((5, 5, 6))
    core = keras.Model(inner, then(conv(4, 3), norm(), keras.layers.ReLU)(inner), name="core")
    outer = keras.Input((5, 5, 6))
    shell = keras.Model(outer, keras.layers.Add()([core(outer), core(inputs=keras.ops.tanh(outer))]), name="shell")
    return sequential(lambda: shell, norm(name="last"), keras.layers.Flatten, lambda: keras.layers.Dense(3), norm())


def several_inputs_by_keyword():
    first, second = keras.Input((5, 5, 6), name="first"), keras.Input((5, 5, 6), name="second")
    x, y = (layers.BatchNormalization()(inputs=keras.layers.Conv2D(6, 1)(inputs=x)) for x in (first, second))
    inner = [keras.Input((5, 5, 6), name="a"), keras.Input((5, 5, 6), name="b")]
    product = keras.Model(inner, keras.ops.multiply(inner[0], norm()()(keras.layers.Dense(6)(inner[1]))))
    return keras.Model([first, second], {"product": product(inputs=[x, y]), "sum": keras.layers.Add()([x, second])})


def functional_around_kmobilenet():
    inputs = keras.Input((32, 32, 3))
    network = applications.kMobileNet(alpha=0.25, input_shape=(32, 32, 3), include_top=False, pooling="avg")
    x = network(keras.layers.Rescaling(1 / 127.5, -1)(inputs), training=False)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def masked():
    x = inputs = keras.Input((4, 3))
    for layer in (keras.layers.Masking(0.5), keras.layers.Dense(3), keras.layers.BatchNormalization()):
        x = layer(x)
    return keras.Model(inputs, keras.layers.LSTM(2)(x))


def with_layers_that_cannot_be_copied():
    return sequential(conv(), norm(), lambda: keras.layers.Lambda(lambda x: 2 * x, name="double"))


NESTED = {
    "Sequential": (lambda: sequential(conv(4, 3), norm(), keras.layers.ReLU, conv(4, 1), norm()), 0),
    # The last normalization of the core's sum has no convolution beside it.
    "functional in functional in Sequential": (functional_in_functional_in_sequential, 1),
    "several inputs by keyword": (several_inputs_by_keyword, 0),
    "functional around kMobileNet": (functional_around_kmobilenet, 0),
    "mask through the folded layers": (masked, 0),
    "layers that cannot be copied": (with_layers_that_cannot_be_copied, 0),
    "training=False": (
        lambda: keras.Model(x := keras.Input((5, 5, 6)), norm()()(keras.layers.Dense(3)(x), training=False)),
        0,
    ),
}


@pytest.mark.parametrize("make, left", NESTED.values(), ids=NESTED)
def test_models_within_models_are_entered(make, left):
    model = trained_looking(make())
    folded = fold(model)
    assert normalizations(folded) == left < normalizations(model)
    check_same(model, folded, atol=1e-5)
    report = fold_report(model)
    assert (~report[report.type == "BatchNormalization"].folded).sum() == left


def test_the_report_says_what_was_folded_into_what():
    model = functional_in_functional_in_sequential()
    report = fold_report(model).set_index("layer")
    assert list(report.columns) == ["type", "folded", "into", "reason"]
    core = model.get_layer("shell").get_layer("core")
    convolution, normalization = core.layers[1], core.layers[2]
    row = report.loc[f"shell/core/{normalization.name}"]
    assert row.folded and row.into == convolution.name and row.reason == ""
    assert report.loc["last"].reason.startswith("before it: 'shell' is a Functional; after it: 'flatten")
    shared = fold_report(with_layers_that_cannot_be_copied()).set_index("layer").loc["double"]
    assert not shared.folded and shared.reason.startswith("shared with the original: 'double' calls a function")
    assert list(fold_report(sequential(conv())).columns) == ["layer", "type", "folded", "into", "reason"]


def test_a_folded_model_keeps_flags_and_how_it_was_compiled():
    model = sequential(
        conv(name="folded", trainable=False), norm(), keras.layers.Flatten, lambda: keras.layers.Dense(2)
    )
    model.compile("sgd", "mse")
    folded = fold(model)
    assert folded.compiled and folded.name == model.name and not folded.get_layer("folded").trainable
    x, y = np.ones((2, 5, 5, 6), "float32"), np.zeros((2, 2), "float32")
    assert folded.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-3)


@pytest.mark.parametrize(
    "channels, step, use_bias, vanishes",
    [(24, 6, True, True), (24, 7, False, True), (64, 4, False, True), (96, 8, True, False)],
)
def test_interleaving_of_few_channels_becomes_the_order_of_a_kernel(channels, step, use_bias, vanishes):
    """Also where the step does not divide the channels; with many channels the copy is cheaper than the zeros."""
    x = inputs = keras.Input((3, 4, channels))
    x = layers.InterleaveChannels(step)(x)
    x = layers.GroupedPointwiseConv2D(2 * channels, 4, use_bias=use_bias, bias_initializer="normal", name="grouped")(x)
    model = trained_looking(keras.Model(inputs, layers.BatchNormalization()(x)))
    folded = fold(model)
    assert normalizations(folded) == 0
    assert any(isinstance(layer, layers.InterleaveChannels) for layer in folded.layers) != vanishes
    assert isinstance(folded.get_layer("grouped"), keras.layers.Conv2D) == vanishes
    check_same(model, folded, atol=1e-5)


class Reversed(layers.InterleaveChannels):
    def call(self, inputs, training=None):
        return super().call(inputs)[..., ::-1]


class Negated(layers.GroupedPointwiseConv2D):
    def call(self, inputs, training=None):
        return -super().call(inputs)


def interleaving_read_twice(x):
    x = layers.InterleaveChannels(2)(x)
    return [layers.GroupedPointwiseConv2D(8, 4)(x), x]


def grouped_called_twice(x):
    grouped = layers.GroupedPointwiseConv2D(8, 4)
    return grouped(layers.InterleaveChannels(2)(grouped(x)))


STAYS = {
    "read twice": (interleaving_read_twice, "no grouped convolution is alone in reading it"),
    "grouped convolution called twice": (grouped_called_twice, "is called 2 times"),
    "subclass": (then(lambda: Reversed(2), lambda: layers.GroupedPointwiseConv2D(8, 4)), "a Reversed may compute"),
    "before a subclass": (then(lambda: layers.InterleaveChannels(2), lambda: Negated(8, 4)), "no grouped convolution"),
}


@pytest.mark.parametrize("build, reason", STAYS.values(), ids=STAYS)
def test_an_interleaving_that_is_not_one_convolutions_order_stays(build, reason):
    inputs = keras.Input((3, 4, 8))
    model = keras.Model(inputs, build(inputs))
    assert any(isinstance(layer, layers.InterleaveChannels) for layer in fold(model).layers)
    check_same(model, fold(model), atol=1e-6)
    report = fold_report(model)
    assert reason in report.reason[0] and not report.folded[0]


class CallOfItsOwn(keras.Model):
    def call(self, inputs):
        return 2 * super().call(inputs)


@pytest.mark.parametrize("function", [fold, fold_report])
@pytest.mark.parametrize(
    "model, error, message",
    [
        ("model.keras", TypeError, r"`model` must be a functional Keras model.*Received: model='model.keras'"),
        (None, TypeError, "`model` must be a functional Keras model.*Received: model=None"),
        (3, TypeError, "Received: model=3"),
        ([], TypeError, r"Received: model=\[\]"),
        (keras.Model, TypeError, "Received: model=<class"),
        (keras.layers.Dense(2), TypeError, "`model` must be a functional Keras model.*Received: model=<Dense"),
        (keras.Model(), TypeError, "`model` must be a functional Keras model"),
        (CallOfItsOwn(*[keras.Input((2,))] * 2), TypeError, "whose call is Keras' own"),
        (keras.Sequential(name="empty"), ValueError, "`model` must know the shape of its input.*'empty'"),
        (keras.Sequential([keras.layers.Dense(2)]), ValueError, "begin it with `keras.Input`, or call `build`"),
    ],
)
def test_other_objects_are_refused(function, model, error, message):
    with pytest.raises(error, match=message):
        function(model)
