"""Exercises of notebooks 14 and 15: what their solutions reach is right, and wrong answers are told what they lack."""

import keras
import numpy as np
import pytest
from keras import layers

from kgpc import D6, convert, deploy, exercises


def said(capsys, name, answer):
    exercises.check(name, answer)
    return capsys.readouterr().out.removeprefix(f"Exercise {name}: ").strip()


def test_a_grouped_classifier(capsys):
    classifier = keras.Sequential([keras.Input((1, 1, 256)), layers.Conv2D(10, 1)])
    row = convert(classifier, D6(16), classifier=True, report_only=True).iloc[0]
    assert said(capsys, "14.1", row["parameters_before"] - row["parameters_after"]) == "right."
    assert "what the grouped classifier has" in said(capsys, "14.1", row["parameters_after"])
    assert "what the ordinary classifier has" in said(capsys, "14.1", row["parameters_before"])


def with_a_pointwise_layer(behind=True, **options):
    end = [layers.Conv2D(4, 3)] if behind else []
    pointwise = layers.Conv2D(options.pop("filters", 64), 1, **options)
    return keras.Sequential([keras.Input((5, 5, 64)), pointwise, *end, layers.GlobalAveragePooling2D()])


@pytest.mark.parametrize(
    "model, answer",
    [
        (with_a_pointwise_layer(trainable=False), "right."),
        (with_a_pointwise_layer(activity_regularizer="l2"), "right."),
        (with_a_pointwise_layer(), "not right yet. D6(16) replaces 'conv2d"),
        (with_a_pointwise_layer(behind=False), "not right yet. It stays because it is a classifier."),
        (with_a_pointwise_layer(filters=32, trainable=False), "not right yet. It has no pointwise convolution"),
        (keras.Sequential(), "kgpc.convert cannot read this network."),
        ("network", "the answer is a network"),
    ],
    ids=["frozen", "with a penalty", "grouped", "classifier", "narrow", "empty", "text"],
)
def test_a_network_that_stays_as_it_is(model, answer, capsys):
    assert said(capsys, "14.2", model).startswith(answer)


def test_what_can_be_used_at_once(capsys):
    assert said(capsys, "14.3", "warm_start") == "right."
    assert "random weights" in said(capsys, "14.3", "convert")


def test_zeros_and_steps(capsys):
    assert said(capsys, "15.1", 2 * 128 * 128) == "right."
    assert "K and L" in said(capsys, "15.1", 128 * 128)
    assert "without zeros" in said(capsys, "15.1", D6(16).plan(128, 128).weights)
    assert said(capsys, "15.2", 6 / 255) == said(capsys, "15.2", 0.0235) == "right."
    assert "How many steps" in said(capsys, "15.2", 6 / 256)


def test_what_became_of_black_images(capsys):
    assert said(capsys, "15.3", deploy.ExportError("same class in 10%")) == "right."
    assert "about something else" in said(capsys, "15.3", ValueError("`images` must be ..."))
    kept = deploy.Exported(*[None] * 16)
    assert "This file was kept" in said(capsys, "15.3", kept)
    assert "what `deploy.export` returned" in said(capsys, "15.3", np.zeros(3))
