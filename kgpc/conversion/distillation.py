"""Knowledge distillation: a network learns from what another one says of the images, with Keras' own `fit`.

Reference: Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531.
"""

import inspect

import keras
from keras import ops

from kgpc.arguments import number, received, shown, text
from kgpc.conversion import outputs
from kgpc.layers import checks

# What a probability is at least taken for, so that it has a logarithm.
_SMALLEST = 1e-30


def distill(
    student,
    teacher,
    *,
    temperature=2.0,
    label_weight=0.5,
    optimizer="adam",
    loss=None,
    metrics=("accuracy",),
    student_outputs=None,
    teacher_outputs=None,
    **compile_options,
):
    """Compiles a network to learn from the labels and from another network's outputs.

    What is minimized in training is

        label_weight * loss(labels, student) + (1 - label_weight) * temperature**2 * KL(teacher || student)

    and the student's own penalties, such as those of kernel regularizers. In the divergence both outputs are softened:
    logits are divided by the temperature, and a softmax's logarithms stand for its logits. Networks with sigmoids have
    a divergence for each class, of which the mean is taken. `evaluate`, and validation in `fit`, have the loss of the
    labels alone, so it compares with that of the student compiled by itself.

    Args:
        student: Keras model with one output of shape `(batch, ..., classes)`. It is trained in place: when `fit` is
            done, `student` is the trained network, to be saved and used by itself.
        teacher: Keras model for the same inputs and classes. It computes as in inference and is not changed.
        temperature: float > 0. Above 1, what the teacher says of the less probable classes counts more.
        label_weight: float in [0, 1], weight of the labels. At 0 the labels are not looked at in training.
        optimizer: name of an optimizer, or a Keras optimizer.
        loss: of the labels: name of a loss, a Keras loss, or a function. None: cross-entropy with integer labels, or
            binary cross-entropy for sigmoids, of probabilities or logits as the student has them.
        metrics: list of metrics as in `compile`, of the student, or None.
        student_outputs: "softmax", "sigmoid" or "logits" (of a softmax). None: what the last layers say.
        teacher_outputs: likewise. They may differ: a student with logits can learn from a teacher with a softmax.
        **compile_options: more arguments of `compile`.

    Returns:
        `Distiller`, compiled: a `keras.Model` whose `fit`, `evaluate` and `predict` are Keras' own, with all of their
        arguments. What it saves is the student (`ModelCheckpoint` too).

    Raises:
        TypeError: if a network is no Keras model, a number is none, or `metrics` are none.
        ValueError: if the networks differ in their inputs or classes, have more than one output or share weights, a
            number is out of range, a kind of outputs is unknown or cannot be found out, a softmax has one class alone,
            `optimizer` or `loss` is none that Keras knows, or `loss` is for probabilities and the student has logits,
            or the other way round.

    Example:

        trainer = distill(student, teacher, temperature=2.0, optimizer=keras.optimizers.Adam(1e-3))
        trainer.fit(images, labels, epochs=5, validation_data=(test_images, test_labels))
        student.save("student.keras")

    Reference: Hinton, Vinyals, Dean 2015, arXiv:1503.02531.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        checks.found("optimizer", keras.optimizers.get, text("optimizer", optimizer))
    if loss is not None and not callable(loss):
        checks.found("loss", keras.losses.get, text("loss", loss))
    if not (metrics is None or isinstance(metrics, list | tuple)) or not all(map(_is_metric, metrics or ())):
        raise TypeError(
            f"`metrics` must be a list of names, metrics or functions, or None. {received('metrics', metrics)}"
        )
    trainer = Distiller(
        student,
        teacher,
        temperature=temperature,
        label_weight=label_weight,
        student_outputs=student_outputs,
        teacher_outputs=teacher_outputs,
    )
    if loss is None:
        of = keras.losses.BinaryCrossentropy if trainer.student_outputs == "sigmoid" else _cross_entropy
        loss = of(from_logits=trainer.student_outputs == "logits")
    elif _takes_logits(loss) not in (None, trainer.student_outputs == "logits"):
        kind, other = ("probabilities", "logits") if _takes_logits(loss) else ("logits", "probabilities")
        raise ValueError(
            f"`loss` must be one of {kind}, such as keras.losses.SparseCategoricalCrossentropy(from_logits="
            f"{not _takes_logits(loss)}), as the student has {kind}. "
            f"Received: loss={getattr(loss, '__name__', type(loss).__name__)}, which takes {other}."
        )
    metrics = list(metrics) if isinstance(metrics, tuple) else metrics
    trainer.compile(optimizer=optimizer, loss=loss, metrics=metrics, **compile_options)
    return trainer


def _takes_logits(loss):
    """Whether a loss takes logits (True) or probabilities (False); None where it does not say so."""
    loss = keras.losses.get(loss)
    if loss is keras.losses.kl_divergence or isinstance(loss, keras.losses.KLDivergence):
        return False
    if isinstance(loss, keras.losses.Loss):
        return getattr(loss, "from_logits", None)
    try:
        parameter = inspect.signature(loss).parameters.get("from_logits")
    except (TypeError, ValueError):  # it tells nothing of itself
        return None
    return parameter.default if parameter is not None and isinstance(parameter.default, bool) else None


def _is_metric(metric):
    return isinstance(metric, str | keras.metrics.Metric) or callable(metric)


_cross_entropy = keras.losses.SparseCategoricalCrossentropy


class Distiller(keras.Model):
    """A network that is trained from labels and from the outputs of another one; `distill` compiles one.

    Args:
        student: as in `distill`.
        teacher: as in `distill`.
        temperature: as in `distill`.
        label_weight: as in `distill`.
        student_outputs: as in `distill`.
        teacher_outputs: as in `distill`.
        name: str, name of the model.

    Attributes:
        student: the network that is trained.
        student_outputs, teacher_outputs: "softmax", "sigmoid" or "logits".

    Raises:
        TypeError, ValueError: as `distill`.
    """

    def __init__(
        self,
        student,
        teacher,
        *,
        temperature=2.0,
        label_weight=0.5,
        student_outputs=None,
        teacher_outputs=None,
        name="distiller",
    ):
        _check_networks(student, teacher)
        temperature = number("temperature", temperature, above=0)
        label_weight = number("label_weight", label_weight, 0, 1)
        student_outputs = _outputs("student_outputs", student_outputs, student)
        teacher_outputs = _outputs("teacher_outputs", teacher_outputs, teacher)
        if (student_outputs == "sigmoid") != (teacher_outputs == "sigmoid"):
            raise ValueError(
                "Both networks must have exclusive classes, or both independent ones (sigmoids). "
                f"Received: student_outputs={student_outputs!r}, teacher_outputs={teacher_outputs!r}."
            )
        for argument, model, kind in (("student", student, student_outputs), ("teacher", teacher, teacher_outputs)):
            shape = getattr(model, "output_shape", None)
            if kind != "sigmoid" and shape is not None and shape[-1] == 1:
                raise ValueError(
                    f"`{argument}` must have several classes, or a sigmoid, as one class alone is always certain. "
                    f"Received: output_shape={shape} of {kind}."
                )
        super().__init__(name=text("name", name, empty=False))
        self.student, self.temperature, self.label_weight = student, temperature, label_weight
        self.student_outputs, self.teacher_outputs = student_outputs, teacher_outputs
        # A function and no attribute that Keras would follow: the teacher's weights are not the trainer's, neither to
        # train nor to save, and its `trainable` flags stay what they are.
        self._teach = lambda inputs: teacher(inputs, training=False)
        self.built = True

    def call(self, inputs, training=None):
        return self.student(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of the labels, and in training that of the teacher too."""
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        penalty = sum(self.losses) if self.losses else 0.0
        loss = penalty
        if self.label_weight:
            of_labels = super().compute_loss(x, y, y_pred, sample_weight, training) - penalty
            loss += self.label_weight * of_labels
        if self.label_weight < 1:
            loss += (1 - self.label_weight) * self._divergence(x, y_pred, sample_weight)
        return loss

    def _divergence(self, inputs, student, sample_weight):
        """Divergence of the softened outputs, in nats, times the square of the temperature."""
        teacher = ops.cast(ops.stop_gradient(self._teach(inputs)), "float32")
        student = ops.cast(student, "float32")
        if self.student_outputs == "sigmoid":
            teacher, student = (_log_odds(values) / self.temperature for values in (teacher, student))
            yes, no = ops.sigmoid(teacher), ops.sigmoid(-teacher)
            values = yes * (ops.log_sigmoid(teacher) - ops.log_sigmoid(student))
            values += no * (ops.log_sigmoid(-teacher) - ops.log_sigmoid(-student))
            values = ops.mean(values, axis=-1)
        else:
            teacher = _logits(teacher, self.teacher_outputs) / self.temperature
            student = _logits(student, self.student_outputs) / self.temperature
            difference = ops.log_softmax(teacher) - ops.log_softmax(student)
            values = ops.sum(ops.softmax(teacher) * difference, axis=-1)
        if len(values.shape) > 1:
            values = ops.mean(ops.reshape(values, (ops.shape(values)[0], -1)), axis=-1)
        if sample_weight is not None:
            values *= ops.cast(ops.reshape(sample_weight, (-1,)), "float32")
        return self.temperature**2 * ops.mean(values)

    def save(self, filepath, overwrite=True, **options):
        """Saves the student, as `student.save` does."""
        self.student.save(filepath, overwrite=overwrite, **options)

    def export(self, filepath, *arguments, **options):
        """Exports the student, as `student.export` does."""
        return self.student.export(filepath, *arguments, **options)


def _logits(values, kind):
    return ops.log(ops.maximum(values, _SMALLEST)) if kind == "softmax" else values


def _log_odds(values):
    values = ops.clip(values, 1e-7, 1 - 1e-7)
    return ops.log(values) - ops.log(1 - values)


def _outputs(argument, kind, model):
    if kind is None:
        kind = outputs.kind_of(model)
        if kind is None:
            raise ValueError(
                f"`{argument}` must be one of {', '.join(map(repr, outputs.KINDS))}, as the last layers of "
                f"{model.name!r} do not say what they compute. Received: {argument}=None."
            )
    if not isinstance(kind, str) or kind not in outputs.KINDS:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(map(repr, outputs.KINDS))} or None. "
            f"Received: {argument}={shown(kind)}."
        )
    return kind


def _check_networks(student, teacher):
    for argument, model in (("student", student), ("teacher", teacher)):
        if not isinstance(model, keras.Model):
            raise TypeError(f"`{argument}` must be a Keras model. {received(argument, model)}")
        if not model.built:
            raise ValueError(f"`{argument}` must be built. Received: the model {model.name!r} without weights.")
    if student is teacher:
        raise ValueError("`teacher` must be another network than `student`. Received: the same one.")
    mine = {id(weight) for weight in student.weights}
    shared = [weight.path for weight in teacher.weights if id(weight) in mine]
    if shared:
        raise ValueError(
            f"`teacher` must not share weights with `student`, as it would change in training. Received: {shared[0]!r} "
            "is in both."
        )
    for what, attribute in (("inputs", "input_shape"), ("classes", "output_shape")):
        shapes = [getattr(model, attribute, None) for model in (student, teacher)]
        if None not in shapes and not _compatible(*shapes):
            raise ValueError(
                f"`student` and `teacher` must have the same {what}. "
                f"Received: {attribute}={shapes[0]} and {attribute}={shapes[1]}."
            )
    for argument, model in (("student", student), ("teacher", teacher)):
        shape = getattr(model, "output_shape", None)
        if shape is not None and (not isinstance(shape, tuple) or not shape or isinstance(shape[0], tuple)):
            raise ValueError(f"`{argument}` must have one output. Received: output_shape={shape}.")


def _compatible(first, second):
    """Whether one tensor, or one structure of tensors, can have both shapes."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_compatible(first[key], second[key]) for key in first)
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        return len(first) == len(second) and all(map(_compatible, first, second))
    return first is None or second is None or first == second
