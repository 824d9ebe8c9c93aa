"""The page of warm starts says what its table says."""

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "data"))
import store_warm_starts  # noqa: E402


def test_the_page_is_made_of_the_stored_table():
    table = pd.read_csv(store_warm_starts.STORED)
    assert (ROOT / "docs" / "warm-starts.md").read_text(encoding="utf-8") == store_warm_starts.page(table)
    assert len(store_warm_starts.complete(table)) == len(table)


def test_seeds_without_all_starts_do_not_count():
    table = pd.read_csv(store_warm_starts.STORED)
    seed = table["seed"].iloc[0]
    part = table[(table["seed"] != seed) | (table["start"] != "warm")]
    assert seed not in set(store_warm_starts.complete(part[part["data"] == table["data"].iloc[0]])["seed"])


def test_every_training_has_all_epochs_and_begins_where_the_other_warm_one_does():
    table = pd.read_csv(store_warm_starts.STORED)
    for _, rows in table.groupby(["data", "seed", "start"]):
        assert rows["epoch"].tolist() == list(range(len(rows)))
    begins = table[table["epoch"] == 0].pivot(index=["data", "seed"], columns="start", values="accuracy")
    assert (begins["warm"] == begins["warm, distilled"]).all()
