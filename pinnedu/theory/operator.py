"""The operator behind the matrix: T, the kernel's integral operator, and D*D o T.

Let phi be the features of a linear model (or the tangent features of a network) and Phi theta = theta^T phi
the map from weights to functions. Then T = Phi Phi*, an integral operator with the kernel phi(x)^T phi(y), and

    A = Phi* D*D Phi,   D*D o T = D*D Phi Phi*

are products of the same two maps in either order, so they have the same spectrum apart from zero. With
quadrature nodes x_n and weights q_n functions become vectors and both become matrices: A of the size of
the weights, D*D o T of the size of the nodes.

Source: De Ryck, Bonnet, Mishra & de Bezenac (ICLR 2024), section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pinnedu.checks import positive
from pinnedu.domain import Box
from pinnedu.jacobian import jacobian
from pinnedu.problem import Problem, Sample
from pinnedu.theory import kernels, tangent
from pinnedu.theory.fourier import Basis, preconditioner
from pinnedu.theory.tangent import LinearModel

Array = NDArray[np.float64]
Equation = Callable[..., Any]


class FourierBasis(nn.Module):
    """The orthonormal basis of `fourier.Basis(K)` as a module, (N, 1) -> (N, 2K+1), each function times a scale."""

    frequencies: Tensor
    phases: Tensor
    sizes: Tensor

    def __init__(self, K: int, scales: ArrayLike = 1.0) -> None:
        super().__init__()
        k = Basis(K).modes
        size = np.where(k == 0, 1 / np.sqrt(2 * np.pi), 1 / np.sqrt(np.pi)) * np.asarray(scales, dtype=float)
        # sin z = cos(z - pi/2), so that one function makes the whole basis.
        self.register_buffer("frequencies", torch.tensor(np.abs(k)[:, None], dtype=torch.float64))
        self.register_buffer("phases", torch.tensor(np.where(k > 0, -np.pi / 2, 0.0)))
        self.register_buffer("sizes", torch.tensor(size))
        self.out_features = len(k)

    def forward(self, points: Tensor) -> Tensor:
        return self.sizes * torch.cos(points @ self.frequencies.T + self.phases)


def fourier_model(K: int, gamma: float | None = None) -> LinearModel:
    """The linear model sum_k theta_k phi_k on (-pi, pi), in the order of `fourier.Basis(K)`.

    With `gamma`, the preconditioned model gamma theta_0 phi_0 + sum_{k != 0} theta_k phi_k / k^2.
    """
    return LinearModel(FourierBasis(K, 1.0 if gamma is None else preconditioner(K, positive(gamma, "gamma"))))


@dataclass(frozen=True)
class Spectra:
    """The two spectra, both in descending order.

    Attributes
    ----------
    matrix : (P,) array
        Eigenvalues of A.
    operator : (N,) array
        Eigenvalues of the operator on the quadrature nodes.
    """

    matrix: Array
    operator: Array

    def rank(self, floor: float = 1e-6) -> int:
        """How many eigenvalues of the matrix are above `floor` times the largest."""
        return int((self.matrix > floor * self.matrix[0]).sum())

    def difference(self, floor: float = 1e-6) -> float:
        """Largest relative difference of the two, over the eigenvalues above `floor` times the largest."""
        r = self.rank(floor)
        return float(np.max(np.abs(self.operator[:r] - self.matrix[:r]) / self.matrix[:r]))

    def condition(self, floor: float = 1e-6) -> float:
        """Largest eigenvalue of the matrix over its smallest one above `floor` times the largest."""
        return float(self.matrix[0] / self.matrix[self.rank(floor) - 1])


def spectrum(
    model: nn.Module,
    box: Box,
    points: Tensor,
    weights: Tensor,
    equation: Equation | None = None,
    *,
    adjoint: Equation | None = None,
) -> Spectra:
    """The spectrum of A = int D phi D phi^T dx and of the operator it belongs to.

    Proven in the book: thm-ov-spectra.

    Parameters
    ----------
    model : Module, (N, d) -> (N, 1)
    box : Box
        Names the coordinates.
    points : Tensor (N, d)
        Quadrature nodes, as of `box.quadrature`.
    weights : Tensor (N,)
        Quadrature weights, positive.
    equation : callable, optional
        D, as an equation of the field u: ``lambda u: u.xx``. The identity by default (regression).
    adjoint : callable, optional
        D*D, as an equation of u: ``lambda u: u.xxxx``. With it the operator is D*D o T, which has A's
        spectrum where the boundary terms of an integration by parts vanish, as for periodic models.
        Without it the operator is D T D*, with the kernel D phi(x)^T D phi(y): the same spectrum for any
        model, and for any quadrature.

    Raises
    ------
    ValueError
        If the equation is not linear, points and weights do not fit, or the features have no such derivatives in L^2
        (see `kernels.orders`).
    """
    if points.ndim != 2 or weights.shape != (len(points),) or not bool((weights > 0).all()):
        raise ValueError(
            "A quadrature needs points of shape (N, d) and N positive weights, "
            f"not {tuple(points.shape)} and {tuple(weights.shape)}."
        )
    root = weights.sqrt()[:, None]
    images = root * _features(model, box, points, equation or (lambda u: u))
    matrix = torch.linalg.eigvalsh(images.T @ images)
    if adjoint is None:
        values = torch.linalg.eigvalsh(images @ images.T)
    else:
        # A product of two maps and not symmetric as it stands; its eigenvalues are real all the same.
        image = root * _features(model, box, points, adjoint)
        values = torch.linalg.eigvals(image @ (root * _features(model, box, points, lambda u: u)).T).real
    return Spectra(*(np.sort(v.cpu().numpy())[::-1].copy() for v in (matrix, values)))


def integral_operator(model: nn.Module, points: Tensor, weights: Tensor) -> Array:
    """T on the quadrature nodes, (T f)(x_n) = sum_m k(x_n, x_m) q_m f(x_m): shape (N, N)."""
    return (tangent.kernel(model, points) * weights).cpu().numpy()


def frequency_response(model: nn.Module, frequencies: ArrayLike, *, nodes: int = 256, order: int = 0) -> Array:
    """What D T D* makes of waves on (-pi, pi), D = d^order/dx^order: Rayleigh quotients, one a frequency.

    For frequency k >= 1 the mean over sin(k x) and cos(k x). Where the model is a convolution, these are the
    eigenvalues, and a gradient step shrinks the residual's part of frequency k by 1 - rate times them.

    Raises
    ------
    ValueError
        If the features have no derivatives of this order in L^2, as those of a rectifier (see `kernels.orders`).
    """
    points, weights = Box(x=(-np.pi, np.pi)).quadrature(nodes, "midpoint")
    letters = "x" * order
    rows = _features(model, Box(x=(-np.pi, np.pi)), points, lambda u: getattr(u, letters) if letters else u)
    k = np.atleast_1d(np.asarray(frequencies, dtype=float))
    x, q, J = points[:, 0].numpy(), weights.numpy(), rows.cpu().numpy()
    quotients = []
    for wave in (np.cos, np.sin):
        waves = wave(np.outer(k, x)) * q
        quotients.append(((waves @ J) ** 2).sum(axis=1) / (waves * wave(np.outer(k, x))).sum(axis=1))
    return np.mean(quotients, axis=0)


def extended(
    model: nn.Module, problem: Problem, sample: Sample, weights: Mapping[str, float] | None = None
) -> tuple[Spectra, dict[tuple[str, str], Array]]:
    """The operator of a problem with its conditions, D_ext = (D, sqrt(lambda) B): spectra, and its blocks.

    D_ext maps a function to its residual and to its boundary values. A = Phi* D_ext* D_ext Phi, boundary terms included, has
    the spectrum of D_ext T D_ext*, an operator on pairs of a function and boundary values, with the blocks D T D*,
    sqrt(lambda) D T B*, and lambda B T B*.

    Parameters
    ----------
    model : Module
    problem : Problem, linear
    sample : dict of set to points
    weights : dict of term to float, optional

    Returns
    -------
    Spectra
    dict of (term, term) to array (N_i, N_j)
        The blocks, scaled by sqrt(w_i / N_i) sqrt(w_j / N_j).
    """
    A = tangent.gram(model, problem, sample, weights)
    rows = {
        name: ((weights or {}).get(name, 1.0) / len(part)) ** 0.5 * part
        for name, (_, part) in jacobian(model, problem, tangent.placed(model, sample)).items()
    }
    blocks = {(i, j): (rows[i] @ rows[j].T).cpu().numpy() for i in rows for j in rows}
    whole = np.block([[blocks[i, j] for j in rows] for i in rows])
    return Spectra(*(np.sort(np.linalg.eigvalsh(part))[::-1] for part in (A.cpu().numpy(), whole))), blocks


def _features(model: nn.Module, box: Box, points: Tensor, equation: Equation) -> Tensor:
    """D of the tangent features at the points, (N, P)."""
    problem = Problem(box, {"equation": equation})
    tangent.check_linear(problem)
    rows = jacobian(model, problem, points)["equation"][1]
    if tangent.order(problem) > kernels.orders(model, points[:1].to(rows)):
        raise ValueError(tangent.JUMPS)
    return rows
