"""Learning rates that change with every step, as part of the compiled step."""

import dataclasses

import keras
import numpy as np

from kgpc.arguments import positive_integer
from kgpc.training.schedules import OneCycle


@keras.saving.register_keras_serializable(package="kgpc")
class StepRates(keras.optimizers.schedules.LearningRateSchedule):
    """The rates of all steps of a training, looked up by the optimizer's own count of them.

    So nothing is sent to the device before a step, and a training that goes on from a state, whose optimizer knows the
    count, has the same rates as one without interruption. An optimizer that leaves out steps with an infinite gradient,
    as in mixed_float16, does not count them: its later rates come that many steps late.

    Args:
        schedule: `OneCycle`.
        epochs: int >= 1, of the training.
        steps: int >= 1, of an epoch.

    Raises:
        TypeError, ValueError: if a number is not an integer or too small.
    """

    def __init__(self, schedule, epochs, steps):
        self.schedule = schedule
        self.epochs, self.steps = positive_integer("epochs", epochs), positive_integer("steps", steps)
        rates = [schedule.rate((number + 0.5) / steps, epochs) for number in range(epochs * steps)]
        with np.errstate(over="ignore"):  # a rate without bounds is infinite, and the loss will tell
            self.rates = np.array(rates, np.float32)

    def __call__(self, step):
        # After the last one, where somebody trains on, the last rate.
        number = keras.ops.minimum(keras.ops.cast(step, "int32"), len(self.rates) - 1)
        return keras.ops.take(keras.ops.convert_to_tensor(self.rates), number)

    def get_config(self):
        return {"schedule": dataclasses.asdict(self.schedule), "epochs": self.epochs, "steps": self.steps}

    @classmethod
    def from_config(cls, config):
        return cls(OneCycle(**config["schedule"]), config["epochs"], config["steps"])
