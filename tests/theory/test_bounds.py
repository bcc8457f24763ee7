"""Condition numbers between the two formulas of the growth laws; a formula with a broken constant is caught."""

import numpy as np
import pytest

from pinnedu.theory import condition_number, fourier
from pinnedu.theory.bounds import advection_bounds, advection_gap, poisson_bounds, two_by_two


@pytest.mark.parametrize("lam", [0.01, 0.1, 1.0, 10.0, 1e3, 1e5])
def test_poisson_grows_as_the_fourth_power(lam):
    """thm-gd-fourth: between both bounds, over seven decades of the weight."""
    for K in (1, 5, 25, 100):
        lower, upper = poisson_bounds(K, lam)
        assert lower <= condition_number(fourier.poisson(K, lam)) <= upper
    assert lower >= 100**4
    assert upper <= 25 * max(lam, 1.0) * lower


def test_the_bounds_of_poisson_are_sharp():
    """For small weights both are the condition number: a constant off by one percent would be seen."""
    lower, upper = poisson_bounds(100, 0.01)
    kappa = condition_number(fourier.poisson(100, 0.01))
    assert kappa / lower < 1.01
    assert upper / kappa < 1.01
    assert poisson_bounds(100, 1.0)[1] / 100**4 == pytest.approx(9.448, abs=0.001)


@pytest.mark.parametrize("lam", [0.1, 1.0, 10.0, 100.0])
def test_advection_grows_as_the_square_of_the_speed(lam):
    """thm-speed-law: between both bounds, and the smallest eigenvalue above its floor."""
    for K in (1, 2, 3):
        for beta in (1, 2, 5, 12):
            lower, upper = advection_bounds(K, beta, lam)
            A = fourier.advection(K, float(beta), lam=lam)
            assert lower <= condition_number(A) <= upper
            assert np.linalg.eigvalsh(A)[0] >= advection_gap(lam) ** 2 * (1 - 1e-9)
    ratios = [bound / advection_bounds(1, 60, lam)[i] for i, bound in enumerate(advection_bounds(1, 600, lam))]
    assert all(70 < ratio <= 100.01 for ratio in ratios)


def test_the_bounds_of_advection_are_sharp():
    lower, upper = advection_bounds(1, 12, 0.1)
    kappa = condition_number(fourier.advection(1, 12.0, lam=0.1))
    assert kappa / lower < 1.06
    assert upper / kappa < 1.05
    s = advection_gap(3.0)
    assert s * np.tan(np.pi * s) == pytest.approx(1.5, rel=1e-12)


@pytest.mark.parametrize(("K", "lam", "gamma"), [(1, 1.0, 1.0), (5, 3.0, 1.0), (30, 0.7, 10.0)])
def test_the_preconditioned_matrix_is_the_identity_but_for_a_block_of_two(K, lam, gamma):
    """thm-pl-two: the two eigenvalues of the block, all others one."""
    values = np.linalg.eigvalsh(fourier.precondition(fourier.poisson(K, lam), gamma))
    np.testing.assert_allclose(np.linalg.eigvalsh(two_by_two(K, lam, gamma)), values[[0, -1]], rtol=1e-12)
    np.testing.assert_allclose(values[1:-1], 1, rtol=1e-12)


def test_bad_input():
    with pytest.raises(ValueError, match="lam must be a positive number"):
        poisson_bounds(3, 0.0)
    with pytest.raises(ValueError, match="speed beta must be a whole number"):
        advection_bounds(3, 1.5)
    with pytest.raises(ValueError, match="gamma must be a positive number"):
        two_by_two(3, 1.0, 0.0)
