"""Networks of keras.applications converted: those of the papers to the unit, all others whole."""

import collections
import importlib.util
import re
from pathlib import Path

import keras
import numpy as np
import pytest
from conversions import numbers

import kgpc
from kgpc import D6, applications, flops, graph
from kgpc.conversion import plan

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def counting():
    path = ROOT / "data" / "count_converted_applications.py"
    specification = importlib.util.spec_from_file_location("count_converted_applications", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def parts(model):
    """What each layer with weights, or with operations that count, holds and computes: how often."""
    counts = collections.Counter()
    for count in flops.layer_counts(model):
        if count.trainable_parameters or count.float_operations:
            size = tuple(size for size in count.output_shape if size != 1)
            counts[count.part, size, count.trainable_parameters, count.macs, count.float_operations] += 1
    return counts


def activations(model):
    counts = collections.Counter()
    for layer in model.layers:
        if isinstance(layer, keras.layers.ReLU):
            counts["relu" if layer.max_value is None else "relu6"] += 1
        elif isinstance(layer, keras.layers.Activation):
            counts[layer.activation.__name__] += 1
    return counts


def row(page, network):
    """The numbers in a row of the page."""
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {network}")][:1]
    return [int(number.replace(",", "")) for number in re.findall(r"\| ([0-9][0-9,]*) (?=\|)", line)]


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs" / "group-any-network.md").read_text(encoding="utf-8")


def test_mobilenet_becomes_kmobilenet_to_the_unit(page):
    model = keras.applications.MobileNet(weights=None, classes=10)
    for scheme in (D6(16), D6(32), D6(128)):
        # D6(128) splits 256 -> 256 channels in two groups, whose K and L have the weights that there were.
        twin = kgpc.convert(model, scheme, activation="swish", only_if_smaller=scheme != D6(128))
        ours = applications.kMobileNet(classes=10, scheme=scheme)
        assert parts(twin) == parts(ours) and activations(twin) == activations(ours)
        assert flops.trainable_parameters(twin) == flops.trainable_parameters(ours)
        assert flops.paper_flops(twin) == flops.paper_flops(ours)
        kinds = [collections.Counter(type(layer).__name__ for layer in each.layers) for each in (twin, ours)]
        # Some releases of Keras pad in a layer of its own, others in the convolution.
        assert all(kind == "ZeroPadding2D" for kind in (kinds[0] - kinds[1]) + (kinds[1] - kinds[0]))
        if scheme == D6(16):
            counts = [flops.trainable_parameters(twin)] * 2 + [flops.paper_flops(twin)] * 2
            assert row(page, "MobileNet,") == counts == [244298, 244298, 92007966, 92007966]


def test_mobilenet_v3_has_the_counts_of_ours(page):
    twin = kgpc.convert(
        keras.applications.MobileNetV3Large(weights=None, classes=10, input_shape=(224, 224, 3)), D6(16)
    )
    ours = applications.kMobileNetV3Large(classes=10)
    assert parts(twin) == parts(ours)
    counts = [flops.trainable_parameters(each) for each in (twin, ours)] + [
        flops.paper_flops(each) for each in (twin, ours)
    ]
    assert row(page, "MobileNetV3Large") == counts and counts[0] == counts[1] and counts[2] == counts[3]
    momenta = [
        {layer.momentum for layer in each.layers if isinstance(layer, keras.layers.BatchNormalization)}
        for each in (twin, ours)
    ]
    assert momenta == [{0.999}, {0.99, 0.999}]


def test_efficientnet_b0_differs_from_ours_by_its_last_activation(page):
    twin = kgpc.convert(keras.applications.EfficientNetB0(weights=None, classes=10), D6(16))
    ours = applications.kEfficientNetB0(classes=10)
    assert parts(twin) - parts(ours) == {("other", (7, 7, 1280), 0, 0, 7 * 7 * 1280): 1}
    assert not parts(ours) - parts(twin)
    counts = [flops.trainable_parameters(each) for each in (twin, ours)] + [
        flops.paper_flops(each) for each in (twin, ours)
    ]
    assert row(page, "EfficientNetB0") == counts and counts[0] == counts[1] == 639702
    assert counts[2] - counts[3] == 7 * 7 * 1280 // 2


def test_inception_v3_differs_from_ours_by_three_convolutions(page):
    model = keras.applications.InceptionV3(weights=None, classes=10)
    twin, ours = kgpc.convert(model, D6(16)), applications.kInceptionV3(classes=10)
    counts = [flops.trainable_parameters(each) for each in (twin, ours)] + [
        flops.paper_flops(each) for each in (twin, ours)
    ]
    assert row(page, "InceptionV3") == counts
    # Their names are numbered: the 5 of the stem, then 7 of each mixed layer.
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    convolutions.sort(key=lambda layer: int((re.findall(r"\d+$", layer.name) or [0])[0]))
    ordinary = [convolutions[index].name for index in (5 + 3, 5 + 14 + 3, 5 + 14 + 6)]
    twin = kgpc.convert(model, dict.fromkeys(ordinary) | {re.compile("."): D6(16)})
    assert parts(twin) == parts(ours) and activations(twin) == activations(ours)


def check_network(name, counting, tmp_path):
    """Converts a network at the smallest size it takes: it predicts, trains a step, is saved and loaded."""
    size = counting.SMALLEST.get(name, 32)
    model = counting.build(name, size, classes=4)
    conversion = plan(model, D6(16))
    table = conversion.table
    if not conversion.subnetworks:
        assert name in ("VGG16", "VGG19")
        with pytest.raises(ValueError, match="nothing would change"):
            kgpc.convert(model, D6(16))
        return
    twin = conversion.model
    for when, each in (("before", model), ("after", twin)):
        assert table[f"parameters_{when}"].sum() == flops.trainable_parameters(each)
    # The next call counts the twin's own layers, none of which may be larger.
    again = kgpc.convert(twin, D6(16), report_only=True)
    assert again["macs_before"].sum(skipna=False) == table["macs_after"].sum(skipna=False) < table["macs_before"].sum()
    kept = set(table["layer"][~table["replaced"]])
    del model, conversion, again
    flat = {layer.name for layer in twin._flatten_layers()}
    assert {path.split("/")[-1] for path in kept} <= flat
    images = 127 + 127 * numbers(0, 2, size, size, 3)
    # Without compiled functions: tracing takes longer than all else.
    twin.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy", run_eagerly=True)
    expected = twin.predict_on_batch(images)
    assert expected.shape == (2, 4)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-4)
    twin.save(tmp_path / "twin.keras")
    # Keras calls itself once for each layer on the way, more often than Python allows in the deepest of these networks.
    with graph.deep_recursion():
        loaded = keras.saving.load_model(tmp_path / "twin.keras", compile=False)
    loaded.compile(run_eagerly=True)
    np.testing.assert_array_equal(loaded.predict_on_batch(images), expected)
    del loaded
    # The step comes last: after it, moving statistics of two images explode in some of these networks, and in the
    # originals as well.
    before = [keras.ops.convert_to_numpy(weight) for weight in twin.trainable_weights[-2:]]
    assert np.isfinite(twin.train_on_batch(images, np.array([0, 3])))
    after = [keras.ops.convert_to_numpy(weight) for weight in twin.trainable_weights]
    assert all(np.isfinite(value).all() for value in after)
    assert any((a != b).any() for a, b in zip(before, after[-2:], strict=True))


ORDINARY = ("MobileNetV2", "MobileNetV3Small", "ConvNeXtTiny")
NAMES = [name for name, value in sorted(vars(keras.applications).items()) if callable(value) and name[0].isupper()]


@pytest.mark.parametrize("name", ORDINARY)
def test_networks_convert_predict_train_and_come_back(name, counting, tmp_path):
    check_network(name, counting, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ORDINARY])
def test_all_networks_convert_predict_train_and_come_back(name, counting, tmp_path):
    try:
        check_network(name, counting, tmp_path)
    finally:
        keras.backend.clear_session()


def test_the_stored_table_is_what_the_command_counts(counting):
    table = counting.stored()
    assert sorted(set(table["network"])) == counting.networks() == NAMES
    for name in ("MobileNetV2", "MobileNetV3Small"):
        assert table[table["network"] == name].to_dict("records") == counting.count(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_each_row_of_the_stored_table_is_what_the_command_counts(name, counting):
    table = counting.stored()
    assert table[table["network"] == name].to_dict("records") == counting.count(name)
    keras.backend.clear_session()


def test_the_page_has_the_stored_table(counting, page):
    assert page == counting.page(counting.stored(), page), (
        "write it anew: python data/count_converted_applications.py --page"
    )
