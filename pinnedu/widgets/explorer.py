"""A slider over pictures that are drawn beforehand: works without a kernel, without a network, by keyboard."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from pinnedu import plots

LARGEST = 1_000_000  # bytes of one player: a page with several must still open at once
KINDS = {"svg": "image/svg+xml", "png": "image/png"}

# One plain picture, and what a script adds to it: a slider, a button, the other frames. So an untrusted notebook, which strips
# scripts, and a printed page show one picture. The frames are images and not inline SVG, which is stripped, too. The script
# finds its own figure, so that a second view of the same output works.
PLAYER = """\
<figure class="explorer" id="{id}" style="margin: 1.2em 0">
{first}
{caption}<script type="text/plain">
<div style="display: flex; flex-wrap: wrap; gap: 0.3em 0.9em; align-items: center; margin-bottom: 0.4em">
<label for="{id}-range">{label}</label>
<input type="range" id="{id}-range" min="0" max="{last}" step="1" value="{start}" aria-valuetext="{shown}" list="{id}-ticks" \
style="flex: 1 1 10em; max-width: 24em; min-width: 8em; height: 1.8em">
<datalist id="{id}-ticks">{ticks}</datalist>
<output for="{id}-range" style="font-weight: bold; min-width: 5em">{shown}</output>
<button type="button" style="min-width: 4.5em">Play</button>
</div>
{others}
</script>
<script>
(() => {{
  const box = document.currentScript.parentElement, first = box.querySelector("img");
  first.insertAdjacentHTML("beforebegin", box.querySelector("script").textContent);
  const [range, output, button] = ["input", "output", "button"].map(name => box.querySelector(name));
  const frames = [...box.querySelectorAll("img")].filter(frame => frame !== first);
  frames.splice(Number(range.value), 0, first);
  const show = () => {{
    frames.forEach((frame, i) => {{ frame.hidden = i !== Number(range.value); }});
    output.textContent = frames[range.value].dataset.shown;
    range.setAttribute("aria-valuetext", output.textContent);
  }};
  let clock = null;
  const stop = () => {{ clearInterval(clock); clock = null; button.textContent = "Play"; }};
  range.addEventListener("input", () => {{ stop(); show(); }});
  button.addEventListener("click", () => {{
    if (clock) return stop();
    if (range.value === range.max) range.value = -1;
    const step = () => {{ range.value = Number(range.value) + 1; show(); if (range.value === range.max) stop(); }};
    button.textContent = "Pause";
    clock = setInterval(step, 700);
  }});
}})();
</script>
</figure>"""
FRAME = (
    '<img src="data:{mime};base64,{data}" alt="{alt}" data-shown="{shown}"{hidden} '
    'style="{width}max-width: 100%; background: white; border-radius: 6px">'
)


@dataclass(frozen=True)
class Frame:
    """One picture of a player.

    Attributes
    ----------
    shown : str
        The parameter's value, as the reader sees it.
    alt : str
        What the picture shows, for a reader who does not see it.
    image : bytes
    kind : {"svg", "png"}
    """

    shown: str
    alt: str
    image: bytes
    kind: str


@dataclass(frozen=True)
class Explorer:
    """A slider over frames. Displayed, it is a plain HTML player; :meth:`live` recomputes in the kernel."""

    label: str
    frames: tuple[Frame, ...]
    start: int = 0
    caption: str = ""
    values: tuple[Any, ...] = ()
    draw: Callable[[Any], Figure] | None = None
    show: str = "{}"
    log: bool = False

    def __post_init__(self) -> None:
        if (size := len(self._repr_html_())) > LARGEST:
            raise ValueError(
                f"The player would have {size / 1e6:.1f} MB and may have {LARGEST / 1e6:g}: "
                "use fewer frames, a smaller figure, or kind='png' for maps and crowded plots."
            )

    def __repr__(self) -> str:
        return f"Explorer({self.label}: {self.frames[0].shown} to {self.frames[-1].shown}, {len(self.frames)} frames)"

    def _repr_html_(self) -> str:
        """The player, with the same bytes for the same frames."""
        name = f"explorer-{zlib.crc32(b''.join([self.label.encode(), *(frame.image for frame in self.frames)])):08x}"
        frames = [
            FRAME.format(
                mime=KINDS[frame.kind],
                data=base64.b64encode(frame.image).decode(),
                alt=escape(frame.alt),
                shown=escape(frame.shown),
                hidden="" if i == self.start else " hidden",
                width=f"width: {plots.shown_width(frame.image)}px; " if frame.kind == "png" else "",
            )
            for i, frame in enumerate(self.frames)
        ]
        return PLAYER.format(
            id=name,
            label=escape(self.label),
            last=len(self.frames) - 1,
            ticks="".join(f'<option value="{i}"></option>' for i in range(len(self.frames))),
            start=self.start,
            shown=escape(self.frames[self.start].shown),
            first=frames[self.start],
            others="\n".join(frames[: self.start] + frames[self.start + 1 :]),
            caption=f"<figcaption>{escape(self.caption)}</figcaption>\n" if self.caption else "",
        )

    def live(self) -> Any:
        """An ipywidgets control that draws again at any value between the first and the last.

        Values that are no numbers can only be chosen, not interpolated.

        Raises
        ------
        ValueError
            If the frames were recorded, so that there is nothing to compute again.
        """
        if self.draw is None:
            raise ValueError("These frames were recorded and cannot be drawn again at another value.")
        import ipywidgets

        draw, first = self.draw, self.values[self.start]
        look = {"description": self.label, "continuous_update": False, "style": {"description_width": "initial"}}
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)
        low, high = (min(self.values), max(self.values)) if numbers else (0, 0)
        slider: Any
        if not numbers:
            options = list(zip((frame.shown for frame in self.frames), self.values, strict=True))
            slider = ipywidgets.SelectionSlider(options=options, value=first, **look)
        elif all(isinstance(value, int) for value in self.values):
            slider = ipywidgets.IntSlider(value=first, min=low, max=high, **look)
        elif self.log:
            slider = ipywidgets.FloatLogSlider(value=first, min=log10(low), max=log10(high), step=0.02, **look)
        else:
            slider = ipywidgets.FloatSlider(value=first, min=low, max=high, step=(high - low) / 200, **look)
        own_size = {"align_self": "flex-start", "max_width": "100%"}
        picture = ipywidgets.Image(value=render(draw, first, "png", 110), format="png", layout=own_size)
        said = ipywidgets.Label()

        def redraw(change: dict[str, Any]) -> None:
            try:
                picture.value = render(draw, change["new"], "png", 110)
                said.value = ""
            except Exception as error:  # a widget's callback has no other way to report
                said.value = f"At {self.show.format(change['new'])} nothing was drawn. {type(error).__name__}: {error}"

        slider.observe(redraw, names="value")
        return ipywidgets.VBox([slider, said, picture])


def explore(
    draw: Callable[[Any], Figure],
    values: Sequence[Any],
    *,
    label: str,
    alt: str | Callable[[Any], str],
    show: str = "{}",
    start: int = 0,
    caption: str = "",
    kind: str = "svg",
    log: bool = False,
    dpi: int = 144,
) -> Explorer:
    """Draw a figure for each value of a parameter, and put a slider over the pictures.

    Parameters
    ----------
    draw : callable, value -> Figure
    values : sequence
        At least two. Numbers can be moved in between by :meth:`Explorer.live`.
    label : str
        The parameter's name, in plain words.
    alt : str or callable, value -> str
        What the picture shows, for a reader who does not see it; in a str, ``{}`` stands for the value as shown.
    show : str
        Format of the value, such as ``"λ = {:g}"``.
    start : int
        Which value to show first.
    caption : str
        What to see, below the figure.
    kind : {"svg", "png"}
        "svg" for lines, "png" for maps and for thousands of points.
    log : bool
        Let the live slider move on a logarithmic scale.
    dpi : int
        Resolution of PNG frames.

    Returns
    -------
    Explorer

    Raises
    ------
    ValueError
        For fewer than two values, an unknown kind, an empty alternative text, or frames above 1 MB.
    """
    values = tuple(values)
    if len(values) < 2:
        raise ValueError(f"A slider needs at least two values, not {len(values)}.")
    if not -len(values) <= start < len(values):
        raise ValueError(f"start must number one of the {len(values)} values, not {start!r}.")
    if kind not in KINDS:
        raise ValueError(f"kind must be 'svg' or 'png', not {kind!r}.")
    if log and not all(isinstance(value, int | float) and value > 0 for value in values):
        raise ValueError("log=True needs positive numbers as values.")
    shown = [show.format(value) for value in values]
    said = [alt(value) if callable(alt) else alt.format(text) for value, text in zip(values, shown, strict=True)]
    if not all(text.strip() for text in said):
        raise ValueError("Each frame needs an alternative text that says what it shows.")
    frames = tuple(
        Frame(text, words, render(draw, value, kind, dpi), kind)
        for value, text, words in zip(values, shown, said, strict=True)
    )
    return Explorer(label, frames, start % len(values), caption, values, draw, show, log)


def render(draw: Callable[[Any], Figure], value: Any, kind: str, dpi: int) -> bytes:
    """Draw one figure in the book's style and close it, so that a notebook does not show it by itself."""
    with plots.style():
        figure = draw(value)
        if not isinstance(figure, Figure):
            raise ValueError(f"draw must return the Figure it drew, not {type(figure).__name__}.")
        image = to_bytes(figure, kind, dpi)
        plt.close(figure)
    return image


def to_bytes(figure: Figure, kind: str, dpi: int) -> bytes:
    """The figure as an opaque picture, the same bytes each time, small."""
    if kind == "png":
        with plots.style():
            return plots.to_png(figure, dpi, colors=128)
    with plots.style(), plots.legible(figure), io.BytesIO() as file:
        panels = " ".join(f"{share:.4f}" for share in plots.panel_ends(figure))
        facts = {"Date": None, "Creator": None, **({"Description": f"panels: {panels}"} if panels else {})}
        figure.savefig(file, format="svg", facecolor="white", metadata=facts)
        return file.getvalue()
