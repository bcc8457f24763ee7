"""One solution, which depends on its data: amplification and growth of random waves."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import pytest
import torch

from pinnedu import At, Box, On, Problem
from pinnedu.recipe import forward, looked_at
from pinnedu.recipe.solver import LOST
from pinnedu.theory.posedness import amplification, amplification_at_start, explodes, growth

RODS = {
    "start": On(t=0, equation=lambda u, x: u - torch.sin(x)),
    "left": On(x=0, equation=lambda u: u),
    "right": On(x=pi, equation=lambda u: u),
}
SQUARE = Box(x=(0, 1), t=(0, 1))
SIDES = {"left": On(x=0, equation=lambda u: u), "right": On(x=1, equation=lambda u: u)}
START = {"start": On(t=0, equation=lambda u, x: u - torch.sin(pi * x))}


@pytest.mark.parametrize(
    ("equation", "conditions", "ill"),
    [
        (lambda u: u.t - u.xx, RODS, False),
        (lambda u: u.t + u.xx, RODS, True),  # heat backward in time
        (lambda u: -u.t - u.xx, RODS, True),
        (lambda u, t: (1 + t) * (u.t + 0.1 * u.xx) + torch.sin(t), RODS, True),
        (lambda u: u.tt + u.xx, {**RODS, "speed": On(t=0, equation=lambda u: u.t)}, True),  # Laplace as an evolution
        (lambda u: u.tt - u.xx, {**RODS, "speed": On(t=0, equation=lambda u: u.t)}, False),
        (lambda u: u.t + 30 * u.x, RODS, False),
        (lambda u: u.t + u * u.x - 0.01 * u.xx, RODS, False),
        (lambda u: u.t + u * u.x + u.xx + u.xxxx, RODS, False),  # long waves grow, short ones fade
        (lambda u: u.t + u * u.x + u.xxx, RODS, False),
        (lambda u: u.t - 1e-4 * u.xx - 5 * u + 5 * u**3, RODS, False),
        (lambda u: u.t + u * u.x + u.xx - 1e-9 * u, RODS, True),
    ],
)
def test_what_explodes_is_told_from_what_does_not(equation, conditions, ill):
    problem = Problem(Box(x=(0, pi), t=(0, 1)), {"equation": equation}, conditions)
    assert explodes(problem, forward(problem), looked_at(problem)) is ill


def test_the_rate_of_a_wave_is_that_of_theory():
    problem = Problem(Box(x=(0, pi), t=(0, 1)), {"heat": lambda u: 2 * u.t - 3 * u.xx - 5 * u + 7}, RODS)
    assert growth(problem, "t", problem.domain.sample(20), 2) == pytest.approx((5 - 3 * 16) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("problem", "enough"),
    [
        (Problem(SQUARE, {"heat": lambda u: u.t - u.xx}, SIDES | START), True),
        (
            Problem(SQUARE, {"heat": lambda u: u.t - 0.1 * u.xx}, SIDES),
            False,
        ),  # what fades in a tenth of the time is not seen
        (Problem(SQUARE, {"wave": lambda u: u.tt - u.xx}, SIDES | START), False),
        (Problem(SQUARE, {"advection": lambda u: u.t + u.x}, START), False),
        (Problem(Box(t=(0, 10)), {"growth": lambda u: u.t - u}, {"start": On(t=0, equation=lambda u: u - 1)}), True),
    ],
)
def test_amplification_tells_whether_there_are_conditions_enough(problem, enough):
    assert (amplification(problem, (), looked_at(problem)) < LOST) is enough


def spring(stiffness: float, time: float, *conditions: str) -> Problem:
    """A spring at 1 at the start, with those of the conditions that are named."""
    known = {"place": On(t=0, equation=lambda u: u - 1), "speed": On(t=0, equation=lambda u: u.t)}
    return Problem(Box(t=(0, time)), {"spring": lambda u: u.tt + stiffness * u}, {name: known[name] for name in conditions})


LONG = Box(t=(0, 5))
WAVE = {"wave": lambda u: u.tt - 400 * u.xx}
SPEED = {"speed": On(t=0, equation=lambda u: u.t)}


@pytest.mark.parametrize(
    ("problem", "enough"),
    [
        (spring(400, 1, "place"), False),
        (spring(400, 1, "place", "speed"), True),
        (spring(1e4, 1, "place"), False),
        (spring(1e4, 1, "place", "speed"), True),
        (spring(-4, 10, "place", "speed"), True),  # grows by e^20
        (Problem(SQUARE, WAVE, SIDES | START), False),
        (Problem(SQUARE, WAVE, SIDES | START | SPEED), True),
        (Problem(SQUARE, {"heat": lambda u: u.t - u.xx}, SIDES | START), True),
        # Bessel's equation: of its solutions only those that u(0) determines are smooth
        (Problem(LONG, {"bessel": lambda u, t: t * u.tt + u.t + t * u}, {"one": On(t=0, equation=lambda u: u - 1)}), True),
        (Problem(LONG, {"euler": lambda u, t: t * u.t - u}, {"zero": On(t=0, equation=lambda u: u)}), False),  # u = c t
    ],
)
def test_a_condition_is_missed_at_the_start_however_fast_the_motion(problem, enough):
    assert (amplification_at_start(problem, "t", ()) < LOST / 10) is enough


def test_data_may_stand_for_a_condition_at_the_start():
    late = At(torch.tensor([[0.7]]), equation=lambda u, seen: u - seen, seen=torch.tensor([0.1]))
    problem = spring(400, 1, "place")
    assert amplification_at_start(replace(problem, conditions=problem.conditions | {"late": late}), "t", ()) == 0
