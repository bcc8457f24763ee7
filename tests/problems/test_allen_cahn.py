"""The Allen-Cahn equation: its exact solution solves it and meets its conditions."""

from __future__ import annotations

import math

import numpy as np
import torch

from pinnedu import Points, problems


def solution(problem, x, t):
    x, t = np.broadcast_arrays(x, t)
    points = torch.tensor(np.stack([x.ravel(), t.ravel()], axis=1))
    return problem.solution(points)["u"].numpy().reshape(x.shape)


def test_the_exact_solution_has_a_small_residual():
    problem, h = problems.allen_cahn(), 1e-3
    x, t = np.linspace(-0.95, 0.95, 41)[:, None], np.linspace(0.05, 0.95, 10)
    u, east, west = (solution(problem, x + shift, t) for shift in (0, h, -h))
    u_t = (solution(problem, x, t + h) - solution(problem, x, t - h)) / (2 * h)
    u_xx = (east - 2 * u + west) / h**2
    residual = u_t - 1e-4 * u_xx - 5 * u + 5 * u**3
    assert abs(u_t).max() > 1
    assert abs(residual).max() < 2e-2  # second order in h, in layers of width 6e-3
    assert np.median(abs(residual)) < 1e-4


def test_the_exact_solution_meets_the_conditions():
    problem = problems.allen_cahn()
    sample = problem.sample(Points(1, 50))
    initial = sample["initial"]
    wanted = initial[:, 0] ** 2 * torch.cos(math.pi * initial[:, 0])
    torch.testing.assert_close(problem.solution(initial)["u"], wanted)
    left, right = problem.solution(sample["periodic"])["u"].chunk(2)
    torch.testing.assert_close(left, right)


def test_domain_and_terms():
    problem = problems.allen_cahn()
    assert problem.domain.bounds == {"x": (-1, 1), "t": (0, 1)}
    assert problem.terms == ("allen_cahn", "initial", "periodic")
