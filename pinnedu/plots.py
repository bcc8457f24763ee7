"""Pictures of solutions and of training, in one style that reads in light and dark pages."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import torch
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image, PngImagePlugin
from torch import Tensor, nn

from pinnedu.domain import Box
from pinnedu.problem import Problem

if TYPE_CHECKING:
    from pinnedu.trainers import Fit

# Okabe and Ito (2008), distinguished by readers with any kind of color vision.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

WIDTH = 6.8  # inches, at 96 pixels of a browser: what a page is wide, so that a figure is shown as large as it is drawn
DPI = 192  # two pixels of the file for one of the page
SMALLEST = 8.25  # points: 11 pixels of the page

STYLE: dict[str, Any] = {
    "figure.facecolor": "white",  # opaque: a transparent figure vanishes on a dark page
    "savefig.facecolor": "white",
    "figure.dpi": 96,
    "figure.hooks": ["pinnedu.plots:fit_to_page"],
    "figure.constrained_layout.use": True,
    "figure.figsize": (6.4, 3.6),
    "font.size": 9,  # points: 12 pixels of the page
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.prop_cycle": cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.cmap": "viridis",
    "svg.fonttype": "none",
    "svg.hashsalt": "pinnedu",  # the same bytes at every execution
}


def style() -> AbstractContextManager[None]:
    """Use the book's style: ``plots.style()`` for a whole notebook, ``with plots.style():`` for one figure."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is not None and "matplotlib_inline.backend_inline" not in sys.modules:
        plt.switch_backend(mpl.get_backend())  # when it is loaded it takes over how figures are shown, so load it first
    before = mpl.rcParams.copy()
    mpl.rcParams.update(STYLE)  # type: ignore[arg-type]
    if shell is not None:
        shell.display_formatter.formatters["image/png"].for_type(Figure, _displayed)

    class Restore(AbstractContextManager[None]):
        def __exit__(self, *_: object) -> None:
            dict.update(mpl.rcParams, before)

    return Restore()


def fit_to_page(figure: Figure) -> None:
    """Make a figure no wider than a page; pyplot calls this for each new one.

    A wider one would be made smaller there, and its lettering with it.
    """
    width, height = figure.get_size_inches()
    figure.set_size_inches(min(width, WIDTH), height)


@contextmanager
def legible(figure: Figure) -> Iterator[None]:
    """Raise lettering that is too small for a page, and lay the figure out: once, for the layout costs more than the drawing."""
    engine = figure.get_layout_engine()
    _lay_out(figure)  # makes the labels of ticks, too
    small = [text for text in _texts(figure) if float(text.get_fontsize()) < SMALLEST]
    for text in small:
        text.set_fontsize(SMALLEST)
    if small:
        _lay_out(figure)
    with mpl.rc_context({"figure.constrained_layout.use": False, "figure.autolayout": False}):
        figure.set_layout_engine(None)  # or saving would find it again
    yield
    figure.set_layout_engine(engine)


def _lay_out(figure: Figure) -> None:
    """Place the axes; a figure without a layout is drawn, which makes the labels of its ticks as well."""
    engine = figure.get_layout_engine()
    if engine is None or not figure.axes:  # it would warn of nothing to place
        figure.draw_without_rendering()
    else:
        engine.execute(figure)


def _texts(figure: Figure) -> list[Text]:
    """All lettering that can be seen."""
    return [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text().strip()]


def to_png(figure: Figure, dpi: int = DPI, colors: int = 256) -> bytes:
    """A figure as a small PNG, the same bytes each time, with what a page has to know of it.

    The file says its resolution, the size of its smallest lettering in points ("lettering"), and at which columns of
    pixels it can be cut into panels, which a phone shows one below the other ("panels").
    """
    with legible(figure), io.BytesIO() as file, io.BytesIO() as small:
        # matplotlib would write its own version into the file.
        figure.savefig(file, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
        file.seek(0)
        with Image.open(file) as picture:
            facts = PngImagePlugin.PngInfo()
            facts.add_text("lettering", f"{min((text.get_fontsize() for text in _texts(figure)), default=SMALLEST):g}")
            facts.add_text("panels", " ".join(str(round(share * picture.width)) for share in panel_ends(figure)))
            reduced = picture.convert("RGB").quantize(colors)
            reduced.save(small, format="png", optimize=True, dpi=(dpi, dpi), pnginfo=facts)
        return small.getvalue()


def shown_width(png: bytes) -> int:
    """How many pixels of a page a stored figure takes, from left to right."""
    with Image.open(io.BytesIO(png)) as picture:
        return round(picture.width / picture.info.get("dpi", (96, 96))[0] * 96)


def _displayed(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """What a notebook shows of a figure: twice as many pixels as it takes there."""
    width, height = figure.get_size_inches() * 96
    return to_png(figure), {"width": round(width), "height": round(height)}


def panel_ends(figure: Figure) -> list[float]:
    """Where a figure can be cut from top to bottom, as shares of its width: between panels side by side.

    A color bar stays with the panel to its left, and what goes over several panels holds them together.
    """
    whole = figure.bbox
    spans: list[list[float]] = []
    boxes = sorted(
        ((box.x0 / whole.width, box.x1 / whole.width, axes.get_label() == "<colorbar>")
         for axes in figure.axes if axes.get_visible() and (box := axes.get_tightbbox()) is not None),
    )  # fmt: skip
    for left, right, belongs in boxes:
        if spans and (belongs or left < spans[-1][1]):
            spans[-1][1] = max(spans[-1][1], right)
        else:
            spans.append([left, right])
    cuts = [(a[1] + b[0]) / 2 for a, b in zip(spans, spans[1:], strict=False)]
    over = [artist.get_window_extent() for artist in (*figure.texts, *figure.legends)]
    return [cut for cut in cuts if not any(box.x0 < cut * whole.width < box.x1 for box in over)]


def solution(
    source: Fit | nn.Module,
    problem: Problem | None = None,
    *,
    field: str | None = None,
    points: Tensor | None = None,
    at: Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Map of a field over two coordinates, or curve over one.

    Parameters
    ----------
    source : Fit or Module
    problem : Problem, needed with a Module
    field : str, optional
        The first field by default.
    points : Tensor (N, d), optional
        Collocation points to draw on top.
    at : dict of coordinate to value, optional
        Coordinates held fixed, so that one or two are left.
    """
    model, problem = _source(source, problem)
    name = field or problem.fields[0]
    with style():
        figure, axes = _axes(ax)
        values = _values(model, problem, name, at)
        colors, limits = _scale(values)
        _draw(axes, problem, values, at, name, colors, limits)
        if points is not None:
            columns = [points[:, problem.domain.names.index(c)].cpu() for c in _across(problem, at)]
            if len(columns) == 2:
                axes.plot(*columns, ".", color="white" if colors == "viridis" else "black", markersize=1.5, alpha=0.8)
    return figure


def comparison(
    source: Fit | nn.Module,
    problem: Problem | None = None,
    *,
    field: str | None = None,
    at: Mapping[str, float] | None = None,
) -> Figure:
    """The exact solution, the model and their difference side by side.

    Raises
    ------
    ValueError
        If the problem has no exact solution.
    """
    model, problem = _source(source, problem)
    name = field or problem.fields[0]
    predicted, exact = _values(model, problem, name, at), _values(problem.solution, problem, name, at)
    with style():
        figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 2.3))
        colors, limits = _scale(exact)
        _draw(axes[0], problem, exact, at, f"exact {name}", colors, limits)
        _draw(axes[1], problem, predicted, at, f"model {name}", colors, limits)
        largest = float(np.nanmax(np.abs(predicted - exact))) or 1.0
        _draw(axes[2], problem, predicted - exact, at, "model − exact", "RdBu_r", (-largest, largest))
    return figure


def cuts(
    source: Fit | nn.Module,
    problem: Problem | None = None,
    *,
    field: str | None = None,
    **times: Sequence[float],
) -> Figure:
    """Curves of the model, and of the exact solution where known, at fixed values of one coordinate.

    ``cuts(run, t=(0.25, 0.5, 0.75))`` draws three panels over the other coordinate.
    """
    model, problem = _source(source, problem)
    name = field or problem.fields[0]
    if len(times) != 1:
        raise ValueError("cuts needs one coordinate with its values, such as t=(0.25, 0.5, 0.75).")
    ((coordinate, values),) = times.items()
    problem.domain.check_names((coordinate,), "cuts")
    if problem.domain.dim != 2:
        raise ValueError(f"cuts needs a domain of 2 coordinates, not {problem.domain.dim}: use solution(at={{...}}).")
    with style():
        figure, axes = plt.subplots(
            1, len(values), figsize=(min(WIDTH, 3.2 * len(values)), 2.6), sharey=True, squeeze=False
        )
        for axis, value in zip(axes[0], values, strict=True):
            at = {coordinate: value}
            (other,) = _free(problem, at)
            where = _grid(problem, at)[:, problem.domain.names.index(other)]
            if problem.exact is not None:
                axis.plot(where, _values(problem.solution, problem, name, at), label="exact")
            axis.plot(where, _values(model, problem, name, at), "--", label="model")
            axis.set(title=f"{coordinate} = {value:g}", xlabel=other)
        axes[0, 0].set_ylabel(name)
        axes[0, 0].legend()
    return figure


def history(runs: Fit | Mapping[str, Fit], *, against: str = "step", ax: Axes | None = None) -> Figure:
    """Loss, its terms and the error of one run, or the error (else the loss) of several runs.

    Parameters
    ----------
    runs : Fit, or dict of label to Fit
    against : {"step", "seconds"}
    """
    if against not in ("step", "seconds"):
        raise ValueError(f"history is drawn against 'step' or 'seconds', not {against!r}.")
    with style():
        figure, axes = _axes(ax)
        if isinstance(runs, Mapping):
            what = "error" if all(np.isfinite(run.history["error"]).any() for run in runs.values()) else "loss"
            for label, run in runs.items():
                known = np.isfinite(run.history[what])
                axes.semilogy(run.history[against][known], run.history[what][known], label=label)
            axes.set_ylabel("relative L2 error" if what == "error" else "loss")
        else:
            record = runs.history
            for name in runs.problem.terms:
                axes.semilogy(record[against], record[name], linewidth=1, alpha=0.8, label=name)
            axes.semilogy(record[against], record["loss"], color="black", label="loss")
            for name, mark, label in (("fresh", "o", "loss on fresh points"), ("error", "s", "relative L2 error")):
                known = np.isfinite(record[name])
                if known.any():
                    axes.semilogy(record[against][known], record[name][known], mark, markersize=3, label=label)
            axes.set_ylabel("loss, error" if np.isfinite(record["error"]).any() else "loss")
        axes.set_xlabel("step" if against == "step" else "seconds of training")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def label_lines(axes: Axes) -> None:
    """Write the label of each line at its end, in its color, instead of a legend.

    Labels to the right of the axes move apart where they would cover each other. A line that ends earlier, or leaves
    the axes, has its label there. Call this last: it needs the limits of the axes as they are to be.

    Raises
    ------
    ValueError
        If no line has a label.
    """
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    if not lines:
        raise ValueError("label_lines found no line with a label: plot with label=..., then call it.")
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    ends = []
    for line in lines:
        points = (axes.transData - axes.transAxes).transform(line.get_xydata())
        ends.append(points[((points > -0.01) & (points < 1.01)).all(axis=1)][-1])
    to_right = sorted((i for i in range(len(lines)) if ends[i][0] > 0.9), key=lambda i: ends[i][1])
    room = 1.25 * mpl.rcParams["font.size"] / 72 * axes.figure.dpi / axes.get_window_extent().height
    for i in to_right:
        ends[i][0] = max(1, ends[i][0])
    for _ in range(100):
        for low, high in pairwise(to_right):
            lacking = max(0, room - (ends[high][1] - ends[low][1]))
            ends[low][1] -= lacking / 2
            ends[high][1] += lacking / 2
    for i, (line, end) in enumerate(zip(lines, ends, strict=True)):
        axes.annotate(
            str(line.get_label()),
            end,
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            verticalalignment="bottom" if end[1] < 0.02 and i not in to_right else "center",
            color=0.75 * np.array(to_rgb(line.get_color())),  # thin letters need more contrast than a line
        )


def _source(source: Fit | nn.Module, problem: Problem | None) -> tuple[nn.Module, Problem]:
    if isinstance(source, nn.Module):
        if problem is None:
            raise ValueError("A model alone does not know its domain: give the problem too.")
        return source, problem
    return source.model, source.problem


def _axes(ax: Axes | None) -> tuple[Figure, Axes]:
    if ax is None:
        return plt.subplots()
    figure = ax.figure
    assert isinstance(figure, Figure)
    return figure, ax


def _free(problem: Problem, at: Mapping[str, float] | None) -> list[str]:
    """Coordinates left to draw over: one or two."""
    _bounds(problem).check_face(at or {}, "at")
    free = [name for name in problem.domain.names if name not in (at or {})]
    if len(free) not in (1, 2):
        raise ValueError(f"A picture needs 1 or 2 free coordinates, not {len(free)}: fix some with at={{...}}.")
    return free


def _across(problem: Problem, at: Mapping[str, float] | None) -> list[str]:
    """The free coordinates as they are drawn, first the one to the right: in a box the last one, which may be the time.

    A shape in space is seen as it is, its first coordinate to the right.
    """
    free = _free(problem, at)
    turned = isinstance(problem.domain, Box) or free[-1] == "t"
    return free[::-1] if turned else free


def _bounds(problem: Problem) -> Box:
    """The smallest box around the domain."""
    return Box(**problem.domain.bounds)


def _grid(problem: Problem, at: Mapping[str, float] | None) -> Tensor:
    return _bounds(problem).grid(401 if len(_free(problem, at)) == 1 else 161, fixed=at)


def _values(source: Any, problem: Problem, field: str, at: Mapping[str, float] | None) -> np.ndarray:
    """Values of a field of a model, or of the exact solution, on the grid of the free coordinates; NaN off the domain."""
    grid = _grid(problem, at)
    inside = problem.domain.contains(grid)
    if not inside.any():
        raise ValueError(f"There is nothing of {problem.domain} to draw at {dict(at or {})}: fix other values.")
    points = grid[inside]
    if isinstance(source, nn.Module):
        with torch.no_grad():
            found = problem.values(source, points, [field])[field]
    else:
        found = source(points)[field]
    values = torch.full((len(grid),), torch.nan, dtype=torch.float64)
    values[inside] = found.cpu().double()
    count = len(_free(problem, at))
    return values.numpy().reshape((round(len(grid) ** (1 / count)),) * count)


def _scale(values: np.ndarray) -> tuple[str, tuple[float, float]]:
    """Colors and limits of a map: two hues, with white at zero, for a field of both signs."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if min(-low, high) > 0.1 * max(-low, high):
        return "RdBu_r", (-max(-low, high), max(-low, high))
    return "viridis", (low, high)


def _draw(
    axes: Axes,
    problem: Problem,
    values: np.ndarray,
    at: Mapping[str, float] | None,
    title: str,
    cmap: str,
    limits: tuple[float, float] | tuple[None, None] = (None, None),
) -> None:
    """Draw a curve or a map."""
    free = _free(problem, at)
    if len(free) == 1:
        axes.plot(np.linspace(*problem.domain.bounds[free[0]], len(values)), values)
        axes.set(xlabel=free[0], title=title)
        return
    right, up = _across(problem, at)
    values = values if (up, right) == tuple(free) else values.T
    extent = (*problem.domain.bounds[right], *problem.domain.bounds[up])
    aspect: Any = "auto" if np.isfinite(values).all() else "equal"  # a shape looks like itself
    image = axes.imshow(values, origin="lower", aspect=aspect, extent=extent, cmap=cmap, vmin=limits[0], vmax=limits[1])
    axes.set(xlabel=right, ylabel=up, title=title)
    axes.grid(visible=False)
    axes.figure.colorbar(image, ax=axes, pad=0.02)
