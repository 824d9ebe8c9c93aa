"""Reading Keras 2 weight files: what is in them comes out, and no file, however made, does anything else."""

import pickle

import h5py
import numpy as np
import pytest
from keras2_files import write_layers

from kgpc import keras2_hdf5
from kgpc.keras2_hdf5 import read_keras2_hdf5

KERNEL = np.arange(6, dtype="float32").reshape(2, 3)


@pytest.mark.parametrize("root", [None, "model_weights"])
def test_arrays_come_out_in_the_order_of_the_file(tmp_path, root):
    layers = {
        "b/inner": {"kernel": KERNEL, "bias": np.ones(3, "float16")},
        "pool": {},
        "a": {"depthwise_kernel": KERNEL.astype("float64")},
    }
    found = read_keras2_hdf5(write_layers(tmp_path / "weights.hdf5", layers, root))
    assert [(layer.name, list(layer.arrays)) for layer in found] == [("b/inner", ["kernel", "bias"]), ("a", ["kernel"])]
    for layer in found:
        assert all(array.dtype == "float32" for array in layer.arrays.values())
    np.testing.assert_array_equal(found[0].arrays["kernel"], KERNEL)
    np.testing.assert_array_equal(found[1].arrays["kernel"], KERNEL)


def test_compressed_arrays_and_a_list_of_names_in_parts(tmp_path):
    path = tmp_path / "weights.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a"], [b"b"]
        for name in "ab":
            file.create_group(name).attrs["weight_names"] = [b"kernel:0"]
            file[name].create_dataset("kernel:0", data=np.zeros((64, 64)), compression="gzip", shuffle=True)
    assert [layer.name for layer in read_keras2_hdf5(path)] == ["a", "b"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="`path` must be an existing HDF5 weight file.*nothing.hdf5"):
        read_keras2_hdf5(tmp_path / "nothing.hdf5")
    with pytest.raises(FileNotFoundError, match="existing HDF5 weight file"):
        read_keras2_hdf5(tmp_path)


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("these are not weights\n" * 100, encoding="utf-8")


def zip_archive(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")


def truncated(path):
    write_layers(path, {"a": {"kernel": np.ones((100, 100), "float32")}})
    path.write_bytes(path.read_bytes()[:20_000])


def without_layer_names(path):
    with h5py.File(path, "w") as file:
        file["kernel"] = KERNEL


def edited(edit):
    """A good file with one layer `a`, to which something is done."""

    def make(path):
        write_layers(path, {"a": {"kernel": KERNEL}})
        with h5py.File(path, "r+") as file:
            edit(file)

    return make


def replaced(**dataset):
    """A good file whose only array is replaced by another dataset."""

    def edit(file):
        del file["a/a/kernel:0"]
        file["a/a"].create_dataset("kernel:0", **dataset)

    return edited(edit)


def linked(link):
    def edit(file):
        del file["a/a/kernel:0"]
        file["a/a/kernel:0"] = link

    return edited(edit)


def virtual_dataset(file):
    layout = h5py.VirtualLayout((2, 3), "float32")
    layout[:] = h5py.VirtualSource("elsewhere.hdf5", "kernel", (2, 3))
    del file["a/a/kernel:0"]
    file["a/a"].create_virtual_dataset("kernel:0", layout)


def pickled(file):
    del file["a/a/kernel:0"]
    bytes_type = h5py.vlen_dtype("uint8")
    file["a/a"].create_dataset("kernel:0", (1,), dtype=bytes_type)[0] = np.frombuffer(pickle.dumps(KERNEL), "uint8")


def named_twice(file):
    file.attrs["layer_names"] = [b"a", b"a"]


def two_kernels(file):
    file["a"].attrs["weight_names"] = [b"a/kernel:0", b"a/depthwise_kernel:0"]
    file["a/a/depthwise_kernel:0"] = KERNEL


def set_names(value):
    return edited(lambda file: file.attrs.__setitem__("layer_names", value))


BAD_FILES = {
    "empty": (empty, "the file is empty"),
    "text": (text, "it is not an HDF5 file"),
    "zip archive": (zip_archive, "it is a zip archive"),
    "truncated": (truncated, "truncated"),
    "no layer names": (without_layer_names, "has no attribute 'layer_names'"),
    "layer names are numbers": (set_names([1, 2]), "'layer_names' of '/' is not a list of names"),
    "layer names are one text": (set_names("a"), "'layer_names' of '/' is not a list of names"),
    "layer names are void": (set_names(h5py.Empty("S1")), "'layer_names' of '/' is not a list of names"),
    "layer names are not UTF-8": (set_names([b"\xff\xfe"]), "is not UTF-8"),
    "layer name without layer": (set_names([b"b"]), "has no 'b'"),
    "layer name is empty": (set_names([b""]), "has no ''"),
    "layer name begins at the root": (set_names([b"/a"]), "has no '/a'"),
    "layer name leads out": (set_names([b"../a"]), "has no '../a'"),
    "layer named twice": (edited(named_twice), "a layer name occurs twice"),
    "layer is an array": (
        edited(lambda file: file.attrs.__setitem__("layer_names", [b"a/a/kernel:0"])),
        "is not a group",
    ),
    "no weight names": (
        edited(lambda file: file["a"].attrs.__delitem__("weight_names")),
        "no attribute 'weight_names'",
    ),
    "no array": (edited(lambda file: file["a/a"].__delitem__("kernel:0")), "has no 'a/kernel:0'"),
    "array is a group": (
        edited(lambda file: file["a"].attrs.__setitem__("weight_names", [b"a"])),
        "'a' is not an array",
    ),
    "array is void": (replaced(data=h5py.Empty("float32")), "is not an array"),
    "two kernels": (edited(two_kernels), "two weights called 'kernel'"),
    "text array": (replaced(data=[b"os.system"]), "has elements of type"),
    "object array": (replaced(data=["import os"], dtype=h5py.string_dtype()), "has elements of type object"),
    "pickle": (edited(pickled), "has elements of type object"),
    "structured array": (replaced(data=np.zeros(2, [("kernel", "float32")])), "has elements of type"),
    "integer array": (replaced(data=np.arange(6)), "has elements of type int64"),
    "soft link": (linked(h5py.SoftLink("/a")), "is a link; links are not followed"),
    "external link": (linked(h5py.ExternalLink("elsewhere.hdf5", "/secret")), "is a link; links are not followed"),
    "virtual dataset": (edited(virtual_dataset), "has its numbers in other files"),
    "external storage": (
        replaced(shape=(2, 3), dtype="float32", external=[("elsewhere.bin", 0, 24)]),
        "has its numbers in other files",
    ),
    "other compression": (replaced(data=np.zeros((64, 64)), compression="lzf"), "other filters than gzip"),
    "huge shape": (replaced(shape=(2**20, 2**20), dtype="float32"), "more than 536870912 numbers"),
    "large shape, no bytes": (replaced(shape=(2**14, 2**14), dtype="float32"), "does not fit in the 0 bytes"),
    "large compressed shape, no bytes": (
        replaced(shape=(2**14, 2**14), dtype="float32", chunks=(64, 64), compression="gzip"),
        "does not fit in the 0 bytes",
    ),
    "huge chunk": (
        replaced(shape=(1,), maxshape=(None,), chunks=(2**29 + 1,), dtype="float32"),
        "more than 536870912 numbers",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_a_reason(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    # What links and external storage point to exists, so that only refusing to follow them can fail.
    with h5py.File("elsewhere.hdf5", "w") as elsewhere:
        elsewhere["secret"] = elsewhere["kernel"] = KERNEL
    (tmp_path / "elsewhere.bin").write_bytes(KERNEL.tobytes())
    make, reason = BAD_FILES[name]
    path = tmp_path / "weights.hdf5"
    make(path)
    with pytest.raises(ValueError, match="`path` must be an undamaged HDF5 weight file") as error:
        read_keras2_hdf5(path)
    assert reason in str(error.value) and "weights.hdf5" in str(error.value)


def test_a_link_to_the_group_of_all_layers_is_not_followed(tmp_path):
    write_layers(tmp_path / "elsewhere.hdf5", {"a": {"kernel": KERNEL}})
    with h5py.File(tmp_path / "weights.hdf5", "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(tmp_path / "elsewhere.hdf5"), "/")
    with pytest.raises(ValueError, match="is a link; links are not followed"):
        read_keras2_hdf5(tmp_path / "weights.hdf5")


def test_the_same_large_array_under_many_names_counts_every_time(tmp_path, monkeypatch):
    monkeypatch.setattr(keras2_hdf5, "MAX_NUMBERS", 20)
    path = write_layers(tmp_path / "weights.hdf5", {name: {"kernel": KERNEL} for name in "abc"})
    assert len(read_keras2_hdf5(path)) == 3
    path = write_layers(tmp_path / "weights.hdf5", {name: {"kernel": KERNEL} for name in "abcd"})
    with pytest.raises(ValueError, match="more than 20 numbers"):
        read_keras2_hdf5(path)


def test_a_file_cut_short_anywhere_or_with_a_hole_is_refused_or_read(tmp_path):
    good = write_layers(tmp_path / "good.hdf5", {name: {"kernel": KERNEL, "bias": KERNEL[0]} for name in "abcd"})
    content, damaged = good.read_bytes(), tmp_path / "damaged.hdf5"
    for start in range(0, len(content), 256):
        damaged.write_bytes(content[:start])
        with pytest.raises(ValueError, match="`path` must be an undamaged HDF5 weight file"):
            read_keras2_hdf5(damaged)
    refused = 0
    for start in range(0, len(content), 256):
        damaged.write_bytes(content[:start] + bytes(256) + content[start + 256 :])
        try:
            # Where the hole is in the numbers, nothing in the file says so.
            assert [layer.name for layer in read_keras2_hdf5(damaged)] == list("abcd")
        except ValueError:
            refused += 1
    assert refused > 10
