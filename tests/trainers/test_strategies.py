"""Plans of several fits: what is handed on, what is put together, and what is said about bad input."""

from __future__ import annotations

import warnings
from dataclasses import replace
from math import pi

import numpy as np
import pytest
import torch

from pinnedu import (
    MLP,
    Box,
    Fit,
    GaussNewton,
    Observed,
    On,
    Periodic,
    Points,
    Problem,
    curriculum,
    decompose,
    fit,
    march,
    problems,
    relative_error,
)
from pinnedu.trainers.composite import Blend, Piecewise, intervals
from pinnedu.trainers.strategies import Seam

FEW = Points(interior=30, conditions=5)
QUICK = {"optimizer": GaussNewton(), "steps": 8, "points": FEW, "progress": False}


def small(problem):
    return MLP(problem, hidden=(6,))


@pytest.fixture
def swing():
    """u'' = -u, u(0) = 0, u'(0) = 1: of second order in time, so that a window hands on two numbers."""
    return Problem(
        Box(t=(0, 4)),
        {"swing": lambda u: u.tt + u},
        {"start": On(t=0, equation=lambda u: (u, u.t - 1))},
        exact=lambda t: torch.sin(t),
    )


# --- curriculum


def decays(*rates):
    """u' = -a u, u(0) = 1."""

    def one(a):
        return Problem(
            Box(t=(0, 1)),
            {"decay": lambda u: u.t + a * u},
            {"start": On(t=0, equation=lambda u: u - 1)},
            exact=lambda t: torch.exp(-a * t),
        )

    return [one(a) for a in rates]


def test_a_curriculum_is_fits_one_after_the_other():
    row = decays(1.0, 2.0, 4.0)
    plan = curriculum(small(row[0]), row, **QUICK, seed=0)
    model = small(row[0])
    by_hand = [fit(model, problem, **QUICK, seed=0) for problem in row]
    assert [run.error for run in plan.fits] == [run.error for run in by_hand]
    assert plan.error == by_hand[-1].error < 1e-2
    assert plan.problem is row[-1]
    assert isinstance(plan, Fit)
    assert plan.stopped == "all 3 stages done"
    assert plan.fits[1].history["loss"][0] < 1  # starts from what was learned: the first stage's start is not drawn again


def test_the_history_goes_through_all_stages():
    plan = curriculum(small(decays(1.0)[0]), decays(1.0, 2.0), **QUICK | {"steps": [3, 5]}, seed=0, error_every=1)
    assert plan.history["stage"].tolist() == [1] * 3 + [2] * 5
    assert plan.history["step"].tolist() == list(range(1, 9))
    assert (np.diff(plan.history["seconds"]) > 0).all()
    assert plan.history["seconds"][-1] == pytest.approx(plan.seconds)
    assert plan.history["error"][2] == plan.fits[0].error
    assert plan.loss == plan.fits[-1].loss
    assert "2 fits, all 2 stages done" in repr(plan)


# --- windows in time


def test_march_learns_what_is_handed_on(swing):
    plan = march(lambda window: MLP(window, (10,)), swing, 4, **QUICK | {"steps": 30}, seed=0)
    assert plan.error == pytest.approx(relative_error(plan.model, swing))
    assert plan.error < 1e-3
    assert [run.problem.domain.bounds["t"] for run in plan.fits] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    ends = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    for k in range(3):  # value and velocity where windows meet
        before, after = (
            torch.autograd.functional.jacobian(plan.fits[i].model, ends[k : k + 1]).squeeze() for i in (k, k + 1)
        )
        assert torch.allclose(before, after, atol=1e-3)
    assert plan.stopped == "all 4 windows done"


def test_march_in_one_window_is_a_fit(swing):
    plan = march(small, swing, 1, **QUICK, seed=3)
    run = fit(small(swing), swing, **QUICK, seed=3)
    assert plan.error == run.error


def test_a_window_starts_from_the_model_before_and_nothing_else(closed_form, swing):
    before = closed_form(lambda t: t**2)
    seam = Seam(swing.conditions["start"], swing, before, t=1.5)
    window = replace(swing, domain=Box(t=(1.5, 3)), conditions={"start": seam})
    sample = window.sample(FEW)
    assert sample["start"].tolist() == [[1.5, 1.5**2, 3.0 - 1]]  # u and u' - 1 of t^2
    same, other = closed_form(lambda t: t**2), closed_form(lambda t: t**2 + 0.5 * (t - 1.5))
    assert window.residuals(same, sample)["start"].abs().max() < 1e-14
    assert window.residuals(other, sample)["start"].tolist() == pytest.approx([0.0, 0.5])
    assert not seam.targets(torch.tensor([[1.5]])).requires_grad


def test_windows_may_have_any_length_and_overlap(swing):
    plan = march(small, swing, [1.0, 3.0], **QUICK, overlap=0.5, seed=0)
    assert [run.problem.domain.bounds["t"] for run in plan.fits] == [(0, 1), (0.5, 3), (2, 4)]
    at = torch.tensor([[0.4], [0.6], [2.5]], dtype=torch.float64)
    for row, k in zip(at, (0, 1, 2), strict=True):
        assert torch.equal(plan.model(row[None]), plan.fits[k].model(row[None]))


def test_windows_keep_walls_and_the_data_that_lie_in_them():
    heat = problems.heat()
    rows = torch.tensor([[1.0, 0.1], [1.0, 0.2], [1.0, 0.9]], dtype=torch.float64)
    measured = replace(heat, conditions={**heat.conditions, "data": Observed(rows, u=[0.7, 0.6, 0.3])})
    plan = march(small, measured, 3, **QUICK, seed=0)
    assert [len(run.problem.conditions["data"].where) for run in plan.fits if "data" in run.problem.conditions] == [2, 1]
    assert all({"left", "right", "initial"} <= set(run.problem.terms) for run in plan.fits)
    assert isinstance(plan.fits[1].problem.conditions["initial"], Seam)
    assert "data" not in plan.history  # not a term of every window


def test_the_pieces_have_derivatives_in_taylor_mode(closed_form):
    whole = Piecewise(axis=1)
    whole.append(0.0, closed_form(lambda x, t: x**2 * t))
    whole.append(0.5, closed_form(lambda x, t: x * t**2))
    problem = Problem(Box(x=(0, 1), t=(0, 1)), {"sum": lambda u: u.t + u.xx})
    points = torch.tensor([[0.3, 0.2], [0.3, 0.8]], dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # falling back to nested autograd would warn
        found = problem.residuals(whole, points)["sum"]
    assert found.tolist() == pytest.approx([0.3**2 + 2 * 0.2, 2 * 0.3 * 0.8])


# --- parts of space


@pytest.mark.parametrize(("parts", "overlap"), [({"x": 1}, 0.5), ({"x": 5}, 1.0), ({"x": 3, "t": 2}, 0.3)])
def test_the_weights_of_the_parts_sum_to_one_and_stay_in_their_part(parts, overlap, closed_form):
    box = Box(x=(-1, 3), t=(0, 1))
    rows = {name: intervals(*box.bounds[name], count, overlap) for name, count in parts.items()}
    made = []
    blend = Blend(box, rows, lambda part: made.append(part) or closed_form(lambda x, t: x**2 + t))
    points = box.sample(500)
    weights = [torch.as_tensor(w, dtype=torch.float64).expand(500, 1) for w in blend.weights(points)]
    assert len(weights) == len(made) == np.prod(list(parts.values()))
    assert torch.allclose(sum(weights), torch.ones(500, 1, dtype=torch.float64), atol=1e-14)
    for part, weight in zip(made, weights, strict=True):
        assert part.low.ge(box.low).all()
        outside = ~part.contains(points)
        assert not outside.any() or weight[outside].abs().max() < 0.011
    # Equal models blend to themselves, derivatives included.
    problem = Problem(box, {"sum": lambda u: u.t + u.xx})
    assert torch.allclose(problem.residuals(blend, points)["sum"], torch.full((500,), 3.0, dtype=torch.float64))


def test_intervals_overlap_by_their_share():
    assert intervals(0, 3, 3, 0.5) == [(0, 1.25), (0.75, 2.25), (1.75, 3)]


def test_parts_learn_what_one_model_cannot():
    wave = problems.poisson(k=8)
    options = {"optimizer": GaussNewton(), "steps": 60, "points": Points(200, 1, "sobol"), "progress": False, "seed": 0}
    plan = decompose(lambda part: MLP(part, (5,)), wave, {"x": 8}, **options)
    assert plan.error < 1e-2
    assert plan.error == plan.fits[0].error
    assert len(plan.model.models) == 8
    assert fit(MLP(wave, (5,)), wave, **options).error > 0.3


def test_a_part_sees_its_own_box_normalized():
    wave = problems.poisson(k=2)
    boxes = []
    decompose(lambda part: boxes.append(part.domain) or small(part), wave, {"x": 2}, **QUICK, overlap=0.5)
    assert boxes == [Box(x=(-pi, pi / 4)), Box(x=(-pi / 4, pi))]


# --- endings


@pytest.mark.parametrize("how", ["within", "between"])
def test_an_interrupted_plan_returns_what_was_reached(how, swing):
    seen = []

    def build(window):
        seen.append(window)
        if how == "between" and len(seen) == 3:
            raise KeyboardInterrupt
        return small(window)

    def interrupt(state):
        if how == "within" and len(seen) == 2 and state.step == 4:
            raise KeyboardInterrupt

    plan = march(build, swing, 4, **QUICK, seed=0, callbacks=[interrupt])
    said = {"within": "window 2 of 4: interrupted at step 4", "between": "interrupted before window 3 of 4"}
    assert plan.stopped == said[how]
    assert len(plan.fits) == len(plan.model.models) == 2
    assert plan.error == relative_error(plan.model, swing)  # on the whole domain


def test_a_plan_interrupted_before_its_first_step_has_nothing_to_return(swing):
    def build(window):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        march(build, swing, 2, **QUICK)


def test_a_stage_that_breaks_down_ends_the_plan(scripted):
    def act(model, step):
        model.layers[-1].bias += float("nan") if step > 8 else 0.0

    row = decays(1.0, 2.0, 3.0)
    plan = curriculum(small(row[0]), row, optimizer=scripted(act), steps=5, points=FEW, progress=False)
    assert plan.stopped.startswith("stage 2 of 3: the weights became infinite or NaN at step 4")
    assert len(plan.fits) == 2
    assert plan.warnings == [f"stage 2: {plan.fits[1].warnings[0]}"]
    assert np.isfinite(plan.error)


def test_a_plan_goes_on_from_its_checkpoints(tmp_path, swing):
    def run(**more):
        return march(small, swing, 3, **QUICK, seed=0, checkpoint=tmp_path / "plan.pt", **more)

    def interrupt(state):
        if state.problem.domain.bounds["t"][0] > 1 and state.step == 4:
            raise KeyboardInterrupt

    broken = run(callbacks=[interrupt])
    assert len(broken.fits) == 2
    whole = run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan-1.pt", "plan-2.pt", "plan-3.pt"]
    assert whole.error == march(small, swing, 3, **QUICK, seed=0).error


# --- bad input


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: curriculum(small(p), [p], **QUICK), "at least two problems"),
        (lambda p: curriculum(small(p), p, **QUICK), "at least two problems"),
        (lambda p: curriculum(small(p), [p, "hard"], **QUICK), "at least two problems"),
        (lambda p: curriculum(small(p), [p, problems.heat()], **QUICK), r"same coordinates, not \('t',\) and then"),
        (lambda p: curriculum(small(p), [p, p], **QUICK | {"steps": [1, 2, 3]}), "for each of the 2 stages, not 3"),
        (lambda p: curriculum(small(p), [p, p], **QUICK | {"steps": 0}), "steps must be a whole number"),
        (lambda p: march(small(p), p, **QUICK), "give it lambda problem"),
        (lambda p: march(small, "problem", **QUICK), "needs a Problem as its second argument, not str"),
        (lambda p: march(small, p, 0, **QUICK), "at least 1, not 0"),
        (lambda p: march(small, p, True, **QUICK), "a whole number or the times between windows, not True"),
        (lambda p: march(small, p, 1.5, **QUICK), "a whole number or the times between windows, not 1.5"),
        (lambda p: march(small, p, [3.0, 2.0], **QUICK), "must rise from above 0 to below 4"),
        (lambda p: march(small, p, [5.0], **QUICK), "must rise from above 0 to below 4"),
        (lambda p: march(small, p, [float("nan")], **QUICK), "must rise from above 0 to below 4"),
        (lambda p: march(small, p, 2, overlap=1.0, **QUICK), "at least 0 and below 1, not 1.0"),
        (lambda p: march(small, p, 2, time="s", **QUICK), "march names 's', but the coordinates are t"),
        (lambda p: march(small, replace(p, conditions={}), 2, **QUICK), "needs an initial condition"),
        (lambda p: march(small, replace(p, unknowns={"a": 1.0}), 2, **QUICK), "its own a: march does not take"),
        (
            lambda p: march(small, replace(p, conditions={"end": On(t=4, equation=lambda u: u)}), 2, **QUICK),
            "goes forward from t = 0, but 'end' holds at t = 4",
        ),
        (
            lambda p: march(small, replace(p, conditions={**p.conditions, "ring": Periodic("t")}), 2, **QUICK),
            "goes forward in t, but 'ring' ties its two ends",
        ),
        (lambda p: decompose(small(p), p, {"t": 2}, **QUICK), "give it lambda problem"),
        (lambda p: decompose(small, p, 2, **QUICK), "a dict of coordinate to number"),
        (lambda p: decompose(small, p, {}, **QUICK), "a dict of coordinate to number"),
        (lambda p: decompose(small, p, {"y": 2}, **QUICK), "parts names 'y', but the coordinates are t"),
        (lambda p: decompose(small, p, {"t": 0}, **QUICK), "parts along t must be a whole number of at least 1, not 0"),
        (lambda p: decompose(small, p, {"t": 2}, overlap=0, **QUICK), "above 0 and at most 1, not 0"),
    ],
)
def test_bad_input(call, said, swing):
    with pytest.raises(ValueError, match=said):
        call(swing)
