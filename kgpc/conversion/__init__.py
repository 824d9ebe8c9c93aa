"""Any network of Keras -> its grouped twin: pointwise convolutions replaced by the sub-networks of a scheme.

`convert` makes the twin, or the report that says of every layer what becomes of it and why. `kgpc.convert` is the same
function. `plan` is for programs: it says which layers of the twin take the place of which layer of the original.
"""

from kgpc.conversion.conversion import Conversion, convert, plan

__all__ = ["Conversion", "convert", "plan"]
