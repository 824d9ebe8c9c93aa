"""What happens around the steps of a training: learning rates, validation, states, progress, and a stop in time."""

import csv
import io
import math
import time

import keras
import numpy as np

from kgpc.training import variables
from kgpc.training.evaluation import evaluation_of
from kgpc.training.monitoring import COLUMNS, improves
from kgpc.training.states import all_finite

HISTORY_FILE, BEST_WEIGHTS_FILE = "history.csv", "best.weights.h5"

# Between two looks at the loss, which has to be fetched from the device. Then it is also on screen.
_SECONDS_BETWEEN_LOOKS = 0.5


class NonFiniteLoss(ArithmeticError):
    """The loss of a training step, or a weight after it, is infinite or not a number, so the training was stopped.

    Attributes:
        epoch, step: int, from 1; where it happened.
        loss: float, of that step.
    """

    def __init__(self, epoch, step, loss, kept):
        what = f"The loss of step {step} in epoch {epoch} is {loss}"
        if math.isfinite(loss):
            what = f"A weight is infinite or not a number after step {step} in epoch {epoch}, whose loss is {loss:.4g}"
        super().__init__(
            f"{what}: training stopped. {kept} A lower learning rate, or the precision float32, usually helps."
        )
        self.epoch, self.step, self.loss = epoch, step, loss


class Callbacks(keras.callbacks.CallbackList):
    """As Keras' own, but nothing is fetched from the device after each step."""

    def on_train_batch_end(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)


class Run(keras.callbacks.Callback):
    """All that happens around the steps of a training; validation too, unless Keras does it (batches not filled up).

    Args:
        recipe: `Recipe`.
        batches, validation: `Batches`.
        losses: `StepLosses` of the network.
        state: `State` from which the training goes on; it is kept up to date.
        checkpoints: `Checkpoints` or None.
        progress: `Progress` or None.
    """

    def __init__(self, recipe, batches, validation, losses, state, checkpoints, progress):
        super().__init__()
        self.recipe, self.batches, self.validation, self.losses = recipe, batches, validation, losses
        self.state, self.checkpoints, self.progress = state, checkpoints, progress
        self.stored = state.variables  # in the newest file, if there are files
        self.steps, self.step_losses, self.rate = 0, None, None
        self.started, self.looked, self.note = None, -math.inf, ""

    def nothing_to_do(self):
        """Shows that the training is over before it begins."""
        steps = self.recipe.epochs * len(self.batches)
        if self.progress:
            self.progress.begin(steps, steps)
            self.progress.end()

    def on_train_begin(self, logs=None):
        if self.progress:
            steps = len(self.batches)
            self.progress.begin(self.recipe.epochs * steps, self.state.epoch * steps)

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter()
        self.batches.epoch = self.validation.epoch = epoch
        self.steps = 0
        schedule, epochs = self.recipe.learning_rate, self.recipe.epochs
        if schedule.constant_within_epoch:
            self.rate = schedule.rate(epoch, epochs)
            optimizer = self.model.optimizer
            # One that scales the loss wraps the one that has the rate.
            getattr(optimizer, "inner_optimizer", optimizer).learning_rate = self.rate
        else:  # the compiled step knows it (`StepRates`); what is reported is the rate of the last step
            steps = len(self.batches)
            self.rate = schedule.rate(epoch + (steps - 0.5) / steps, epochs)

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        now, last = time.perf_counter(), self.steps == len(self.batches)
        if last or now - self.looked >= _SECONDS_BETWEEN_LOOKS:
            self.looked = now
            mean = float(logs["loss"])  # of the epoch so far: if one step is not finite, it is not
            # Processes that train together have to stop after the same step, and look at different moments.
            if last or (not math.isfinite(mean) and self.batches.processes == 1):
                variables.synchronize(self.model)
                # Here and not at the end of the epoch, before which Keras' own validation uses the same variables.
                self.step_losses = self.losses.fetch(self.steps)
                self._check(self.step_losses)
            self.note = f"epoch {self.batches.epoch + 1} of {self.recipe.epochs}, loss {mean:.3f}{self._validated()}"
        if self.progress:
            self.progress.advance(self.note)

    def _validated(self):
        """The newest validation accuracy as the end of a note; nothing before there is one."""
        if not self.state.history:
            return ""
        newest = self.state.history[-1]
        return f", validation {newest['val_accuracy']:.1%} after epoch {newest['epoch']}"

    def _check(self, losses):
        """Stops the training if a step had a loss that is infinite or not a number."""
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            self._stop(int(wrong[0]) + 1, float(losses[wrong[0]]))

    def _stop(self, step, loss):
        variables.synchronize(self.model)
        if self.state.best:
            variables.assign(self.model.weights, self.state.best)
            kept = f"The network has the weights of epoch {self.state.best_epoch}, the best so far."
        else:
            variables.assign(variables.of_network(self.model), self.state.variables)
            kept = "The network has its initial weights."
        if self.checkpoints:
            kept += f" The last good checkpoint, after epoch {self.state.epoch}, is in {self.checkpoints.folder}."
        if self.progress:
            self.progress.end()
        raise NonFiniteLoss(self.batches.epoch + 1, step, loss, kept)

    def on_epoch_end(self, epoch, logs=None):
        state = self.state
        if self.validation.fill:
            variables.average_over_devices(self.model)
            result = evaluation_of(self.model, self.validation)
            logs = {**logs, "val_loss": result.loss, "val_accuracy": result.accuracy}
        now = variables.state_of(self.model)
        if not all_finite(now.variables):
            self._stop(self.steps, float(self.step_losses[-1]))
        # What is minimized may be another loss than the plain one that is reported.
        logs = {**logs, "loss": logs.get("cross_entropy", logs["loss"])}
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        row = {"epoch": epoch + 1, "learning_rate": self.rate, **{name: float(logs[name]) for name in names}}
        improved = not state.best_epoch or improves(row, state.history[state.best_epoch - 1], self.recipe.monitor)
        row["seconds"] = time.perf_counter() - self.started
        state.epoch = epoch + 1
        state.history = [*state.history, row]
        state.step_losses = np.concatenate([state.step_losses, self.step_losses])
        state.variables, state.optimizer = now.variables, now.optimizer
        if improved:
            state.best_epoch, state.best = epoch + 1, variables.values(self.model.weights)
        if self.progress:
            self.progress.say(f"epoch {epoch + 1} of {self.recipe.epochs}, loss {row['loss']:.3f}{self._validated()}")
        if self.checkpoints:
            self.checkpoints.save(state)
            self.stored = state.variables
            write_products(self.checkpoints, state, self.model if improved else None)

    def on_train_end(self, logs=None):
        if self.progress:
            self.progress.end()


def write_products(checkpoints, state, model):
    """Writes what follows from a state, for people and other programs.

    The history comes last: where it is that of the state, the weights are too.

    Args:
        checkpoints: `Checkpoints`.
        state: `State`.
        model: Keras model with the best weights, or None where they have not changed.
    """
    if model is not None:
        with checkpoints.product(BEST_WEIGHTS_FILE) as path:
            model.save_weights(path)
    with checkpoints.product(HISTORY_FILE) as path:
        path.write_text(_table(state), encoding="utf-8", newline="")


def products_are_current(checkpoints, state):
    """Whether a folder has what follows from a state, or there is nothing yet that could follow."""
    if not state.epoch:
        return True
    table = _table(state)
    try:
        with (checkpoints.folder / HISTORY_FILE).open(encoding="utf-8", newline="") as file:
            return file.read(len(table) + 1) == table and (checkpoints.folder / BEST_WEIGHTS_FILE).is_file()
    except (OSError, ValueError):
        return False


def _table(state):
    """The history as text in the format CSV."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(state.history)
    return file.getvalue()
