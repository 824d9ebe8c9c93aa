"""The order of channels in which strong connections fall into groups, where the order is free.

An axis of channels belongs to all tensors that have the same channels in the same order: what a pointwise convolution
writes, a depthwise convolution, normalization and activation hand on, and the next pointwise convolution reads. If all
that write or read an axis can do so in any order, by moving rows, columns or single weights, its order is free. In
which groups its channels then are decides how much of the original's kernels a grouped convolution can keep.

The strength of a connection is the share that an input has in the variance of a filter's output. The axes are ordered
in turns, each by swapping channels as long as that brings more strength into the groups.

Ideas: the clustering of arXiv:2009.13803, and the permutations that keep energy in pruning.
"""

import keras
import numpy as np

from kgpc import graph
from kgpc.conversion import kinds
from kgpc.conversion.streams import Stream, to_numpy
from kgpc.layers import BatchNormalization, DepthwiseConv2D

_SWEEPS = 2
_NORMALIZATIONS = (keras.layers.BatchNormalization, BatchNormalization)
_DEPTHWISE = (keras.layers.DepthwiseConv2D, DepthwiseConv2D)
_MIXING = (keras.layers.Conv2D, keras.layers.Dense)
# Layers without weights that treat each channel by itself and alike.
_PLAIN = (
    *(keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.Identity, keras.layers.ZeroPadding2D),
    *(keras.layers.Cropping2D, keras.layers.UpSampling2D, keras.layers.MaxPooling2D, keras.layers.AveragePooling2D),
    *(keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D, keras.layers.Reshape),
)
_MERGING = (keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply, keras.layers.Average, keras.layers.Maximum)


class Orders:
    """The order of the channels of each axis of the original in the converted network; at first, all as they were.

    Args:
        networks: `kgpc.conversion.pairs.Networks`.
    """

    def __init__(self, networks):
        self._networks = networks
        self._parents, self._orders, self._fixed = {}, {}, set()
        self._pairs = {id(pair.unit.layer): pair for pair in networks.pairs}
        self._mine = {id(other): mine for mine, other in networks.kept}
        for step in networks.original.steps:
            self._read(step)
        for value in (*networks.original.inputs, *networks.original.outputs):
            self._fix(value)

    def axis(self, value):
        """What stands for the axis of the channels of a `kgpc.unrolled.Value`."""
        parent = self._parents.setdefault(value, value)
        if parent is not value:
            parent = self._parents[value] = self.axis(parent)
        return parent

    def free(self):
        """The axes whose order is free and that a grouped convolution reads or writes, as a list."""
        fixed = {self.axis(value) for value in self._fixed}
        axes = [
            self.axis(value) for pair in self._networks.pairs for value in (pair.layer.inputs[0], pair.layer.outputs[0])
        ]
        return [axis for axis in dict.fromkeys(axes) if axis not in fixed]

    def of(self, value):
        """For each channel in the converted network the channel of the original, as an int array."""
        axis = self.axis(value)
        return self._orders[axis] if axis in self._orders else np.arange(value.shape[-1])

    def set(self, axis, order):
        """Gives an axis another order."""
        self._orders[axis] = order

    def apply(self):
        """Reorders the weights of the layers that both networks have, which are those of the original now."""
        done = set()
        for step in self._networks.original.steps:
            layer = self._mine.get(id(step.operation))
            if layer is None or id(layer) in done:
                continue
            done.add(id(layer))
            read, written = self.of(step.inputs[0]), self.of(step.outputs[0])
            if all(np.array_equal(order, np.arange(len(order))) for order in (read, written)):
                continue
            if graph.is_exactly(layer, *_DEPTHWISE):
                kernel, *bias = layer.get_weights()
                layer.set_weights([kernel[..., read, :], *(values[read] for values in bias)])
            elif graph.is_exactly(layer, *_NORMALIZATIONS):
                layer.set_weights([weights[read] for weights in layer.get_weights()])
            elif graph.is_exactly(layer, *_MIXING):
                if getattr(layer, "groups", 1) == 1:
                    kernel, *bias = layer.get_weights()
                    layer.set_weights([kernel[..., read, :][..., written], *(values[written] for values in bias)])

    def _fix(self, *values):
        self._fixed.update(values)

    def _join(self, values):
        first, *others = (self.axis(value) for value in values)
        for axis in others:
            self._parents[axis] = first
            first = self.axis(first)

    def _read(self, step):
        """Joins or fixes what a step of the original reads and writes."""
        layer, values = step.operation, [*step.inputs, *step.outputs]
        several = sum(other.operation is layer for other in self._networks.original.steps) > 1
        pair = self._pairs.get(id(layer))
        if several and getattr(layer, "weights", None):
            self._fix(*values)
        elif pair is not None:
            if isinstance(layer, keras.layers.SeparableConv2D) or kinds.has_other_activation(layer):
                self._fix(*values)
        elif graph.is_exactly(layer, *_MIXING):
            # Rows and columns of a kernel can be moved, if that is all there is.
            if (
                getattr(layer, "groups", 1) != 1
                or getattr(layer, "lora_enabled", False)
                or getattr(layer, "quantization_mode", None) is not None
                or getattr(layer, "data_format", "channels_last") == "channels_first"
                or kinds.has_other_activation(layer)
                or id(layer) not in self._mine
                or len(layer.weights) > 2
            ):
                self._fix(*values)
        elif self._keeps_channels(step):
            self._join(values)
        else:
            self._fix(*values)

    def _keeps_channels(self, step):
        """Whether a step treats each channel by itself, in all orders alike but for single weights."""
        layer, read, written = step.operation, step.inputs, step.outputs
        if len({value.shape[-1] for value in (*read, *written)}) > 1 or len(read[0].shape) < 2:
            return False
        if len(read) > 1:
            return graph.is_exactly(layer, *_MERGING) or _is_sum_or_product(layer)
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            return False
        if kinds.is_normalization(layer):
            known = id(layer) in self._mine or any(layer is pair.unit.normalization for pair in self._networks.pairs)
            return known and layer.axis % len(read[0].shape) == len(read[0].shape) - 1
        if graph.is_exactly(layer, *_DEPTHWISE):
            return layer.depth_multiplier == 1 and id(layer) in self._mine and not kinds.has_other_activation(layer)
        linear = graph.is_exactly(layer, keras.layers.Activation) and layer.activation is keras.activations.linear
        return graph.is_exactly(layer, *_PLAIN) or bool(kinds.activation_name(layer)) or linear


def find(networks, images):
    """Finds orders in which strong connections fall into groups.

    Args:
        networks: `kgpc.conversion.pairs.Networks`.
        images: list of arrays, a sample of images.

    Returns:
        `Orders`.
    """
    orders = Orders(networks)
    free = set(orders.free())
    kernels = [
        _Kernel(pair, orders, variances)
        for pair, variances in zip(networks.pairs, _variances(networks, images), strict=True)
        if not isinstance(pair.unit.layer, keras.layers.SeparableConv2D)
    ]
    for _ in range(_SWEEPS if free else 0):
        for axis in free:
            order = orders.of(axis)
            classes, tables = [], []
            for kernel in kernels:
                if kernel.read is axis:
                    classes.append(kernel.groups_of_inputs)
                    tables.append(kernel.strength_of_inputs(orders))
                if kernel.written is axis:
                    classes.append(kernel.groups_of_filters)
                    tables.append(kernel.strength_of_filters(orders))
            if tables:
                orders.set(axis, _swapped(order, classes, tables))
    return orders


def _is_sum_or_product(operation):
    """Whether an operation is a sum or a product of `keras.ops`."""
    kind = type(operation)
    own = isinstance(operation, keras.layers.Layer) or kind.__module__.split(".")[0] != "keras"
    return not own and ".ops." in kind.__module__ and kind.__name__ in ("Add", "Multiply")


class _Kernel:
    """The connections of a unit and the groups of its positions.

    Attributes:
        read, written: axes of its input and output.
        groups_of_inputs, groups_of_filters: int arrays, the group of each position.
    """

    def __init__(self, pair, orders, variances):
        self.read, self.written = orders.axis(pair.layer.inputs[0]), orders.axis(pair.target)
        kernel = to_numpy(pair.unit.layer.kernel)
        strength = np.square(kernel.reshape(kernel.shape[-2:]), dtype=np.float64) * variances[:, None]
        self._strength = strength / np.maximum(strength.sum(axis=0), 1e-30)
        first = pair.stages()[0]
        main = first[0].operation
        rows = main.kernel.shape[2]
        self.groups_of_inputs = np.arange(len(strength)) // rows
        groups = [_groups(step.operation) for step in first]
        self.groups_of_filters = np.concatenate(groups)[pair.filter_order()]
        self._groups = getattr(main, "groups", 1)

    def _members(self, order, groups):
        members = np.zeros((len(order), self._groups))
        members[order, groups] = 1
        return members

    def strength_of_inputs(self, orders):
        """For each input its strength in each group of filters, `(inputs, groups)`."""
        return self._strength @ self._members(orders.of(self.written), self.groups_of_filters)

    def strength_of_filters(self, orders):
        """For each filter its strength in each group of inputs, `(filters, groups)`."""
        return self._strength.T @ self._members(orders.of(self.read), self.groups_of_inputs)


def _swapped(order, classes, tables):
    """An order with channels swapped until no swap brings more strength into the groups.

    Args:
        order: int array, the channel at each position.
        classes: list of int arrays, the group of each position, for each unit that reads or writes the axis.
        tables: list of arrays `(channels, groups)`, the strength of each channel in each group, likewise.
    """
    # Positions that are in the same groups of all units are of one kind.
    _, of_position = np.unique(np.stack(classes), axis=1, return_inverse=True)
    of_position = of_position.reshape(-1)
    alike = [np.flatnonzero(of_position == kind) for kind in range(of_position.max() + 1)]
    examples = [positions[0] for positions in alike]
    sorted_positions, starts = np.concatenate(alike), np.cumsum([0] + [len(positions) for positions in alike[:-1]])
    value = sum(table[:, groups[examples]] for table, groups in zip(tables, classes, strict=True))
    order, swapped = order.copy(), True
    while swapped:
        swapped = False
        # What it brings to move each channel to each kind of position, and for each two alike the best swap.
        gain = value[order] - value[order, of_position][:, None]
        best = np.maximum.reduceat(gain[sorted_positions], starts, axis=0)
        both = best + best.T
        np.fill_diagonal(both, 0.0)
        partners = both.argmax(axis=1)
        used = set()
        for here in np.argsort(-both.max(axis=1)):
            there = partners[here]
            if both[here, there] <= 1e-9:
                break
            if here in used or there in used:
                continue
            used.update((here, there))
            one = alike[here][gain[alike[here], there].argmax()]
            other = alike[there][gain[alike[there], here].argmax()]
            order[one], order[other] = order[other], order[one]
            swapped = True
    return order


def _groups(layer):
    """The group of each filter of a convolution."""
    return np.arange(layer.filters) // (layer.filters // getattr(layer, "groups", 1))


def _variances(networks, images):
    """The variance of each channel that each unit reads."""
    wanted = [pair.layer.inputs[0] for pair in networks.pairs]
    stream = Stream(networks.original, images, wanted)
    found = []
    for pair, value in zip(networks.pairs, wanted, strict=True):
        values = pair.read(stream.take(value))
        found.append(values.reshape(-1, values.shape[-1]).var(axis=0, dtype=np.float64))
    return found
