"""Pictures of the site that a page fetches when it needs them, and the figures that move."""

import base64
import copy
import hashlib
import html
import io

import drawing_themes
import notebook_content
import pandas as pd
import stored_pictures
import svg_content
from PIL import Image

from kgpc import figures, paper
from kgpc.figures.moving import script
from kgpc.paper import experiment, experiment_page, family_results, protocol
from kgpc.plots.encoding import encoded_png

FOLDER = "_figures"  # of the site
ENDINGS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
# Of a photograph: letters and the cells of a map are as clear as in the stored JPEG, at half its size.
_QUALITY = 75
# Channels that the classifier of each family reads; a test counts them in the networks.
FEATURES = {"MobileNet": 1024, "EfficientNet-B0": 1280, "MobileNet V3 Large": 1280}


def _for_the_web(content):
    """A picture (the bytes of a PNG or a JPEG) as WebP, a PNG without loss, where that is smaller.

    Returns:
        tuple of bytes, width, height, and the ending of its file's name.
    """
    with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
        width, height, kind = *picture.size, picture.format
        smaller = io.BytesIO()
        picture.save(
            smaller, format="webp", lossless=kind == "PNG", quality=100 if kind == "PNG" else _QUALITY, method=6
        )
    if len(smaller.getvalue()) < len(content):
        content, kind = smaller.getvalue(), "WEBP"
    return content, width, height, ENDINGS[kind]


def _image(address, width, height, alt, name=""):
    """An HTML image that is fetched when it comes into view; `name` is its class."""
    classes = f' class="{name}"' if name else ""
    size = f'width="{width}" height="{height}"'
    return f'<img{classes} src="{address}" {size} alt="{html.escape(alt)}" loading="lazy">'


class Pictures:
    """Pictures, drawings, and the scripts of the figures that move, as files beside the pages.

    Args:
        folder: Path of a new folder, which becomes `FOLDER` of the site.
    """

    def __init__(self, folder):
        folder.mkdir()
        self.folder = folder

    def _add(self, content, ending):
        """Writes a file (bytes); returns its name."""
        name = f"{hashlib.sha256(content).hexdigest()[:20]}.{ending}"
        (self.folder / name).write_bytes(content)
        return name

    def image(self, content, alt, up="", width=None):
        """Returns an HTML image that is fetched when it comes into view.

        Args:
            content: bytes, a PNG or a JPEG.
            alt: str.
            up: str, the way from the page to the landing page, such as "../".
            width: int or None, the width on the page; by default that of the picture.
        """
        content, wide, high, ending = _for_the_web(content)
        width = width or wide
        return _image(f"{up}{FOLDER}/{self._add(content, ending)}", width, round(high * width / wide), alt)

    def drawing(self, text, alt, up=""):
        """Returns a drawing as two HTML images, for light and for dark pages, of which the theme shows one.

        Args:
            text: str, an SVG.
            alt: str.
            up: str, as for `image`.

        Raises:
            ValueError: if it is anything else than `svg_content.parsed` allows.
        """
        root = svg_content.parsed(text)
        for image in root.iter("image"):
            content, *_, ending = _for_the_web(stored_pictures.within_a_drawing(image.get("href")))
            kind = ending.replace("jpg", "jpeg")
            image.set("href", f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}")
        svg_content.share_pictures(root)
        size = [int(root.get(side)) for side in ("width", "height")]
        themes = {"only-light": drawing_themes.light, "only-dark": drawing_themes.dark}
        written = {
            name: svg_content.written(svg_content.lighter(theme(root))).encode("utf-8")
            for name, theme in themes.items()
        }
        images = (
            _image(f"{up}{FOLDER}/{self._add(content, 'svg')}", *size, alt, name) for name, content in written.items()
        )
        return "\n".join(images)

    def moving(self, figure, content, width, up=""):
        """Returns the HTML of a figure that moves, with a reference to the script.

        Args:
            figure: `kgpc.figures.MovingFigure`.
            content: bytes, its static picture as PNG.
            width: int, that of the picture on the page.
            up: str, the way from the page to the landing page, such as "../".
        """
        content, wide, high, ending = _for_the_web(content)
        element = figure.element(f"{up}{FOLDER}/{self._add(content, ending)}", width, round(high * width / wide))
        (self.folder / f"{figure.name}.js").write_text(script((figure.name,)), encoding="utf-8")
        return f'{element}\n<script defer src="{up}{FOLDER}/{figure.name}.js"></script>'

    def of(self, figure):
        """Returns a figure that moves as HTML for the landing page."""
        content, width = encoded_png(figure.picture(), figure.alt)
        return self.moving(figure, base64.b64decode(content), width)

    def _placed(self, output):
        """The HTML of an output with a picture, or None for other outputs."""
        data, metadata = output.get("data", {}), output.get("metadata", {})
        stored = metadata.get(notebook_content.FIGURE)
        if "image/svg+xml" in data:
            about = metadata.get("image/svg+xml", {})
            return (
                f'<div class="figure drawing">{self.drawing(data["image/svg+xml"], about.get("alt", ""), "../")}</div>'
            )
        kind = next((kind for kind in stored_pictures.FORMATS if kind in data), None)
        if kind is None:
            return None
        content, about = base64.b64decode(data[kind]), metadata.get(kind, {})
        if stored:
            return self.moving(figures.restored(stored), content, about["width"], up="../")
        return f'<div class="figure">{self.image(content, about.get("alt", ""), "../", about.get("width"))}</div>'

    def placed(self, notebook):
        """Returns a copy of a notebook in which figures are what the site shows of them: files beside the pages.

        Args:
            notebook: nbformat NotebookNode, from `notebook_content.shown`.
        """
        notebook = copy.deepcopy(notebook)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                element = self._placed(output)
                if element:
                    output.data, output.metadata = {"text/html": element}, {}
        return notebook


def published_prices():
    """Returns the published results of three families of networks on CIFAR-10 as a figure that moves."""
    rows = paper.published().query("paper == 'grouped-pointwise-2022' and dataset == 'CIFAR-10' and image_size == 224")
    families = []
    for name, features in FEATURES.items():
        family = rows[rows["model"].isin([name, f"k{name}", name.replace("Efficient", "kEff")])]
        columns = {"network": name, "features": features, "accuracy_percent": family["test_accuracy_percent"]}
        families.append(family[["channels_per_group", "parameters"]].assign(**columns))
    return figures.price(pd.concat(families), "CIFAR-10")


def published_results(model):
    """The published results of a network and of its grouped ones on CIFAR-10, as `figures.accuracies` takes rows."""
    rows = paper.published().query("paper == 'grouped-pointwise-2022' and dataset == 'CIFAR-10' and image_size == 224")
    rows = rows[rows["model"].isin([model, f"k{model}"])]
    sizes = rows["channels_per_group"]
    names = [f"k{model} {size}ch" if pd.notna(size) else model for size in sizes]
    return pd.DataFrame(
        {
            "network": names,
            "run": "one run",
            "published": True,
            "parameters": rows["parameters"].astype(int).to_numpy(),
            "flops": rows["flops"].astype(int).to_numpy(),
            "accuracy_percent": rows["test_accuracy_percent"].to_numpy(),
        }
    )


def every_run(table):
    """Returns every run of the MobileNet family after 24 epochs beside the published results, as a figure that moves.

    Args:
        table: `pandas.DataFrame` as `kgpc.paper.experiment.stored()` returns it, with at least one such run.
    """
    family = "MobileNet"
    runs = family_results.tested_runs(family, table)
    own = pd.DataFrame(
        {
            "network": [protocol.arm(family, key).title for key in runs["variant"]],
            "run": [f"seed {seed}" for seed in runs["seed"]],
            "published": False,
            "parameters": runs["parameters"].astype(int).to_numpy(),
            "flops": runs["flops"].astype(int).to_numpy(),
            "accuracy_percent": 100 * runs["test_accuracy"].astype(float).to_numpy(),
        }
    )
    return figures.accuracies(
        pd.concat([own, published_results(family)], ignore_index=True),
        published="CIFAR-10 at 224x224 pixels, 50 epochs, one run each",
        own="CIFAR-10 (JPEG copies) at 33x33 pixels, 24 epochs, a dot for each seed",
    )


def with_every_run(page, pictures, table=None):
    """Returns the text of the page "Does it hold?" with the figure of all runs where it says so.

    Args:
        page: str, Markdown.
        pictures: `Pictures`.
        table: `pandas.DataFrame` as `kgpc.paper.experiment.stored()` returns it; None takes that.
    """
    if experiment_page.FIGURE not in page:
        return page
    figure = every_run(experiment.stored() if table is None else table)
    content, width = encoded_png(figure.picture(), figure.alt)
    element = pictures.moving(figure, base64.b64decode(content), width, up="../")
    return page.replace(experiment_page.FIGURE, element)
