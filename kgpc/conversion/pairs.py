"""Two networks side by side, one the grouped twin of the other: which of its steps took the place of which layer."""

import dataclasses
import re

import keras
import numpy as np

from kgpc import graph
from kgpc.conversion import units
from kgpc.conversion.streams import batches, computed
from kgpc.grouping import interleaved_order
from kgpc.layers import GroupedPointwiseConv2D, InterleaveChannels
from kgpc.unrolled import Step, Unrolled

# What the schemes and the conversion append to the name of a unit, in any number.
_SUFFIXES = re.compile(
    r"(_grouped(_\d+)?)?(_c[12]|_dum|_m\d+|_p1_\d+|_p2|_dc|_i\d+|_iga|_group_interleaved|_group_interconn|_inter_group_add"
    r"|_copy|_conv|_bn|_depthwise|_stride|_map|_sequence|_activation)*"
)
# Steps of a unit before and after the convolutions: they move pixels, are what was kept of a separable convolution, or
# an activation that looks at several channels at once.
_AROUND = re.compile(r".*(_depthwise|_stride|_map|_sequence|_activation)")


@dataclasses.dataclass(frozen=True, eq=False)
class Pair:
    """A unit of the original and the steps that took its place.

    Attributes:
        unit: `kgpc.conversion.units.Unit` of the original.
        layer: `kgpc.unrolled.Step` of its layer, at its first place.
        target: `kgpc.unrolled.Value`, what the unit returns there.
        steps: list of the steps of the converted network that compute it, from the first convolution to the last.
        before: list of its steps before those: strides, the depthwise half of a separable convolution, a reshaping.
    """

    unit: units.Unit
    layer: Step
    target: object
    steps: list
    before: list

    @property
    def inputs(self):
        """The `Value` that the convolutions read."""
        return self.steps[0].inputs[0]

    @property
    def outputs(self):
        """The `Value` that takes the place of `target`."""
        return self.steps[-1].outputs[0]

    def read(self, values):
        """What the 1x1 kernel of the original reads, given an array of what its layer reads: after strides and such."""
        for step in self.before:
            values = np.concatenate([computed(step, {step.inputs[0]: values[part]})[0] for part in batches([values])])
        return values

    def stages(self):
        """The convolutions that read the input, and those that read what the first ones return: two lists of steps."""
        depth, stages = {self.inputs: 0}, ([], [])
        for step in self.steps:
            level = max(depth[value] for value in step.inputs)
            if hasattr(step.operation, "kernel"):
                stages[level].append(step)
                level += 1
            depth.update(dict.fromkeys(step.outputs, level))
        # As their outputs are concatenated: the second path last, wherever it is computed.
        return tuple(sorted(stage, key=lambda step: step.name.endswith("_p2_conv")) for stage in stages)

    def filter_order(self):
        """For each channel of the output the filter of the first convolutions (side by side) that is added to it."""
        first, second = self.stages()
        filters = sum(step.operation.filters for step in first)
        interleaving = [step.operation for step in self.steps if isinstance(step.operation, InterleaveChannels)]
        if second or not interleaving:
            return list(range(filters))
        return interleaved_order(filters, interleaving[0].step)


class Networks:
    """A converted network and its original, each as a list of steps.

    Args:
        converted, original: functional or Sequential Keras models.

    Attributes:
        converted, original: `kgpc.unrolled.Unrolled`.
        pairs: list of `Pair`, in the order of computation.
        kept: list of pairs of layers, of the converted network and of the original, that are the same but for weights.

    Raises:
        TypeError: if a model is neither.
        ValueError: if the inputs differ, or the one is no twin of the other: nothing was grouped, or a layer with
            weights has no partner.
    """

    def __init__(self, converted, original):
        for argument, model in (("converted", converted), ("original", original)):
            if not isinstance(model, keras.Model):
                raise TypeError(
                    f"`{argument}` must be a functional or Sequential Keras model. "
                    f"Received: {argument} of type {type(model).__name__}."
                )
            graph.check_readable(model, argument)
        if converted is original:
            raise ValueError("`original` must be another network than `converted`. Received: the same one.")
        self.converted, self.original = Unrolled(converted), Unrolled(original)
        shapes = [[value.shape for value in each.inputs] for each in (self.converted, self.original)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"`converted` must have the inputs of `original`, {shapes[1]}. Received: a network with {shapes[0]}."
            )
        self.pairs = self._pairs(original)
        mine = {step.name: step for step in self.converted.steps}
        inside = {id(step.operation) for pair in self.pairs for step in pair.steps}
        self.kept, seen = [], set()
        for step in self.original.steps:
            other = mine.get(step.name)
            layer = step.operation
            if other is None or not isinstance(layer, keras.layers.Layer) or id(layer) in seen or not layer.weights:
                continue
            if id(other.operation) in inside or other.operation is layer or not _is_alike(other.operation, layer):
                continue
            seen.add(id(layer))
            self.kept.append((other.operation, layer))
        if not self.pairs:
            raise ValueError(
                "`converted` must be what `kgpc.convert` made of `original`. Received: networks in which no grouped "
                f"layers took the place of a pointwise convolution ({converted.name!r} and {original.name!r})."
            )
        self._check_partners()

    def _check_partners(self):
        """Raises ValueError where a layer with weights, of either network, is no part of a pair and is not shared."""
        paired = {id(layer) for layers in self.kept for layer in layers}
        for pair in self.pairs:
            paired.update(map(id, (pair.unit.layer, *pair.unit.tail)))
            paired.update(id(step.operation) for step in (*pair.before, *pair.steps))
        steps = self.original.steps, self.converted.steps
        shared = set.intersection(*({id(step.operation) for step in each} for each in steps))
        alone = [
            dict.fromkeys(
                step.name
                for step in each
                if getattr(step.operation, "weights", None) and id(step.operation) not in paired | shared
            )
            for each in steps
        ]
        for network, names in zip(("original", "converted"), alone, strict=True):
            if names:
                raise ValueError(
                    "`converted` must be what `kgpc.convert` made of `original`. Received: networks of which the other "
                    f"has no layer of the same name and shape for {len(names)} with weights of `{network}`: "
                    f"{', '.join(map(repr, list(names)[:3]))}{', ...' if len(names) > 3 else ''}."
                )

    def _pairs(self, original):
        found, _ = units.find(graph.Network(original))
        made = self._made(found)
        places = _Places(found, made)
        first = {}  # step of each operation of the original, at its first place
        for step in self.original.steps:
            first.setdefault(id(step.operation), step)
        pairs = []
        for unit, named in made.items():
            around = {step for step in named if _AROUND.fullmatch(step.name)}
            steps = [step for step in named if step not in around]
            if not any(isinstance(step.operation, GroupedPointwiseConv2D) for step in steps):
                continue
            layer = first[id(unit.layer)]
            last = first[id((unit.tail or (unit.layer,))[-1])]
            # Called several times, calls come in another order here than there: it is the one that reads the same.
            reads = [step.inputs[0] for step in steps if step.name == steps[0].name]
            starts = [(read, *_behind(read, around)) for read in reads]
            wanted = places.of_original(layer.inputs[0])
            read, before, _ = next((each for each in starts if places.of_converted(each[2]) == wanted), starts[0])
            steps = _of_one_call(steps, read)
            if steps[-1].outputs[0].shape[-1] != unit.filters or steps[0].inputs[0].shape[-1] != unit.in_channels:
                raise ValueError(
                    f"`converted` must be what `kgpc.convert` made of `original`. Received: {unit.path!r} has "
                    f"{unit.in_channels} and {unit.filters} channels there, and others here."
                )
            pairs.append(Pair(unit, layer, last.outputs[0], steps, before))
        return pairs

    def _made(self, found):
        """For each unit of the original the steps of the converted network that are named after it, in their order."""
        names, made = {step.name for step in self.original.steps}, {unit: [] for unit in found}
        own = {}  # what a unit is called itself may be the name of one of its new layers
        for unit in found:
            prefix = unit.path[: len(unit.path) - len(unit.layer.name)]
            names_of_unit = {prefix + operation.name for operation in (unit.layer, *unit.tail)}
            own.update((name, unit) for name in names_of_unit if _is_named_after(name, unit.path))
        longest_first = sorted(found, key=lambda unit: -len(unit.path))
        for step in self.converted.steps:
            if step.name in own:
                made[own[step.name]].append(step)
            elif step.name not in names:
                # Of "conv" and "conv_conv", "conv_conv_bn" is named after the second.
                unit = next((unit for unit in longest_first if _is_named_after(step.name, unit.path)), None)
                if unit is not None:
                    made[unit].append(step)
        return made


def _is_named_after(name, path):
    return name.startswith(path) and _SUFFIXES.fullmatch(name[len(path) :]) is not None


def _behind(value, around):
    """The steps around the convolutions by which they get what they read, and what the first of these reads."""
    steps = []
    while value.step in around:
        steps.insert(0, value.step)
        value = value.step.inputs[0]
    return steps, value


def _of_one_call(steps, read):
    """The steps of one call of a sub-network, which may be called several times: those that come of what it reads."""
    taken, known = {}, {read}
    for step in steps:
        if step.name not in taken and known.issuperset(step.inputs):
            taken[step.name] = step
            known.update(step.outputs)
    return list(taken.values())


class _Places:
    """What makes a value, by a name that the original and the converted network have in common.

    Args:
        found: list of `kgpc.conversion.units.Unit` of the original.
        made: dict from each to the steps of the converted network that are named after it.
    """

    def __init__(self, found, made):
        self._original = {id(part): unit.path for unit in found for part in (unit.layer, *unit.tail)}
        self._converted = {id(step): unit.path for unit, steps in made.items() for step in steps}

    def of_original(self, value):
        """Path of the unit, or name of the step or of the input, that makes a value of the original."""
        return value.name if value.step is None else self._original.get(id(value.step.operation), value.name)

    def of_converted(self, value):
        """The same for a value of the converted network."""
        return value.name if value.step is None else self._converted.get(id(value.step), value.name)


def _is_alike(one, other):
    shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in (one, other)]
    return type(one) is type(other) and shapes[0] == shapes[1]
