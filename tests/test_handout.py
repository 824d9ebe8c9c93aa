"""`python -m kgpc handout`: versions of the notebooks for a course, and the collection on paper."""

import ast
import re
import shutil

import nbformat
import print_collection
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kgpc import __main__ as command_line
from kgpc import handout, notebook_files

FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True, "outputs_hidden": True}, "tags": ["hide-cell", "x"]}
PRINTED = [new_output("stream", name="stdout", text="something\n")]


def lesson():
    """A small notebook with two exercises, one of which has a cell for the answer."""
    return new_notebook(
        cells=[
            new_markdown_cell("# 01 · Lesson\n\nMore is in [the glossary](../docs/glossary.md#swish)."),
            new_code_cell("from kgpc import exercises", outputs=PRINTED),
            new_markdown_cell(
                "## Exercises\n\nIn JupyterLab and on Colab the answers are collapsed: try first, then open the cell "
                "below the question.\n\n**1.** How many layers?"
            ),
            new_code_cell('answer = None  # your answer\nexercises.check("01.3", answer)', outputs=PRINTED),
            new_code_cell('# @title Solution 1 {display-mode: "form"}\nprint(4)', metadata=FOLDED, outputs=PRINTED),
            new_markdown_cell("**2.** And why?"),
            new_code_cell('# @title Solution 2 {display-mode: "form"}\nprint(5)', metadata=FOLDED, outputs=PRINTED),
            new_markdown_cell("## Summary"),
        ]
    )


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The working directory: a clone with one notebook, one page, and a printer."""
    folder = tmp_path / "clone"
    for name in ("notebooks", "docs"):
        (folder / name).mkdir(parents=True)
    nbformat.write(lesson(), folder / "notebooks" / "01_lesson.ipynb")
    (folder / "docs" / "glossary.md").write_text("# Glossary\n")
    (folder / "docs" / "index.md").write_text("$gaps\n")
    monkeypatch.chdir(folder)
    return folder


def test_students_find_empty_answers_and_no_solutions():
    original = lesson()
    before = nbformat.writes(original)
    made = handout.for_students(original)
    nbformat.validate(made)
    assert nbformat.writes(original) == before
    sources = [cell.source for cell in made.cells]
    assert not any("Solution" in source or "collapsed" in source for source in sources)
    assert sources[2].startswith("## Exercises\n\nWrite each answer into the cell") and sources[2].endswith("layers?")
    assert made.cells[3].outputs == [] and made.cells[3].source == original.cells[3].source
    assert made.cells[1].outputs == original.cells[1].outputs
    # Where there was no cell for the answer, there is one now.
    assert sources[4:] == ["**2.** And why?", "# Your answer\n", "## Summary"]
    assert made.cells[5].metadata == {} and made.cells[5].outputs == []


def test_teachers_see_the_solutions_with_what_they_printed():
    made = handout.for_teachers(lesson())
    nbformat.validate(made)
    assert len(made.cells) == len(lesson().cells)
    assert made.cells[4].source == "# Solution 1\nprint(4)" and made.cells[4].outputs == PRINTED
    assert made.cells[4].metadata == {"tags": ["x"]}
    assert "collapsed" not in made.cells[2].source


def real(root):
    return {path.stem: nbformat.read(path, as_version=4) for path in sorted((root / "notebooks").glob("*.ipynb"))}


def test_every_notebook_becomes_a_version_for_students(root):
    for name, notebook in real(root).items():
        solutions = [cell for cell in notebook.cells if handout.solution_title(cell)]
        made = handout.for_students(notebook)
        assert solutions, name
        for cell in made.cells:
            assert not re.search(r"\bSolution \d", cell.source), (name, cell.source)
            if cell.source.startswith("## Exercises"):
                assert not re.search(r"\b(collapsed|folded)\b", cell.source), name
            assert not (handout.is_answer(cell) and cell.outputs), name
        opened = handout.for_teachers(notebook)
        assert not any("hide-cell" in cell.metadata.get("tags", []) for cell in opened.cells), name
        assert len(opened.cells) == len(notebook.cells)


def stored_and_read(code):
    """Names that code stores, and those that it reads."""
    names = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            stored.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            stored |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return stored, {node.id for node in names if isinstance(node.ctx, ast.Load)}


def test_no_cell_needs_what_only_a_solution_makes(root):
    for name, notebook in real(root).items():
        solved, known = set(), set()
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            stored, read = stored_and_read(re.sub(r"^[%!].*", "", cell.source, flags=re.MULTILINE))
            if handout.solution_title(cell):
                solved |= stored
            else:
                assert not (read - stored - known) & solved, (name, cell.source)
                known |= stored


def test_the_command_writes_notebooks_whose_links_lead_somewhere(clone, capsys):
    assert command_line.main(["handout", "--output", "course", "--only", "students", "teachers"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(clone / "course" / version) for version in handout.VERSIONS]
    for version in handout.VERSIONS:
        path = clone / "course" / version / "notebooks" / "01_lesson.ipynb"
        text = notebook_files.read_notebook(path).cells[0].source
        (link,) = re.findall(r"\]\(([^)#]+)", text)
        assert (path.parent / link).is_file()
        assert not (clone / "course" / version / "docs" / "index.md").exists()
    # The same command again writes it anew; nothing is left of what is not there any more.
    (clone / "notebooks" / "01_lesson.ipynb").rename(clone / "notebooks" / "02_lesson.ipynb")
    assert command_line.main(["handout", "--output", "course", "--only", "students"]) == 0
    assert [path.name for path in (clone / "course" / "students" / "notebooks").iterdir()] == ["02_lesson.ipynb"]
    assert not (clone / "course" / "teachers").exists()
    assert not list(clone.glob(".kgpc-handout-*"))


def test_links_of_the_real_notebooks_lead_somewhere_in_a_handout(root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    assert command_line.main(["handout", "--output", str(tmp_path / "course"), "--only", "students"]) == 0
    for path in (tmp_path / "course" / "students" / "notebooks").iterdir():
        for cell in notebook_files.read_notebook(path).cells:
            for link in re.findall(r"\]\(([^)#\s]+)", cell.source) if cell.cell_type == "markdown" else []:
                assert "://" in link or (path.parent / link).exists(), (path.name, link)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--output", "docs"], "docs has files that this command did not make"),
        (["--output", "docs/glossary.md"], "is no folder"),
        (["--output", "course", "99_nothing"], "No notebook named 99_nothing"),
        (["--output", "course", "--folder", "docs"], "No notebooks in"),
        (["--output", "course"], "there is no .*print_collection.py. Without the PDF: --only students teachers"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(clone, capsys, arguments, said):
    before = sorted(clone.rglob("*"))
    assert command_line.main(["handout", *arguments]) == 1
    assert re.search(said, capsys.readouterr().err)
    assert sorted(clone.rglob("*")) == before


def test_without_a_browser_the_error_says_what_to_do(clone, capsys, monkeypatch):
    (clone / "docs" / "print_collection.py").touch()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert command_line.main(["handout", "--output", "course"]) == 1
    assert "not found; looked for chromium" in capsys.readouterr().err
    assert command_line.main(["handout", "--output", "course", "--browser", "/no/such"]) == 1
    assert "--browser is no program: /no/such" in capsys.readouterr().err
    assert not (clone / "course").exists()


def test_a_printer_that_fails_leaves_nothing_behind(clone, capsys, monkeypatch):
    (clone / "docs" / "print_collection.py").write_text("raise SystemExit('it did not work')\n")
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert command_line.main(["handout", "--output", "course"]) == 1
    assert "The PDF could not be made. it did not work" in capsys.readouterr().err
    assert not (clone / "course").exists() and not list(clone.glob(".kgpc-handout-*"))


def test_a_students_notebook_runs_and_its_check_answers(clone, capfd):
    import nbclient

    assert command_line.main(["handout", "--output", "course", "--only", "students"]) == 0
    notebook = notebook_files.read_notebook(clone / "course" / "students" / "notebooks" / "01_lesson.ipynb")
    notebook.cells[3].source = notebook.cells[3].source.replace("None", "4")
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    assert notebook.cells[3].outputs[0].text == "Exercise 01.3: right.\n"


# On paper

PAPER_WIDTH = round((210 - 2 * 16) / 25.4 * 96)  # CSS pixels between the margins of A4


@pytest.fixture(scope="module")
def one_page(tmp_path_factory):
    """Two notebooks and all pages as one HTML page."""
    return print_collection.one_page(tmp_path_factory.mktemp("book"), ["00_start_here", "01_theory"])


def test_nothing_is_wider_than_the_paper(chromium, one_page):
    context = chromium.new_context(viewport={"width": PAPER_WIDTH, "height": 1000})
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.emulate_media(media="print")
    page.goto(one_page.as_uri())
    wide = page.eval_on_selector_all(
        "pre, table, img, svg, p, h1, h2",
        "(elements, width) => elements.filter(element => element.getBoundingClientRect().right > width + 1 ||"
        " (element.tagName === 'PRE' && element.scrollWidth > element.clientWidth + 1))"
        ".map(element => element.outerHTML.slice(0, 300))",
        PAPER_WIDTH,
    )
    assert wide == []
    assert all(url.startswith(("file:", "data:")) for url in asked)
    assert page.locator("img").count() > 10
    context.close()


def test_the_book_has_chapters_pages_and_solutions_at_its_end(one_page):
    text = one_page.read_text(encoding="utf-8")
    start, theory, glossary, solutions = (
        text.index(f">{title}<") for title in ("00 · Start here", "01 · Theory", "Glossary", "Solutions")
    )
    assert start < theory < glossary < solutions
    assert "# Solution 1" not in text[:solutions] and "Solution 1" in text[solutions:]
    assert "@title" not in text and "<script>alert" not in text


def test_a_page_is_printed_with_numbers(chromium, tmp_path):
    page = tmp_path / "page.html"
    style = (print_collection.DOCS / "print" / "print.css").read_text(encoding="utf-8")
    chapters = "".join(f"<section><h2>{name}</h2><p>a</p></section>" for name in ("One", "Two"))
    page.write_text(f'<style>{style}</style><title>x</title><h1>x</h1><div class="toctree-wrapper">{chapters}</div>')
    browser = next(filter(None, map(shutil.which, print_collection.BROWSERS)))
    print_collection.print_page(page, tmp_path / "page.pdf", browser)
    content = (tmp_path / "page.pdf").read_bytes()
    assert content.startswith(b"%PDF") and len(re.findall(rb"/Type ?/Page\b", content)) == 3


def test_a_browser_that_prints_nothing_is_an_error(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("x")
    with pytest.raises(RuntimeError, match="true printed nothing"):
        print_collection.print_page(page, tmp_path / "page.pdf", shutil.which("true"))
    with pytest.raises(RuntimeError, match="cannot be started"):
        print_collection.print_page(page, tmp_path / "page.pdf", str(tmp_path / "nothing"))
