"""One step of a training or a prediction, compiled, on data that lie on the device: a function for each backend.

Nothing is copied to or from the host but one number at the end, which is what a step is waited for by. `kgpc.timing`
checks the arguments and takes the time.
"""

import concurrent.futures
import os
import pathlib
import platform

import keras


def train(model, images, labels):
    """A training step of a compiled model.

    Args:
        model: compiled Keras model.
        images: NumPy array (batch, height, width, channels).
        labels: NumPy array (batch, classes), of zeros and ones.

    Returns:
        Function without arguments that runs one step, waits for its end, and returns the loss, a number.
    """
    return _of_backend(_TRAIN)(model, images, labels)


def predict(model, images):
    """A prediction, without the overhead of `model.predict`.

    Args:
        model: Keras model.
        images: NumPy array, a batch.

    Returns:
        Function without arguments that predicts, waits for the end, and returns an array (batch, classes).
    """
    return _of_backend(_PREDICT)(model, images)


def layer_steps(layer, inputs, training=False):
    """Forward, and forward with backward, of one layer.

    Args:
        layer: Keras layer, not built or built for these inputs.
        inputs: NumPy array, a batch.
        training: bool, whether the layer has an argument `training`, which then is True for "forward + backward".

    Returns:
        dict of "forward" and "forward + backward" -> function without arguments that runs it and waits for its end. The
        latter computes the outputs, which the next layer would read, and the gradients with respect to the inputs and
        all trainable weights of what would come back from there: ones.
    """
    if not layer.built:
        layer.build(inputs.shape)
    return _of_backend(_LAYER)(layer, inputs, {"training": True} if training else {})


def device():
    """The name of what computes: the first GPU that the backend uses, or the processor with its vector instructions.

    Returns:
        str, which names no computer.
    """
    return _of_backend(_GPU)() or processor()


def processor():
    """The name of the processor, its widest vector instructions, and the number of cores.

    Returns:
        str, such as "AMD EPYC with AVX2, 2 cores".
    """
    name = platform.processor() or platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        flags = next(line for line in lines if line.startswith("flags")).split()
        name += " with " + ("AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "SSE")
    except (OSError, StopIteration):
        pass  # another operating system or kind of processor: the name is all there is
    return f"{name}, {os.cpu_count()} cores"


def _of_backend(functions):
    backend = keras.backend.backend()
    if backend not in functions:
        raise NotImplementedError(f"Steps are timed on {', '.join(sorted(functions))}, not on {backend}.")
    return functions[backend]


def _tensorflow_train(model, images, labels):
    import tensorflow as tf

    images, labels = tf.constant(images), tf.constant(labels)
    model.optimizer.build(model.trainable_variables)

    @tf.function(autograph=False, reduce_retracing=True)
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(images, labels, model(images, training=True))
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [variable.value for variable in model.trainable_variables])
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    return lambda: float(step())


def _tensorflow_predict(model, images):
    import tensorflow as tf

    images = tf.constant(images)
    # The images are an argument: as a constant, the first layers would be computed once and for all.
    step = tf.function(lambda batch: model(batch, training=False), autograph=False)
    return lambda: step(images).numpy()


def _tensorflow_layer(layer, inputs, training):
    import tensorflow as tf

    batch = tf.cast(inputs, layer.compute_dtype)
    weights = [variable.value for variable in layer.trainable_variables]

    def with_gradient(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, **training)
        # The outputs too: TensorFlow leaves out of a function what nobody reads.
        return outputs, *tape.gradient(outputs, [x, *weights], output_gradients=upstream)

    forward = tf.function(lambda x: layer(x), autograph=False)
    both = tf.function(with_gradient, autograph=False)
    upstream = tf.ones_like(layer(batch))

    def wait(*tensors):
        return [tf.reshape(tensor, [-1])[0].numpy() for tensor in tensors]

    return {"forward": lambda: wait(forward(batch)), "forward + backward": lambda: wait(*both(batch, upstream))}


def _tensorflow_gpu():
    import tensorflow as tf

    details = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return details[0].get("device_name", "GPU") if details else None


def _jax_state(variables):
    """Copies of the values of variables: a step gives away what it was given, and the model keeps its own."""
    import jax.numpy as jnp

    return [jnp.array(variable.value, copy=True) for variable in variables]


class JaxStep:
    """A function of JAX with its arguments on the device, traced at once and compiled when it is first needed.

    Tracing holds Python's lock and compiling does not, so many steps can be compiled side by side.

    Args:
        function: of `arguments`; what is returned first is waited for.
        arguments: tuple of arrays or trees of arrays.
        feed_back: bool, whether the first argument is given away and what is returned second takes its place.
    """

    def __init__(self, function, arguments, feed_back=False):
        import jax

        self._arguments, self._feed_back, self._compiled = list(arguments), feed_back, None
        donated = (0,) if feed_back else ()
        self._lowered = jax.jit(function, donate_argnums=donated).lower(*self._arguments)

    def compile(self):
        """Compiles the function, if it is not yet; returns its counted costs, such as "flops" and "bytes accessed"."""
        if self._compiled is None:
            self._compiled, self._lowered = self._lowered.compile(), None
        return dict(self._compiled.cost_analysis() or {})

    def start(self):
        """Starts the function without waiting for it; returns what it returns first."""
        self.compile()
        returned = self._compiled(*self._arguments)
        if self._feed_back:
            returned, self._arguments[0] = returned
        return returned

    def __call__(self):
        import jax

        return jax.block_until_ready(self.start())


def compile_side_by_side(steps):
    """Compiles those steps of JAX that are not compiled yet, several at a time; other functions are left alone.

    Args:
        steps: iterable of functions.
    """
    waiting = [step for step in steps if isinstance(step, JaxStep)]
    if waiting:
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(JaxStep.compile, waiting))


def _jax_train(model, images, labels):
    import jax

    model.optimizer.build(model.trainable_variables)
    state = tuple(
        _jax_state(variables)
        for variables in (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    )
    # As they are before the first step, so that the loss is that of one step and no mean.
    metrics = _jax_state(model.metrics_variables)

    def step(state, images, labels):
        logs, (*state, _) = model.train_step((*state, metrics), (images, labels))
        return logs["loss"], tuple(state)

    return JaxStep(step, (state, *jax.device_put((images, labels))), feed_back=True)


def _jax_predict(model, images):
    import jax

    state = _jax_state(model.trainable_variables), _jax_state(model.non_trainable_variables)
    return JaxStep(
        lambda state, images: model.stateless_call(*state, images, training=False)[0], (state, jax.device_put(images))
    )


def _jax_layer(layer, inputs, training):
    import jax
    import jax.numpy as jnp

    batch = jax.device_put(jnp.asarray(inputs, layer.compute_dtype))
    state = _jax_state(layer.trainable_variables), _jax_state(layer.non_trainable_variables)

    def forward(batch, weights, others):
        return layer.stateless_call(weights, others, batch)[0]

    def both(batch, weights, others, upstream):
        outputs, pull = jax.vjp(
            lambda batch, weights: layer.stateless_call(weights, others, batch, **training)[0], batch, weights
        )
        return outputs, pull(upstream)

    upstream = jnp.ones_like(forward(batch, *state))
    return {
        "forward": JaxStep(forward, (batch, *state)),
        "forward + backward": JaxStep(both, (batch, *state, upstream)),
    }


def _jax_gpu():
    import jax

    device = jax.devices()[0]
    return None if device.platform == "cpu" else device.device_kind


def _torch_tensors(*arrays):
    import torch

    # Where Keras has its variables.
    device = keras.ops.zeros(1).device
    return [torch.as_tensor(array, device=device) for array in arrays]


def _torch_train(model, images, labels):
    batch = _torch_tensors(images, labels)
    model.optimizer.build(model.trainable_variables)

    def run():
        model.reset_metrics()  # so that the loss is that of one step and no mean
        # Reading it waits for the rest as well: a device ends its work in order.
        return float(model.train_step(tuple(batch))["loss"])

    return run


def _torch_predict(model, images):
    import torch

    (images,) = _torch_tensors(images)

    def run():
        with torch.no_grad():
            return model(images, training=False).float().cpu().numpy()

    return run


def _torch_layer(layer, inputs, training):
    import torch

    (batch,) = _torch_tensors(inputs)
    batch = batch.to(getattr(torch, layer.compute_dtype))

    def wait(*tensors):
        return [tensor.detach().reshape(-1)[0].item() for tensor in tensors]

    def forward():
        with torch.no_grad():
            return wait(layer(batch))

    def both():
        x = batch.detach().requires_grad_(True)
        weights = [variable.value for variable in layer.trainable_variables]
        outputs = layer(x, **training)
        return wait(outputs, *torch.autograd.grad(outputs, [x, *weights], upstream))

    with torch.no_grad():
        upstream = torch.ones_like(layer(batch))
    return {"forward": forward, "forward + backward": both}


def _torch_gpu():
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


_TRAIN = {"tensorflow": _tensorflow_train, "jax": _jax_train, "torch": _torch_train}
_PREDICT = {"tensorflow": _tensorflow_predict, "jax": _jax_predict, "torch": _torch_predict}
_LAYER = {"tensorflow": _tensorflow_layer, "jax": _jax_layer, "torch": _torch_layer}
_GPU = {"tensorflow": _tensorflow_gpu, "jax": _jax_gpu, "torch": _torch_gpu}
