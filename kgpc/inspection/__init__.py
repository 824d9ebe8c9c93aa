"""What networks are made of, as tables for the pages of the families: places, maps, plans, connections.

The files: `places` (where in a network a layer is, and what each place holds), `maps` (the feature maps from the image
to the classes), `plans` (what a scheme makes of 1x1 convolutions), `connections` (which channels reach which).
"""

from kgpc.inspection.connections import connections
from kgpc.inspection.maps import plates
from kgpc.inspection.places import FAMILIES, place_looks, sums_by_place
from kgpc.inspection.plans import plan_table, pointwise_plans

__all__ = [
    "FAMILIES",
    "connections",
    "place_looks",
    "plan_table",
    "plates",
    "pointwise_plans",
    "sums_by_place",
]
