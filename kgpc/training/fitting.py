"""Training by a recipe: `build` a network, and `fit` it.

`fit` is Keras' own `model.fit` with what makes a run trustworthy around it: an order and an augmentation that are
functions of seed and epoch, the schedule, the choice of the best epoch, a stop where the loss is no number, and
checkpoints from which an interrupted run goes on as if nothing had happened.
"""

import contextlib
import dataclasses
import warnings

import keras
import numpy as np
import pandas as pd

from kgpc.arguments import integer
from kgpc.training import variables
from kgpc.training.batches import MOST_WORKERS, Batches, split
from kgpc.training.checkpoints import Checkpoints, FolderBusy, checked_folder
from kgpc.training.compilation import (
    compile_network,
    graph_optimization,
    rare_garbage_collection,
    set_batch_norm_momentum,
    trained_network,
)
from kgpc.training.fitting_checks import check_data, check_devices, check_labels, check_model, finite_weights
from kgpc.training.identity import fingerprints, identity, versions
from kgpc.training.monitoring import COLUMNS
from kgpc.training.processes import check_agreement, this_process
from kgpc.training.progress import Progress
from kgpc.training.recipes import check_recipe
from kgpc.training.states import Layout, shapes
from kgpc.training.training_loop import (
    BEST_WEIGHTS_FILE,
    HISTORY_FILE,
    Callbacks,
    NonFiniteLoss,
    Run,
    products_are_current,
    write_products,
)


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a training was like.

    Attributes:
        history: `pandas.DataFrame`, one row for each epoch: `epoch` (from 1), `learning_rate` (of its last step),
            `loss` and `accuracy` (means over the training batches while they were learned from), `val_loss` and
            `val_accuracy` (on the validation images), `seconds` (with validation). Losses are cross-entropies in nats
            without smoothing (those of validation as in `Evaluation`), accuracies fractions.
        step_losses: float64 array, what was minimized in each training step: with the recipe's label smoothing.
        best_epoch: int, from 1; the network has the weights of this epoch.
        seconds: float, sum over the epochs, also over those before an interruption.
    """

    history: pd.DataFrame
    step_losses: np.ndarray
    best_epoch: int
    seconds: float

    def __repr__(self):
        best = self.history.iloc[self.best_epoch - 1]
        return (
            f"<TrainingResult: {len(self.history)} epochs in {self.seconds:.1f} s, best epoch {self.best_epoch} with "
            f"val_accuracy {best['val_accuracy']:.4f}, val_loss {best['val_loss']:.4f}>"
        )


def build(constructor, recipe, **options):
    """Builds a network with the seed, the precision and the image size of a recipe.

    With a mixed precision, the last layer computes in float32, so that small probabilities are not lost.

    Args:
        constructor: function that returns a Keras model, such as `kgpc.applications.kMobileNet`.
        recipe: `Recipe`.
        options: for the constructor; `input_shape` is that of the recipe unless it is given.

    Returns:
        Keras model.

    Raises:
        TypeError: if `constructor` is no function or returns something else, or `recipe` is no recipe.

    Example:

        model = training.build(kMobileNet, training.QUICK, classes=10, scheme=D6(16))
    """
    check_recipe(recipe)
    if not callable(constructor):
        raise TypeError(
            "`constructor` must be a function that returns a Keras model. "
            f"Received: constructor={constructor!r} of type {type(constructor).__name__}."
        )
    options.setdefault("input_shape", (recipe.image_size, recipe.image_size, 3))
    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(recipe.seed)
    keras.config.set_dtype_policy(recipe.precision)
    try:
        model = constructor(**options)
    finally:
        keras.config.set_dtype_policy(before)
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`constructor` must return a Keras model. "
            f"Received: constructor={constructor!r}, which returned a {type(model).__name__}."
        )
    if recipe.precision != "float32":
        model.layers[-1].dtype_policy = keras.DTypePolicy("float32")
    return model


def fit(model, data, recipe, folder=None, progress=True, workers=1):
    """Trains a network by a recipe, and leaves it with the weights of the epoch that was best in validation.

    With a folder, the state is written there after each epoch. A run that was killed, at whatever moment, and is
    started again with the same arguments goes on after the last complete epoch. On a processor it ends with the same
    weights, history and best epoch as a run without interruption, bit for bit. A run that is complete is not repeated:
    its weights and history come from the folder, which nobody needs to be able to write to then. The folder has

    - `run.json`: recipe, network, data and initial weights that the folder belongs to, and versions;
    - `state-<epoch>.npz`: the last two states, from which a run goes on;
    - `best.weights.h5`: best weights so far, for `model.load_weights`;
    - `history.csv`: one line for each epoch;
    - ``.fit.lock``: keeps two processes from training there at the same time; the second one is refused.

    A folder is only used for the run that it belongs to: with the same recipe, the same layers, the same training
    images (all of them, where they are an array of up to 1 GiB; else 512, evenly spread), labels and class names, and
    from the same initial weights (but for rounding). A network from `build` has them. One that this run left in the
    same program is accepted too: trained, or interrupted, after which it has the weights of the last complete epoch.
    Other versions of the software are a warning.

    Where several processes train together (`keras.distribution`), the first one writes; all of them need to see the
    folder.

    Args:
        model: Keras model whose output is class probabilities, for images of the recipe's size; for a training that
            can be repeated, from `build`. Its compilation is replaced.
        data: `kgpc.datasets.ImageDataset`, or any object with `x_train`, `y_train` and `class_names`. The test images
            are not looked at.
        recipe: `Recipe`.
        folder: path or None.
        progress: bool, whether to show one line of progress; a str to begin it with; or a `Progress`, so that several
            trainings share a line.
        workers: int in [1, 256], threads that prepare batches. More of them make a GPU wait less, and change no
            result.

    Returns:
        `TrainingResult`.

    Raises:
        TypeError, ValueError: if network, data and recipe do not fit together, or the folder belongs to another run.
        FolderBusy: if another process trains in the folder.
        DamagedCheckpoint: if the folder has checkpoints, but none that can be used, or does not say whose they are.
        NonFiniteLoss: if the loss is infinite or not a number, half a second after that at the latest or at the end of
            the epoch; or if a weight is, at the end of an epoch. The states in the folder stay, and the network has its
            best weights so far, or its initial ones.
        OSError: if the folder cannot be written to.

    Example:

        data = datasets.fashion_mnist_sample()
        recipe = training.QUICK.replace(epochs=2)
        model = training.build(kMobileNet, recipe, classes=10, scheme=D6(16))
        result = training.fit(model, data, recipe, folder="runs/kmobilenet")
        training.evaluate(model, data, recipe).accuracy
    """
    check_recipe(recipe)
    check_data(data, "train")
    check_model(model, recipe, len(data.class_names))
    check_devices(model)
    check_labels(data.y_train, len(data.class_names))
    workers = integer("workers", workers, 1, MOST_WORKERS)
    progress = _progress(progress)
    folder = None if folder is None else checked_folder(folder)
    weights = finite_weights(model)
    process, processes = this_process()
    batches, validation = _batches(data, recipe, workers, process, processes)
    checkpoints = None
    if folder is not None:
        checkpoints = Checkpoints(
            folder,
            identity(model, data, recipe),
            fingerprints(weights),
            versions(),
            products=(HISTORY_FILE, BEST_WEIGHTS_FILE),
            writes=process == 0,
        )
    with checkpoints or contextlib.nullcontext():
        if checkpoints and not checkpoints.is_complete(recipe.epochs):
            checkpoints.acquire()
        losses = compile_network(model, recipe, len(batches), weighted=processes > 1)
        state = _stored_state(model, recipe, len(batches), weights, checkpoints) if checkpoints else None
        if processes > 1:
            check_agreement(state)
        if recipe.batch_norm_momentum is not None:
            set_batch_norm_momentum(model, recipe.batch_norm_momentum)
        if state is None:
            state = variables.state_of(model)
            if checkpoints:
                checkpoints.save(state)
        else:
            if processes > 1 or not products_are_current(checkpoints, state):
                _write_missing_products(model, state, checkpoints)
            variables.restore(model, state)
        run = Run(recipe, batches, validation, losses, state, checkpoints, progress)
        if state.epoch < recipe.epochs:
            _train(model, trained_network(model, recipe, len(batches), losses, weighted=processes > 1), run)
        else:
            run.nothing_to_do()
    variables.assign(model.weights, state.best)
    history = pd.DataFrame(state.history, columns=list(COLUMNS)).astype({"epoch": "int64"})
    return TrainingResult(history, state.step_losses, state.best_epoch, float(history["seconds"].sum()))


def _progress(progress):
    """The `Progress` that an argument stands for, or None."""
    if isinstance(progress, Progress):
        return progress
    if isinstance(progress, str):
        return Progress(progress)
    if not isinstance(progress, (bool, np.bool_)):
        raise TypeError(
            "`progress` must be a bool, a str or a Progress. "
            f"Received: progress={progress!r} of type {type(progress).__name__}."
        )
    return Progress() if progress else None


def _batches(data, recipe, workers, process, processes):
    """The `Batches` to train on, and those for validation."""
    shared = {"workers": workers, "process": process, "processes": processes}
    chosen, for_validation = split(data.y_train, recipe)
    return Batches(data.x_train, data.y_train, recipe, training=True, indices=chosen, **shared), Batches(
        data.x_train,
        data.y_train,
        recipe,
        training=False,
        indices=for_validation,
        views=recipe.validation_views,
        # Keras' own validation and `evaluate` would compile the network once each, which takes seconds. Where processes
        # share the images only Keras' own will do: none of them sees the answers of all.
        fill=processes == 1,
        **shared,
    )


def _stored_state(model, recipe, steps, weights, checkpoints):
    """The state from which a run goes on, or None where it begins; raises ValueError if it began with other weights."""
    fresh = variables.state_of(model)
    layout = Layout(
        shapes(fresh.variables), shapes(fresh.optimizer), shapes(weights), recipe.epochs, steps, recipe.monitor
    )
    state = checkpoints.latest(layout)
    if not checkpoints.is_ours and (state is None or state.epoch < recipe.epochs):
        checkpoints.acquire()  # the folder only looked like that of a complete run
        state = checkpoints.latest(layout)
    difference = checkpoints.other_start([weight.path for weight in model.weights])
    if difference and not (state and _left_by(model, state, weights)):
        raise ValueError(
            f"`folder` belongs to another run: {difference}. Received: folder={str(checkpoints.folder)!r}. Build the "
            "network as for that run, with the same seed and weights (kgpc.training.build sees to the seed), or choose "
            "another folder."
        )
    return state


def _left_by(model, state, weights):
    """Whether a network has the weights of a state, its best or its last ones, as a run leaves them."""
    positions = {id(variable): number for number, variable in enumerate(variables.of_network(model))}
    last = [state.variables[positions[id(weight)]] for weight in model.weights]
    return any(len(kept) == len(weights) and all(map(np.array_equal, kept, weights)) for kept in (state.best, last))


def _write_missing_products(model, state, checkpoints):
    """Writes what a killed process did not, if the folder can be written to."""
    if not state.epoch:
        return
    try:
        checkpoints.acquire()
    except (FolderBusy, OSError) as error:
        warnings.warn(
            f"{HISTORY_FILE} or {BEST_WEIGHTS_FILE} in {checkpoints.folder} is not up to date: {error}", stacklevel=3
        )
        return
    variables.assign(model.weights, state.best)
    write_products(checkpoints, state, model)


def _train(model, trained, run):
    """Trains from the state of a run; where it is interrupted, the network gets that of the last complete epoch.

    Args:
        model: compiled Keras model, the one of the run.
        trained: `model`, or its twin.
        run: `Run`.
    """
    steps, epochs = len(run.batches), run.recipe.epochs
    callbacks = Callbacks([run], add_history=True, model=trained, epochs=epochs, steps=steps)
    run.set_model(model)
    try:
        with (
            variables.synchronized(model),
            graph_optimization(epochs * steps),
            rare_garbage_collection(),
        ):
            trained.fit(
                run.batches,
                epochs=epochs,
                initial_epoch=run.state.epoch,
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
                validation_data=None if run.validation.fill else run.validation,
            )
    except NonFiniteLoss:
        raise
    except BaseException:
        if run.checkpoints:
            # With these weights `fit` knows it again.
            variables.assign(variables.of_network(model), run.stored)
        raise
