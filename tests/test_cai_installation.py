"""`install` and `uninstall`: what they make importable, what they bridge, and that nothing of it is left."""

import importlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

from kgpc import cai
from kgpc.cai import keras_bridge


@pytest.fixture
def installed():
    """The old names and the bridge, gone afterwards."""
    cai.install()
    yield
    cai.uninstall()


MODULES = [
    "layers",
    "datasets",
    "models",
    "util",
    "densenet",
    "efficientnet",
    "inception_v3",
    "mobilenet",
    "mobilenet_v3",
]


def test_importing_one_module_makes_all_of_them_attributes(root):
    code = f"""
import sys
import kgpc.cai
assert "cai" not in sys.modules
kgpc.cai.install()
import cai.layers
for name in {MODULES!r}:
    assert getattr(cai, name) is sys.modules["cai." + name] is getattr(kgpc.cai, name), name
from cai.util import create_image_generator
import cai.models as models
assert models.load_kereas_model
kgpc.cai.uninstall()
try:
    import cai
except ModuleNotFoundError:
    print("gone")
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=root, check=True, capture_output=True, text=True)
    assert result.stdout == "gone\n"


def test_another_package_of_this_name_comes_back(monkeypatch):
    other = types.ModuleType("cai")
    monkeypatch.setitem(sys.modules, "cai", other)
    cai.install(bridge_keras=False)
    assert importlib.import_module("cai") is cai
    cai.uninstall()
    assert sys.modules["cai"] is other


def test_names_alone_leave_keras_as_it_is():
    fit = keras.Model.fit
    cai.install(bridge_keras=False)
    assert keras.Model.fit is fit
    cai.install()
    assert keras.Model.fit is not fit
    cai.install(bridge_keras=False)
    assert keras.Model.fit is fit
    cai.uninstall()
    with pytest.raises(TypeError, match="`bridge_keras` must be a bool"):
        cai.install(bridge_keras="no")


def tiny():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "categorical_crossentropy")
    return model


def data():
    return np.random.default_rng(0).random((12, 8, 8, 3)).astype("float32"), np.eye(2)[np.arange(12) % 2]


QUEUE = {"workers": 4, "max_queue_size": 7, "use_multiprocessing": True}


def test_arguments_of_the_queue_are_accepted_only_while_it_is_installed():
    model, (x, y) = tiny(), data()
    with pytest.raises((TypeError, ValueError), match="workers"):
        model.fit(x, y, verbose=0, workers=1)
    cai.install()
    try:
        model.fit(x, y, batch_size=4, epochs=1, verbose=0, **QUEUE)
        model.evaluate(x=x, y=y, verbose=0, **QUEUE)
        assert model.predict(x, verbose=0, **QUEUE).shape == (12, 2)
        flow = cai.util.create_image_generator().flow(x, y, batch_size=4, seed=1)
        model.fit(flow, batch_size=4, validation_data=flow, verbose=0, workers=3, max_queue_size=5)
        assert (flow.workers, flow.max_queue_size, flow.use_multiprocessing) == (3, 5, False)
    finally:
        cai.uninstall()
    with pytest.raises((TypeError, ValueError), match="max_queue_size"):
        model.evaluate(x, y, verbose=0, max_queue_size=1)


class Counter(keras.callbacks.Callback):
    """Counts batches of training and of validation."""

    def __init__(self):
        super().__init__()
        self.trained = self.tested = 0

    def on_train_batch_end(self, batch, logs=None):
        self.trained += 1

    def on_test_batch_end(self, batch, logs=None):
        self.tested += 1


@pytest.mark.parametrize("workers", [1, 3])
def test_flows_go_on_for_as_many_steps_as_are_asked_for(installed, workers, recwarn):
    model, (x, y) = tiny(), data()
    flow = cai.util.create_image_generator().flow(x, y, batch_size=5, seed=1)
    fixed = cai.util.create_image_generator_no_augmentation().flow(x, y, batch_size=5, shuffle=False)
    counter = Counter()
    options = {"verbose": 0, "workers": workers}
    model.fit(
        flow,
        epochs=2,
        steps_per_epoch=len(x) / 5 + 2.5,  # 4.9, and the flow has 3
        validation_data=fixed,
        validation_steps=4,
        callbacks=[counter],
        **options,
    )
    assert (counter.trained, counter.tested) == (10, 8)
    assert model.predict(fixed, steps=4, **options).shape == (17, 2)  # 12 and the first 5 again
    assert np.isfinite(model.evaluate(fixed, steps=7, **options))
    assert model.predict(fixed, steps=2, **options).shape == (10, 2)
    assert not [warning for warning in recwarn if "ran out of data" in str(warning.message)]
    with pytest.raises(ValueError, match="`steps_per_epoch` must be a number in"):
        model.fit(flow, steps_per_epoch=0, **options)


def test_a_run_with_the_same_seeds_is_the_same(installed):
    x, y = data()

    def weights():
        keras.utils.set_random_seed(1)
        model = tiny()
        keras.utils.set_random_seed(np.random.SeedSequence().entropy % 2**32)  # what Keras draws by itself
        flow = cai.util.create_image_generator().flow(x, y, batch_size=4, seed=5)
        model.fit(flow, epochs=3, verbose=0, workers=2)
        return model.get_weights()[0]

    np.testing.assert_array_equal(weights(), weights())


def test_checkpoints_may_end_in_hdf5(installed, tmp_path):
    model, (x, y) = tiny(), data()
    paths = [tmp_path / "a.hdf5", tmp_path / "b-{epoch:02d}.h5", tmp_path / "c.keras"]
    callbacks = [keras.callbacks.ModelCheckpoint(path, monitor="loss", period=1) for path in paths]
    assert callbacks[0].filepath == str(paths[0])
    weights_only = keras.callbacks.ModelCheckpoint(str(tmp_path / "d.weights.h5"), save_weights_only=True)
    model.fit(x, y, verbose=0, callbacks=[*callbacks, weights_only], epochs=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["a.hdf5", "b-01.h5", "b-02.h5", "c.keras", "d.weights.h5"]
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "a.hdf5")(x), model(x))
    with pytest.raises(ValueError, match="`period` must be 1"):
        keras.callbacks.ModelCheckpoint("a.hdf5", period=2)


def test_without_the_bridge_keras_refuses_hdf5():
    with pytest.raises(ValueError, match=r"\.keras"):
        keras.callbacks.ModelCheckpoint("a.hdf5")


def test_names_of_2020(installed):
    import keras.utils.np_utils
    import keras_applications
    from keras.preprocessing.image import ImageDataGenerator
    from keras.utils import np_utils

    assert np_utils.to_categorical([1], 2).tolist() == [[0, 1]] and keras.utils.np_utils is np_utils
    from keras.applications.imagenet_utils import _obtain_input_shape
    from keras.layers.core import Dense
    from keras.layers.normalization import BatchNormalization
    from keras.utils.generic_utils import Progbar
    from keras_applications.imagenet_utils import _obtain_input_shape as the_same

    assert keras_applications.inception_v3.InceptionV3 is keras.applications.InceptionV3
    assert (Dense, BatchNormalization) == (keras.layers.Dense, keras.layers.BatchNormalization)
    assert Progbar is keras.utils.Progbar and the_same is _obtain_input_shape
    for optimizer in (keras.optimizers.adam(0.5), keras.optimizers.adam.Adam(learning_rate=0.5)):
        assert type(optimizer) is keras.optimizers.Adam
    assert len(ImageDataGenerator(rescale=1 / 255).flow(data()[0])) == 1
    cai.uninstall()
    assert not hasattr(keras.utils, "np_utils") and not hasattr(keras.optimizers, "adam")
    assert not {"keras_applications", "keras.utils.np_utils", "keras.layers.core"} & set(sys.modules)
    assert not hasattr(keras.layers, "core")
    assert not hasattr(keras.applications.imagenet_utils, "_obtain_input_shape")


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ((None, 299, 75, None, True), (299, 299, 3)),
        ((None, 299, 75, "channels_last", False), (None, None, 3)),
        (([80, None, 1], 299, 75, None, False), (80, None, 1)),
        (((299, 299, 3), 299, 75, None, True, "imagenet"), (299, 299, 3)),
    ],
)
def test_the_input_shape_of_keras_applications(arguments, expected):
    assert keras_bridge.obtain_input_shape(*arguments) == expected


@pytest.mark.parametrize(
    "arguments, message",
    [
        (((74, 80, 3), 299, 75, None, False), "`input_shape` must be .* at least 75 pixels"),
        (((80, 80), 299, 75, None, False), "`input_shape` must be"),
        (((None, 80, 3), 299, 75, None, True), "`input_shape` must be"),
        (((80, 80, 3), 299, 75, None, True, "imagenet"), "`input_shape` must be"),
        ((None, 299, 75, "channels_first", True), "`data_format` must be"),
    ],
)
def test_other_input_shapes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_bridge.obtain_input_shape(*arguments)


def test_modules_below_an_old_name_are_the_same_and_go_with_it(installed):
    for alias, package in {
        "cai.flips": cai,
        "cai.image_generator": cai,
        "keras_applications.inception_v3": keras.applications,
        "keras_applications.imagenet_utils": keras.applications,
    }.items():
        module = importlib.import_module(alias)
        name = alias.partition(".")[2]
        # By the package's own name: in older Keras that is keras.api.applications.
        assert module is sys.modules[f"{package.__name__}.{name}"] is getattr(package, name)
    cai.uninstall()
    assert not [name for name in sys.modules if name.partition(".")[0] in ("cai", "keras_applications")]


def test_what_somebody_else_has_replaced_meanwhile_stays(installed, monkeypatch):
    def theirs(self):
        return None

    monkeypatch.setattr(keras.Model, "fit", theirs)
    cai.uninstall()
    assert keras.Model.fit is theirs
    del keras.Model.fit
    assert "fit" not in vars(keras.Model)
    keras.Model.fit = theirs  # for monkeypatch to undo
