"""Formulas as MathML, which browsers set themselves: no script, no fonts to fetch, and screen readers know it."""

import re

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.errors import ExtensionError

# What the converter does not know, and what it knows instead.
_OTHER_WORDS = (
    (re.compile(r"\\dots(?![a-zA-Z])"), r"\\ldots"),
    (re.compile(r"\\([bB]igg?)(?=\s*(?:[(\[|]|\\[{|]|\\langle))"), r"\\\1l"),
    (re.compile(r"\\([bB]igg?)(?=\s*(?:[)\]]|\\}|\\rangle))"), r"\\\1r"),
)


def mathml(formula, block=False):
    """Returns a formula as an element of MathML in one line.

    Args:
        formula: str, LaTeX.
        block: bool, whether it stands by itself, and not within a line.

    Raises:
        ValueError: if it has a command that the converter does not know, or a brace without its partner.
    """
    braces = re.sub(r"\\[{}]", "", formula)
    if braces.count("{") != braces.count("}"):
        raise ValueError(f"The formula {formula!r} cannot be set: a brace has no partner.")
    said = formula
    for pattern, word in _OTHER_WORDS:
        formula = pattern.sub(word, formula)
    try:
        written = latex2mathml.tex2mathml(formula, as_block=block)
    except (AttributeError, IndexError, SyntaxError, ValueError) as error:  # by where it notices what is wrong
        raise ValueError(f"The formula {said!r} cannot be set: {error}") from None
    return re.sub(r">\s+<", "><", written).strip()


def _element(node, block):
    try:
        return mathml(node.astext(), block)
    except ValueError as error:
        raise ExtensionError(f"{node.source}: {error}") from None


def _inline(writer, node):
    writer.body.append(f'<span class="math">{_element(node, block=False)}</span>')
    raise nodes.SkipNode


def _block(writer, node):
    writer.body.append(f'<div class="math">{_element(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
