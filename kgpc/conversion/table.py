"""The table that says of every layer of a network what becomes of it."""

import collections

import keras
import pandas as pd

from kgpc import graph
from kgpc.conversion import counts, decisions, kinds

COLUMNS = (
    *("layer", "type", "replaced", "reason", "scheme", "in_channels", "filters", "groups"),
    *("parameters_before", "parameters_after", "macs_before", "macs_after", "share_before", "share_after", "made"),
)


def table(network, others, decided, made):
    """A row for each layer with weights, in the order of computation.

    Args:
        network: `kgpc.graph.Network`.
        others: dict from layers that are no units to reasons.
        decided: list of `kgpc.conversion.decisions.Decision`.
        made: dict from units to their `kgpc.conversion.subnetwork.Subnetwork`.

    Returns:
        `pandas.DataFrame`; see `kgpc.conversion.convert`.
    """
    of_layer = {each.unit.layer: each for each in decided}
    with_unit = {each.unit.normalization: each for each in decided if each.replaced and each.unit.normalization}
    rows, times = {}, _times(network)
    for level, call in _calls(network):
        layer = call.operation
        if not isinstance(layer, keras.layers.Layer) or not layer.weights:
            continue
        if layer not in rows:
            row = _row(network, layer, level.path, others, of_layer, with_unit, made)
            rows[layer] = {**row, "macs_before": 0, "macs_after": 0}
        _count(rows[layer], call, times[level], of_layer.get(layer))
    result = pd.DataFrame(list(rows.values()), columns=list(COLUMNS))
    for when in ("before", "after"):
        total = result[f"parameters_{when}"].sum()
        result[f"share_{when}"] = result[f"parameters_{when}"] / max(total, 1)
        result[f"macs_{when}"] = result[f"macs_{when}"].astype("Int64")
    for column in ("in_channels", "filters", "groups"):
        result[column] = result[column].astype("Int64")
    return result


def _calls(network):
    """Pairs of a graph and a call, of everything but models, in the order in which they are first computed."""
    levels, seen = {id(level.model): level for level in network.graphs}, set()

    def walk(level):
        seen.add(level)
        for call in level.calls:
            inner = levels.get(id(call.operation))
            if inner is None:
                yield level, call
            elif inner not in seen:
                yield from walk(inner)

    return walk(network.graphs[0])


def _times(network):
    """How often each model is computed for one call of the outermost."""
    times = collections.Counter({network.graphs[0]: 1})
    levels = {id(level.model): level for level in network.graphs}
    pending = collections.Counter(
        levels[id(call.operation)] for level in network.graphs for call in level.calls if id(call.operation) in levels
    )
    ready = [network.graphs[0]]
    while ready:  # a model is counted through when all that call it are
        level = ready.pop()
        for call in level.calls:
            inner = levels.get(id(call.operation))
            if inner is not None:
                times[inner] += times[level]
                pending[inner] -= 1
                if not pending[inner]:
                    ready.append(inner)
    return times


def _row(network, layer, path, others, of_layer, with_unit, made):
    row = {"layer": path + layer.name, "type": type(layer).__name__, "replaced": False, "reason": "", "scheme": ""}
    row |= {"parameters_before": counts.parameters(layer), "made": ()}
    row["parameters_after"] = row["parameters_before"]
    if layer in of_layer:
        each = of_layer[layer]
        row |= {"replaced": each.replaced, "reason": each.reason, "scheme": str(each.scheme or "")}
        row |= {"in_channels": each.unit.in_channels, "filters": each.unit.filters, "groups": 1}
        if each.replaced:
            row["groups"] = each.plan.groups
            row["parameters_after"] = decisions.parameters(each.unit, each.plan)[0]
            row["made"] = _made(each, made, path, normalizations=False)
    elif layer in with_unit:
        each = with_unit[layer]
        row |= {"replaced": True, "reason": f"it goes along with {each.unit.path}", "scheme": str(each.scheme)}
        row["parameters_after"] = decisions.parameters(each.unit, each.plan)[1]
        row["made"] = _made(each, made, path, normalizations=True)
    else:
        row["reason"] = others.get(layer, "")
        if kinds.is_normalization(layer):
            row["reason"] = "no convolution that is replaced is alone before it"
    if not row["replaced"]:
        shared = "another layer uses its weights too" if network.is_entangled(layer) else graph.why_not_copied(layer)
        if shared:
            others = "" if row["reason"] == shared else row["reason"]
            row["reason"] = "; ".join(filter(None, [others, f"shared with the original: {shared}"]))
    return row


def _made(each, made, path, normalizations):
    """Paths of the layers that take the place of a unit: its normalizations, or all others."""
    new = made[each.unit]
    parts = [new.name + part.suffix for stage in each.plan.stages for part in stage.paths]
    normalizing = {f"{part}_bn" for part in parts} if each.unit.normalization is not None else set()
    return tuple(path + name for name in decisions.names_of(new) if (name in normalizing) == normalizations)


def _count(row, call, times, each):
    """Adds the multiply-adds of one call of a layer."""
    before = after = counts.multiply_adds(call)
    if each is not None and each.replaced and before is not None:
        positions = counts.pixels(call)
        after = before + positions * (each.plan.weights - each.unit.in_channels * each.unit.filters)
    for when, value in (("before", before), ("after", after)):
        known = row[f"macs_{when}"]
        row[f"macs_{when}"] = None if value is None or known is None else known + times * value
