"""The released checkpoints: which one a name stands for, and that nothing but the published content is ever loaded."""

import functools
import pathlib
import shutil

import keras
import numpy as np
import pytest
from keras2_files import layers_of, write_layers

import kgpc
from kgpc import released
from kgpc.applications import DenseNetBC, kDenseNetBC, kEfficientNetB0, kEfficientNetB1, kInceptionV3, kMobileNet

CHECKPOINT = (
    pathlib.Path(__file__).resolve().parents[2]
    / "shared/golden/released_kmobilenet_16ch/JP35B14-mobilenet-CIFAR10-2-best_result.hdf5"
)
needs_checkpoint = pytest.mark.skipif(not CHECKPOINT.is_file(), reason="no released checkpoint is part of the project")
EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
# What is downloaded has a byte at least: Keras 3.8 divides by the length of a file.
CONTENT, CONTENT_BLOB = b"what is up, doc?", "bd9dbf5aae1a3862dd1526723246b20206e5fc37"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that is served in place of GitHub, at the commits that are asked for first, with an empty cache."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setattr(released, "FILE_URL", folder.as_uri() + "/{repository}/{revision}/{path}")
    get_file = functools.partial(keras.utils.get_file, cache_dir=str(tmp_path / "cache"))
    monkeypatch.setattr(keras.utils, "get_file", get_file)
    (tmp_path / "cache").mkdir()

    def publish(run, content, revision=None):
        path = folder / run.repository / (revision or released.COMMITS[run.repository]) / run.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    return publish


def a_run(**changes):
    values = {
        "label": "JP00A00",
        "family": "kMobileNet",
        "scheme": "D6(16)",
        "arguments": {"skip_stride_cnt": -1},
        "dataset": "CIFAR-10",
        "classes": 10,
        "epochs": 50,
        "image_size": "224x224",
        "images": "RGB, [0,1]",
        "repository": "kEffNetV1",
        "path": "raw/k MobileNet/JP00A00.hdf5",
        "blob_id": CONTENT_BLOB,
    }
    return released.Run(**{**values, **changes})


def test_the_list_has_every_published_file_once():
    runs = released.runs()
    blobs = {
        row["git_blob_sha1"] for table in ("", "two_branch_") for row in released._rows(f"{table}released_weights")
    }
    assert len(runs) == len(blobs) and {run.blob_id for run in runs} == blobs
    # They share one folder of the cache, so no two files may have the same name.
    assert len({pathlib.PurePosixPath(run.path).name for run in runs}) == len(runs)
    assert {run.dataset for run in runs} <= set(released.DATASETS.values())
    assert all(run.repository in released.COMMITS and len(run.blob_id) == 40 for run in runs)


def test_a_name_stands_for_one_run_at_most():
    """No model can have two runs with equal claim to a name: they differ in scheme, arguments or epochs."""
    keys = [(run.family, run.scheme, tuple(run.arguments.items()), run.dataset, run.epochs) for run in released.runs()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    "name, family, scheme, arguments, label",
    [
        ("cifar10", "kMobileNet", kgpc.D6(16), {"skip_stride_cnt": -1}, "JP35B14"),
        ("CIFAR-10", "kMobileNet", kgpc.D6(128), {"skip_stride_cnt": -1}, "JP35B18"),
        ("cifar10", "kEffNet-B0", kgpc.D6(16), {"skip_stride_cnt": -1}, "JP30B27"),
        ("cifar10", "kEffNet-B0", kgpc.D6(16), {"skip_stride_cnt": 3}, "JP30B28"),
        # There is a run of 180 epochs too: the name of the dataset means the one of 50.
        ("cifar10", "kEffNet-B0", kgpc.D6v3(32), {"skip_stride_cnt": 3}, "JP30I02"),
        ("JP30I02j", "kEffNet-B0", kgpc.D6v3(32), {"skip_stride_cnt": 3}, "JP30I02j"),
        ("jp30i11", "kEffNet-B0", kgpc.D6v3(8), {"skip_stride_cnt": 3}, "JP30I11"),
        ("cifar100", "kEffNet-B0", kgpc.D6(32), {"skip_stride_cnt": -1}, "JP30E32"),
        ("pets", "kEffNet-B0", kgpc.D6(32), {"skip_stride_cnt": -1}, "JP30D11"),
        ("oxford_iiit_pet", "kMobileNet V3 Large", kgpc.D6(16), {"skip_stride_cnt": -1}, "JP36D02"),
        ("plantdoc", "kMobileNet V3 Large", kgpc.D6(32), {"skip_stride_cnt": -1}, "JP36A01"),
        ("malaria", "kEffNet-B0", kgpc.D6v3(2), {"skip_stride_cnt": -1}, "JP30M04"),
        ("colorectal", "kEffNet-B0", kgpc.D6v3(12), {"skip_stride_cnt": -1}, "JP30N03"),
        ("colorectal_histology", "kEffNet-B0", kgpc.D6v3(16), {"skip_stride_cnt": -1}, "JP30N05"),
        ("cifar10", "DenseNet-BC L100", None, {}, "JP33B15"),
        (
            "plant_village",
            "kInception V3",
            None,
            {"max_mix_idx": 3, "two_paths_first_block": False},
            "Yosuke-Baseline-V4",
        ),
    ],
)
def test_a_name_finds_the_run_that_fits_the_model(name, family, scheme, arguments, label):
    run = released.find(name, family, scheme=scheme, arguments=arguments)
    assert run.label == label and run.family == family and run.scheme == str(scheme)
    assert run.arguments == arguments


def test_two_branch_runs_are_told_apart_by_their_ratio():
    arguments = {"max_mix_idx": 5, "two_paths_first_block": True, "l_ratio": 0.33, "ab_ratio": 0.67}
    for name in ("plant_village", "two-path-inception-v6"):
        assert "False-0.33-" in released.find(name, "kInception V3", arguments=arguments).path
    with pytest.raises(ValueError, match="l_ratio=0.33, ab_ratio=0.67"):
        released.find("two-path-inception-v6", "kInception V3", arguments={**arguments, "l_ratio": 0.25})


@pytest.mark.parametrize("name", ["imagenet", "cifar100", "JP30I02j", ""])
def test_an_unknown_name_lists_the_choices(name):
    with pytest.raises(ValueError, match="No released weights of this name fit the model") as error:
        released.find(name, "kMobileNet", scheme=kgpc.D6(16), arguments={"skip_stride_cnt": -1})
    assert f"weights={name!r} for kMobileNet, scheme=D6(16), skip_stride_cnt=-1" in str(error.value)
    assert "('cifar10')" in str(error.value) and "'JP35B14' (CIFAR-10, 10 classes, 50 epochs" in str(error.value)


def test_a_scheme_without_weights_lists_the_schemes_that_have_some():
    with pytest.raises(ValueError, match=r"scheme=D6\(8\), skip_stride_cnt=-1\.") as error:
        released.find("cifar10", "kMobileNet", scheme=kgpc.D6(8), arguments={"skip_stride_cnt": -1})
    for scheme in ("D6(16)", "D6(32)", "D6(64)", "D6(128)"):
        assert f"kMobileNet, scheme={scheme}, skip_stride_cnt=-1" in str(error.value)


def test_a_dataset_needs_the_strides_of_a_run_and_a_label_warns():
    arguments = {"skip_stride_cnt": 2}
    with pytest.raises(ValueError, match="(?s)'JP30B27'.*'JP30B28'") as error:
        released.find("cifar10", "kEffNet-B0", scheme=kgpc.D6(16), arguments=arguments)
    assert "D6v3" not in str(error.value)
    with pytest.warns(UserWarning, match="were trained with skip_stride_cnt=3. This model differs"):
        released.find("JP30B28", "kEffNet-B0", scheme=kgpc.D6(16), arguments=arguments)


def test_other_classes_are_refused_and_a_model_without_classes_is_not():
    with pytest.raises(ValueError, match="`classes` must be 10 for weights='cifar10'.*Received: classes=1000"):
        released.find("cifar10", "kMobileNet", scheme=kgpc.D6(16), classes=1000)
    assert released.find("cifar10", "kMobileNet", scheme=kgpc.D6(16)).classes == 10


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="`name` must be a str. Received: name=10"):
        released.find(10, "kMobileNet")


def test_git_blob_ids(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert released.git_blob_id(tmp_path / "file") == EMPTY_BLOB
    (tmp_path / "file").write_bytes(CONTENT)
    assert released.git_blob_id(tmp_path / "file") == CONTENT_BLOB


def test_a_file_is_downloaded_once_and_checked_every_time(server):
    run = a_run()
    source = server(run, CONTENT)
    path = released.fetch(run)
    assert path.read_bytes() == CONTENT and path.parts[-3:] == ("models", "kgpc", "JP00A00.hdf5")
    source.unlink()
    assert released.fetch(run) == path
    path.write_bytes(b"damaged later")
    with pytest.raises(ValueError, match=f"is not the published one.*must be {CONTENT_BLOB}.*removed from the cache"):
        released.fetch(run)
    assert not path.exists()
    server(run, CONTENT)
    assert released.fetch(run).read_bytes() == CONTENT


def test_a_wrong_download_does_not_stay_in_the_cache(server, tmp_path):
    run = a_run()
    server(run, b"something else")
    with pytest.raises(ValueError, match="is not the published one"):
        released.fetch(run)
    assert not list((tmp_path / "cache").rglob("*.hdf5"))


def test_the_default_branch_is_asked_where_the_commit_is_not_found(server):
    run = a_run()
    server(run, CONTENT, revision="HEAD")
    assert released.fetch(run).read_bytes() == CONTENT


def test_a_failed_download_says_what_to_do(server):
    with pytest.raises(OSError, match="'JP00A00' could not be downloaded.*pass its path as `weights`.*k%20MobileNet"):
        released.fetch(a_run())


def test_the_addresses_are_on_github():
    url = released.FILE_URL.format(repository="kEffNetV1", revision="HEAD", path="raw/file.hdf5")
    assert url == "https://github.com/joaopauloschuler/kEffNetV1/raw/HEAD/raw/file.hdf5"


def small_model(**arguments):
    return kMobileNet(input_shape=(32, 32, 3), **{"classes": 10, "alpha": 0.25, **arguments})


def test_a_model_loads_by_name(server, monkeypatch, tmp_path):
    trained = small_model()
    path = write_layers(tmp_path / "trained.hdf5", layers_of(trained), "model_weights")
    run = a_run(blob_id=released.git_blob_id(path))
    server(run, path.read_bytes())
    monkeypatch.setattr(released, "runs", lambda: (run,))
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype="float32")
    np.testing.assert_array_equal(small_model(weights="cifar10")(x), trained(x))
    np.testing.assert_array_equal(small_model(weights="JP00A00")(x), trained(x))
    features = small_model(weights="cifar10", include_top=False, pooling="avg", classes=1000)
    expected = keras.Model(trained.input, trained.get_layer("global_average_pooling2d").output)(x)
    np.testing.assert_array_equal(features(x), keras.ops.reshape(expected, (2, -1)))
    with pytest.raises(ValueError, match="`classes` must be 10"):
        small_model(weights="cifar10", classes=11)
    with pytest.raises(ValueError, match="the first layer that differs is 'conv1'"):
        small_model(weights="cifar10", alpha=0.5)


@needs_checkpoint
def test_the_released_checkpoint_loads_by_name_and_only_undamaged(server, tmp_path):
    run = released.find("cifar10", "kMobileNet", scheme=kgpc.D6(16), arguments={"skip_stride_cnt": -1})
    assert released.git_blob_id(CHECKPOINT) == run.blob_id
    source = server(run, CONTENT)
    shutil.copyfile(CHECKPOINT, source)
    by_name = kMobileNet(input_shape=(64, 64, 3), classes=10, weights="cifar10")
    by_path = kMobileNet(input_shape=(64, 64, 3), classes=10, weights=CHECKPOINT)
    for ours, theirs in zip(by_name.weights, by_path.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # One bit in the middle of the arrays: no reader of HDF5 could tell.
    (cached,) = (tmp_path / "cache").rglob("*.hdf5")
    content = bytearray(cached.read_bytes())
    content[len(content) // 4] ^= 1
    cached.write_bytes(content)
    with pytest.raises(ValueError, match="is not the published one"):
        kMobileNet(input_shape=(64, 64, 3), classes=10, weights="cifar10")
    assert not cached.exists()


@pytest.fixture
def fetched(monkeypatch):
    """The runs that models ask for, in place of downloading them."""
    runs = []

    def fetch(run):
        runs.append(run)
        raise OSError("not downloaded")

    monkeypatch.setattr(released, "fetch", fetch)
    return runs


@pytest.mark.parametrize(
    "build, arguments, label",
    [
        (kEfficientNetB0, {"classes": 10, "scheme": [kgpc.D6(16)]}, "JP30B27"),
        (kEfficientNetB0, {"classes": 10, "scheme": kgpc.D6(32), "skip_stride_cnt": 3}, "JP30B28"),
        (kDenseNetBC, {}, "JP33B25"),
        (kDenseNetBC, {"activation": keras.activations.silu}, "JP33B25"),
        (kDenseNetBC, {"scheme": None}, "JP33B15"),
        (DenseNetBC, {}, "JP33B15"),
        (
            kDenseNetBC,
            {
                "scheme": kgpc.Grouped(32),
                "activation": "relu",
                "interleave_transitions": False,
                "relu_before_3x3": True,
            },
            "JP33B15",
        ),
        (kgpc.applications.kMobileNetV3Large, {"classes": 10}, "JP36B12"),
    ],
)
def test_each_family_asks_for_its_own_run(fetched, build, arguments, label):
    with keras.StatelessScope(), pytest.raises(OSError, match="not downloaded"):
        build(input_shape=(32, 32, 3), weights="cifar10", **arguments)
    assert [run.label for run in fetched] == [label]


def test_inception_asks_for_the_run_with_its_branches(fetched):
    arguments = {"scheme": None, "classes": 38, "weights": "plant_village", "input_shape": (75, 75, 3)}
    with pytest.raises(OSError, match="not downloaded"):
        kInceptionV3(max_mix_idx=0, **arguments)
    assert fetched[0].path.endswith("Yosuke-Baseline-V4-0-best-result.hdf5")
    with pytest.raises(ValueError, match="No released weights of this name fit the model"):
        kInceptionV3(max_mix_idx=0, two_paths_first_block=True, **arguments)


@pytest.mark.parametrize(
    "build, arguments",
    [
        (kEfficientNetB1, {}),
        (kEfficientNetB0, {"scheme": None}),
        (kEfficientNetB0, {"scheme": [kgpc.D6(16), kgpc.D6(32)]}),
        (kDenseNetBC, {"depth": 40}),
        (kDenseNetBC, {"transition_scheme": None}),
        (kDenseNetBC, {"scheme": kgpc.Grouped(32)}),
        (kgpc.applications.kMobileNetV3Small, {}),
    ],
)
def test_models_that_were_never_released_say_so(fetched, build, arguments):
    with keras.StatelessScope(), pytest.raises(ValueError, match="No released weights of this name fit the model"):
        build(input_shape=(32, 32, 3), classes=10, weights="cifar10", **arguments)
    assert not fetched


def test_a_name_is_no_file_and_a_file_is_no_name(tmp_path, monkeypatch, fetched):
    monkeypatch.chdir(tmp_path)
    for weights in ("no_such_file.hdf5", "folder/cifar10", tmp_path / "cifar10"):
        with pytest.raises(FileNotFoundError, match="`weights` must be the path of a weight file"):
            small_model(weights=weights)
    with pytest.raises(
        TypeError, match="`weights` must be None, the path of a weight file or a name. Received: weights=3"
    ):
        small_model(weights=3)
    write_layers(tmp_path / "cifar10", layers_of(small_model()))
    small_model(weights="cifar10")
    assert not fetched
