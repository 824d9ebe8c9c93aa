"""The page about exported files shows the stored tables, and what it says of them is so."""

import importlib.util
import sys
from pathlib import Path

import keras
import pandas as pd
import pytest

import kgpc
from kgpc.deploy import formulation

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data" / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    """The script that measures exported files, and finds the other script beside it."""
    sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
    spec = importlib.util.spec_from_file_location("export_benchmark", ROOT / "tests" / "benchmarks" / "export.py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.path[0]
    return module


def test_the_page_shows_the_tables(benchmark):
    page = (ROOT / "docs" / "to-a-phone.md").read_text(encoding="utf-8")
    assert benchmark.with_tables(page) == page


@pytest.mark.parametrize("format", formulation.BEST)
def test_the_exporter_chooses_what_was_measured_to_be_fast(format):
    measured = pd.read_csv(DATA / "export-formulations.csv")
    for network, rows in measured[measured["format"] == format].groupby(["network", "precision"]):
        times = rows.set_index(["grouped", "interleaving"])["cpu_ratio"]
        # Of two that are as good as equal either may be chosen.
        assert times[formulation.BEST[format]] <= 1.05 * times.min(), network


def test_every_kind_of_file_of_a_network_was_measured(benchmark):
    measured = pd.read_csv(DATA / "export-table.csv")
    names = [name for pair in benchmark.PAIRS for name in pair] + list(benchmark.TRAINED)
    assert set(measured["network"]) <= set(names)
    wanted = {(name, *kind) for name in measured["network"] for kind in benchmark.KINDS_OF_FILES}
    assert set(measured[benchmark.KEYS["table"]].itertuples(index=False, name=None)) == wanted
    assert (measured["cpu_ms"] > 0).all() and measured.loc[measured["trained"], "accuracy"].between(0.3, 1).all()


def test_the_layers_of_a_network_are_its_parts(benchmark):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(256, 3, use_bias=False)(inputs)
    x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
    for index in range(2):
        x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(x))
        x = kgpc.blocks.pointwise(x, 256, kgpc.D6(16), name=f"unit_{index}", activation="swish")
    y = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Multiply()([x, keras.layers.Conv2D(256, 1, activation="sigmoid")(y)])
    x = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x))
    found = benchmark.export_parts.layers_of(kgpc.deploy.fold(keras.Model(inputs, x)))
    counts = dict.fromkeys(benchmark.export_parts.PARTS, 0)
    for part, count, make in found:
        counts[part] += count
        assert make().outputs[0].shape[0] is None
    # Pooling, twice, the convolution that sees one pixel, the product, and the classifier are the rest.
    expected = {"first convolution": 1, "depthwise convolutions": 2, "pointwise convolutions": 4, "activations": 4}
    expected |= {"interleaving": 2, "additions": 2, "the rest": 5, "changes of layout": 0}
    assert counts == expected
    # Both units are alike, and K and L of as many channels too: what is alike is measured once and counts as often.
    assert len(found) == 6 + 5


@pytest.mark.parametrize(
    "shapes, part",
    [
        (([1, 3, 9, 9], [32, 3, 3, 3]), "first convolution"),
        (([1, 32, 9, 9], [32, 1, 3, 3]), "depthwise convolutions"),
        (([1, 32, 9, 9], [64, 16, 1, 1]), "pointwise convolutions"),
        (([1, 32, 1, 1], [8, 32, 1, 1]), "the rest"),
    ],
)
def test_convolutions_of_a_profile_are_told_apart(shapes, part, benchmark):
    event = {"op_name": "Conv", "input_type_shape": [{"float": shape} for shape in shapes]}
    assert benchmark.export_parts._part_of_operation(event) == part
    assert benchmark.export_parts._part_of_operation({"op_name": "Gather"}) == "interleaving"


def test_every_network_was_taken_apart(benchmark):
    networks = {name for pair in benchmark.WITH_CONVERTED for name in pair}
    parts, profile = (pd.read_csv(DATA / f"export-{name}.csv") for name in ("parts", "profile"))
    assert set(profile["network"]) == networks
    assert set(parts[["network", "precision"]].itertuples(index=False, name=None)) == {
        (name, precision) for name in networks for precision in ("float32", "int8")
    }
    names = list(benchmark.export_parts.PARTS)
    # What is measured layer by layer makes up the whole, as far as layers can be measured apart from each other.
    assert (parts[names].sum(axis=1) / parts["whole"]).between(0.75, 1.33).all()
    assert (profile[names].sum(axis=1) > 0).all()


def test_what_the_page_says_of_the_floor(benchmark):
    parts, profile = (pd.read_csv(DATA / f"export-{name}.csv") for name in ("parts", "profile"))
    tables = [benchmark.parts_as_text(frame) for frame in (parts, profile)]
    litert = tables[0].set_index(["network", "precision"]).astype(float)
    onnx = tables[1].set_index("network").astype(float)
    for table, kind in ((litert.xs("float32", level="precision"), "LiteRT"), (onnx, "ONNX Runtime")):
        assert table.loc["MobileNet, converted", "of ordinary"] < 0.5, kind
        assert table.loc["kMobileNet 16ch", "floor"] < 0.4 < table.loc["kMobileNet 16ch", "of ordinary"] < 0.6, kind
        assert 0.45 < table.loc["kEffNet-B0 16ch", "floor"] < 0.6, kind
        saved = (
            table.loc["kMobileNet 16ch", "pointwise convolutions"] / table.loc["MobileNet", "pointwise convolutions"]
        )
        assert 0.1 < saved < 0.35, kind
    integers = litert.xs("int8", level="precision")
    assert (integers.loc[["kMobileNet 16ch", "kEffNet-B0 16ch"], "floor"] > 0.5).all()
    pointwise = litert.loc["MobileNet", "pointwise convolutions"]
    assert pointwise["float32"] > 3 * pointwise["int8"]
    depthwise = litert.loc["MobileNet", "depthwise convolutions"]
    assert 0.7 < depthwise["int8"] / depthwise["float32"] < 1.3
    # What the interleaving takes back of what K and L save.
    saved = pointwise["int8"] - integers.loc["kMobileNet 16ch", "pointwise convolutions"]
    assert 0.25 < integers.loc["kMobileNet 16ch", "interleaving"] / saved < 0.75
