"""Ways to compute a grouped pointwise convolution with JAX, all with the same result, to be timed against each other.

Each takes `x` (batch, height, width, channels), `kernel` (1, 1, channels / groups, filters) as a layer has it, and
`groups`, and returns (batch, height, width, filters). `gpu.py` times them.
"""

import jax
import jax.numpy as jnp

from kgpc.layers import grouped_matmul

# Channels of a group below which the matrix units of a GPU are not full: groups are joined up to these widths.
WIDTHS = (32, 64, 128)


def _parts(x, kernel, groups):
    """Rows of channels by group (rows, groups, channels per group); kernels by group (groups, channels, filters)."""
    _, _, channels, filters = kernel.shape
    return (
        x.reshape(-1, groups, channels),
        kernel.reshape(channels, groups, filters // groups).transpose(1, 0, 2),
    )


def groups_outermost(x, kernel, groups):
    """A batched matrix product whose batch axis, the groups, comes first: rows are transposed before and after."""
    rows, kernels = _parts(x, kernel, groups)
    return jnp.matmul(rows.transpose(1, 0, 2), kernels).transpose(1, 0, 2).reshape(*x.shape[:-1], -1)


def groups_within(x, kernel, groups):
    """The same product with the groups as an inner batch axis: the compiler decides on the layout."""
    rows, kernels = _parts(x, kernel, groups)
    product = jax.lax.dot_general(rows, kernels, (((2,), (1,)), ((1,), (0,))))
    return product.transpose(1, 0, 2).reshape(*x.shape[:-1], -1)


def convolution(x, kernel, groups):
    """The convolution of the library with feature groups."""
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def _joined(groups, channels, width):
    """How many groups become one: the fewest that divide their number and have at least `width` channels."""
    return next(n for n in range(1, groups + 1) if groups % n == 0 and (n * channels >= width or n == groups))


def widened(x, kernel, groups, width, product=grouped_matmul):
    """Neighbouring groups joined with zeros until they have `width` channels; then one of the other ways."""
    _, _, channels, filters = kernel.shape
    joined = _joined(groups, channels, width)
    parts = kernel.reshape(channels, groups // joined, joined, filters // groups)
    wide = jnp.einsum("cgjf,ij->icgjf", parts, jnp.eye(joined, dtype=kernel.dtype))
    if joined == groups:
        return _one_product(x, wide.reshape(groups * channels, filters))
    return product(x, wide.reshape(1, 1, joined * channels, filters), groups // joined)


def _one_product(x, dense):
    """The product of all channels of each position: of a single group, whose rows need not be brought together."""
    return (x.reshape(-1, x.shape[-1]) @ dense).reshape(*x.shape[:-1], -1)


def block_diagonal(x, kernel, groups):
    """An ordinary convolution whose kernel has zeros between the groups."""
    return widened(x, kernel, groups, x.shape[-1])


def ordinary(x, kernel, groups):
    """The ordinary convolution of as many channels and filters: another result, for comparison."""
    return _one_product(x, jnp.tile(kernel[0, 0], (groups, 1)))


WAYS = {
    "ordinary": ordinary,
    "einsum (the layer's)": grouped_matmul,
    "groups outermost": groups_outermost,
    "groups within": groups_within,
    "convolution with groups": convolution,
    **{
        f"widened to {width}": lambda x, kernel, groups, width=width: widened(x, kernel, groups, width)
        for width in WIDTHS
    },
    "block-diagonal": block_diagonal,
}


def interleaved_after(x, kernel, groups):
    """K of the scheme, then its filters interleaved: two steps, as the layers take them."""
    y = grouped_matmul(x, kernel, groups)
    shape = y.shape
    return y.reshape(-1, groups, shape[-1] // groups).transpose(0, 2, 1).reshape(shape)


def interleaved_within(x, kernel, groups):
    """The same with the interleaving as the order in which the product is written."""
    rows, kernels = _parts(x, kernel, groups)
    return jnp.einsum("ngc,gcf->nfg", rows, kernels).reshape(*x.shape[:-1], -1)


INTERLEAVED = {"product, then interleaving": interleaved_after, "product in interleaved order": interleaved_within}
