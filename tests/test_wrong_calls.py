"""Calls of figures, comparisons, counts, timings and schemes that go wrong: each is named with its value at once.

Every row is a call that once ended in a message of NumPy, TensorFlow or Matplotlib, in a picture of something else, or
not at all. `test_odd_arguments` walks all public functions with values of a foreign kind; here are those of the right
kind with wrong contents.
"""

import math

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from numpy import ma

import kgpc
from kgpc import D6, D6v3, Grouped, comparison, flops, grouping, plots, resources, timing
from kgpc.plots import Box

AXES = {"xlabel": "epoch", "ylabel": "loss"}
PARTS = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]}, index=["first", "second"])
LAYERS = pd.DataFrame({"kind": ["a", "b"], "value": [1, 2]})
POINTS = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
MAPS = pd.DataFrame({"label": ["image"], "size": [32], "channels": [3], "kind": [""]})
INTERVALS = pd.DataFrame({"value": [1.0], "low": [0.0], "high": [3.0]})
NINE = {f"number {index}": [1.0, 2.0] for index in range(9)}
RIGHT = np.array([True, False])
DECK = [Box("a")]


def functional(*layers, size=8):
    x = inputs = keras.Input((size, size, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def bars(**change):
    return plots.stacked_bars(**{"frame": PARTS, "xlabel": "parameters", **change})


def layer_bars(**change):
    return plots.layer_bars(**{"frame": LAYERS, "ylabel": "parameters", **change})


def lines(**change):
    return plots.line_chart(**{"x": [1, 2], "curves": {"a": [1, 2]}, **AXES, **change})


def scatter(**change):
    return plots.scatter(**{"groups": {"a": POINTS}, **AXES, **change})


def panels(**change):
    return plots.curve_panels(**{"panels": {"p": {"a": ([1, 2], [3, 4])}}, **AXES, **change})


def intervals(**change):
    return plots.interval_chart(**{"frame": INTERVALS, "xlabel": "points", **change})


def matrices(**change):
    return plots.matrices(**{"panels": {"a": np.eye(4)}, **AXES, "colorbar": "weight", **change})


def images(**change):
    return plots.images(**{"pictures": [np.zeros((4, 4, 3), np.uint8)], **change})


def losses(**change):
    return plots.step_losses(**{"losses": {"a": np.ones(20)}, **change})


def maps(**change):
    return plots.feature_maps(MAPS.assign(**change))


def diagram(items, **change):
    return plots.block_diagram({"network": items}, **change)


def table(**change):
    return plots.table(**{"frame": PARTS, "caption": "A caption.", **change})


def nested(depth):
    return [(nested(depth - 1), []), Box("+")] if depth else [Box("a")]


WRONG = [
    # Bars
    (lambda: bars(frame=PARTS.iloc[:0]), "`frame` must have at least one row"),
    (lambda: bars(frame=PARTS.iloc[:, :0]), "`frame` must have at least one row and one column"),
    (lambda: bars(frame=-PARTS), r"`frame\['a'\]` must hold numbers of at least 0. Received: .*-1"),
    (lambda: bars(frame=PARTS * np.nan), r"`frame\['a'\]` must hold finite numbers. Received: .*nan"),
    (lambda: bars(frame=PARTS / 0), r"`frame\['a'\]` must hold finite numbers. Received: .*inf"),
    (lambda: bars(frame=PARTS.assign(a="x")), r"`frame\['a'\]` must be an array of numbers"),
    (lambda: bars(frame=PARTS > 1), r"`frame\['a'\]` must be an array of numbers"),
    (lambda: bars(frame=pd.DataFrame(NINE)), "`frame` must hold at most 8 things .* Received: 9"),
    (lambda: bars(frame=PARTS.set_axis(["a", "a"], axis=1)), "`frame` must have columns of different names.*'a' twice"),
    (lambda: bars(frame=pd.concat([PARTS] * 300)), "`frame` must have at most 400 rows.*600"),
    (lambda: bars(colors={"a": "no colour"}), "`colors` must hold colours.*'a': 'no colour'"),
    (lambda: bars(colors=["blue"]), "`colors` must be a dict"),
    (lambda: bars(totals="no"), "`totals` must be True or False. Received: totals='no'"),
    (lambda: bars(percent=1), "`percent` must be True or False. Received: percent=1"),
    (lambda: bars(xlabel=None), "`xlabel` must be a str. Received: xlabel=None"),
    (lambda: bars(title=3), "`title` must be a str or None. Received: title=3"),
    (lambda: layer_bars(frame=LAYERS[["kind"]]), "`frame` must have the columns kind and value"),
    (lambda: layer_bars(frame=LAYERS.assign(kind=[1, 2])), r"`frame\['kind'\]` must be a str. Received: .*=1 \(int\)"),
    (lambda: layer_bars(frame=LAYERS.assign(value=-1)), r"`frame\['value'\]` must hold numbers of at least 0"),
    # Lines and points
    (lambda: lines(x=[1, 2, 3]), r"`curves` must have a value for each of the 3 numbers of `x`.*curves\['a'\]"),
    (lambda: lines(x=[]), "`x` must be a 1D array with at least one number"),
    (lambda: lines(x=[1, np.nan]), "`x` must hold finite numbers"),
    (lambda: lines(x=["a", "b"]), "`x` must be an array of numbers"),
    (lambda: lines(curves={}), "`curves` must hold at least one entry"),
    (lambda: lines(curves=[[1, 2]]), "`curves` must be a dict from names to numbers"),
    (lambda: lines(curves={1: [1, 2]}), r"`curves` must be a dict from names \(str\).*the key 1"),
    (lambda: lines(curves={"a": [[1, 2], [3]]}), r"`curves\['a'\]` must be an array of numbers"),
    (lambda: lines(curves={"a": np.ones((2, 2, 2))}), r"`curves\['a'\]` must be a 1D or 2D array"),
    (lambda: lines(curves={"a": [1, np.inf]}), r"`curves\['a'\]` must hold finite numbers or NaN.*inf"),
    (lambda: lines(curves=NINE), "`curves` must hold at most 8 things"),
    (lambda: lines(x=[0, 1], log=True), "`x` must hold numbers above 0. Received: x=0.0"),
    (lambda: lines(curves={"a": [1, -2]}, log=True), r"`curves\['a'\]` must hold numbers above 0"),
    (lambda: lines(levels={"none": 0}, log=True), r"`levels\['none'\]` must be a finite number above 0"),
    (lambda: lines(levels={"none": math.nan}), r"`levels\['none'\]` must be a finite number. .*nan"),
    (lambda: lines(levels=[1]), "`levels` must be a dict"),
    (lambda: lines(marks={"end": "x"}), r"`marks\['end'\]` must be a number. .*'x'"),
    (lambda: lines(log="no"), "`log` must be True or False"),
    (lambda: lines(markers="no"), "`markers` must be True or False"),
    (lambda: scatter(groups={}), "`groups` must hold at least one entry"),
    (lambda: scatter(groups={"a": POINTS[["x"]]}), r"`groups\['a'\]` must have the columns x and y"),
    (lambda: scatter(groups={"a": POINTS.iloc[:0]}), r"`groups\['a'\]` must have at least one row"),
    (lambda: scatter(groups={"a": -POINTS}, log_x=True), r"`groups\['a'\]\['x'\]` must hold numbers above 0"),
    (lambda: scatter(groups={"a": POINTS.assign(label=1)}), r"`groups\['a'\]\['label'\]` must be a str"),
    (lambda: scatter(groups=dict.fromkeys(NINE, POINTS)), "`groups` must hold at most 8 things"),
    (lambda: scatter(size=(1, 2, 3)), r"`size` must be a pair of numbers.*size=\(1, 2, 3\)"),
    (lambda: scatter(size=(7, -1)), "`size` must be a finite number above 0.* Received: size=-1"),
    (lambda: scatter(size=(10**6, 3)), "`size` must be a finite number .* at most 200"),
    (lambda: panels(panels={}), "`panels` must hold at least one entry"),
    (lambda: panels(panels={"p": {}}), r"`panels\['p'\]` must hold at least one entry"),
    (lambda: panels(panels={"p": {"a": [1, 2, 3]}}), r"`panels\['p'\]\['a'\]` must have 2 entries. Received: 3"),
    (lambda: panels(panels={"p": {"a": ([1], [1, 2])}}), r"`panels\['p'\]\['a'\]` must have as many numbers x as y"),
    (lambda: panels(panels={"p": {"a": ([0, 1], [1, 2])}}, log_x=True), r"`panels\['p'\]\['a'\]` must hold .* above 0"),
    (lambda: panels(columns=0), "`columns` must be at least 1. Received: columns=0"),
    (lambda: panels(columns=1.5), "`columns` must be an integer"),
    (lambda: panels(height=0), "`height` must be a finite number above 0"),
    (lambda: panels(height=math.inf), "`height` must be a finite number"),
    (
        lambda: panels(panels={str(n): {"a": ([1], [1])} for n in range(9)}, height=99),
        "`panels` must fit into 200 inches",
    ),
    (lambda: panels(share_y="row"), "`share_y` must be True or False"),
    (lambda: intervals(frame=INTERVALS * np.nan), r"`frame\['value'\]` must hold finite numbers"),
    (lambda: intervals(frame=INTERVALS.assign(low=2)), "low <= value <= high. Received: row 0 with value=1, low=2"),
    (lambda: intervals(frame=INTERVALS.assign(group=1)), r"`frame\['group'\]` must be a str"),
    (lambda: intervals(formats="zz"), "`formats` must be a format specification .* Received: formats='zz'"),
    (lambda: losses(points=0), "`points` must be at least 1"),
    (lambda: losses(points=21), "`losses` must have the same number of steps for each network, at least 21"),
    (lambda: losses(guessing=0), "`guessing` must be at least 1"),
    (lambda: losses(losses={"a": [np.nan] * 20}), r"`losses\['a'\]` must hold finite numbers"),
    (lambda: losses(losses={}), "`losses` must hold at least one entry"),
    # Pictures
    (lambda: matrices(panels={"a": np.ones(4)}), r"`panels\['a'\]` must be a 2D array.*\(4,\)"),
    (lambda: matrices(panels={"a": np.ones((0, 4))}), r"`panels\['a'\]` must be a 2D array with at least one number"),
    (lambda: matrices(panels={"a": np.full((2, 2), np.nan)}), r"`panels\['a'\]` must hold finite numbers"),
    (lambda: matrices(panels={"a": ma.masked_equal([[0, 1]], 0)}), r"`panels\['a'\]` must hold finite numbers"),
    (lambda: matrices(panels={"a": -np.eye(4)}), r"`panels` must hold no negative numbers unless signed=True.*-1"),
    (lambda: matrices(blocks=4), "`blocks` must be a pair of integers"),
    (lambda: matrices(blocks=(0, 4)), "`blocks` must be at least 1. Received: blocks=0"),
    (lambda: matrices(colorbar=None), "`colorbar` must be a str"),
    (lambda: images(pictures=np.zeros((4, 4), np.uint8)), r"`pictures\[0\]` must have the shape"),
    (lambda: images(pictures=[np.zeros((4, 4, 4), np.uint8)]), r"`pictures\[0\]` must have the shape .*\(4, 4, 4\)"),
    (lambda: images(pictures=[np.zeros((0, 4, 3), np.uint8)]), r"`pictures\[0\]` must have the shape"),
    (lambda: images(pictures=[np.full((4, 4, 3), 200.0)]), r"`pictures\[0\]` must be uint8, or .* in \[0, 1\].*200"),
    (lambda: images(pictures=[np.full((4, 4, 3), np.nan)]), r"`pictures\[0\]` must be uint8, or .* in \[0, 1\].*nan"),
    (lambda: images(pictures=[np.zeros((4, 4, 3), np.uint16)]), r"`pictures\[0\]` must be uint8, or .* uint16"),
    (lambda: images(pictures=[np.zeros((4, 4, 3), int)]), r"`pictures\[0\]` must be an array of uint8"),
    (lambda: images(pictures=[np.zeros((10**5, 1), np.uint8)]), "`pictures` must fit into 200 inches"),
    (lambda: images(titles=["a", "b"]), "`titles` must have 1 entries. Received: 2"),
    (lambda: images(titles="a"), "`titles` must be a sequence. Received: titles='a'"),
    (lambda: images(titles=[None]), r"`titles\[0\]` must be a str"),
    (lambda: images(columns=True), "`columns` must be an integer of at least 1. Received: columns=True"),
    (lambda: images(width=-1), "`width` must be a finite number above 0"),
    # Diagrams
    (lambda: Box(""), "`text` must not be empty"),
    (lambda: Box("a", "a kind"), "`kind` must be .*one of .*Received: kind='a kind'"),
    (lambda: Box("a", changed="no"), "`changed` must be True or False"),
    (lambda: plots.block_diagram({}), "`networks` must hold at least one entry"),
    (lambda: diagram([]), r"`networks\['network'\]` must hold at least one `Box`"),
    (lambda: diagram(tuple(DECK)), r"`networks\['network'\]` must be a list of `Box`"),
    (lambda: diagram(["a"]), r"`networks\['network'\]` must hold `Box` and tuples of lists.*\[0\]='a'"),
    (lambda: diagram([(Box("a"),), Box("+")]), r"`networks\['network'\]\[0\]\[0\]` must be a list of `Box`"),
    (lambda: diagram([(DECK, [])]), r"`networks\['network'\]` must have a `Box` after branches.*None after"),
    (lambda: diagram(nested(20)), "`networks` must not have branches within branches more than 8 deep"),
    (lambda: diagram(DECK * 2000), "`networks` must fit into 200 inches"),
    (lambda: diagram(DECK, gap=-1), "`gap` must be a finite number of at least 0"),
    (lambda: maps(size=0), r"`frame\['size'\]` must be at least 1"),
    (lambda: maps(channels=1.5), r"`frame\['channels'\]` must be an integer"),
    (lambda: maps(kind="a kind"), r"`frame\['kind'\]` must be .*Received: .*'a kind'"),
    (lambda: maps(label=3), r"`frame\['label'\]` must be a str"),
    (lambda: plots.feature_maps(MAPS[["label"]]), "`frame` must have the columns label, size, channels and kind"),
    (lambda: plots.subnetwork(D6(4)), r"`plan` must be a `kgpc.grouping.Plan`.*D6\("),
    (lambda: plots.subnetwork(D6(4).plan(512, 512)), "`plan` must have at most 256 input channels and filters.*512"),
    # Tables and pages
    (lambda: table(frame=[1, 2]), "`frame` must be a pandas.DataFrame"),
    (lambda: table(frame=PARTS.set_axis(["a", "a"], axis=1)), "`frame` must have columns of different names"),
    (lambda: table(caption=3), "`caption` must say what the table shows. Received: caption=3"),
    (lambda: table(formats={"a": "zz"}), "`formats` must hold format specifications.*'a': 'zz' for 1.0"),
    (lambda: table(formats={"a": 3}), "`formats` must hold format specifications.*'a': 3"),
    (lambda: table(formats=["a"]), "`formats` must be a dict"),
    (
        lambda: plots.as_html("a figure", "text"),
        "`figure` must be a `matplotlib.figure.Figure`. Received: .*'a figure'",
    ),
    (lambda: plots.show(None, "text"), "`figure` must be a `matplotlib.figure.Figure`"),
    (lambda: plots.show(plt.figure(), 3), "`alt` must describe the figure in words. Received: alt=3"),
    # Comparisons
    (lambda: comparison.Interval(math.nan, math.nan, math.nan), "`value` must be a finite number. Received: value=nan"),
    (lambda: comparison.Interval(0.5, 0.6, 0.7), "must be in this order. Received: low=0.6, value=0.5"),
    (lambda: comparison.Interval(0, 0, 0)._replace(low=math.nan), "`low` must be a finite number"),
    (lambda: comparison.in_words((0.1, 0.0, 0.2), "A", "B"), "`difference` must be an `Interval`"),
    (lambda: comparison.in_words(comparison.Interval(0, 0, 0), "", "B"), "`first` must not be empty"),
    (lambda: comparison.accuracy([[True], [True, False]]), "`correct` must be a bool array"),
    (lambda: comparison.accuracy("no"), "`correct` must be a bool array .*Received"),
    (lambda: comparison.accuracy([1, 0]), r"`correct` must be a bool array .*\[1, 0\]"),
    (lambda: comparison.accuracy(ma.masked_all(3, bool)), "`correct` must have an outcome .* all are masked"),
    (lambda: comparison.of_runs({}, {}, {}), "`models` must hold at least one entry"),
    (
        lambda: comparison.of_runs({"a": 1}, {"b": 1}, {"a": 1}),
        r"`evaluations` must have the names of `models`: \['a'\]",
    ),
    (lambda: comparison.of_runs({"a": 1}, {"a": 1}, {"a": 1}), "`evaluations` must hold objects with `correct`"),
    (lambda: comparison.of_runs({"a": 1}, {"a": 1}, {"a": math.nan}), r"`seconds\['a'\]` must be a finite number"),
    # Counts
    (lambda: flops.macs(keras.Sequential([keras.layers.Dense(2)])), "`model` must have been built.*Sequential"),
    (lambda: flops.macs(functional(keras.layers.Conv2D(4, 3), size=None)), "`model` must have been built with a fixed"),
    (
        lambda: flops.macs(functional(keras.layers.SeparableConv2D(4, 3))),
        "cannot be counted. Received: .*SeparableConv2D",
    ),
    (
        lambda: flops.macs(functional(keras.layers.Conv2DTranspose(4, 3))),
        "cannot be counted. Received: .*Conv2DTranspose",
    ),
    (lambda: flops.trainable_parameters(keras.layers.Dense(2)), "`model` must have been built"),
    # Timings
    (lambda: timing.train_step(functional(keras.layers.Flatten()), 0), "`batch_size` must be at least 1"),
    (
        lambda: timing.train_step(functional(keras.layers.Flatten()), 10**12),
        "`batch_size` must leave an array below 16",
    ),
    (
        lambda: timing.train_step(functional(keras.layers.Flatten()), 2, -1),
        "`learning_rate` must be a finite number above 0",
    ),
    (lambda: timing.train_step(functional(keras.layers.ReLU()), 2), r"`model` must be a classifier.*\(8, 8, 3\)"),
    (lambda: timing.predict_step(keras.Sequential(), 2), "`model` must be a functional or sequential Keras model"),
    (lambda: timing.in_turns({"a": 3}), r"`steps` must hold functions. Received: steps\['a'\]=3"),
    (lambda: timing.in_turns({"a": list}, warmup=-1), "`warmup` must be at least 0"),
    (lambda: timing.memory_bandwidth(megabytes=10**9), "`megabytes` must leave an array below 16 GiB"),
    (lambda: timing.matrix_product_rate(size=10**9), "`size` must leave an array below 16 GiB"),
    # Schemes
    (lambda: D6(16).plan(2**31, 16), "`in_channels` must be at most 2147483647. Received: in_channels=2147483648"),
    (lambda: D6(16).plan(16, 10**100), r"`filters` must be at most 2147483647. Received: filters=10+\.\.\."),
    (lambda: D6(True), "`channels_per_group` must be an integer"),
    (lambda: D6(4).plan(8, 8).parameters(use_bias="no"), "`use_bias` must be True or False. Received: use_bias='no'"),
    (lambda: D6(4).plan(8, 8).parameters(batch_norm=1), "`batch_norm` must be True or False"),
    (lambda: grouping.interleaved_order(10**12, 2), "`channels` must be at most 4194304"),
    (lambda: grouping.largest_common_divisor(0, 4, 2), "`first` must be at least 1"),
    (lambda: grouping.Convolution("", 8, 8, 3), "`groups` must divide in_channels=8 and filters=8. Received: groups=3"),
    (lambda: grouping.Stage(-1, D6(4).plan(8, 8).first.paths), "`copied_channels` must be at least 0"),
    (lambda: grouping.Stage(0, ()), "`paths` must hold at least one `Convolution`"),
    (lambda: grouping.Plan(8, 8, None), "`first` must be a `Stage`. Received: first=None"),
    # Files
    (lambda: resources.data_path("a" * 5000), "The data file 'aaa.*... of kgpc is missing"),
    (lambda: resources.data_path("a\0b"), r"The data file 'a\\x00b' of kgpc is missing"),
]


@pytest.mark.parametrize(("call", "message"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_call_is_named(call, message):
    before = plt.get_fignums()
    try:
        with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
            call()
        # Nothing was drawn before it was refused; the figures of `show` are the call's own.
        assert plt.get_fignums() == before or "alt" in message
    finally:
        plt.close("all")


def test_integers_of_numpy_are_integers():
    two, four = np.int64(2), np.int32(4)
    assert D6(two).plan(np.int64(8), four) == D6(2).plan(8, 4)
    assert grouping.interleaved_order(np.int64(6), two) == grouping.interleaved_order(6, 2)
    assert grouping.largest_common_divisor(np.int8(12), np.uint8(18), np.int64(5)) == 3
    assert timing.in_turns({"a": list}, rounds=two, warmup=np.int64(0)).keys() == {"a"}
    assert timing.memory_bandwidth(np.int8(1), np.int8(1)) > 0
    for figure in (
        panels(columns=two),
        images(columns=two),
        losses(points=four, guessing=two),
        matrices(blocks=(two, two)),
    ):
        plt.close(figure)
    plt.close(maps(size=np.int64(32), channels=np.int16(3)))


# Right calls that once went wrong


def test_plans_of_many_channels_are_made_at_once():
    largest = 2**31 - 1
    assert D6(1).plan(10**9, 10**9).groups == 10**9
    assert D6(16).plan(largest - 1, largest - 1).groups == 119304647  # 2 * 3 * 7 * 11 * 31 * 151 * 331, 18 in a group
    assert Grouped(3).plan(2**30, 3 * 2**29).groups == 2**28
    assert D6v3(16).plan(largest, largest).groups == -(-largest // 16)


@pytest.mark.parametrize("at_most", [*range(-2, 40), 10**6])
def test_the_largest_common_divisor_is_that_of_all_numbers(at_most):
    for first in (1, 2, 12, 36, 97, 180):
        for second in (1, 6, 36, 97, 360):
            common = [number for number in range(1, at_most + 1) if first % number == second % number == 0]
            assert grouping.largest_common_divisor(first, second, at_most) == max(common, default=1)
            if at_most > 360:
                assert max(common) == math.gcd(first, second)


def test_masked_images_do_not_count():
    outcomes = np.array([True, True, False, True, False, False])
    one = ma.masked_array(outcomes, [0, 0, 0, 1, 0, 0])
    other = ma.masked_array(~outcomes, [1, 0, 0, 0, 0, 0])
    assert comparison.accuracy(one) == comparison.accuracy(outcomes[[0, 1, 2, 4, 5]])
    both = [1, 2, 4, 5]
    expected = comparison.accuracy_difference(outcomes[both], ~outcomes[both])
    assert comparison.accuracy_difference(one, other) == expected
    assert comparison.accuracy_difference(one, ~outcomes) != expected
    with pytest.raises(ValueError, match="`first` and `second` must have an outcome"):
        comparison.accuracy_difference(one, ma.masked_array(outcomes, ~one.mask))


def test_an_interval_stays_a_tuple_with_names():
    interval = comparison.Interval(value=0.1, low=0.0, high=0.2)
    assert tuple(interval) == (0.1, 0.0, 0.2) and interval._replace(high=0.3).high == 0.3
    assert isinstance(interval._replace(high=0.3), comparison.Interval) and interval.includes_zero


def test_bars_stand_in_the_rows_of_the_table_whatever_their_names():
    for index in ([16, 32], ["same", "same"], [True, None]):
        (axes,) = plots.stacked_bars(PARTS.set_axis(index), "parameters").axes
        assert [bar.get_y() + bar.get_height() / 2 for bar in axes.patches] == [0, 1, 0, 1]
        assert [label.get_text() for label in axes.get_yticklabels()] == [str(name) for name in index]
        plt.close("all")


def test_bars_of_nothing_are_drawn_without_a_warning():
    (axes,) = bars(frame=PARTS.mul([0, 1], axis=0)).axes
    assert [text.get_text() for text in axes.texts].count("0") == 1
    (axes,) = bars(frame=PARTS * 0).axes
    assert axes.get_xlim()[1] > 0
    (axes, _) = matrices(panels={"a": np.zeros((2, 2))}).axes
    assert axes.images[0].get_clim() == (0, 1)
    plt.close("all")


def test_what_is_masked_or_missing_interrupts_a_curve():
    (axes,) = lines(curves={"a": ma.masked_equal([5, 1], 5)}).axes
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [True, False]
    (axes,) = panels(panels={"p": {"a": ([1, 2], pd.array([1, None], "Int64"))}}).axes
    assert np.isnan(axes.lines[0].get_ydata()).tolist() == [False, True]
    plt.close("all")


def test_images_may_leave_their_range_by_rounding_only():
    (axes,) = images(pictures=[np.full((2, 2, 3), 1 + 1e-6, "float32")]).axes
    assert axes.images[0].get_array().max() == 1
    plt.close("all")


@pytest.mark.parametrize("first", [False, True], ids=["channels last", "channels first"])
def test_channels_are_counted_on_their_own_axis(first):
    options = {"data_format": "channels_first"} if first else {}
    inputs = keras.Input((3, 8, 6) if first else (8, 6, 3))
    x = keras.layers.Conv2D(4, 3, **options)(inputs)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, **options)(x)
    model = keras.Model(inputs, keras.layers.Conv2D(5, 1, **options)(x))
    assert flops.macs(model) == 6 * 4 * 9 * 3 * 4 + 4 * 5
    assert [count.part for count in flops.layer_counts(model)] == ["other convolutions", "other", "classifier"]


def test_the_package_names_the_value_of_a_long_argument_in_short():
    with pytest.raises(
        TypeError, match=r"Received: channels=ndarray of shape \(100, 100\) and dtype float64 \(ndarray\)"
    ):
        grouping.interleaved_order(np.zeros((100, 100)), 2)
    with pytest.raises(TypeError, match=r"Received: channels='x+\.\.\. \(str\)"):
        kgpc.grouping.interleaved_order("x" * 1000, 2)
