"""Stored figures: their lettering can be read where they are shown, and they are sharp."""

import base64
import io

import chapters
import nbformat
import pytest
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
