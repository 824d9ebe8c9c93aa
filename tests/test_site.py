"""The web site: built once, its files examined, then every page opened in a real browser."""

import ast
import functools
import html.parser
import http.server
import re
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import build_site
import formulas
import nbformat
import notebook_content
import page_weights
import pytest
import reference

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
EVERY_NOTEBOOK = pytest.mark.parametrize("name", NOTEBOOKS)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as the command builds it: a warning of Sphinx is an error."""
    folder = tmp_path_factory.mktemp("build") / "site"
    command = [sys.executable, str(ROOT / "docs" / "build_site.py"), str(folder)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return folder


class Page(html.parser.HTMLParser):
    """What a page refers to.

    Attributes:
        ids: set of str, names that a link can lead to.
        links: list of str, targets of links.
        loaded: list of str, what the browser fetches: pictures, scripts, style sheets.
        images: list of dict, attributes of the pictures.
        folded: int, number of parts that a reader opens.
        text: str.
    """

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded, self.images, self.folded, self.text = set(), [], [], [], 0, ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if tag in ("img", "script", "iframe") and attributes.get("src"):
            self.loaded.append(attributes["src"])
        if tag == "link" and attributes.get("rel") in ("stylesheet", "icon"):
            self.loaded.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes)
        self.folded += tag == "details"

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def pages(site):
    """All pages by their path below the site."""
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


THEMES = ("only-dark", "only-light")  # classes of the two pictures of a drawing


def notebook_of(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


# Files


def test_every_page_is_there_and_can_be_found_from_the_landing_page(pages):
    expected = {"index.html", "CHANGELOG.html", "CONTRIBUTING.html", "data/README.html", "reference/index.html"}
    expected |= {f"notebooks/{name}.html" for name in NOTEBOOKS}
    expected |= {f"docs/{path.stem}.html" for path in (ROOT / "docs").glob("*.md") if path.stem != "index"}
    expected |= {f"reference/{name}.html" for name in reference.modules() if name != "kgpc"}
    assert expected <= set(pages)
    found = {urllib.parse.urlsplit(link).path for link in pages["index.html"].links}
    assert expected - {"index.html"} <= found


def test_links_lead_somewhere(site, pages):
    for name, page in pages.items():
        for link in page.links:
            target = urllib.parse.urlsplit(link)
            if target.scheme:
                assert target.scheme in ("http", "https", "mailto"), f"{name}: {link}"
                continue
            path = site / name if not target.path else (site / name).parent / urllib.parse.unquote(target.path)
            assert path.is_file(), f"{name}: {link}"
            if target.fragment and path.suffix == ".html":
                ids = pages[path.resolve().relative_to(site.resolve()).as_posix()].ids
                assert urllib.parse.unquote(target.fragment) in ids, f"{name}: {link}"


def test_nothing_is_fetched_from_elsewhere(site, pages):
    for name, page in pages.items():
        for source in page.loaded:
            if source.startswith("data:image/"):
                continue
            target = urllib.parse.urlsplit(source)
            assert not target.scheme and not target.netloc, f"{name}: {source}"
            assert ((site / name).parent / urllib.parse.unquote(target.path)).is_file(), f"{name}: {source}"
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path


@EVERY_NOTEBOOK
def test_a_page_shows_every_figure_with_its_text(pages, name):
    figures = [
        (output.metadata[kinds[0]]["alt"], "image/svg+xml" in kinds)
        for cell in notebook_of(name).cells
        for output in cell.get("outputs", [])
        if (kinds := [kind for kind in notebook_content.PICTURES if kind in output.get("data", {})])
    ]
    images = pages[f"notebooks/{name}.html"].images
    of_light, of_dark = ([image["alt"] for image in images if image.get("class") != other] for other in THEMES)
    assert figures and sorted(alt for alt, _ in figures) == sorted(of_light) == sorted(of_dark)
    drawings = [image for image in images if image.get("class") in THEMES]
    assert len(drawings) == 2 * sum(drawing for _, drawing in figures)
    assert all(image["loading"] == "lazy" for image in images)


def test_no_picture_is_without_a_text(pages):
    for name, page in pages.items():
        for image in page.images:
            # The small pictures on the landing page repeat what their cards say.
            assert image.get("alt") or (name == "index.html" and "alt" in image), f"{name}: {str(image)[:200]}"


@EVERY_NOTEBOOK
def test_solutions_and_setup_are_folded(pages, name):
    cells = [
        cell for cell in notebook_of(name).cells if {"hide-cell", "hide-input"} & set(cell.metadata.get("tags", []))
    ]
    page = pages[f"notebooks/{name}.html"]
    assert page.folded >= len(cells)
    titles = [match[1] for cell in cells if (match := re.match(r"# @title (.*?) \{", cell.source))]
    assert len(titles) >= 2 and all(title in page.text for title in titles)
    assert "@title" not in page.text


def test_the_reference_has_every_public_class_and_function(pages):
    for module, path in reference.modules().items():
        if module == "kgpc":
            continue
        for node in reference.parsed(path).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                assert f"{module}.{node.name}" in pages[f"reference/{module}.html"].ids
    assert "GroupedPointwiseConv2D(" in pages["reference/kgpc.layers.grouped.html"].text
    layer_pages = [page.text for name, page in pages.items() if name.startswith("reference/kgpc.layers")]
    assert layer_pages and not any("*args" in page for page in layer_pages)


def test_a_link_that_shows_a_path_shows_the_title_of_the_page():
    text = "[docs/a.md](docs/a.md), [b/c.md](../../b/c.md#part), [a page](docs/a.md), [docs/a.md](docs/b.md), `x.md`"
    shown = "[](docs/a.md), [](../../b/c.md#part), [a page](docs/a.md), [docs/a.md](docs/b.md), `x.md`"
    assert build_site.with_titles(text) == shown


def test_the_questions_of_readme_are_headings_of_the_landing_page(pages):
    readme = build_site.sections((ROOT / "README.md").read_text(encoding="utf-8"))
    idea, *answers = build_site.answers(readme["The idea in ten lines"])
    assert [answer.splitlines()[0] for answer in answers] == [f"### {question}" for question in build_site.QUESTIONS]
    assert "```python" in idea and all("| --- |" in answer or "|---|" in answer for answer in answers)
    assert {"does-it-still-learn", "and-is-it-faster"} <= pages["index.html"].ids
    assert "docs/speed-log.md" not in pages["index.html"].text


def test_a_form_title_becomes_the_name_of_a_folded_cell():
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell('# @title Solution {1} {display-mode: "form"}\n1 + 1'),
            nbformat.v4.new_code_cell("2 + 2"),
        ]
    )
    build_site.name_folded_cells(notebook)
    first, second = notebook.cells
    assert first.source == "1 + 1" and first.metadata["mystnb"]["code_prompt_show"] == "Solution (1)"
    assert second.source == "2 + 2" and "mystnb" not in second.metadata


# In a browser

PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves the site without a word."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def visit(chromium, address, site):
    """A function that opens a page of the site and returns it; what went wrong is noted in its attribute `trouble`."""
    context = chromium.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.trouble = []
    page.on("console", lambda message: message.type in ("error", "warning") and page.trouble.append(message.text))
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("requestfailed", lambda request: page.trouble.append(f"{request.url}: {request.failure}"))
    page.on("response", lambda response: response.ok or page.trouble.append(f"{response.url}: {response.status}"))

    def elsewhere(route):
        page.trouble.append(f"asks for {route.request.url}")
        route.abort()

    context.route(lambda url: not url.startswith((address, site.as_uri(), "data:", "blob:")), elsewhere)

    def go(name):
        page.trouble.clear()
        page.goto(f"{address}/{name}", wait_until="load")
        return page

    yield go
    context.close()


def test_every_page_loads_without_trouble_and_fits_on_a_phone(visit, pages):
    for name in pages:
        page = visit(name)
        # A picture below the screen is loaded when it is scrolled to; here it must be loaded at once.
        page.eval_on_selector_all("img", "images => images.forEach(image => image.loading = 'eager')")
        missing = page.evaluate(
            "Promise.all([...document.images].map(image => image.decode().then(() => null, () => image.src)))"
            ".then(sources => sources.filter(Boolean))"
        )
        assert missing == [], f"{name}: {missing}"
        assert page.trouble == [], f"{name}: {page.trouble}"
        page.set_viewport_size(PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        page.set_viewport_size(DESKTOP)


def test_figures_and_tables_can_be_read_on_a_phone(visit):
    page = visit("notebooks/00_start_here.html")
    page.set_viewport_size(PHONE)
    # Of a drawing only the picture of the theme is shown.
    widths = page.eval_on_selector_all(
        ".cell_output img", "images => images.filter(image => image.checkVisibility()).map(image => image.clientWidth)"
    )
    assert widths and min(widths) > 400  # moved sideways in a box of its own
    assert (
        page.eval_on_selector(".cell_output table caption", "caption => getComputedStyle(caption).whiteSpace")
        == "normal"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tables_and_code_have_the_colours_of_the_theme(visit, scheme):
    page = visit("notebooks/00_start_here.html")
    page.emulate_media(color_scheme=scheme)
    for selector in (".cell_output td", ".cell_output th", ".cell_output caption", "div.cell_input pre", "article p"):
        text, ground = page.eval_on_selector(
            selector,
            """element => {
                const color = getComputedStyle(element).color
                while (getComputedStyle(element).backgroundColor === "rgba(0, 0, 0, 0)") element = element.parentElement
                return [color, getComputedStyle(element).backgroundColor]
            }""",
        )
        assert contrast(text, ground) >= 4.5, (selector, text, ground)


def figures_of(pages):
    """The pages with figures that move."""
    return [
        name
        for name, page in pages.items()
        if any("_figures/" in source and source.endswith(".js") for source in page.loaded)
    ]


def test_figures_move_on_the_site(visit, pages):
    assert {"index.html", "notebooks/01_theory.html"} <= set(figures_of(pages))
    for name in figures_of(pages):
        page = visit(name)
        count = page.locator(".kgpc-figure").count()
        assert count and page.locator(".kgpc-figure[data-alive] .figure").count() == count, name
        for width in (400, 1300):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.trouble == [], f"{name}: {page.trouble}"
        page.set_viewport_size(DESKTOP)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_that_move_have_the_colours_of_the_theme(visit, theme):
    page = visit("notebooks/01_theory.html")
    page.evaluate("theme => document.body.dataset.theme = theme", theme)
    page.wait_for_function(
        "dark => document.querySelector('.kgpc-figure').classList.contains('dark') === dark", arg=theme == "dark"
    )
    ground = page.eval_on_selector("body", "body => getComputedStyle(body).backgroundColor")
    for selector in (".said", "output", "caption", "td", "button", ".name"):
        element = page.locator(f".kgpc-figure {selector}").first
        assert contrast(element.evaluate("element => getComputedStyle(element).color"), ground) >= 4.5, selector


def test_without_scripts_a_page_has_the_picture_and_the_numbers(chromium, address, pages):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    for name in ("index.html", "notebooks/01_theory.html"):
        page.goto(f"{address}/{name}")
        figure = page.locator(".kgpc-figure").first
        figure.scroll_into_view_if_needed()
        assert figure.locator("img").is_visible() and figure.locator("img").get_attribute("alt")
        figure.locator("summary").click()
        assert figure.locator("pre").is_visible() and "filters" in page.locator(".kgpc-figure pre").last.text_content()
    context.close()


MOST = 600_000  # bytes that a page loads with all its pictures, which are fetched one by one as a reader comes to them


def test_pages_are_light(site, pages):
    found = page_weights.weights(site)
    assert set(found) == set(pages)
    assert {name: weight for name, weight in found.items() if weight.whole > MOST} == {}


def test_code_without_marks_looks_as_it_did_with_them(site):
    """What `lighter_pages` leaves out has the colour of the text around it, in the light and in the dark."""
    css = (site / "_static" / "pygments.css").read_text(encoding="utf-8")
    rules = re.findall(r"^([^{\n]*\.highlight)( \.[np])? \{([^}]*)\}", css, flags=re.MULTILINE)
    colors = {(where, kind): re.search(r"(?<![\w-])color: (#\w+)", look)[1] for where, kind, look in rules}
    marked = {where for where, kind in colors if kind}
    assert len(marked) >= 3  # light, dark, and dark where the system is
    for where in marked:
        assert colors[where, ""] == colors[where, " .n"] == colors[where, " .p"]
    page = (site / "notebooks" / "01_theory.html").read_text(encoding="utf-8")
    assert '<span class="kn">' in page and '<span class="n">' not in page
    (style,) = site.glob("_static/mystnb.*.css")
    assert "-Color[" not in style.read_text(encoding="utf-8") and ".cell_output" in style.read_text(encoding="utf-8")
    assert not any("-Color[" in file.read_text(encoding="utf-8") for file in site.glob("notebooks/*.html"))


def test_a_browser_loads_what_is_counted(visit, site):
    page = visit("index.html")
    loaded = set()
    page.on("response", lambda response: loaded.add(urllib.parse.urlsplit(response.url).path.lstrip("/")))
    page.reload(wait_until="load")
    for _ in range(40):  # not faster than pictures are asked for
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(50)
    page.wait_for_load_state("networkidle")
    # Sizes of the files: a browser may have dropped the content of an answer by now.
    sizes = {path: (site / (path or "index.html")).stat().st_size for path in loaded}
    assert len(sizes) > 1 and sum(sizes.values()) <= page_weights.weight(site / "index.html").whole


def test_weights_are_listed(site, capsys, tmp_path):
    assert page_weights.main([str(site)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["at", "once", "with", "pictures", "page", "(kB)"] and lines
    assert page_weights.main([str(tmp_path)]) == 1
    assert "has no pages" in capsys.readouterr().err


def contrast(*colors):
    """Ratio of the luminances of two CSS colours (WCAG 2: 4.5 can be read)."""

    def luminance(color):
        channels = [int(value) / 255 for value in re.findall(r"\d+", color)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted(luminance(color) for color in colors)
    return (light + 0.05) / (dark + 0.05)


def test_mathematics_is_set(visit, site):
    with_formulas = [path for path in sorted(site.rglob("*.html")) if "<math" in path.read_text(encoding="utf-8")]
    assert {"08_class_activation_maps.html", "10_speed.html"} <= {path.name for path in with_formulas}
    page = visit("notebooks/10_speed.html")
    heights = page.eval_on_selector_all("math", "all => all.map(one => one.getBoundingClientRect().height)")
    assert heights and min(heights) > 5
    fraction = visit("notebooks/11_enhanced_scheme.html").locator("mfrac").first
    numerator, denominator = (fraction.locator(f":scope > :nth-child({n})").bounding_box() for n in (1, 2))
    assert numerator["y"] + numerator["height"] <= denominator["y"] + 1


FORMULAS = {
    r"f_1, \dots, f_n": "<mi>…</mi>",
    r"\sqrt{p(1-p)/n}": "<msqrt>",
    r"\Big( \sum_k w_k \Big)": 'minsize="1.623em"',
    r"\nonsense{x}": None,
    r"\href{javascript:alert(1)}{x}": None,
    r"\frac{1": None,
    "^": None,
    "a & b": None,
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_is_set_or_named(formula):
    if FORMULAS[formula] is None:
        with pytest.raises(ValueError, match=r"^The formula .* cannot be set: "):
            formulas.mathml(formula)
    else:
        assert FORMULAS[formula] in formulas.mathml(formula, block=True)
    assert "<script" not in formulas.mathml("<script>")


def test_a_solution_is_opened_with_a_click(visit):
    page = visit("notebooks/00_start_here.html")
    solution = page.locator("details", has_text="Solution 1")
    assert not solution.locator("pre").first.is_visible()
    solution.locator("summary").first.click()
    assert solution.locator("pre").first.is_visible()


@pytest.mark.parametrize("served", [True, False], ids=["from a server", "from a folder"])
def test_the_search_finds_pages_notebooks_first_and_fetches_none_of_them(visit, site, served):
    page = visit("search.html") if served else visit("index.html").context.new_page()
    if served:
        assert page.locator("article input[name=q]").is_visible()  # the page is not empty before a search
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{page.url.partition('?')[0]}?q=interleave" if served else f"{site.as_uri()}/search.html?q=interleave")
    page.wait_for_selector("#search-results li a")
    # The list grows entry by entry; that it is whole is said above it.
    page.wait_for_function("document.querySelector('#search-results').innerText.includes('Search finished')")
    links = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    assert any("kgpc.layers.channels.html" in link for link in links)
    first_of_reference = next(index for index, link in enumerate(links) if "/reference/" in link)
    assert first_of_reference and all("/notebooks/" not in link for link in links[first_of_reference:])
    assert "/notebooks/" in links[0]
    assert not [url for url in asked if url.endswith(".html")]


def test_on_a_phone_the_first_column_of_a_table_stays(visit):
    page = visit("notebooks/03_kmobilenet_v3.html")
    page.set_viewport_size({"width": 400, "height": 900})
    table = page.locator(".cell_output table", has_text="Table 3.")
    box, moved = table.evaluate(
        """table => {
            const box = table.closest(".output"), cells = () => [...table.querySelectorAll("tbody tr:first-child td")]
                .map(cell => cell.getBoundingClientRect().left);
            const before = cells();
            box.scrollLeft = 100;
            return [box.scrollWidth > box.clientWidth, cells().map((left, index) => before[index] - left)];
        }"""
    )
    assert box and abs(moved[0]) < 1 and moved[-1] > 10
    widths = table.locator("tbody tr td:first-child").evaluate_all("cells => cells.map(cell => cell.clientWidth)")
    assert min(widths) > 60  # words, and not one letter below the other


@EVERY_NOTEBOOK
def test_a_page_offers_its_notebook(site, pages, name):
    assert f"{name}.ipynb" in pages[f"notebooks/{name}.html"].links
    assert (site / "notebooks" / f"{name}.ipynb").read_bytes() == (ROOT / "notebooks" / f"{name}.ipynb").read_bytes()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_of_a_drawing_the_picture_of_the_theme_is_shown(visit, pages, theme):
    name = next(name for name, page in pages.items() if any(image.get("class") in THEMES for image in page.images))
    page = visit(name)
    page.evaluate("theme => document.body.dataset.theme = theme", theme)
    shown = page.eval_on_selector_all(
        "img.only-light, img.only-dark",
        "images => images.filter(image => image.checkVisibility()).map(image => image.className)",
    )
    assert shown and set(shown) == {f"only-{theme}"}
