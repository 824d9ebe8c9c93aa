"""A network computed step by step on a sample of images, so that a layer can be changed before it is computed."""

import collections
import copy

import keras
import numpy as np

_VALUES = 2**22  # read by a step at a time
_HALVES = ("float16", "bfloat16")


def batches(arrays):
    """Slices of arrays of as many images, with so many images in each that a step has little memory to go through."""
    of_image = max(array[:1].size for array in arrays)
    images = max(1, _VALUES // max(of_image, 1))
    return [slice(start, start + images) for start in range(0, len(arrays[0]), images)]


def to_numpy(tensor):
    """A tensor as an array; floats of two bytes, in which NumPy's sums overflow or stand still, as float32."""
    array = keras.ops.convert_to_numpy(tensor)
    return array.astype("float32") if array.dtype.name in _HALVES else array


def computed(step, arrays):
    """Arrays of a step's outputs, given a dict from the values that it reads to theirs; see `to_numpy`."""
    given = {
        value: keras.ops.cast(array, value.tensor.dtype) if value.tensor.dtype in _HALVES else array
        for value, array in arrays.items()
    }
    return [to_numpy(output) for output in step.run(given)]


class Stream:
    """The tensors of a sample of images on their way through a network, each kept until it was read for the last time.

    Args:
        network: `kgpc.unrolled.Unrolled`.
        images: list of arrays, one for each input.
        wanted: values that are kept until `take`.

    Attributes:
        tensors: dict from each `kgpc.unrolled.Value` that is known now to its array.
    """

    def __init__(self, network, images, wanted=()):
        self._network = network
        self._pending = collections.deque(network.steps)
        self._readers = collections.Counter(value for step in network.steps for value in set(step.inputs))
        self._readers.update(wanted)
        self.tensors = dict(zip(network.inputs, images, strict=True))

    @property
    def done(self):
        """Whether all steps were computed."""
        return not self._pending

    def peek(self):
        """The step that comes next."""
        return self._pending[0]

    def advance(self):
        """Computes the next step."""
        step = self._pending.popleft()
        given = {value: self.tensors[value] for value in step.inputs}
        parts = []
        for part in batches(list(given.values())):
            parts.append(computed(step, {value: array[part] for value, array in given.items()}))
        for value, arrays in zip(step.outputs, zip(*parts, strict=True), strict=True):
            if self._readers[value]:
                self.tensors[value] = np.concatenate(arrays)
        for value in set(step.inputs):
            self._release(value)

    def take(self, value):
        """Computes as far as a value that is wanted, and returns its array."""
        while value not in self.tensors:
            self.advance()
        array = self.tensors[value]
        self._release(value)
        return array

    def outputs(self, value, array):
        """The outputs of the network if a value, known now, had another array; the stream stays as it is.

        Args:
            value: `kgpc.unrolled.Value` that was computed just now.
            array: the array in its place, or None for its own.

        Returns:
            List of arrays.
        """
        other = copy.copy(self)
        other._pending, other._readers = self._pending.copy(), self._readers.copy()
        other._readers.update(self._network.outputs)
        other.tensors = {**self.tensors} if array is None else {**self.tensors, value: array}
        while not other.done:
            other.advance()
        return [other.tensors[output] for output in self._network.outputs]

    def _release(self, value):
        self._readers[value] -= 1
        if not self._readers[value]:
            del self.tensors[value]
