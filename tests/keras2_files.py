"""Writes weight files in the HDF5 layout of Keras 2, as the tests need them."""

import h5py


def write_layers(path, layers, root=None):
    """Writes {layer name: {weight name: array}}; with `root` in a group of this name, as a whole saved model has it."""
    with h5py.File(path, "w") as file:
        group = file if root is None else file.create_group(root)
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer_name, arrays in layers.items():
            layer = group.create_group(layer_name)
            names = [f"{layer_name}/{kind}:0" for kind in arrays]
            layer.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, arrays.values(), strict=True):
                layer[name] = array
    return path


def layers_of(model, rename=lambda name: name):
    """The layers of a model in the form that `write_layers` takes, in the order in which Keras lists them."""
    return {rename(layer.name): {weight.name: weight.numpy() for weight in layer.weights} for layer in model.layers}
