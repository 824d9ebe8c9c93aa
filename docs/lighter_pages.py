"""An extension of Sphinx that takes from the site what its readers load and never see."""

import json
import re
from pathlib import Path

# Names, punctuation and spaces have the colour of the text around them in both of the site's styles of code. Marking
# each of them is half of a page of code.
_PLAIN = re.compile(r'<span class="(?:n|p|w)">([^<]*)</span>')
_CODE = re.compile(r'<div class="highlight">.*?</pre>', flags=re.DOTALL)
# MyST-NB's style sheet has a rule for each of 256 colours in front of each other that a terminal can show.
_TERMINAL = re.compile(r"div\.highlight \.-Color\[[^{}]*\{[^{}]*\}\s*")
_COMMENT = re.compile(r"/\*.*?\*/\s*", flags=re.DOTALL)


def lighten_code(body):
    """Returns the HTML of a page without the marks of what has no colour of its own in its code.

    Args:
        body: str, HTML.
    """
    return _CODE.sub(lambda code: _PLAIN.sub(r"\1", code[0]), body)


def _lighten_page(app, pagename, templatename, context, doctree):
    if "body" in context:
        context["body"] = lighten_code(context["body"])


def _lighten_style_sheet(folder):
    """Takes the colours of terminals out of MyST-NB's style sheet: outputs on the site are plain text."""
    for path in (folder / "_static").glob("mystnb.*.css"):
        text = path.read_text(encoding="utf-8")
        path.write_text(_COMMENT.sub("", _TERMINAL.sub("", text)), encoding="utf-8")


def _lighten_search(folder):
    """Takes the entries of the index out of what a search loads, a quarter of it: they repeat the names of objects."""
    path = folder / "searchindex.js"
    if path.is_file():
        before, brace, index = path.read_text(encoding="utf-8").partition("{")
        index = json.loads(brace + index.rstrip().removesuffix(")")) | {"indexentries": {}}
        text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
        path.write_text(f"{before}{text})", encoding="utf-8")


def _lighten_files(app, exception):
    if exception is None:
        _lighten_style_sheet(Path(app.outdir))
        _lighten_search(Path(app.outdir))


def setup(app):
    """Called by Sphinx."""
    app.connect("html-page-context", _lighten_page)
    app.connect("build-finished", _lighten_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
