"""The roofline picture: layers under the roof that memory and arithmetic make, with their names."""

import numpy as np

from kgpc import plots
from kgpc.arguments import number, text
from kgpc.figures.moving import MovingFigure
from kgpc.plots import arguments
from kgpc.plots.style import HALO, in_style

_COLUMNS = ["name", "kind", "intensity", "rate"]
_MOST = 1e18
_MOST_CEILINGS = 3
# Of the kinds, with their markers. Pointwise convolutions are what is mostly drawn here, and blue in all figures.
_COLORS, _MARKERS = ("blue", "vermillion", "purple", "sky blue", "green", "orange", "yellow"), "os^Dvp*"
_MEMORY, _CACHE = "the roof: min(P, I·B)", "the roof where the cache holds the feature maps"


def roofline(frame, peak, bandwidth, cache_bandwidth=None, ceilings=None):
    """Measured layers under the roof of a machine; who points at one reads its name and what it reaches.

    Args:
        frame: `pandas.DataFrame` with the columns `name` (str), `kind` (str; at most 7 of them), `intensity` (float,
            operations per byte moved) and `rate` (float, operations per second); at most 100 rows.
        peak: float, operations per second at which arithmetic is the limit.
        bandwidth: float, bytes per second at which memory is.
        cache_bandwidth: float or None, bytes per second at which the cache is, for layers whose feature maps it holds:
            a second roof above the first.
        ceilings: dict or None, names and rates (operations per second) of horizontal lines: what a kind of product can
            reach; at most 3.

    Returns:
        `MovingFigure`. Its static picture shows all points with their names.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if a column is missing, a number is not positive, or the cache is slower than memory.
    """
    arguments.frame("frame", frame, _COLUMNS, rows=100)
    peak = number("peak", peak, above=0, largest=_MOST)
    bandwidth = number("bandwidth", bandwidth, above=0, largest=_MOST)
    if cache_bandwidth is not None:
        cache_bandwidth = number("cache_bandwidth", cache_bandwidth, smallest=bandwidth, largest=_MOST)
    ceilings = _ceilings(ceilings)
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
    parameters = {
        "points": points,
        "peak": peak,
        "bandwidth": bandwidth,
        "cache_bandwidth": cache_bandwidth,
        "ceilings": ceilings,
    }
    lines = [f"roof: P = {peak / 1e9:.1f} Gflop/s, B = {bandwidth / 1e9:.1f} GB/s"]
    if cache_bandwidth is not None:
        lines.append(f"cache: {cache_bandwidth / 1e9:.1f} GB/s")
    lines += [f"{name}: {rate / 1e9:.1f} Gflop/s" for name, rate in ceilings.items()]
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
        f"{peak / 1e9:.0f} Gflop/s{' with a second slope above it' if cache_bandwidth is not None else ''}. "
        f"Operations per byte: {'; '.join(ranges)}."
    )
    return MovingFigure("roofline", parameters, alt, "\n".join(lines), lambda: _picture(kinds=kinds, **parameters))


def _ceilings(ceilings):
    """Names and rates of ceilings as a dict of float."""
    ceilings = arguments.levels("ceilings", ceilings, above=0)
    if len(ceilings) > _MOST_CEILINGS:
        raise ValueError(f"`ceilings` must have at most {_MOST_CEILINGS} entries. Received: {len(ceilings)}.")
    return {
        text("ceilings", name, empty=False): number(f"ceilings[{name!r}]", rate, largest=_MOST)
        for name, rate in ceilings.items()
    }


@in_style
def _picture(points, kinds, peak, bandwidth, cache_bandwidth, ceilings):
    """The static picture."""
    low = min(point["intensity"] for point in points) / 4
    high = max(*(point["intensity"] for point in points), peak / bandwidth) * 4
    corners = [peak / bandwidth, *([peak / cache_bandwidth] if cache_bandwidth else [])]
    intensities = np.sort(np.append(np.geomspace(low, high, 60), corners))
    roofs = {_MEMORY: np.minimum(peak, intensities * bandwidth) / 1e9}
    if cache_bandwidth:
        roofs[_CACHE] = np.minimum(peak, intensities * cache_bandwidth) / 1e9
    roofs |= {name: np.full(len(intensities), rate / 1e9) for name, rate in ceilings.items()}
    figure = plots.line_chart(
        intensities,
        roofs,
        "arithmetic intensity I (operations per byte moved)",
        "rate (Gflop/s)",
        title="Layers under the roof of this machine",
        log=True,
        markers=False,
    )
    figure.set_size_inches(7.5, 5)
    for legend in list(figure.legends):
        legend.remove()
    axes = figure.axes[0]
    for line in axes.lines:
        line.set_color(plots.GREY)
    for kind, marker, color in zip(kinds, _MARKERS, _COLORS, strict=False):
        of_kind = [point for point in points if point["kind"] == kind]
        rates = [point["rate"] / 1e9 for point in of_kind]
        color = plots.COLORS[color]
        axes.scatter([p["intensity"] for p in of_kind], rates, marker=marker, color=color, label=kind, zorder=3)
    heights = [*(point["rate"] for point in points), *ceilings.values(), peak]
    bottom, top = min(heights) / 4e9, 1.4e-9 * max(heights)
    ticks = [digit * 10**power for power in range(-9, 10) for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if bottom < tick < top]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    _write_names(figure, axes, points)
    return figure


def _write_names(figure, axes, points):
    """The name beside each point, moved down where it would lie on another one."""
    figure.draw_without_rendering()  # only then the layout, and with it where a point lies, is known
    scale = 72 / figure.dpi
    taken = []
    for point in sorted(points, key=lambda point: -point["rate"]):
        x, y = axes.transData.transform((point["intensity"], point["rate"] / 1e9)) * scale
        width, height = 5 * len(point["name"]), 13
        place = y
        while any(abs(x - other) < max(width, wide) + 12 and abs(place - high) < height for other, high, wide in taken):
            place -= 2
        taken.append((x, place, width))
        moved = {"arrowprops": {"arrowstyle": "-", "color": plots.GREY, "linewidth": 0.6}} if y - place > 3 else {}
        axes.annotate(
            point["name"],
            (point["intensity"], point["rate"] / 1e9),
            (8, place - y),
            textcoords="offset points",
            va="center",
            fontsize=9,
            path_effects=HALO,
            **moved,
        )
