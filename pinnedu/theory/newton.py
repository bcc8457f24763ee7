"""Gauss-Newton seen from function space: it is operator preconditioning, and its step is a projection.

Phi maps weights to functions, Phi theta = theta^T phi, with the tangent features phi, and A = (D Phi)* (D Phi) = J^T J. The
direction (A + eps I)^-1 grad L replaces the operator T = Phi Phi* by T^ = Phi (A + eps I)^-1 Phi*. With J = D Phi

    D T^ D* = J (J^T J + eps)^-1 J^T = J J^T (J J^T + eps)^-1,

which tends, as eps falls, to the projector onto the range of J: the functions D u with u in the tangent space. There T^ is
(D*D)^-1, so a step takes the residual's projection away: it is Newton's step in function space, as near as the tangent space
allows. The energy natural gradient is the same step for an energy: its Gram matrix is the energy's second derivative.

Sources: De Ryck, Bonnet, Mishra & de Bezenac (ICLR 2024); Mueller & Zeinhofer (ICML 2023), Achieving high accuracy with
PINNs via energy natural gradient descent, and (2024), Position: optimization in SciML should employ the function space geometry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pinnedu.checks import number, one_of, require, whole
from pinnedu.jacobian import jacobian
from pinnedu.parameters import assign, trainable_parameters, vector
from pinnedu.problem import Problem, Sample
from pinnedu.trainers.objective import Objective

Preconditioner = Callable[[Objective, Tensor], Tensor]
"""Takes the objective and the gradient (P,), returns the direction of descent (P,)."""


def gauss_newton_preconditioner(eps: float, *, form: str = "primal", relative: bool = False) -> Preconditioner:
    """Precondition by the matrix of the linearized problem: the direction (A + eps I)^-1 grad L.

    Proven in the book: thm-pn-eps.

    For `GradientDescent(preconditioner=...)`. A is that of the present weights and the present points;
    its scaling is the loss's. On a linear problem and a linear model, with lr = 1 and eps = 0, it is
    Newton's method.

    Parameters
    ----------
    eps : float
        At least 0. Directions whose eigenvalue in A is far below eps are left to plain gradient descent,
        with the rate lr / eps.
    form : {"primal", "dual", "auto"}
        Solve with A = J^T J, (P, P), or with J J^T, (N, N), by the identity of Woodbury:
        (J^T J + eps)^-1 g = (g - J^T (J J^T + eps)^-1 J g) / eps, for eps > 0. "auto" takes the smaller.
    relative : bool
        eps is a fraction of the largest eigenvalue of A, so that it does not depend on the units of the problem.

    Raises
    ------
    ValueError
        If eps is negative, or 0 in the dual form; when called, if A + eps I is singular to rounding.
    """
    if not (isinstance(eps, int | float) and eps >= 0 and eps < float("inf")):
        raise ValueError(f"eps must be a number of at least 0, not {eps!r}.")
    one_of(form, ("primal", "dual", "auto"), "The form")
    require(eps > 0 or form != "dual", "eps of the dual form", "positive", eps)

    def direction(objective: Objective, gradient: Tensor) -> Tensor:
        if form == "primal":
            A: Tensor | None = None
            for _, rows in objective.linearize():
                A = rows.T @ rows if A is None else A.addmm_(rows.T, rows)
            assert A is not None
            A = objective.team.sum(A)
            return _solve(A, gradient, eps * _largest(A) if relative else eps)
        J = objective.team.gather(torch.cat([rows for _, rows in objective.linearize()]))
        return damped(J, gradient, eps, form=form, relative=relative)

    return direction


def damped(J: Tensor, gradient: Tensor, eps: float, *, form: str = "auto", relative: bool = False) -> Tensor:
    """The direction (J^T J + eps I)^-1 g for a Jacobian (N, P) and a vector (P,): see `gauss_newton_preconditioner`."""
    dual = form == "dual" or (form == "auto" and len(J) < J.shape[1] and eps > 0)
    square = J @ J.T if dual else J.T @ J
    eps = eps * _largest(square) if relative else eps
    if not dual:
        return _solve(square, gradient, eps)
    return (gradient - J.T @ _solve(square, J @ gradient, eps)) / eps


def _largest(A: Tensor) -> float:
    return float(torch.linalg.eigvalsh(A)[-1])


def _solve(A: Tensor, right: Tensor, eps: float) -> Tensor:
    """(A + eps I)^-1 times a vector, by Cholesky; A is overwritten."""
    A.diagonal().add_(eps)
    factor, info = torch.linalg.cholesky_ex(A)
    if int(info):
        raise ValueError(f"A + eps I is singular to rounding with eps = {eps:g}: choose a larger eps.")
    return torch.cholesky_solve(right[:, None], factor)[:, 0]


def preconditioned_operator(J: Tensor, eps: float) -> Tensor:
    """D T^ D* of the preconditioned gradient, by its definition J (A + eps I)^-1 J^T: shape (N, N).

    Parameters
    ----------
    J : Tensor (N, P)
        The residual Jacobian D Phi, as of `tangent.scaled`.
    eps : float
        Positive.
    """
    eps = number(eps, "eps", 1e-300)
    A = J.T @ J + eps * torch.eye(J.shape[1]).to(J)
    return J @ torch.linalg.solve(A, J.T)


def projector(J: Tensor, eps: float = 0.0) -> Tensor:
    """J J^T (J J^T + eps)^-1, (N, N): its eigenvalues are mu / (mu + eps); for eps = 0 the projector onto the range of J.

    Proven in the book: thm-pg-projection.
    """
    Q, s, _ = torch.linalg.svd(J, full_matrices=False)
    mu = s**2
    keep = s > max(J.shape) * torch.finfo(J.dtype).eps * s[0]
    filters = torch.where(keep, mu / torch.where(keep, mu + number(eps, "eps", 0), 1.0), 0.0)
    return (Q * filters) @ Q.T


@dataclass(frozen=True)
class Energy:
    """An energy E(u) = 1/2 a(u, u) - l(u), as Deep Ritz minimizes it.

    a(u, u) is the sum of the weighted mean squares of the residuals of a problem, so that its equations are the parts of
    the energy: ``{"x": lambda u: u.x, "y": lambda u: u.y}`` for 1/2 |grad u|^2, with a condition ``lambda u: u`` on the
    boundary as a penalty. l(u) is the mean of load * u over the interior points.

    Parameters
    ----------
    problem : Problem, linear and homogeneous, one field
    load : callable
        Takes points (N, d), returns (N,).
    weights : dict of term to float
        1 by default: of the penalty.
    rule : Tensor, shape (N,), optional
        Weights of the interior points, positive, as :meth:`pinnedu.Domain.quadrature` gives them. The same for all by default.

    Raises
    ------
    ValueError
        If the rule has a weight that is not positive; when used, if it has not one weight for each interior point.
    """

    problem: Problem
    load: Callable[[Tensor], Tensor]
    weights: Mapping[str, float] = field(default_factory=dict)
    rule: Tensor | None = None

    def __post_init__(self) -> None:
        if self.rule is not None and not (self.rule > 0).all():
            raise ValueError(f"Every weight of the rule must be positive, but the least is {float(self.rule.min()):.2g}.")

    def shares(self, values: Tensor, term: str = "") -> Tensor:
        """What each point counts in the mean of values (N,), of a term or at the interior points: shape (N,), sum 1."""
        if self.rule is None or term in self.problem.conditions:
            return torch.full_like(values, 1 / len(values))
        if len(values) != len(self.rule):
            raise ValueError(f"The rule has {len(self.rule)} weights, and there are {len(values)} interior points.")
        return (self.rule / self.rule.sum()).to(values)

    def parts(self, model: nn.Module, sample: Sample) -> tuple[Tensor, Tensor, float]:
        """Scaled Jacobian G^{1/2} of the parts (N, P), the gradient of E (P,), and E."""
        value = Problem(self.problem.domain, {"value": lambda u: u}, fields=self.problem.fields)
        residuals, rows = [], []
        for name, (residual, slope) in jacobian(model, self.problem, sample).items():
            scale = (self.weights.get(name, 1.0) * self.shares(residual, name)).sqrt()
            residuals.append(scale * residual)
            rows.append(scale[:, None] * slope)
        r, J = torch.cat(residuals), torch.cat(rows)
        u, phi = jacobian(model, value, {"interior": sample["interior"]})["value"]
        load = self.shares(u) * self.load(sample["interior"]).to(u)
        return J, J.T @ r - phi.T @ load, float(0.5 * r @ r - load @ u)

    def loss(self, model: nn.Module, sample: Sample) -> Tensor:
        """E at the present weights, as any optimizer of torch can minimize it."""
        found = self.problem.residuals(model, sample)
        u = model(sample["interior"])[:, 0]
        total = sum(0.5 * self.weights.get(name, 1.0) * self.shares(r, name) @ r.square() for name, r in found.items())
        return total - self.shares(u) @ (self.load(sample["interior"]).to(u) * u)

    def value(self, model: nn.Module, sample: Sample) -> float:
        """E at the present weights, as a number."""
        with torch.no_grad():
            return float(self.loss(model, sample))


def energy_natural_gradient(
    model: nn.Module,
    energy: Energy,
    sample: Callable[[], Sample] | Sample,
    steps: int,
    *,
    eps: float = 1e-6,
    watch: Callable[[int], None] | None = None,
) -> list[float]:
    """Minimize an energy by its natural gradient, theta <- theta - eta (G + eps mu_max)^-1 grad E, G = a(phi_i, phi_j).

    The step in function space is the projection of Newton's, in the energy's own inner product. eta is the best of
    1, 1/2, ..., 2^-12, as in the paper; a step that does not lower the energy ends the run.

    Parameters
    ----------
    model : Module
        Trained in place.
    energy : Energy
    sample : dict of set to points, or a function that draws one at each step
    steps : int
    eps : float
        Relative damping, positive.
    watch : callable, optional
        Called with the number of steps done after each.

    Returns
    -------
    list of float
        The energy before every step, and at the end.
    """
    eps = number(eps, "eps", 1e-300)
    weights, energies = list(trainable_parameters(model).values()), []
    for done in range(1, whole(steps, "steps") + 1):
        points = sample() if callable(sample) else sample
        J, gradient, before = energy.parts(model, points)
        energies.append(before)
        start, step = vector(weights), damped(J, gradient, eps, relative=True)
        tried = []
        for j in range(13):
            assign(weights, start - 2.0**-j * step)
            tried.append(energy.value(model, points))
        best = min(range(13), key=tried.__getitem__)
        if not tried[best] < before:
            assign(weights, start)
            break
        assign(weights, start - 2.0**-best * step)
        if watch is not None:
            watch(done)
    return [*energies, energy.value(model, points)]
