"""The feature maps of a network, from the image to the classes."""

import keras
import pandas as pd

from kgpc.arguments import mapping, received, shown, text
from kgpc.plots import LAYER_COLORS


def plates(model, places):
    r"""Sizes of feature maps, as `kgpc.plots.feature_maps` draws them.

    Args:
        model: functional Keras model built with a fixed image size.
        places: dict from a label, such as "stem" or "block\n13", to a pair of str: the name of the layer whose output
            is meant, and a key of `kgpc.plots.LAYER_COLORS` or "". The label "image" means the input of the layer.

    Returns:
        `pandas.DataFrame` with the columns `label`, `size` (pixels; 1 after pooling), `channels` and `kind`.

    Raises:
        TypeError: if an argument is of another type.
        ValueError: if there is no place, no layer of that name, or a kind is unknown.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received('model', model)}")
    mapping("places", places, "pairs (layer, kind)")
    names = {layer.name for layer in model.layers}
    rows = []
    for label, place in places.items():
        where = f"places[{label!r}]"
        if not isinstance(place, tuple | list) or len(place) != 2:
            raise TypeError(f"`{where}` must be a pair (layer, kind). {received(where, place)}")
        name, kind = (text(where, value) for value in place)
        if name not in names:
            raise ValueError(f"`{where}` must name a layer of the model. Received: {shown(name)}.")
        if kind and kind not in LAYER_COLORS:
            raise ValueError(f'`{where}` must have "" or one of {list(LAYER_COLORS)}. Received: {shown(kind)}.')
        layer = model.get_layer(name)
        shape = tuple((layer.input if label == "image" else layer.output).shape)
        size = shape[1] if len(shape) == 4 else 1
        rows.append({"label": label, "size": size, "channels": shape[-1], "kind": kind})
    return pd.DataFrame(rows)
