"""Figures that are stored in notebooks: made anew from their name and parameters, or refused."""

import json

import pandas as pd

from kgpc.arguments import received, shown
from kgpc.figures import densenet, layers, prices, rooflines, runs, scheme

_MOST_CHARACTERS = 200_000  # of parameters as JSON
_COLUMNS = ("layer", "part", "trainable_parameters", "macs")


def _layer_costs(parameters):
    tables = {one["name"]: pd.DataFrame(one["layers"], columns=_COLUMNS) for one in parameters.pop("networks")}
    return layers.layer_costs(tables, **parameters)


# Name of a figure -> a function that makes it from its parameters.
_MAKERS = {
    "accuracies": lambda parameters: runs.accuracies(pd.DataFrame(parameters.pop("rows")), **parameters),
    "d6": lambda parameters: scheme.d6(**parameters),
    "dense_units": lambda parameters: densenet.dense_units(**{**parameters, "stages": dict(parameters["stages"])}),
    "layer_costs": _layer_costs,
    "price": lambda parameters: prices.price(pd.DataFrame(parameters.pop("rows")), **parameters),
    "roofline": lambda parameters: rooflines.roofline(pd.DataFrame(parameters.pop("points")), **parameters),
}


def restored(stored):
    """Makes a figure anew from what is stored with an output.

    Args:
        stored: dict with `name` (str, a function of `kgpc.figures`) and `parameters` (dict, those of a
            `MovingFigure`). It may come from anybody.

    Returns:
        `MovingFigure`, whose parameters are those that were given.

    Raises:
        TypeError: if `stored` is not a dict.
        ValueError: if it has other keys, names no figure, or has parameters that no figure has.
    """
    if not isinstance(stored, dict):
        raise TypeError(f"`stored` must be a dict with `name` and `parameters`. {received('stored', stored)}")
    if set(stored) != {"name", "parameters"}:
        raise ValueError(f"`stored` must have the keys name and parameters. Received: {shown(list(stored))}.")
    name, parameters = stored["name"], stored["parameters"]
    if not isinstance(name, str) or name not in _MAKERS:
        raise ValueError(f"`stored` must name one of {', '.join(_MAKERS)}. Received: name={shown(name)}.")
    try:
        written = json.dumps(parameters, allow_nan=False)
        if len(written) > _MOST_CHARACTERS:
            raise ValueError(f"they have more than {_MOST_CHARACTERS:,} characters")
        figure = _MAKERS[name](dict(json.loads(written)))
        if figure.parameters != json.loads(written):
            raise ValueError("the figure would have others")
    # What odd parameters lead to depends on who notices it first.
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"`stored` must have parameters of the figure {name}: {error}") from error
    return figure
