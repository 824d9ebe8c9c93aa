"""Call names of the authors' older package `cai`, translated to kgpc, so that their notebooks and older code run.

With `from kgpc import cai`, calls such as `cai.efficientnet.kEfficientNetB0(classes=10, kType=cai.layers.D6_16ch())`
work as they stand; `install()` also makes `import cai` work, and bridges what Keras itself has changed. Functions here
rename arguments and pass them on to `kgpc.applications`, `kgpc.blocks`, `kgpc.cam`, `kgpc.datasets`, `kgpc.training`
and `kgpc.keras2_models`; new code should use those. Argument names are therefore the old ones. `import kgpc` alone does
not import this.

Where the defaults of the old package changed over time, the ones here are those of the published models. Oddities that
published numbers rest on are kept; the docstrings name them.
"""

from kgpc.cai import (
    datasets,
    densenet,
    efficientnet,
    inception_v3,
    layers,
    mobilenet,
    mobilenet_v3,
    models,
    util,
)
from kgpc.cai.installation import install, uninstall

__all__ = [
    "datasets",
    "densenet",
    "efficientnet",
    "inception_v3",
    "install",
    "layers",
    "mobilenet",
    "mobilenet_v3",
    "models",
    "uninstall",
    "util",
]
