"""The experiment: that its networks are matched as its page says, and that it goes on from what is complete."""

import dataclasses
import math
import re

import pandas as pd
import pytest

from kgpc import flops, paper
from kgpc.paper import execution, experiment, protocol, rerun_results, rerunning, selection


def counts(network):
    run = experiment._run(protocol.stage("core"), network, seed=1, rate=0.004, images=None)
    model = run.build(10)
    return flops.trainable_parameters(model), flops.macs(model), model


@pytest.fixture(scope="module")
def table_of_the_page(root):
    """Title and numbers of each network as the page has them, by family."""
    text, found, family = (root / "docs" / "protocol.md").read_text(encoding="utf-8"), {}, ""
    for cells in re.findall(r"^\|(.*)\|$", text, re.MULTILINE):
        cells = [cell.strip() for cell in cells.split("|")]
        if len(cells) == 6 and re.fullmatch("[0-9,]+", cells[5]):
            family = cells[0] or family
            found[family, cells[2]] = tuple(int(cell.replace(",", "")) for cell in cells[4:])
    return found


# Three networks are enough here; the slow test builds all of them.
@pytest.mark.parametrize(
    "networks",
    [
        [protocol.arm("MobileNet", key) for key in ("16ch", "narrow-parameters", "narrow-flops")],
        pytest.param(protocol.ARMS, marks=pytest.mark.slow),
    ],
)
def test_the_networks_are_those_of_the_page_and_matched_within_one_percent(networks, table_of_the_page):
    grouped = {}
    for network in sorted(networks, key=lambda network: network.key):  # "16ch" first
        parameters, macs, model = counts(network)
        assert table_of_the_page[network.family, network.title] == (parameters, macs)
        assert not [layer for layer in model.layers if "Dropout" in type(layer).__name__ and layer.rate]
        if network.key == "16ch":
            grouped[network.family] = parameters, macs
        if network.key == "narrow-parameters":
            assert abs(parameters / grouped[network.family][0] - 1) <= 0.01
        if network.key == "narrow-flops":
            assert abs(macs / grouped[network.family][1] - 1) <= 0.01
        # Last maps of more than a pixel: its 3x3 convolutions see something.
        convolutions = [layer for layer in model.layers if "Depthwise" in type(layer).__name__]
        assert min(convolutions[-1].output.shape[1:3]) >= 2


def test_the_page_lists_every_network_and_stage(table_of_the_page, root):
    assert set(table_of_the_page) == {(network.family, network.title) for network in protocol.ARMS}
    text = (root / "docs" / "protocol.md").read_text(encoding="utf-8")
    for stage in protocol.STAGES:
        assert f"`{stage.name}`" in text
    deviations = text[text.index("## Deviations") :]
    assert deviations.count("\n- ") == len(protocol.DEVIATIONS)
    deviations = " ".join(deviations.split())
    assert [
        entry
        for entry in protocol.DEVIATIONS
        if " ".join(f"{entry[0]}: {entry[1]}. {entry[2]}.".split()) not in deviations
    ] == []


def test_a_search_goes_on_until_the_best_rate_has_two_neighbours():
    assert protocol.rates_to_search({0.002: 1.0}) == [0.004, 0.008]
    losses = {0.004: 0.8, 0.008: 0.7}
    assert protocol.rates_to_search(losses) == [0.016]
    assert protocol.rates_to_search({**losses, 0.016: 0.75}) == []
    assert protocol.rates_to_search({0.004: 0.7, 0.008: 0.8}) == [0.002]
    # Half and double the best one, not any rate below and above it.
    assert protocol.rates_to_search({0.001: 0.9, 0.004: 0.7, 0.008: 0.8}) == [0.002]
    # A run without a finite loss is no candidate, and a neighbour like any other.
    assert protocol.rates_to_search({**losses, 0.016: math.nan}) == []
    assert protocol.chosen_rate({**losses, 0.016: math.inf}) == 0.008
    with pytest.raises(ValueError, match="`losses` must be those of a complete search"):
        protocol.chosen_rate(losses)


@pytest.mark.parametrize("failed", [0.004, 0.008, 0.016])
def test_a_rate_without_a_loss_is_never_chosen(failed):
    losses = {0.004: 0.9, 0.008: 0.8, 0.016: 0.9}
    found = [protocol.chosen_rate({**losses, 0.002: 1.0, failed: value, 0.032: 1.0}) for value in (math.nan, math.inf)]
    assert found[0] == found[1] != failed


@pytest.mark.parametrize("factor", [0.5, 2])
def test_a_search_ends_at_the_end_of_its_range(factor):
    losses, rate = {0.004: 7.0, 0.008: 7.1 if factor < 1 else 6.9}, 0.004 if factor < 1 else 0.008
    while left := protocol.rates_to_search(losses):
        assert len(left) == 1 and protocol.LOWEST_RATE <= left[0] <= protocol.HIGHEST_RATE
        losses[left[0]] = min(losses.values()) - 0.1
    rate = max(losses) if factor > 1 else min(losses)
    assert rate == (protocol.HIGHEST_RATE if factor > 1 else protocol.LOWEST_RATE)
    assert protocol.chosen_rate(losses) == float(f"{rate:.1e}")


def test_a_rate_that_failed_in_the_search_counts_as_the_worst(monkeypatch):
    network, stage = protocol.arm("MobileNet", "16ch"), protocol.stage("rates")
    runs = [experiment._run(stage, network, protocol.SEARCH_SEED, rate, None) for rate in (0.004, 0.008, 0.016)]
    losses = (0.9, 0.8, 0.7)
    table = results_of([complete_row(run, loss=loss) for run, loss in zip(runs, losses, strict=True)])
    assert experiment.rate_of(table, network) is None
    monkeypatch.setattr(protocol, "FAILED_IN_SEARCH", (("MobileNet", "16ch", 0.032),))
    assert experiment.losses_of_search(table, "MobileNet", "16ch")[0.032] == math.inf
    assert experiment.rate_of(table, network) == 0.016
    alone = dataclasses.replace(stage, keys=("16ch",))
    assert [run.name for run in experiment.runs_of_stage(alone, table)] == [run.name for run in runs]
    assert experiment.stored_and_wanted(table, alone) == (3, 3)


def test_images_that_are_not_those_of_the_stored_runs_are_refused_before_a_training(
    small_protocol, trained_runs, tmp_path, monkeypatch
):
    rows, order = trained_runs
    paper.rerun(tmp_path, profile="experiment", stages=["rates"], progress=False)
    kept = results_of(list(rows.values()))
    order.clear()
    monkeypatch.setattr(experiment, "stored", lambda: kept)
    parts = {part: {"pixels": digest, "images": 10} for part, digest in protocol.COPIES_PIXELS.items()}
    monkeypatch.setattr(execution, "description", lambda run: {**parts, "test": {"pixels": "0" * 64, "images": 10}})
    with pytest.raises(ValueError, match="`images` must be a folder with the JPEG copies .* test images .* 000"):
        paper.rerun(tmp_path, profile="experiment", stages=["core"], images=tmp_path, progress=False)
    assert not order
    monkeypatch.setattr(execution, "description", lambda run: parts)
    paper.rerun(tmp_path, profile="experiment", stages=["core"], images=tmp_path, progress=False)
    assert len(order) == 4


@pytest.mark.parametrize("vertex", [0.0029, 0.0041, 0.0079, 0.012])
def test_the_chosen_rate_is_the_vertex_of_a_parabola_over_the_logarithm(vertex):
    losses = {}
    while left := protocol.rates_to_search(losses):
        losses |= {rate: 1 + 0.1 * math.log(rate / vertex) ** 2 for rate in left}
    assert len(losses) in (3, 4)
    assert protocol.chosen_rate(losses) == pytest.approx(vertex, rel=0.02)
    assert protocol.chosen_rate(losses) == float(f"{protocol.chosen_rate(losses):.1e}")


def complete_row(run, loss=1.0):
    values = {
        **run.config(),
        "seed": run.recipe.seed,
        "epochs": run.recipe.epochs,
        "peak_learning_rate": run.recipe.learning_rate.peak,
        "validation_loss": loss,
    }
    return {name: values.get(name) for name in rerun_results.COLUMNS}


def results_of(rows):
    return rerun_results.typed(pd.DataFrame(rows, columns=rerun_results.COLUMNS))


@pytest.fixture
def small_protocol(monkeypatch):
    """Two networks, a search and a stage after it; nothing is stored."""
    stages = [
        dataclasses.replace(protocol.stage(name), keys=("ordinary", "16ch"), seeds=seeds)
        for name, seeds in (("rates", (100,)), ("core", (1, 2)))
    ]
    monkeypatch.setattr(protocol, "STAGES", tuple(stages))
    monkeypatch.setattr(experiment, "stored", lambda: results_of([]))


@pytest.fixture
def trained_runs(monkeypatch):
    """Trainings that take no time; their loss is least at a rate of 0.003, of 16ch at 0.01."""
    rows, order = {}, []

    def attempt(run, output, progress, wait=False):
        order.append(run.name)
        best = 0.01 if run.variant == "16ch" else 0.003
        rows[run.name] = complete_row(run, loss=1 + math.log(run.recipe.learning_rate.peak / best) ** 2)
        return execution.Outcome(run.name, execution.TRAINED)

    monkeypatch.setattr(execution, "attempt", attempt)
    monkeypatch.setattr(experiment, "results", lambda output: results_of(list(rows.values())))
    monkeypatch.setattr(rerunning, "results", lambda output, names=None: results_of(list(rows.values())))
    return rows, order


def test_the_stages_are_done_in_seed_blocks_with_the_rates_that_the_search_found(
    small_protocol, trained_runs, tmp_path
):
    _, order = trained_runs
    outcomes = paper.rerun(tmp_path, profile="experiment", progress=False)
    assert outcomes["name"].tolist() == order
    short = [name.removeprefix("cifar-10-jpeg-copies-33px-") for name in order]
    assert sorted(short[:6]) == sorted(
        [f"6ep-0-00{n}-mobilenet-ordinary-seed100" for n in (2, 4, 8)]
        + [f"6ep-0-{n}-mobilenet-16ch-seed100" for n in ("004", "008", "016")]
    )
    assert short[6:] == [
        "24ep-0-003-mobilenet-ordinary-seed1",
        "24ep-0-01-mobilenet-16ch-seed1",
        "24ep-0-003-mobilenet-ordinary-seed2",
        "24ep-0-01-mobilenet-16ch-seed2",
    ]
    # Again there is nothing to do.
    assert paper.rerun(tmp_path, profile="experiment", progress=False).empty


def test_what_comes_with_kgpc_is_not_trained_again(small_protocol, trained_runs, tmp_path, monkeypatch):
    rows, order = trained_runs
    paper.rerun(tmp_path, profile="experiment", stages=["rates"], progress=False)
    kept = results_of(list(rows.values()))
    rows.clear(), order.clear()
    monkeypatch.setattr(experiment, "stored", lambda: kept)
    paper.rerun(tmp_path, profile="experiment", stages=["core"], progress=False)
    assert len(order) == 4


def test_a_stage_before_its_search_is_refused(small_protocol, trained_runs, tmp_path):
    with pytest.raises(ValueError, match="'core' needs the rate of MobileNet ordinary"):
        paper.rerun(tmp_path, profile="experiment", stages=["core"], progress=False)


def test_a_run_without_a_finite_loss_is_repeated_at_half_its_rate_where_the_protocol_lists_it(monkeypatch):
    network = protocol.arm("MobileNet", "16ch")
    run = experiment._run(protocol.stage("core"), network, 1, 0.004, None)
    monkeypatch.setattr(protocol, "REPEATED_AT_HALF_RATE", (run.name,))
    assert experiment._run(protocol.stage("core"), network, 1, 0.004, None).recipe.learning_rate.peak == 0.002


def test_a_run_that_is_held_by_another_process_is_waited_for_last(small_protocol, trained_runs, tmp_path, monkeypatch):
    asked, attempt = [], execution.attempt

    def held(run, output, progress, wait=False):
        asked.append((run.name, wait))
        if "0-004-mobilenet-ordinary" in run.name and not wait:
            return execution.Outcome(run.name, execution.BUSY)
        return attempt(run, output, progress, wait)

    monkeypatch.setattr(execution, "attempt", held)
    outcomes = paper.rerun(tmp_path, profile="experiment", stages=["rates"], progress=False)
    waited = [name for name, wait in asked if wait]
    assert [name.removeprefix("cifar-10-jpeg-copies-33px-") for name in waited] == [
        "6ep-0-004-mobilenet-ordinary-seed100"
    ]
    # What its result decides comes after it, all else before.
    assert outcomes["name"].tolist().index(waited[0]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stages": ["nonsense"]}, "`stage` must be one of 'rates', 'core'"),
        ({"seeds": [1]}, "takes `stages` and `images` alone.*Received: seeds"),
        ({"epochs": 3}, "takes `stages` and `images` alone.*Received: epochs"),
        ({"profile": "quick", "stages": ["core"]}, '`stages` and `images` are for the profile "experiment"'),
        ({"profile": "quick", "images": "x"}, '`stages` and `images` are for the profile "experiment"'),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        paper.rerun(tmp_path / "new", **{"profile": "experiment", **arguments})
    assert not (tmp_path / "new").exists()


def test_unknown_networks_are_refused():
    with pytest.raises(
        ValueError, match="must be one of MobileNet ordinary, .*Received: family='MobileNet', key='8ch'"
    ):
        protocol.arm("MobileNet", "8ch")


def test_the_configuration_of_a_run_does_not_say_where_the_images_lie():
    network, stage = protocol.arm("MobileNet", "16ch"), protocol.stage("core")
    here, there = (experiment._run(stage, network, 1, 0.004, images) for images in ("a", "b"))
    assert here.config() == there.config()
    assert here.config()["recipe"]["margin"] == "edge"
    # The search looks at no test image.
    assert here.tested
    assert not experiment._run(protocol.stage("rates"), network, 100, 0.004, None).tested


def test_images_that_nobody_can_fetch_are_asked_for_by_name():
    with pytest.raises(ValueError, match=r"`images` must be a folder with train/CLASS/ and test/CLASS/"):
        selection.load_dataset(protocol.COPIES, image_size=32)
