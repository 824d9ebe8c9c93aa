"""Any network of Keras -> its grouped twin: pointwise convolutions replaced by the sub-networks of a scheme.

`convert` makes the twin, or the report that says of every layer what becomes of it and why. `kgpc.convert` is the same
function. `plan` is for programs: it says which layers of the twin take the place of which layer of the original.
`warm_start` gives the twin the trained weights of the original, as far as they fit, and `distill` trains it to say what
the original says. `sensitivity` measures what the grouping of each layer costs.
"""

from kgpc.conversion.conversion import Conversion, convert, plan
from kgpc.conversion.distillation import Distiller, distill
from kgpc.conversion.sensitivities import sensitivity
from kgpc.conversion.warm import warm_start

__all__ = ["Conversion", "Distiller", "convert", "distill", "plan", "sensitivity", "warm_start"]
