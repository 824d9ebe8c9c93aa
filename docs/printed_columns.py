"""An extension of Sphinx that keeps the columns of printed tables together where a page is narrow.

What a notebook prints is wrapped on the site, so that a sentence can be read on a phone. Numbers below each other would
no longer stand below each other; an output with columns is marked, and is moved sideways instead.
"""

import html
import re

_OUTPUT = re.compile(r'(<div class="output [^"]*"><div class="highlight"><pre)(>(.*?)</pre>)', flags=re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_COLUMNS = re.compile(r"\S {2,}\S")


def has_columns(text):
    """Returns whether at least two lines of a text have words with two or more spaces between them.

    Args:
        text: str, lines as they were printed.
    """
    return sum(bool(_COLUMNS.search(line)) for line in text.splitlines()) >= 2


def mark_columns(body):
    """Returns the HTML of a page in which printed outputs with columns have the class "columns".

    Args:
        body: str, HTML.
    """

    def marked(output):
        text = html.unescape(_TAG.sub("", output[3]))
        return output[1] + (' class="columns"' if has_columns(text) else "") + output[2]

    return _OUTPUT.sub(marked, body)


def _mark_page(app, pagename, templatename, context, doctree):
    if "body" in context:
        context["body"] = mark_columns(context["body"])


def setup(app):
    """Called by Sphinx."""
    app.connect("html-page-context", _mark_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
