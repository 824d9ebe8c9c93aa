"""Any network of Keras -> its grouped twin: pointwise convolutions replaced by the sub-networks of a scheme.

`convert` makes the twin, `report` says what it would do and why some layers stay. `kgpc.convert` is `convert`.
`warm_start` gives it the trained weights of the original, as far as they fit, and `distill` trains it to say what the
original says.
"""

from kgpc.conversion.conversion import Conversion, convert, plan, report
from kgpc.conversion.distillation import Distiller, distill
from kgpc.conversion.warm import warm_start

__all__ = ["Conversion", "Distiller", "convert", "distill", "plan", "report", "warm_start"]
