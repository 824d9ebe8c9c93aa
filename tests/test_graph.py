"""Reading models, and building them again: same values, names, flags and sharing, with what is named replaced."""

import keras
import numpy as np
import pytest
from keras import layers

from kgpc.graph import Network, check_readable, is_exactly, pass_on, rewrite, why_not_copied


def numbers(seed, *shape):
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape).astype("float32")


def outputs_of(model, inputs):
    return {name: keras.ops.convert_to_numpy(value) for name, value in model(inputs).items()}


@keras.saving.register_keras_serializable(package="test_graph")
class Scaled(layers.Dense):
    """A layer whose configuration says nothing of its factor."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs, training=None):
        return self.factor * super().call(inputs)


@pytest.fixture(scope="module")
def model():
    """Two inputs and outputs, a model within a model that is also used by itself, and layers of many kinds."""
    convolution = layers.Conv2D(4, 3, padding="same", name="convolution")
    inner_input = keras.Input((4, 4, 4))
    inner = keras.Model(inner_input, layers.ReLU(name="relu")(convolution(inner_input)) + 1.0, name="inner")
    middle = keras.Sequential([keras.Input((4, 4, 4)), inner, layers.BatchNormalization(name="bn")], name="middle")
    a, b = keras.Input((4, 4, 4), name="a"), keras.Input((4, 4, 4), name="b")
    read = middle(a)
    x = layers.Reshape((16, 4), name="sequence")(convolution(inputs=inner(b, training=False)))
    x = layers.MultiHeadAttention(2, 3, name="attention")(x, value=x)
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True), name="bidirectional")(x)
    normalization = layers.Normalization(name="standardized")
    normalization.adapt(numbers(0, 50, 6) * 3)
    x = Scaled(factor=5.0, units=3, name="scaled")(normalization(x))
    x = layers.Lambda(lambda x: x * 2, output_shape=(16, 3), name="lambda")(x)
    low_rank = layers.Dense(5, name="low_rank")
    quantized = layers.Dense(4, name="quantized")
    x = quantized(low_rank(x))
    low_rank.enable_lora(2)
    model = keras.Model(
        {"a": a, "b": b}, {"sum": layers.Add(name="sum")([read, inner(a)]), "x": x, "read": read}, name="outer"
    )
    for seed, weight in enumerate(model.weights):
        if weight.dtype == "float32" and "standardized" not in weight.path:
            weight.assign(numbers(seed, *weight.shape) - 0.4 * ("variance" not in weight.path))
    quantized.quantize("int8")
    inner.trainable = False
    convolution.trainable = True
    return model


@pytest.fixture(scope="module")
def inputs():
    return {"a": numbers(1, 2, 4, 4, 4), "b": numbers(2, 2, 4, 4, 4)}


def test_a_network_is_read_through_all_its_levels(model):
    network = Network(model)
    assert [(graph.path, graph.model.name) for graph in network.graphs] == [
        ("", "outer"),
        ("inner/", "inner"),
        ("middle/", "middle"),
    ]
    outer, inner, _ = network.graphs
    convolution, gru = inner.model.get_layer("convolution"), model.get_layer("bidirectional").forward_layer
    assert network.count(convolution) == 2 and not network.called_once(convolution)
    assert network.count(inner.model) == 3 and network.count(inner.model.get_layer("relu")) == 1
    assert network.called_once(inner.model.get_layer("relu"))
    assert network.holder(gru) is model.get_layer("bidirectional") and not network.called_once(gru)
    (call,) = [call for call in outer.calls if call.operation is convolution]
    assert call.only_input() is call.inputs[0] and outer.source(call.inputs[0]).operation is inner.model
    assert outer.only_reader(call).operation.name == "sequence"
    (attention,) = [call for call in outer.calls if call.operation.name == "attention"]
    assert attention.only_input() is None and len(outer.readers(attention.inputs[0])) == 2
    (read,) = [call for call in outer.calls if call.operation.name == "middle"]
    assert outer.is_output(read.outputs[0]) and outer.only_reader(read) is None
    assert outer.source(model.inputs[0]) is None


def test_a_call_for_training_or_with_a_mask_is_not_an_ordinary_one():
    x = inputs = keras.Input((6, 3))
    normalize = layers.BatchNormalization()
    for options in ({}, {"training": False}, {"training": None, "mask": None}, {"training": True}):
        x = normalize(x, **options)
    x = normalize(x, mask=keras.ops.any(keras.ops.not_equal(inputs, 0), axis=-1))
    calls = [call for call in Network(keras.Model(inputs, x)).graphs[0].calls if call.operation is normalize]
    assert [call.only_input() is not None for call in calls] == [True, True, True, False, False]
    assert [call.may_train() for call in calls] == [False, False, False, True, False]


def test_a_model_called_for_training_says_so_to_the_models_within():
    def within(model):
        x = keras.Input((4,))
        return keras.Model(x, model(x))

    core = keras.Sequential([keras.Input((4,)), layers.BatchNormalization()])
    inputs = keras.Input((4,))
    shell = within(core)
    for options, expected in (({}, False), ({"training": True}, True)):
        model = keras.Model(inputs, layers.Add()([core(inputs), shell(inputs, **options)]))
        assert [graph.training for graph in Network(model).graphs] == [False, expected, expected]


@pytest.mark.parametrize("share", [False, True])
def test_a_model_built_again_has_its_values_names_flags_and_sharing(model, inputs, share):
    expected = outputs_of(model, inputs)
    network = Network(model)
    twin = rewrite(network, share=share)
    for again in (twin, model):
        actual = outputs_of(again, inputs)
        for name, value in expected.items():
            np.testing.assert_allclose(actual[name], value, rtol=1e-6)
    assert twin.name == model.name and twin.input.keys() == model.input.keys()
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    inner = twin.get_layer("inner")
    convolution = inner.get_layer("convolution")
    assert twin.get_layer("convolution") is convolution and twin.get_layer("middle").get_layer("inner") is inner
    assert not inner.trainable and convolution.trainable and not inner.get_layer("relu").trainable
    assert [weight.trainable for weight in twin.weights] == [weight.trainable for weight in model.weights]
    assert len(twin.trainable_variables) == len(model.trainable_variables)
    shared = {layer.name for layer in twin.layers} & {a.name for a in model.layers if a is twin.get_layer(a.name)}
    cannot_be_copied = {"scaled", "lambda"}
    assert cannot_be_copied <= shared
    assert (
        ("attention" in shared) == ("quantized" in shared) == (convolution is model.get_layer("convolution")) == share
    )
    if share:
        assert [id(weight) for weight in twin.weights] == [id(weight) for weight in model.weights]


def test_layers_and_calls_are_replaced_wherever_they_are(model, inputs):
    """The convolution, called at two levels, by one of twice its weights; a normalization vanishes."""
    network = Network(model)
    convolution = model.get_layer("convolution")
    doubled = layers.Conv2D.from_config(convolution.get_config())
    (normalization,) = [call for graph in network.graphs for call in graph.calls if call.operation.name == "bn"]
    twin = rewrite(network, layers={convolution: doubled}, calls={normalization: pass_on}, share=True)
    doubled.set_weights([2 * weight for weight in convolution.get_weights()])
    assert twin.get_layer("inner").get_layer("convolution") is twin.get_layer("convolution") is doubled
    assert "bn" not in [layer.name for layer in twin.get_layer("middle").layers]
    kept = convolution.get_weights()
    convolution.set_weights(doubled.get_weights())
    inner = model.get_layer("inner")
    expected = keras.ops.convert_to_numpy(inner(inputs["a"]))
    np.testing.assert_allclose(outputs_of(twin, inputs)["read"], expected, rtol=1e-6)
    convolution.set_weights(kept)


def test_one_of_several_calls_is_replaced_by_a_function():
    dense = layers.Dense(3, name="dense")
    inputs = keras.Input((3,))
    model = keras.Model(inputs, dense(dense(inputs)))
    network = Network(model)
    twin = rewrite(network, calls={network.graphs[0].calls[1]: lambda x: keras.ops.tanh(dense(x))}, share=True)
    x = numbers(0, 2, 3)
    expected = np.tanh(keras.ops.convert_to_numpy(model(x)))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(twin(x)), expected, rtol=1e-6)


def test_exact_types_only():
    class Subclass(layers.Dense):
        pass

    replaced = layers.Dense(2)
    replaced.call = lambda inputs: inputs
    assert is_exactly(layers.Dense(2), layers.Conv2D, layers.Dense)
    for other in (Subclass(2), replaced, layers.EinsumDense("ab,bc->ac", 2), None):
        assert not is_exactly(other, layers.Dense)


class NoConfiguration(layers.Layer):
    def __init__(self, function):
        super().__init__()
        self.function = function


class CallOfItsOwn(keras.Model):
    def call(self, inputs):
        return 2 * super().call(inputs)


def test_a_layer_that_cannot_be_copied_without_a_doubt_says_why():
    assert why_not_copied(layers.TimeDistributed(layers.Dense(2))) is None
    assert "no get_config of its own" in why_not_copied(layers.TimeDistributed(Scaled(units=2)))
    assert "calls a function" in why_not_copied(layers.Lambda(lambda x: x))
    assert "NoConfiguration cannot be made from its configuration" in why_not_copied(NoConfiguration(lambda x: x))
    assert "table" in why_not_copied(layers.StringLookup(vocabulary=["a"]))
    replaced = layers.Dense(2, name="replaced")
    replaced.call = lambda inputs: inputs
    assert why_not_copied(replaced) == "the call of 'replaced' was replaced"
    x = keras.Input((2,))
    assert "a model with a call of its own" in why_not_copied(CallOfItsOwn(x, layers.Dense(2)(x)))


def test_other_models_are_refused():
    x = keras.Input((2,))
    for other in (CallOfItsOwn(x, layers.Dense(2)(x)), layers.Dense(2), "model.keras", None, keras.Model()):
        with pytest.raises(TypeError, match="`network` must be a functional Keras model or a Sequential one"):
            check_readable(other, "network")
    with pytest.raises(ValueError, match="`model` must know the shape of its input.*'unbuilt'"):
        Network(keras.Sequential([layers.Dense(2)], name="unbuilt"))


def test_a_configuration_that_makes_other_weights_is_refused():
    class Forgetful(layers.Layer):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units))

        def call(self, inputs):
            return inputs @ self.kernel

        def get_config(self):
            return super().get_config()

    x = keras.Input((2,))
    network = Network(keras.Model(x, Forgetful(units=5, name="forgetful")(x)))
    with pytest.raises(ValueError, match=r"'forgetful' cannot be copied.*\(2, 5\).*\(2, 3\)"):
        rewrite(network)


def test_the_mask_that_a_tensor_carries_is_told_from_another():
    inputs = keras.Input((6, 3))
    masked = layers.Masking()(inputs)
    normalize = layers.BatchNormalization()
    own = normalize(masked)
    other = normalize(masked, mask=keras.ops.any(keras.ops.not_equal(inputs, 0), axis=-1))
    calls = [call for call in Network(keras.Model(inputs, [own, other])).graphs[0].calls if call.operation is normalize]
    assert sorted((call.only_input() is None, call.only_input(own_mask=True) is None) for call in calls) == [
        (True, False),
        (True, True),
    ]


class Transposed(layers.Layer):
    """A dense layer with the kernel of another one."""

    def __init__(self, other, **kwargs):
        super().__init__(**kwargs)
        self.other = other

    def call(self, inputs):
        return inputs @ keras.ops.transpose(self.other.kernel)


def test_layers_that_share_weights_share_them_afterwards():
    """A layer that a wrapper uses too, and one that reads another's kernel: copied one by one, they would part."""
    dense, encoder = layers.Dense(3, name="dense"), layers.Dense(2, name="encoder")
    wrapper, decoder = layers.TimeDistributed(dense, name="wrapper"), Transposed(encoder, name="decoder")
    x = inputs = keras.Input((4, 3))
    for layer in (dense, wrapper, encoder, decoder, layers.Dense(2, name="alone")):
        x = layer(x)
    model = keras.Model(inputs, x)
    network = Network(model)
    assert [network.is_entangled(layer) for layer in model.layers[1:]] == [True, True, True, True, False]
    twin = rewrite(network)
    assert twin.get_layer("wrapper").layer is twin.get_layer("dense")
    assert twin.get_layer("decoder").other is twin.get_layer("encoder")
    assert twin.get_layer("alone") is not model.get_layer("alone")
    data = numbers(3, 2, 4, 3)
    np.testing.assert_array_equal(twin(data), model(data))
