"""The noise test of notebook 12 with three seeds: what is stored comes from the notebook's own cells."""

import pandas as pd
import pytest


@pytest.fixture(scope="module")
def script(data_script):
    return data_script("store_noise_seeds")


def test_the_cells_make_a_program_that_sets_its_seed_once(script, root):
    code = script.source(root)
    compile(code, "notebook 12", "exec")
    assert code.count("SEED = 7") == 1 and "seed=SEED" in code
    assert "def trained_and_tested" in code and "compared = {" in code
    assert "plots.show" not in code


def test_every_network_was_tested_with_every_seed_and_noise(script, root):
    table = pd.read_csv(root / "data" / "reruns" / "noise-seeds.csv")
    assert list(table.columns) == script.COLUMNS
    assert sorted(set(table["seed"])) == list(script.SEEDS)
    networks = {"RGB", "Lab, one branch", "20% L + 80% AB", *script.MORE}
    assert set(table["network"]) == networks
    counts = table.groupby(["seed", "network"]).size()
    assert len(counts) == 3 * len(networks) and set(counts) == {6}
    assert set(table["test_images"]) == {600} and table["correct"].between(0, 600).all()
    # What is not disturbed is tested once for both kinds of noise.
    clean = table[table["level"] == 0].groupby(["seed", "network"])["correct"].nunique()
    assert set(clean) == {1}


def test_what_the_page_about_demonstrations_says_of_the_seeds_is_so(root):
    table = pd.read_csv(root / "data" / "reruns" / "noise-seeds.csv")
    clean = table[table["level"] == 0].drop_duplicates(["seed", "network"])
    accuracy = 100 * clean["correct"] / clean["test_images"]
    spread = accuracy.groupby(clean["network"]).agg(lambda values: values.max() - values.min())
    page = " ".join((root / "docs" / "demonstrations.md").read_text(encoding="utf-8").split())
    assert f"lie {spread.min():.1f} to {spread.max():.1f} points apart" in page


def test_what_the_page_says_of_the_seeds_is_so(root):
    table = pd.read_csv(root / "data" / "reruns" / "noise-seeds.csv")
    wide = table.drop_duplicates(["seed", "network", "noise", "level"]).pivot(
        index=["noise", "level", "seed"], columns="network", values="correct"
    )
    points = 100 * wide / 600
    loss = points["20% L + 80% AB"] - points["Lab, one branch"]
    gaussian = loss.loc["gaussian"]
    assert (gaussian.loc[[10, 40]] < -15).all() and -26 < gaussian.loc[[10, 40]].mean() < -18
    pepper = loss.loc["salt_and_pepper"].loc[0.05]
    assert (round(pepper.max()), round(pepper.min())) == (1, -29)
    other = (points["80% L + 20% AB"] - points["Lab, one branch"]).loc["gaussian"].loc[10] / gaussian.loc[10]
    assert 0.8 < other[8] < 1.1 and other[7] > 2 and other[9] > 2
    strong = (points["RGB"] - points["Lab, one branch"]).loc["gaussian"].loc[40]
    assert strong.min() < 0 < strong.max()
