"""The glossary: links from notebooks and pages lead to a heading, and every heading explains and leads on."""

import re

import keras
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


def test_the_words_are_listed_by_the_alphabet(text, anchors):
    terms = re.findall(r"^### (.+)$", text, flags=re.MULTILINE)
    listed = re.findall(r"\[([^]]+)\]\(#([^)]+)\)", text[: text.index("\n## ")])
    assert [term for term, _ in listed] == sorted(terms, key=str.lower)
    assert [anchor for _, anchor in listed if anchor not in anchors] == []


def test_every_term_is_explained_in_a_few_sentences_and_leads_on(text, root):
    terms = re.split(r"^### (.+)\n", re.sub(r"^## .*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    for term, explanation in zip(terms[::2], terms[1::2], strict=True):
        sentences = re.sub(r"^\|.*\n", "", explanation, flags=re.MULTILINE)
        assert 15 <= len(sentences.split()) <= 90, term
        links = re.findall(r"\]\(([^)#]+\.(?:ipynb|md))\)", explanation.replace("\n", " "))
        assert links, term
        for link in links:
            assert (root / "docs" / link).is_file(), (term, link)


def test_the_numbers_of_the_glossary_are_computed(text):
    plan = kgpc.D6(16).plan(512, 512)
    assert f"D6(16) has\n{plan.weights:,} weights where the ordinary convolution has {512 * 512:,}." in text


WORDS = {"hard_sigmoid": "hard sigmoid", "hard_silu": "hard swish", "relu": "ReLU", "silu": "swish"}
NETWORKS = {
    "MobileNet": ("kMobileNet", "kMobileNet", 224),
    "MobileNet V3 Large": ("kMobileNet V3 Large", "kMobileNetV3Large", 224),
    "EfficientNet-B0": ("kEffNet-B0", "kEfficientNetB0", 224),
    "DenseNet-BC L100": ("kDenseNet-BC L100", "kDenseNetBC", 32),
    "Inception V3": ("kInception V3", "kInceptionV3", 224),
}
PLACES = ("stem and larger kernels", "depthwise", "1×1, K and L", "squeeze", "excite")
CLASSIFIERS = {"conv_preds", "Logits", "probs", "k_probs", "softmax", "predictions"}
SQUEEZE = re.compile(r"se_reduce|squeeze_excite_Conv(?!_1)")
EXCITE = re.compile(r"se_expand|squeeze_excite_Conv_1")


def activation_behind(layer):
    """The activation behind a convolution, within it or with nothing but batch normalization between."""
    own = getattr(layer, "activation", keras.activations.linear)
    if own is not keras.activations.linear:
        return WORDS.get(own.__name__, own.__name__)
    readers = [node.operation for node in layer._outbound_nodes]
    for reader in readers:
        if isinstance(reader, keras.layers.ReLU):
            return {6.0: "ReLU6", None: "ReLU"}[reader.max_value]
        if getattr(reader, "activation", None) is not None and not hasattr(reader, "kernel"):
            return WORDS.get(reader.activation.__name__, reader.activation.__name__)
    normalized = [reader for reader in readers if "BatchNormalization" in type(reader).__name__]
    return activation_behind(normalized[0]) if normalized else "none"


def place_of(layer):
    if SQUEEZE.search(layer.name) or EXCITE.search(layer.name):
        return "squeeze" if SQUEEZE.search(layer.name) else "excite"
    if "Depthwise" in type(layer).__name__:
        return "depthwise"
    return "1×1, K and L" if tuple(getattr(layer, "kernel_size", (1, 1))) == (1, 1) else "stem and larger kernels"


@pytest.mark.parametrize("network", NETWORKS)
def test_the_table_of_activations_is_that_of_the_networks(text, network):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert rows[0] == ["behind", *PLACES]
    said = {name: dict(zip(PLACES, cells, strict=True)) for name, *cells in rows[2:]}
    grouped, constructor, size = NETWORKS[network]
    for name, scheme in {network: None, grouped: kgpc.D6(16)}.items():
        with keras.StatelessScope():
            model = getattr(kgpc.applications, constructor)(input_shape=(size, size, 3), classes=10, scheme=scheme)
        found = {place: set() for place in PLACES}
        for layer in model.layers:
            if hasattr(layer, "kernel") and layer.name not in CLASSIFIERS:
                found[place_of(layer)].add(activation_behind(layer))
        assert found == {place: set(filter(None, said[name][place].split(", "))) for place in PLACES}, name
