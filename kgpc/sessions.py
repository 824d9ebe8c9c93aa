"""What Keras keeps of all models that were built, and forgetting it."""

import keras


def forget_models():
    """Lets go of everything that Keras keeps of earlier models, so that their memory is free.

    As `keras.backend.clear_session`, which also sets the dtype policy back to "float32", without a word: here it stays
    what it was.
    """
    policy = keras.config.dtype_policy()
    keras.backend.clear_session()
    keras.config.set_dtype_policy(policy)
