"""The notebooks of a reader in a real JupyterLab: no raw directive, folded solutions, and heat runs from top to bottom."""

import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from time import monotonic, sleep

import nbformat
import pytest
import reader

pytestmark = pytest.mark.xdist_group("jupyterlab")  # one server

LONGEST = 1200  # seconds, on a busy machine
RENDERED = "() => [...document.querySelectorAll('.jp-MarkdownOutput')].map(cell => cell.innerText).join('\\n')"
SETTINGS = {  # all cells are rendered, not those near the window alone; no news
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false"}',
}
IDLE = "() => document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'"


@pytest.fixture(scope="module")
def lab(tmp_path_factory, browser):
    """A server on a folder of the reader's, as `make lab` starts it; gives the folder and a function that opens a notebook."""
    home = tmp_path_factory.mktemp("lab")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PINNEDU_PROGRESS": "0"}
    environment |= {name: str(home / "jupyter") for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    for name, text in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    folder = home / "notebooks"
    code = f"import reader, pathlib; reader.hand_out(pathlib.Path({str(folder)!r}))"
    tools = str(reader.ROOT / "book" / "_tools")
    subprocess.run([sys.executable, "-c", code], env={**environment, "PYTHONPATH": tools}, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [f"--port={port}", "--ServerApp.token=", "--ServerApp.password=", f"--ServerApp.root_dir={folder}", "--allow-root"]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", *options], env=environment, stdout=log, stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    try:
        end = monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/api")
                break
            except urllib.error.URLError:
                assert monotonic() < end, (home / "log").read_text()
                sleep(0.5)

        def visit(name):
            page = context.new_page()
            page.set_default_timeout(120_000)
            page.goto(f"{address}/lab/tree/{name}.ipynb?reset")
            page.locator(".jp-Notebook .jp-MarkdownOutput h1").first.wait_for()
            page.wait_for_function(IDLE)
            return page

        yield folder, visit
    finally:
        context.close()
        server.terminate()
        server.wait()


def test_a_chapter_is_read_as_on_its_page(lab):
    page = lab[1]("gradient_descent")
    page.get_by_role("heading", name="References").wait_for()
    seen = page.evaluate(RENDERED)
    assert re.search(r"Theorem \d+\.1", seen)
    assert not re.search(r"\{[\w:]+\}`|:::|\$\$", seen)
    assert "Take-aways" in seen
    assert re.search(r"Solution of exercise \d+\.1", seen)
    quiz = page.locator("details", has=page.locator("summary"))
    assert quiz.count() > 2
    assert not quiz.first.get_by_text("No.", exact=False).last.is_visible() or quiz.first.get_attribute("open") is None
    heading = page.get_by_role("heading", name=re.compile(r"Solution of exercise \d+\.1"))
    folded = page.locator(".jp-Cell:has(h4) + .jp-Cell").first
    assert heading.is_visible()
    assert not folded.is_visible()
    page.close()


def test_a_player_of_a_trusted_notebook_plays(lab):
    page = lab[1]("advection_speed")
    box = page.locator("figure.explorer").first
    slider = box.locator("input[type=range]")
    slider.wait_for()
    shown = "box => [...box.querySelectorAll('img')].filter(frame => !frame.hidden).map(frame => frame.src)"
    (before,) = box.evaluate(shown)
    slider.focus()
    page.keyboard.press("End" if slider.input_value() != slider.get_attribute("max") else "Home")
    (after,) = box.evaluate(shown)
    assert before != after
    page.close()


def test_a_copy_that_is_not_trusted_shows_one_picture_of_a_player(lab):
    """JupyterLab runs no script of such a notebook; what it leaves must be whole."""
    folder, visit = lab
    notebook = nbformat.read(folder / "advection_speed.ipynb", as_version=4)
    notebook.metadata["copied"] = True  # else it has the signature of the one that was handed out
    nbformat.write(notebook, folder / "copied.ipynb")
    page = visit("copied")
    heading = page.get_by_role("heading", name=re.compile("Take-aways"))
    heading.wait_for()
    assert page.locator("figure.explorer input").count() == 0, "it is trusted"
    players = sum("figure class" in str(cell.get("outputs")) for cell in notebook.cells)
    boxes = page.locator("figure.explorer").all()
    assert len(boxes) == players > 0
    for box in boxes:
        pictures = [one for one in box.locator("img").all() if one.is_visible()]
        assert [one.evaluate("one => one.naturalWidth > 300") for one in pictures] == [True]
    assert not re.search(r"\{[\w:]+\}`|:::|\$\$", page.evaluate(RENDERED))
    page.close()


def test_heat_runs_from_top_to_bottom_and_its_panel_trains(lab):
    folder, visit = lab
    path = folder / "heat.ipynb"
    notebook = nbformat.read(path, as_version=4)
    position = next(i for i, cell in enumerate(notebook.cells) if "panel.record(" in cell.source)
    live = nbformat.v4.new_code_cell("small = TrainingPanel(heat, MLP(heat, hidden=(4,)), Adam(0.05), steps=200)\nsmall.live()")
    notebook.cells.insert(position + 1, live)
    nbformat.write(notebook, path)
    page = visit("heat")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    # The kernel answers a click after the cells that wait, so the panel has trained when all have run.
    page.get_by_role("button", name="start", exact=True).click(timeout=LONGEST * 1000)
    # Its last step is shown a moment before it says that it has ended.
    status = page.locator(".widget-label", has_text=re.compile("Step 200.*steps done"))
    status.wait_for(timeout=LONGEST * 1000)
    page.keyboard.press("Control+s")
    page.wait_for_timeout(3000)
    ran = nbformat.read(path, as_version=4)
    wrong = [out for cell in ran.cells for out in cell.get("outputs", []) if out.output_type == "error"]
    assert wrong == []
    assert all(cell.execution_count for cell in ran.cells if cell.cell_type == "code")
    page.close()
