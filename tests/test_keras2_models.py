"""Whole models from HDF5 files: the authors' released one, what Keras 3 writes, and files that must be refused."""

import json
import pathlib
import shutil

import h5py
import keras
import numpy as np
import pytest

import kgpc
from kgpc import applications, cai, keras2_models, layers, weights

RELEASED = pathlib.Path(__file__).resolve().parents[2] / "shared" / "golden" / "released_kmobilenet_16ch"
FILE = RELEASED / "JP35B14-mobilenet-CIFAR10-2-best_result.hdf5"
needs_released = pytest.mark.skipif(not FILE.is_file(), reason="the released file is not part of the project")


def test_the_module_is_there_after_import_kgpc_as_the_pages_name_it():
    # What asks for a module that nothing has imported yet; by now everything has.
    assert kgpc.__getattr__("keras2_models") is keras2_models
    assert "keras2_models" in dir(kgpc)


def entry(class_name, name, reads, **config):
    nodes = [[[source, 0, 0, {}] for source in reads]] if reads else []
    config = {"name": name, "trainable": True, "dtype": "float32", **config}
    return {"class_name": class_name, "name": name, "config": config, "inbound_nodes": nodes}


def image(name="input_6", channels=4):
    shape = [None, None, None, channels]
    return entry("InputLayer", name, [], batch_input_shape=shape, sparse=False, ragged=False)


OPTIMIZER = {"class_name": "RMSprop", "config": {"name": "RMSprop", "learning_rate": 0.25, "decay": 0.0, "rho": 0.5}}
WRAPPED = {
    "class_name": "LossScaleOptimizer",
    "config": {"inner_optimizer": OPTIMIZER, "dynamic": True, "initial_scale": 4.0, "dynamic_growth_steps": 7},
}
METRIC = {
    "class_name": "MeanMetricWrapper",
    "config": {"name": "accuracy", "dtype": "float32", "fn": "categorical_accuracy"},
}
TRAINING = {
    "loss": "categorical_crossentropy",
    "metrics": [[METRIC]],
    "weighted_metrics": None,
    "loss_weights": None,
    "optimizer_config": WRAPPED,
}


def write(path, entries, arrays, training=TRAINING, output=None, **changes):
    """A file as Keras 2 writes it."""
    config = {"name": "m", "layers": entries, "input_layers": [[entries[0]["name"], 0, 0]]}
    config["output_layers"] = [[output or entries[-1]["name"], 0, 0]]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.6.0"
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": config, **changes})
        if training is not None:
            file.attrs["training_config"] = json.dumps(training)
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [item["name"].encode() for item in entries]
        for item in entries:
            layer = group.create_group(item["name"])
            mine = arrays.get(item["name"], {})
            layer.attrs["weight_names"] = [f"{item['name']}/{kind}:0".encode() for kind in mine]
            for kind, array in mine.items():
                layer[f"{item['name']}/{kind}:0"] = array
    return path


CONVOLUTION = {
    "filters": 6,
    "kernel_size": [1, 1],
    "strides": [1, 1],
    "padding": "valid",
    "data_format": "channels_last",
    "dilation_rate": [1, 1],
    "groups": 2,
    "activation": "linear",
    "use_bias": False,
    "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
    "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.5}},
    "kernel_constraint": None,
}


@needs_released
def test_the_released_checkpoint_loads_whole():
    model = cai.models.load_kereas_model(str(FILE))
    optimizer = model.optimizer
    assert type(optimizer.inner_optimizer) is keras.optimizers.RMSprop
    assert float(optimizer.learning_rate) == pytest.approx(0.0002970043569803238)
    assert (optimizer.initial_scale, optimizer.dynamic_growth_steps) == (32768.0, 2000)
    data = np.load(RELEASED / "cifar10_100.npz")
    images = data["images"][::5].repeat(7, axis=1).repeat(7, axis=2).astype("float32") / 255
    actual = model.predict(images, verbose=0)
    np.testing.assert_allclose(actual, data["probs"][::5], rtol=0, atol=5e-5)
    named = applications.kMobileNet(input_shape=(224, 224, 3), classes=10)
    weights.load(named, FILE)
    np.testing.assert_allclose(actual, named.predict(images, verbose=0), rtol=0, atol=1e-6)
    one_hot = np.eye(10)[data["labels"][::5]]
    loss, accuracy = model.evaluate(images, one_hot, verbose=0)
    assert accuracy == pytest.approx((actual.argmax(1) == data["labels"][::5]).mean())
    assert loss == pytest.approx(-np.log((actual * one_hot).sum(1)).mean(), rel=1e-4)


def test_every_layer_of_the_authors_computes_what_it_should(tmp_path):
    draw = np.random.default_rng(0)
    kernel, depthwise = draw.normal(size=(1, 1, 2, 6)).astype("f4"), draw.normal(size=(3, 3, 6, 1)).astype("f4")
    entries = [
        image(),
        entry("Conv2D", "a/project", ["input_6"], **CONVOLUTION),
        entry("InterleaveChannels", "shuffled", ["a/project"], step_size=3),
        entry(
            "DepthwiseConv2D",
            "dw",
            ["shuffled"],
            **{**CONVOLUTION, "filters": None, "kernel_size": [3, 3], "padding": "same", "groups": 1},
            depth_multiplier=1,
        ),
        entry("HardSwish", "hs", ["dw"]),
        entry("HardSigmoid", "sig", ["hs"]),
        entry("Activation", "also", ["sig"], activation="hard_swish"),
        entry("Negate", "minus", ["also"]),
        entry("ConcatNegation", "both", ["minus"]),
        entry("CopyChannels", "some", ["both"], channel_start=2, channel_count=8),
        entry("SumIntoHalfChannels", "half", ["some"]),
        entry("Concatenate", "joined", ["half", "minus"], axis=3),
        entry("Activation", "end", ["joined"], activation="swish"),
    ]
    entries[3]["config"]["kernel_regularizer"] = None
    arrays = {"a/project": {"kernel": kernel}, "dw": {"depthwise_kernel": depthwise}}
    model = keras2_models.load_model(write(tmp_path / "m.hdf5", entries, arrays))
    assert isinstance(model.get_layer("a_project"), layers.GroupedPointwiseConv2D)
    assert float(model.get_layer("a_project").kernel_regularizer.l2) == 0.5

    x = draw.normal(size=(2, 5, 5, 4)).astype("f4")
    y = np.concatenate([x[..., :2] @ kernel[0, 0, :, :3], x[..., 2:] @ kernel[0, 0, :, 3:]], axis=-1)
    y = y[..., [0, 3, 1, 4, 2, 5]]
    around = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = sum(around[:, r : r + 5, c : c + 5] * depthwise[r, c, :, 0] for r in range(3) for c in range(3))

    def hard_sigmoid(x):
        return np.clip(x + 3, 0, 6) / 6

    y = hard_sigmoid(y * hard_sigmoid(y))
    minus = -(y * hard_sigmoid(y))
    some = np.concatenate([minus, -minus], axis=-1)[..., 2:10]
    y = np.concatenate([some[..., :4] + some[..., 4:], minus], axis=-1)
    np.testing.assert_allclose(model.predict(x, verbose=0), y / (1 + np.exp(-y)), atol=1e-5)
    assert model.optimizer.initial_scale == 4.0 and float(model.optimizer.inner_optimizer.rho) == 0.5


def test_a_layer_that_is_called_twice_and_an_unusual_order(tmp_path):
    entries = [
        image(channels=4),
        entry("Add", "sum", ["shared", "shared"]),
        entry("Negate", "shared", ["input_6"]),
    ]
    entries[1]["inbound_nodes"] = [[["shared", 0, 0, {}], ["shared", 1, 0, {"training": None}]]]
    entries[2]["inbound_nodes"] = [[["input_6", 0, 0, {}]], [["shared", 0, 0, {}]]]
    model = keras2_models.load_model(
        write(tmp_path / "m.hdf5", entries, {}, training=None, output="sum"), compile=False
    )
    x = np.ones((1, 2, 2, 4), "float32")
    np.testing.assert_array_equal(model(x), 0 * x)


@pytest.mark.parametrize(
    "build",
    [
        lambda: cai.mobilenet.kMobileNet(input_shape=(None, None, 3), alpha=0.25, classes=10),
        lambda: cai.mobilenet_v3.kMobileNetV3Small(input_shape=(32, 32, 3), alpha=0.5, classes=10, kType=46),
        lambda: cai.mobilenet_v3.MobileNetV3Small(input_shape=(None, None, 3), alpha=0.5, classes=10),
        lambda: cai.densenet.ksimple_densenet(
            [32, 32, 3], blocks=1, l2_decay=0.1, kTypeBlock=45, kTypeTransition=45, has_interleave_at_transition=True
        ),
        lambda: cai.models.two_path_inception_v3(
            input_shape=(80, 80, 3), classes=10, max_mix_idx=0, two_paths_first_block=True, l_ratio=0.2, ab_ratio=0.8
        ),
        lambda: cai.efficientnet.kEfficientNetB0(input_shape=(32, 32, 3), classes=10, kType=46, skip_stride_cnt=3),
    ],
    ids=["kMobileNet", "kMobileNetV3", "MobileNetV3", "kDenseNet", "two branches", "kEffNet"],
)
def test_what_keras_3_writes_is_read_again(tmp_path, build):
    model = build()
    model.compile(keras.optimizers.SGD(0.5, momentum=0.25), "categorical_crossentropy", metrics=["accuracy"])
    model.save(tmp_path / "m.hdf5")
    size = model.input_shape[1] or 32
    images = np.random.default_rng(0).random((2, size, size, 3), "float32")
    loaded = cai.models.load_kereas_model(tmp_path / "m.hdf5")
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert loaded.optimizer.get_config() == {**model.optimizer.get_config(), "name": loaded.optimizer.name}
    assert len(loaded.losses) == len(model.losses)
    custom = {"CopyChannels": cai.layers.CopyChannels}
    np.testing.assert_allclose(keras.models.load_model(tmp_path / "m.hdf5", custom)(images), model(images), atol=1e-6)


def test_a_keras_file_is_read_too(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        cai.models.load_kereas_model(tmp_path / "m.keras")(np.ones((1, 3))), model(np.ones((1, 3)))
    )
    for missing in ("no.keras", "no.hdf5", "no" * 999):
        with pytest.raises(FileNotFoundError, match="`filename` must be an existing file"):
            cai.models.load_kereas_model(tmp_path / missing)


KERNEL = {"c": {"kernel": np.ones((1, 1, 2, 6), "f4")}}


def convolution(**changes):
    return [image(), entry("Conv2D", "c", ["input_6"], **{**CONVOLUTION, **changes})]


def after(*entries):
    return [*convolution(), *entries]


DOUBLING = [entry("Concatenate", f"x{n}", [f"x{n - 1}" if n else "c"] * 2, axis=-1) for n in range(40)]
REFUSED = {
    "a lambda": (after(entry("Lambda", "l", ["c"], function=["4wEAAAA=", None, None])), "'Lambda' is not on the list"),
    "an operation": (after(entry("TFOpLambda", "l", ["c"], function="math.add")), "'TFOpLambda' is not on the list"),
    "another package": (after(entry("evil>Activation", "l", ["c"], activation="relu")), "is not on the list"),
    "a model inside": (after(entry("Functional", "l", ["c"], layers=[])), "'Functional' is not on the list"),
    "a function": (after(entry("Activation", "l", ["c"], activation="os.system")), "activation 'os.system' is not"),
    "a huge convolution": (convolution(filters=2 * 10**9), "filters=2000000000 is larger than"),
    "a large convolution": (convolution(filters=200_000), "the weights of 'c' are"),
    "many channels": (after(*DOUBLING), "would read an array of shape"),
    "groups that do not divide": (convolution(groups=4), "filters"),
    "channels first": (convolution(data_format="channels_first"), "only channels_last is read"),
    "a constraint": (convolution(kernel_constraint={"class_name": "MaxNorm", "config": {}}), "kernel_constraint"),
    "a regularizer": (convolution(kernel_regularizer={"class_name": "X", "config": {}}), "regularizer 'X' is not"),
    "an object as a number": (convolution(filters={"class_name": "X"}), "no plain value"),
    "an unknown entry": (convolution(on_load="run"), "on_load='run', which is not read"),
    "a policy": (convolution(dtype="int8"), "dtype 'int8'"),
    "a loop": (after(entry("Add", "s", ["t", "c"]), entry("Add", "t", ["s", "c"])), "does not exist, or itself"),
    "a name twice": (after(entry("Negate", "a/b", ["c"]), entry("Negate", "a_b", ["c"])), "two layers are called"),
    "two inputs for one": (after(entry("Negate", "n", ["c", "input_6"])), "reads 2 layers"),
    "an argument": (
        after({**entry("Negate", "n", ["c"]), "inbound_nodes": [[["c", 0, 0, {"y": 2}]]]}),
        "is called with",
    ),
}


@pytest.mark.parametrize("entries, message", REFUSED.values(), ids=REFUSED)
def test_what_is_not_on_the_list_is_refused(tmp_path, entries, message):
    path = write(tmp_path / "m.hdf5", entries, KERNEL)
    with pytest.raises(ValueError, match=r"`path` must be an HDF5 file of a whole model") as caught:
        keras2_models.load_model(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({}, "the weights of 'c' are {}"),
        ({"c": {"kernel": np.ones((1, 1, 4, 6))}}, "and should be (1, 1, 2, 6)"),
        ({"c": {"kernel": np.ones((1, 1, 2, 6)), "bias": np.ones(6)}}, "and should be {'kernel'"),
        ({**KERNEL, "n": {"kernel": np.ones(3)}}, "the weights of 'n' are"),
    ],
)
def test_weights_must_be_complete(tmp_path, arrays, message):
    path = write(tmp_path / "m.hdf5", after(entry("Negate", "n", ["c"])), arrays)
    with pytest.raises(ValueError) as caught:
        keras2_models.load_model(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"loss": "my_loss"}, "the loss 'my_loss' is not on the list"),
        ({"optimizer_config": {"class_name": "Mine", "config": {}}}, "the optimizer 'Mine' is not on the list"),
        ({"optimizer_config": {"class_name": "SGD", "config": {"decay": 0.1}}}, "decay=0.1, which is not read"),
        (
            {"optimizer_config": {"class_name": "SGD", "config": {"learning_rate": {"class_name": "Schedule"}}}},
            "no number",
        ),
        ({"loss_weights": [0.5]}, "weights of losses"),
    ],
)
def test_how_it_was_compiled_must_be_on_the_list(tmp_path, changes, message):
    path = write(tmp_path / "m.hdf5", convolution(), KERNEL, {**TRAINING, **changes})
    with pytest.raises(ValueError) as caught:
        keras2_models.load_model(path)
    assert message in str(caught.value)
    assert not keras2_models.load_model(path, compile=False).compiled


def test_other_files_are_refused(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.save(tmp_path / "s.h5")
    with pytest.raises(ValueError, match="it is a 'Sequential'"):
        keras2_models.load_model(tmp_path / "s.h5")
    cai.models.save_model(keras.Model(model.inputs, model.outputs), tmp_path / "w")
    with pytest.raises(ValueError, match="it has weights only, no architecture"):
        keras2_models.load_model(tmp_path / "w.h5")
    path = write(tmp_path / "m.hdf5", convolution(), KERNEL)
    shutil.copy(path, tmp_path / "n.hdf5")
    with h5py.File(tmp_path / "n.hdf5", "r+") as file:
        file.attrs["model_config"] = "{" * 100_000
    with pytest.raises(ValueError, match="`path` must be an HDF5 file"):
        keras2_models.load_model(tmp_path / "n.hdf5")
    with h5py.File(tmp_path / "n.hdf5", "r+") as file:
        file.attrs["model_config"] = np.zeros(3)
    with pytest.raises(ValueError, match="'model_config' of '/' is not a text"):
        keras2_models.load_model(tmp_path / "n.hdf5")
    content = path.read_bytes()
    (tmp_path / "half.hdf5").write_bytes(content[: len(content) // 2])
    for bad, error in ((tmp_path / "half.hdf5", ValueError), (tmp_path / "no.hdf5", FileNotFoundError), (3, TypeError)):
        with pytest.raises(error):
            keras2_models.load_model(bad)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_must_be_numbers(tmp_path, value):
    path = write(tmp_path / "m.hdf5", convolution(), {"c": {"kernel": np.full((1, 1, 2, 6), value, "f4")}})
    with pytest.raises(ValueError, match="'kernel' of the layer 'c' holds NaN or infinity"):
        keras2_models.load_model(path)


def test_metrics_that_are_not_known_are_left_out_and_an_uncompiled_model_stays_so(tmp_path):
    metrics = [["accuracy", {"class_name": "TopKCategoricalAccuracy", "config": {"k": 5, "name": "top5"}}, "mine"]]
    path = write(tmp_path / "m.hdf5", convolution(), KERNEL, {**TRAINING, "metrics": metrics})
    with pytest.warns(UserWarning, match="A metric that is not known is left out: 'mine'"):
        assert keras2_models.load_model(path).compiled
    path = write(tmp_path / "m.hdf5", convolution(), KERNEL, training=None)
    with pytest.warns(UserWarning, match="does not say how the model was compiled"):
        assert not keras2_models.load_model(path).compiled


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_in_the_model_are_refused(tmp_path, value):
    kernel = np.ones((1, 1, 2, 6))
    kernel.flat[0] = value
    path = write(tmp_path / "m.hdf5", convolution(), {"c": {"kernel": kernel}})
    with pytest.raises(ValueError, match="m.hdf5.*'kernel' of the layer 'c' holds (NaN or infinity|up to 1e)"):
        keras2_models.load_model(path)
