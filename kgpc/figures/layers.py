"""Where a network has its parameters and where its multiply-adds, layer by layer."""

import pandas as pd

from kgpc import plots
from kgpc.arguments import integer, mapping, text
from kgpc.figures.moving import MovingFigure
from kgpc.plots import arguments

_COLUMNS = ["layer", "part", "trainable_parameters", "macs"]
_MOST = 2**40
_MOST_LAYERS = 400


def _checked_layers(name, table):
    """The layers that multiply something, as lists of what JSON can hold."""
    arguments.frame(name, table, _COLUMNS, rows=None)
    rows = [
        [
            text(f"{name}['layer']", layer, empty=False),
            text(f"{name}['part']", part, empty=False),
            integer(f"{name}['trainable_parameters']", parameters, 0, _MOST),
            integer(f"{name}['macs']", macs, 0, _MOST),
        ]
        for layer, part, parameters, macs in table[_COLUMNS].itertuples(index=False)
    ]
    rows = [row for row in rows if row[3]]
    if not 1 <= len(rows) <= _MOST_LAYERS:
        raise ValueError(
            f"`{name}` must have 1 to {_MOST_LAYERS} layers with multiply-adds to be drawn. Received: {len(rows)}."
        )
    return rows


def layer_costs(networks):
    """Parameters and multiply-adds of each layer as two linked charts: who points at a layer sees it in both.

    Args:
        networks: dict from the name of a network to its `kgpc.flops.layer_table`, or another DataFrame with the columns
            `layer`, `part`, `trainable_parameters` and `macs`; at most 6. Layers without multiply-adds are left out.

    Returns:
        `MovingFigure`. Its static picture shows the shares of the kinds of layers in both.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no network, a column is missing, or a network has no layer with multiply-adds or more
            than 400.
    """
    mapping("networks", networks, "tables of layers", largest=6)
    checked = {name: _checked_layers(f"networks[{name!r}]", table) for name, table in networks.items()}
    frames = {name: pd.DataFrame(rows, columns=_COLUMNS) for name, rows in checked.items()}

    def sums(column):
        return {name: frame.groupby("part", sort=False)[column].sum() for name, frame in frames.items()}

    def draw():
        bars = {}
        for column, what in (("trainable_parameters", "parameters"), ("macs", "multiply-adds")):
            bars |= {f"{name}: {what}": by_part / by_part.sum() for name, by_part in sums(column).items()}
        return plots.stacked_bars(
            pd.DataFrame(bars).T.fillna(0.0),
            xlabel="share of the network's own",
            title="Where the parameters are, and where the arithmetic",
            colors={
                part: color for part, color in plots.LAYER_COLORS.items() if part in set(pd.concat(frames)["part"])
            },
            totals=False,
            percent=True,
        )

    lines = [
        f"{name}, {layer}, {part}: {parameters:,} parameters, {macs:,} multiply-adds"
        for name, rows in checked.items()
        for layer, part, parameters, macs in rows
    ]
    alt = "Stacked bars of the shares of the kinds of layers in parameters and in multiply-adds."
    for name, frame in frames.items():
        alt += f" {name}: {frame['trainable_parameters'].sum():,} and {frame['macs'].sum():,} in all."
    parameters = {"networks": [{"name": name, "layers": rows} for name, rows in checked.items()]}
    return MovingFigure("layer_costs", parameters, alt, "\n".join(lines), draw)
