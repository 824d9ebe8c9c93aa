"""What a scheme makes of 1x1 convolutions: tables of plans."""

import keras
import pandas as pd

from kgpc.arguments import mapping, received
from kgpc.flops import layer_table
from kgpc.grouping import Plan, check_scheme, ordinary_plan
from kgpc.inspection.places import place_of


def plan_table(plans):
    """Plans as a table.

    Args:
        plans: dict from the name of a convolution to a `kgpc.grouping.Plan`.

    Returns:
        `pandas.DataFrame` with one row for each plan and the columns `convolution`, `channels`, `filters`, `ordinary`
        (weights of the ordinary convolution), `groups` (of K), `K` and `L` (their weights; 0 without L), and `left`
        (share of the ordinary weights).

    Raises:
        TypeError: if `plans` is no dict of plans.
        ValueError: if it is empty.

    Example:

    >>> from kgpc.grouping import D6
    >>> plan_table({"expand": D6(16).plan(128, 64)}).loc[0, ["groups", "K", "L"]].tolist()
    [8, 1024, 512]
    """
    rows = []
    for name, plan in mapping("plans", plans, "plans").items():
        if not isinstance(plan, Plan):
            raise TypeError(f"`plans[{name!r}]` must be a `kgpc.grouping.Plan`. {received(f'plans[{name!r}]', plan)}")
        rows.append(
            {
                "convolution": name,
                "channels": plan.in_channels,
                "filters": plan.filters,
                "ordinary": plan.ordinary_weights,
                "groups": plan.groups,
                "K": plan.first.weights,
                "L": plan.second.weights if plan.second else 0,
                "left": plan.weights / plan.ordinary_weights,
            }
        )
    return pd.DataFrame(rows)


def pointwise_plans(model, family, scheme):
    """What a scheme makes of each 1x1 convolution of an ordinary network but the classifier.

    Args:
        model: Keras model, an ordinary network (`scheme=None`) built with a fixed image size.
        family: str, one of `kgpc.inspection.FAMILIES`.
        scheme: a `Scheme` such as `D6(16)`, or None.

    Returns:
        `pandas.DataFrame` as `plan_table` returns it, with the column `place` after the first. Convolutions that a
        published network leaves ordinary under every scheme are listed as the others.

    Raises:
        TypeError: if `model` is no Keras model or `family` no str.
        ValueError: if `family` or `scheme` is none, or the model has a grouped 1x1 convolution, or none at all.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received('model', model)}")
    check_scheme(scheme)
    plans, places = {}, []
    for row in layer_table(model).itertuples():
        if row.part != "pointwise":
            continue
        layer = model.get_layer(row.layer)
        if layer.groups != 1:
            raise ValueError(
                "`model` must be an ordinary network, built with scheme=None. "
                f"Received: model with the layer {row.layer!r} of {layer.groups} groups."
            )
        sizes = layer.input.shape[-1], layer.filters
        plans[row.layer] = ordinary_plan(*sizes) if scheme is None else scheme.plan(*sizes)
        places.append(place_of(family, model, row))
    if not plans:
        raise ValueError("`model` must have 1x1 convolutions besides the classifier. Received: a model without.")
    table = plan_table(plans)
    table.insert(1, "place", places)
    return table
