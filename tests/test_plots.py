"""Figures and tables: what is drawn is what was given, colours can be told apart, and every figure has a text."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib import patches
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from kgpc import D6, D6v3, Grouped, datasets, figures, plots
from kgpc.grouping import interleaved_order, ordinary_plan
from kgpc.plots import encoding
from kgpc.plots.channels import columns_of
from kgpc.plots.style import luminance, text_color


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    plt.close("all")
    yield
    plt.close("all")


PARTS = pd.DataFrame({"pointwise": [90.0, 10.0], "depthwise": [10.0, 10.0]}, index=["large", "small"])
INTERVALS = pd.DataFrame({"value": [1.0, 2.0], "low": [0.0, 1.5], "high": [3.0, 2.5]}, index=["first", "second"])
FIGURES = {
    "stacked_bars": lambda: plots.stacked_bars(PARTS, "parameters", "Title", plots.LAYER_COLORS),
    "layer_bars": lambda: plots.layer_bars(pd.DataFrame({"kind": ["a", "b", "a"], "value": [1, 2, 3]}), "parameters"),
    "line_chart": lambda: plots.line_chart([1, 2], {"one": [1, 2], "two": [[1, 2], [3, 4]]}, "epoch", "loss"),
    "scatter": lambda: plots.scatter({"one": pd.DataFrame({"x": [1, 2], "y": [3, 4]})}, "size", "accuracy, %"),
    "matrices": lambda: plots.matrices({"one": np.eye(4), "two": np.ones((4, 4))}, "filter", "channel", "weight"),
    "interval_chart": lambda: plots.interval_chart(INTERVALS, "difference, percentage points", "Title", {"none": 0}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_is_labelled(name):
    for axes in FIGURES[name]().axes:
        # A picture beside another one shares its vertical axis, a colour bar has no horizontal one.
        assert axes.get_ylabel() or axes.get_xlabel()
        if axes is axes.figure.axes[0]:
            assert axes.get_xlabel() and (axes.get_ylabel() or name in ("stacked_bars", "interval_chart"))


def test_drawing_leaves_the_settings_of_the_reader_alone():
    before = dict(plt.rcParams)
    for draw in FIGURES.values():
        draw()
    assert dict(plt.rcParams) == before


# Colours


def as_seen_by_dichromats(color):
    """What is left of a colour for protanopes and deuteranopes (Viénot, Brettel and Mollon 1999)."""
    linear = np.array(to_rgb(color)) ** 2.2
    protanope = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
    deuteranope = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    return [np.clip(matrix @ linear, 0, 1) ** (1 / 2.2) for matrix in (np.eye(3), protanope, deuteranope)]


def test_any_two_colours_differ_for_colour_blind_readers():
    colors = list(plots.COLORS.values())
    for index, one in enumerate(colors):
        for other in colors[index + 1 :]:
            for seen, seen_other in zip(as_seen_by_dichromats(one), as_seen_by_dichromats(other), strict=True):
                assert np.linalg.norm(seen - seen_other) > 0.1, (one, other)


def test_parts_of_a_network_have_colours_of_their_own():
    assert len(set(plots.LAYER_COLORS.values())) == len(plots.LAYER_COLORS)
    assert set(plots.LAYER_COLORS.values()) <= set(plots.COLORS.values())


def test_given_colours_are_not_given_away_twice():
    figure = plots.stacked_bars(PARTS, "parameters", colors={"depthwise": plots.COLORS["blue"]})
    colors = [handle.get_facecolor() for handle in figure.legends[0].legend_handles]
    assert colors[1][:3] == to_rgb(plots.COLORS["blue"])
    assert colors[0] != colors[1]


# Values


def test_bars_have_the_lengths_and_totals_of_the_table():
    (axes,) = plots.stacked_bars(PARTS, "parameters").axes
    assert [round(bar.get_width()) for bar in axes.patches] == [90, 10, 10, 10]
    assert [round(bar.get_x()) for bar in axes.patches] == [0, 0, 90, 10]
    texts = [text.get_text() for text in axes.texts]
    assert {"90%", "100", "20"} <= set(texts)


def test_a_curve_of_several_runs_is_their_mean_within_a_band():
    (axes,) = plots.line_chart([1, 2], {"runs": [[0.0, 2.0], [2.0, 6.0]]}, "epoch", "loss", levels={"best": 1}).axes
    assert axes.lines[0].get_ydata().tolist() == [1.0, 4.0]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == 0.0 and band[:, 1].max() == 6.0
    assert "best" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize(("curve", "side"), [([5.0, 3.0, 1.0], "left"), ([1.0, 3.0, 5.0], "right")])
def test_the_name_of_a_level_stands_where_no_curve_is(curve, side):
    (axes,) = plots.line_chart([1, 2, 3], {"loss": curve}, "step", "loss", levels={"guessing": 0.5}).axes
    (text,) = axes.texts
    assert text.get_text() == "guessing" and text.get_horizontalalignment() == side


def test_step_losses_are_means_of_equal_parts_of_the_training():
    figure = plots.step_losses({"one": np.arange(30.0), "two": np.ones(30)}, guessing=10, points=3)
    (axes,) = figure.axes
    assert axes.lines[0].get_xdata().tolist() == [5.5, 15.5, 25.5]
    assert axes.lines[0].get_ydata().tolist() == [4.5, 14.5, 24.5]
    assert axes.lines[2].get_ydata()[0] == pytest.approx(2.302585)


@pytest.mark.parametrize("losses", [{"one": np.ones(20), "two": np.ones(30)}, {"one": np.ones(5)}])
def test_step_losses_that_cannot_be_compared_are_refused(losses):
    with pytest.raises(ValueError, match="`losses` must have the same number of steps"):
        plots.step_losses(losses)


def test_curves_differ_in_more_than_colour():
    (axes,) = plots.line_chart([1, 2], {"one": [1, 2], "two": [2, 1], "three": [2, 2]}, "epoch", "loss").axes
    assert len({line.get_linestyle() for line in axes.lines}) == 3
    assert len({line.get_marker() for line in axes.lines}) == 3


def test_points_with_labels_are_written_beside():
    points = pd.DataFrame({"x": [10, 100], "y": [1, 2], "label": ["16ch", "original"]})
    (axes,) = plots.scatter({"family": points}, "parameters", "accuracy, %", log_x=True).axes
    assert [text.get_text() for text in axes.texts] == ["16ch", "original"]


def test_matrices_share_one_colour_scale_with_white_at_zero():
    figure = plots.matrices({"one": np.eye(4), "two": -3 * np.eye(4)}, "filter", "channel", "weight", signed=True)
    scales = [axes.images[0].get_clim() for axes in figure.axes[:2]]
    assert scales == [(-3, 3), (-3, 3)]


def test_panels_share_axes_and_give_a_curve_the_same_look_everywhere():
    x = [1, 2, 3]
    panels = {
        "first": {"original": (x, [1.0, 2.0, 3.0]), "16ch": (x, [1.0, np.nan, 2.0])},
        "second": {"16ch": (x, [5.0, 6.0, 7.0])},
        "third": {"original": (x, [0.0, 1.0, 1.0])},
    }
    figure = plots.curve_panels(panels, "epoch", "loss", "Title", markers=True)
    first, second, third = figure.axes
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(panels)
    assert first.get_ylim() == second.get_ylim() and first.get_xlim() == third.get_xlim()
    in_first, in_second = first.lines[1], second.lines[0]
    for property in ("get_color", "get_linestyle", "get_marker"):
        assert getattr(in_first, property)() == getattr(in_second, property)()
        assert getattr(in_first, property)() != getattr(first.lines[0], property)()
    assert np.isnan(in_first.get_ydata()).tolist() == [False, True, False]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["original", "16ch"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "epoch", "epoch"] and figure.get_supylabel() == "loss"
    for bad in ({"panels": {}}, {"panels": panels, "columns": 0}):
        with pytest.raises(ValueError, match="Received"):
            plots.curve_panels(**bad, xlabel="epoch", ylabel="loss")


def test_intervals_reach_from_low_to_high():
    frame = INTERVALS.assign(group=["one", "other"])
    (axes,) = plots.interval_chart(frame, "difference", levels={"none": 0.0}, formats="+.1f").axes
    bars = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert bars[:2] == [[0.0, 3.0], [1.5, 2.5]]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["first", "second"]
    assert {"+1.0", "+2.0", "none"} <= {text.get_text() for text in axes.texts}
    with pytest.raises(ValueError, match="low <= value <= high"):
        plots.interval_chart(frame.assign(low=2.4), "difference")
    with pytest.raises(ValueError, match="value, low and high"):
        plots.interval_chart(frame[["value"]], "difference")


def test_images_are_shown_as_they_are_with_their_titles():
    pictures = [np.full((4, 6, 3), 200, np.uint8), np.full((4, 6), 0.5)]
    figure = plots.images(pictures, ["colour", "grey"], columns=3, title="Two")
    assert [axes.get_title() for axes in figure.axes] == ["colour", "grey"]
    assert (figure.axes[0].images[0].get_array() == 200).all()
    assert figure.axes[1].images[0].get_clim() == (0, 1)
    for bad in ({"pictures": []}, {"pictures": pictures, "titles": ["one"]}, {"pictures": pictures, "columns": 0}):
        with pytest.raises(ValueError, match="Received"):
            plots.images(**bad)


# The diagram of the sub-network


def final_sources(plan):
    columns, links = columns_of(plan)
    assert len(columns) == len(links) + 1
    return columns


def test_the_diagram_of_d6_shows_that_every_channel_depends_on_every_group():
    inputs, first, interleaved, second, total = final_sources(D6(4).plan(16, 16))
    assert all(len(groups) == 1 for groups in first.sources)
    assert interleaved.labels == interleaved_order(16, 4)
    assert second.sources == total.sources == [frozenset(range(4))] * 16


def test_the_diagram_of_groups_alone_shows_that_they_never_meet():
    inputs, first = final_sources(Grouped(4).plan(16, 16))
    assert first.sources == inputs.sources


def test_the_diagram_of_an_expansion_ends_in_the_interleaving():
    *_, last = final_sources(D6(4).plan(8, 16))
    assert last.labels == interleaved_order(16, 8)


def test_the_diagram_of_d6v3_has_copies_and_a_second_path():
    inputs, first, read_by_second, second, total = final_sources(D6v3(4).plan(10, 7))
    assert (inputs.labels[-2:], inputs.copies) == ([0, 1], 2)
    assert first.paths == (6, 1)
    assert first.title == "K\n6 filters, 3 groups\n1 filter, 1 group"
    assert (read_by_second.labels, read_by_second.title) == ([0, 1, 2, 3, 4, 5, 6, 0], "K\n7 channels + 1 copy")
    assert [one | other for one, other in zip(first.sources, second.sources, strict=True)] == total.sources


def test_the_groups_of_the_diagram_have_letters_beside_their_colours():
    texts = texts_of(plots.subnetwork(D6(4).plan(16, 16)))
    # In the input, in K and in the interleaving each channel has one letter, in L and in the sum all four.
    assert [texts.count(letter) for letter in "ABCDE"] == [3 * 4 + 2 * 16] * 4 + [0]
    assert [texts.count(str(channel)) for channel in range(16)] == [5] * 16


@pytest.mark.parametrize("plan", [D6(4).plan(16, 16), D6(4).plan(8, 16), D6(4).plan(7, 7), D6v3(4).plan(10, 7)])
def test_every_kind_of_plan_can_be_drawn(plan):
    figure = plots.subnetwork(plan, title="Title")
    boxes = [text.get_text() for text in figure.axes[0].texts]
    assert boxes.count("0") == len([column for column in columns_of(plan)[0] for label in column.labels if not label])


# Diagrams of networks


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def rectangles_of(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, patches.Rectangle)]


def test_a_block_diagram_has_every_box_in_its_colour_and_marks_what_changed():
    layers = [plots.Box("one", "pointwise"), plots.Box("two\nlines", changed=True), plots.Box("+")]
    figure = plots.block_diagram({"network": layers})
    assert texts_of(figure) == ["network", "one", "two\nlines", "+"]
    one, two = rectangles_of(figure)
    assert one.get_facecolor()[:3] == to_rgb(plots.LAYER_COLORS["pointwise"])
    assert two.get_edgecolor()[:3] == to_rgb(plots.COLORS["vermillion"]) != one.get_edgecolor()[:3]
    assert two.get_height() > one.get_height() and two.get_width() == one.get_width()
    assert two.get_y() + two.get_height() < one.get_y()
    assert [type(patch) for patch in figure.axes[0].patches].count(patches.Circle) == 1


def test_branches_lie_side_by_side_and_do_not_overlap():
    box = plots.Box("convolution")
    branches = ([box], [box, box], [box])
    squeezed = [([], [box, box]), plots.Box("×"), box]
    figure = plots.block_diagram({"parallel": [box, branches, box], "squeezed": [(squeezed, []), plots.Box("+")]})
    boxes = [rectangle.get_bbox() for rectangle in rectangles_of(figure)]
    assert len(boxes) == 9
    for index, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[index + 1 :])
    first, second, third, fourth = boxes[1:5]
    assert first.x1 < second.x0 < second.x1 < fourth.x0 and second.x0 == third.x0
    # Nothing is drawn outside the figure.
    width, height = figure.axes[0].get_xlim()[1], -figure.axes[0].get_ylim()[0]
    assert all(0 <= one.x0 and one.x1 <= width and -height <= one.y0 for one in boxes)
    for line in figure.axes[0].lines:
        assert max(line.get_xdata()) <= width


@pytest.mark.parametrize("layers", [[([plots.Box("a")], [])], [([plots.Box("a")], []), ([plots.Box("b")], [])]])
def test_branches_that_meet_nowhere_are_refused(layers):
    with pytest.raises(ValueError, match="must have a `Box` after branches"):
        plots.block_diagram({"network": layers})


def test_networks_that_do_not_fit_beside_each_other_stand_below_each_other_in_letters_of_full_size():
    wide = [([plots.Box("depthwise convolution")], [plots.Box("a pointwise convolution, 112 to 672")]), plots.Box("+")]
    figure = plots.block_diagram({"one": wide, "two": wide, "three": [plots.Box("small")]})
    assert figure.get_figwidth() <= 8.6
    assert {text.get_fontsize() for text in figure.axes[0].texts if text.get_text() != ""} == {9.0}
    titles = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert titles["one"][0] == titles["two"][0] and titles["one"][1] > titles["two"][1] == titles["three"][1]
    one, *_ = rectangles_of(figure)
    assert all(not one.get_bbox().overlaps(other.get_bbox()) for other in rectangles_of(figure)[1:])


def test_words_on_any_colour_can_be_read():
    for color in [*plots.COLORS.values(), plots.GREY, "#808080", "white"]:
        ground, text = (luminance(one) + 0.05 for one in (color, text_color(color)))
        assert max(ground, text) / min(ground, text) >= 4.5, color


def test_the_boxes_of_a_unit_are_those_of_its_plan():
    ordinary = plots.pointwise_boxes(ordinary_plan(8, 16), "expand", "swish")
    assert [box.text for box in ordinary] == ["expand 8 → 16\n128 weights", "batch normalization,\nswish"]
    assert not any(box.changed for box in ordinary)
    stays = plots.pointwise_boxes(D6(16).plan(8, 16), batch_norm=False, weights=False)
    assert [box.text for box in stays] == ["1×1 8 → 16"] and not stays[0].changed
    widening = plots.pointwise_boxes(D6(4).plan(8, 16), "expand", "swish")
    assert [box.text for box in widening] == [
        "expand K: 2 groups of 4\n64 weights",
        "batch normalization,\nswish",
        "interleave, step 8",
    ]
    assert [box.changed for box in widening] == [True, False, True]
    k, branches, plus = plots.pointwise_boxes(D6(4).plan(8, 8), activation="swish", batch_norm=False)
    assert k.text == "K: 2 groups of 4\n32 weights, swish" and plus.text == "+"
    assert [box.text for box in branches[0]] == ["interleave, step 4", "L: 2 groups of 4\n32 weights, swish"]
    assert branches[1] == []
    plots.block_diagram({"unit": [k, branches, plus]})


def test_hatching_tells_parts_of_one_colour_apart():
    parts = pd.DataFrame({"a": [1.0], "b": [2.0]}, index=["network"])
    colors = dict.fromkeys(parts, plots.LAYER_COLORS["pointwise"])
    figure = plots.stacked_bars(parts, xlabel="parameters", colors=colors, hatches={"b": "///"})
    assert [bar.get_hatch() for bar in figure.axes[0].patches] == [None, "///"]
    with pytest.raises(ValueError, match="`hatches` must hold hatchings"):
        plots.stacked_bars(parts, xlabel="parameters", hatches={"b": "striped"})
    with pytest.raises(TypeError, match="`hatches` must be a dict"):
        plots.stacked_bars(parts, xlabel="parameters", hatches="///")


def test_feature_maps_become_smaller_and_thicker_from_plate_to_plate():
    frame = pd.DataFrame(
        [("image", 32, 3, ""), ("stem", 16, 64, "other convolutions"), ("classes", 1, 1000, "classifier")],
        columns=["label", "size", "channels", "kind"],
    )
    figure = plots.feature_maps(frame, title="Title")
    assert texts_of(figure) == ["image", "32\n×32\n×3", "stem", "16\n×16\n×64", "classes", "1\n×1\n×1,000"]
    fronts = [patch.get_path().get_extents() for patch in figure.axes[0].patches[::9]]
    heights, widths = [front.height for front in fronts], [front.width for front in fronts]
    assert heights == sorted(heights, reverse=True) and widths == sorted(widths)


# Tables


def test_a_table_has_a_caption_and_readable_numbers():
    frame = pd.DataFrame({"parameters": pd.array([3217226, None], "Int64"), "left": [0.0759, 1]}, index=["a<b", "c"])
    table = plots.table(frame.rename_axis("model"), "Table 1. Sizes.", formats={"left": ".1%"})
    assert table.frame.equals(frame.rename_axis("model")) and table.caption == "Table 1. Sizes."
    page = table.to_html()
    assert table._repr_html_() == page
    assert ">Table 1. Sizes.</caption>" in page
    assert "3,217,226" in page and ">7.6%<" in page and "a&lt;b" in page
    assert "nan" not in page.lower() and "<NA>" not in page
    text = repr(table).splitlines()
    assert text[0] == "Table 1. Sizes." and text[1].split() == ["model", "parameters", "left"]


def test_a_table_leaves_out_an_index_that_only_counts():
    assert repr(plots.table(pd.DataFrame({"scheme": ["D6(16)"]}), "One.")) == "One.\nscheme\nD6(16)"


@pytest.mark.parametrize("arguments, name", [({"caption": " "}, "caption"), ({"formats": {"other": ".1f"}}, "formats")])
def test_a_bad_table_is_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        plots.table(pd.DataFrame({"a": [1]}), **{"caption": "A caption.", **arguments})


# Onto the page


@pytest.fixture
def displayed(monkeypatch):
    """What has been put onto the page, as pairs of data and metadata."""
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, metadata=None, raw=False: shown.append((data, metadata))
    )
    return shown


def test_a_drawing_is_shown_as_svg_with_its_text(displayed):
    figure = plots.stacked_bars(PARTS, "parameters")
    plots.show(figure, "Two bars, > 0.", caption="Figure 1. Two bars.")
    (data, metadata), (caption, _) = displayed
    root = ET.fromstring(data["image/svg+xml"])
    assert root.get("aria-label") == "Two bars, > 0." and root.get("font-family") == "sans-serif"
    texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"90%", "large", "parameters", "pointwise"} <= set(texts)
    # For what shows no SVG, and for readers who cannot see.
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG") and len(data["image/png"]) < 30_000
    assert data["text/plain"] == "[Figure: Two bars, > 0.]"
    assert (
        metadata["image/svg+xml"] == metadata["image/png"] == {"alt": "Two bars, > 0.", "width": int(root.get("width"))}
    )
    assert 600 < metadata["image/png"]["width"] < 800
    assert "Figure 1. Two bars." in caption["text/html"]
    assert not plt.fignum_exists(figure.number)


def test_the_few_colours_of_a_png_beside_a_drawing_are_those_of_its_curves():
    curves = {name: [index, index + 1.0] for index, name in enumerate(["first", "second", "third", "fourth"])}
    content, _ = encoding.encoded(plots.line_chart([1, 2], curves, "x", "y", title="Four curves"), "Four curves.")
    image = Image.open(io.BytesIO(base64.b64decode(content["image/png"]))).convert("RGB")
    found = np.array([color for _, color in image.getcolors(1000)])
    for color in list(plots.COLORS.values())[: len(curves)]:
        expected = np.round(255 * np.array(to_rgb(color)))
        assert np.abs(found - expected).max(axis=1).min() <= 10, color


def test_pale_areas_of_a_png_beside_a_drawing_stay():
    curves = {"one": [[0.0, 1.0], [1.0, 2.0]], "two": [[3.0, 3.0], [5.0, 6.0]]}
    content, _ = encoding.encoded(plots.line_chart([1, 2], curves, "x", "y"), "Two bands.")
    image = Image.open(io.BytesIO(base64.b64decode(content["image/png"]))).convert("RGB")
    (white, color), *others = sorted(image.getcolors(1000), reverse=True)
    assert color == (255, 255, 255) and white > 0.3 * image.width * image.height
    large = np.array([color for count, color in others if count > 0.02 * image.width * image.height])
    for color in list(plots.COLORS.values())[: len(curves)]:
        band = 255 - 0.2 * (255 - 255 * np.array(to_rgb(color)))
        assert np.abs(large - band).max(axis=1).min() <= 10, color


def pictures_in(drawing):
    """The pictures within an SVG: each as an image, its format, and whether its pixels are kept apart."""
    found = []
    for element in ET.fromstring(drawing).iter("{http://www.w3.org/2000/svg}image"):
        head, _, content = element.get("href").partition(",")
        picture = Image.open(io.BytesIO(base64.b64decode(content)))
        assert head == f"data:image/{picture.format.lower()};base64"
        found.append((picture, picture.format, element.get("image-rendering") == "pixelated"))
    return found


def test_a_cloud_of_points_is_shown_as_png(displayed):
    figure, axes = plt.subplots()
    axes.scatter(*np.random.default_rng(0).normal(size=(2, 20_000)))
    plots.show(figure, "A cloud.")
    ((data, metadata),) = displayed
    assert set(data) == {"image/png", "text/plain"} and set(metadata) == {"image/png"}


def test_points_of_one_look_say_it_once(displayed):
    points = pd.DataFrame(np.random.default_rng(0).normal(size=(500, 2)), columns=["x", "y"])
    plots.show(plots.scatter({"points": points}, "x", "y"), "Points.")
    drawing = displayed[0][0]["image/svg+xml"]
    assert 500 <= drawing.count("<use") < 530 and drawing.count(plots.COLORS["blue"].lower()) < 10


def test_a_small_picture_has_a_pixel_for_each_of_its_own(displayed):
    plots.show(plots.images([np.eye(4), np.zeros((4, 4, 3))], width=3), "Two pictures.")
    data, metadata = displayed[0]
    assert set(data) == {"image/svg+xml", "image/png", "text/plain"}
    assert metadata["image/svg+xml"] == metadata["image/png"]
    (grey, *rest), (colour, *others) = pictures_in(data["image/svg+xml"])
    assert rest == others == ["PNG", True] and colour.size == (4, 4)
    assert np.array_equal(np.asarray(grey.convert("L")), 255 * np.eye(4)[::-1]) or np.array_equal(
        np.asarray(grey.convert("L")), 255 * np.eye(4)
    )


def test_photographs_are_shown_as_jpeg_with_clear_letters_and_true_colours(displayed):
    photograph = datasets.photographs()[0].pixels[:240, :240]
    plots.show(plots.images([photograph], ["a title"], width=4), "A photograph.")
    ((data, metadata),) = displayed
    assert set(data) == {"image/svg+xml", "image/jpeg", "text/plain"}
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"])), formats=("JPEG",))
    assert metadata["image/jpeg"] == metadata["image/svg+xml"]
    assert abs(metadata["image/jpeg"]["width"] - picture.width * 96 / 110) < 2
    # The same figure as Matplotlib draws it.
    figure, drawn = plots.images([photograph], ["a title"], width=4), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    assert len(data["image/jpeg"]) < len(drawn.getvalue()) / 2
    difference = np.abs(np.asarray(picture, float) - np.asarray(Image.open(drawn).convert("RGB"), float))
    assert np.mean(difference) < 4 and np.mean(difference > 40) < 0.01
    # And in the drawing: the photograph alone.
    assert "a title" in data["image/svg+xml"]
    ((picture, kind, single),) = pictures_in(data["image/svg+xml"])
    assert (kind, single, picture.size) == ("JPEG", False, (240, 240))
    assert np.mean(np.abs(np.asarray(picture, float) - photograph)) < 4


def test_a_photograph_has_no_more_pixels_than_are_seen(displayed):
    photograph = datasets.photographs()[0].pixels
    plots.show(plots.images([photograph] * 3, columns=3, width=6), "Three.")
    drawing = displayed[0][0]["image/svg+xml"]
    for picture, kind, single in pictures_in(drawing):
        assert kind == "JPEG" and not single and 180 <= picture.width <= 260
        assert picture.width / picture.height == pytest.approx(photograph.shape[1] / photograph.shape[0], rel=0.02)


def test_maps_of_numbers_stay_as_sharp_as_they_are(displayed):
    """However large they are: a cell of a map must not run into the next one."""
    noise = np.random.default_rng(0).random((300, 300))
    plots.show(plots.matrices({"noise": noise}, "x", "y", "z"), "Noise.")
    plots.show(plots.matrices({"noise": noise[:30, :30]}, "x", "y", "z"), "A little noise.")
    assert set(displayed[0][0]) <= {"image/svg+xml", "image/png", "text/plain"}
    (picture, kind, single), *_ = pictures_in(displayed[1][0]["image/svg+xml"])
    assert (picture.size, kind, single) == ((30, 30), "PNG", True)


def test_the_same_figure_is_the_same_picture_and_names_in_it_are_its_own(displayed):
    one, other = (plots.as_html(FIGURES["stacked_bars"](), 'A "figure".') for _ in range(2))
    assert (
        one == other and 'alt="A &quot;figure&quot;."' in one and one.startswith('<img src="data:image/svg+xml;base64,')
    )
    for name in ("line_chart", "line_chart", "scatter"):
        plots.show(FIGURES[name](), name)
    first, again, second = (data["image/svg+xml"] for data, _ in displayed)
    assert first == again
    names = [set(re.findall(r'id="([^"]+)"', text)) for text in (first, second)]
    assert names[0] and names[1] and not names[0] & names[1]
    for text, own in zip((first, second), names, strict=True):
        referred = {*re.findall(r"url\(#(.*?)\)", text), *re.findall(r'href="#(.*?)"', text)}
        assert referred and referred <= own


def test_a_drawing_looks_as_its_png_does(displayed, chromium):
    """The shapes are those of Matplotlib; letters, which differ by the fonts of a computer, are left out."""
    figure = plots.line_chart(
        [1, 2, 3], {"one": [1, 2, 4], "two": [[3, 1, 1], [2, 2, 2]]}, "x", "y", levels={"low": 1.5}
    )
    figure.axes[0].bar([2], [1], hatch="//", facecolor=plots.COLORS["orange"], edgecolor="black")
    for text in figure.findobj(Text):
        text.set_color("none")
    plots.show(figure, "Shapes only.")
    ((data, metadata),) = displayed
    page = chromium.new_page(viewport={"width": 900, "height": 600})
    page.set_content(f'<body style="margin:0;background:white">{data["image/svg+xml"]}')
    shot = page.locator("svg").screenshot()
    page.close()
    seen = Image.open(io.BytesIO(shot)).convert("L")
    expected = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("L").resize(seen.size)
    difference = np.abs(np.asarray(seen, float) - np.asarray(expected, float))
    assert np.mean(difference) < 4 and np.mean(np.asarray(seen) < 128) > 0.01


def test_a_picture_keeps_its_colours():
    """A drawing beside an SVG has a palette; in a picture with more colours than that, none may change."""
    steps = np.linspace(0, 1, 64)
    shades = np.stack(np.broadcast_arrays(steps[:, None], steps, 0.5), axis=-1)
    html = plots.as_html(plots.images([shades], columns=1, width=3), "Many colours.")
    drawing = base64.b64decode(html.partition("base64,")[2].partition('"')[0]).decode()
    ((picture, *_),) = pictures_in(drawing)
    assert picture.mode == "RGB" and len(picture.getcolors(2**24)) > 1000


@pytest.mark.parametrize("caption", ["", "  ", None, 3])
def test_a_figure_that_moves_is_shown_with_a_caption(displayed, caption):
    figure = figures.d6()
    with pytest.raises(ValueError, match="`caption` must be a line of text"):
        figure.show(caption)
    assert displayed == []


@pytest.mark.parametrize("function", [plots.show, plots.as_html])
@pytest.mark.parametrize("alt", ["", "  ", None])
def test_a_figure_without_a_text_is_refused(function, alt):
    with pytest.raises(ValueError, match="`alt` must describe the figure"):
        function(FIGURES["stacked_bars"](), alt)
