"""Tables that can be filtered: with the mouse and with keys, and plain tables where scripts are off."""

import pytest
from markdown_it import MarkdownIt

from kgpc.paper.counts_page import _markdown


@pytest.fixture(scope="module")
def document(root):
    """The page of published rows as HTML, with what brings its table to life."""
    text = (root / "docs" / "published-rows.md").read_text(encoding="utf-8")
    content = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    static = root / "docs" / "_static"
    style, script = ((static / f"filter_tables.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return f"<!doctype html><style>{style}</style><body>{content}</body><script>{script}</script>"


@pytest.fixture
def page(chromium, document):
    context = chromium.new_context()
    page = context.new_page()
    page.trouble = []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.set_content(document)
    yield page
    assert page.trouble == []
    context.close()


def shown(page):
    """The texts of the rows that are shown."""
    return page.eval_on_selector_all(
        ".filterable tbody tr:not([hidden])", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def test_typing_leaves_the_rows_that_have_all_words(page):
    everything = shown(page)
    page.keyboard.press("Tab")  # past the links of the text
    page.get_by_label("rows with").focus()
    page.keyboard.type("kmobilenet D6(16) CIFAR-10")
    some = shown(page)
    assert 0 < len(some) < len(everything)
    assert all("kMobileNet" in row[0] and row[1] == "D6(16)" and row[2].startswith("CIFAR-10") for row in some)
    assert page.get_by_role("status").text_content() == f"{len(some)} of {len(everything)} rows"
    page.get_by_role("button", name="Show all").click()
    assert shown(page) == everything and page.get_by_label("rows with").input_value() == ""


def test_menus_are_made_of_words_and_work_with_keys(page):
    menus = page.locator(".filter-controls select")
    assert menus.count() == 4  # data set, scheme, pixels, and the papers: not of runs or counts
    menu = page.get_by_label("data set")
    menu.focus()
    page.keyboard.press("M")  # as everywhere, the first choice with this letter
    assert menu.input_value() == "Malaria"
    assert {row[2] for row in shown(page)} == {"Malaria"}


def test_headings_sort_by_numbers_and_say_so(page):
    heading = page.get_by_role("button", name="parameters")
    heading.focus()
    page.keyboard.press("Enter")
    numbers = [int(row[4].partition(" ")[0].replace(",", "")) for row in shown(page)]
    assert numbers == sorted(numbers) and len(set(numbers)) > 30
    cell = page.locator("th", has=heading)
    assert cell.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert shown(page)[0][4].startswith(f"{numbers[-1]:,}") and cell.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="data set").click()
    assert cell.get_attribute("aria-sort") is None
    names = [row[2] for row in shown(page)]
    assert names == sorted(names, key=str.casefold) and names[0] == "CIFAR-10"


def test_a_number_that_is_missing_comes_last(chromium, document):
    import pandas as pd

    table = (
        MarkdownIt()
        .enable("table")
        .render(_markdown(pd.DataFrame({"n": ["12", "", "3", "1,000"], "x": list("abcd")}), ("n",)))
    )
    script = document.partition("<script>")[2].partition("</script>")[0]
    page = chromium.new_page()
    page.set_content(f'<div class="filterable">{table}</div><script>{script}</script>')
    for expected in (["3", "12", "1,000", ""], ["1,000", "12", "3", ""]):
        page.get_by_role("button", name="n").first.click()
        assert [row[0] for row in shown(page)] == expected
    page.close()


def test_without_scripts_it_is_a_plain_table(chromium, document):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(document)
    assert page.locator(".filterable tbody tr").count() > 70
    assert page.locator(".filterable tbody tr").last.is_visible()
    assert page.locator(".filterable input, .filterable button").count() == 0
    context.close()


def test_the_script_asks_for_nothing(root):
    script = (root / "docs" / "_static" / "filter_tables.js").read_text(encoding="utf-8")
    assert len(script) < 6_000
    for word in ("fetch", "XMLHttpRequest", "innerHTML", "eval", "http", "import", "localStorage", "cookie"):
        assert word not in script, word
