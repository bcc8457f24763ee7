"""Preconditioning in general: an equation that one can invert, instead of one that one cannot.

Spectral equivalence. If c_1 A_0 <= A <= c_2 A_0 for symmetric positive definite matrices and P P^T = A_0^-1, then

    kappa(P^T A P) <= c_2 / c_1.

Proof: with theta = P eta, eta^T P^T A P eta = theta^T A theta lies between c_1 and c_2 times theta^T A_0 theta = |eta|^2.

Here A_0 belongs to an equation with constant coefficients, whose matrix in a basis of sines is diagonal, and A to the
reader's own, with variable coefficients and terms of lower order. The constants do not depend on the size of the basis.

Sources: Hiptmair (2006), Operator preconditioning; Kirby (2010), From functional analysis to iterative methods; Axelsson &
Barker (1984), Finite element solution of boundary value problems, for variable coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import eigvalsh

from pinnedu.checks import named, number, require, whole
from pinnedu.theory.conditioning import condition_number
from pinnedu.theory.fourier import gauss_legendre, gram

Array = NDArray[np.float64]
Operator = Mapping[str, float | Callable[..., ArrayLike]]
"""A linear operator by its terms: ``{"xx": lambda x: 1 + x, "x": 0.3, "": -1.0}`` is (1 + x) u_xx + 0.3 u_x - u."""

LETTERS = "xy"
SEEN = {1: 5040, 2: 420}  # intervals along each axis on which a coefficient is looked at; many whole numbers divide them


@dataclass(frozen=True)
class Sines:
    """The orthonormal sines sin(k x) on (0, pi), or sin(k x) sin(l y) on its square: they vanish on the boundary.

    Parameters
    ----------
    K : int
        Highest frequency along each axis.
    dim : {1, 2}
    """

    K: int
    dim: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "K", whole(self.K, "K"))
        whole(self.dim, "dim", 1, 2)

    @cached_property
    def modes(self) -> NDArray[np.int64]:
        """Frequencies along each axis, one row a function: shape (P, dim), P = K^dim."""
        k = np.arange(1, self.K + 1)
        return np.stack(np.meshgrid(*[k] * self.dim, indexing="ij"), axis=-1).reshape(-1, self.dim)

    def values(self, points: ArrayLike, term: str = "") -> Array:
        """Every function, or its derivative such as ``"xy"``, at points (N, dim): shape (N, P)."""
        x = np.asarray(points, dtype=float).reshape(-1, self.dim)
        found = np.ones((len(x), len(self.modes)))
        for axis, order in enumerate(self.orders(term)):
            k = self.modes[:, axis]
            found *= np.sqrt(2 / np.pi) * k**order * np.sin(np.outer(x[:, axis], k) + order * np.pi / 2)
        return found

    def quadrature(self) -> tuple[Array, Array]:
        """Gauss-Legendre points (N, dim) and weights (N,): products of two functions are integrated to rounding."""
        nodes, weights = gauss_legendre(0, np.pi, 2 * self.K + 24)
        points = np.stack(np.meshgrid(*[nodes] * self.dim, indexing="ij"), axis=-1).reshape(-1, self.dim)
        return points, np.prod(np.meshgrid(*[weights] * self.dim, indexing="ij"), axis=0).ravel()

    def grid(self) -> Array:
        """Points (N, dim) that are the same for every K, ends included, on which the extremes of coefficients are seen."""
        along = np.linspace(0, np.pi, SEEN[self.dim] + 1)
        return np.stack(np.meshgrid(*[along] * self.dim, indexing="ij"), axis=-1).reshape(-1, self.dim)

    def symbol(self, operator: Operator) -> Array:
        """The factors that an operator with constant coefficients and even derivatives puts before the sines, shape (P,).

        Raises
        ------
        ValueError
            If a coefficient is no number, or a derivative is odd: then it does not map sines to sines.
        """
        total = np.zeros(len(self.modes))
        for term, coefficient in self.check(operator).items():
            orders = self.orders(term)
            even = all(order % 2 == 0 for order in orders)
            plain = even and not callable(coefficient)
            require(plain, f"The term {term!r} of `like`", "even, with a number before it", coefficient)
            signs = [(-1.0) ** (order // 2) * self.modes[:, axis] ** float(order) for axis, order in enumerate(orders)]
            total += number(coefficient, f"The coefficient of {term!r}") * np.prod(signs, axis=0)
        return total

    def orders(self, term: str) -> list[int]:
        """How often a term is differentiated along each axis."""
        letters = LETTERS[: self.dim]
        require(isinstance(term, str) and set(term) <= set(letters), "A term", f"a derivative in {letters}, as 'xx'", term)
        return [term.count(letter) for letter in letters]

    def check(self, operator: Operator) -> Operator:
        """Raise ValueError unless it is an operator on this basis."""
        named(operator, "The operator", "a dict of derivative to coefficient, such as {'xx': 1.0, '': lambda x: x}")
        require(len(operator) > 0, "The operator", "a dict with at least one term", operator)
        for term in operator:
            self.orders(term)
        return operator


def coefficients(operator: Operator, points: Array) -> dict[str, Array]:
    """The coefficient of every term at points (N, dim), each (N,)."""
    found = {}
    for term, given in operator.items():
        value = given(*points.T) if callable(given) else number(given, f"The coefficient of {term!r}")
        found[term] = np.broadcast_to(np.asarray(value, dtype=float), (len(points),))
        require(bool(np.isfinite(found[term]).all()), f"The coefficient of {term!r}", "finite everywhere", value)
    return found


def matrix(operator: Operator, basis: Sines) -> Array:
    """The matrix A_ij = int D phi_i D phi_j of the loss 1/2 |D u - f|^2, by quadrature: shape (P, P)."""
    points, weights = basis.quadrature()
    terms = coefficients(basis.check(operator), points)
    images = sum(value[:, None] * basis.values(points, term) for term, value in terms.items())
    return gram(np.asarray(images), weights)


@dataclass(frozen=True)
class Preconditioned:
    """A problem made better by another one.

    Attributes
    ----------
    plain, matrix : (P, P) array
        A, and P A P.
    scale : (P,) array
        The diagonal of P: multiply each function of the basis by it, or divide its weight.
    lower, upper : float
        c_1 and c_2 with c_1 A_0 <= A <= c_2 A_0, from the extremes of the coefficients; c_1 = 0 where the proof does not reach.
    """

    plain: Array
    matrix: Array
    scale: Array
    lower: float
    upper: float

    @property
    def before(self) -> float:
        """kappa(A)."""
        return condition_number(self.plain)

    @property
    def kappa(self) -> float:
        """kappa(P A P)."""
        return condition_number(self.matrix)

    @property
    def bound(self) -> float:
        """c_2 / c_1, which no size of the basis exceeds; infinity where nothing is proven."""
        return self.upper / self.lower if self.lower > 0 else float("inf")

    @property
    def extremes(self) -> tuple[float, float]:
        """The best c_1 and c_2 for this basis: the ends of the spectrum of P A P."""
        values = eigvalsh(self.matrix)
        return float(values[0]), float(values[-1])


def precondition(operator: Operator, basis: Sines, *, like: Operator | None = None) -> Preconditioned:
    """Precondition a linear problem of one's own by one with constant coefficients.

    Proven in the book: thm-pg-equivalence, thm-pg-variable.

    P = 1 / |symbol of `like`|: for the Laplacian 1 / k^2, on the square 1 / (k^2 + l^2).

    The constants: write D = a D_0 + sum_j e_j d_j, where D_0 is `like`, a(x) the ratio of the coefficients of its first
    term, and e_j(x) d_j what is left. Each d_j u is at most C_j |D_0 u|, where C_j = max k^j / |symbol|, since derivatives of
    different sines are orthogonal. By the triangle inequality

        (min |a| - sum_j C_j max |e_j|)^2 A_0 <= A <= (max |a| + sum_j C_j max |e_j|)^2 A_0,

    where the left side is 0 if the bracket is negative. For a(x) u'' this is (max |a| / min |a|)^2. Extremes are taken on a grid
    of 5040 intervals, 420 along each axis of a square, and at the points of the quadrature: a coefficient that varies within one
    interval is not seen.

    Parameters
    ----------
    operator : dict of derivative to number or function of the coordinates
        ``{"xx": lambda x: 1 + 0.5 * np.sin(x), "x": 0.3}``.
    basis : Sines
    like : dict of derivative to number, optional
        The Laplacian by default. Even derivatives only.

    Raises
    ------
    ValueError
        If the symbol of `like` vanishes at a frequency of the basis, or the operators are none.
    """
    like = {letter * 2: 1.0 for letter in LETTERS[: basis.dim]} if like is None else like
    symbol = basis.symbol(like)
    require(bool((np.abs(symbol) > 1e-12 * np.abs(symbol).max()).all()), "`like`", "invertible at every frequency", like)
    scale, plain = 1 / np.abs(symbol), matrix(operator, basis)
    points = np.concatenate([basis.grid(), basis.quadrature()[0]])
    terms, leading = coefficients(operator, points), next(iter(like))
    a = terms.get(leading, np.zeros(len(points))) / float(like[leading])  # type: ignore[arg-type]
    rest = 0.0
    for term in {*terms, *like}:
        left = terms.get(term, np.zeros(len(points))) - a * float(like.get(term, 0.0))  # type: ignore[arg-type]
        powers = np.prod([basis.modes[:, axis] ** float(order) for axis, order in enumerate(basis.orders(term))], axis=0)
        rest += float(np.abs(left).max() * (powers * scale).max())
    low, high = float(np.abs(a).min()), float(np.abs(a).max())
    return Preconditioned(plain, scale[:, None] * plain * scale, scale, max(low - rest, 0.0) ** 2, (high + rest) ** 2)
