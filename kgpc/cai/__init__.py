"""Call names of the authors' older package `cai`, translated to kgpc, so that old code keeps running.

With `from kgpc import cai`, calls such as `cai.efficientnet.kEfficientNetB0(classes=10, kType=cai.layers.D6_16ch())`
work as they stand. Every function here only renames arguments and passes them on to `kgpc.applications`, `kgpc.blocks`
or `kgpc.cam`; new code should use those. Argument names are therefore the old ones. `import kgpc` alone does not
import this.

Where the defaults of the old package changed over time, the ones here are those of the published models.
"""

from kgpc.cai import densenet, efficientnet, inception_v3, layers, mobilenet, mobilenet_v3, models

__all__ = ["densenet", "efficientnet", "inception_v3", "layers", "mobilenet", "mobilenet_v3", "models"]
