"""The experiment's part on a GPU: what fits the minutes, and results that are never compared with a processor's."""

import types

import pytest

from kgpc.__main__ import main
from kgpc.paper import experiment, gpu_experiment, protocol, verdicts
from kgpc.paper.run_table import COLUMNS


def row(profile, variant, seed, epochs, rate=0.004, **values):
    row = dict.fromkeys(COLUMNS)
    row |= {"name": f"{profile}-{variant}-{seed}-{epochs}-{rate}", "profile": profile, "family": "MobileNet"}
    row |= {"variant": variant, "model": variant, "dataset": protocol.COPIES, "seed": seed, "epochs": epochs}
    return row | {"peak_learning_rate": rate, "image_size": 33, "parameters": 1} | values


def table(*rows):
    import pandas as pd

    return experiment.joined(pd.DataFrame(rows, columns=COLUMNS))


def searched(profile, best, key="16ch"):
    return [
        row(profile, key, protocol.SEARCH_SEED, 6, rate, validation_loss=abs(number - best))
        for number, rate in enumerate((0.002, 0.004, 0.008, 0.016))
    ]


@pytest.mark.parametrize(("seconds", "left", "name"), [(4, 600, "gpu-96"), (5, 560, "gpu-96"), (5, 559, "gpu-72")])
def test_the_longest_trainings_that_fit_are_chosen(seconds, left, name):
    assert gpu_experiment.longest(seconds, left).name == name


def test_too_few_seconds_fit_nothing():
    assert gpu_experiment.longest(5, 319) is None


def test_a_run_on_a_gpu_has_a_name_and_a_profile_of_its_own():
    stage = protocol.stage("gpu-72")
    found = table(*(one for key in stage.keys for one in searched(protocol.PROFILE, 1, key)))
    runs = experiment.runs_of_stage(stage, found)
    assert len(runs) == 6 and {run.profile for run in runs} == {"experiment-gpu"}
    assert all("gpu" in run.name for run in runs) and {run.recipe.epochs for run in runs} == {72}
    length = experiment.runs_of_stage(protocol.stage("length"), found)
    assert not {run.name for run in runs} & {run.name for run in length}


def test_its_rates_are_the_processors_or_else_its_own():
    arm = protocol.arm("MobileNet", "16ch")
    own, other = searched(protocol.GPU_PROFILE, 1), searched(protocol.PROFILE, 2)
    assert experiment.rate_of(table(*own), arm, protocol.GPU_PROFILE) == pytest.approx(0.004, rel=0.3)
    assert experiment.rate_of(table(*own), arm) is None
    both = table(*own, *other)
    assert experiment.rate_of(both, arm, protocol.GPU_PROFILE) == experiment.rate_of(both, arm) > 0.006


def test_the_default_is_the_processors_part():
    assert not [stage for stage in protocol.STAGES if stage.profile == protocol.GPU_PROFILE]
    assert {stage.name for stage in protocol.GPU_STAGES} <= set(experiment.listing()["stage"])


def test_no_difference_is_taken_between_a_gpu_and_a_processor():
    rows = [
        row(protocol.PROFILE, "16ch", 1, 72, test_accuracy=0.5),
        row(protocol.PROFILE, "ordinary", 1, 72, test_accuracy=0.75),
    ]
    rows += [row(protocol.GPU_PROFILE, "16ch", seed, 72, test_accuracy=0.6) for seed in (1, 2)]
    rows += [row(protocol.GPU_PROFILE, "ordinary", seed, 72, test_accuracy=0.625) for seed in (1, 2)]
    found = verdicts.exploratory(table(*rows)).set_index("profile")
    assert found.loc[protocol.PROFILE, "difference"] == pytest.approx(-25)
    assert found.loc[protocol.GPU_PROFILE, "difference"] == pytest.approx(-2.5)
    assert found.loc[protocol.GPU_PROFILE, "seeds"] == 2


def test_it_times_looks_for_rates_and_trains_what_fits(monkeypatch, tmp_path, capsys):
    started = []

    def start(arguments, pipe=False):
        started.append(arguments)
        process = types.SimpleNamespace(returncode=0, wait=lambda timeout=None: 0)
        process.communicate = lambda timeout: ("a line of a library\n2.5\n", None)
        return process

    monkeypatch.setattr(gpu_experiment, "_start", start)
    monkeypatch.setattr(experiment, "stored", lambda: table())
    monkeypatch.setattr(gpu_experiment, "results", lambda folder: table())
    gpu_experiment.perform(tmp_path / "runs", tmp_path, minutes=5)
    assert sum(arguments[0] == "-c" for arguments in started) == 6
    stages = [arguments[arguments.index("--stages") + 1] for arguments in started if "--stages" in arguments]
    assert stages == ["gpu-rates"] * 6 + ["gpu-72"] * 6
    assert "an epoch takes 2.5 s, 6 networks at a time" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="too few for 48 epochs"):
        gpu_experiment.perform(tmp_path / "runs", tmp_path, minutes=3)


@pytest.mark.parametrize(
    "options",
    [
        ["--profile", "quick"],
        ["--profile", "experiment"],
        ["--profile", "experiment", "--images", "x", "--stages", "core"],
    ],
)
def test_minutes_go_with_the_experiment_alone(options, capsys, tmp_path):
    assert main(["rerun", *options, "--output", str(tmp_path / "runs"), "--minutes", "5"]) == 1
    assert "--minutes goes with --profile experiment, --output and --images" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "soon"])
def test_minutes_are_a_number_above_0(minutes, capsys):
    with pytest.raises(SystemExit):
        main(["rerun", "--minutes", minutes])
    assert f"not '{minutes}'" in capsys.readouterr().err
