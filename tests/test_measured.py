"""What measurements along one coordinate say of equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pinnedu import MLP, At, Box, GaussNewton, Observed, Points, Problem, fit
from pinnedu.measured import Measured
from pinnedu.scales import scales_of_terms, scales_of_unknowns, units_of_fields


def spring(guess=1.0, noise=0.0, k=400.0, count=41, **more):
    """A spring that swings about three times."""
    t = torch.linspace(0, 1, count, dtype=torch.float64)[:, None]
    u = torch.cos(k**0.5 * t[:, 0])
    u = u + noise * torch.randn(count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    options = {"unknowns": {"k": guess}, "exact": lambda t: torch.cos(k**0.5 * t)} | more
    return Problem(Box(t=(0, 1)), {"spring": lambda u, k: u.tt + k * u}, {"data": Observed(t, u=u)}, **options)


@pytest.mark.parametrize(("guess", "noise", "margin"), [(1.0, 0.0, 0.02), (300.0, 0.0, 0.02), (1.0, 0.05, 0.5)])
@pytest.mark.parametrize("count", [30, 41, 101])
def test_the_size_of_an_unknown_is_that_of_the_data(guess, noise, margin, count):
    assert Measured(spring(guess, noise, count=count)).unknowns()["k"] == pytest.approx(400, rel=margin)


def test_a_spring_of_stiffness_400_is_found_from_the_guess_1():
    problem = spring()
    run = fit(MLP(problem, (16,)), problem, optimizer=GaussNewton(), steps=60, seed=0, points=Points(60, 1))
    assert run.unknowns["k"] == pytest.approx(400, rel=0.01)
    assert run.error < 0.01
    assert run.scales.unknowns == {"k": 1000.0}
    assert run.scales.terms == {"spring": 1000.0, "data": 1.0}


def test_only_what_data_say_to_be_much_larger_is_scaled_by_them():
    assert scales_of_unknowns(spring(1.0, k=25.0)) == {"k": 1.0}  # not so much larger
    assert scales_of_unknowns(spring(300.0)) == {"k": 100.0}  # the guess has said it
    problem = spring(1.0, k=25.0)
    assert scales_of_terms(problem, units_of_fields(problem), {"k": 1.0}) == {"spring": 1.0, "data": 1.0}


def test_several_unknowns_are_found_together_and_those_that_are_not_linear_stay():
    t = torch.linspace(0, 4, 60, dtype=torch.float64)[:, None]
    u, v = torch.exp(-0.5 * t[:, 0]), torch.sin(t[:, 0])
    problem = Problem(
        Box(t=(0, 4)),
        {"line": lambda u, a, b: u.t + a * u + b, "swing": lambda v, c, q: v.tt + c * v * torch.exp(q)},
        {"first": Observed(t, u=u), "second": Observed(torch.cat([t, t]), v=torch.cat([v, v]))},
        fields=("u", "v"),
        unknowns={"a": 1.0, "b": 3.0, "c": 1.0, "q": 0.0, "unused": 2.0},
    )
    found = Measured(problem).unknowns()
    assert set(found) == {"a", "b", "c"}
    assert found["a"] == pytest.approx(0.5, abs=0.02)
    assert found["b"] == pytest.approx(0.0, abs=0.02)
    assert found["c"] == pytest.approx(1.0, abs=0.05)


def test_without_enough_measurements_nothing_is_said():
    few, two = spring(count=9), torch.rand(30, 2, dtype=torch.float64)
    data = {"d": Observed(two, u=two[:, 0])}
    plane = Problem(Box(x=(0, 1), t=(0, 1)), {"e": lambda u, k: u.t + k * u}, data, unknowns={"k": 1.0})
    for problem in (few, plane):
        assert Measured(problem).unknowns() == Measured(problem).residuals({"k": 1.0}) == {}


def test_what_is_not_measured_is_left_out():
    t = np.linspace(0, 1, 30)
    problem = Problem(
        Box(t=(0, 1)),
        {"known": lambda u, k: u.t - k, "hidden": lambda u, v: u.t + v, "third": lambda u: u.ttt},
        {"data": Observed(t[:, None], u=3 * t), "own": At(t[:, None], equation=lambda v, w: v - w, w=t)},
        fields=("u", "v"),
        unknowns={"k": 1.0},
    )
    assert set(Measured(problem).residuals({"k": 1.0})) == {"known"}
    assert Measured(problem).unknowns()["k"] == pytest.approx(3, abs=1e-6)
