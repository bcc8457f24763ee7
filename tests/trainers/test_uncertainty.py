"""Laplace's approximation against what least squares say where a formula of the solution is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit

from pinnedu import MLP, Adam, Box, Fit, GaussNewton, Networks, Observed, On, Points, Problem, fit

TIMES = np.linspace(0, 2, 30)
NOISE = 0.05
EXACT = {"decay": 10.0, "start": 10.0}


def decay(seed=0, noise=NOISE, unit=1.0):
    """u' = z (a - k u) with two unknowns whose names are not in the order of the alphabet."""
    draw = np.random.default_rng(seed)
    readings = formula(TIMES, 1.3, 0.4) + noise * draw.standard_normal(30)
    return Problem(
        Box(t=(0, 2)),
        {"decay": lambda u, k, a: u.t + k / unit * u - a},
        {"start": On(t=0, equation=lambda u: u - 1), "data": Observed(TIMES[:, None], u=readings)},
        unknowns={"k": 1.0 * unit, "a": 0.1},
    )


def formula(t, k, a):
    return a / k + (1 - a / k) * np.exp(-k * t)


def trained(problem, steps=40, optimizer=None, weights=EXACT):
    return fit(
        MLP(problem, (8,)),
        problem,
        optimizer=optimizer or GaussNewton(),
        steps=steps,
        points=Points(50, 1, method="sobol"),
        weights=weights,
        seed=0,
        device="cpu",
        progress=False,
    )


@pytest.fixture(scope="module")
def run():
    return trained(decay())


def least_squares(problem):
    values, covariance = curve_fit(formula, TIMES, problem.conditions["data"].values["u"].numpy(), p0=(1.0, 0.1))
    return dict(zip("ka", values, strict=True)), dict(zip("ka", np.sqrt(np.diag(covariance)), strict=True))


def test_the_deviation_is_that_of_least_squares(run):
    found, deviations = least_squares(decay())
    posterior = run.posterior()
    for name, (low, high) in posterior.interval(level=0.6827).items():
        assert (low + high) / 2 == pytest.approx(found[name], abs=0.05 * deviations[name])
        assert (high - low) / 2 == pytest.approx(deviations[name], rel=0.06)
    assert deviations["a"] < 0.8 * deviations["k"]  # so that a mistaken order is seen
    assert posterior.parameters == pytest.approx(2, abs=0.3)
    assert posterior.parameters + posterior.freedom == pytest.approx(30)


def test_the_noise_is_that_of_what_the_readings_leave(run):
    readings = decay().conditions["data"].values["u"].numpy()
    left = readings - formula(TIMES, **least_squares(decay())[0])
    posterior = run.posterior()
    assert posterior.noise["data"] == pytest.approx(np.sqrt((left**2).sum() / 28), rel=0.02)
    assert "noise: data 0.0" in repr(posterior)


def test_a_function_has_the_interval_of_the_formula(run):
    t = np.array([[0.5, 1.0], [1.5, 2.0]])
    low, high = run.interval("u", t=t)
    found, _ = least_squares(decay())
    values, covariance = curve_fit(formula, TIMES, decay().conditions["data"].values["u"].numpy(), p0=(1.0, 0.1))
    h = 1e-6
    slopes = np.stack([(formula(t, *(values + step)) - formula(t, *values)) / h for step in h * np.eye(2)], axis=-1)
    deviation = np.sqrt(np.einsum("...i,ij,...j", slopes, covariance, slopes))
    assert (high - low).shape == (2, 2)
    np.testing.assert_allclose((high - low) / 2, 2.05 * deviation, rtol=0.1)
    np.testing.assert_allclose((high + low) / 2, formula(t, **found), atol=0.01)
    at_start = run.interval("u", t=0.0)
    assert at_start.high - at_start.low < 0.4 * (high - low).min()  # known there


def test_wider_for_a_higher_level_and_for_a_derivative(run):
    widths = [np.diff(run.interval("k", level=level)) for level in (0.5, 0.9, 0.99)]
    assert widths[0] < widths[1] < widths[2]
    low, high = run.interval("u.t", t=0.0)
    assert low < 0.4 - 1.3 < high


def test_the_unit_of_an_unknown_is_its_own(run):
    """A rate written a thousand times as large has an interval a thousand times as wide."""
    large = trained(decay(unit=1000.0))
    assert large.scales.unknowns["k"] == 1000
    np.testing.assert_allclose(large.interval("k"), 1000 * np.array(run.interval("k")), rtol=0.01)


def test_weights_of_the_loss_do_not_move_it_where_the_equation_holds(run):
    """Four times all weights is the same loss; a saved run knows its own."""
    other = trained(decay(), weights={"decay": 40.0, "start": 40.0, "data": 4.0})
    np.testing.assert_allclose(other.interval("k"), run.interval("k"), rtol=1e-3)


def test_a_loaded_run_has_the_same_interval(run, tmp_path):
    run.save(tmp_path / "run.pt")
    assert Fit.load(tmp_path / "run.pt", decay()).interval("k") == pytest.approx(run.interval("k"), rel=1e-12)


def test_an_unknown_function_is_less_sure_where_nothing_was_measured():
    """u' = f with f unknown, measured in the left half."""
    draw, where = np.random.default_rng(0), np.linspace(0, 0.5, 40)
    problem = Problem(
        Box(t=(0, 1)),
        {"slope": lambda u, f: u.t - f},
        {"start": On(t=0, equation=lambda u: u), "data": Observed(where[:, None], u=where + 0.02 * draw.standard_normal(40))},
        fields=("u", "f"),
    )
    model = Networks(u=MLP(problem, (8,)), f=MLP(problem, (6,)))
    run = fit(model, problem, optimizer=GaussNewton(), steps=80, points=Points(60, 1), seed=0, device="cpu", progress=False)
    posterior = run.posterior(Points(200, 1))
    low, high = posterior.interval("f", t=[0.25, 1.0])
    assert low[0] < 1 < high[0]
    assert high[1] - low[1] > 3 * (high[0] - low[0])


def test_a_run_that_has_not_come_to_its_minimum_says_so():
    early = trained(decay(), steps=20, optimizer=Adam(1e-3))
    with pytest.warns(UserWarning, match="not at the minimum"):
        early.interval("k")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda run: run.interval("z"), "There is no field 'z'"),
        (lambda run: run.interval("k", t=1.0), "'k' is a number"),
        (lambda run: run.interval(level=1.0), "level must be a probability"),
        (lambda run: run.interval(3), "of must be the name"),
        (lambda run: run.interval("u"), "needs each coordinate by name"),
        (lambda run: run.interval("u", t=3.0), "outside of"),
        (lambda run: run.posterior(7), "points must be Points"),
    ],
)
def test_what_is_wrong_is_said(run, ask, said):
    with pytest.raises(ValueError, match=said):
        ask(run)


def test_without_data_there_is_no_interval():
    problem = Problem(Box(t=(0, 1)), {"decay": lambda u: u.t + u}, {"start": On(t=0, equation=lambda u: u - 1)})
    run = fit(MLP(problem, (4,)), problem, optimizer=Adam(), steps=1, seed=0, device="cpu", progress=False)
    with pytest.raises(ValueError, match="needs measured values"):
        run.posterior()
    with pytest.raises(ValueError, match="has no unknown numbers"):
        run.interval()


def test_an_unknown_that_no_term_sees_has_no_interval():
    problem = decay()
    blind = Problem(
        problem.domain, {"decay": lambda u: u.t + u}, dict(problem.conditions), unknowns={"k": 1.0}
    )
    run = fit(MLP(blind, (4,)), blind, optimizer=Adam(), steps=1, seed=0, device="cpu", progress=False)
    with pytest.raises(ValueError, match="The data do not determine k"):
        run.interval("k")


def test_a_fit_that_uses_up_all_data_does_not_know_their_noise():
    where = torch.linspace(0, 1, 3, dtype=torch.float64)
    problem = Problem(Box(t=(0, 1)), {"slope": lambda u: 0 * u.t}, {"data": Observed(where[:, None], u=where**2)})
    few = Points(5, 1)
    run = fit(MLP(problem, (8,)), problem, optimizer=GaussNewton(), steps=20, points=few, seed=0, device="cpu", progress=False)
    with pytest.raises(ValueError, match="uses up all of the 3 measured values"):
        run.posterior()
