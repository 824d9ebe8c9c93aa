"""The glossary: links from notebooks and pages lead to a heading, and every heading explains and leads on."""

import re

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin

import kgpc

LINK = re.compile(r"\((?:\.\./docs/|docs/)?glossary\.md(?:#([^)\s]*))?\)")
AGREED = (  # what others link to
    "relu6 inverted-residual bottleneck fused affine blob-id depthwise-convolution pointwise-convolution "
    "batch-normalization swish squeeze-and-excite logit drop-connect multiply-adds paper-flops receptive-field "
    "one-cycle-rate label-smoothing folding quantization"
).split()


@pytest.fixture(scope="module")
def text(root):
    return (root / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def anchors(text):
    """The names that MyST gives to the headings, which are those of GitHub."""
    parser = MarkdownIt().use(anchors_plugin, max_level=4)
    return [token.attrs["id"] for token in parser.parse(text) if token.type == "heading_open"]


def linked(root):
    """Pairs of a file and the heading of the glossary that a link in it leads to; notebooks by their scripts."""
    paths = [*(root / "notebooks").glob("*.py"), *(root / "docs").glob("*.md"), *root.glob("*.md")]
    # A link in a notebook may be broken at the end of a line.
    texts = {path: re.sub(r"\n# ", " ", path.read_text(encoding="utf-8")) for path in sorted(paths)}
    return [(path.name, match[1]) for path, text in texts.items() for match in LINK.finditer(text)]


def test_links_to_the_glossary_lead_to_a_heading(root, anchors):
    assert [(name, anchor) for name, anchor in linked(root) if anchor and anchor not in anchors] == []


def test_a_link_to_a_heading_that_is_not_there_would_be_found():
    text = "[a](../docs/glossary.md#relu6), [b](glossary.md#no), [c](x.md#d), [d](glossary.md)"
    assert [match[1] for match in LINK.finditer(text)] == ["relu6", "no", None]


def test_the_agreed_terms_are_there_and_no_heading_twice(anchors):
    assert set(AGREED) <= set(anchors)
    assert len(anchors) == len(set(anchors))


def test_every_term_is_explained_in_a_few_sentences_and_leads_on(text, root):
    terms = re.split(r"^### (.+)\n", re.sub(r"^## .*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    for term, explanation in zip(terms[::2], terms[1::2], strict=True):
        assert 15 <= len(explanation.split()) <= 90, term
        links = re.findall(r"\]\(([^)#]+\.(?:ipynb|md))\)", explanation.replace("\n", " "))
        assert links, term
        for link in links:
            assert (root / "docs" / link).is_file(), (term, link)


def test_the_numbers_of_the_glossary_are_computed(text):
    plan = kgpc.D6(16).plan(512, 512)
    assert f"D6(16) has\n{plan.weights:,} weights where the ordinary convolution has {512 * 512:,}." in text
