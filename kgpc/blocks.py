"""The parameter-efficient pointwise convolution: the sub-network that replaces an ordinary 1x1 convolution."""

import keras

from kgpc import arguments
from kgpc.grouping import check_scheme, ordinary_plan
from kgpc.layers import Activation, BatchNormalization, CopyChannels, GroupedPointwiseConv2D, InterleaveChannels, checks


def pointwise(
    x,
    filters,
    scheme,
    *,
    name,
    activation,
    batch_norm=True,
    batch_norm_scale=True,
    use_bias=False,
    kernel_initializer="glorot_uniform",
    kernel_regularizer=None,
    momentum=0.99,
    epsilon=1e-3,
):
    """Pointwise convolution under a scheme, each convolution with batch normalization and activation as asked.

    With more than one group: grouped convolution K, its channels interleaved, and, where the scheme has it, a second
    grouped convolution L on the interleaved channels whose output is added to K's. With one group: an ordinary
    convolution. Nothing follows the sum: the activation stands after K and after L, where the paper has it, and an
    activation that is called on the output would be another network.

    Args:
        x: Keras tensor (batch, height, width, channels).
        filters: int >= 1, channels of the output.
        scheme: a scheme such as `kgpc.D6(16)`, or None for an ordinary convolution.
        name: str, name of the unit. Its layers are `<name>_conv`, `<name>_bn` and `<name>` (the activation), with the
            scheme's suffixes, for example `<name>_group_interleaved`.
        activation: name of a Keras activation or callable that follows K and L each, such as "swish"; or None, and the
            unit is linear: right for the projection of an inverted residual, and elsewhere a mistake that nothing
            reports. So there is no default.
        batch_norm: bool, whether each convolution is followed by batch normalization.
        batch_norm_scale: bool, whether that has a scale (gamma).
        use_bias: bool, whether each convolution has a bias. Batch normalization brings one; without it, ask for this.
        kernel_initializer: initializer of all kernels: name, or object of Keras. Each convolution has one of its own: a
            Keras initializer without a seed repeats its values, and K and L would start alike. With an explicit seed
            they do, where their kernels have one shape.
        kernel_regularizer: regularizer of all kernels, or None.
        momentum: float in [0, 1], momentum of the moving statistics.
        epsilon: float > 0, added to the variance.

    Returns:
        Keras tensor (batch, height, width, filters).

    The layers are "channels_last", whatever `keras.config.image_data_format()` says.

    Raises:
        ValueError: if an argument is out of its range, `scheme` is not a scheme, or the channels of `x` are not known.
        TypeError: if a number is not one, `filters` not an integer, `name` not a str, or a bool anything else; or if
            `activation` is left out.

    Example:

    >>> inputs = keras.Input((14, 14, 64))
    >>> outputs = pointwise(inputs, 128, kgpc.D6(16), name="mix", activation="swish")
    >>> [layer.name for layer in keras.Model(inputs, outputs).layers[1:]]
    ['mix_conv', 'mix_bn', 'mix', 'mix_group_interleaved']

    Reference: Schwarz Schuler et al. 2022, section 3, doi:10.13164/mendel.2022.1.023; for the enhanced scheme
    doi:10.3390/e24091264.
    """
    check_scheme(scheme)
    _check_input_and_name(x, name)
    for argument, value in (("batch_norm", batch_norm), ("batch_norm_scale", batch_norm_scale), ("use_bias", use_bias)):
        arguments.boolean(argument, value)
    checks.found("activation", keras.activations.get, activation)
    checks.found("kernel_initializer", keras.initializers.get, kernel_initializer)
    checks.found("kernel_regularizer", keras.regularizers.get, kernel_regularizer)
    arguments.number("momentum", momentum, 0, 1)
    arguments.number("epsilon", epsilon, above=0)
    plan = ordinary_plan(x.shape[-1], filters) if scheme is None else scheme.plan(x.shape[-1], filters)

    def unit(x, convolution):
        unit_name = name + convolution.suffix
        common = {
            "use_bias": bool(use_bias),
            # Not what the global setting says when the layer is made: `x` has its channels last.
            "data_format": "channels_last",
            "kernel_initializer": _own_initializer(kernel_initializer),
            "kernel_regularizer": kernel_regularizer,
            "name": f"{unit_name}_conv",
        }
        if convolution.groups == 1:
            x = keras.layers.Conv2D(convolution.filters, 1, **common)(x)
        else:
            x = GroupedPointwiseConv2D(convolution.filters, convolution.groups, **common)(x)
        if batch_norm:
            x = BatchNormalization(
                scale=bool(batch_norm_scale), momentum=momentum, epsilon=epsilon, name=f"{unit_name}_bn"
            )(x)
        return x if activation is None else Activation(activation, name=unit_name)(x)

    return arrange(x, plan, name, unit)


def arrange(x, plan, name, unit, make=None):
    """Calls convolutions as a plan says: side by side, interleaved, one after the other, their outputs added.

    Args:
        x: Keras tensor (batch, height, width, channels).
        plan: `kgpc.grouping.Plan` for the channels of `x`.
        name: str, name of the whole; what is made here is called after it, with the plan's suffixes.
        unit: function of a tensor and a `kgpc.grouping.Convolution` that returns what the convolution makes of the
            tensor.
        make: function that makes the layers between the convolutions, of a class, its arguments and `name`; None calls
            the class.

    Returns:
        Keras tensor (batch, height, width, filters).
    """

    def layer(kind, *args, name):
        return kind(*args, name=name) if make is None else make(kind, *args, name=name)

    def copied(x, path):
        return layer(CopyChannels, path.in_channels, name=f"{name}{path.suffix}_copy")(x)

    def stage(x, stage_plan):
        first, *others = stage_plan.paths
        if stage_plan.copied_channels:
            x = copied(x, first)
        outputs = [unit(x, first)]
        for path in others:
            outputs.append(unit(copied(x, path), path))
        return outputs[0] if not others else layer(keras.layers.Concatenate, name=name + stage_plan.suffix)(outputs)

    first = mixed = stage(x, plan.first)
    if plan.interleave_step > 1:
        mixed = layer(InterleaveChannels, plan.interleave_step, name=name + plan.interleave_suffix)(first)
    if plan.second is None:
        return mixed
    return layer(keras.layers.Add, name=name + plan.add_suffix)([stage(mixed, plan.second), first])


def _own_initializer(initializer):
    """An initializer for one convolution alone, as Keras' own layers of several kernels make it."""
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer  # of a name, a configuration or a class each layer makes its own
    described = type(initializer).get_config is not keras.initializers.Initializer.get_config
    # A generator of seeds goes on from call to call; a copy would begin again.
    if not described or isinstance(getattr(initializer, "seed", None), keras.random.SeedGenerator):
        return initializer
    return type(initializer).from_config(initializer.get_config())


def _check_input_and_name(x, name):
    shape = getattr(x, "shape", None)
    if shape is None or len(shape) != 4 or shape[-1] is None:
        received = f"x={arguments.shown(x)}" if shape is None else f"x of shape {tuple(shape)}"
        raise ValueError(
            "`x` must be a tensor (batch, height, width, channels) with a known number of channels. "
            f"Received: {received}."
        )
    arguments.text("name", name, empty=False)
    if "/" in name:
        raise ValueError(f'`name` must be without "/". Received: name={name!r}.')
