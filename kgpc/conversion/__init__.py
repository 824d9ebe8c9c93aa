"""Any network of Keras -> its grouped twin: pointwise convolutions replaced by the sub-networks of a scheme.

`convert` makes the twin, `report` says what it would do and why some layers stay. `kgpc.convert` is `convert`.
"""

from kgpc.conversion.conversion import Conversion, convert, plan, report

__all__ = ["Conversion", "convert", "plan", "report"]
