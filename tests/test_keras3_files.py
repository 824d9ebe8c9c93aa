"""Weight files of Keras 3, `.weights.h5` and `.keras`: what Keras writes loads, and what does not fit loads nothing."""

import pathlib
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers
from keras2_files import layers_of, write_layers

import kgpc
from kgpc import applications, weights

SUFFIXES = [".weights.h5", ".keras"]


def network(names=("a", "b", "bn", "c"), top=True, width=4):
    """Two convolutions of one shape, a normalization, and a classifier."""
    x = inputs = keras.Input((6, 6, 4))
    x = layers.Conv2D(width, 1, name=names[0])(x)
    x = layers.Conv2D(width, 1, name=names[1])(x)
    x = layers.BatchNormalization(name=names[2])(x)
    x = layers.GlobalAveragePooling2D()(x)
    if top:
        x = layers.Dropout(0.5)(x)
        x = layers.Dense(3, name=names[3])(x)
    return keras.Model(inputs, x, name="network")


def filled(model, seed=0):
    """All weights different and above 0."""
    random = np.random.default_rng(seed)
    model.set_weights([random.uniform(0.5, 1.5, weight.shape).astype("float32") for weight in model.weights])
    return model


def save(model, path):
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)
    return path


def assert_same(actual, expected):
    for ours, theirs in zip(actual.weights, expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def refused(model, path, message, error=ValueError, **options):
    before = model.get_weights()
    with pytest.raises(error, match=message) as raised:
        weights.load(model, path, **options)
    assert path.name in str(raised.value)
    assert_same(model, before)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A trained network as files of each kind, and its weights."""
    folder = tmp_path_factory.mktemp("files")
    model = filled(network())
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    paths = {suffix: save(model, folder / f"trained{suffix}") for suffix in SUFFIXES}
    paths[".hdf5"] = write_layers(folder / "trained.hdf5", layers_of(model))
    return paths, model.get_weights()


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".hdf5"])
@pytest.mark.parametrize("called", ["trained", "trained.h5", "trained.weights.h5", "trained.hdf5", "trained.keras"])
def test_the_content_says_what_a_file_is(files, tmp_path, suffix, called):
    paths, expected = files
    shutil.copyfile(paths[suffix], tmp_path / called)
    assert_same(weights.load(network(), tmp_path / called), expected)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_automatic_names_in_the_file_are_matched_by_class_and_number(tmp_path, suffix):
    model = filled(network((None,) * 4))
    path = save(model, tmp_path / f"automatic{suffix}")
    assert_same(weights.load(network(), path), model.get_weights())
    assert_same(weights.load(network((None,) * 4), path), model.get_weights())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: network(("b", "a", "bn", "c")), "layer that differs is '[ab]'. The file has '[ab]' in its place"),
        (lambda: network(("a", "x", "bn", "c")), "layer that differs is 'x'. The file has 'b' in its place"),
        (lambda: network(width=5), r"differs is 'a'. Model, in order: Conv2D with kernel \(1, 1, 4, 5\), bias \(5,\)"),
        (lambda: network(top=False), "layer that differs is 'c' of the file, which 'network' does not have"),
        (
            lambda: keras.Sequential([keras.Input((6, 6, 4)), layers.DepthwiseConv2D(1, name="d")]),
            "layer that differs is 'd', which the file does not have. Model: DepthwiseConv2D with bias",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_loaded(files, suffix, build, message):
    paths, _ = files
    refused(build(), paths[suffix], f"The file does not fit the model: .*{message}.* Nothing was loaded")


def test_without_the_top_the_classifier_is_left_out(files):
    paths, expected = files
    for path in paths.values():
        model = weights.load(network(top=False), path, include_top=False)
        assert_same(model, expected[: len(model.weights)])


def test_without_the_top_nothing_else_may_be_left_over(files, tmp_path):
    paths, _ = files
    for suffix in SUFFIXES:
        model = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(4, 1, name="b")])
        refused(model, paths[suffix], "differs is 'b'. The file has 'a'", include_top=False)
    path = tmp_path / "again.weights.h5"
    shutil.copyfile(paths[".weights.h5"], path)
    with h5py.File(path, "r+") as file:
        file["layers/dense/vars"].attrs["name"] = "a"
    refused(network(top=False), path, "differs is 'a' of the file", include_top=False)


def with_value(value, weight="kernel", dtype="float64"):
    def change(model):
        stored = layers_of(model)
        layer = "bn" if weight.startswith("moving") else "b"
        stored[layer][weight] = stored[layer][weight].astype(dtype)
        stored[layer][weight].flat[0] = value
        return stored

    return change


@pytest.mark.parametrize("keras3", [True, False])
@pytest.mark.parametrize(
    "value, weight, message",
    [
        (np.nan, "kernel", "'kernel' of the layer 'b' holds NaN or infinity in 1 of 16 places"),
        (np.inf, "bias", "'bias' of the layer 'b' holds NaN or infinity in 1 of 4 places"),
        (-np.inf, "moving_mean", "'moving_mean' of the layer 'bn' holds NaN or infinity"),
        (1e300, "kernel", r"'kernel' of the layer 'b' holds up to 1e\+300, too much for float32"),
        (-1e-3, "moving_variance", "'moving_variance' of the layer 'bn' holds negative variances"),
    ],
)
def test_values_that_a_model_cannot_use_are_refused(tmp_path, keras3, value, weight, message):
    stored = with_value(value, weight)(filled(network()))
    path = tmp_path / "odd.weights.h5"
    if keras3:
        save(filled(network()), path)
        place = {"b": "conv2d_1", "bn": "batch_normalization"}
        layer = "bn" if weight.startswith("moving") else "b"
        number = list(stored[layer]).index(weight)
        with h5py.File(path, "r+") as file:
            del file[f"layers/{place[layer]}/vars/{number}"]
            file[f"layers/{place[layer]}/vars/{number}"] = stored[layer][weight]
    else:
        write_layers(path, stored)
    refused(filled(network(), seed=1), path, message)


@pytest.mark.parametrize("policy, value", [("float16", 70_000.0), ("float16", -1e5), ("bfloat16", 3.4e38)])
def test_values_that_overflow_in_the_type_of_the_model_are_refused(tmp_path, policy, value):
    path = write_layers(tmp_path / "large.hdf5", with_value(value, dtype="float32")(filled(network())))
    weights.load(network(), path)
    keras.config.set_dtype_policy(policy)
    try:
        model = network()
    finally:
        keras.config.set_dtype_policy("float32")
    refused(model, path, f"too much for {policy}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_model_in_bfloat16_loads(tmp_path, suffix):
    keras.config.set_dtype_policy("bfloat16")
    try:
        trained, model = network(), network()
    finally:
        keras.config.set_dtype_policy("float32")
    filled(trained)
    path = save(trained, tmp_path / f"trained{suffix}")
    expected = [np.asarray(value, "float32") for value in trained.get_weights()]
    for target in (model, network()):
        weights.load(target, path)
        for weight, value in zip(target.get_weights(), expected, strict=True):
            np.testing.assert_array_equal(np.asarray(weight, "float32"), value)


FAMILIES = [
    (applications.kMobileNet, {"alpha": 0.25}),
    (applications.kMobileNetV3Small, {"alpha": 0.35, "scheme": kgpc.Grouped(16)}),
    (applications.kEfficientNetB0, {"width": 0.25, "depth": 0.3, "scheme": [kgpc.D6(16), None]}),
    (applications.kDenseNetBC, {"depth": 10}),
    (applications.kInceptionV3, {"alpha": 0.1, "max_mix_idx": 3, "input_shape": (75, 75, 3)}),
]


@pytest.mark.parametrize("constructor, arguments", FAMILIES)
def test_what_keras_writes_of_each_family_loads(tmp_path, constructor, arguments):
    arguments = {"input_shape": (32, 32, 3), "classes": 3, **arguments}
    trained = filled(constructor(**arguments))
    path = save(trained, tmp_path / "trained.weights.h5")
    assert_same(constructor(**arguments, weights=path), trained.get_weights())
    # Keras itself loads the same.
    model = constructor(**arguments)
    model.load_weights(path)
    assert_same(model, trained.get_weights())
    features = constructor(**arguments, weights=path, include_top=False, pooling="avg")
    assert_same(features, [weight.numpy() for weight in trained.weights][: len(features.weights)])


class Scaled(layers.Conv2D):
    """A subclass that computes something else with the same weights."""

    def call(self, inputs):
        return 3 * super().call(inputs)


class Pair(layers.Layer):
    """A layer of two layers."""

    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.second = layers.Dense(4, name="first"), layers.Dense(4, name="second")

    def call(self, inputs):
        return self.second(self.first(inputs))


def nested():
    inner = keras.Sequential([keras.Input((6, 6, 4)), layers.Conv2D(4, 1, name="a"), layers.BatchNormalization()])
    shared = layers.Conv2D(4, 1, name="shared")
    x = inputs = keras.Input((6, 6, 4))
    x = shared(inner(shared(x)))
    x = Scaled(4, 1, name="scaled")(x)
    normalization = layers.Normalization(name="normalization")
    return keras.Model(inputs, layers.Add()([normalization(x), inner(x)]))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nested_models_shared_layers_and_subclasses_load_as_keras_stores_them(tmp_path, suffix):
    trained = nested()
    values = [np.full(weight.shape, 1.0 + index, weight.dtype) for index, weight in enumerate(trained.weights)]
    trained.set_weights(values)
    path = save(trained, tmp_path / f"nested{suffix}")
    assert_same(weights.load(nested(), path), values)


def test_layers_of_layers_are_refused_by_name(tmp_path):
    """Keras 2 files do not tell apart what is inside; of Keras 3 files nothing is known about such places."""
    model = nested()
    path = write_layers(tmp_path / "nested.hdf5", {"any": {"kernel": np.ones((1, 1))}})
    refused(model, path, "The layer 'sequential.*' .Sequential. of .* consists of other layers")
    model = keras.Sequential([keras.Input((4,)), Pair(name="pair")])
    refused(model, path, "The layer 'pair' .Pair. of .* consists of other layers")
    path = save(model, tmp_path / "pair.weights.h5")
    refused(model, path, "The layer 'pair' .Pair. consists of other layers")


def test_a_subclass_is_matched_by_its_own_name_alone(tmp_path):
    """What an automatic name stands for is known for exact types."""
    arrays = {"kernel": np.ones((1, 1, 4, 4)), "bias": np.ones(4)}
    model = keras.Sequential([keras.Input((6, 6, 4)), Scaled(4, 1, name="scaled")])
    refused(
        model, write_layers(tmp_path / "a.hdf5", {"conv2d_3": arrays}), "differs is 'scaled', which the file does not"
    )
    weights.load(model, write_layers(tmp_path / "b.hdf5", {"scaled": arrays}))
    assert_same(model, list(arrays.values()))


def archive(path, content, compression=zipfile.ZIP_STORED, name="model.weights.h5", times=1):
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("config.json", "{not even JSON")
        for _ in range(times):
            file.writestr(name, content)
    return path


def test_the_configuration_in_an_archive_is_not_looked_at(files, tmp_path):
    paths, expected = files
    content = zipfile.ZipFile(paths[".keras"]).read("model.weights.h5")
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = archive(tmp_path / "other.keras", content, compression)
        assert_same(weights.load(network(), path), expected)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "options, message",
    [
        ({"content": b""}, "damaged weight file.*trained.keras"),
        ({"content": b"not HDF5"}, "damaged weight file.*trained.keras"),
        ({"content": b"", "name": "model.weights.npz"}, "has 0 files called 'model.weights.h5'"),
        ({"content": b"", "times": 2}, "has 2 files called 'model.weights.h5'"),
        ({"content": b"", "compression": zipfile.ZIP_BZIP2}, "compressed in a way that Keras does not use"),
        ({"content": bytes(2**25), "compression": zipfile.ZIP_DEFLATED}, "unpacks to more than 16[0-9]+ bytes"),
    ],
)
def test_a_damaged_or_foreign_archive_is_refused(tmp_path, options, message):
    refused(network(), archive(tmp_path / "trained.keras", **options), message)


def test_a_cut_archive_and_one_with_a_wrong_checksum_are_refused(files, tmp_path):
    paths, _ = files
    content = paths[".keras"].read_bytes()
    hole = content.index(b"\x89HDF") + 3000
    for changed in (
        content[:-30],
        content[: len(content) // 2],
        content[:hole] + b"\xff" * 300 + content[hole + 300 :],
    ):
        (tmp_path / "cut.keras").write_bytes(changed)
        refused(network(), tmp_path / "cut.keras", "`path` must be an undamaged weight file.*Nothing was loaded")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "the file is empty"),
        (b"weights", "neither an HDF5 file nor a `.keras` archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\n<!DOCTYPE html><html>", "a web page"),
    ],
)
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".hdf5"])
def test_foreign_files_are_called_what_they_are(tmp_path, content, message, suffix):
    path = tmp_path / f"foreign{suffix}"
    path.write_bytes(content)
    refused(network(), path, message)
    with pytest.raises(ValueError, match="`weights` must be an undamaged weight file.*foreign"):
        applications.kMobileNet(input_shape=(32, 32, 3), alpha=0.25, weights=path)


def edited(path, edit):
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def moved(link):
    def edit(file):
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars/0"] = link

    return edit


def replaced(**options):
    def edit(file):
        del file["layers/conv2d/vars/0"]
        file["layers/conv2d/vars"].create_dataset("0", **options)

    return edit


def virtual(file):
    layout = h5py.VirtualLayout((1, 1, 4, 4), "float32")
    layout[:] = h5py.VirtualSource("elsewhere.hdf5", "kernel", (1, 1, 4, 4))
    del file["layers/conv2d/vars/0"]
    file["layers/conv2d/vars"].create_virtual_dataset("0", layout)


EDITS = {
    "soft link": (moved(h5py.SoftLink("/layers/conv2d_1/vars/0")), "is a link; links are not followed"),
    "external link": (moved(h5py.ExternalLink("elsewhere.hdf5", "/kernel")), "is a link; links are not followed"),
    "virtual": (virtual, "has its numbers in other files"),
    "external storage": (
        replaced(shape=(1, 1, 4, 4), dtype="float32", external=[("elsewhere.bin", 0, 64)]),
        "has its numbers in other files",
    ),
    "references": (
        replaced(data=np.full((1, 1, 4, 4), None), dtype=h5py.ref_dtype),
        "has elements of type object",
    ),
    "integers": (replaced(data=np.ones((1, 1, 4, 4), "int32")), "'kernel' of the layer 'a' is float32 in the model"),
    "complex": (replaced(data=np.ones((1, 1, 4, 4), "complex64")), "has elements of type complex64"),
    "group": (lambda file: moved(file["layers/conv2d_1"])(file), "is not an array"),
    "zeros without end": (
        replaced(shape=(2**14, 2**14), dtype="float32", chunks=(64, 64), compression="gzip"),
        "does not fit in the 0 bytes",
    ),
    "many zeros": (replaced(data=np.zeros((2000, 500)), compression="gzip"), r"File, in order: 0 \(2000, 500\)"),
    "layers are an array": (
        lambda file: (file.move("layers", "old"), file.__setitem__("layers", [1.0])),
        "'layers' is not a group",
    ),
    "a group in itself": (lambda file: file["layers"].__setitem__("again", file["layers"]), "without end"),
    "numbers of the model itself": (
        lambda file: file["vars"].__setitem__("0", np.ones(3)),
        "differs is 'network' of the file",
    ),
    "one array more": (
        lambda file: file["layers/conv2d/vars"].__setitem__("2", np.ones(3)),
        r"File, in order: 0 \(1, 1, 4, 4\), 1 \(4,\), 2 \(3,\)",
    ),
    "one array less": (lambda file: file["layers/conv2d/vars"].__delitem__("1"), r"File, in order: 0 \(1, 1, 4, 4\)\."),
    "other number": (lambda file: file.move("layers/conv2d/vars/1", "layers/conv2d/vars/7"), "File, in order: 0"),
    "a layer more": (
        lambda file: file.create_group("layers/conv2d_2/vars").__setitem__("0", np.ones(3)),
        "differs is 'layers/conv2d_2' of the file",
    ),
    "a layer less": (
        lambda file: file["layers"].__delitem__("conv2d_1"),
        "differs is 'b', which the file does not have",
    ),
    "name is a number": (
        lambda file: file["layers/conv2d/vars"].attrs.__setitem__("name", 3),
        "attribute 'name' of .* is not a text",
    ),
    "name is not UTF-8": (
        lambda file: file["layers/conv2d/vars"].attrs.__setitem__("name", np.bytes_(b"\xff\xfe")),
        "is not UTF-8",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_with_something_else_in_it_is_refused(files, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with h5py.File("elsewhere.hdf5", "w") as elsewhere:
        elsewhere["kernel"] = np.ones((1, 1, 4, 4), "float32")
    pathlib.Path("elsewhere.bin").write_bytes(np.ones(16, "float32").tobytes())
    paths, _ = files
    shutil.copyfile(paths[".weights.h5"], tmp_path / "edited.weights.h5")
    edit, message = EDITS[name]
    refused(network(), edited(tmp_path / "edited.weights.h5", edit), message)
    with zipfile.ZipFile(tmp_path / "edited.keras", "w") as file:
        file.write(tmp_path / "edited.weights.h5", "model.weights.h5")
    refused(network(), tmp_path / "edited.keras", message)


@pytest.mark.parametrize("wrong", ["length", "length and place"])
def test_a_name_that_claims_gigabytes_is_not_read(files, tmp_path, wrong):
    """HDF5 takes the memory that a name claims before it looks where the name is."""
    paths, _ = files
    path = tmp_path / "long.weights.h5"
    content = paths[".weights.h5"].read_bytes()
    heap = content.index(b"GCOL").to_bytes(8, "little")
    claim = content.index((1).to_bytes(4, "little") + heap)
    changed = bytearray(content)
    changed[claim : claim + 4] = (2**32 - 1).to_bytes(4, "little")
    if wrong != "length":
        changed[claim + 4 : claim + 12] = (2**40).to_bytes(8, "little")
    path.write_bytes(changed)
    refused(network(), path, "attribute 'name' of .* claims more than 10000 bytes")


def test_the_optimizer_and_names_that_are_missing_do_not_matter(files, tmp_path):
    paths, expected = files
    path = tmp_path / "older.weights.h5"
    shutil.copyfile(paths[".weights.h5"], path)
    with h5py.File(path, "r+") as file:
        # As before Keras 3.6.
        file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
        del file["optimizer/vars/2"]
        file["optimizer/vars/2"] = h5py.SoftLink("/layers")
    assert_same(weights.load(network(), path), expected)


def test_a_folder_and_a_pipe_in_place_of_a_file_are_refused_at_once(tmp_path, make_pipe):
    (tmp_path / "folder.keras").mkdir()
    make_pipe(tmp_path / "pipe.weights.h5")
    for name, kind in (("folder.keras", "a folder"), ("pipe.weights.h5", "no ordinary file"), ("x.keras", "not there")):
        refused(network(), tmp_path / name, f"`path` must be the path of a weight file.*is {kind}", FileNotFoundError)
        with pytest.raises(FileNotFoundError, match=f"`weights` must be the path of a weight file.*is {kind}"):
            applications.kMobileNet(input_shape=(32, 32, 3), weights=tmp_path / name)


@pytest.fixture
def make_pipe():
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    return os.mkfifo


def test_odd_arguments_are_named(files):
    paths, _ = files
    for path in (None, 3, b"file", ["file"]):
        with pytest.raises(TypeError, match="`path` must be a path. Received: path="):
            weights.load(network(), path)
    with pytest.raises(TypeError, match="`include_top` must be True or False. Received: include_top='no'"):
        weights.load(network(), paths[".keras"], include_top="no")


def test_quantized_and_adapted_layers_are_refused_by_name(tmp_path):
    """LoRA stores the sum of the kernel and what it adds: no weight of the layer."""
    model = network()
    model.get_layer("c").enable_lora(2)
    path = save(filled(network()), tmp_path / "trained.weights.h5")
    refused(model, path, "The layer 'c' .Dense. consists of other layers or stores something else than its weights")


def test_what_is_random_stays_the_models_own(files):
    paths, _ = files
    model = network()
    before = [variable.numpy() for variable in model.variables if "seed" in variable.path]
    weights.load(model, paths[".keras"])
    after = [variable.numpy() for variable in model.variables if "seed" in variable.path]
    np.testing.assert_array_equal(before, after)
    assert before
