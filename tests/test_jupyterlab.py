"""JupyterLab in a real browser: a notebook is opened, all its cells are run, and its figures appear."""

import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
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


class Lab:
    """A running JupyterLab: its address, its token and its log, and the folder of its notebooks."""

    def __init__(self, port, token, folder, log):
        self.address, self.token, self.folder, self.log = f"http://127.0.0.1:{port}", token, folder, log

    def ask(self, path, content=None):
        """What JupyterLab's server answers, as JSON; with a content, that is posted."""
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"{self.address}/api/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

    def start_kernel(self, notebook):
        """Starts the kernel of a notebook; a browser that finds one asks for none.

        Where a kernel does not start, the server says why, while JupyterLab's page only shows its dialog of kernels
        again, however often one is chosen there. On a computer with much else to do a second try can help.
        """
        session = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
        for tries_left in (2, 1, 0):
            try:
                self.ask("sessions", session)
                return
            except urllib.error.HTTPError as error:
                print(f"JupyterLab: {error.code} {error.read().decode()}")
                if not tries_left:
                    raise

    @contextmanager
    def opened(self, chromium, notebook):
        """The page of a notebook that has a kernel. A test that fails prints the end of the server's log."""
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        try:
            page.set_default_timeout(4 * MINUTE)  # for slow computers
            page.add_locator_handler(page.locator("dialog.jp-Dialog"), accept, no_wait_after=True)
            self.start_kernel(notebook)
            page.goto(f"{self.address}/lab/tree/{notebook}?token={self.token}&reset")
            # Before the kernel is idle a click runs nothing.
            page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
            yield page
        except BaseException:
            print(*self.log.read_text().splitlines()[-60:], sep="\n")
            raise
        finally:
            page.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A running JupyterLab with two notebooks: one has no outputs, the other one a figure that moves."""
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
            server = Lab(port, token, folder, tmp_path / "log")
            while True:
                try:
                    server.ask("status")
                    break
                except urllib.error.URLError:
                    assert process.poll() is None, server.log.read_text()
                    time.sleep(0.1)
            yield server
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
    """Answers a dialog: a slow computer may go on loading; everything else is accepted."""
    print(f"JupyterLab: {dialog.inner_text()!r}")
    wait = dialog.get_by_role("button", name="Keep Waiting")
    (wait if wait.count() else dialog.locator("button.jp-mod-accept")).click()


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
    saved = lab.folder / NOTEBOOK
    with lab.opened(chromium, NOTEBOOK) as page:
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


def test_a_figure_is_a_picture_before_its_cell_runs_and_moves_after_it(chromium, lab):
    with lab.opened(chromium, FIGURE) as page:
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
