"""Waves that are held back by noisy readings: leave-one-out against fits without them, and what is said of the error."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from pinnedu import Box, Observed, On, Problem, solve
from pinnedu.recipe import Solver
from pinnedu.trainers.clock import Clock
from pinnedu.trainers.smoothing import noisy, smoothed

LINE = Box(x=(0, 1))


def plate(noise: float = 0.05, count: int = 80, seed: int = 0, unit: float = 1.0) -> Problem:
    """-u'' = s, u = 0 at the ends, where nothing is known of s but readings of u."""
    x = (np.arange(count) + 0.5) / count
    u = unit * (np.sin(math.pi * x) + noise * np.random.default_rng(seed).standard_normal(count))
    return Problem(
        LINE,
        {"load": lambda u, s: u.xx + s},
        {
            "ends": On("boundary", equation=lambda u: u),
            "loads": On("boundary", equation=lambda s: s),
            "readings": Observed(x[:, None], u=u),
        },
        fields=("u", "s"),
        exact=lambda x: {"u": unit * torch.sin(math.pi * x), "s": unit * math.pi**2 * torch.sin(math.pi * x)},
    )


def decay(noise: float, seed: int) -> Problem:
    """u' = -k u, u(0) = 1, with unknown k = 2."""
    x = (np.arange(100) + 0.5) / 100
    u = np.exp(-2 * x) + noise * np.random.default_rng(seed).standard_normal(100)
    return Problem(
        LINE,
        {"decay": lambda u, k: u.x + k * u},
        {"start": On("x low", equation=lambda u: u - 1), "readings": Observed(x[:, None], u=u)},
        unknowns={"k": 1.0},
        exact=lambda x: torch.exp(-2 * x),
    )


def fits(problem: Problem) -> list:
    """The first fit that `noisy` finds, and its expected error, if there is one."""
    solver = Solver(problem, Clock(100))
    steps = 1 if solver.linear else 8
    given = solver.problem, solver.weights, solver.rates, (), solver.places, Clock(100, 150)
    return [*islice(noisy(*given, 1.0, steps=steps), 1)]


def test_leave_one_out_is_what_fits_without_a_reading_leave() -> None:
    problem = replace(plate(count=60), exact=None)
    weights = {"load": 1e-3, "ends": 1.0, "loads": 1.0, "readings": 1.0}

    def fit(one: Problem, count: int):
        # a mean over fewer readings: each counts as before
        own = weights | {"readings": count / 60}
        return smoothed(one, own, (3.0,), 12, (), 1e-4, LINE.evaluation_points(20))

    whole = fit(problem, 60)
    readings = problem.conditions["readings"]
    for k in (0, 17, 59):
        kept = [i for i in range(60) if i != k]
        fewer = Observed(readings.where[kept], u=readings.values["u"][kept])
        without = fit(replace(problem, conditions=problem.conditions | {"readings": fewer}), 59)
        with torch.no_grad():
            left = float(without.model(readings.where[[k]])[0, 0] - readings.values["u"][k])
        assert float(whole.left[k]) * 60**0.5 == pytest.approx(left, rel=1e-3, abs=1e-6)


def test_an_unknown_function_is_found_from_noisy_readings_and_the_error_is_told() -> None:
    ratios = []
    for seed in range(5):
        problem = plate(seed=seed)
        one, expected = fits(problem)[-1]
        places = LINE.evaluation_points(200)
        with torch.no_grad():
            found, exact = one.model(places), torch.stack([*problem.solution(places).values()], dim=1)
        ratios.append(float((found - exact).norm() / exact.norm()) / expected)
        assert one.noise == pytest.approx(0.05 / 0.3078, rel=0.25)  # sine: its deviation
    assert max(ratios) < 4
    assert 0.2 < float(np.median(ratios)) < 3


def test_a_number_from_noisy_readings_is_as_uncertain_as_statistics_says() -> None:
    x = (np.arange(100) + 0.5) / 100
    sure = 0.05 / np.sqrt(np.sum((x * np.exp(-2 * x)) ** 2)) / 2  # of least squares by the formula, relative
    found = [fits(decay(0.05, seed))[-1] for seed in range(3)]
    for seed, (one, _) in enumerate(found):
        assert one.spread == pytest.approx(sure, rel=0.3)
        readings = decay(0.05, seed).conditions["readings"].values["u"].numpy()
        best = least_squares(lambda k, y=readings: np.exp(-k[0] * x) - y, [1.0]).x[0]
        assert abs(one.problem.unknowns["k"] - best) / 2 < 1.5 * sure


def test_exact_readings_are_not_smoothed_and_few_are_not_looked_at() -> None:
    assert fits(plate(noise=0.0)) == []
    assert fits(plate(count=40)) == []


def test_other_units_do_not_matter() -> None:
    one, other = (fits(plate(unit=unit))[-1][0] for unit in (1.0, 1e3))
    assert one.noise == pytest.approx(other.noise, rel=0.05)


def contradicted() -> Problem:
    """-u'' = 1 with both ends, and readings of something else."""
    x = (np.arange(80) + 0.5) / 80
    conditions = {"ends": On("boundary", equation=lambda u: u), "readings": Observed(x[:, None], u=5 * np.sin(7 * x))}
    return Problem(LINE, {"load": lambda u: u.xx + 1}, conditions)


def layered() -> Problem:
    """A layer that no 256 waves show, and noisy readings."""
    x = (np.arange(200) + 0.5) / 200
    u = np.expm1(x / 1e-3 - 1e3) + 1 + 0.05 * np.random.default_rng(0).standard_normal(200)
    conditions = {
        "left": On("x low", equation=lambda u: u),
        "right": On("x high", equation=lambda u: u - 1),
        "readings": Observed(x[:, None], u=u),
    }
    return Problem(LINE, {"layer": lambda u: u.x - 1e-3 * u.xx}, conditions)


@pytest.mark.parametrize("problem", [contradicted(), layered()], ids=["contradiction", "layer"])
def test_what_waves_cannot_meet_is_not_called_noise(problem: Problem) -> None:
    assert fits(problem) == []


def test_noise_is_seen_beside_a_large_mean() -> None:
    """Its size is judged by how readings vary: 300 degrees are no excuse."""
    problem = plate()
    readings = problem.conditions["readings"]
    warm = {
        "ends": On("boundary", equation=lambda u: u - 300),
        "loads": problem.conditions["loads"],
        "readings": Observed(readings.where, u=readings.values["u"] + 300),
    }
    (one, _), (other, _) = fits(problem)[0], fits(replace(problem, conditions=warm, exact=None))[0]
    assert one.noise == pytest.approx(other.noise, rel=0.02)


def test_solve_warns_where_it_has_no_time_to_look_for_noise() -> None:
    run = solve(plate(), seconds=1e6, steps=6, progress=False)
    assert "smoothing=" not in run.recipe
    assert run.warnings


def test_solve_says_how_wrong_it_is_where_readings_are_noisy() -> None:
    run = solve(plate(), seconds=1e6, steps=150, progress=False)
    assert max(run.errors.values()) < 5 * run.error_estimate
    assert "smoothing=" in run.recipe
    names = {"problem": replace(plate(), exact=None)}
    exec(run.recipe, names)  # the program that is printed gives the same model
    places = LINE.evaluation_points(50)
    with torch.no_grad():
        assert torch.allclose(names["model"](places), run.model(places), atol=1e-9)
