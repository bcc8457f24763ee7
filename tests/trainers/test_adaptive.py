"""Adaptive points: how many are drawn again, from how many candidates, and with which density."""

from __future__ import annotations

import pytest
import torch

from pinnedu import MLP, Box, Points, Problem
from pinnedu.trainers.adaptive import adapt

LINE = Box(x=(0, 1))


def right(x):
    return (x > 0.5).to(x)


def drawn(equations, interior, share, *, seed=0):
    problem = Problem(LINE, equations)
    model = MLP(problem, (3,), seed=0).to(interior.dtype)
    generator = torch.Generator().manual_seed(seed)
    return adapt(interior, model, problem, Points(len(interior), adaptive=share), "taylor", generator)


def evenly(n, dtype=torch.float64):
    return torch.linspace(0, 1, n, dtype=dtype)[:, None]


def test_the_oldest_points_are_replaced_and_the_others_stay():
    seen = []

    def equation(u, x):
        seen.append(len(x))
        return x

    interior = evenly(40)
    found = drawn({"e": equation}, interior, 0.25)
    assert torch.equal(found[:30], interior[10:])
    assert found.shape == interior.shape
    assert LINE.contains(found).all()
    assert not torch.isin(found[30:], interior).any()
    assert len(found[30:].unique()) == 10
    assert max(seen) == 100  # ten candidates for each point that is drawn


def test_the_density_is_the_square_of_all_residuals_over_its_mean_and_one():
    """|r|^2 is 1 on the left and 9 on the right, 5 in the mean: densities 1.2 and 2.8.

    Of ten candidates one is kept. With rates d on halves, (1 - exp(-1.2 T)) + (1 - exp(-2.8 T)) = 2 / 10 has T = 0.0531.
    """
    expected = (1 - torch.tensor(-2.8 * 0.0531).exp()) * 5
    equations = {"one": lambda u, x: (1 + 0 * x, 2 * right(x)), "two": lambda u, x: -2 * right(x)}
    found = drawn(equations, evenly(4000), 1.0)
    assert float(right(found).mean()) == pytest.approx(float(expected), abs=0.03)
    assert float(right(drawn({"one": lambda u, x: 0 * x}, evenly(4000), 1.0)).mean()) == pytest.approx(0.5, abs=0.03)


def test_a_generator_fixes_the_points_and_precision_stays():
    interior = evenly(50, torch.float32)
    first, again, other = (drawn({"e": lambda u, x: x}, interior, 0.5, seed=seed) for seed in (1, 1, 2))
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_where_a_residual_is_no_number_the_points_stay():
    interior = evenly(40)
    found = drawn({"e": lambda u, x: torch.where(x > 0.9, torch.nan, x)}, interior, 0.25)
    assert torch.equal(found, torch.cat([interior[10:], interior[:10]]))


def test_nothing_is_drawn_where_nothing_is_asked_for():
    interior = evenly(10)
    assert drawn({"e": lambda u, x: x}, interior, 0.04) is interior
    assert drawn({}, interior, 1.0) is interior
