"""Settings of Sphinx for the site of the collection. `build_site.py` lays out the sources and calls Sphinx."""

import sys
from pathlib import Path

from sphinx.errors import ExtensionError
from sphinx.util import inspect

import kgpc

sys.path.insert(0, str(Path(__file__).resolve().parent))  # where the extensions `formulas` and `lighter_pages` lie

project = "kgpc"
author = "kgpc contributors"
copyright = f"{author} (MIT licence)"
version = release = kgpc.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "formulas",
    "lighter_pages",
    "sphinx_copybutton",
]
default_role = "py:obj"  # a name in single backticks becomes a link where the site documents it
smartquotes = False  # would make one dash of the two before an option

# Notebooks are shown with their stored outputs; nothing is executed.
nb_execution_mode = "off"
nb_merge_streams = True
# The line in place of a folded cell that has no title of its own.
nb_code_prompt_show = nb_code_prompt_hide = "Code of the figure"
nb_ipywidgets_js = {}  # these scripts would come from elsewhere; a cell with a widget stores a figure beside it
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 4

add_module_names = False
autodoc_inherit_docstrings = False  # what Keras says about a method that is overridden stands in its documentation
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Input shape", "notes_style"), ("Output shape", "notes_style")]
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88

html_math_renderer = "mathml"
html_search_scorer = str(Path(__file__).with_name("search_scores.js"))
html_show_search_summary = False  # for each result a whole page would be fetched
html_theme = "furo"
html_title = "kgpc"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
copybutton_selector = "div.cell_input pre, div.highlight-python pre, div.highlight-none pre"


def offer_notebook(app, page, template, context, doctree):
    """Puts a link to the notebook itself below the title of its page."""
    folder, _, name = page.rpartition("/")
    if folder == "notebooks" and (Path(app.srcdir) / f"{page}.ipynb").is_file():
        link = f'<p class="notebook-file"><a href="{name}.ipynb" download>Notebook file ({name}.ipynb)</a></p>'
        context["body"] = context["body"].replace("</h1>", f"</h1>\n{link}", 1)


def sign_layers(app, what, name, obj, options, signature, return_annotation):
    """Shows the arguments of a Keras layer, whose `__new__` hides them from Sphinx."""
    if what == "class" and signature == "(*args, **kwargs)":
        return inspect.stringify_signature(inspect.signature(obj.__init__, bound_method=True)), return_annotation
    return None


def mark_examples(app, what, name, obj, options, lines):
    """Lets Sphinx see the code below "Example:" in a docstring, where it would see prose."""
    for index in range(len(lines) - 2, -1, -1):
        if lines[index].strip() == "Example:":
            first = next(filter(None, lines[index + 1 :]), "")
            if first.lstrip().startswith(">>>"):
                lines.insert(index + 1, "")
            elif first.startswith(" "):
                lines[index] += ":"  # what follows is a block of code


def refuse_files_from_outside(app, env):
    """Stops before a file that lies elsewhere than the sources is copied, to which a link or a picture leads."""
    sources = Path(app.srcdir).resolve()
    outside = [
        f"{', '.join(sorted(pages))}: {name}"
        for files in (env.images, env.dlfiles)
        for name, (pages, _) in files.items()
        if not (sources / name).resolve().is_relative_to(sources)
    ]
    if outside:
        raise ExtensionError(f"These files lie outside the sources and are not put onto the site: {'; '.join(outside)}")


def add_what_filters_tables(app, pagename, templatename, context, doctree):
    """Gives pages with a table that can be filtered what does it, and no other page."""
    if 'class="filterable"' in context.get("body", ""):
        app.add_js_file("filter_tables.js", loading_method="defer")
        app.add_css_file("filter_tables.css")


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", mark_examples, priority=1)  # before napoleon
    app.connect("autodoc-process-signature", sign_layers)
    app.connect("html-page-context", add_what_filters_tables)
    app.connect("html-page-context", offer_notebook)
    app.connect("env-check-consistency", refuse_files_from_outside)
