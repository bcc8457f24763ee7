"""Numbers of any size are found by every optimizer, and runs are kept with their scales."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from sized import FEW, decay, deviation, heat, hot, logistic, outputs, wide

from pinnedu import (
    KFAC,
    LBFGS,
    MLP,
    SOAP,
    SPRING,
    Adam,
    Box,
    Fit,
    GaussNewton,
    Observed,
    On,
    Points,
    Problem,
    fit,
    march,
)
from pinnedu.scales import Unit, scales_of_terms

# --- solved


@pytest.mark.parametrize(("true", "guess"), [(7e7, 1e7), (7e-16, 1e-16)])
def test_an_unknown_of_any_size_is_found(true, guess):
    problem = decay(true, guess)
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=30, seed=0, points=FEW)
    assert run.unknowns["k"] == pytest.approx(true, rel=0.03)
    assert run.problem.unknowns == run.unknowns
    assert run.history["k"][-1] == run.unknowns["k"]
    assert run.scales.unknowns == {"k": guess}
    assert run.warnings == []


@pytest.mark.parametrize("optimizer", [Adam(2e-2), LBFGS()])
def test_an_unknown_moves_as_if_it_were_near_1(optimizer):
    one, large = (
        fit(MLP(problem, (6,)), problem, optimizer=optimizer, steps=60, seed=0, points=FEW)
        for problem in (decay(7.0, 1.0), decay(7e7, 1e7))
    )
    assert one.scales.unknowns == {"k": 1.0}
    assert abs(one.unknowns["k"] - 1) > 0.05
    assert large.unknowns["k"] == pytest.approx(1e7 * one.unknowns["k"], rel=1e-3)


def test_values_from_200_to_1000():
    problem = logistic()
    run = fit(MLP(problem, (12,)), problem, optimizer=GaussNewton(), steps=40, seed=0, points=FEW)
    assert run.error < 1e-3
    assert run.predict(t=0.0) == pytest.approx(200, rel=1e-3)
    assert run.scales.fields == {"u": (0.0, 256.0)}
    assert run.scales.terms == {"logistic": 100.0, "start": 100.0}


def test_a_temperature_of_350_with_an_arrhenius_law():
    problem = hot()
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=30, seed=0, points=FEW)
    assert run.error < 1e-5
    assert run.scales.fields["T"] == (360.0, 32.0)


def test_a_wide_domain():
    problem = wide()
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=50, seed=0, points=FEW)
    assert run.error < 3e-3
    assert run.scales.terms == {"poisson": 1e-4, "left": 1.0, "right": 1.0}
    assert run.scales.fields == {"u": Unit()}


@pytest.mark.parametrize(("size", "shift"), [(1e-6, 0.0), (1e6, 0.0), (20.0, 350.0), (-5e-4, 0.0)])
def test_heat_in_any_unit(size, shift):
    problem = heat(size, shift)
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=25, seed=0, points=Points(150, 20))
    assert deviation(run.model, problem, shift) < 1e-2


def test_adam_finds_a_temperature():
    problem = heat(20.0, 350.0)
    run = fit(MLP(problem, (10,)), problem, optimizer=Adam(2e-2), steps=150, seed=0, points=FEW)
    raw = fit(MLP(problem, (10,)), problem, optimizer=Adam(2e-2), steps=150, seed=0, points=FEW, scale=False)
    assert run.error < 0.02 < 0.5 < raw.error


@pytest.mark.parametrize(("optimizer", "steps"), [(KFAC(), 40), (SPRING(), 40), (SOAP(1e-2), 150)])
@pytest.mark.parametrize(("problem", "aim"), [(hot(), 2e-3), (heat(20.0, 350.0), 0.03)])
def test_every_optimizer_moves_what_is_scaled(problem, aim, optimizer, steps):
    run = fit(MLP(problem, (10,)), problem, optimizer=optimizer, steps=steps, seed=0, points=FEW)
    assert run.error < aim
    assert run.scales.fields[problem.fields[0]] == (360.0, 32.0)


def test_a_spring_of_stiffness_400_swings():
    problem = Problem(
        Box(t=(0, 1)),
        {"spring": lambda u: u.tt + 400 * u},
        {"place": On(t=0, equation=lambda u: u - 1), "speed": On(t=0, equation=lambda u: u.t)},
        exact=lambda t: torch.cos(20 * t),
    )
    run = fit(MLP(problem, (20, 20)), problem, optimizer=GaussNewton(), steps=80, seed=1, points=Points(100, 1))
    assert run.scales.terms == {"spring": 100.0, "place": 1.0, "speed": 1.0}
    assert run.error < 0.05


@pytest.mark.parametrize(("size", "terms"), [(50.0, 1.0), (200.0, 100.0)])
def test_only_what_zero_solves_is_held_down_so_early(size, terms):
    """A wave of size about 0.7 leaves 0.7 times the factor; with a source it is not zero that the equation pulls to."""
    pulled, driven = (
        Problem(Box(t=(0, 1)), {"e": equation}, {"start": On(t=0, equation=lambda u: u - 1)})
        for equation in (lambda u: u.t + size * u, lambda u: u.t + size * (u - 1e-3))
    )
    for problem, expected in ((pulled, terms), (driven, 1.0)):
        assert scales_of_terms(problem, {"u": Unit()}, {})["e"] == expected


# --- kept


def test_scales_are_saved_with_the_run(tmp_path):
    problem = decay(7e7, 1e7)
    run = fit(MLP(problem, (5,)), problem, optimizer=GaussNewton(), steps=15, points=FEW, seed=0)
    run.save(tmp_path / "run.pt")
    back = Fit.load(tmp_path / "run.pt", decay(7e7, 1.0))
    assert back.scales == run.scales
    on = fit(back.model, back.problem, optimizer=GaussNewton(), steps=2, points=FEW, after=back)
    assert on.scales == run.scales
    assert on.history["k"][15] == pytest.approx(run.unknowns["k"], rel=0.01)


def test_a_scaled_model_is_saved_and_goes_on(tmp_path):
    problem = logistic()
    run = fit(MLP(problem, (8,)), problem, optimizer=GaussNewton(), steps=25, points=FEW, seed=0)
    run.save(tmp_path / "run.pt")
    back = Fit.load(tmp_path / "run.pt", logistic())
    t = np.linspace(0, 5, 9)
    assert np.array_equal(back.predict(t=t), run.predict(t=t))
    fresh = MLP(problem, (8,))
    fresh.load_state_dict(run.model.state_dict())
    assert torch.equal(outputs(fresh, problem), outputs(run.model, problem))
    plain = MLP(problem, (8,)).state_dict()
    fresh.load_state_dict(plain)  # and weights without a scale are weights without a scale
    assert fresh.output_scale is None
    for follow in (
        fit(back.model, problem, optimizer=LBFGS(), steps=3, points=FEW, after=back),
        fit(run.model, problem, optimizer=LBFGS(), steps=3, points=FEW),
    ):
        assert follow.scales == run.scales
        assert follow.error < 2 * run.error


def test_a_checkpoint_goes_on_to_the_last_bit(tmp_path):
    problem = Problem(
        Box(t=(0, 2)),
        {"decay": lambda u, k: u.t + 1e-8 * k * u},
        {"start": On(t=0, equation=lambda u: u - 300), "end": On(t=2, equation=lambda u: u - 300 * math.exp(-1.4))},
        unknowns={"k": 1e7},
    )
    options = {"optimizer": GaussNewton(), "points": FEW, "seed": 0, "checkpoint_every": 0.0}
    whole = fit(MLP(problem, (6,)), problem, steps=12, **options)
    fit(MLP(problem, (6,)), problem, steps=5, checkpoint=tmp_path / "run.pt", **options)
    run = fit(MLP(problem, (6,)), problem, steps=12, checkpoint=tmp_path / "run.pt", **options)
    assert np.array_equal(run.history["loss"], whole.history["loss"])
    assert np.array_equal(run.history["k"], whole.history["k"])
    assert torch.equal(outputs(run.model, problem), outputs(whole.model, problem))
    assert run.scales == whole.scales
    assert run.scales.unknowns == {"k": 1e7}
    with pytest.raises(ValueError, match="scale: True there, False here"):
        fit(MLP(problem, (6,)), problem, steps=12, checkpoint=tmp_path / "run.pt", scale=False, **options)


def test_a_callback_sees_values_in_the_units_of_the_problem():
    problem = decay(7e7, 1e7)
    seen = []
    fit(
        MLP(problem, (5,)), problem, optimizer=GaussNewton(), steps=3, points=FEW, seed=0,
        callbacks=[lambda state: seen.append(float(state.unknowns["k"]))],
    )  # fmt: skip
    assert all(1e6 < value < 1e9 for value in seen)
    values = []
    run = fit(
        MLP(logistic(), (5,)), logistic(), optimizer=GaussNewton(), steps=3, points=FEW, seed=0,
        callbacks=[lambda state: values.append(state.model(torch.zeros(1, 1).double()).item())],
    )  # fmt: skip
    assert values[-1] == run.predict(t=0.0)
    assert abs(values[-1]) > 20


def test_windows_hand_their_scales_on():
    plan = march(
        lambda window: MLP(window, (8,)), logistic(), 2, optimizer=GaussNewton(), steps=25, points=FEW, seed=0
    )
    assert plan.error < 5e-3
    assert plan.fits[0].scales.fields["u"] == (0.0, 256.0)
    assert plan.scales == plan.fits[1].scales
    assert plan.scales.fields["u"] == (0.0, 1024.0)


def test_growth_from_100_to_1000_in_windows():
    problem = logistic(start=100.0, end=10.0)
    plan = march(lambda window: MLP(window, (12,)), problem, 4, optimizer=GaussNewton(), steps=25, points=FEW, seed=0)
    assert plan.error < 1e-3


def test_predators_and_prey_in_windows():
    """Lotka-Volterra from (100, 15) for one round of the cycle: prey up to 180, predators up to 130."""

    def rates(t, y):
        return [2 * y[0] - 0.04 * y[0] * y[1], 0.02 * y[0] * y[1] - 1.06 * y[1]]

    path = solve_ivp(rates, (0, 4), (100, 15), rtol=1e-10, atol=1e-10, dense_output=True).sol
    problem = Problem(
        Box(t=(0, 4)),
        {"prey": lambda r, p: r.t - 2 * r + 0.04 * r * p, "predators": lambda r, p: p.t - 0.02 * r * p + 1.06 * p},
        {"prey at first": On(t=0, equation=lambda r: r - 100), "predators at first": On(t=0, equation=lambda p: p - 15)},
        fields=("r", "p"),
        exact=lambda t: dict(zip("rp", torch.as_tensor(path(t.numpy())), strict=True)),
    )
    plan = march(
        lambda window: MLP(window, (12, 12)), problem, 4, optimizer=GaussNewton(), steps=30, points=Points(80, 1), seed=0
    )
    assert plan.error < 0.02


def test_a_restored_inverse_run_has_what_it_found():
    points = torch.rand(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def problem():
        data = Observed(points, u=torch.exp(-0.7 * points[:, 1]) * torch.sin(points[:, 0]))
        equation = {"heat": lambda u, k: u.t - k * u.xx}
        return Problem(Box(x=(0, 1), t=(0, 1)), equation, {"data": data}, unknowns={"k": 0.1})

    model = MLP(problem(), (10,))
    run = fit(model, problem(), optimizer=GaussNewton(), steps=40, seed=0, points=Points(100, 60))
    assert run.unknowns["k"] == pytest.approx(0.7, abs=0.02)
    fresh = MLP(problem(), (10,))
    fresh.load_state_dict(model.state_dict())  # the unknown is the run's, so the weights of the model fit
    trained, restored = (run.problem.residuals(which, points)["heat"] for which in (model, fresh))
    assert torch.equal(trained, restored)
    again = replace(run, model=fresh)
    on = fit(fresh, problem(), optimizer=Adam(1e-6), steps=1, seed=0, points=FEW, after=again)
    assert on.unknowns["k"] == pytest.approx(run.unknowns["k"], abs=1e-5)
