"""A walk through the units of DenseNet: the channels pile up, and the number of groups jumps."""

from kgpc import plots
from kgpc.arguments import integer, mapping, positive_integer, received
from kgpc.figures.moving import MovingFigure, counted
from kgpc.grouping import D6

_MOST_CHANNELS = 4096


def dense_units(stages, units=16, growth_rate=12, filters=48, channels_per_group=(12, 24)):
    """What D6 makes of the bottleneck of each unit of a DenseNet, with a step from unit to unit.

    Args:
        stages: dict from the name of a stage to the channels (int) that its first unit reads; at most 6.
        units: int in 1 ... 64, units of each stage.
        growth_rate: int >= 1, channels that a unit appends.
        filters: int >= 1, filters of a bottleneck.
        channels_per_group: sequence of int >= 1, at most 6, the sizes of groups that can be chosen.

    Returns:
        `MovingFigure`. Its static picture shows the groups of each unit for all sizes.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if a number is outside its range, or there are no stages or sizes.
    """
    mapping("stages", stages, "channels", largest=6)
    stages = [[name, positive_integer(f"stages[{name!r}]", first, _MOST_CHANNELS)] for name, first in stages.items()]
    units = integer("units", units, 1, 64)
    growth_rate = positive_integer("growth_rate", growth_rate, 512)
    filters = positive_integer("filters", filters, _MOST_CHANNELS)
    if not isinstance(channels_per_group, list | tuple) or not 1 <= len(channels_per_group) <= 6:
        raise TypeError(
            "`channels_per_group` must be a sequence of one to six integers. "
            f"{received('channels_per_group', channels_per_group)}"
        )
    sizes = [positive_integer("channels_per_group", size, _MOST_CHANNELS) for size in channels_per_group]
    reads = [(name, index + 1, first + index * growth_rate) for name, first in stages for index in range(units)]
    groups = {size: [D6(size).plan(channels, filters).groups for _, _, channels in reads] for size in sizes}

    def draw():
        return plots.line_chart(
            list(range(1, len(reads) + 1)),
            {f"D6({size})": groups[size] for size in sizes},
            xlabel=f"unit, {units} in each of {len(stages)} stages",
            ylabel="groups of the bottleneck",
            title="The channels pile up evenly, the number of groups jumps",
        )

    lines = [
        f"{name}, unit {unit}, {channels} channels: "
        + ", ".join(f"D6({size}) {counted(groups[size][index], 'group')}" for size in sizes)
        for index, (name, unit, channels) in enumerate(reads)
    ]
    most = ", ".join(f"at most {max(groups[size])} with D6({size})" for size in sizes)
    alt = f"Groups of the bottleneck against the unit, {len(reads)} units: they jump up and down, {most}."
    parameters = {
        "stages": stages,
        "units": units,
        "growth_rate": growth_rate,
        "filters": filters,
        "channels_per_group": sizes,
    }
    return MovingFigure("dense_units", parameters, alt, "\n".join(lines), draw)
