"""JupyterLab in a real browser: a notebook is opened, all its cells are run, and its figures appear."""

import secrets
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

import start
from kgpc import figures

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = "00_start_here.ipynb"  # the lightest
FIGURE = "figure.ipynb"
PICTURE = ".jp-RenderedImage img, .jp-RenderedSVG img"
MINUTE = 60_000  # in milliseconds, for the browser


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def with_a_figure():
    """A notebook with a figure that moves, as its author stored it; who opens it does not trust the author yet."""
    code = "import kgpc\nkgpc.figures.d6()"
    data, metadata = figures.d6()._repr_mimebundle_()
    output = nbformat.v4.new_output("execute_result", data=data, metadata=metadata, execution_count=1)
    cell = nbformat.v4.new_code_cell(code, outputs=[output], execution_count=1)
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return nbformat.v4.new_notebook(cells=[cell], metadata=kernel)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a running JupyterLab, as a function of a notebook, and the folder of its notebooks.

    One notebook has no outputs, the other one a figure that moves.
    """
    tmp_path = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(ROOT / "notebooks" / NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(notebook, folder / NOTEBOOK)
    nbformat.write(with_a_figure(), folder / FIGURE)
    port, token = free_port(), secrets.token_hex()
    options = [f"--ServerApp.root_dir={folder}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    options += [f"--IdentityProvider.token={token}", "--no-browser", "--allow-root"]
    environ = start.clean_environ() | {"PYTHONPATH": str(ROOT)}
    # Settings and workspaces of whoever runs this are left alone.
    environ |= {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    environ |= {f"JUPYTERLAB_{name}_DIR": str(tmp_path / name) for name in ("SETTINGS", "WORKSPACES")}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], env=environ, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            while True:
                try:
                    urllib.request.urlopen(f"{address}/api?token={token}", timeout=60).close()
                    break
                except urllib.error.URLError:
                    assert process.poll() is None, (tmp_path / "log").read_text()
            yield lambda name: f"{address}/lab/tree/{name}?token={token}&reset", folder
        finally:
            process.terminate()
            process.wait()


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def number_of_figures(cells):
    pictures = {"image/jpeg", "image/png"}
    return sum(bool(pictures & set(output.get("data", {}))) for cell in cells for output in cell.outputs)


def show_first_figure(page):
    """Scrolls from the top until there is a figure: JupyterLab keeps only the cells that are in view on the page."""
    panel = page.locator(".jp-Notebook .jp-WindowedPanel-outer").first
    figure = page.locator(PICTURE).first
    panel.evaluate("panel => panel.scrollTo(0, 0)")
    for _ in range(100):
        # A cell that has just come into view is drawn hidden first, to be measured.
        if figure.count() and figure.is_visible():
            figure.scroll_into_view_if_needed()
            return
        panel.evaluate("panel => panel.scrollBy(0, panel.clientHeight / 2)")
        page.wait_for_timeout(300)


def accept(dialog):
    """Accepts a dialog: on a slow computer JupyterLab can ask for the kernel before it has the list of them."""
    print(f"JupyterLab: {dialog.inner_text()!r}")
    dialog.locator("button.jp-mod-accept").click()


def run_all_cells(page, sign='.jp-Notebook-ExecutionIndicator[data-status="busy"]', timeout=MINUTE / 3):
    """Chooses "Run All Cells"; again, if JupyterLab was still too busy with opening the notebook to take notice.

    What tells that it took notice is `sign`. A kernel that starts is busy as well, so what the cells show is the surer
    one.
    """
    from playwright.sync_api import TimeoutError

    for _ in range(3):
        page.click('.lm-MenuBar-item:has-text("Run")')
        page.click('[data-command="runmenu:run-all"]')
        try:
            page.wait_for_selector(sign, timeout=timeout)
            return
        except TimeoutError:
            page.keyboard.press("Escape")  # closes a menu that is still open
    raise AssertionError("JupyterLab does not run the cells.")


def test_all_cells_run_and_the_figures_appear(chromium, lab):
    address, folder = lab
    saved = folder / NOTEBOOK
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(4 * MINUTE)  # for slow computers
    page.add_locator_handler(page.locator("dialog.jp-Dialog"), accept)
    page.goto(address(NOTEBOOK))
    # Before the kernel is idle a click runs nothing.
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    assert page.locator(PICTURE).count() == 0
    run_all_cells(page)
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    show_first_figure(page)
    figure = page.locator(PICTURE).first
    figure.wait_for(state="visible")
    assert figure.evaluate("image => image.naturalWidth") > 600
    assert page.locator(".jp-RenderedSVG img").count() > 0  # a drawing

    page.keyboard.press("Control+s")
    while None in [cell.execution_count for cell in code_cells(saved)]:
        page.wait_for_timeout(200)
    cells, stored = code_cells(saved), code_cells(ROOT / "notebooks" / NOTEBOOK)
    assert [cell.execution_count for cell in cells] == list(range(1, len(stored) + 1))
    assert number_of_figures(cells) == number_of_figures(stored) > 0
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    page.close()


def test_a_figure_is_a_picture_before_its_cell_runs_and_moves_after_it(chromium, lab):
    address, _ = lab
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(4 * MINUTE)
    page.add_locator_handler(page.locator("dialog.jp-Dialog"), accept)
    page.goto(address(FIGURE))
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    # JupyterLab takes the script out of what somebody else stored. What is left has the picture and the numbers.
    picture = page.locator(".jp-OutputArea img")
    picture.wait_for(state="visible")
    assert picture.evaluate("image => image.naturalWidth") > 600
    assert "4 groups of 4 channels" in page.locator(".jp-OutputArea pre").first.text_content()
    assert page.locator(".kgpc-figure[data-alive]").count() == 0
    run_all_cells(page, ".kgpc-figure[data-alive] svg > *", MINUTE)
    assert not picture.is_visible()
    page.get_by_role("button", name="97 channels: D6 fails").click()
    page.get_by_text("No number from 2 to 6 divides both 97 and 64").wait_for()
    page.close()
