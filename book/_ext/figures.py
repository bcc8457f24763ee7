"""Figures on a page: as large as they were drawn, panels one below the other on a phone, and dark on a dark page.

`pinnedu.plots.to_png` writes into each figure how large it is and where its panels are. The width goes into the page; a figure of
several panels is cut, so that the parts stand side by side where there is room. A single panel scrolls on a phone, where its
letters would be too small to read. The frames of a player stay whole, and players.js
shows both halves of one on a phone.

On a dark page a filter takes the place of a second set of pictures. A color is so much white, so much black, and the
rest: the white becomes the ground of the page, the black of lines and letters becomes light, the rest stays, so that a map
keeps its colors. A photograph says ``classes: photo`` in the metadata of its cell, and stays as it is.
"""

import base64
import io
import re
from pathlib import Path

from PIL import Image

GROUND, INK = (0.078, 0.094, 0.114), 0.84  # the ground of a dark page in custom.css, and how light its letters are
FITS = 400  # pixels: a wider figure is not made smaller on a phone than its letters allow
FRAME = re.compile(r'<img src="data:image/[a-z+]+;base64,([^"]+)" alt="[^"]*" data-shown="[^"]*"(?: hidden)? style="')
IMAGE = re.compile(r'<img\b[^>]*\bsrc="(?:\.\./)*_images/([^"/]+\.png)"[^>]*>')


def scaled(red, green, blue, plus):
    """The matrix that multiplies each part of a color, and adds something."""
    return f"{red} 0 0 0 {plus} 0 {green} 0 0 {plus} 0 0 {blue} 0 {plus} 0 0 0 0 1"


def filter_of_dark_pages():
    """The filter, which custom.css applies.

    With least m and most M of a color's parts: color - m + m ground + m (M - m) + (1 - M) ink.
    """
    channels = []
    for name, row in (("r", "1 0 0 0 0"), ("g", "0 1 0 0 0"), ("b", "0 0 1 0 0")):
        channels.append(f'<feColorMatrix in="SourceGraphic" values="{row} {row} {row} 0 0 0 0 1" result="{name}"/>')
    steps = [
        *channels,
        *(f'<feBlend mode="{mode}" in="r" in2="g" result="{name}1"/><feBlend mode="{mode}" in="{name}1" in2="b" result="{name}"/>'
          for mode, name in (("darken", "least"), ("lighten", "most"))),
        # where there is any color, the black belongs to it and stays
        '<feBlend mode="difference" in="most" in2="least" result="color"/>',
        f'<feColorMatrix in="color" values="{scaled(-5, -5, -5, 1)}" result="neutral"/>',
        f'<feColorMatrix in="most" values="{scaled(-INK, -INK, -INK, INK)}" result="black"/>',
        '<feBlend mode="multiply" in="black" in2="neutral" result="ink"/>',
        '<feBlend mode="difference" in="SourceGraphic" in2="least" result="rest"/>',
        f'<feColorMatrix in="least" values="{scaled(*GROUND, 0)}" result="ground"/>',
        '<feComposite operator="arithmetic" k2="1" k3="1" in="rest" in2="ground" result="colors"/>',
        # a pale color is lighter than a deep one still: without this, pink and the middle of a map sink into the ground
        '<feComposite operator="arithmetic" k1="1" in="least" in2="color" result="pale"/>',
        '<feComposite operator="arithmetic" k2="1" k3="1" in="colors" in2="pale" result="lighter"/>',
        '<feComposite operator="arithmetic" k2="1" k3="1" in="lighter" in2="ink" result="night"/>',
        '<feComposite operator="in" in="night" in2="SourceAlpha"/>',  # nothing beside the figure, where it ends within a pixel
    ]  # fmt: skip
    return (
        '<svg width="0" height="0" style="position: absolute" aria-hidden="true">'
        '<filter id="dark-figure" x="0" y="0" width="1" height="1" color-interpolation-filters="sRGB">'
        f'{"".join(steps)}</filter></svg>'
    )


def page(app, pagename, templatename, context, doctree):
    """Write sizes and panels into the finished body of a page, and the filter below it."""
    if "body" not in context:
        return
    sources = {name: path for path, name in app.builder.images.items()}

    def better(found):
        return with_size(found[0], app, found[1], Path(app.srcdir, sources[found[1]]))

    body = FRAME.sub(with_halves, IMAGE.sub(better, context["body"]))
    context["body"] = body + filter_of_dark_pages()


def with_size(tag, app, name, path):
    """The tag of one figure with its width; several tags for several panels."""
    with Image.open(path) as picture:
        scale = 96 / picture.info.get("dpi", (96, 96))[0]
        ends = [0, *map(int, picture.info.get("panels", "").split()), picture.width]
        if len(ends) == 2:
            width, plain = picture.width * scale, re.sub(r' style="[^"]*"', "", tag)
            sized = re.sub(r"<img\b", f'<img style="width: {width:.0f}px"', plain)
            return f'<span class="figure-scroll">{sized}</span>' if width > FITS else sized
        tags = []
        for i, (left, right) in enumerate(zip(ends, ends[1:], strict=False)):
            part = f"{path.stem}-{i + 1}.png"
            with io.BytesIO() as file:
                picture.crop((left, 0, right, picture.height)).save(file, format="png", optimize=True)
                app.panels[part] = file.getvalue()
            share = 100 * (right - left) / picture.width
            one = re.sub(r' style="[^"]*"', "", tag).replace(name, part)
            tags.append(re.sub(r"<img\b", f'<img style="--share: {share:.3f}%; --drawn: {(right - left) * scale:.0f}px"', one))
    first, *others = tags
    others = [re.sub(r'alt="[^"]*"', 'alt=""', one) for one in others]
    return f'<span class="panels" style="max-width: {picture.width * scale:.0f}px">{"".join([first, *others])}</span>'


def with_halves(found):
    """The tag of a player's frame that has two panels, with the widths in which they were drawn, and their shapes."""
    width, height, cuts = measures(base64.b64decode(found[1]))
    if len(cuts) != 1:
        return found[0]
    sizes = ((name, share * width) for name, share in (("one", cuts[0]), ("two", 1 - cuts[0])))
    return found[0] + "".join(f"--{name}: {size:.0f}px; --{name}-shape: {size / height:.4f}; " for name, size in sizes)


def measures(image):
    """Width and height on a page, and the shares of the width at which panels end."""
    if image.startswith(b"\x89PNG"):
        with Image.open(io.BytesIO(image)) as picture:
            scale = 96 / picture.info.get("dpi", (96, 96))[0]
            ends = [int(end) / picture.width for end in picture.info.get("panels", "").split()]
            return picture.width * scale, picture.height * scale, ends
    text = image.decode()
    width, height = (float(part) / 72 * 96 for part in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text).groups())
    said = re.search(r"panels: ([\d. ]+)", text)
    return width, height, [float(end) for end in said[1].split()] if said else []


def write(app, exception):
    """Write the panels beside the figures, whose uncut files no page shows."""
    if exception is None and app.builder.format == "html":
        for name, image in app.panels.items():
            Path(app.outdir, "_images", name).write_bytes(image)


def setup(app):
    """Register with Sphinx."""
    app.panels = {}
    app.add_js_file("players.js", loading_method="defer")
    app.connect("html-page-context", page)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
