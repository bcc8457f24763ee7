"""Stored figures: their lettering can be read where they are shown, and they are sharp."""

import base64
import io

import chapters
import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

from pinnedu import plots

COLUMN = 672  # pixels that a figure has at most on a page 1280 pixels wide
FIGURES = [
    (path.stem, i, output["data"]["image/png"])
    for path in chapters.notebooks()
    for i, cell in enumerate(nbformat.read(path, as_version=4).cells)
    for output in cell.get("outputs", [])
    if "image/png" in output.get("data", {})
]


@pytest.mark.parametrize("data", [data for *_, data in FIGURES], ids=[f"{name}-{i}" for name, i, _ in FIGURES])
def test_lettering_is_at_least_11_pixels_high_on_the_page(data):
    png = base64.b64decode(data)
    with Image.open(io.BytesIO(png)) as picture:
        assert "lettering" in picture.info, "drawn before `plots.to_png`: run `make execute` for this chapter"
        points = float(picture.info["lettering"])
        assert picture.info["dpi"][0] == pytest.approx(plots.DPI, abs=0.5)
    drawn = plots.shown_width(png)
    assert points * 96 / 72 * min(1, COLUMN / drawn) >= 11


def test_a_notebook_shows_figures_as_its_page_needs_them():
    """Whatever a chapter asks for: no wider than the page, legible, sharp, and with the place where its panels part."""
    cells = [
        "import matplotlib.pyplot as plt\nfrom pinnedu import plots\n_ = plots.style()",
        "_, axes = plt.subplots(1, 2, figsize=(11, 3))\n_ = axes[0].set_xlabel('x', fontsize=6)\nplt.show()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    options = {"kernel_name": "python3", "extra_arguments": ["--log-level=ERROR"]}
    NotebookClient(notebook, resources={"metadata": {"path": str(chapters.ROOT)}}, **options).execute()
    png = base64.b64decode(notebook.cells[1].outputs[0].data["image/png"])
    with Image.open(io.BytesIO(png)) as picture:
        assert abs(picture.width - plots.WIDTH * plots.DPI) <= 1
        assert float(picture.info["lettering"]) == plots.SMALLEST
        (cut,) = map(int, picture.info["panels"].split())
        assert 0.4 < cut / picture.width < 0.6
    assert plots.shown_width(png) == round(plots.WIDTH * 96)
