"""The page about exported files shows the stored tables, and what it says of them is so."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from kgpc.deploy import formulation

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data" / "benchmarks"


@pytest.fixture(scope="module")
def benchmark():
    """The script that measures exported files."""
    spec = importlib.util.spec_from_file_location("export_benchmark", ROOT / "tests" / "benchmarks" / "export.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_tables(benchmark):
    page = (ROOT / "docs" / "to-a-phone.md").read_text(encoding="utf-8")
    assert benchmark.with_tables(page) == page


@pytest.mark.parametrize("format", formulation.BEST)
def test_the_exporter_chooses_what_was_measured_to_be_fast(format):
    measured = pd.read_csv(DATA / "export-formulations.csv")
    for network, rows in measured[measured["format"] == format].groupby("network"):
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
