"""Work done by the next layer: the same outputs, gradients and statistics as layer by layer, and only in training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kgpc
from kgpc import layers


def dense_block(merge):
    """Two steps of a densely connected block, as in kDenseNet: three normalizations over nested concatenations."""
    x = inputs = keras.Input((6, 5, 12))
    for index in range(3):
        y = layers.BatchNormalization(merge=merge, epsilon=1e-3, momentum=0.7, name=f"bn_{index}")(x)
        y = layers.GroupedPointwiseConv2D(24, groups=index + 1, use_bias=index == 1, name=f"grouped_{index}")(y)
        y = keras.layers.Activation("tanh")(y)
        y = layers.GroupedPointwiseConv2D(12, groups=4, name=f"mixed_{index}")(layers.InterleaveChannels(6)(y))
        x = keras.layers.Concatenate(name=f"concat_{index}")([x, y])
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def plain(model):
    """The same network of Keras' own layers, in float64."""
    ours = {layers.BatchNormalization: keras.layers.BatchNormalization}

    def translate(layer):
        config = {**layer.get_config(), "dtype": "float64"}
        config.pop("merge", None)
        if isinstance(layer, layers.GroupedPointwiseConv2D):
            return layers.GroupedPointwiseConv2D.from_config(config)
        return ours.get(type(layer), type(layer)).from_config(config)

    twin = keras.models.clone_model(model, clone_function=translate)
    twin.set_weights(model.get_weights())
    return twin


def step(model, images, compiled):
    """Output, gradients by input and weights, and moving statistics after a step of training."""

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=True)
            loss = tf.reduce_sum(tf.sin(3 * y))
        return [y, *tape.gradient(loss, [x, *(weight.value for weight in model.trainable_weights)])]

    values = (tf.function(run, autograph=False) if compiled else run)(images)
    return [np.asarray(value) for value in (*values, *(weight.value for weight in model.non_trainable_weights))]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).normal(1, 2, size=(4, 6, 5, 12)).astype("float32")


def test_a_dense_block_trains_as_layer_by_layer_in_double_precision(images):
    model = dense_block(merge=True)
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        if weight.name in ("gamma", "beta"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    expected = step(plain(model), tf.constant(images, "float64"), compiled=False)
    actual = step(model, tf.constant(images), compiled=True)
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


def test_the_skipped_passes_are_not_computed(images):
    """In the compiled step the normalized and the interleaved feature maps are read by nobody."""
    model = dense_block(merge=True)
    step_function = tf.function(lambda x: model(x, training=True), autograph=False)
    graph = step_function.get_concrete_function(tf.constant(images)).graph
    reads = {name for operation in graph.get_operations() for name in (tensor.op.name for tensor in operation.inputs)}
    copies = [op for op in graph.get_operations() if op.type == "Transpose" and op.outputs[0].shape.rank == 3]
    interleaved = [op for op in copies if op.outputs[0].consumers() and op.outputs[0].shape[1:] == (6, 4)]
    final = [consumer for op in interleaved for consumer in op.outputs[0].consumers()]
    assert final and all(operation.name not in reads for operation in final)


def test_a_normalization_has_the_same_output_for_any_reader(images):
    inputs = keras.Input((6, 5, 12))
    models = []
    for merge in (True, False):
        normalization = layers.BatchNormalization(merge=merge, epsilon=1e-3)
        models.append(keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(normalization(inputs))))
    merged, fused = (step(model, tf.constant(images), compiled=True) for model in models)
    for ours, theirs in zip(merged, fused, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_eager_calls_and_inference_take_no_notes(images):
    layer = layers.InterleaveChannels(3)
    assert not hasattr(layer(images, training=True), "_kgpc_interleaved")
    seen = []

    @tf.function(autograph=False)
    def call(x):
        seen.append(hasattr(layer(x, training=False), "_kgpc_interleaved"))
        seen.append(hasattr(layer(x, training=True), "_kgpc_interleaved"))
        return x

    call(tf.constant(images))
    assert seen == [False, True]


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("padding", [((0, 1), (0, 1)), ((1, 1), (1, 1)), ((1, 2), (1, 2)), ((2, 2), (2, 2))])
@pytest.mark.parametrize("width", [3, 5])
def test_padding_is_left_to_the_convolution_where_it_is_the_same(size, padding, width):
    inputs = keras.Input((size, size, 3))
    x = layers.ZeroPadding2D(padding)(inputs)
    x = layers.DepthwiseConv2D(width, strides=2, activation="relu", bias_initializer="ones")(x)
    model = keras.Model(inputs, x)
    images = tf.random.stateless_normal((2, size, size, 3), seed=(0, 1))
    step = tf.function(lambda x: model(x), autograph=False)
    np.testing.assert_allclose(step(images), model(images), atol=1e-6)
    graph = step.get_concrete_function(images).graph
    pads = [operation for operation in graph.get_operations() if operation.type == "Pad"]
    skipped = not any(operation.outputs[0].consumers() for operation in pads)
    # TensorFlow pads by what is missing, the odd zero at the end.
    missing = 2 * (-(-size // 2) - 1) + width - size
    assert skipped == (padding == (2 * ((missing // 2, missing - missing // 2),)))


def test_padding_of_an_open_image_size_is_kept():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.DepthwiseConv2D(3, strides=2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(inputs)))
    images = tf.random.stateless_normal((2, 8, 8, 3), seed=(0, 1))
    step = tf.function(lambda x: model(x), autograph=False, input_signature=[tf.TensorSpec((None, None, None, 3))])
    np.testing.assert_allclose(step(images), model(images), atol=1e-6)


def test_files_with_and_without_merging_load_in_each_other(tmp_path, images):
    """The layers are the same either way, so a file from before merging gives the same predictions."""
    model = dense_block(merge=True)
    model.save(tmp_path / "merged.keras")
    again = keras.saving.load_model(tmp_path / "merged.keras", safe_mode=True)
    assert again.get_layer("bn_0").merge
    older = dense_block(merge=False)
    assert "merge" not in older.get_layer("bn_0").get_config()
    older.set_weights(model.get_weights())
    for other in (again, older):
        np.testing.assert_allclose(other(images).numpy(), model(images).numpy(), atol=1e-6)


def test_mixed_precision_trains_without_merging(images):
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = dense_block(merge=True)
    finally:
        keras.config.set_dtype_policy(previous)
    assert all(np.isfinite(np.asarray(value, "float64")).all() for value in step(model, tf.constant(images), True))


def test_the_bottlenecks_of_kdensenet_are_merged():
    model = kgpc.applications.kDenseNetBC(input_shape=(8, 8, 3), depth=10)
    merged = [layer.name for layer in model.layers if getattr(layer, "merge", False)]
    assert merged == [f"dn{stage}_b1_bottleneck_bn" for stage in (1, 2, 3)]
