"""Three ways to spare a processor passes over feature maps that no layer of the package has: what each would give.

    python tests/benchmarks/block_candidates.py               all three (two processor cores: five minutes)
    python tests/benchmarks/block_candidates.py gradient --only kMobileNet
    python tests/benchmarks/block_candidates.py --small       two images, small maps: to see that it works

gradient: batch normalization and the activation after it with one gradient, which computes normalized values again
    instead of reading them back; single layers, then whole training steps.
statistics: a grouped convolution computed for some images at a time, whose mean and variance are taken while its output
    is in the cache, and joined afterwards.
pieces: prediction with folded networks, some images of the batch at a time, so that a feature map stays in the cache
    from one layer to the next. (In training this ends at each normalization, which needs the whole batch.)

Each side first has to give what the package gives today. All sides of a case are timed in turns; block_candidates.csv,
written after each case, has medians, quartiles, and the median of the ratios to today, round by round.
"""

import argparse
import pathlib
import sys

import kgpc  # isort: skip  before TensorFlow, which reads its settings when it is loaded
import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from one_gradient import (
    WAYS,
    NormalizationWithActivation,
    activate,
    activation_layer,
    compiled,
    gradient_sums,
    joined,
    normalized,
    pixels,
    row_moments,
    row_sums,
    to_inputs,
    with_one_gradient,
)
from speed import MODELS, quartile_rows

from kgpc import deploy, files, merging, sessions, timing, wide_groups

KINDS = ("gradient", "statistics", "pieces")
NETWORKS = ("kMobileNet 16ch", "kEffNet-B0 16ch")
TODAY = "today"
# (network, side of the map, channels, activation): what stands in the networks.
ACTIVATIONS = (
    ("kMobileNet", 112, 32, "relu6"),
    ("kMobileNet", 112, 64, "swish"),
    ("kMobileNet", 56, 128, "relu6"),
    ("kMobileNet", 14, 512, "swish"),
    ("kEffNet-B0", 112, 96, "swish"),
    ("kEffNet-B0", 14, 672, "swish"),
)
# (network, side of the map, input channels, filters), 16 channels per group, followed by swish.
CONVOLUTIONS = (
    ("kMobileNet", 112, 32, 64),
    ("kMobileNet", 56, 128, 128),
    ("kMobileNet", 14, 512, 512),
    ("kEffNet-B0", 112, 16, 96),
    ("kEffNet-B0", 14, 112, 672),
)
# Images computed at a time.
STATISTICS_PIECES, PREDICTION_PIECES = (16, 4, 2, 1), (8, 4, 2, 1)


def random(*shape, seed):
    return tf.random.stateless_normal(shape, seed=(seed, 17))


def built(layer, shape):
    """A normalization with other weights than it starts with, so that all of its gradients count."""
    layer.build(shape)
    layer.gamma.assign(1 + 0.2 * random(shape[-1], seed=1))
    layer.beta.assign(0.2 * random(shape[-1], seed=2))
    return layer


def check(case, expected, found):
    """Both sides give the same but for rounding.

    Raises:
        AssertionError: if they do not.
    """
    for number, (own, other) in enumerate(zip(expected, found, strict=True)):
        other = tf.concat(other, 0) if isinstance(other, (list, tuple)) else other
        own, other = np.asarray(own, "float64"), np.asarray(other, "float64")
        allowed = 2e-4 * (np.abs(own) + np.sqrt(np.mean(np.square(own))))
        wrong = np.mean(np.abs(own - other) > allowed)
        if wrong:
            raise AssertionError(f"{case}: {wrong:.2g} of the values of result {number} are others than today's")


def layer_step(layers, x, upstream):
    """Outputs and gradients of normalization and activation."""
    weights = [layers[0].gamma.value, layers[0].beta.value]

    @tf.function(autograph=False)
    def step(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = x
            for layer in layers:
                outputs = layer(outputs, **({"training": True} if layer is layers[0] else {}))
        return outputs, *tape.gradient(outputs, [x, *weights], output_gradients=upstream)

    return lambda: step(x, upstream)


def measure_gradient(options):
    """One gradient for normalization and activation: single layers, then training steps of whole networks."""
    batch = 2 if options.small else 16
    for network, size, channels, activation in ACTIVATIONS:
        size = size // 7 if options.small else size
        case = f"{network} {size}x{size}x{channels}, {activation}"
        if options.only and not any(part in case for part in options.only):
            continue
        shape = (batch, size, size, channels)
        x, upstream = 0.5 + 2 * random(*shape, seed=3), random(*shape, seed=4)
        today = [built(kgpc.layers.BatchNormalization(), shape), activation_layer(activation)]
        if activation == "relu6":
            # Rounding decides on which side of a kink a value lies that is next to it: no gradient comes from there.
            z = today[0](x, training=True)
            upstream *= tf.cast(tf.minimum(tf.abs(z), tf.abs(z - 6)) > 1e-3, z.dtype)
        steps = {TODAY: layer_step(today, x, upstream)}
        for way in WAYS:
            layer = built(NormalizationWithActivation(activation=activation, way=way), shape)
            layer.set_weights(today[0].get_weights())
            steps[way] = layer_step([layer], x, upstream)
            check(f"{case}, {way}", steps[TODAY](), steps[way]())
            check(f"{case}, {way}, statistics", today[0].get_weights()[2:], layer.get_weights()[2:])
        seconds = timing.seconds_in_turns(steps, options.rounds)
        yield from quartile_rows("gradient", case, "forward + backward", seconds, batch=batch, size=size)
    for network in NETWORKS:
        if options.only and not any(part in network for part in options.only):
            continue
        _, _, make, batch, size, _ = MODELS[network]
        batch, size = (2, 64) if options.small else (batch, size)
        model = make(size)
        for layer in model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0  # chance would make every side another step
        sides = {TODAY: model, **{way: with_one_gradient(model, way) for way in list(WAYS)[1:]}}
        steps = {side: timing.train_step(merging.training_twin(own), batch) for side, own in sides.items()}
        losses = {side: [step(), step()] for side, step in steps.items()}
        for side, (before, after) in losses.items():
            np.testing.assert_allclose(before, losses[TODAY][0], rtol=1e-4, err_msg=f"{network}, {side}")
            # RMSprop moves a weight as far whose gradient is nothing but rounding.
            np.testing.assert_allclose(after, losses[TODAY][1], rtol=2e-2, err_msg=f"{network}, {side}, updated")
        seconds = timing.seconds_in_turns(steps, options.rounds, warmup=0)
        yield from quartile_rows("gradient", network, "training step", seconds, batch=batch, size=size)
        del model, sides, steps
        sessions.forget_models()


class Block:
    """A grouped pointwise convolution, batch normalization and swish: as the layers do it, and in pieces."""

    def __init__(self, channels, filters, groups):
        self.shape = (groups, channels, filters)
        self.convolution = kgpc.layers.GroupedPointwiseConv2D(filters, groups, use_bias=False)
        self.convolution.build((None, 8, 8, channels))
        self.normalization = built(kgpc.layers.BatchNormalization(), (None, 8, 8, filters))
        self.activation = activation_layer("swish")
        self.weights = [self.convolution.kernel.value, self.normalization.gamma.value, self.normalization.beta.value]

    def today(self, x):
        outputs = self.normalization(self.convolution(x, training=True), training=True)
        return self.activation(outputs)

    def of_xla(self, x):
        """The same in the form that XLA can compile as a whole."""
        products = kgpc.layers.grouped.grouped_matmul(x, self.weights[0], self.shape[0])
        mean, variance = tf.nn.moments(products, (0, 1, 2))
        _, gamma, beta = self.weights
        return activate(
            (products - mean) * (gamma * tf.math.rsqrt(variance + self.normalization.epsilon)) + beta, "swish"
        )

    def steps(self, function, x, upstream, compile=tf.function):
        """Both parts of a layer's work, of all images at once."""

        def forward(x):
            return (function(x),)

        def both(x, upstream):
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = function(x)
            return outputs, *tape.gradient(outputs, [x, *self.weights], output_gradients=upstream)

        forward, both = compile(forward), compile(both)
        return {"forward": lambda: forward(x), "forward + backward": lambda: both(x, upstream)}

    def forward(self, pieces):
        """Outputs of all pieces, and what the gradient needs; one piece after the other."""
        groups = self.shape[0]
        kernel, gamma, beta = map(tf.convert_to_tensor, self.weights)
        kernel = wide_groups.widen(kernel, groups, wide_groups.forward(*self.shape))
        products, moments = [], []
        for piece in pieces:
            with tf.control_dependencies(moments[-1] if moments else []):
                products.append(tf.nn.conv2d(piece, kernel, 1, "VALID"))
                moments.append(row_moments(products[-1]))
        mean, variance = joined(*(tf.concat(parts, 0) for parts in zip(*moments, strict=True)), pieces[0].shape[2])
        inverse = tf.math.rsqrt(variance + self.normalization.epsilon)
        outputs = [normalized(product, mean, gamma * inverse, beta, "swish") for product in products]
        return outputs, products, mean, inverse

    def backward(self, pieces, products, upstreams, mean, inverse):
        """Gradients with respect to pieces, kernel, gamma and beta."""
        groups, channels, filters = self.shape
        kernel, gamma, beta = map(tf.convert_to_tensor, self.weights)
        scale, count = gamma * inverse, sum(map(pixels, pieces))
        pairs = list(zip(products, upstreams, strict=True))
        sums = [row_sums(product, upstream, mean, scale, beta, "swish") for product, upstream in pairs]
        to_beta, to_gamma, mean_gradient, factor = gradient_sums(sums, inverse, count)
        into, kernel_into = wide_groups.input_gradient(*self.shape), wide_groups.kernel_gradient(*self.shape)
        wide, options = wide_groups.widen(kernel, groups, into), {"strides": (1, 1, 1, 1), "padding": "VALID"}
        to_pieces, to_kernels = [], []
        for piece, (product, upstream) in zip(pieces, pairs, strict=True):
            with tf.control_dependencies([*to_pieces[-1:], *to_kernels[-1:]]):
                upstream = tf.identity(upstream)
            back = to_inputs(product, upstream, mean, scale, beta, mean_gradient, factor, "swish")
            to_pieces.append(
                tf.raw_ops.Conv2DBackpropInput(input_sizes=piece.shape, filter=wide, out_backprop=back, **options)
            )
            sizes = (1, 1, channels // kernel_into, filters)
            to_kernels.append(
                tf.raw_ops.Conv2DBackpropFilter(input=piece, filter_sizes=sizes, out_backprop=back, **options)
            )
        to_kernel = wide_groups.narrow(tf.add_n(to_kernels), groups, kernel_into)
        return to_pieces, to_kernel, to_gamma, to_beta

    def steps_in_pieces(self, x, upstream, images):
        """As `steps`, some images at a time, which the layers before and after are taken to read and write so, too."""
        pieces, upstreams = (tf.split(values, values.shape[0] // images) for values in (x, upstream))

        @tf.function(autograph=False)
        def forward(pieces):
            return self.forward(pieces)[:1]

        @tf.function(autograph=False)
        def both(pieces, upstreams):
            outputs, *rest = self.forward(pieces)
            return outputs, *self.backward(pieces, rest[0], upstreams, *rest[1:])

        return {"forward": lambda: forward(pieces), "forward + backward": lambda: both(pieces, upstreams)}


def measure_statistics(options):
    """Statistics of a convolution's output while it is in the cache."""
    batch = 2 if options.small else 16
    for network, size, channels, filters in CONVOLUTIONS:
        size = size // 7 if options.small else size
        groups = kgpc.D6(16).plan(channels, filters).groups
        case = f"{network} {size}x{size}, {channels} to {filters}, {groups} group{'s' * (groups > 1)}"
        if options.only and not any(part in case for part in options.only):
            continue
        block = Block(channels, filters, groups)
        x, upstream = 0.5 + random(batch, size, size, channels, seed=5), random(batch, size, size, filters, seed=6)
        sides = {TODAY: block.steps(block.today, x, upstream)}
        for images in STATISTICS_PIECES:
            if images <= batch:
                sides[f"{images} at a time"] = block.steps_in_pieces(x, upstream, images)
        sides["XLA"] = block.steps(block.of_xla, x, upstream, compiled)
        for part in ("forward", "forward + backward"):
            steps = {side: functions[part] for side, functions in sides.items()}
            expected = steps[TODAY]()
            for side, step in steps.items():
                check(f"{case}, {part}, {side}", expected, step())
            seconds = timing.seconds_in_turns(steps, options.rounds, warmup=1)
            yield from quartile_rows("statistics", case, part, seconds, batch=batch, size=size)


def at_once(model):
    """Function of a batch, compiled."""
    return tf.function(lambda batch: model(batch, training=False), autograph=False)


def in_pieces(model, images, rest=None):
    """Function of a batch that a model predicts so many images at a time, and another one, if any, at once."""
    predict = at_once(model)

    @tf.function(autograph=False)
    def run(batch):
        outputs = []
        for piece in tf.split(batch, batch.shape[0] // images):
            with tf.control_dependencies(outputs[-1:]):  # one after the other
                outputs.append(predict(tf.identity(piece)))
        outputs = tf.concat(outputs, 0)
        return outputs if rest is None else rest(outputs, training=False)

    return run


def split_at(model, size):
    """The layers of a network until the first whose output has this side, and the rest, as two networks."""
    layer = next(layer for layer in model.layers if len(layer.output.shape) == 4 and layer.output.shape[1] == size)
    return keras.Model(model.input, layer.output), keras.Model(layer.output, model.output)


def prediction_steps(model, images, split):
    """Ways to predict a batch: dict of case -> dict of side -> function without arguments.

    Args:
        model: folded network.
        images: tensor (batch, height, width, 3).
        split: int, side of the first map of the rest.
    """
    first, rest = split_at(model, split)
    pieces = [count for count in PREDICTION_PIECES if count < images.shape[0]]
    found = {f"blocks at {2 * split}x{2 * split}": {TODAY: at_once(first)}, "whole": {TODAY: at_once(model)}}
    blocks, whole = found.values()
    for count in pieces:
        blocks[f"{count} at a time"] = in_pieces(first, count)
        whole[f"{count} at a time"] = in_pieces(model, count)
    for count in pieces[1:]:
        whole[f"first blocks {count} at a time"] = in_pieces(first, count, rest)
    return {
        case: {side: lambda run=run: run(images) for side, run in functions.items()}
        for case, functions in found.items()
    }


def measure_pieces(options):
    """Prediction of some images of the batch at a time."""
    for network in NETWORKS:
        if options.only and not any(part in network for part in options.only):
            continue
        _, _, make, batch, size, _ = MODELS[network]
        batch, size = (4, 64) if options.small else (batch, size)
        images = tf.random.stateless_uniform((batch, size, size, 3), seed=(0, 1))
        for case, steps in prediction_steps(deploy.fold(make(size)), images, size // 4).items():
            expected = steps[TODAY]()
            for side, step in steps.items():
                check(f"{network}, {case}, {side}", [expected], [step()])
            seconds = timing.seconds_in_turns(steps, options.rounds, warmup=1)
            yield from quartile_rows("pieces", f"{network}, {case}", "predict", seconds, batch=batch, size=size)
        sessions.forget_models()


MEASURES = dict(zip(KINDS, (measure_gradient, measure_statistics, measure_pieces), strict=True))


def write(rows, path):
    """The table so far, with four significant digits: more is noise."""
    table = pd.DataFrame(rows)
    for column in ("seconds", "quartile_1", "quartile_3", "ratio"):
        table[column] = table[column].map(lambda value: float(f"{value:.4g}"))
    files.write(path, table.to_csv(index=False))


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help=f"what to measure, of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--only", nargs="+", help="cases whose name contains one of these")
    parser.add_argument("--rounds", type=int, default=9, help="timed runs of each side (default 9)")
    parser.add_argument("--small", action="store_true", help="two images, small maps: to see that it works")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("results/benchmarks"), help="folder")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.kinds) - set(KINDS))
    if unknown or options.rounds < 1:
        parser.error(
            f"kinds must be of {', '.join(KINDS)}, and rounds at least 1; received {unknown or options.rounds}"
        )
    options.output.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    rows, common = [], timing.machine()
    for kind in options.kinds or KINDS:
        for row in MEASURES[kind](options):
            rows.append({**row, **common})
            print(f"{row['case']:50s} {row['part']:20s} {row['side']:28s} {1e3 * row['seconds']:8.1f} ms", end="")
            print(f" {row['ratio']:6.2f}", flush=True)
            write(rows, options.output / "block_candidates.csv")
    return 0


if __name__ == "__main__":
    sys.exit(main())
