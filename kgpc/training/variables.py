"""Variables of a network and its optimizer, as arrays: read for a state, assigned from one."""

import contextlib

import keras
import numpy as np

from kgpc.training.states import State


def of_network(model):
    """All variables of the network, seed states among them, without those of the metrics."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def values(variables):
    """The values of variables, as a list of arrays."""
    return [np.array(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(variable))) for variable in variables]


def assign(variables, arrays):
    """Assigns arrays to as many variables."""
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def state_of(model):
    """The `State` of a compiled network before its training."""
    return State(epoch=0, variables=values(of_network(model)), optimizer=values(model.optimizer.variables))


def restore(model, state):
    """Gives a compiled network and its optimizer the values of a `State`."""
    assign(of_network(model), state.variables)
    assign(model.optimizer.variables, state.optimizer)


def synchronize(model):
    """On JAX the variables live in the training loop until they are asked for; elsewhere nothing happens."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


@contextlib.contextmanager
def synchronized(model):
    """On JAX, gives the network its variables back when the training is interrupted."""
    try:
        yield
    except BaseException:
        synchronize(model)
        raise


def average_over_devices(model):
    """Makes the moving statistics of all devices of a `tf.distribute` strategy the mean of them.

    Each device keeps its own. Only one could be saved, and a training that goes on from it would be another one.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return
    for variable in model.non_trainable_variables:
        if keras.backend.is_float_dtype(variable.dtype):
            parts = strategy.experimental_local_results(variable.value)
            variable.assign(np.mean([part.numpy() for part in parts], axis=0))
