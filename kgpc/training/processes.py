"""Several processes that train one network together, on JAX."""

import keras
import numpy as np


def this_process():
    """Number of this process, and of all that train one network together."""
    if keras.backend.backend() == "jax" and keras.distribution.distribution() is not None:
        import jax

        return jax.process_index(), jax.process_count()
    return 0, 1


def check_agreement(state):
    """Waits for the processes that train together; raises an error if they would go on from different states.

    Args:
        state: `State` or None.

    Raises:
        ValueError: if the first process has another state.
    """
    from jax.experimental import multihost_utils

    epoch = -1 if state is None else state.epoch
    first = int(multihost_utils.broadcast_one_to_all(np.int32(epoch)))
    if epoch != first:
        raise ValueError(
            "`folder` must be the same for all processes; the first one goes on after epoch "
            f"{max(first, 0)}, this one after epoch {max(epoch, 0)}."
        )
