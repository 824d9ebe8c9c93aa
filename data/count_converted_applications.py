#!/usr/bin/env python3
"""Counts what `kgpc.convert` makes of each network of keras.applications, and writes the page that shows it.

    python data/count_converted_applications.py [NETWORK ...]

Counts all networks, or those that are named, and stores the rows in `data/benchmarks/keras-applications-converted.csv`;
then writes the table into `docs/group-any-network.md`. With --page the page alone. Networks are built at the size that
they were made for, with 1000 classes and random weights, one at a time; nothing is computed with them.
"""

import argparse
import gc
import inspect
from pathlib import Path

import keras
import pandas as pd

import kgpc
from kgpc import files

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "data" / "benchmarks" / "keras-applications-converted.csv"
PAGE = ROOT / "docs" / "group-any-network.md"
# What lies between these lines of the page is written anew.
BEGIN, END = "<!-- written by data/count_converted_applications.py -->", "<!-- end of what is written -->"
SCHEMES = (kgpc.D6(16), kgpc.D6(32))
# Height and width that a network was made for, where that is not 224.
SIZES = {
    **dict(zip((f"EfficientNetB{index}" for index in range(1, 8)), (240, 260, 300, 380, 456, 528, 600), strict=True)),
    **{"EfficientNetV2B1": 240, "EfficientNetV2B2": 260, "EfficientNetV2B3": 300},
    **{"EfficientNetV2S": 384, "EfficientNetV2M": 480, "EfficientNetV2L": 480},
    **{"InceptionV3": 299, "InceptionResNetV2": 299, "Xception": 299, "NASNetLarge": 331},
}
# The least height and width that a network takes, where that is not 32.
SMALLEST = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}


def networks():
    """Names of all networks of keras.applications."""
    return [
        name
        for name, function in sorted(vars(keras.applications).items())
        if inspect.isfunction(function) and name[0].isupper()
    ]


def build(name, size, classes=1000):
    """One of them, with random weights."""
    return getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=classes)


def count(name):
    """Rows of the table for one network: a dict for each scheme."""
    size = SIZES.get(name, 224)
    model, rows = build(name, size), []
    for scheme in SCHEMES:
        report = kgpc.convert(model, scheme, report_only=True)
        pointwise = report[report["in_channels"].notna()]
        rows.append(
            {
                "network": name,
                "input_px": size,
                "scheme": str(scheme),
                "pointwise_layers": len(pointwise),
                "replaced_layers": int(pointwise["replaced"].sum()),
                **{
                    column: int(report[column].sum(skipna=False))
                    for column in ("parameters_before", "parameters_after", "macs_before", "macs_after")
                },
            }
        )
    return rows


def summary(table):
    """What the page says of all networks, and a row for each of them."""
    first = table[table["scheme"] == str(SCHEMES[0])]
    converted = first[first["replaced_layers"] > 0]
    left = converted["parameters_after"] / converted["parameters_before"]
    untouched = sorted(first["network"][first["replaced_layers"] == 0])
    lines = [
        f"{len(converted)} of {len(first)} networks have layers that {SCHEMES[0]} groups; {' and '.join(untouched)} "
        f"have no 1x1 convolution. The share of parameters left is {left.min():.0%} to {left.max():.0%}, in the median "
        f"{left.median():.0%}, classifiers with 1000 classes included.",
        "",
        "| network | input | replaced | parameters | D6(16) | left | D6(32) | left "
        "| M multiply-adds | D6(16) | left | D6(32) | left |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, rows in table.groupby("network", sort=True):
        row = rows.iloc[0]
        cells = [name, f"{row['input_px']}x{row['input_px']}", f"{row['replaced_layers']} of {row['pointwise_layers']}"]
        for column, unit in (("parameters", 1), ("macs", 1_000_000)):
            before = row[f"{column}_before"]
            cells.append(f"{before / unit:,.0f}")
            for after in rows[f"{column}_after"]:
                cells += [f"{after / unit:,.0f}", f"{after / before:.1%}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def page(table, text):
    """The page with the table written anew.

    Args:
        table: what `stored` returns.
        text: str, the page as it is.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} must have the lines {BEGIN!r} and {END!r}.")
    return f"{before}{BEGIN}\n\n{summary(table)}\n\n{END}{after}"


def stored():
    """The stored table."""
    return pd.read_csv(TABLE)


def main():
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", metavar="NETWORK", nargs="*", help="such as MobileNetV2; default: all of them")
    parser.add_argument("--page", action="store_true", help="write the page alone, from what is stored")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in networks()]
    if unknown:
        parser.error(f"keras.applications has no {', '.join(unknown)}")
    table = stored() if TABLE.exists() else pd.DataFrame()
    for name in () if options.page else options.names or networks():
        rows = pd.DataFrame(count(name))
        print(rows.to_string(index=False, header=False), flush=True)
        others = table if table.empty else table[table["network"] != name]
        table = pd.concat([others, rows]).sort_values(["network", "scheme"], ignore_index=True)
        files.write(TABLE, table.to_csv(index=False, lineterminator="\n"))
        keras.backend.clear_session()
        gc.collect()
    files.write(PAGE, page(table, PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
