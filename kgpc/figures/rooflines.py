"""The roofline picture: layers under the roof that memory and arithmetic make, one of them named."""

import numpy as np

from kgpc import plots
from kgpc.arguments import number, text
from kgpc.figures.moving import MovingFigure
from kgpc.plots import arguments

_COLUMNS = ["name", "kind", "intensity", "rate"]
_MOST = 1e18


def roofline(frame, peak, bandwidth):
    """Measured layers under the roof of a machine; who points at one reads its name and what it reaches.

    Args:
        frame: `pandas.DataFrame` with the columns `name` (str), `kind` (str; at most 7 of them), `intensity` (float,
            operations per byte moved) and `rate` (float, operations per second); at most 100 rows.
        peak: float, operations per second at which arithmetic is the limit.
        bandwidth: float, bytes per second at which memory is.

    Returns:
        `MovingFigure`. Its static picture shows all points, without names.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if a column is missing, or a number is not positive.
    """
    arguments.frame("frame", frame, _COLUMNS, rows=100)
    peak = number("peak", peak, above=0, largest=_MOST)
    bandwidth = number("bandwidth", bandwidth, above=0, largest=_MOST)
    points = [
        {
            "name": text("frame['name']", name, empty=False),
            "kind": text("frame['kind']", kind, empty=False),
            "intensity": number("frame['intensity']", intensity, above=0, largest=_MOST),
            "rate": number("frame['rate']", rate, above=0, largest=_MOST),
        }
        for name, kind, intensity, rate in frame[_COLUMNS].itertuples(index=False)
    ]
    kinds = list(dict.fromkeys(point["kind"] for point in points))
    if len(kinds) > 7:
        raise ValueError(f"`frame` must have at most 7 kinds to be told apart. Received: {len(kinds)}.")

    def draw():
        low = min(point["intensity"] for point in points) / 2
        high = max(*(point["intensity"] for point in points), peak / bandwidth) * 2
        intensities = np.sort(np.append(np.geomspace(low, high, 60), peak / bandwidth))  # with the corner of the roof
        figure = plots.line_chart(
            intensities,
            {"the roof: min(P, I·B)": np.minimum(peak, intensities * bandwidth) / 1e9},
            "arithmetic intensity I (operations per byte moved)",
            "rate (Gflop/s)",
            title="Layers under the roof of this machine",
            log=True,
            markers=False,
        )
        axes = figure.axes[0]
        colors = [
            plots.COLORS[name] for name in ("orange", "green", "purple", "sky blue", "vermillion", "blue", "yellow")
        ]
        for kind, marker, color in zip(kinds, "os^Dvp*", colors, strict=False):
            of_kind = [point for point in points if point["kind"] == kind]
            rates = [point["rate"] / 1e9 for point in of_kind]
            axes.scatter([p["intensity"] for p in of_kind], rates, marker=marker, color=color, label=kind, zorder=3)
        ticks = [tick for tick in (0.1, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000) if tick < 1.2 * peak / 1e9]
        axes.set_yticks(ticks, ticks)
        axes.minorticks_off()
        axes.legend()
        return figure

    lines = [f"roof: P = {peak / 1e9:.1f} Gflop/s, B = {bandwidth / 1e9:.1f} GB/s"]
    for point in points:
        roof = min(peak, point["intensity"] * bandwidth)
        lines.append(
            f"{point['name']}, {point['kind']}: {point['intensity']:.1f} operations per byte, "
            f"{point['rate'] / 1e9:.1f} Gflop/s, {point['rate'] / roof:.0%} of the roof"
        )
    ranges = [
        f"{kind} at {min(values):.1f} to {max(values):.1f}"
        for kind in kinds
        for values in [[point["intensity"] for point in points if point["kind"] == kind]]
    ]
    alt = (
        "Roofline: rate over arithmetic intensity on logarithmic axes, a slope and a flat part at "
        f"{peak / 1e9:.0f} Gflop/s. Operations per byte: {'; '.join(ranges)}."
    )
    return MovingFigure(
        "roofline", {"points": points, "peak": peak, "bandwidth": bandwidth}, alt, "\n".join(lines), draw
    )
