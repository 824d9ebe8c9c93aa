"""Writes the tables of docs/speed-log.md from the stored measurements.

    python tests/benchmarks/speed_page.py             after a new run was stored in data/benchmarks
    python tests/benchmarks/speed_page.py --readme    prints the table of README

A table stands between `<!-- begin: NAME -->` and `<!-- end -->`; everything else on the page is written by hand. A test
compares page and measurements.
"""

import argparse
import math
import pathlib
import re
import sys

import pandas as pd

from kgpc import files, measurements

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "speed-log.md"
# What the project set out to reach: (family, comparison, at most).
GOALS = (
    ("kMobileNet 16ch", "training", 0.5),
    ("kMobileNet 16ch", "prediction, both folded", 0.5),
    ("kEffNet-B0 16ch", "training", 0.5),
    ("kEffNet-B0 16ch", "prediction, both folded", 0.5),
    ("kMobileNetV3Large 16ch", "training", 0.6),
    ("kMobileNetV3Large 16ch", "prediction, both folded", 0.6),
    ("kDenseNet-BC L100 12ch", "prediction", 1.0),
)


def markdown(frame):
    """A table of texts as Markdown, numbers to the right."""
    numbers = [frame[name].map(str).str.match(r"[\d,.]+%?( \(|$)|$").all() for name in frame]
    rules = ["---:" if is_number else "---" for is_number in numbers]
    lines = [list(frame.columns), rules, *frame.to_numpy().tolist()]
    return "\n".join(re.sub(r"\|  (?=\|)", "| ", "| " + " | ".join(map(str, line)) + " |") for line in lines)


def instructions(machine):
    """The short name of a processor, by which the tables below the first tell the two apart: "AVX-512"."""
    return machine.rpartition(" with ")[2]


def rates(speed):
    """Bandwidth and peak of each processor."""
    found = measurements.rates(speed)
    return pd.DataFrame(
        [
            {
                "processor": machine,
                "memory bandwidth, GB/s": f"{row['memory bandwidth'] / 1e9:.0f}",
                "product of large matrices, Gflop/s": f"{row['matrix product'] / 1e9:.0f}",
            }
            for machine, row in found.iterrows()
        ]
    )


def networks(speed):
    """The ratios of the five families."""
    table = measurements.as_text(measurements.ratios(speed), speed)
    return table.assign(processor=table["processor"].map(instructions))


def runs(speed):
    """How far the medians of separate runs lie apart."""
    table = measurements.ratios(speed)
    table = table[table["runs"] > 1]
    return pd.DataFrame(
        [
            {
                "network": row.case,
                "comparison": row.comparison,
                "median": f"{row.ratio:.2f}",
                "lowest run": f"{row.lowest:.2f}",
                "highest run": f"{row.highest:.2f}",
                "runs": row.runs,
            }
            for row in table.itertuples()
        ]
    )


def goals(speed, steps):
    """What was to be reached, what was, and the least that the limits allow."""
    ratios = measurements.ratios(speed).set_index(["machine", "case", "comparison"])["ratio"]
    allowed = measurements.limits(speed, steps)
    base, rows = measurements.baselines(speed), []
    for case, comparison, at_most in GOALS:
        row = {"network": case, "what": comparison, "goal": f"{at_most:.1f}"}
        for machine in speed["machine"].unique():
            reached = ratios[machine, case, comparison]
            row[instructions(machine)] = f"{reached:.2f}" + (" (reached)" if reached <= at_most else "")
        for machine in speed["machine"].unique():
            least = allowed["the larger"][machine, case, case] / allowed["measured"][machine, case, base[case]]
            row[f"limits allow, {instructions(machine)}"] = f"{least:.2f}" if comparison == "training" else ""
        rows.append(row)
    return pd.DataFrame(rows)


def limits(speed, steps):
    """What each limit allows a training step, and what it took."""
    table = measurements.limits(speed, steps)
    return pd.DataFrame(
        [
            {
                "network": side,
                "processor": instructions(machine),
                "memory traffic allows, ms": f"{1e3 * row['memory traffic allows']:.0f}",
                "arithmetic allows, ms": f"{1e3 * row['arithmetic allows']:.0f}",
                "measured, ms": f"{1e3 * row['measured']:.0f}",
                "measured / the larger": f"{row['measured / the larger']:.1f}",
            }
            for (machine, _, side), row in table.iterrows()
        ]
    )


def profile(speed, steps):
    """Milliseconds of each kind of layer of each network, and what the limits allow."""
    table = 1e3 * measurements.profile(steps, speed)
    wholes = 1e3 * measurements.whole_steps(steps).groupby("side").median()
    rows = []
    for (machine, _, side), part in table.groupby(["machine", "case", "side"], sort=False):
        part = part.loc[(machine, part.index[0][1], side)]
        cells = {
            kind: f"{part['seconds'][kind]:.0f} ({part['allowed'][kind]:.0f})" if kind in part.index else ""
            for kind in steps["kind"].unique()
        }
        rows.append(
            {
                "network": side,
                **cells,
                "sum": f"{part['seconds'].sum():.0f} ({part['allowed'].sum():.0f})",
                "step": f"{wholes[side]:.0f}",
            }
        )
    return pd.DataFrame(rows)


def losses(speed, steps):
    """Where each network loses most: the kinds of layer that take longest beyond their limits."""
    table = 1e3 * measurements.profile(steps, speed)
    rows = []
    for (_, _, side), part in table.groupby(["machine", "case", "side"], sort=False):
        worst = part["beyond"].sort_values(ascending=False).head(3)
        names = ("most", "then", "then, too")
        total = part["seconds"].sum()
        cells = {
            name: f"{kind[-1]}: {value:.0f} ms, {value / total:.0%}"
            for name, (kind, value) in zip(names, worst.items(), strict=True)
        }
        rows.append({"network": side, **cells})
    return pd.DataFrame(rows)


def remedies(without, speed):
    """What each remedy gives."""
    table = measurements.remedies(without, speed)
    cells = {(row.remedy, row.case): f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})" for row in table.itertuples()}
    return pd.DataFrame(
        [
            {"without": remedy, **{case: cells.get((remedy, case), "") for case in table["case"].unique()}}
            for remedy in table["remedy"].unique()
        ]
    )


def settings(speed):
    """TensorFlow's settings."""
    rows = speed.query("kind == 'settings'")
    table = measurements.seconds(rows, ["machine", "case", "side"])["seconds"].unstack("side", sort=False)
    return pd.DataFrame(
        [
            {
                "settings": case,
                "processor": instructions(machine),
                **{f"{side}, ms": f"{1e3 * row[side]:.0f}" for side in row.index},
            }
            for (machine, case), row in table.iterrows()
        ]
    )


def layers(speed):
    """Single pointwise layers."""
    rows = speed.query("kind == 'layers'")
    rows = rows[rows["machine"] == rows["machine"].iloc[0]]
    table = measurements.seconds(rows, ["case", "part", "side"])["seconds"].unstack("side", sort=False)
    return pd.DataFrame(
        [
            {"layer": case, "pass": part, **{f"{side}, ms": f"{1e3 * row[side]:.1f}" for side in row.index}}
            for (case, part), row in table.iterrows()
        ]
    )


def bfloat16(measured, speed):
    """Ratios with mixed_bfloat16 on both sides, and how long a training step takes, beside float32."""
    by = ["machine", "case", "side"]
    steps, before = (
        1e3 * measurements.seconds(rows.query("kind == 'models' and part == 'train'"), by)["seconds"]
        for rows in (measured, speed)
    )
    table = measurements.as_text(measurements.ratios(measured), measured)
    table = table.drop(columns=["processor", "training on Conv2D(groups)"])
    for name, side in (("original", measurements.baselines(measured).get), ("grouped", lambda case: case)):
        table[f"step of the {name}, ms (float32)"] = [
            f"{steps[machine, case, side(case)]:.0f} ({before[machine, case, side(case)]:.0f})"
            for machine, case in measurements.ratios(measured)[["machine", "case"]].drop_duplicates().to_numpy()
        ]
    return table


# Passes over a feature map with which normalization and activation cannot do less, where the gradient computes
# again: forward it is read for the statistics, read and written; backward inputs and upstream are read for the sums,
# and read again while the gradient is written.
PASSES = 8


def in_turns(rows):
    """A row for each case and part: milliseconds of today, and the other sides as ratio (quartiles) to it."""
    found = {}
    for row in rows.itertuples():
        cells = found.setdefault((row.case, row.part), {})
        if not cells:
            today = row.seconds
            cells["today, ms"] = f"{1e3 * today:.{0 if today >= 0.0995 else 1}f}"
        else:
            low, high = row.quartile_1 / today, row.quartile_3 / today
            cells[row.side] = f"{row.ratio:.2f} ({low:.2f} to {high:.2f})"
    return found


def one_gradient(candidates, speed):
    """Normalization and activation with one gradient, and what the bandwidth allows a kernel that was made for it."""
    rows = candidates[candidates["kind"] == "gradient"]
    today = rows[rows["side"] == "today"].set_index("case")
    bandwidth = measurements.rates(speed)["memory bandwidth"]
    table = []
    for (case, part), cells in in_turns(rows).items():
        least = re.search(r"(\d+)x(\d+)x(\d+)", case)
        if least:
            size = 4 * today["batch"][case] * math.prod(map(int, least.groups()))
            least = PASSES * size / bandwidth[today["machine"][case]] / today["seconds"][case]
        name = case if part == "forward + backward" else f"{case}, {part}"
        least = f"{least:.2f}" if least else ""
        table.append({"what": name, **cells, f"{PASSES} passes over memory": least})
    return pd.DataFrame(table).fillna("")


def statistics_in_pieces(candidates):
    """Statistics taken while a part of the output is in the cache."""
    found = in_turns(candidates[candidates["kind"] == "statistics"])
    return pd.DataFrame([{"layers": case, "pass": part, **cells} for (case, part), cells in found.items()])


def prediction_in_pieces(candidates):
    """Predictions of some images at a time: all layers, or only the first ones."""
    first = "first blocks "
    table = []
    for (case, _), cells in in_turns(candidates[candidates["kind"] == "pieces"]).items():
        today = {"today, ms": cells.pop("today, ms")}
        table.append({"layers": case, **today, **{k: v for k, v in cells.items() if not k.startswith(first)}})
        only = {name.removeprefix(first): value for name, value in cells.items() if name.startswith(first)}
        if only:
            table.append({"layers": f"{case}, only its first blocks in pieces", **today, **only})
    return pd.DataFrame(table).fillna("")


def counted_layers(counted):
    """How often each way to compute a grouped layer passes over its maps, forward and with its gradients."""
    rows = counted[counted["kind"] == "layer"]
    found = {}
    for row in rows.itertuples():
        column = f"{row.case}, {row.part.removeprefix('interleaved, ')}"
        found.setdefault(row.side, {})[column] = f"{row.bytes_accessed / row.map_bytes:.1f}"
    return pd.DataFrame([{"way": way, **cells} for way, cells in found.items()])


def counted_networks(counted):
    """Bytes that whole compiled steps access."""
    found = []
    for (_, part), rows in counted[counted["kind"] == "network"].groupby(["case", "part"], sort=False):
        original, grouped = rows["bytes_accessed"] / 1e9
        step = {"train": "training", "predict": "prediction"}[part]
        shares = {"GB, original": f"{original:.1f}", "GB, grouped": f"{grouped:.1f}"}
        ratio = f"{grouped / original:.2f}"
        found.append({"network": rows["side"].iloc[1], "step": step, **shares, "grouped / original": ratio})
    return pd.DataFrame(found)


def fit(measured):
    """Images prepared and trained on a second, and what a step waits."""
    rows = []
    for (kind, backend, case), part in measured.groupby(["kind", "backend", "case"], sort=False):
        for row in part.itertuples():
            waits = f"{row.waiting:.0%}" if row.kind == "fit" else ""
            low, high = (row.images_per_second * row.seconds / each for each in (row.quartile_3, row.quartile_1))
            digits = 0 if low >= 10 else 1
            rows.append(
                {
                    "what": {"preparation": "preparation alone", "fit": "`fit`"}[kind],
                    "backend": "" if kind == "preparation" else backend,
                    "images": case,
                    "threads": row.side.replace(" threads", ""),
                    "images a second": f"{row.images_per_second:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})",
                    "share that preparing costs": waits,
                }
            )
    return pd.DataFrame(rows)


def tables():
    """Markdown of all tables by their names."""
    speed, steps = measurements.stored("speed"), measurements.stored("step-profile")
    found = {name: function(speed) for name, function in BY_SPEED.items()}
    found |= {name: function(speed, steps) for name, function in BY_STEPS.items()}
    found |= {"remedies": remedies(measurements.stored("remedies"), speed)}
    found |= {"bfloat16": bfloat16(measurements.stored("bfloat16"), speed)}
    candidates = measurements.stored("block-candidates")
    found |= {"blocks-gradient": one_gradient(candidates, speed)}
    found |= {"blocks-statistics": statistics_in_pieces(candidates)}
    found |= {"blocks-pieces": prediction_in_pieces(candidates)}
    counted = measurements.stored("xla-passes")
    found |= {"counted-layers": counted_layers(counted), "counted-networks": counted_networks(counted)}
    found = {name: markdown(frame) for name, frame in found.items()}
    found["fit"] = markdown(fit(measurements.stored("fit")))
    return found


BY_SPEED = {
    "rates": rates,
    "networks": networks,
    "runs": runs,
    "settings": settings,
    "layers": layers,
}
BY_STEPS = {"goals": goals, "limits": limits, "profile": profile, "losses": losses}


def with_tables(page):
    """The text of the page with the tables of the stored measurements in their places."""
    for name, table in tables().items():
        begin = f"<!-- begin: {name} -->\n"
        before, found, after = page.partition(begin)
        if not found:
            raise ValueError(f"The page has no place for the table {name}.")
        page = f"{before}{begin}\n{table}\n\n{after[after.index('<!-- end -->') :]}"
    return page


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readme", action="store_true", help="print the table of README and write nothing")
    options = parser.parse_args(arguments)
    if options.readme:
        print(tables()["networks"])
    else:
        files.write(PAGE, with_tables(PAGE.read_text(encoding="utf-8")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
