"""What of a stored notebook goes onto the site: an allow-list, because outputs are files that anybody may have written.

Pictures, drawings (`svg_content`), tables and text are shown. What a browser or the site's tools would execute, or hand
to a decoder of an unexpected format, is refused by name: the builder stops and says which notebook and which cell.

A figure that moves (`kgpc.figures`) is the one thing that runs. Its script never comes from a notebook: what is stored
names the figure and its parameters, of which the figure is made anew.
"""

import html
import html.parser
import re

import nbformat
import svg_content
from markdown_it import MarkdownIt
from stored_pictures import FORMATS, picture

FIGURE = "kgpc_figure"  # where the metadata of an output say which figure that moves it is
# In the order in which a page prefers them.
PICTURES = ("image/svg+xml", "image/jpeg", "image/png")
TYPES = (*PICTURES, "text/html", "text/plain")
ELEMENTS = {"b", "br", "caption", "div", "em", "i", "p", "progress", "span", "strong", "sub", "sup"} | {
    *("table", "tbody", "td", "tfoot", "th", "thead", "tr")
}
EMPTY_ELEMENTS = {"br"}
ATTRIBUTES = {"border", "class", "colspan", "max", "rowspan", "scope", "style", "title", "value"}
# What a table says of its own looks; a page has better colours, so the contents of this element are left out.
LEFT_OUT = "style"
# No parentheses: nothing is fetched or computed. No position: nothing lies over the page.
STYLE = re.compile(r"(?!.*\bposition\b)[\w\s.,:;#%-]*", re.IGNORECASE | re.DOTALL)


class _Rewriter(html.parser.HTMLParser):
    """Writes HTML anew from the elements and attributes that are allowed, and refuses all others.

    Every element that is begun is ended, and none else, so that what follows on the page stays where it is.
    """

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.written, self.open, self.left_out = [], [], 0

    def handle_starttag(self, tag, attributes):
        if tag == LEFT_OUT:
            self.left_out += 1
            return
        if tag not in ELEMENTS:
            raise ValueError(f"an output has the HTML element <{tag}>")
        text = ""
        for name, value in attributes:
            if name not in ATTRIBUTES or (name == "style" and not STYLE.fullmatch(value or "")):
                raise ValueError(f"an output has the HTML attribute {name}={value!r}")
            text += f' {name}="{html.escape(value or "")}"'
        self.written.append(f"<{tag}{text}>")
        if tag not in EMPTY_ELEMENTS:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag == LEFT_OUT:
            self.left_out = max(self.left_out - 1, 0)
        elif tag in self.open:
            while True:
                ended = self.open.pop()
                self.written.append(f"</{ended}>")
                if ended == tag:
                    break

    def close(self):
        super().close()
        while self.open:
            self.handle_endtag(self.open[-1])

    def handle_data(self, data):
        if not self.left_out:
            self.written.append(html.escape(data, quote=False))

    def handle_comment(self, data):
        raise ValueError("an output has an HTML comment")

    def handle_decl(self, decl):
        raise ValueError("an output has an HTML declaration")

    unknown_decl = handle_pi = handle_decl


def rewritten(text):
    """Returns HTML written anew: only elements of `ELEMENTS` with attributes of `ATTRIBUTES`.

    Raises:
        ValueError: if there is anything else, such as a script.
    """
    parser = _Rewriter()
    parser.feed(text)
    parser.close()
    return "".join(parser.written)


def _data(output):
    """The contents of an output by type, those of `TYPES` only."""
    data = {kind: output["data"][kind] for kind in TYPES if kind in output.get("data", {})}
    if not data:
        raise ValueError(f"an output has none of the types {', '.join(TYPES)}: {', '.join(output.get('data', {}))}")
    for kind, content in data.items():
        if not isinstance(content, str):
            raise ValueError(f"an output of type {kind} is no text")
    if "image/svg+xml" in data:
        data["image/svg+xml"] = svg_content.written(svg_content.parsed(data["image/svg+xml"]))
    for kind in FORMATS.keys() & data.keys():
        picture(data[kind], kind)
    if "text/html" in data:
        data["text/html"] = rewritten(data["text/html"])
    return data


def _about(output, kind):
    """What is said about a picture: its text for those who cannot see it, and its width on a page."""
    about = output.get("metadata", {}).get(kind, {})
    about = {"alt": str(about.get("alt", "")), "width": about.get("width")}
    if about["width"] is not None and (type(about["width"]) is not int or about["width"] < 1):
        raise ValueError(f"the width of a picture is {about['width']!r}")
    return {name: value for name, value in about.items() if value}


def _figure(output, stored):
    """An output with a figure that moves: its picture, its numbers, and what it is made of."""
    from kgpc import figures  # late: most notebooks can be read without it

    try:
        figure = figures.restored(stored)
    except (TypeError, ValueError) as error:
        raise ValueError(f"an output has a figure that is none of kgpc.figures: {error}") from None
    data = {"image/png": output["data"]["image/png"], "text/plain": figure.text}
    width = picture(data["image/png"]).width
    shown_width = output["metadata"].get("image/png", {}).get("width", width)
    if type(shown_width) is not int or not 0 < shown_width <= width:
        raise ValueError(f"the width of a picture is {shown_width!r}")
    metadata = {
        "image/png": {"alt": figure.alt, "width": shown_width},
        FIGURE: {"name": figure.name, "parameters": figure.parameters},
    }
    count = {"execution_count": output.get("execution_count")} if output["output_type"] == "execute_result" else {}
    return nbformat.v4.new_output(output["output_type"], data=data, metadata=metadata, **count)


def _output(output):
    """The output with nothing but what is shown."""
    kind = output.get("output_type")
    if kind in ("display_data", "execute_result") and FIGURE in output.get("metadata", {}):
        return _figure(output, output["metadata"][FIGURE])
    if kind == "stream":
        return nbformat.v4.new_output("stream", name=output["name"], text=output["text"])
    if kind == "error":
        return nbformat.v4.new_output(
            "error", ename=output["ename"], evalue=output["evalue"], traceback=output["traceback"]
        )
    if kind not in ("display_data", "execute_result"):
        raise ValueError(f"an output is of the kind {kind!r}")
    metadata = {name: about for name in PICTURES if (about := _about(output, name))}
    count = {"execution_count": output.get("execution_count")} if kind == "execute_result" else {}
    return nbformat.v4.new_output(kind, data=_data(output), metadata=metadata, **count)


def _cell(cell):
    """The cell with nothing but what is shown."""
    tags = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
    if cell.cell_type == "code":
        outputs = [_output(output) for output in cell.outputs]
        return nbformat.v4.new_code_cell(
            cell.source, outputs=outputs, execution_count=cell.execution_count, metadata=tags, id=cell.get("id", "cell")
        )
    if cell.cell_type != "markdown":
        raise ValueError(f"it is of the kind {cell.cell_type!r}")
    for token in MarkdownIt().parse(cell.source):
        if any(part.type in ("html_block", "html_inline") for part in [token, *(token.children or ())]):
            raise ValueError("its text has raw HTML")
    return nbformat.v4.new_markdown_cell(cell.source, metadata=tags, id=cell.get("id", "cell"))


def shown(notebook, name):
    """Returns a copy of a notebook with nothing in it but what its page shows.

    Metadata that would change how a page is made, such as a request to execute the notebook, stay behind.

    Args:
        notebook: nbformat NotebookNode.
        name: str, what the notebook is called in messages.

    Returns:
        nbformat NotebookNode.

    Raises:
        ValueError: naming the notebook and the number of the cell, from 1, with something that is not shown.
    """
    cells = []
    for number, cell in enumerate(notebook.cells, start=1):
        try:
            cells.append(_cell(cell))
        except (ValueError, KeyError) as error:
            raise ValueError(f"{name}, cell {number}: {error}. It is not put onto the site.") from error
    kept = {key: notebook.metadata[key] for key in ("kernelspec", "language_info") if key in notebook.metadata}
    copy = nbformat.v4.new_notebook(cells=cells, metadata=kept)
    copy.nbformat_minor = notebook.nbformat_minor
    return copy
