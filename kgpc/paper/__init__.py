"""The numbers the authors published, as pandas tables, and ours beside them.

`published()` gives the result tables of the two papers on grouped pointwise convolutions, other names give their
errata, training curves, recipes, released weights and the light-chroma papers.

`family_rows(family)` has what was published about a family, `show_experiment(family, ...)` what our own experiment has.
`model_of(row)` builds the model of a published row; `compare_counts()` holds its parameters and flops against ours.
`rerun(...)` trains rows again, `compare(...)` holds the results against the published ones, `compare_variants(...)`
against each other; `reruns(name)` are results that come with kgpc.
"""

from kgpc.paper import experiment, family_results, protocol, released_accuracy
from kgpc.paper.counts import as_text, compare_counts, summary
from kgpc.paper.counts_page import counts_page
from kgpc.paper.family_results import show_experiment
from kgpc.paper.family_rows import family_rows
from kgpc.paper.footnotes import footnotes
from kgpc.paper.models import arguments_of, model_of
from kgpc.paper.papers_notebooks import authors_notebooks
from kgpc.paper.rerun_results import compare, compare_variants, reruns, results
from kgpc.paper.rerunning import rerun
from kgpc.paper.run_table import ResultsWarning
from kgpc.paper.selection import Run, listing, runs
from kgpc.paper.tables import published

__all__ = [
    "ResultsWarning",
    "Run",
    "arguments_of",
    "authors_notebooks",
    "as_text",
    "compare",
    "compare_counts",
    "compare_variants",
    "counts_page",
    "experiment",
    "family_results",
    "family_rows",
    "footnotes",
    "listing",
    "model_of",
    "protocol",
    "published",
    "released_accuracy",
    "rerun",
    "reruns",
    "results",
    "runs",
    "show_experiment",
    "summary",
]
