"""The numbers the authors published, as pandas tables, and ours beside them.

`published()` gives the result tables of the two papers on grouped pointwise convolutions, other names give their
errata, training curves, recipes, released weights and the light-chroma papers.

`model_of(row)` builds the model of a published row; `compare_counts()` holds its parameters and flops against ours.
"""

from kgpc.paper.counts import as_text, compare_counts, counts_page, summary
from kgpc.paper.models import arguments_of, model_of
from kgpc.paper.tables import published

__all__ = [
    "arguments_of",
    "as_text",
    "compare_counts",
    "counts_page",
    "model_of",
    "published",
    "summary",
]
