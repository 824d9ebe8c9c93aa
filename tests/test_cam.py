"""Class activation maps against reference values and a plain computation, their relatives, and the pictures."""

import functools
import pathlib

import cv2
import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from keras import layers

import kgpc
from kgpc import cam

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden"
needs_golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the reference vectors are not part of the project")
CLASSES = 5
GRADIENTS = [cam.grad_cam, cam.hires_cam, cam.layer_cam]
ALL = [cam.class_activation_map, *GRADIENTS]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def dense_head(x, activation="softmax"):
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    return layers.Dense(CLASSES, activation=activation, name="classifier")(x)


def convolution_head(x):
    x = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = layers.Conv2D(CLASSES, 1, name="classifier")(x)
    x = layers.Reshape((CLASSES,), name="flat")(x)
    return layers.Activation("softmax", name="predictions")(x)


def flat_head(x):
    return layers.Dense(CLASSES, name="classifier")(layers.Flatten(name="flat")(x))


def nonlinear_head(x):
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(7, activation="relu", name="hidden")(x)
    return layers.Dense(CLASSES, activation="softmax", name="classifier")(x)


def max_pooling_head(x):
    return layers.Dense(CLASSES, name="classifier")(layers.GlobalMaxPooling2D(name="pool")(x))


def small_model(head=dense_head, size=(12, 10)):
    """A convolutional network with a residual connection and squeeze-and-excite, and random weights."""
    x = inputs = layers.Input((*size, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(x)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    excited = layers.Multiply(name="excite")([x, layers.Conv2D(8, 1, activation="sigmoid", name="gate")(squeezed)])
    x = layers.Add(name="sum")([x, kgpc.blocks.pointwise(excited, 8, kgpc.D6(2), name="block", activation="swish")])
    keras.utils.set_random_seed(1)
    model = keras.Model(inputs, head(layers.BatchNormalization(name="features")(x)), name="small")
    random = np.random.default_rng(0)
    values = [random.normal(0.1, 0.5, weight.shape) for weight in model.weights]
    positive = ["variance" in weight.name for weight in model.weights]
    model.set_weights([value**2 if square else value for value, square in zip(values, positive, strict=True)])
    return model


@functools.cache
def unchanged_model():
    """For tests that only look at it."""
    return small_model()


def images_for(model, count=3):
    return np.random.default_rng(1).random((count, *model.input.shape[1:]), dtype="float32")


def plain_map(model, images, class_index, features="features", classifier="classifier"):
    """The definition, written with loops."""
    maps = keras.Model(model.input, model.get_layer(features).output)(images, training=False).numpy()
    weights = model.get_layer(classifier).kernel.numpy().reshape(-1, CLASSES)[:, class_index]
    result = np.zeros(maps.shape[:3])
    for channel, weight in enumerate(weights):
        result += weight * maps[..., channel]
    for heat in result:
        heat[heat < 0] = 0
        if heat.max() > 0:
            heat /= heat.max()
    return result


@pytest.mark.parametrize("head", [dense_head, convolution_head])
def test_a_class_activation_map_is_the_weighted_sum_of_the_maps(head):
    model = small_model(head)
    images = images_for(model)
    for class_index in range(CLASSES):
        maps = cam.class_activation_map(model, images, class_index)
        assert maps.shape == (3, 6, 5) and maps.dtype == "float32"
        np.testing.assert_allclose(maps, plain_map(model, images, class_index), atol=1e-5)


def test_each_image_may_have_its_own_class_and_has_the_predicted_one_by_default():
    model = small_model()
    images = images_for(model, 5)
    classes = [4, 0, 3, 0, 1]
    each = [cam.class_activation_map(model, images[[i]], classes[i])[0] for i in range(5)]
    for batch_size in (1, 2, 32):
        maps = cam.class_activation_map(model, images, np.array(classes), batch_size=batch_size)
        np.testing.assert_allclose(maps, each, atol=1e-5)
    predicted = model.predict(images, verbose=0).argmax(axis=1)
    for function in ALL:
        np.testing.assert_array_equal(function(model, images), function(model, images, predicted))


@pytest.mark.parametrize("function", ALL)
def test_several_classes_of_an_image_have_the_maps_that_each_has_alone(function):
    model = small_model()
    images = images_for(model)
    classes = np.array([[4, 0], [3, 3], [1, 2]])
    each = np.stack([function(model, images, column) for column in classes.T], axis=1)
    for batch_size in (2, 32):
        maps = function(model, images, classes, batch_size=batch_size)
        assert maps.shape == (3, 2, 6, 5) and maps.dtype == "float32"
        np.testing.assert_allclose(maps, each, atol=1e-5)
    one = function(model, images, classes[:, :1])
    assert one.shape == (3, 1, 6, 5)
    np.testing.assert_allclose(one, each[:, :1], atol=1e-5)


def test_a_class_without_evidence_has_an_empty_map():
    model = small_model()
    kernel = model.get_layer("classifier").kernel
    values = kernel.numpy()
    values[:, 2] = 0
    kernel.assign(values)
    images = images_for(model)
    for function in ALL:
        maps = function(model, images, 2)
        assert not maps.any() and np.isfinite(maps).all()


@needs_golden
@pytest.mark.parametrize(
    "variant, arguments",
    [
        ("keffnet_b0_d6_16ch_64", {"scheme": kgpc.D6(16)}),
        ("keffnet_b0_d6_16ch_32_skip3", {"scheme": kgpc.D6(16), "skip_stride_cnt": 3}),
        ("keffnet_b0_d6v3_16ch_32_skip3", {"scheme": kgpc.D6v3(16), "skip_stride_cnt": 3}),
    ],
)
def test_reference_maps_of_keffnet(variant, arguments):
    vectors = np.load(GOLDEN / f"{variant}.npz")
    images = vectors["input"]
    model = kgpc.applications.kEfficientNetB0(
        input_shape=images.shape[1:], classes=10, weights=GOLDEN / f"{variant}.weights.hdf5", **arguments
    )
    for position, class_index in enumerate(vectors["cam_classes"]):
        expected = vectors["cam"][:, position]
        maps = cam.class_activation_map(model, images, int(class_index))
        np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-4)
        np.testing.assert_allclose(cam.grad_cam(model, images, int(class_index)), expected, rtol=0, atol=1e-4)
    if "d6_" in variant:
        layer = "k_top_conv_group_interleaved"
        named = cam.class_activation_map(model, images, int(class_index), layer=layer, classifier="k_probs")
        np.testing.assert_array_equal(named, maps)


@pytest.mark.parametrize(
    "build, layer, classifier",
    [
        (kgpc.applications.kMobileNet, "conv_pw_13_bn_inter_group_add", "conv_preds"),
        (kgpc.applications.kDenseNetBC, "relu", "softmax"),
        (kgpc.applications.kInceptionV3, "mixed0", "predictions"),
    ],
)
def test_every_family_with_a_linear_classifier_has_maps(build, layer, classifier):
    arguments = {
        kgpc.applications.kMobileNet: {"input_shape": (64, 48, 3), "alpha": 0.25},
        kgpc.applications.kDenseNetBC: {"input_shape": (16, 12, 3), "depth": 10},
        kgpc.applications.kInceptionV3: {"input_shape": (75, 91, 3), "max_mix_idx": 0},
    }[build]
    keras.utils.set_random_seed(1)
    model = build(classes=CLASSES, **arguments)
    images = images_for(model, CLASSES)
    maps = cam.class_activation_map(model, images, range(CLASSES))
    for index in range(CLASSES):
        expected = plain_map(model, images, index, layer, classifier)
        np.testing.assert_allclose(maps[index], expected[index], atol=1e-5)
    assert maps.max() == 1  # of a class without any evidence a map is 0, but the classes cannot all be without


def test_mobilenet_v3_is_refused_and_grad_cam_works():
    model = kgpc.applications.kMobileNetV3Small(input_shape=(64, 64, 3), classes=CLASSES)
    images = images_for(model, 2)
    message = (
        "not defined for 'kmobilenetv3small': its classifier 'Logits' reads.*not globally averaged.*Use `grad_cam`"
    )
    with pytest.raises(ValueError, match=message):
        cam.class_activation_map(model, images, 0)
    maps = cam.grad_cam(model, images, 0)
    assert maps.shape == (2, 2, 2) and maps.min() >= 0 and maps.max() <= 1


def test_grad_cam_and_hires_cam_before_the_pooling_are_the_class_activation_map():
    for head in (dense_head, convolution_head, lambda x: dense_head(x, activation=None)):
        model = small_model(head)
        images = images_for(model)
        for class_index in (0, 4):
            expected = cam.class_activation_map(model, images, class_index)
            np.testing.assert_allclose(cam.grad_cam(model, images, class_index), expected, atol=1e-5)
            np.testing.assert_allclose(cam.hires_cam(model, images, class_index), expected, atol=1e-5)


def two_maps_and_two_positions(weights):
    """A classifier that reads two positions of two maps one by one; `weights` by position and map, for class 0."""
    x = layers.Input((1, 2, 2))
    maps = layers.Activation("linear", name="maps")(x)
    model = keras.Model(x, layers.Dense(2, name="classifier")(layers.Flatten()(maps)))
    kernel = np.stack([np.ravel(weights), np.zeros(4)], axis=1)
    model.get_layer("classifier").set_weights([kernel, np.array([5.0, -5.0])])
    return model


def test_the_methods_differ_as_they_should_by_hand():
    """Maps a and b; their weights are +3 and -1 at the left, -1 and +2 at the right."""
    model = two_maps_and_two_positions([[3.0, -1.0], [-1.0, 2.0]])
    image = np.array([[[[2.0, 4.0], [3.0, 1.0]]]], "float32")  # a = 2, 3; b = 4, 1
    # Left: 3*2 - 1*4 = 2. Right: -1*3 + 2*1 = -1, which becomes 0.
    np.testing.assert_allclose(cam.hires_cam(model, image, 0), [[[1, 0]]], atol=1e-6)
    # Only what is positive: left 3*2 = 6, right 2*1 = 2.
    np.testing.assert_allclose(cam.layer_cam(model, image, 0), [[[1, 2 / 6]]], atol=1e-6)
    # Weights of a and b: (3-1)/2 = 1 and (-1+2)/2 = 0.5. Left: 2 + 2 = 4. Right: 3 + 0.5 = 3.5.
    np.testing.assert_allclose(cam.grad_cam(model, image, 0), [[[1, 3.5 / 4]]], atol=1e-6)


def test_layer_cam_leaves_out_the_channels_that_speak_against_the_class():
    """With a linear classifier on pooled maps it is the class activation map of the positive weights alone."""
    model = small_model(lambda x: dense_head(layers.ReLU(name="positive")(x)))
    images = images_for(model)
    expected = cam.layer_cam(model, images, 3)
    assert not np.allclose(expected, cam.class_activation_map(model, images, 3), atol=1e-2)
    classifier = model.get_layer("classifier")
    kernel, bias = classifier.get_weights()
    classifier.set_weights([np.maximum(kernel, 0), bias])
    np.testing.assert_allclose(cam.class_activation_map(model, images, 3), expected, atol=1e-5)


@pytest.mark.parametrize("head", [nonlinear_head, flat_head, max_pooling_head])
@pytest.mark.parametrize("layer", [None, "features", "block_conv", "stem"])
def test_the_gradients_are_those_that_differences_give(head, layer):
    """One value of one map grows a little: the change of the logit is the gradient there."""
    model = small_model(head)
    image = images_for(model, 1)
    target = model.get_layer(layer or "features")
    features = keras.Model(model.input, target.output)(image, training=False).numpy()[0]
    # A large step loses less to rounding; a small one leaves the maximum of a map, right behind it, where it is.
    step = 2e-3 if head is max_pooling_head and target.name == "features" else 1e-2
    additions = step * np.eye(features.size, dtype="float32").reshape(-1, *features.shape)
    additions = np.concatenate([additions, -additions])

    classifier, original = model.get_layer("classifier"), target.call
    target.call = lambda *args, **kwargs: original(*args, **kwargs) + additions
    many = np.repeat(image, len(additions), axis=0)
    read = keras.Model(model.input, classifier.input)(many, training=False).numpy()
    target.call = original
    up, down = np.split(read @ classifier.kernel.numpy()[:, 3], 2)
    gradients = ((up - down) / (2 * step)).reshape(features.shape)

    sums = {
        cam.grad_cam: (features * gradients.mean(axis=(0, 1))).sum(axis=-1),
        cam.hires_cam: (features * gradients).sum(axis=-1),
        cam.layer_cam: (features * np.maximum(gradients, 0)).sum(axis=-1),
    }
    for method, expected in sums.items():
        expected = np.maximum(expected, 0)
        expected /= max(expected.max(), 1e-9)
        np.testing.assert_allclose(method(model, image, 3, layer=layer)[0], expected, atol=0.02)


def test_gradients_work_where_all_weights_are_frozen_and_leaves_the_model_as_it_was():
    model = small_model(nonlinear_head)
    images = images_for(model)
    expected = [function(model, images, 1) for function in GRADIENTS]
    weights = model.get_weights()
    model.trainable = False
    for function, maps in zip(GRADIENTS, expected, strict=True):
        np.testing.assert_array_equal(function(model, images, 1), maps)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    # Still one node for each layer: `output` is defined.
    assert all(layer.output is not None for layer in model.layers)


def test_a_reloaded_model_has_the_same_maps(tmp_path):
    model = small_model(convolution_head)
    images = images_for(model)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for function in ALL:
        np.testing.assert_allclose(function(again, images, 1), function(model, images, 1), atol=1e-6)


@pytest.mark.parametrize("policy, atol", [("mixed_float16", 0.02), ("mixed_bfloat16", 0.15)])
def test_mixed_precision_gives_float32_maps(policy, atol):
    images = images_for(small_model())
    expected = [function(small_model(), images, 1) for function in ALL]
    keras.config.set_dtype_policy(policy)
    try:
        model = small_model()
    finally:
        keras.config.set_dtype_policy("float32")
    for function, one in zip(ALL, expected, strict=True):
        maps = function(model, images, 1)
        assert maps.dtype == "float32"
        np.testing.assert_allclose(maps, one, atol=atol)


def test_a_model_with_open_image_sizes_takes_any_size():
    model = small_model(size=(None, None))
    assert cam.class_activation_map(model, np.zeros((1, 20, 8, 3)), 0).shape == (1, 10, 4)
    assert cam.grad_cam(model, np.zeros((1, 20, 8, 3)), 0).shape == (1, 10, 4)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"class_index": CLASSES}, ValueError, r"`class_index` must be in \[0, 5\).*Received: class_index=5"),
        ({"class_index": -1}, ValueError, r"`class_index` must be in \[0, 5\)"),
        ({"class_index": 1.0}, TypeError, "`class_index` must be an integer, or one or several for each image"),
        ({"class_index": True}, TypeError, "`class_index` must be an integer"),
        ({"class_index": "cat"}, TypeError, "`class_index` must be an integer.*'cat'"),
        ({"class_index": [0, 1]}, ValueError, r"for each of the 3 images: of shape \(\), \(3,\) or \(3, k\).*\(2,\)"),
        ({"class_index": [[0, 1, 2]]}, ValueError, r"for each of the 3 images.*Received: shape \(1, 3\)"),
        ({"class_index": np.zeros((3, 0), "int64")}, ValueError, r"for each of the 3 images.*Received: shape \(3, 0\)"),
        ({"class_index": np.zeros((3, 1, 1), "int64")}, ValueError, "for each of the 3 images"),
        ({"images": np.zeros((12, 10, 3), "float32")}, ValueError, r"`images` must be a batch.*`image\[None\]`"),
        ({"images": np.zeros((1, 12, 12, 3), "float32")}, ValueError, r"shape \(None, 12, 10, 3\).*\(1, 12, 12, 3\)"),
        ({"images": np.zeros((1, 12, 10, 1), "float32")}, ValueError, "`images` must be a batch"),
        ({"images": np.zeros((0, 12, 10, 3), "float32")}, ValueError, "at least one image"),
        ({"images": np.zeros((1, 12, 10, 3), "uint8")}, TypeError, "`images` must be floating-point.*dtype uint8"),
        ({"images": "cat.jpg"}, TypeError, "`images` must be floating-point numbers.*Received: images='cat.jpg'"),
        ({"images": None}, TypeError, "`images` must be floating-point numbers.*Received: images=None"),
        ({"images": [[1.0], [2.0, 3.0]]}, TypeError, r"`images` must be.*Received: images=\[\[1.0\], \[2.0, 3.0\]\]"),
        ({"images": {"a": 1.0}}, TypeError, "`images` must be floating-point numbers.*Received: images={'a': 1.0}"),
        ({"images": np.full((1, 12, 10, 3), 1j)}, TypeError, "`images` must be floating-point numbers"),
        ({"images": np.full((1, 12, 10, 3), 1e300)}, ValueError, "`images` must hold finite numbers"),
        ({"images": 1.5}, ValueError, r"`images` must be a batch.*Received: images of shape \(\)"),
        ({"class_index": [[0, 1], [2]]}, TypeError, "`class_index` must be an integer.*Received: class_index="),
        ({"class_index": {}}, TypeError, r"`class_index` must be an integer.*Received: class_index=\{\}"),
        ({"class_index": np.nan}, TypeError, "`class_index` must be an integer.*Received: class_index=nan"),
        ({"class_index": 10**30}, TypeError, "`class_index` must be an integer.*Received: class_index=1000"),
        ({"class_index": np.array([True] * 3)}, TypeError, "`class_index` must be an integer"),
        ({"layer": ["stem"]}, ValueError, r"`layer` must be the name of a layer.*Received: layer=\['stem'\]"),
        ({"layer": ""}, ValueError, "`layer` must be the name of a layer.*Received: layer=''"),
        ({"batch_size": True}, TypeError, "`batch_size` must be an integer.*Received: batch_size=True"),
        ({"batch_size": "8"}, TypeError, "`batch_size` must be an integer.*Received: batch_size='8'"),
        ({"batch_size": None}, TypeError, "`batch_size` must be an integer.*Received: batch_size=None"),
        ({"batch_size": np.inf}, TypeError, "`batch_size` must be an integer.*Received: batch_size=inf"),
        ({"batch_size": np.int64(-1)}, ValueError, "`batch_size` must be at least 1.*Received: batch_size=.*-1"),
        ({"model": None}, TypeError, "`model` must be a functional Keras model.*Received: model=None"),
        ({"model": layers.Dense(2)}, TypeError, "`model` must be a functional Keras model.*Received: model=<Dense"),
        ({"model": keras.Sequential([layers.Dense(2)])}, ValueError, "`model` must know the shape of its input"),
        ({"images": np.full((1, 12, 10, 3), np.nan)}, ValueError, "`images` must hold finite numbers"),
        ({"layer": "no_such_layer"}, ValueError, "`layer` must be the name of a layer of 'small'; .*'no_such"),
        ({"layer": 3}, ValueError, "`layer` must be the name of a layer"),
        ({"layer": "classifier"}, ValueError, "`layer` must be a layer with feature maps.*layer='classifier'"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"batch_size": 2.5}, TypeError, "`batch_size` must be an integer"),
        ({"model": "kMobileNet"}, TypeError, "`model` must be a functional Keras model"),
    ],
)
def test_bad_input_is_named(function, change, error, message):
    model = unchanged_model()
    with pytest.raises(error, match=message):
        function(**{"model": model, "images": images_for(model), **change})


def test_a_model_that_makes_nan_of_the_images_is_refused():
    model = small_model()
    model.get_layer("features").moving_variance.assign(np.full(8, -1.0))
    for function in ALL:
        with pytest.raises(ValueError, match="`model` must have finite feature maps"):
            function(model, images_for(model), 0)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("activation", ["softmax", None])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_class_is_not_predicted_by_nan(function, activation, value):
    """The maps are finite, and so are their gradients."""
    model = small_model(lambda x: dense_head(x, activation))
    bias = np.zeros(CLASSES)
    bias[2] = value
    model.get_layer("classifier").bias.assign(bias)
    for wrong in (function, cam.class_scores):
        with pytest.raises(ValueError, match="`model` must have finite outputs. Received: a model that makes NaN"):
            wrong(model, images_for(model))
    with pytest.raises(ValueError, match="`model` must have finite outputs"):
        cam.class_activation_map(model, images_for(model), 0)


def test_a_layer_without_a_gradient_is_refused():
    model = small_model(lambda x: dense_head(keras.ops.stop_gradient(x)))
    for function in GRADIENTS:
        with pytest.raises(
            ValueError, match="`layer` must be a layer that the output depends on. Received: layer='features'"
        ):
            function(model, images_for(model), 0, layer="features")


def test_a_backend_without_gradients_is_refused(monkeypatch):
    monkeypatch.setattr(cam.gradients, "_GRADIENTS", {})
    model = small_model()
    for function in GRADIENTS:
        with pytest.raises(NotImplementedError, match="Gradients need the backend tensorflow, jax or torch"):
            function(model, images_for(model), 0)


def test_models_without_the_parts_are_refused():
    images = images_for(small_model())
    for head in (nonlinear_head, flat_head, max_pooling_head):
        with pytest.raises(ValueError, match="A class activation map is not defined for 'small'.*Use `grad_cam`"):
            cam.class_activation_map(small_model(head), images, 0)
        options = {"layer": "features", "classifier": "classifier"}
        with pytest.raises(ValueError, match="not defined for 'small': its classifier 'classifier' reads.*`grad_cam`"):
            cam.class_activation_map(small_model(head), images, 0, **options)
    with pytest.raises(ValueError, match="`model` must end in a dense layer or a 1x1 convolution.*ends in 'pool'"):
        cam.class_activation_map(small_model(layers.GlobalAveragePooling2D(name="pool")), images, 0)
    for function in ALL:
        with pytest.raises(ValueError, match=r"`model` must have an output of shape \(batch, classes\).*6, 5, 8\)"):
            function(small_model(lambda x: x), images, 0)
    with pytest.raises(ValueError, match="`classifier` must be a dense layer.*classifier='pool', a GlobalAverage"):
        cam.class_activation_map(small_model(), images, 0, layer="stem", classifier="pool")
    with pytest.raises(ValueError, match="`classifier` must be the name of a layer"):
        cam.class_activation_map(small_model(), images, 0, classifier="no_such_layer")
    with pytest.raises(ValueError, match="`layer` and `classifier` must fit: 'classifier' weights 8 maps.*with 3 maps"):
        cam.class_activation_map(small_model(), images, 0, layer="image")
    model = small_model()
    two = keras.Model(model.input, [model.output, model.get_layer("features").output])
    for function in ALL:
        with pytest.raises(ValueError, match="`model` must have one input, the images, and one output.*2 outputs"):
            function(two, images, 0)
    first, second = layers.Input((8,)), layers.Input((8,))
    no_maps = keras.Model(first, layers.Dense(CLASSES)(layers.Add(name="sum")([first, layers.Dense(8)(first)])))
    with pytest.raises(ValueError, match="`layer` must be given.*'sum' comes before any feature maps"):
        cam.grad_cam(no_maps, np.zeros((1, 8), "float32"), 0)
    two_inputs = keras.Model([first, second], layers.Dense(CLASSES)(layers.Add()([first, second])))
    with pytest.raises(ValueError, match="`model` must have one input.*2 inputs"):
        cam.grad_cam(two_inputs, images, 0)


def picture(height=9, width=12):
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype="uint8")


def test_an_overlay_is_the_image_over_the_enlarged_map():
    image, heat = picture(), np.random.default_rng(3).random((3, 4), dtype="float32")
    for alpha in (0.0, 0.5, 0.8, 1.0):
        actual = cam.overlay(image, heat, alpha)
        enlarged = np.clip(cv2.resize(heat, dsize=(12, 9), interpolation=cv2.INTER_CUBIC), 0, 1)
        expected = alpha * image + (1 - alpha) * 255 * matplotlib.colormaps["viridis"](enlarged)[..., :3]
        assert actual.shape == image.shape and actual.dtype == "uint8"
        np.testing.assert_allclose(actual, expected, atol=0.51)
    np.testing.assert_array_equal(cam.overlay(image, heat, 1), image)


def test_an_overlay_of_cells_has_one_square_for_each_position():
    heat = np.array([[0.0, 0.4, 1.0], [0.2, 0.9, 0.1]])
    actual = cam.overlay(np.zeros((10, 12, 3), "uint8"), heat, 0, smooth=False)
    expected = np.repeat(np.repeat(heat, 5, axis=0), 4, axis=1)
    np.testing.assert_allclose(actual, 255 * matplotlib.colormaps["viridis"](expected)[..., :3], atol=0.51)
    # Where the sides do not divide: the middle of each pixel says which cell it belongs to.
    row = cam.overlay(np.zeros((1, 7), "uint8"), heat[:1], 0, "gray", smooth=False)[0, :, 0]
    np.testing.assert_array_equal(row, np.rint(255 * heat[0, [0, 0, 1, 1, 1, 2, 2]]).astype("uint8"))


def test_an_overlay_takes_floats_and_grey_images():
    image, heat = picture(), np.eye(3, dtype="float32")
    expected = cam.overlay(image, heat)
    np.testing.assert_array_equal(cam.overlay(image / 255, heat), expected)
    grey = image[..., :1]
    expected = cam.overlay(grey.repeat(3, axis=-1), heat)
    np.testing.assert_array_equal(cam.overlay(grey, heat), expected)
    np.testing.assert_array_equal(cam.overlay(grey[..., 0], heat), expected)
    # A map that is 1 in one corner is bright there, in the image's own orientation.
    corner = np.zeros((3, 4), "float32")
    corner[0, 3] = 1
    bright = cam.overlay(np.zeros((30, 40), "uint8"), corner, colormap="gray").mean(axis=-1)
    assert np.unravel_index(bright.argmax(), bright.shape) >= (0, 30)
    assert bright[:10, 30:].mean() > 4 * bright.mean()


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"image": np.zeros((2, 9, 12, 3), "uint8")}, ValueError, r"`image` must be of shape \(height, width, 3\)"),
        ({"image": np.zeros((9, 12, 4), "uint8")}, ValueError, "`image` must be of shape"),
        ({"image": np.zeros((0, 12, 3), "uint8")}, ValueError, "`image` must be of shape"),
        ({"image": np.zeros((9, 12, 3), "int64")}, TypeError, "`image` must be uint8, or floating-point.*int64"),
        ({"image": np.full((9, 12, 3), 255.0)}, ValueError, r"`image` must be in \[0, 1\].*255"),
        ({"image": np.full((9, 12, 3), np.nan)}, ValueError, r"`image` must be in \[0, 1\]"),
        ({"heat": np.zeros((1, 3, 3), "float32")}, ValueError, r"`heat` must be an array \(map height, map width\)"),
        ({"heat": np.zeros((3, 3), "uint8")}, ValueError, "`heat` must be an array.*dtype uint8"),
        ({"heat": np.full((3, 3), 2.0)}, ValueError, r"`heat` must be in \[0, 1\]"),
        ({"heat": np.full((3, 3), np.nan)}, ValueError, r"`heat` must be in \[0, 1\]"),
        ({"alpha": 1.5}, ValueError, r"`alpha` must be in \[0, 1\]. Received: alpha=1.5"),
        ({"alpha": "half"}, TypeError, "`alpha` must be a number"),
        ({"alpha": np.nan}, ValueError, "`alpha` must be in.*Received: alpha=nan"),
        ({"alpha": True}, TypeError, "`alpha` must be a number.*Received: alpha=True"),
        ({"alpha": None}, TypeError, "`alpha` must be a number.*Received: alpha=None"),
        ({"alpha": [0.5]}, TypeError, r"`alpha` must be a number.*Received: alpha=\[0.5\]"),
        ({"image": None}, TypeError, "`image` must be uint8.*Received: image=None"),
        ({"image": "cat.jpg"}, TypeError, "`image` must be uint8.*Received: image='cat.jpg'"),
        ({"image": [[1], [2, 3]]}, TypeError, r"`image` must be uint8.*Received: image=\[\[1\], \[2, 3\]\]"),
        ({"heat": None}, TypeError, "`heat` must be an array.*Received: heat=None"),
        ({"heat": "map"}, TypeError, "`heat` must be an array.*Received: heat='map'"),
        ({"heat": 0.5}, ValueError, r"`heat` must be an array.*Received: heat of shape \(\)"),
        ({"heat": np.full((3, 3), np.inf)}, ValueError, r"`heat` must be in \[0, 1\]"),
        ({"colormap": ["gray"]}, ValueError, r"`colormap` must be the name.*Received: colormap=\['gray'\]"),
        ({"colormap": 3}, ValueError, "`colormap` must be the name.*Received: colormap=3"),
        ({"colormap": "no_such_map"}, ValueError, "`colormap` must be the name of a matplotlib colormap.*no_such_map"),
        ({"colormap": None}, ValueError, "`colormap` must be the name"),
        ({"smooth": "no"}, TypeError, "`smooth` must be True or False. Received: smooth='no'"),
    ],
)
def test_a_bad_overlay_is_named(change, error, message):
    with pytest.raises(error, match=message):
        cam.overlay(**{"image": picture(), "heat": np.zeros((3, 3), "float32"), **change})


def test_a_gallery_shows_every_image_and_says_so_in_words():
    images, maps = np.stack([picture(), picture(), picture()]), np.zeros((3, 3, 4), "float32")
    maps[0, 0, 0] = maps[1, 1, 1] = 1
    figure = cam.gallery(images, maps, titles=["cat", "dog", "cat"], columns=2)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == ["cat", "dog", "cat"]
    for axes, image, heat in zip(shown, images, maps, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), cam.overlay(image, heat))
        assert not axes.axison
    (scale,) = [axes for axes in figure.axes if axes.get_ylabel().startswith("evidence")]
    assert scale.get_ylim() == (0, 1)
    assert figure.get_label() == (
        "3 images, each with a map of the evidence for a class in colours. Image 1 (cat): strongest at the top left. "
        "Image 2 (dog): strongest at the middle centre. Image 3 (cat): no evidence."
    )
    figure.canvas.draw()


def test_a_gallery_of_one_image_and_without_titles():
    figure = cam.gallery(picture()[None], np.ones((1, 1, 1), "float32"))
    assert figure.get_label().endswith("Image 1: strongest at the middle centre.")


@pytest.mark.parametrize(
    "change, error, message",
    [
        (
            {"maps": np.zeros((2, 3, 3), "float32")},
            ValueError,
            "`maps` must be one for each image. Received: 2 maps and 3",
        ),
        ({"maps": np.zeros((3, 3), "float32")}, ValueError, r"`maps` must be an array \(n, map height, map width\)"),
        ({"titles": ["a"]}, ValueError, "`titles` must be one text for each of the 3 images"),
        ({"titles": "abc"}, ValueError, "`titles` must be one text for each of the 3 images"),
        ({"titles": 3}, ValueError, "`titles` must be one text for each of the 3 images. Received: titles=3"),
        ({"titles": {"a", "b", "c"}}, ValueError, "`titles` must be one text for each of the 3 images"),
        ({"titles": np.zeros((3, 2))}, ValueError, "`titles` must be one text for each of the 3 images"),
        ({"images": None}, TypeError, "`images` must be a batch of images. Received: images=None"),
        ({"images": 3}, TypeError, "`images` must be a batch of images. Received: images=3"),
        ({"images": "abc"}, TypeError, "`images` must be uint8.*Received: images='a'"),
        ({"images": np.zeros((3, 9, 12, 4))}, ValueError, "`images` must be of shape"),
        ({"maps": None}, TypeError, "`maps` must be an array.*Received: maps=None"),
        ({"maps": [[[0.5]], [[1.5]], [[0.0]]]}, ValueError, r"`maps` must be in \[0, 1\].*from 0.0 to 1.5"),
        ({"columns": True}, TypeError, "`columns` must be an integer.*Received: columns=True"),
        ({"columns": "4"}, TypeError, "`columns` must be an integer.*Received: columns='4'"),
        ({"colormap": None}, ValueError, "`colormap` must be the name.*Received: colormap=None"),
        ({"columns": 0}, ValueError, "`columns` must be at least 1"),
        ({"columns": 1.5}, TypeError, "`columns` must be an integer"),
        ({"alpha": 7}, ValueError, "`alpha` must be in"),
    ],
)
def test_a_bad_gallery_is_named(change, error, message):
    arguments = {"images": np.stack([picture()] * 3), "maps": np.zeros((3, 3, 3), "float32")}
    with pytest.raises(error, match=message):
        cam.gallery(**{**arguments, **change})
    assert not plt.get_fignums()
