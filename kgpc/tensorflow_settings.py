"""Two settings of TensorFlow that decide how fast it is on a processor; importing this module applies them.

Both are environment variables of TensorFlow itself. A value that is already set is left alone, so that each can be
switched off (`TF_CPU_ALLOCATOR_USE_BFC=0`, `TF_ENABLE_ONEDNN_OPTS=0`).

`TF_CPU_ALLOCATOR_USE_BFC=1` keeps the memory of a training step for the next one. Without it every feature map of some
megabytes is fetched from the operating system and given back, and the operating system clears each page again: on
the machine of the stored measurements that took three times as long as computing a ReLU. It is read when the first
tensor is made.

`TF_ENABLE_ONEDNN_OPTS=1` lets TensorFlow use oneDNN's kernels, among them the gradients of grouped convolutions and
a batch normalization twice as fast. On x86 processors with AVX-512 it is on anyway; TensorFlow leaves it off on those
that have AVX2 only. It is read when TensorFlow is imported, so kgpc must be imported before Keras or TensorFlow for
this one to take effect.
"""

import os
import platform

ONEDNN, KEEP_MEMORY = "TF_ENABLE_ONEDNN_OPTS", "TF_CPU_ALLOCATOR_USE_BFC"


def apply(environ=os.environ, machine=None):
    """Sets what is not set yet.

    Args:
        environ: mapping of environment variables.
        machine: str, the processor's architecture as `platform.machine()` calls it, which is the default. On others
            than x86 oneDNN is left to TensorFlow's own choice.
    """
    environ.setdefault(KEEP_MEMORY, "1")
    if (platform.machine() if machine is None else machine).lower() in ("x86_64", "amd64"):
        environ.setdefault(ONEDNN, "1")


apply()
