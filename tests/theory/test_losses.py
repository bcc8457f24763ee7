"""The loss as a preconditioner: condition numbers in other norms, traces, conditions built in."""

import numpy as np
import pytest

from pinnedu.theory import Basis, condition_number, fourier
from pinnedu.theory.equivalence import Sines, matrix
from pinnedu.theory.losses import hard, hard_poisson, sobolev_loss, trace_loss


@pytest.mark.parametrize(("s", "power"), [(0, 4), (-1, 2), (-2, 0), (1, 6)])
@pytest.mark.parametrize("dim", [1, 2])
def test_the_norm_of_the_residual_decides_the_power(s, power, dim):
    laplacian = {"xx": 1.0} if dim == 1 else {"xx": 1.0, "yy": 1.0}
    for K in (3, 6):
        assert condition_number(sobolev_loss(laplacian, Sines(K, dim), s)) == pytest.approx(K**power, rel=1e-8)


def test_sobolev_training_turns_the_order_of_regression():
    np.testing.assert_allclose(sobolev_loss({"": 1.0}, Sines(5), 1), np.diag(np.arange(1.0, 6) ** 2), atol=1e-10)


def test_with_all_test_functions_the_plain_loss_comes_back():
    operator = {"xx": lambda x: 1 + 0.5 * np.sin(x) ** 2, "": -2.0}
    np.testing.assert_allclose(sobolev_loss(operator, Sines(4), 0, tests=400), matrix(operator, Sines(4)), rtol=2e-3, atol=0.5)


def test_a_variable_coefficient_under_the_inverse_of_the_laplacian_squared():
    """G = (D D*)^-1 of the neighbor: constant in K, though not by the contrast alone, for G sees the slope of a."""
    operator = {"xx": lambda x: 1 + 0.3 * np.cos(2 * x)}
    kappas = [condition_number(sobolev_loss(operator, Sines(K), -2)) for K in (6, 12, 24)]
    assert kappas[-1] < 1.2 * kappas[0] < 25


def test_the_kernel_of_the_operator_stays_in_the_kernel():
    """On the basis with the constant no norm of the residual helps: D u = 0 for it, whatever G."""
    k = np.abs(Basis(4).modes).astype(float)
    weak = np.diag(np.where(k > 0, k**4 / np.maximum(k, 1) ** 4, 0.0))
    with pytest.raises(ValueError, match="singular"):
        condition_number(weak)


def test_a_condition_that_is_built_in_leaves_no_block():
    for K in (1, 5, 12):
        np.testing.assert_allclose(Basis(K).evaluate(hard(K) @ np.arange(2 * K), np.array([-np.pi, np.pi])), 0, atol=1e-12)
        np.testing.assert_allclose(hard(K).T @ fourier.poisson(K, 7.0) @ hard(K), hard_poisson(K), atol=1e-9)  # no weight in it
        assert condition_number(hard_poisson(K)) == pytest.approx(K**4)
        np.testing.assert_allclose(hard_poisson(K, preconditioned=True), np.eye(2 * K), atol=1e-12)


def test_the_right_norm_of_the_boundary_values():
    """Three halves: constant in the frequency; the mean square grows as its cube."""
    right = [condition_number(trace_loss(k, 1.5)) for k in (2, 4, 8, 16, 32)]
    assert max(right) < 4
    for s, slope in ((0.0, 3.0), (0.5, 2.0), (2.5, 2.0)):
        found = [condition_number(trace_loss(k, s)) for k in (8, 16, 32)]
        assert np.polyfit(np.log([8, 16, 32]), np.log(found), 1)[0] == pytest.approx(slope, abs=0.1)


def test_bad_input():
    with pytest.raises(ValueError, match="degree must be at least"):
        trace_loss(1000, 1.5, degree=10)
    with pytest.raises(ValueError, match="tests must be a whole number"):
        sobolev_loss({"xx": 1.0}, Sines(5), 0, tests=3)
    with pytest.raises(ValueError, match="s must be a finite number"):
        sobolev_loss({"xx": 1.0}, Sines(5), np.inf)
