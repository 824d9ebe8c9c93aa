"""Printed tables of the site's notebooks keep their columns on a phone; sentences are wrapped."""

import printed_columns
import pytest

TABLE = "block_conv   GroupedPointwiseConv2D    4,096\nblock_bn     BatchNormalization          512\n"


def output(text, mark=""):
    kind = "output stream highlight-myst-ansi notranslate"
    return f'<div class="{kind}"><div class="highlight"><pre{mark}><span></span>{text}</pre></div></div>'


def test_an_output_with_columns_is_marked():
    assert printed_columns.mark_columns(output(TABLE)) == output(TABLE, ' class="columns"')
    both = output("a sentence") + output(TABLE)
    assert printed_columns.mark_columns(both) == output("a sentence") + output(TABLE, ' class="columns"')


@pytest.mark.parametrize(
    "text",
    [
        "one layer: an output channel sees 4 channels\ntwo layers: an output channel sees 4 channels",
        "MobileNet:\n    5 for biases\n    25 for activations",
        "images: (32, 32, 3)  classes: 6",
        "a  b",
        "&lt;  &gt;",
        "",
    ],
)
def test_sentences_lists_and_a_single_line_are_not(text):
    assert printed_columns.mark_columns(output(text)) == output(text)


def test_signs_that_html_writes_otherwise_count_as_one():
    assert printed_columns.mark_columns(output("&lt;  &gt;\n&amp;  1")).count('class="columns"') == 1


def test_code_is_not_touched():
    code = f'<div class="highlight-ipython3 notranslate"><div class="highlight"><pre>{TABLE}</pre></div></div>'
    assert printed_columns.mark_columns(code) == code
