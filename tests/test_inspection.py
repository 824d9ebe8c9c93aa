"""Places, maps, plans and connections: against networks that were built, and against the layers themselves."""

import math

import keras
import numpy as np
import pytest

import kgpc
from kgpc import D6, D6v3, D6WithoutInterleaving, D6WithoutL, Grouped, applications, flops, inspection, plots

SMALL = {"input_shape": (32, 32, 3), "classes": 10}
CONSTRUCTORS = {
    "MobileNet": (applications.kMobileNet, {}),
    "MobileNet V3 Large": (applications.kMobileNetV3Large, {}),
    "EfficientNet-B0": (applications.kEfficientNetB0, {"depth": 0.3}),
    "DenseNet-BC L100": (applications.kDenseNetBC, {"depth": 10}),
    "Inception V3": (applications.kInceptionV3, {"input_shape": (75, 75, 3)}),
}


@pytest.fixture(scope="module", params=CONSTRUCTORS)
def family(request):
    """The name of a family, and its ordinary and its grouped network."""
    constructor, options = CONSTRUCTORS[request.param]
    with keras.StatelessScope():  # counting needs no values
        networks = {str(scheme): constructor(scheme=scheme, **(SMALL | options)) for scheme in (None, D6(16))}
    return request.param, networks


def test_the_places_of_a_family_hold_all_of_its_networks(family):
    name, networks = family
    for column, count in (("trainable_parameters", flops.trainable_parameters), ("macs", flops.macs)):
        sums = inspection.sums_by_place(networks, name, column, share="left")
        assert sums.loc["all", list(networks)].tolist() == [count(model) for model in networks.values()]
        assert (sums.drop("all")[list(networks)].sum() == sums.loc["all", list(networks)]).all()
        assert sums.loc["all", "left"] == sums.iloc[-1, 1] / sums.iloc[-1, 0] < 1
    # What no scheme touches stays; every place holds something, but those of arithmetic nothing of normalization.
    unchanged = sums.loc[["classifier"]]
    assert (unchanged["None"] == unchanged["D6(16)"]).all() and sums.loc["batch normalization", "None"] == 0
    assert set(inspection.place_looks(name)["colors"]) == set(sums.index) - {"all"}


def test_places_of_one_colour_differ_in_hatching(family):
    name, networks = family
    looks = inspection.place_looks(name)
    pairs = [(color, looks["hatches"].get(place, "")) for place, color in looks["colors"].items()]
    assert len(set(pairs)) == len(pairs) and {color for color, _ in pairs} <= set(plots.LAYER_COLORS.values())
    parts = inspection.sums_by_place(networks, name).drop("all").T
    figure = plots.stacked_bars(parts, xlabel="trainable parameters", **looks)
    assert {patch.get_hatch() for patch in figure.axes[0].patches} - {None} == set(looks["hatches"].values())


def test_the_plans_of_a_network_are_what_it_is_built_of(family):
    name, networks = family
    table = inspection.pointwise_plans(networks["None"], name, D6(16))
    ordinary = inspection.pointwise_plans(networks["None"], name, None)
    assert (ordinary["left"] == 1).all() and (ordinary["groups"] == 1).all()
    assert table["ordinary"].tolist() == ordinary["K"].tolist()
    built = flops.layer_table(networks["D6(16)"]).query("part == 'pointwise'")
    weights = sum(math.prod(networks["D6(16)"].get_layer(layer).kernel.shape) for layer in built["layer"])
    # The published Inception leaves three ordinary under every scheme.
    kept = table["convolution"].str.match("mixed0_11c|mixed2_11c|mixed2_avg11")
    assert kept.sum() == (3 if name == "Inception V3" else 0)
    assert weights == (table["K"] + table["L"]).where(~kept, table["ordinary"]).sum()
    with pytest.raises(ValueError, match="`model` must be an ordinary network"):
        inspection.pointwise_plans(networks["D6(16)"], name, D6(16))


def test_freezing_moves_nothing_to_another_place(family):
    name, networks = family
    model = networks["None"]

    def tables():
        return inspection.sums_by_place({"net": model}, name, "macs"), inspection.pointwise_plans(model, name, D6(16))

    before = tables()
    try:
        model.trainable = False
        after = tables()
    finally:
        model.trainable = True
    for frozen, expected in zip(after, before, strict=True):
        assert frozen.equals(expected)


def test_a_network_of_another_family_is_refused():
    network = applications.kMobileNet(scheme=None, **SMALL)
    with pytest.raises(ValueError, match=r"`networks\['MobileNet'\]` must be a network of the family 'Inception V3'"):
        inspection.sums_by_place({"MobileNet": network}, "Inception V3")
    with pytest.raises(ValueError, match="`share` must not be the name of a network"):
        inspection.sums_by_place({"MobileNet": network}, "MobileNet", share="MobileNet")
    with pytest.raises(ValueError, match="must name a layer of the model"):
        inspection.plates(network, {"stem": ("conv2", "")})


def test_plates_have_the_sizes_of_the_maps():
    network = applications.kMobileNet(input_shape=(64, 64, 3), classes=7, scheme=None)
    places = {"image": ("conv1", ""), "stem": ("conv1", "other convolutions"), "classes": ("conv_preds", "classifier")}
    plates = inspection.plates(network, places)
    assert plates["size"].tolist() == [65, 32, 1]  # the stem's padding is a layer of its own
    assert plates["channels"].tolist() == [3, 32, 7]
    plots.feature_maps(plates)


@pytest.mark.parametrize(
    "scheme", [None, D6(16), D6v3(16), Grouped(16), D6WithoutL(16), D6WithoutInterleaving(16)], ids=str
)
@pytest.mark.parametrize("sizes", [(96, 48), (48, 96), (97, 64), (30, 30), (16, 8)], ids=str)
def test_connections_are_those_of_the_layers(scheme, sizes):
    channels, filters = sizes
    inputs = keras.Input((1, 1, channels))
    options = {"activation": None, "batch_norm": False, "kernel_initializer": "ones"}
    block = keras.Model(inputs, kgpc.blocks.pointwise(inputs, filters, scheme, name="block", **options))
    one_by_one = np.eye(channels, dtype="float32").reshape(channels, 1, 1, channels)
    reached = keras.ops.convert_to_numpy(block(one_by_one)).reshape(channels, filters) > 0
    plan = kgpc.grouping.ordinary_plan(*sizes) if scheme is None else scheme.plan(*sizes)
    assert np.array_equal(inspection.connections(plan), reached)


def test_too_many_pairs_are_refused_before_memory_is_taken():
    with pytest.raises(ValueError, match="`plan` must have at most 67,108,864 pairs of channels"):
        inspection.connections(D6(16).plan(2**20, 2**20))
