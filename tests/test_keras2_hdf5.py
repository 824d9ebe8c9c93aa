"""Reading Keras 2 weight files: what is in them comes out, and no file, however made, does anything else."""

import pickle
import time
import zlib

import h5py
import keras
import numpy as np
import pytest
from keras2_files import write_layers

from kgpc import hdf5, keras2_hdf5, weights

KERNEL = np.arange(6, dtype="float32").reshape(2, 3)


def read(path):
    """{layer: {kind of weight: array}} of a file."""
    with hdf5.opened(path) as file:
        layers = keras2_hdf5.stored_layers(file)
        return {layer.name: {kind: array.read() for kind, array in layer.arrays.items()} for layer in layers}


@pytest.fixture(scope="module")
def model():
    """A model that a file with one layer `a` and its kernel fits."""
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, use_bias=False, name="a")])


@pytest.mark.parametrize("root", [None, "model_weights"])
def test_arrays_come_out_in_the_order_of_the_file(tmp_path, root):
    layers = {
        "b/inner": {"kernel": KERNEL, "bias": np.ones(3, "float16")},
        "pool": {},
        "a": {"depthwise_kernel": KERNEL.astype("float64")},
    }
    found = read(write_layers(tmp_path / "weights.hdf5", layers, root))
    assert [(name, list(arrays)) for name, arrays in found.items()] == [
        ("b/inner", ["kernel", "bias"]),
        ("a", ["kernel"]),
    ]
    np.testing.assert_array_equal(found["b/inner"]["kernel"], KERNEL)
    np.testing.assert_array_equal(found["a"]["kernel"], KERNEL)
    assert found["b/inner"]["bias"].dtype == "float16" and found["a"]["kernel"].dtype == "float64"


def test_compressed_arrays_and_a_list_of_names_in_parts(tmp_path):
    path = tmp_path / "weights.hdf5"
    values = np.random.default_rng(0).integers(0, 9, (64, 64)).astype("float32")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names0"], file.attrs["layer_names1"] = [b"a"], [b"b"]
        for name in "ab":
            file.create_group(name).attrs["weight_names"] = [b"kernel:0"]
            options = {"compression": "gzip", "shuffle": True, "fletcher32": name == "b", "chunks": (48, 40)}
            file[name].create_dataset("kernel:0", data=values, **options)
    found = read(path)
    assert list(found) == ["a", "b"]
    for arrays in found.values():
        np.testing.assert_array_equal(arrays["kernel"], values)


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
    "text": (text, "it is neither an HDF5 file nor a `.keras` archive"),
    "zip archive": (zip_archive, "the archive has 0 files called 'model.weights.h5'"),
    "truncated": (truncated, "truncated"),
    "no layer names": (without_layer_names, "it has neither `layer_names`, as weight files of Keras 2, nor `layers`"),
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
    "other compression": (replaced(data=np.zeros((64, 64)), compression="lzf"), "in another way than once by gzip"),
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
def test_a_bad_file_is_refused_with_a_reason(tmp_path, monkeypatch, model, name):
    monkeypatch.chdir(tmp_path)
    # What links and external storage point to exists, so that only refusing to follow them can fail.
    with h5py.File("elsewhere.hdf5", "w") as elsewhere:
        elsewhere["secret"] = elsewhere["kernel"] = KERNEL
    (tmp_path / "elsewhere.bin").write_bytes(KERNEL.tobytes())
    make, reason = BAD_FILES[name]
    path = tmp_path / "weights.hdf5"
    make(path)
    before = model.get_weights()
    with pytest.raises(ValueError, match="`path` must be an undamaged weight file") as error:
        weights.load(model, path)
    assert reason in str(error.value) and "weights.hdf5" in str(error.value)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_a_link_to_the_group_of_all_layers_is_not_followed(tmp_path, model):
    write_layers(tmp_path / "elsewhere.hdf5", {"a": {"kernel": KERNEL}})
    with h5py.File(tmp_path / "weights.hdf5", "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(tmp_path / "elsewhere.hdf5"), "/")
    with pytest.raises(ValueError, match="is a link; links are not followed"):
        weights.load(model, tmp_path / "weights.hdf5")


def test_the_same_large_array_under_many_names_counts_every_time(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "MAX_NUMBERS", 20)
    path = write_layers(tmp_path / "weights.hdf5", {name: {"kernel": KERNEL} for name in "abc"})
    assert len(read(path)) == 3
    path = write_layers(tmp_path / "weights.hdf5", {name: {"kernel": KERNEL} for name in "abcd"})
    with pytest.raises(ValueError, match="more than 20 numbers"):
        read(path)


def test_names_that_links_multiply_are_not_all_looked_at(tmp_path, model, monkeypatch):
    """A few links to one group make many layers of many weights each."""
    looked_at = []
    stored_array = hdf5.stored_array
    monkeypatch.setattr(
        hdf5, "stored_array", lambda *given, **kinds: looked_at.append(0) or stored_array(*given, **kinds)
    )
    for keras3 in (False, True):
        with h5py.File(tmp_path / "weights.hdf5", "w") as file:
            root = file.create_group("layers") if keras3 else file
            group = root.create_group("a")
            kinds = [f"k{index}:0" for index in range(300)]
            for kind in kinds:
                group.create_group("vars") if keras3 and "vars" not in group else None
                (group["vars"] if keras3 else group)[kind] = np.ones(1, "float32")
            group.attrs["weight_names"] = [kind.encode() for kind in kinds]
            for index in range(300):
                root[f"a{index}"] = group
            if not keras3:
                file.attrs["layer_names"] = [f"a{index}".encode() for index in range(300)]
        with pytest.raises(ValueError, match="it has more than 2010 names"):
            weights.load(model, tmp_path / "weights.hdf5")
    assert len(looked_at) < 2 * 2010


# As h5py writes it: version, sizes of addresses and lengths, base address 0.
BEGINNING = b"\x89HDF\r\n\x1a\n" + bytes(5) + b"\x08\x08" + bytes(81)


def heap(*records, size=None):
    """A heap of names: header, then records (number, content), then free space."""
    body = b""
    for number, content in records:
        body += number.to_bytes(2, "little") + bytes(6) + len(content).to_bytes(8, "little")
        body += content + bytes(-len(content) % 8)
    return b"GCOL\1\0\0\0" + (len(body) + 16 if size is None else size).to_bytes(8, "little") + body


def test_records_of_names_are_looked_at_once_however_many_heaps_claim_them():
    """Each of the heaps claims all that follow it: looking through them one by one would take their number squared."""
    inner = heap((1, bytes(8)))
    count = 20_000
    nested = b"".join(heap((1, b"x" * 24), size=len(inner) * 2 * (count - index)) for index in range(count))
    honest = b"".join(heap((1, b"abc"), (2, b"defghijkl")) for _ in range(count))
    hdf5._check_heaps(BEGINNING + honest)
    looked_at = []

    class Counting(bytes):
        def __getitem__(self, key):
            looked_at.append(key)
            return super().__getitem__(key)

    with pytest.raises(ValueError, match="the names in it are damaged"):
        hdf5._check_heaps(Counting(BEGINNING + nested))
    # Two pieces of each record and one of each heap, of which there are no more than fit in the file.
    assert len(looked_at) <= 3 * len(nested) // 8


@pytest.mark.parametrize("record", [(0, bytes(0)), (1, bytes(10**6))])
def test_a_damaged_heap_of_names_is_refused(record):
    number, content = record
    damaged = heap((5, b"name")) + heap(size=64) + number.to_bytes(2, "little") + bytes(6)
    damaged += len(content).to_bytes(8, "little") + bytes(32)
    with pytest.raises(ValueError, match="the names in it are damaged"):
        hdf5._check_heaps(BEGINNING + damaged)


@pytest.mark.parametrize("keras3", [False, True])
def test_free_space_that_comes_back_to_itself_is_refused(tmp_path, model, keras3):
    """In the heap with the names of a group, each free block names the next one; HDF5 would follow them for ever."""
    path = tmp_path / "weights.weights.h5"
    model.save_weights(path) if keras3 else write_layers(path, {"a": {"kernel": KERNEL}})
    content = bytearray(path.read_bytes())
    start = content.find(b"HEAP\0")
    changed = 0
    while start >= 0:
        free, address = (int.from_bytes(content[start + at : start + at + 8], "little") for at in (16, 24))
        if free != 1:
            content[address + free : address + free + 8] = free.to_bytes(8, "little")
            changed += 1
        start = content.find(b"HEAP\0", start + 1)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="the names in it are damaged"):
        weights.load(model, path)
    assert changed


@pytest.mark.parametrize(
    "position, value",
    [(0, 0), (8, 7), (13, 4), (14, 4), (24, 1)],
    ids=["signature", "version", "address", "length", "base"],
)
def test_another_beginning_is_refused(position, value):
    changed = bytearray(BEGINNING)
    changed[position] = value
    hdf5._check_heaps(BEGINNING)
    with pytest.raises(ValueError, match="its beginning is not that of a HDF5 file of Keras"):
        hdf5._check_heaps(bytes(changed))


def test_a_compressed_index_is_refused():
    hdf5._check_heaps(BEGINNING + b"FRHP\0" + (8).to_bytes(2, "little") + bytes(20))
    with pytest.raises(ValueError, match="an index in it is compressed"):
        hdf5._check_heaps(BEGINNING + b"FRHP\0" + (8).to_bytes(2, "little") + (4).to_bytes(2, "little") + bytes(20))


def test_a_chunk_that_unpacks_to_more_than_it_holds_is_not_unpacked(tmp_path):
    path = tmp_path / "weights.hdf5"
    options = {"chunks": (64, 64), "compression": "gzip", "dtype": "float32"}
    bombs = {
        "too much": zlib.compress(bytes(10**7)),
        "too little": zlib.compress(bytes(range(100))),
        "no end": zlib.compress(bytes(64 * 64 * 4))[:-8],
        "noise": bytes(range(200)),
    }
    for packed in bombs.values():
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset("kernel", (64, 64), **options)
            dataset.id.write_direct_chunk((0, 0), packed)
        with hdf5.opened(path) as file:
            array = hdf5.stored_array(file["kernel"], "kernel")
            with pytest.raises((ValueError, zlib.error), match="damaged chunk|Error -3"):
                array.read()


@pytest.mark.parametrize("chunks", [(1, 1), (1, 8), (1, 65536)])
def test_chunks_of_an_odd_shape_are_refused(tmp_path, chunks):
    with h5py.File(tmp_path / "weights.hdf5", "w") as file:
        file.create_dataset("kernel", data=np.ones((64, 64)), chunks=chunks, maxshape=(None, None))
    with hdf5.opened(tmp_path / "weights.hdf5") as file:
        array = hdf5.stored_array(file["kernel"], "kernel")
        with pytest.raises(ValueError, match="has chunks of an odd shape"):
            array.read()


def test_shapes_are_compared_before_anything_is_read(tmp_path, model, monkeypatch):
    """Zeros that unpack to a hundred times the file are never unpacked where the model has another shape."""
    with h5py.File(tmp_path / "weights.hdf5", "w") as file:
        file.attrs["layer_names"] = [b"a"]
        file.create_group("a").attrs["weight_names"] = [b"kernel:0"]
        file["a"].create_dataset("kernel:0", data=np.zeros((2000, 500), "float32"), compression="gzip")
    monkeypatch.setattr(hdf5, "_check_chunks", lambda *_: pytest.fail("it was read"))
    with pytest.raises(ValueError, match=r"differs is 'a'. Model: Dense with kernel \(2, 3\). File: .*\(2000, 500\)"):
        weights.load(model, tmp_path / "weights.hdf5")


@pytest.mark.parametrize("keras3", [False, True])
def test_a_file_with_any_damage_is_refused_or_read_and_never_half_loaded(tmp_path, keras3):
    """A few seconds of truncations, holes and random bytes: an answer or a ValueError that names the file."""
    names = list("abcd")
    layers = [keras.layers.Dense(3, name=name) for name in names]
    model = keras.Sequential([keras.Input((3,)), *layers])
    values = [np.full(weight.shape, 2.0 + index, "float32") for index, weight in enumerate(model.weights)]
    model.set_weights(values)
    good, damaged = tmp_path / "good.weights.h5", tmp_path / "damaged.weights.h5"
    if keras3:
        model.save_weights(good)
    else:
        write_layers(good, {layer.name: {w.name: w.numpy() for w in layer.weights} for layer in layers})
    content = good.read_bytes()
    marks = [np.full(value.shape, -1.0, "float32") for value in values]
    model.set_weights(marks)
    refused = loaded = 0

    def attempt(changed):
        nonlocal refused, loaded
        damaged.write_bytes(changed)
        try:
            weights.load(model, damaged)
        except ValueError as error:
            refused += 1
            assert "damaged.weights.h5" in str(error)
            for weight, mark in zip(model.weights, marks, strict=True):
                np.testing.assert_array_equal(weight.numpy(), mark)
        else:
            loaded += 1
            # Where the damage is in the numbers, nothing in the file says so.
            assert all(np.isfinite(weight.numpy()).all() for weight in model.weights)
            model.set_weights(marks)

    step = max(256, len(content) // 60)
    for start in range(0, len(content), step):
        attempt(content[:start])
        attempt(content[:start] + bytes(256) + content[start + 256 :])
    truncated = len(range(0, len(content), step))
    assert refused >= truncated
    random = np.random.default_rng(0)
    stop = time.monotonic() + 2
    for _ in range(300):
        changed = bytearray(content)
        for position in random.integers(0, len(content), random.integers(1, 9)):
            changed[position] = random.choice([0, 1, 255, random.integers(256)])
        attempt(bytes(changed))
        if time.monotonic() > stop:
            break
    assert refused and loaded
