"""Ship MathJax with the book, so that no page asks a remote host for it.

The PyPI package ``sphinx-mathjax-offline`` carries MathJax 3 but copies all 24 MB of it. One file is
enough: TeX input, SVG output, no fonts. ``mathjax_path`` in ``_config.yml`` names it.
"""

from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile

MATHJAX = "mathjax/tex-svg-full.js"


def copy_mathjax(app, error):
    """Copy the one file into the finished book."""
    if error is None and app.builder.format == "html":
        package = Path(find_spec("sphinx-mathjax-offline").origin).parent
        target = Path(app.outdir, "_static", MATHJAX)
        target.parent.mkdir(parents=True, exist_ok=True)
        copyfile(package / "static" / MATHJAX, target)


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
