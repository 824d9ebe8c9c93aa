"""Distillation: the loss is the formula's, the teacher stays what it is, and `fit` is Keras' own."""

import keras
import numpy as np
import pytest
from keras import layers

from kgpc import conversion
from kgpc.conversion.outputs import kind_of


def classifier(last="softmax", classes=4, seed=0, size=5):
    """A small network with one kind of output."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((size,))
    x = layers.Dropout(0.5)(layers.Dense(8, activation="relu")(inputs))
    x = layers.BatchNormalization()(x)
    return keras.Model(inputs, layers.Dense(classes, activation=None if last == "logits" else last)(x))


def data(count=32, classes=4):
    generator = np.random.default_rng(0)
    return generator.normal(size=(count, 5)).astype("float32"), generator.integers(0, classes, count)


def softmax(values):
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)


def expected(student, teacher, x, temperature):
    """The divergence of the softened outputs in plain NumPy."""
    logits = []
    for model in (student, teacher):
        values = model.predict(x, verbose=0).astype("float64")
        logits.append(np.log(values) if kind_of(model) == "softmax" else values)
    mine, other = (softmax(values / temperature) for values in logits)
    return temperature**2 * (other * (np.log(other) - np.log(mine))).sum(axis=-1)


@pytest.mark.parametrize("student, teacher", [("softmax", "softmax"), ("logits", "softmax"), ("softmax", "logits")])
def test_the_loss_is_the_formula(student, teacher):
    student, teacher = classifier(student, seed=1), classifier(teacher, seed=2)
    x, y = data()
    trainer = conversion.distill(student, teacher, temperature=3.0, label_weight=0.25)
    outputs = student(x, training=False)
    weights = np.linspace(0.5, 2, len(x)).astype("float32")
    labels = trainer.evaluate(x, y, batch_size=32, verbose=0, return_dict=True)["loss"]
    found = float(trainer.compute_loss(x, y, outputs, None, training=True))
    divergence = expected(student, teacher, x, 3.0)
    assert found == pytest.approx(0.25 * labels + 0.75 * divergence.mean(), rel=1e-4)
    only = conversion.distill(student, teacher, temperature=3.0, label_weight=0.0)
    assert float(only.compute_loss(x, None, outputs, weights)) == pytest.approx((weights * divergence).mean(), rel=1e-4)


def test_sigmoids_have_a_divergence_for_each_class():
    student, teacher = classifier("sigmoid", seed=1), classifier("sigmoid", seed=2)
    x, _ = data()
    trainer = conversion.distill(student, teacher, temperature=1.0, label_weight=0.0)
    mine, other = (model.predict(x, verbose=0).astype("float64") for model in (student, teacher))
    divergence = other * np.log(other / mine) + (1 - other) * np.log((1 - other) / (1 - mine))
    assert float(trainer.compute_loss(x, None, student(x))) == pytest.approx(divergence.mean(), rel=1e-3)
    assert isinstance(trainer.loss, keras.losses.BinaryCrossentropy)


def test_fit_teaches_the_student_alone(tmp_path):
    student, teacher = classifier(seed=1), classifier(seed=2)
    x, y = data(64)
    before, flags = teacher.get_weights(), [weight.trainable for weight in teacher.weights]
    trainer = conversion.distill(student, teacher, label_weight=0.0, optimizer=keras.optimizers.Adam(0.02))
    assert [weight.path for weight in trainer.trainable_weights] == [
        weight.path for weight in student.trainable_weights
    ]

    def batches():
        while True:
            yield x[:32], y[:32]
            yield x[32:], y[32:]

    start = expected(student, teacher, x, 2.0).mean()
    saving = keras.callbacks.ModelCheckpoint(tmp_path / "student.keras")
    history = trainer.fit(
        batches(), steps_per_epoch=2, epochs=25, shuffle=False, validation_data=(x, y), callbacks=[saving], verbose=0
    ).history
    assert expected(student, teacher, x, 2.0).mean() < start / 2
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= history.keys()
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert [weight.trainable for weight in teacher.weights] == flags
    # Validation has the loss of the labels, as of the student by itself; what is saved is the plain student.
    student.compile(loss="sparse_categorical_crossentropy")
    assert history["val_loss"][-1] == pytest.approx(student.evaluate(x, y, verbose=0), rel=1e-4)
    saved = keras.saving.load_model(tmp_path / "student.keras")
    assert type(saved) is type(student)
    np.testing.assert_allclose(saved.predict(x, verbose=0), trainer.predict(x, verbose=0), atol=1e-6)


def test_the_teacher_computes_as_in_inference_and_penalties_count_once():
    teacher = classifier(seed=2)
    inputs = keras.Input((5,))
    outputs = layers.Dense(4, activation="softmax", kernel_regularizer="l2")(inputs)
    student = keras.Model(inputs, outputs)
    x, y = data()
    trainer = conversion.distill(student, teacher, label_weight=0.5)
    found = [float(trainer.compute_loss(x, y, student(x))) for _ in range(3)]
    assert found[0] == found[1] == found[2]  # the teacher's dropout does nothing
    labels = float(keras.losses.SparseCategoricalCrossentropy()(y, student(x)))
    penalty = 0.01 * float(np.square(student.layers[-1].get_weights()[0]).sum())
    assert found[0] == pytest.approx(0.5 * labels + 0.5 * expected(student, teacher, x, 2.0).mean() + penalty, rel=1e-4)


def test_what_the_last_layers_say():
    inputs = keras.Input((4, 4, 3))
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(inputs)
    scores = layers.Reshape((5,))(layers.Conv2D(5, 1)(pooled))
    assert kind_of(keras.Model(inputs, scores)) == "logits"
    assert kind_of(keras.Model(inputs, layers.Activation("softmax")(scores))) == "softmax"
    assert kind_of(keras.Model(inputs, layers.Softmax()(scores))) == "softmax"
    assert kind_of(keras.Model(inputs, layers.Activation("linear")(layers.Softmax()(scores)))) == "softmax"
    nested = keras.Sequential([keras.Input((4, 4, 3)), keras.Model(inputs, layers.Activation("sigmoid")(scores))])
    assert kind_of(nested) == "sigmoid"
    assert kind_of(keras.Model(inputs, layers.ReLU()(scores))) is None


def test_what_does_not_fit_is_refused():
    student, teacher = classifier(seed=1), classifier(seed=2)
    for given, error, message in (
        ({"teacher": classifier(classes=3)}, ValueError, "the same classes"),
        ({"teacher": classifier(size=6)}, ValueError, "the same inputs"),
        ({"teacher": student}, ValueError, "`teacher` must be another network"),
        ({"teacher": keras.Model(student.input, student.output)}, ValueError, "must not share weights"),
        ({"teacher": "teacher"}, TypeError, "`teacher` must be a Keras model"),
        ({"teacher": classifier("sigmoid")}, ValueError, "exclusive classes"),
        ({"teacher": classifier("relu")}, ValueError, "`teacher_outputs` must be one of"),
        ({"teacher_outputs": "probabilities"}, ValueError, "`teacher_outputs` must be one of"),
        ({"temperature": 0}, ValueError, "`temperature` must be a finite number above 0"),
        ({"temperature": "hot"}, TypeError, "`temperature` must be a number"),
        ({"label_weight": 1.5}, ValueError, "`label_weight` must be"),
        (
            {"student": classifier("logits"), "loss": "sparse_categorical_crossentropy"},
            ValueError,
            "`loss` must be one of",
        ),
        (
            {"student": classifier("logits", 1), "teacher": classifier("logits", 1)},
            ValueError,
            "`student` must have sev",
        ),
        ({"student": classifier("softmax", 1), "teacher": classifier("logits", 1)}, ValueError, "one class alone"),
    ):
        with pytest.raises(error, match=message):
            conversion.distill(**{"student": student, "teacher": teacher, **given})


PROBABILITIES = {
    "a name": "sparse_categorical_crossentropy",
    "a short name": "bce",
    "a name of a class": "SparseCategoricalCrossentropy",
    "a class": keras.losses.CategoricalCrossentropy,
    "an object": keras.losses.SparseCategoricalCrossentropy(),
    "a function": keras.losses.sparse_categorical_crossentropy,
    "a divergence": "kl_divergence",
}


@pytest.mark.parametrize("loss", PROBABILITIES.values(), ids=PROBABILITIES)
def test_losses_of_probabilities_are_not_for_logits(loss):
    with pytest.raises(ValueError, match="`loss` must be one of logits, .* which takes probabilities"):
        conversion.distill(classifier("logits", seed=1), classifier(seed=2), loss=loss)
    assert conversion.distill(classifier(seed=1), classifier(seed=2), loss=loss).compiled


def test_losses_of_logits_are_not_for_probabilities_and_others_are_for_both():
    of_logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="`loss` must be one of probabilities, .* which takes logits"):
        conversion.distill(classifier(seed=1), classifier(seed=2), loss=of_logits)
    teacher = classifier(seed=2)
    assert conversion.distill(classifier("logits", seed=1), teacher, loss=of_logits).compiled
    for loss in ("mse", keras.losses.MeanSquaredError(), lambda y, found: keras.ops.mean(found)):
        for student in (classifier("logits", seed=1), classifier(seed=1)):
            assert conversion.distill(student, teacher, loss=loss).compiled


def test_one_sigmoid_is_a_classifier():
    trainer = conversion.distill(classifier("sigmoid", 1, seed=1), classifier("sigmoid", 1, seed=2))
    assert trainer.student_outputs == "sigmoid"
