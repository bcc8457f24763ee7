"""Ship MathJax and the font of the text with the book, so that no page asks a remote host for them.

The PyPI package ``sphinx-mathjax-offline`` carries MathJax 3 but copies all 24 MB of it. One file is
enough: TeX input, SVG output, no fonts. ``mathjax_path`` in ``_config.yml`` names it.

The text is set in Source Serif, from the package ``font-source-serif-pro``, under the SIL Open Font License, which comes along.
"""

from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile

FONT = ("SourceSerifPro-Regular.ttf", "SourceSerifPro-It.ttf", "SourceSerifPro-Semibold.ttf", "SourceSerifPro-SemiboldIt.ttf",
        "LICENSE.txt")  # fmt: skip
MATHJAX = "mathjax/tex-svg-full.js"


def copy(app, error):
    """Copy the files into the finished book."""
    if error is None and app.builder.format == "html":
        static = Path(app.outdir, "_static")
        mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static"
        font = Path(find_spec("font_source_serif_pro").origin).parent / "files"
        wanted = {static / MATHJAX: mathjax / MATHJAX} | {static / "font" / name: font / name for name in FONT}
        for target, source in wanted.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            copyfile(source, target)


def setup(app):
    """Register with Sphinx."""
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
