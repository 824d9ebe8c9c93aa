"""Gradients of class scores with respect to feature maps on the way, for each backend of Keras."""

import concurrent.futures
import functools

import keras
import numpy as np
from keras import ops

from kgpc.cam.arguments import to_numpy


def outside_of_traces(function):
    """A function that computes at once, also where a `tf.function` is being traced.

    The trace belongs to its thread, and `tf.init_scope`, which leaves it too, records no gradients.
    """

    @functools.wraps(function)
    def computing(*args, **kwargs):
        if keras.backend.backend() != "tensorflow":
            return function(*args, **kwargs)
        import tensorflow as tf

        if tf.executing_eagerly():
            return function(*args, **kwargs)
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            return executor.submit(function, *args, **kwargs).result()

    return computing


def reader_of(unrolled, wanted):
    """A function that reads values on the way through a model.

    Args:
        unrolled: `Unrolled` of the model.
        wanted: list of `Value`.

    Returns:
        Function of a batch of images, array, that returns the list of arrays, float32.
    """
    if keras.backend.backend() != "jax":
        return lambda images: [to_numpy(tensor) for tensor in unrolled.run(images, wanted)]
    # Operation by operation, JAX would compile each of hundreds for itself. This it compiles once for a shape.
    import jax

    run = jax.jit(lambda state, images: _with_state(unrolled, state, lambda: unrolled.run(images, wanted)))
    return lambda images: [to_numpy(tensor) for tensor in run(_state(unrolled), images)]


def maps_and_gradients(unrolled, images, maps, score_input, scores):
    """Feature maps of a batch, and the gradients of `scores(score input)`, k numbers, with respect to them.

    Args:
        unrolled: `Unrolled` of the model.
        images: array (images, height, width, channels).
        maps: `Value` of the feature maps.
        score_input: `Value` that the scores are computed from.
        scores: function of a tensor that returns a list of k tensors of shape ().

    Returns:
        Arrays, float32: (images, height, width, maps), and one more dimension, the first, for the k gradients.

    Raises:
        ValueError: if the scores do not depend on the maps.
        NotImplementedError: if the Keras backend is neither TensorFlow nor JAX nor PyTorch.
    """
    backend = keras.backend.backend()
    if backend not in _GRADIENTS:
        raise NotImplementedError(f"Gradients need the backend tensorflow, jax or torch of Keras. Received: {backend}.")
    features, gradients = _GRADIENTS[backend](unrolled, images, maps, score_input, scores)
    if gradients[0] is None:
        raise ValueError(f"`layer` must be a layer that the output depends on. Received: layer={maps.name!r}.")
    return to_numpy(features), np.stack([to_numpy(gradient) for gradient in gradients])


def _tensorflow_gradients(unrolled, images, maps, score_input, scores):
    """The tape begins at the maps: beginning at the images, it would differentiate the whole network for nothing."""
    import tensorflow as tf

    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:

        def watched(tensor):
            tape.watch(tensor)
            return tensor

        features, score_tensor = unrolled.run(images, [maps, score_input], {maps: watched})
        totals = scores(score_tensor)
    return features, [tape.gradient(total, features) for total in totals]


def _torch_gradients(unrolled, images, maps, score_input, scores):
    import torch

    with torch.enable_grad():
        start = ops.convert_to_tensor(images).requires_grad_()
        features, score_tensor = unrolled.run(start, [maps, score_input])
        gradients = [
            torch.autograd.grad(total, features, retain_graph=True, allow_unused=True)[0]
            for total in scores(score_tensor)
        ]
    return features, gradients


def _jax_gradients(unrolled, images, maps, score_input, scores):
    """JAX has no gradient with respect to a value on the way: the gradient of something added there takes its place."""
    import jax

    def run(addition, state, images):
        def compute():
            changes = {maps: lambda tensor: tensor + addition}
            features, score_tensor = unrolled.run(images, [maps, score_input], changes)
            return jax.numpy.stack(scores(score_tensor)), features

        return _with_state(unrolled, state, compute)

    state = _state(unrolled)
    (shaped,) = jax.eval_shape(
        lambda state, images: _with_state(unrolled, state, lambda: unrolled.run(images, [maps])), state, images
    )
    gradients, features = jax.jit(jax.jacrev(run, has_aux=True))(
        ops.zeros(shaped.shape, dtype=maps.tensor.dtype), state, images
    )
    return features, gradients


def _state(unrolled):
    """Values of all variables of a model: arguments of what JAX compiles, or they would be constants in it."""
    return [variable.value for variable in unrolled.model.variables]


def _with_state(unrolled, state, function):
    with keras.StatelessScope(state_mapping=list(zip(unrolled.model.variables, state, strict=True))):
        return function()


_GRADIENTS = {"tensorflow": _tensorflow_gradients, "jax": _jax_gradients, "torch": _torch_gradients}
