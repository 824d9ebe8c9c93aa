"""What the site leaves out of its pages, because no reader sees it."""

import lighter_pages


def test_marks_without_a_colour_are_left_out_of_code_alone():
    code = '<span class="n">x</span><span class="w"> </span><span class="o">=</span><span class="p">(</span>'
    page = f'<p><span class="n">text</span></p><div class="highlight"><pre><span></span>{code}</pre></div>'
    lighter = lighter_pages.lighten_code(page)
    bare = '<pre><span></span>x <span class="o">=</span>(</pre>'
    assert lighter == f'<p><span class="n">text</span></p><div class="highlight">{bare}</div>'
    assert lighter_pages.lighten_code(lighter) == lighter


def test_a_link_within_code_stays():
    code = '<div class="highlight"><pre><a href="x"><span class="n">x</span></a></pre></div>'
    assert lighter_pages.lighten_code(code) == '<div class="highlight"><pre><a href="x">x</a></pre></div>'
