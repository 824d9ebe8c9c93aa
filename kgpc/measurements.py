"""The stored measurements of speed, `data/benchmarks`: read, and summed up over the runs of a processor.

Each file is what one run of a script in `tests/benchmarks` wrote; its columns say on which machine, with which backend,
precision and versions. A *ratio* is a time divided by the time of the unmodified network, both measured in turns within
one run: below 1 is faster.
"""

import pandas as pd

from kgpc.resources import data_path

# Name of a column of ratios -> part of a step, end of the side's name, and end of the name of what it is divided by.
COMPARISONS = {
    "training": ("train", "", ""),
    "training on Conv2D(groups)": ("train", " on Conv2D(groups)", ""),
    "prediction": ("predict", "", ""),
    "prediction, both folded": ("predict", " folded", " folded"),
}
PER_FAMILY = ["machine", "case"]


def stored(kind):
    """All stored measurements of a kind.

    Args:
        kind: str, how the names of the files begin: "speed", "step-profile", "remedies", "bfloat16", "fit",
            "block-candidates" or "xla-passes".

    Returns:
        `pandas.DataFrame`: the rows of all files, those of the newest version of the package first, with the column
        `run` (str, the name of the file without its ending) and `machine` without the number of cores.

    Raises:
        FileNotFoundError: if there is none.
    """
    folder = data_path("benchmarks/speed-2core-cpu.csv").parent
    paths = sorted(folder.glob(f"{kind}-*.csv")) or sorted(folder.glob(f"{kind}.csv"))
    if not paths:
        raise FileNotFoundError(f"There are no stored measurements of the kind {kind!r} in {folder}.")
    frames = [pd.read_csv(path).assign(run=path.stem) for path in paths]
    # Runs from before the version was written down come last.
    frames.sort(key=lambda frame: "kgpc" not in frame)
    together = pd.concat(frames, ignore_index=True)
    together["cores"] = together["machine"].str.extract(r", (\d+) cores$", expand=False)
    together["machine"] = together["machine"].str.replace(r", \d+ cores$", "", regex=True)
    return together


def baselines(speed):
    """What each family is compared with: dict from the name of the grouped network to that of the unmodified one."""
    trained = speed.query("kind == 'models' and part == 'train'")
    return trained.drop_duplicates("case").set_index("case")["side"].to_dict()


def ratios(speed):
    """Ratios of whole networks, summed up over the runs of each processor.

    Args:
        speed: `pandas.DataFrame`, from `stored("speed")`.

    Returns:
        `pandas.DataFrame` with a row for each processor, family and comparison that was measured: `machine`, `case`,
        `comparison` (a key of `COMPARISONS`), `ratio` (the median over the runs), `lowest` and `highest` (of the runs),
        `quartile_1` and `quartile_3` (of the seconds of a step over the median of what it is divided by, medians over
        the runs; NaN where none were kept), and `runs`.
    """
    found = []
    base = baselines(speed)
    models = speed.query("kind == 'models'")
    for (machine, case), rows in models.groupby(PER_FAMILY, sort=False):
        for comparison, (part, end, end_of_base) in COMPARISONS.items():
            own = rows[(rows["part"] == part) & (rows["side"] == case + end)].set_index("run")
            other = rows[(rows["part"] == part) & (rows["side"] == base[case] + end_of_base)].set_index("run")
            runs = [run for run in own.index if run in other.index]
            if not runs:
                continue
            own, other = own.loc[runs], other.loc[runs]
            # Against the first side of its turns the ratio was taken round by round.
            each = own["seconds"] / other["seconds"] if end_of_base else own["ratio"]
            quartiles = {
                name: (own[name] / other["seconds"]).median() if name in own else float("nan")
                for name in ("quartile_1", "quartile_3")
            }
            found.append(
                {
                    "machine": machine,
                    "case": case,
                    "comparison": comparison,
                    "ratio": each.median(),
                    "lowest": each.min(),
                    "highest": each.max(),
                    **quartiles,
                    "runs": len(runs),
                }
            )
    return pd.DataFrame(found)


def seconds(rows, by):
    """Seconds with their quartiles, as medians over the runs.

    Args:
        rows: `pandas.DataFrame`, rows of `stored`.
        by: list of str, columns whose values make one row.

    Returns:
        `pandas.DataFrame` with `by` as index, in the order in which they come, and the columns `seconds`, `quartile_1`,
        `quartile_3` and `ratio`.
    """
    columns = [name for name in ("seconds", "quartile_1", "quartile_3", "ratio") if name in rows]
    return rows.groupby(by, sort=False)[columns].median()


def rates(speed):
    """The two limits of each processor: the highest of its runs, since whatever else a machine does only lowers them.

    Args:
        speed: `pandas.DataFrame`, from `stored("speed")`.

    Returns:
        `pandas.DataFrame` with the index `machine` and the columns "memory bandwidth" (bytes per second) and "matrix
        product" (floating point operations per second).
    """
    rows = speed[(speed["kind"] == "machine") & speed["per_second"].notna()]
    return rows.groupby(["machine", "case"], sort=False)["per_second"].max().unstack("case", sort=False)


def limits(speed, steps):
    """What memory traffic and arithmetic allow a whole training step, beside what it took.

    Args:
        speed: `pandas.DataFrame`, from `stored("speed")`.
        steps: `pandas.DataFrame`, from `stored("step-profile")`: the bytes and operations that a step asks for, on
            every machine the same.

    Returns:
        `pandas.DataFrame` with the index (`machine`, `case`, `side`) and seconds as columns: "memory traffic allows",
        "arithmetic allows", "the larger", "measured", and "measured / the larger".
    """
    by = [*PER_FAMILY, "side"]
    asked = steps.groupby(["run", "case", "side"], sort=False)[["bytes", "operations"]].sum()
    asked = asked.groupby(["case", "side"], sort=False).median()
    trained = seconds(speed.query("kind == 'models' and part == 'train'"), by)["seconds"].rename("measured")
    table = trained.reset_index().merge(asked.reset_index(), on=["case", "side"]).merge(rates(speed), on="machine")
    table = pd.DataFrame(
        {
            **{name: table[name] for name in by},
            "memory traffic allows": table["bytes"] / table["memory bandwidth"],
            "arithmetic allows": table["operations"] / table["matrix product"],
            "measured": table["measured"],
        }
    ).set_index(by)
    table.insert(2, "the larger", table[["memory traffic allows", "arithmetic allows"]].max(axis=1))
    return table.assign(**{"measured / the larger": table["measured"] / table["the larger"]})


def profile(steps, speed, direction=None):
    """Where a training step goes: seconds by kind of layer, and what the two limits allow these layers.

    Each kind of layer has the larger of its two limits, so that the sum over the kinds is at least the larger of the
    whole step's two (`limits`): one kind waits for memory while another computes.

    Args:
        steps: `pandas.DataFrame`, from `stored("step-profile")`.
        speed: `pandas.DataFrame`, from `stored("speed")`, for the limits of the machines.
        direction: "forward", "backward" or None for both.

    Returns:
        `pandas.DataFrame` with the index (`machine`, `case`, `side`, `kind`) and the columns `seconds`, `allowed` (the
        larger of what traffic and arithmetic allow, forward and backward each) and `beyond` (the difference).
    """
    if direction is not None:
        steps = steps[steps["direction"] == direction]
    found = rates(speed).loc[steps["machine"]].reset_index(drop=True).set_index(steps.index)
    by_traffic, by_arithmetic = (
        steps["bytes"] / found["memory bandwidth"],
        steps["operations"] / found["matrix product"],
    )
    steps = steps.assign(allowed=by_traffic.where(by_traffic >= by_arithmetic, by_arithmetic))
    by = [*PER_FAMILY, "side", "kind"]
    # First the sum over the directions of each run, then the median over the runs.
    table = steps.groupby(["run", *by], sort=False)[["seconds", "allowed"]].sum()
    table = table.groupby(by, sort=False).median()
    return table.assign(beyond=table["seconds"] - table["allowed"])


def whole_steps(steps):
    """Seconds of the whole steps that were profiled, with one operation at a time and without the profiler.

    Args:
        steps: `pandas.DataFrame`, from `stored("step-profile")`.

    Returns:
        `pandas.Series` with the index (`machine`, `case`, `side`), medians over the runs.
    """
    return steps.groupby([*PER_FAMILY, "side"], sort=False)["step_seconds"].median()


# Remedies that are measured as settings or by whole networks: name -> how they are found.
_KEEPING, _ONEDNN, _FOLDING = "memory that is kept", "oneDNN", "folding, for prediction"


def remedies(without, speed):
    """What each remedy gives by itself: how much longer a step takes without it.

    Args:
        without: `pandas.DataFrame`, from `stored("remedies")`.
        speed: `pandas.DataFrame`, from `stored("speed")`, for TensorFlow's settings and folding, measured on the same
            processor.

    Returns:
        `pandas.DataFrame` with the columns `remedy`, `case` (the network), `value` (time without the remedy divided by
        the time with it: 1.5 says half as long again), `low` and `high` (the same with the quartiles of the time
        without it).
    """
    machine = without["machine"].iloc[0]
    reference = without.groupby(["run", "case"], sort=False)["seconds"].transform("first")
    own = without.assign(low=without["quartile_1"] / reference, high=without["quartile_3"] / reference)
    own = own[own["side"] != "all remedies"].groupby(["side", "case"], sort=False)[["ratio", "low", "high"]].median()
    found = [
        {"remedy": remedy, "case": case, "value": row["ratio"], "low": row["low"], "high": row["high"]}
        for (remedy, case), row in own.iterrows()
    ]
    here = speed[speed["machine"] == machine]
    grouped = here.query("kind == 'models'")["case"].unique()
    pairs = [
        (_KEEPING, here[(here["kind"] == "settings") & (here["case"] == "neither")], "memory kept"),
        (_ONEDNN, here[(here["kind"] == "settings") & (here["case"] == "memory kept")], "memory kept, oneDNN"),
    ]
    for remedy, slow, name in pairs:
        fast = here[(here["kind"] == "settings") & (here["case"] == name)]
        found += _quotients(remedy, slow[slow["side"].isin(grouped)], fast.set_index(["run", "side"])["seconds"])
    predicted = here.query("kind == 'models' and part == 'predict'")
    folded = predicted[predicted["side"].str.endswith(" folded")]
    folded = folded.assign(side=folded["side"].str.removesuffix(" folded")).set_index(["run", "side"])["seconds"]
    found += _quotients(_FOLDING, predicted[predicted["side"].isin(grouped)], folded)
    table = pd.DataFrame(found)
    order = {remedy: number for number, remedy in enumerate(table["remedy"].unique())}
    table = table.sort_values("remedy", key=lambda remedy: remedy.map(order), kind="stable", ignore_index=True)
    # The median of the ratios of the rounds may lie just outside of what the quartiles of one side span.
    return table.assign(low=table[["low", "value"]].min(axis=1), high=table[["high", "value"]].max(axis=1))


def _quotients(remedy, slow, fast):
    """Rows of a remedy, from the steps without it and the seconds with it, by run and side."""
    rows = []
    for side, group in slow.groupby("side", sort=False):
        group = group[[(run, side) in fast.index for run in group["run"]]]
        if not len(group):
            continue
        quotients = {
            name: (group[column].to_numpy() / fast.loc[[(run, side) for run in group["run"]]].to_numpy())
            for name, column in (("value", "seconds"), ("low", "quartile_1"), ("high", "quartile_3"))
        }
        rows.append({"remedy": remedy, "case": side, **{k: float(pd.Series(v).median()) for k, v in quotients.items()}})
    return rows


def as_text(table, speed):
    """Ratios of whole networks as a table of texts, for pages.

    Args:
        table: `pandas.DataFrame`, from `ratios`.
        speed: `pandas.DataFrame` that it was made from.

    Returns:
        `pandas.DataFrame` of str with a row for each family and processor: "networks", "processor", and the
        comparisons, each as ratio (quartiles), or "" where it was not measured.
    """
    base, rows = baselines(speed), []
    for case in table["case"].unique():
        for machine in table["machine"].unique():
            own = table[(table["case"] == case) & (table["machine"] == machine)].set_index("comparison")
            if len(own):
                cells = {name: _cell(own.loc[name]) if name in own.index else "" for name in COMPARISONS}
                rows.append({"networks": f"{case} vs {base[case]}", "processor": machine, **cells})
    return pd.DataFrame(rows)


def _cell(row):
    digits = ".1f" if row["ratio"] >= 5 else ".2f"
    text = f"{row['ratio']:{digits}}"
    if pd.notna(row["quartile_1"]):
        text += f" ({row['quartile_1']:{digits}} to {row['quartile_3']:{digits}})"
    return text
