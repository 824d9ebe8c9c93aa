"""Figures that move: their arithmetic is that of the package; they work with keys, by touch, and without scripts."""

import json
import random
import re

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import site_figures
from matplotlib.text import Text
from test_verdicts import MEANS, row, table_of

import kgpc
from kgpc import D6, D6v3, applications, figures, flops, plots
from kgpc.figures import moving
from kgpc.paper import experiment_page

POINTS = pd.DataFrame(
    [
        ("64 channels", "ordinary", 16.0, 30e9),
        ("<img src=x onerror=alert(1)>", "ordinary", 120.0, 90e9),
        ("512 channels", "16 per group", 4.0, 20e9),
    ],
    columns=["name", "kind", "intensity", "rate"],
)
LAYERS = pd.DataFrame(
    [("stem", "other convolutions", 432, 5_000), ("conv_pw_1", "pointwise", 512, 90_000), ("norm", "other", 32, 0)],
    columns=["layer", "part", "trainable_parameters", "macs"],
)
RUNS = pd.DataFrame(
    [
        ("MobileNet", "one run", True, 3_217_226, 567_751_710, 93.15),
        ("<img src=x onerror=alert(1)>", "seed 1", False, 3_217_226, 46_467_102, 88.2),
        ("grouped", "seed 1", False, 244_298, 8_000_000, 84.1),
        ("grouped", "seed 2", False, 244_298, 8_000_000, 84.6),
    ],
    columns=["network", "run", "published", "parameters", "flops", "accuracy_percent"],
)
MAKE = {
    "accuracies": lambda: figures.accuracies(RUNS, published="CIFAR-10, 50 epochs", own="copies, 24 epochs"),
    "d6": lambda: figures.d6(97, 64, 16),
    "dense_units": lambda: figures.dense_units({"stage 1": 24, "stage 2": 108, "stage 3": 150}),
    "layer_costs": lambda: figures.layer_costs({"original": LAYERS, "grouped": LAYERS.head(2)}),
    "price": site_figures.published_prices,
    "roofline": lambda: figures.roofline(
        POINTS, peak=100e9, bandwidth=9e9, cache_bandwidth=20e9, ceilings={"products 16 wide": 50e9}
    ),
}
EVERY_FIGURE = pytest.mark.parametrize("name", MAKE)
SCHEMES = {"D6": D6, "D6v3": D6v3}


@pytest.fixture(scope="module")
def bundles():
    """What a notebook stores of each figure."""
    return {name: make()._repr_mimebundle_() for name, make in MAKE.items()}


def test_every_figure_has_a_door_a_script_and_a_maker():
    assert set(MAKE) == set(moving.SCRIPTS) == set(figures.__all__) - {"MovingFigure", "restored"}


# What is stored


@EVERY_FIGURE
def test_an_output_is_stable_small_and_made_anew_from_its_parameters(bundles, name):
    data, metadata = bundles[name]
    assert (data, metadata) == MAKE[name]()._repr_mimebundle_()
    assert len(moving.script((name,))) < 30_000
    stored = json.loads(json.dumps(metadata[moving.METADATA], sort_keys=True))
    again = figures.restored(stored)
    assert (again.text, again.alt) == (data["text/plain"], metadata["image/png"]["alt"])
    # A blank line would end the element within a Markdown page.
    assert "\n\n" not in again.element("picture.png")


def test_scripts_ask_for_nothing_and_end_where_they_end():
    script = moving.script()
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import|eval|innerHTML|localStorage|cookie)\b", script)
    assert re.findall(r"https?://[^\"']*", script) == ["http://www.w3.org/2000/svg"]
    assert "</script" not in script.lower() and "<!--" not in script


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored | {"name": "nonsense"},
        lambda stored: stored | {"name": ["d6"]},
        lambda stored: stored | {"parameters": None},
        lambda stored: stored | {"parameters": []},
        lambda stored: stored | {"script": "alert(1)"},
        lambda stored: {"name": "d6"},
        lambda stored: stored | {"parameters": stored["parameters"] | {"other": 1}},
        lambda stored: stored | {"parameters": dict(list(stored["parameters"].items())[1:])},
        lambda stored: stored | {"parameters": dict.fromkeys(stored["parameters"], "<script>alert(1)</script>")},
        lambda stored: stored | {"parameters": dict.fromkeys(stored["parameters"], 10**400)},
        lambda stored: stored | {"parameters": dict.fromkeys(stored["parameters"], [[[1]]])},
        lambda stored: stored | {"parameters": dict.fromkeys(stored["parameters"], {"a": float("nan")})},
    ],
)
@EVERY_FIGURE
def test_what_no_function_would_have_made_is_refused(bundles, name, change):
    stored = json.loads(json.dumps(bundles[name][1][moving.METADATA]))
    with pytest.raises(ValueError, match=r"^`stored` must "):
        figures.restored(change(stored))


def test_a_stored_figure_is_a_dict():
    for odd in (None, "d6", ["d6"]):
        with pytest.raises(TypeError, match="`stored` must be a dict"):
            figures.restored(odd)


def test_names_in_the_roofline_picture_stand_apart():
    crowded = pd.DataFrame(
        {"name": [f"{number} channels" for number in range(6)], "kind": "one", "intensity": 4.0, "rate": 20e9}
    )
    figure = figures.roofline(crowded, peak=100e9, bandwidth=9e9).picture()
    names = [text for text in figure.axes[0].texts if text.get_text() in set(crowded["name"])]
    figure.draw_without_rendering()
    # Without the line that leads to the point.
    boxes = [Text.get_window_extent(name) for name in names]
    assert len(boxes) == 6
    assert not any(one.overlaps(other) for index, one in enumerate(boxes) for other in boxes[:index])
    plt.close(figure)


def test_a_roofline_without_cache_or_ceilings_has_one_roof():
    figure = figures.roofline(POINTS, peak=100e9, bandwidth=9e9)
    assert figure.parameters["cache_bandwidth"] is None and figure.parameters["ceilings"] == {}
    assert "cache" not in figure.text
    with pytest.raises(ValueError, match="`cache_bandwidth` must be a finite number of at least 9e"):
        figures.roofline(POINTS, peak=100e9, bandwidth=9e9, cache_bandwidth=8e9)
    with pytest.raises(ValueError, match="`ceilings` must have at most 3 entries"):
        figures.roofline(POINTS, peak=100e9, bandwidth=9e9, ceilings=dict.fromkeys("abcd", 1e9))


# Arithmetic


@pytest.fixture(scope="module")
def arithmetic(chromium):
    """A function that evaluates JavaScript where the scripts of D6 are defined."""
    page = chromium.new_page()
    sources = "\n".join(moving.source(f"{name}.js") for name in ("core", "grouping", "d6"))

    def evaluate(expression, argument=None):
        return page.evaluate(f"argument => {{\n{sources}\nreturn {expression};\n}}", argument)

    yield evaluate
    page.close()


def as_plain(plan):
    """A plan as the script writes it."""
    stages = [
        {
            "copied": stage.copied_channels,
            "paths": [
                {"channels": path.in_channels, "filters": path.filters, "groups": path.groups} for path in stage.paths
            ],
        }
        for stage in plan.stages
    ]
    return {"channels": plan.in_channels, "filters": plan.filters, "step": plan.interleave_step, "stages": stages}


def test_plans_and_weights_are_those_of_the_package(arithmetic):
    generator = random.Random(6)
    triples = [[c, f, m] for c in range(1, 21) for f in range(1, 13) for m in range(1, 9)]
    triples += [
        [generator.randint(1, 2048), generator.randint(1, 2048), generator.randint(1, 130)] for _ in range(3000)
    ]
    # Numbers that networks have, whose common divisors are many.
    triples += [
        [8 * generator.randint(1, 200), 8 * generator.randint(1, 200), generator.randint(1, 64)] for _ in range(3000)
    ]
    for name, scheme in SCHEMES.items():
        plans = [scheme(m).plan(c, f) for c, f, m in triples]
        found = arithmetic(
            f"argument.map(triple => {{ const plan = SCHEMES.{name}(...triple); return [plan, planWeights(plan)]; }})",
            triples,
        )
        for triple, plan, (written, weights) in zip(triples, plans, found, strict=True):
            assert (written, weights) == (as_plain(plan), plan.weights), (name, triple)


def test_interleaving_is_that_of_the_package(arithmetic):
    pairs = [[channels, step] for channels in range(1, 40) for step in range(1, 45, 3)]
    found = arithmetic("argument.map(pair => interleavedOrder(...pair))", pairs)
    assert found == [kgpc.grouping.interleaved_order(*pair) for pair in pairs]


@pytest.mark.parametrize(
    "name, channels, filters, size",
    [
        ("D6", 16, 16, 4),
        ("D6", 32, 16, 4),
        ("D6", 12, 24, 4),
        ("D6v3", 97, 64, 16),
        ("D6v3", 10, 7, 4),
        ("D6v3", 9, 20, 4),
    ],
)
def test_what_a_channel_reaches_is_what_a_real_block_computes(arithmetic, name, channels, filters, size):
    inputs = keras.Input((1, 1, channels))
    options = {"name": "unit", "activation": None, "batch_norm": False}
    block = keras.Model(inputs, kgpc.blocks.pointwise(inputs, filters, SCHEMES[name](size), **options))
    block.set_weights([np.ones_like(weight) for weight in block.get_weights()])
    one_by_one = np.eye(channels, dtype="float32").reshape(channels, 1, 1, channels)
    expected = keras.ops.convert_to_numpy(block(one_by_one)).reshape(channels, filters) > 0.5
    arithmetic_of_all = f"""(() => {{
        const columns = columnsOf(SCHEMES.{name}(...argument));
        return Array.from({{length: argument[0]}}, (_, channel) => reached(columns, channel).at(-1));
    }})()"""
    np.testing.assert_array_equal(arithmetic(arithmetic_of_all, [channels, filters, size]), expected)


def test_colours_are_those_of_all_figures(arithmetic):
    palette, parts = arithmetic("[PALETTE, PARTS]")
    assert palette == {name: color for name, color in plots.COLORS.items() if name != "black"}
    assert parts == plots.LAYER_COLORS


def test_parameters_with_other_numbers_of_classes_are_those_of_networks():
    families = {
        "MobileNet": "kMobileNet",
        "EfficientNet-B0": "kEfficientNetB0",
        "MobileNet V3 Large": "kMobileNetV3Large",
    }
    for name, constructor in families.items():
        network = getattr(applications, constructor)(input_shape=(32, 32, 3), classes=10, scheme=None)
        (classifier,) = (count for count in flops.layer_counts(network) if count.part == "classifier")
        assert classifier.trainable_parameters == 10 * (site_figures.FEATURES[name] + 1), name


# The page of the experiment


@pytest.mark.parametrize(("networks", "expected"), [(7, 8), (8, 2)])
def test_runs_of_ones_own_are_told_apart_by_colour_as_long_as_there_are_enough(networks, expected):
    own = [(f"network {index}", "seed 1", False, 1000 + index, 9000, 80.0) for index in range(networks)]
    frame = pd.concat([pd.DataFrame(own, columns=RUNS.columns), RUNS.head(1)])
    (legend,) = figures.accuracies(frame, published="one", own="another").picture().legends
    names = [entry.get_text() for entry in legend.get_texts()]
    assert len(names) == expected and names[-1] == "published"


def test_the_page_of_the_experiment_gets_every_run_where_it_says_so(tmp_path):
    rows = [row(key, seed, mean + seed / 10) for key, mean in MEANS.items() for seed in (1, 2, 3)]
    table = table_of([*rows, row("ordinary", 100, 70, epochs=6, peak_learning_rate=0.001, validation_loss=0.9)])
    text = experiment_page.page(table)
    table[["parameters", "flops"]] = 1000
    assert text.count(experiment_page.FIGURE) == 1
    page = site_figures.with_every_run(text, site_figures.Pictures(tmp_path / "figures"), table)
    assert experiment_page.FIGURE not in page and 'src="../_figures/accuracies.js"' in page
    lines = site_figures.every_run(table).text.splitlines()
    assert sum("seed" in line and "(published)" not in line for line in lines[2:]) == 12
    published = [line for line in lines if "(published)" in line]
    assert any(
        line.startswith("kMobileNet 16ch, one run (published): 89.81%, 244,298 parameters") for line in published
    )
    assert "Known:" in site_figures.with_every_run(experiment_page.page(table_of([])), None)


# In a browser


@pytest.fixture
def opened(chromium, bundles):
    """A function that opens the output of a figure and returns its page, whose `trouble` must stay empty."""
    contexts = []

    def open_figure(name, **options):
        context = chromium.new_context(**{"viewport": {"width": 1300, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.trouble = []
        page.on("console", lambda message: page.trouble.append(message.text))
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        page.on("dialog", lambda dialog: page.trouble.append(dialog.message) or dialog.dismiss())
        page.on("request", lambda request: request.url.startswith("data:") or page.trouble.append(request.url))
        page.set_content(f"<!doctype html>{bundles[name][0]['text/html']}")
        return page

    yield open_figure
    for context in contexts:
        context.close()


def said(page):
    return page.locator(".said").inner_text()


@EVERY_FIGURE
def test_a_figure_comes_to_life_fits_and_follows_the_theme(opened, name):
    page = opened(name)
    page.wait_for_selector(".kgpc-figure[data-alive] svg > *")
    assert not page.locator(".kgpc-figure > img").is_visible()  # the picture gives its place to the figure
    for width in (400, 1300):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "width => [...document.querySelector('.kgpc-figure').shadowRoot.querySelectorAll('svg')]"
            ".every(svg => Math.abs(svg.viewBox.baseVal.width - svg.clientWidth) < 1)"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # No text stands beyond the edge or is too small to be read.
        bad = page.eval_on_selector_all(
            "svg text",
            "texts => texts.filter(text => { const box = text.getBoundingClientRect(); "
            "return box.left < -1 || box.right > innerWidth + 1 || box.height < 10; }).map(text => text.textContent)",
        )
        assert bad == [], width
    assert page.locator(".kgpc-figure.dark").count() == 0
    page.evaluate("document.body.style = 'background: #131416; color: #cfd0d0'")
    page.wait_for_selector(".kgpc-figure.dark")
    assert page.trouble == [] and said(page)


@EVERY_FIGURE
def test_every_control_has_a_name_and_is_reached_with_the_tab_key(opened, name):
    page = opened(name)
    unnamed = page.eval_on_selector_all("input", "inputs => inputs.filter(input => !input.labels.length).length")
    assert unnamed == 0 and page.locator("svg[role=img]:not([aria-label])").count() == 0
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.shadowRoot?.activeElement?.type") == "range":
            break
    before = said(page)
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('.kgpc-figure').shadowRoot.querySelector('.said').textContent !== before",
        arg=before,
    )
    assert page.evaluate("getComputedStyle(document.activeElement.shadowRoot.activeElement).outlineStyle") == "solid"
    assert page.trouble == []


@EVERY_FIGURE
def test_without_scripts_there_are_a_picture_and_the_numbers(opened, name):
    page = opened(name, java_script_enabled=False)
    assert page.locator(".kgpc-figure > img").is_visible()
    page.locator("summary").click()
    assert page.locator("pre").inner_text().strip() == MAKE[name]().text


@EVERY_FIGURE
def test_a_figure_lives_in_a_closed_frame_as_on_colab(chromium, bundles, name):
    page = chromium.new_page()
    frame = bundles[name][0]["text/html"].replace("&", "&amp;").replace('"', "&quot;")
    page.set_content(f'<iframe sandbox="allow-scripts" width="700" height="400" srcdoc="{frame}"></iframe>')
    page.frame_locator("iframe").locator(".kgpc-figure[data-alive] svg > *").first.wait_for(state="attached")
    page.close()


def test_two_figures_share_a_page(opened, bundles):
    page = opened("d6")
    both = bundles["d6"][0]["text/html"] + bundles["price"][0]["text/html"] + bundles["d6"][0]["text/html"]
    page.set_content(both)
    page.wait_for_function("document.querySelectorAll('.kgpc-figure[data-alive]').length === 3")
    names = page.eval_on_selector_all("input[type=radio]", "inputs => inputs.map(input => input.name)")
    assert page.trouble == [] and names


def cells(page):
    """The table of a figure as a dict."""
    rows = page.locator("table tr").all()
    return {row.locator("th").inner_text(): row.locator("td").inner_text() for row in rows}


def test_97_channels_show_where_d6_fails_and_a_switch_shows_d6v3(opened):
    page = opened("d6")
    page.get_by_role("button", name="16 to 16").click()
    page.wait_for_function("document.querySelector('.kgpc-figure').shadowRoot.querySelectorAll('polygon').length === 8")
    assert cells(page)["groups of K"] == "4" and "4 groups of 4 channels" in said(page)
    page.get_by_role("button", name="97 channels: D6 fails").click()
    page.wait_for_function("document.querySelector('.kgpc-figure').shadowRoot.querySelectorAll('polygon').length === 1")
    assert "No number from 2 to 6 divides both 97 and 64" in said(page)
    assert cells(page)["of the ordinary weights"] == "100%"
    page.get_by_label("D6v3", exact=True).check()
    page.wait_for_function("document.querySelector('.kgpc-figure').shadowRoot.querySelectorAll('polygon').length > 1")
    plan, found = D6v3(16).plan(97, 64), cells(page)
    assert found["weights"] == f"{plan.weights:,}" and found["groups of K"] == str(plan.groups)
    assert found["multiply-adds, 14×14 pixels"] == f"{plan.weights * 196:,}"
    assert page.trouble == []


def bright(page):
    """How many boxes of the drawing are not faded."""
    return page.locator("svg g:not(.dim)").count()


def test_a_channel_is_followed_by_pointing_keys_and_touch(opened):
    page = opened("d6", has_touch=True)
    page.get_by_role("button", name="16 to 16").click()
    page.wait_for_function("document.querySelector('.kgpc-figure').shadowRoot.querySelectorAll('polygon').length === 8")
    assert bright(page) == 5 * 16
    slider = page.get_by_label("follow an input channel")
    slider.focus()
    page.keyboard.press("ArrowRight")
    path = "Channel 0 reaches 4 of 16 filters behind K, and 16 of 16 behind K + L."
    assert said(page) == path
    assert bright(page) == 1 + 4 + 4 + 16 + 16
    page.keyboard.press("Home")
    assert bright(page) == 5 * 16
    box = page.locator("svg").bounding_box()
    fifth = {"x": 20, "y": 34 + 5.5 * 20}  # rows are 20 pixels high, below a head of 34
    page.mouse.move(box["x"] + fifth["x"], box["y"] + fifth["y"])
    assert said(page).startswith("Channel 5 reaches")
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] + 60)
    assert bright(page) == 5 * 16
    page.touchscreen.tap(box["x"] + fifth["x"], box["y"] + fifth["y"])
    assert said(page).startswith("Channel 5 reaches") and slider.input_value() == "5"


def test_price_and_saving_move_together(opened):
    page = opened("price")
    rows = kgpc.paper.published().query("dataset == 'CIFAR-10' and image_size == 224").set_index("model")
    mobilenet = rows.loc["MobileNet"]
    grouped = rows.query("channels_per_group == 16").loc["kMobileNet"]
    assert f"{grouped.parameters:,} parameters" in said(page) and f"{grouped.test_accuracy_percent}%" in said(page)
    bars = page.locator(".bar .value").all_inner_texts()
    assert bars == [f"{mobilenet.parameters:,}", f"{grouped.parameters:,}"]
    lost = mobilenet.test_accuracy_percent - grouped.test_accuracy_percent
    assert f"{lost:.2f} points less than the original" in said(page)
    page.get_by_label("1000").check()
    more = 990 * 1025
    assert page.locator(".bar .value").all_inner_texts() == [
        f"{count + more:,}" for count in (mobilenet.parameters, grouped.parameters)
    ]
    assert "70% fewer" in said(page) and "published for 10 classes only" in said(page)
    page.get_by_label("size of the groups").press("End")
    assert "original: 4,231,976 parameters; 93.15%" in said(page)
    page.get_by_label("MobileNet V3 Large").check()
    assert said(page).startswith("MobileNet V3 Large, original")


def test_a_step_from_unit_to_unit_shows_the_groups(opened):
    page = opened("dense_units")
    for unit in range(1, 17):
        plan = D6(12).plan(24 + 12 * (unit - 1), 48)
        assert f"stage 1, unit {unit} reads {plan.in_channels} channels" in said(page)
        found = cells(page)
        assert found["groups of K"] == str(plan.groups) and found["weights"] == f"{plan.weights:,}"
        page.get_by_role("button", name="next unit").click()
    assert "stage 2, unit 1" in said(page)


def test_a_layer_is_marked_in_both_charts(opened):
    page = opened("layer_costs")
    page.get_by_role("slider", name="layer").press("End")
    assert "conv_pw_1, pointwise: 512 (54%) of the parameters, 90,000 (95%) of the multiply-adds" in said(page)
    assert page.locator("rect[stroke=currentColor]").count() == 2


def test_published_results_are_named_rings_and_only_own_runs_have_colours(opened):
    page = opened("accuracies")
    page.wait_for_selector(".kgpc-figure[data-alive] svg > *")
    rings = page.locator("svg circle[fill=none]")
    assert rings.count() == 1 and rings.first.get_attribute("stroke") == "currentColor"
    assert page.locator("svg text", has_text="MobileNet").count() == 1
    colours = [dot.get_attribute("fill") for dot in page.locator("svg circle:not([fill=none])").all()]
    assert len(colours) == 3 and colours[0] != colours[1] == colours[2]
    assert page.locator(".key i").count() == 3  # two networks of one's own, and the ring
    assert not page.trouble


def test_a_named_point_stands_under_its_roof(opened):
    page = opened("roofline")
    page.get_by_role("slider").press("End")
    assert "512 channels, 16 per group: 4.0 operations per byte" in said(page)
    assert "36.0 Gflop/s there, set by memory; the layer reaches 56% of it" in said(page)
    assert "Where the cache holds its feature maps the roof is 80.0 Gflop/s" in said(page)
    assert page.locator("svg").get_by_text("products 16 wide").count() == 1
    page.get_by_role("slider").fill("1")
    assert said(page).startswith("<img src=x onerror=alert(1)>")  # a name is a text, whatever it says
    assert page.locator("img[src=x]").count() == 0 and page.trouble == []
