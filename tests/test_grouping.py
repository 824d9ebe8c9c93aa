"""The plans of all schemes: published layer shapes, properties that must hold for any channel counts, and bad input."""

import itertools

import pytest

from kgpc import D6, D6v3, Grouped, GroupedV3
from kgpc.grouping import check_scheme, interleaved_order, largest_common_divisor, ordinary_plan

CHANNELS = (1, 3, 8, 16, 24, 33, 40, 64, 96, 97, 112, 144, 250, 256)


def paths(stage):
    return [(path.suffix, path.in_channels, path.filters, path.groups) for path in stage.paths]


@pytest.mark.parametrize(
    "in_channels, filters, channels_per_group, groups, step, second, weights",
    [
        (64, 128, 16, 4, 32, False, 2048),
        (128, 64, 16, 8, 8, True, 1024 + 512),
        (96, 96, 16, 6, 16, True, 2 * 1536),
        (40, 240, 16, 2, 120, False, 4800),
        (192, 112, 32, 4, 28, True, 48 * 112 + 28 * 112),
        (96, 4, 16, 4, 1, True, 96 + 4),
        (24, 144, 16, 1, 1, False, 24 * 144),
        (97, 64, 16, 1, 1, False, 97 * 64),
    ],
)
def test_d6_plan_has_the_published_groups_and_weights(
    in_channels, filters, channels_per_group, groups, step, second, weights
):
    plan = D6(channels_per_group).plan(in_channels, filters)
    assert (plan.groups, plan.interleave_step, plan.second is not None) == (groups, step, second)
    assert plan.weights == weights
    assert plan.ordinary_weights == in_channels * filters


def test_d6v3_fills_the_last_group_with_copies_and_adds_a_path_for_the_remaining_filters():
    plan = D6v3(16).plan(97, 64)
    assert plan.first.copied_channels == 15
    assert paths(plan.first) == [("_c1_p1_7", 112, 63, 7), ("_c1_p2", 16, 1, 1)]
    assert (plan.interleave_step, plan.interleave_suffix, plan.add_suffix) == (4, "_i4", "_iga")
    assert paths(plan.second) == [("_c2_m4", 64, 64, 4)]


def test_d6v3_with_fewer_filters_than_groups_widens_the_groups():
    plan = D6v3(16).plan(256, 4)
    assert paths(plan.first) == [("_c1_m4", 256, 4, 4)]
    assert paths(plan.second) == [("_c2_dum", 4, 4, 1)]
    assert plan.interleave_step == 1


@pytest.mark.parametrize("in_channels, filters", [(32, 32), (16, 96), (32, 16)])
def test_d6v3_leaves_small_convolutions_ordinary(in_channels, filters):
    assert paths(D6v3(16).plan(in_channels, filters).first) == [("_um", in_channels, filters, 1)]


def test_d6v3_expansion_has_no_second_convolution():
    plan = D6v3(16).plan(64, 128)
    assert plan.second is None and plan.interleave_step == 1


@pytest.mark.parametrize("grouped, full", [(Grouped, D6), (GroupedV3, D6v3)])
def test_grouped_only_schemes_are_the_first_convolution_alone(grouped, full):
    for in_channels, filters in itertools.product(CHANNELS, CHANNELS):
        plan = grouped(16).plan(in_channels, filters)
        assert plan.first == full(16).plan(in_channels, filters).first
        assert plan.second is None and plan.interleave_step == 1


@pytest.mark.parametrize(
    "scheme", [D6(1), D6(16), D6v3(1), D6v3(2), D6v3(16), D6v3(32), Grouped(8), GroupedV3(8)], ids=str
)
def test_every_plan_can_be_built(scheme):
    for in_channels, filters in itertools.product(CHANNELS, CHANNELS):
        plan = scheme.plan(in_channels, filters)
        available = in_channels
        for stage in plan.stages:
            assert stage.filters == filters
            channels = available + stage.copied_channels
            for path in stage.paths:
                assert path.in_channels % path.groups == 0 and path.filters % path.groups == 0
                assert path.in_channels <= channels
            assert stage.paths[0].in_channels == channels
            available = filters
        if isinstance(scheme, D6) and plan.groups > 1:
            assert plan.channels_per_group >= scheme.channels_per_group


def test_parameters_add_bias_and_batch_normalization_per_convolution():
    plan = D6(16).plan(128, 64)
    assert plan.parameters() == plan.weights + 2 * 2 * 64
    assert plan.parameters(batch_norm_scale=False) == plan.weights + 2 * 64
    assert plan.parameters(use_bias=True, batch_norm=False) == plan.weights + 2 * 64
    assert plan.parameters(batch_norm=False) == plan.weights


def test_interleaved_order_is_the_channel_shuffle_where_the_step_divides():
    assert interleaved_order(6, 2) == [0, 2, 4, 1, 3, 5]
    assert interleaved_order(7, 3) == [0, 3, 6, 1, 4, 2, 5]
    assert interleaved_order(3, 5) == [0, 1, 2]
    for channels, step in itertools.product(range(1, 20), range(1, 9)):
        assert sorted(interleaved_order(channels, step)) == list(range(channels))


def test_after_interleaving_each_group_reads_from_every_group_that_it_has_room_for():
    plan = D6(16).plan(256, 256)
    source_groups = [channel // plan.interleave_step for channel in interleaved_order(256, plan.interleave_step)]
    for start in range(0, 256, 16):
        assert set(source_groups[start : start + 16]) == set(range(16))


@pytest.mark.parametrize(
    "first, second, at_most, expected", [(96, 64, 6, 4), (96, 64, 100, 32), (7, 5, 9, 1), (8, 8, 0, 1)]
)
def test_largest_common_divisor(first, second, at_most, expected):
    assert largest_common_divisor(first, second, at_most) == expected


def test_schemes_are_values():
    assert D6(16) == D6(16) and hash(D6(16)) == hash(D6(16))
    assert D6(16) != D6v3(16) and D6(16) != Grouped(16) and D6(16) != D6(32)
    assert str(D6v3(12)) == "D6v3(12)"


@pytest.mark.parametrize("scheme", [D6, D6v3, Grouped, GroupedV3])
@pytest.mark.parametrize(
    "value, error", [(0, ValueError), (-16, ValueError), (16.0, TypeError), ("16", TypeError), (True, TypeError)]
)
def test_channels_per_group_must_be_a_positive_integer(scheme, value, error):
    with pytest.raises(error, match=rf"`channels_per_group` must be .*at least 1.*{value}"):
        scheme(value)


@pytest.mark.parametrize("arguments, name", [((0, 8), "in_channels"), ((8, -1), "filters")])
def test_plan_names_the_bad_argument(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1"):
        D6(16).plan(*arguments)


@pytest.mark.parametrize("unknown", ["D6", 16, D6])
def test_an_unknown_scheme_is_refused(unknown):
    with pytest.raises(ValueError, match=r"`scheme` must be a value such as kgpc\.D6\(16\)"):
        check_scheme(unknown)


def test_ordinary_plan_is_one_convolution():
    assert ordinary_plan(8, 4).weights == 32
    assert check_scheme(None) is None
