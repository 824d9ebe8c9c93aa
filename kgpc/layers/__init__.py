"""Keras layers that the parameter-efficient pointwise convolution is made of.

They know nothing of an architecture. All are registered under the package name "kgpc", so a `.keras` file that uses
them loads after `import kgpc` without `custom_objects` and with `safe_mode=True`.

On the TensorFlow backend they avoid four slow paths: a grouped `Conv2D`, which Keras sends through a nested XLA-
compiled function; batch normalization written out as moments and an affine map, where TensorFlow has one fused kernel;
the gradient of swish, which on a processor takes a dozen passes over memory where one is enough; and oneDNN's gradient
of large or strided depthwise kernels.

Each layer computes its own output from its own inputs. Where two layers can be one in training, `kgpc.merging` makes
another network in which they are.
"""

from kgpc.layers.activation import Activation
from kgpc.layers.channels import CopyChannels, InterleaveChannels
from kgpc.layers.checks import check_channels_last
from kgpc.layers.depthwise import DepthwiseConv2D
from kgpc.layers.grouped import GroupedPointwiseConv2D, grouped_matmul
from kgpc.layers.normalization import BatchNormalization
from kgpc.layers.padding import ZeroPadding2D

__all__ = [
    "Activation",
    "BatchNormalization",
    "CopyChannels",
    "DepthwiseConv2D",
    "GroupedPointwiseConv2D",
    "InterleaveChannels",
    "ZeroPadding2D",
    "check_channels_last",
    "grouped_matmul",
]
