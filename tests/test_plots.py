"""Pictures: they show the right numbers the right way up, with labels, and leave matplotlib as it was."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pinnedu import Box, Problem, plots
from pinnedu.trainers import Fit, Status

BOX = Box(x=(0, 2), t=(0, 1))
PROBLEM = Problem(BOX, {"pde": lambda u: u.t}, exact=lambda x, t: x + 10 * t)


@pytest.fixture
def model(closed_form):
    """u = x + 9 t: short of the exact x + 10 t by t."""
    return closed_form(lambda x, t: x + 9 * t)


def record(problem=PROBLEM, model=None, error=True, steps=6):
    """The result of a run that never was."""
    values = 10.0 ** -np.arange(steps)
    sparse = np.where(np.arange(steps) % 2, values, np.nan)
    history = {"step": np.arange(1, steps + 1), **dict.fromkeys(problem.terms, values), "loss": 2 * values}
    history |= {"fresh": sparse, "error": sparse if error else np.full(steps, np.nan)}
    history["seconds"] = 0.5 * np.arange(1, steps + 1)
    return Fit(model, problem, 0.1 if error else None, history, {}, 3.0, "all done", Status.STEPS, [])


def picture(axes):
    """The image of a map, with its lowest row first."""
    (image,) = axes.images
    assert image.origin == "lower"
    return np.asarray(image.get_array())


# --- the map of a solution


def test_solution_is_a_map_with_time_to_the_right(model):
    figure = plots.solution(model, PROBLEM)
    axes, colorbar = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("t", "x", "u")
    assert axes.images[0].get_extent() == [0, 1, 0, 2]
    values = picture(axes)
    corners = values[0, 0], values[0, -1], values[-1, 0], values[-1, -1]
    assert corners == pytest.approx((0, 9, 2, 11))
    assert colorbar.get_ylim() == pytest.approx((0, 11))


def test_a_signed_field_has_two_hues_and_white_at_zero(closed_form):
    (image,) = plots.solution(closed_form(lambda x, t: x - 1), PROBLEM).axes[0].images
    assert image.get_cmap().name == "RdBu_r"
    assert image.get_clim() == pytest.approx((-1, 1))
    (image,) = plots.solution(closed_form(lambda x, t: x), PROBLEM).axes[0].images
    assert image.get_cmap().name == "viridis"


def test_solution_of_a_run_is_that_of_its_model(model):
    run = record(model=model)
    assert np.array_equal(picture(plots.solution(run).axes[0]), picture(plots.solution(model, PROBLEM).axes[0]))


def test_collocation_points_are_drawn_where_they_are(model):
    points = torch.tensor([[0.5, 0.25], [2.0, 1.0]], dtype=torch.float64)
    (dots,) = plots.solution(model, PROBLEM, points=points).axes[0].lines
    assert dots.get_xydata().tolist() == [[0.25, 0.5], [1.0, 2.0]]


def test_solution_at_a_fixed_coordinate_is_a_curve(model):
    (axes,) = plots.solution(model, PROBLEM, at={"t": 0.5}).axes
    (line,) = axes.lines
    assert axes.get_xlabel() == "x"
    assert line.get_xdata()[[0, -1]] == pytest.approx([0, 2])
    assert line.get_ydata() == pytest.approx(line.get_xdata() + 4.5)


def test_solution_in_three_dimensions_and_of_another_field(closed_form):
    problem = Problem(Box(x=(0, 1), y=(0, 2), t=(0, 3)), {}, fields=("u", "p"))
    model = closed_form(lambda x, y, t: x, lambda x, y, t: x + 10 * y + 100 * t)
    axes = plots.solution(model, problem, field="p", at={"t": 2}).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == ("y", "x", "p")
    values = picture(axes)
    assert (values[0, 0], values[0, -1], values[-1, 0]) == pytest.approx((200, 220, 201))


def test_solution_may_be_drawn_into_given_axes_and_in_single_precision(model):
    figure, axes = plt.subplots()
    assert plots.solution(model.to(torch.float32), PROBLEM, ax=axes) is figure
    assert picture(axes)[-1, -1] == pytest.approx(11, rel=1e-6)


# --- beside the exact solution


def test_comparison_shows_exact_model_and_difference(model):
    figure = plots.comparison(model, PROBLEM)
    exact, predicted, difference = (axes for axes in figure.axes if axes.images)
    assert [axes.get_title() for axes in (exact, predicted, difference)] == ["exact u", "model u", "model − exact"]
    assert picture(exact)[-1, -1] == pytest.approx(12)
    assert picture(predicted)[-1, -1] == pytest.approx(11)
    assert picture(difference) == pytest.approx(picture(predicted) - picture(exact))
    assert exact.images[0].get_clim() == predicted.images[0].get_clim() == pytest.approx((0, 12))
    assert difference.images[0].get_clim() == pytest.approx((-1, 1))


def test_comparison_of_a_perfect_model(closed_form):
    figure = plots.comparison(closed_form(lambda x, t: x + 10 * t), PROBLEM)
    difference = [axes for axes in figure.axes if axes.images][2]
    assert np.abs(picture(difference)).max() == 0


def test_cuts_show_model_over_exact_at_the_values_named(model):
    figure = plots.cuts(model, PROBLEM, t=(0.25, 1.0))
    for axes, t in zip(figure.axes, (0.25, 1.0), strict=True):
        exact, predicted = axes.lines
        x = exact.get_xdata()
        assert (axes.get_title(), axes.get_xlabel()) == (f"t = {t:g}", "x")
        assert (x.min().item(), x.max().item()) == (0, 2)
        assert np.asarray(exact.get_ydata()) == pytest.approx(np.asarray(x) + 10 * t)
        assert np.asarray(predicted.get_ydata()) == pytest.approx(np.asarray(x) + 9 * t)
        assert (exact.get_label(), predicted.get_label()) == ("exact", "model")
    assert figure.axes[0].get_ylabel() == "u"
    (along_t,) = plots.cuts(model, PROBLEM, x=(2,)).axes
    assert along_t.get_xlabel() == "t"


def test_cuts_without_an_exact_solution(model):
    (axes,) = plots.cuts(model, Problem(BOX, {}), t=[0.5]).axes
    assert [line.get_label() for line in axes.lines] == ["model"]


# --- history


def test_history_of_a_run_shows_every_term_the_loss_and_what_was_looked_at():
    (axes,) = plots.history(record()).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {"pde", "loss", "loss on fresh points", "relative L2 error"}
    assert lines["loss"].get_xydata()[:2].tolist() == [[1, 2], [2, 0.2]]
    assert lines["loss on fresh points"].get_xdata().tolist() == [2, 4, 6]
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss, error")
    assert axes.get_legend() is not None


def test_history_against_seconds_and_without_errors():
    (axes,) = plots.history(record(error=False), against="seconds").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("seconds of training", "loss")
    assert axes.lines[0].get_xdata()[:2].tolist() == [0.5, 1.0]
    assert "relative L2 error" not in [line.get_label() for line in axes.lines]


def test_history_of_several_runs_compares_errors_or_else_losses():
    (errors,) = plots.history({"a": record(), "b": record(steps=4)}).axes
    assert errors.get_ylabel() == "relative L2 error"
    assert [(line.get_label(), len(line.get_xdata())) for line in errors.lines] == [("a", 3), ("b", 2)]
    (losses,) = plots.history({"a": record(), "b": record(error=False)}).axes
    assert losses.get_ylabel() == "loss"
    assert losses.lines[1].get_ydata()[0] == 2


# --- the style


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were(model):
    before = dict(mpl.rcParams)
    plots.solution(model, PROBLEM)
    plots.comparison(model, PROBLEM)
    plots.cuts(model, PROBLEM, t=(0.5,))
    plots.history(record())
    with plots.style():
        assert mpl.rcParams["axes.grid"]
    assert dict(mpl.rcParams) == before


def test_style_holds_for_a_notebook_until_restored():
    before = dict(mpl.rcParams)
    kept = plots.style()
    assert mpl.rcParams["figure.facecolor"] == "white"
    kept.__exit__(None, None, None)
    assert dict(mpl.rcParams) == before


def test_figures_are_opaque_also_where_the_readers_style_is_not(model, tmp_path):
    with mpl.rc_context({"savefig.facecolor": "none", "figure.facecolor": "none"}):
        figure = plots.solution(model, PROBLEM)
    figure.savefig(tmp_path / "figure.png")
    assert plt.imread(tmp_path / "figure.png")[..., 3].min() == 1


def test_the_same_figure_is_the_same_bytes(model, tmp_path):
    with plots.style():
        for name in ("a.svg", "b.svg"):
            plots.cuts(model, PROBLEM, t=(0.5,)).savefig(tmp_path / name, metadata={"Date": None})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


# --- bad input

CUBE = Problem(Box(x=(0, 1), y=(0, 1), t=(0, 1)), {})


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda m: plots.solution(m), "A model alone does not know its domain: give the problem too"),
        (lambda m: plots.solution(m, PROBLEM, field="v"), "There is no field 'v': the fields are u"),
        (lambda m: plots.solution(m, PROBLEM, at={"y": 0}), "at names 'y', but the coordinates are x, t"),
        (lambda m: plots.solution(m, PROBLEM, at={"t": 2}), r"at is off the domain: t = 2 is not in \[0, 1\]"),
        (lambda m: plots.solution(m, CUBE), "A picture needs 1 or 2 free coordinates, not 3: fix some with at={...}"),
        (lambda m: plots.solution(m, PROBLEM, at={"x": 0, "t": 0}), "A picture needs 1 or 2 free coordinates, not 0"),
        (lambda m: plots.comparison(m, Problem(BOX, {})), "This problem has no exact solution"),
        (lambda m: plots.cuts(m, PROBLEM), r"cuts needs one coordinate with its values, such as t=\(0.25, 0.5, 0.75\)"),
        (lambda m: plots.cuts(m, PROBLEM, x=(0,), t=(0,)), "cuts needs one coordinate"),
        (lambda m: plots.cuts(m, PROBLEM, y=(0,)), "cuts names 'y', but the coordinates are x, t"),
        (lambda m: plots.cuts(m, PROBLEM, t=(2,)), "off the domain: t = 2"),
        (lambda m: plots.cuts(m, CUBE, t=(0,)), "cuts needs a domain of 2 coordinates, not 3"),
        (
            lambda m: plots.history(record(), against="epoch"),
            "history is drawn against 'step' or 'seconds', not 'epoch'",
        ),
    ],
)
def test_bad_pictures(model, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(model)


# --- labels at the lines


def test_labels_stand_at_the_ends_of_lines_and_apart():
    with plots.style():
        figure, axes = plt.subplots()
        x = np.linspace(0, 1, 50)
        for label, last in (("low", 0.0), ("as low", 0.0), ("high", 1.0), ("as high", 1.0), ("highest", 1.01)):
            axes.plot(x, last * x, label=label)
        axes.plot(x, 5 * x, label="leaves")
        axes.axhline(0.5)
        axes.set(ylim=(-0.03, 1.2))
        plots.label_lines(axes)
    assert axes.get_legend() is None
    figure.draw_without_rendering()
    said = {text.get_text(): text for text in axes.texts}
    assert set(said) == {"low", "as low", "high", "as high", "highest", "leaves"}
    boxes = {name: text.get_window_extent() for name, text in said.items()}
    apart = sorted((box for name, box in boxes.items() if name != "leaves"), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 for below, above in zip(apart, apart[1:], strict=False))
    ends = axes.transData.transform([(axes.get_xlim()[1], 0), (axes.get_xlim()[1], 1), (0.23, 1.15)])
    for name, (end_x, end_y) in zip(("low", "high", "leaves"), ends, strict=True):
        box = boxes[name]
        assert 0 < box.x0 - end_x < 20
        assert abs((box.y0 + box.y1) / 2 - end_y) < 2 * box.height
    assert max(box.x1 for box in boxes.values()) < figure.bbox.x1, "the layout made room"


def test_labels_need_lines_that_have_one():
    axes = plt.figure().subplots()
    axes.plot([0, 1], [0, 1])
    with pytest.raises(ValueError, match="found no line with a label"):
        plots.label_lines(axes)


def test_a_figure_is_laid_out_and_drawn_once(monkeypatch):
    """The layout is the dearest part of a picture; afterwards the figure is as it was, for what is added later."""
    counted = {"layout": 0, "draw": 0}

    def counting(name, call):
        def wrapped(*arguments, **options):
            counted[name] += 1
            return call(*arguments, **options)

        return wrapped

    monkeypatch.setattr(ConstrainedLayoutEngine, "execute", counting("layout", ConstrainedLayoutEngine.execute))
    monkeypatch.setattr(Figure, "draw", counting("draw", Figure.draw))
    with plots.style():
        figure, axes = plt.subplots()
        image = axes.imshow([[0, 1], [2, 3]])
        figure.colorbar(image)
        engine = figure.get_layout_engine()
        plots.to_png(figure)
    assert counted == {"layout": 1, "draw": 1}
    assert figure.get_layout_engine() is engine
    plt.close(figure)
