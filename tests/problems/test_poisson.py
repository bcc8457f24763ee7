"""Poisson: the exact solution has residual zero, and the frequency is checked."""

import pytest

from pinnedu import Points
from pinnedu.problems import poisson


@pytest.mark.parametrize("k", [1, 2, 7])
def test_exact_solution_has_residual_zero(k, closed_form):
    problem = poisson(k)
    for residual in problem.residuals(closed_form(problem.exact), problem.sample(Points(50, 3))).values():
        assert residual.abs().max() < 1e-12 * k**2


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_bad_frequency(k):
    with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
        poisson(k)
