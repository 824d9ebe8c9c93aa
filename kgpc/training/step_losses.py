"""The loss of each training step, kept where the training computes until somebody asks for it."""

import keras
import numpy as np


class StepLosses(keras.metrics.Mean):
    """Keras' own mean of the losses of an epoch, which also keeps each of them.

    Keras reports only the mean, in float32; a difference of two means is a step's loss with an error that grows with
    the epoch. And what a step reports has to be fetched from the device, for which the device waits.

    Args:
        steps: int, of an epoch. Losses of further ones are part of the mean only.
    """

    def __init__(self, steps):
        super().__init__(name="loss")
        # Sums and weights, because several devices have each their own, and what is read is the sum over them.
        self.sums = self.add_variable((steps,), "zeros", dtype=self.dtype, name="sums")
        self.weights = self.add_variable((steps,), "zeros", dtype=self.dtype, name="weights")
        # A float, exact up to 2**24: TensorFlow keeps integers in the memory of the processor.
        self.step = self.add_variable((), "zeros", dtype=self.dtype, name="step")

    def update_state(self, values, sample_weight=None):
        super().update_state(values, sample_weight)
        loss = keras.ops.cast(values, self.dtype)
        weight = keras.ops.cast(1 if sample_weight is None else sample_weight, self.dtype)
        # As tensors: JAX does not take variables everywhere.
        sums, weights, step = map(keras.ops.convert_to_tensor, (self.sums, self.weights, self.step))
        here = keras.ops.equal(keras.ops.arange(self.sums.shape[0], dtype=self.dtype), step)
        self.sums.assign(keras.ops.where(here, loss * weight, sums))
        self.weights.assign(keras.ops.where(here, weight, weights))
        self.step.assign(step + 1)

    def reset_state(self):
        for variable in self.variables:
            variable.assign(keras.ops.zeros(variable.shape, dtype=variable.dtype))

    def fetch(self, steps):
        """Losses of the first `steps` steps since the last reset, as a float64 array."""
        sums, weights = (
            np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable)), np.float64)[:steps]
            for variable in (self.sums, self.weights)
        )
        return sums / weights


def keep_step_losses(model, steps):
    """Makes a compiled network keep the loss of each step.

    Args:
        model: compiled Keras model. Its mean of the losses is replaced; what it reports is the same.
        steps: int, of an epoch.

    Returns:
        `StepLosses`.
    """
    losses = StepLosses(steps)
    share_step_losses(model, losses)
    return losses


def share_step_losses(model, losses):
    """Makes a compiled network keep the loss of each step in the `StepLosses` of another one."""
    # Not by the model's own `__setattr__`, which would list it a second time, as a metric that somebody added.
    object.__setattr__(model, "_loss_tracker", losses)
