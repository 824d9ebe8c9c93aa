"""Models are forgotten, the dtype policy is not."""

import keras
import pytest

from kgpc import sessions


@pytest.fixture
def policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", ["float32", "mixed_bfloat16", "float64"])
def test_the_dtype_policy_outlives_the_models(policy, name):
    keras.config.set_dtype_policy(name)
    first = keras.layers.Dense(1).name
    sessions.forget_models()
    assert keras.layers.Dense(1).name == first.partition("_")[0]  # names are counted anew
    assert keras.config.dtype_policy().name == name and keras.layers.Dense(1).dtype_policy.name == name
