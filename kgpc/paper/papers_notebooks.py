"""The authors' own notebooks: which published rows each belongs to, and what it takes to run it.

`kgpc.cai` carries the calls that they make; the documentation's page "Run the papers' notebooks" says how.
"""

import re

import pandas as pd

from kgpc.paper.tables import published

# Notebooks that need more than another first cell, by the end of their path.
CHANGES = {
    "JP24B01-Baseline_various_mixes.ipynb": "class weights",
    "two_path_inception.ipynb": "class weights",
    "Cropped-PlantDoc-LAB-Filter-Search-Table-5.ipynb": "indentation",
}
# Nobody has these notebooks under two names: the copies of the first repository count.
_COPIES_IN = "two-path-noise-lab-plant-disease"
_SHORT_NAMES = {"Tesla V100-SXM2": "V100", "A100-SXM4-40GB": "A100", "Tesla P100-PCIE": "P100"}
_SCHEMES = {"D6": "D6", "D6v3": "D6v3", "grouped-only": "Grouped"}


def authors_notebooks():
    """Returns the notebooks of the papers with the published rows that come from them.

    Returns:
        `pandas.DataFrame`, one row for each of the 43 notebooks at hand, in the order of the papers:

        - `repository`, `notebook`: where it is, on GitHub at joaopauloschuler/`repository`.
        - `label`: the authors' name of the experiment, as in the other tables.
        - `dataset`, `epochs`, `image_size`, `batch_size`: what it trains on, and how.
        - `networks`: the networks it trains, with schemes as they are written here.
        - `published_rows`: int, rows of `published("results")` and `published("two_branch_results")` that are its
          results; `unlisted_runs`: int, results in it that no table lists.
        - `hours`: float, duration of the logged epochs of the experiment on the machine of the authors, or NaN; `gpu`:
          that machine's, as far as the notebook shows it.
        - `gigabytes`: float, main memory that the arrays of images take. Images that are delivered from folders are
          read batch by batch; there it is what CIFAR itself takes while its folders are written.
        - `changes`: str, what has to be changed besides the first cell, or "".
        - `same_text_as`: str, an earlier notebook with the same text, or "".

    Example:
    >>> notebooks = authors_notebooks()
    >>> len(notebooks), notebooks["published_rows"].max()
    (43, 7)
    """
    recipes = published("recipes")
    recipes = recipes[(recipes["repo"] != _COPIES_IN) | (recipes["same_text_as"] == "")].reset_index(drop=True)
    curves = published("training_curves")
    hours = curves.groupby("label")["seconds_per_epoch"].sum() / 3600
    listed, listed_branches, unlisted = (published(name) for name in ("results", "two_branch_results", "unlisted_runs"))
    in_repository = (listed["repo"] + "/" + listed["raw_notebook"]).value_counts()
    in_a_table = listed_branches["table"] != ""
    branches = listed_branches.loc[in_a_table, "raw_notebook"].value_counts()
    others = pd.concat([listed_branches.loc[~in_a_table, "raw_notebook"], unlisted["raw_notebook"]]).value_counts()
    paths = recipes["repo"] + "/" + recipes["notebook"]
    schemes = {
        (row.label, row.ktype): f"{_SCHEMES[row.scheme]}({row.channels_per_group})"
        for table in (listed, unlisted)
        for row in table[table["scheme"].isin(_SCHEMES)].itertuples()
    }
    return pd.DataFrame(
        {
            "repository": recipes["repo"],
            "notebook": recipes["notebook"],
            "label": recipes["label"],
            "dataset": recipes["dataset"],
            "epochs": recipes["epochs"],
            "image_size": recipes["input_size"],
            "batch_size": recipes["batch_size"],
            "networks": [_networks(row, schemes) for row in recipes.itertuples()],
            "published_rows": [int(in_repository.get(path, 0) + branches.get(path, 0)) for path in paths],
            "unlisted_runs": [int(others.get(path, 0)) for path in paths],
            "hours": recipes["label"].map(hours),
            "gpu": recipes["gpu_printed"].str.partition(" / ")[0],
            "gigabytes": [_gigabytes(row) for row in recipes.itertuples()],
            "changes": recipes["notebook"].str.rpartition("/")[2].map(CHANGES).fillna(""),
            "same_text_as": recipes["same_text_as"],
        }
    )


def _networks(recipe, schemes):
    """The networks of a notebook, such as "EfficientNet-B0; kEffNet-B0 D6(16), D6(32)"."""
    if not re.fullmatch(r"[-\d ]+", recipe.ktypes_in_order):
        return ", ".join(filter(None, [recipe.models, recipe.ktypes_in_order]))
    models = recipe.models.split(" | ")
    baselines = [model for model in models if not model.startswith("k")]
    numbers = [int(number) for number in recipe.ktypes_in_order.split() if int(number) > 0]
    grouped = [model for model in models if model.startswith("k")]
    if grouped:
        grouped = [f"{grouped[0]} " + ", ".join(schemes[recipe.label, number] for number in numbers)]
    return "; ".join(baselines + grouped)


def _gigabytes(recipe):
    """Memory of the arrays of images: float32, or float16 where the notebook has that."""
    side = 32 if recipe.dataset.startswith("CIFAR") else int(recipe.input_size.partition("x")[0])
    validation = int(re.findall(r"\d+", str(recipe.validation_images))[-1])  # "504 (x4 by flips = 2016)"
    images = recipe.train_images + validation + recipe.test_images
    return images * side**2 * 3 * (2 if "float16" in recipe.colour_space_and_range else 4) / 1e9


def as_text(notebooks):
    """The table as it is shown.

    Args:
        notebooks: `pandas.DataFrame`, a result of `authors_notebooks` or rows of it.

    Returns:
        `pandas.DataFrame` of str.
    """

    def number(form):
        return lambda value: "" if pd.isna(value) else form.format(value)

    columns = {
        "run": ("label", str),
        "data set": ("dataset", str),
        "networks": ("networks", str),
        "rows": ("published_rows", str),
        "unlisted": ("unlisted_runs", str),
        "epochs": ("epochs", str),
        "pixels": ("image_size", str),
        "hours then": ("hours", number("{:.1f}")),
        "GPU then": ("gpu", str),
        "GB": ("gigabytes", number("{:.1f}")),
        "also change": ("changes", str),
        # Last, because the names are long and begin with the run; with its folder, since some lie in two.
        "notebook": ("notebook", lambda path: "/".join(path.split("/")[-2:])),
    }
    return pd.DataFrame({title: notebooks[name].map(text) for title, (name, text) in columns.items()})


def _narrower(text):
    """The table of `as_text` with fewer columns, so that a page shows all of them side by side."""

    def joined(parts, between):
        return between.join(part for part in parts if part)

    def row(cells):
        return {
            "run": cells["run"],
            "notebook": joined([cells["notebook"], cells["also change"] and f"**{cells['also change']}**"], ": "),
            "data set": cells["data set"],
            "networks": cells["networks"],
            "rows": joined([cells["rows"], cells["unlisted"] != "0" and f"{cells['unlisted']} unlisted"], ", "),
            "epochs, pixels": f"{cells['epochs']}, {cells['pixels'].replace('x', '×')}",
            "hours then": joined([cells["hours then"], _SHORT_NAMES.get(cells["GPU then"], cells["GPU then"])], ", "),
            "GB": cells["GB"],
        }

    return pd.DataFrame([row(cells) for cells in text.to_dict("records")])


def as_markdown(notebooks):
    """The table in Markdown, one for each repository, as the documentation has it.

    Args:
        notebooks: `pandas.DataFrame`, a result of `authors_notebooks`.

    Returns:
        str.
    """
    parts = []
    for repository, rows in notebooks.groupby("repository", sort=False):
        text = _narrower(as_text(rows))
        lines = [text.columns, ["---"] * len(text.columns), *text.itertuples(index=False)]
        table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
        address = f"github.com/joaopauloschuler/{repository}"
        parts.append(f"### {repository}\n\n[{address}](https://{address}):\n\n{table}")
    return "\n".join(parts)
