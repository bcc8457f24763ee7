"""The tangent of a model: its features, its kernel, the matrix A of a linear problem, and the linearized model.

Near the weights theta_0 every model is a linear one,

    u(x; theta) = u(x; theta_0) + phi(x)^T (theta - theta_0) + ...,   phi(x) = grad_theta u(x; theta_0),

with the tangent features phi as the basis. So what holds for linear models holds here: gradient
descent on a linear problem D u = f is governed by A = J^T J, where a row of J is the gradient of one
residual, and its kernel is J J^T. Both come from `problem.residuals`, by way of the residual Jacobian.

Source: De Ryck, Bonnet, Mishra & de Bezenac (ICLR 2024); Jacot, Gabriel & Hongler (2018).
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pinnedu.derivatives.requests import Laplacian
from pinnedu.domain import Box
from pinnedu.jacobian import jacobian
from pinnedu.parameters import assign, gradient, trainable_parameters, vector
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.theory import kernels
from pinnedu.theory.forecast import Forecast, horizon, movement
from pinnedu.theory.linearity import LinearModel as LinearModel
from pinnedu.theory.linearity import check_linear as check_linear
from pinnedu.theory.linearity import check_model as check_model
from pinnedu.theory.linearity import linearize as linearize
from pinnedu.theory.newton import Preconditioner as Preconditioner
from pinnedu.theory.newton import gauss_newton_preconditioner as gauss_newton_preconditioner
from pinnedu.trainers.objective import Objective

JUMPS = (
    "The features of this model have no such derivatives: those of a rectifier jump, and what automatic differentiation "
    "gives lacks the Dirac terms. Use a smooth activation such as tanh, or a higher power of the rectifier."
)


def features(model: nn.Module, points: Tensor) -> Tensor:
    """The tangent features grad_theta u at some points, one row a point: shape (N m, P) for m outputs.

    Rows go through the points first and then through the outputs.

    Raises
    ------
    ValueError
        If the points are no matrix of numbers, or the model has nothing to train.
    """
    check_model(model)
    if not isinstance(points, Tensor) or points.ndim != 2 or len(points) == 0:
        raise ValueError(f"points must be a tensor of shape (N, d), not {getattr(points, 'shape', points)!r}.")
    with torch.no_grad():
        outputs = model(points[:1].to(next(model.parameters()))).shape[1]
    # The values of the model as a problem of their own, so that there is one way to make a Jacobian.
    box = Box(**{f"x{i}": (-1, 1) for i in range(points.shape[1])})
    rows = []
    for output in range(outputs):
        fields = [f"other{i}" for i in range(outputs)]
        fields[output] = "u"
        value = Problem(box, {"value": lambda u: u}, fields=fields)
        rows.append(jacobian(model, value, placed(model, {"interior": points}))["value"][1])
    return torch.cat(rows)


def kernel(model: nn.Module, points: Tensor, problem: Problem | None = None) -> Tensor:
    """The tangent kernel phi(x)^T phi(y) at all pairs of points; with a problem, that of its residuals.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
    points : Tensor (N, d)
    problem : Problem, optional
        Then the rows of J are gradients of the residuals of its equations at the points, D phi.

    Returns
    -------
    Tensor, symmetric and positive semidefinite, (N m, N m)
        Rows go through the points first, then through the outputs (or the equations).

    Raises
    ------
    ValueError
        If the points are no matrix of numbers, or the model has nothing to train.
    """
    if problem is None:
        rows = features(model, points)
    else:
        check_model(model)
        rows = torch.cat([rows for _, rows in jacobian(model, problem, placed(model, {"interior": points})).values()])
    return rows @ rows.T


def gram(
    model: nn.Module,
    problem: Problem,
    points: Tensor | Sample | Points,
    weights: Mapping[str, float] | None = None,
) -> Tensor:
    """The matrix A = sum_k w_k / N_k J_k^T J_k that governs gradient descent on a linear problem.

    It is the Hessian of the loss of a linear model, and of the linearized loss of any other.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
    problem : Problem
        Linear: residuals are affine functions of the fields.
    points : Tensor (N, d), sample or Points
        Interior points (equations only), what `problem.sample` returned, or how many to draw.
    weights : dict of term to float, optional
        Weights w_k of the equations and conditions; 1 by default.

    Returns
    -------
    Tensor (P, P), symmetric and positive semidefinite
        Columns follow the model's parameters that require a gradient. Singular where the points do
        not distinguish all weights; `theory.condition_number` says so. For a rectifier a warning says that derivatives
        of its features are no functions.

    Raises
    ------
    ValueError
        If the problem is not linear, a weight is negative or names no term, or the model has nothing
        to train.
    """
    check_linear(problem)
    check_model(model)
    check_weights(problem, weights)
    sample = problem.sample(points) if isinstance(points, Points) else points
    sample = placed(model, {"interior": sample} if isinstance(sample, Tensor) else sample)
    total: Tensor | None = None
    for name, (_, rows) in jacobian(model, problem, sample).items():
        part = (weights or {}).get(name, 1.0) / len(rows) * (rows.T @ rows)
        total = part if total is None else total + part
    if total is not None and order(problem) > kernels.orders(model, next(iter(sample.values()))[:1, : problem.domain.dim]):
        warnings.warn(JUMPS, stacklevel=2)
    if total is None:
        raise ValueError("The points hold no set of the problem: give what problem.sample returned.")
    return total


def order(problem: Problem) -> int:
    """The highest derivative that the residuals of a problem ask for; it is known once they have been evaluated."""
    asked = [derivative for requests in problem._requests.values() for _, derivative in requests]
    return max((2 if isinstance(one, Laplacian) else sum(one) for one in asked), default=0)


def check_weights(problem: Problem, weights: Mapping[str, float] | None) -> None:
    """Raise ValueError unless every weight belongs to a term and is not negative."""
    for name, weight in (weights or {}).items():
        if name not in problem.terms:
            raise ValueError(f"weights names {name!r}, but the terms are {', '.join(problem.terms)}.")
        if not weight >= 0:
            raise ValueError(f"The weight of {name!r} must not be negative, not {weight!r}.")


def drift(before: nn.Module, after: nn.Module, points: Tensor, problem: Problem | None = None) -> float:
    """Relative change of the tangent kernel from one state of a model to another, in the Frobenius norm."""
    first = kernel(before, points, problem)
    return float(torch.linalg.norm(kernel(after, points, problem) - first) / torch.linalg.norm(first))


def scaled(
    model: nn.Module, problem: Problem, sample: Tensor | Sample, weights: Mapping[str, float] | None = None
) -> tuple[Tensor, Tensor]:
    """The residuals r (N,) and their Jacobian J (N, P), scaled by sqrt(w_k / N_k): the loss is 1/2 |r|^2.

    Raises
    ------
    ValueError
        If a weight is negative or names no term, the sample is empty, or the model has nothing to train.
    """
    check_model(model)
    check_weights(problem, weights)
    sample = placed(model, {"interior": sample} if isinstance(sample, Tensor) else sample)
    residuals, rows = [], []
    for name, (residual, slope) in jacobian(model, problem, sample).items():
        scale = ((weights or {}).get(name, 1.0) / len(residual)) ** 0.5
        residuals.append(scale * residual)
        rows.append(scale * slope)
    if not rows:
        raise ValueError("The points hold no set of the problem: give what problem.sample returned.")
    return torch.cat(residuals), torch.cat(rows)


def forecast(
    model: nn.Module,
    problem: Problem,
    points: Tensor | Sample | Points,
    steps: int = 1000,
    *,
    method: str = "gradient descent",
    rate: float | None = None,
    momentum: float = 0.9,
    damping: float = 1e-6,
    weights: Mapping[str, float] | None = None,
) -> Forecast:
    """Forecast the loss of so many steps before the first, by the exact law of the linearized model.

    Proven in the book: thm-tk-law.

    Parameters
    ----------
    model : Module
        At its start, which stays as it is.
    problem : Problem
        Need not be linear: the residuals are linearized in the weights.
    points : Tensor (N, d), sample or Points
        The same in all steps.
    steps : int
    method, rate, momentum, damping
        See `Forecast`.
    weights : dict of term to float, optional

    Returns
    -------
    Forecast
        With the movement of the kernel at the weights that the linearized model would have, which says how far to
        trust it. Each look costs one Jacobian.

    Raises
    ------
    ValueError
        As for `scaled` and `Forecast`.
    """
    sample = problem.sample(points) if isinstance(points, Points) else points
    residual, rows = scaled(model, problem, sample, weights)
    # Singular values of J, not eigenvalues of J J^T: so the small ones keep their digits.
    Q, s, Vt = torch.linalg.svd(rows.double(), full_matrices=False)
    c = Q.T @ residual.double()
    left = float((residual.double() - Q @ c).norm())  # out of reach of the weights: eigenvalue 0
    if len(residual) > len(s):
        spectrum, coefficients = torch.cat([s**2, s.new_zeros(1)]), torch.cat([c, c.new_tensor([left])])
    else:
        spectrum, coefficients = s**2, c
    found = Forecast(spectrum.cpu().numpy(), coefficients.cpu().numpy(), steps, method, rate, momentum, damping)
    start = vector(trainable_parameters(model).values())

    def look(n: int) -> float:
        left_over = torch.as_tensor(found.factor(n)[: len(s)]).to(s)
        step = -(Vt.T @ torch.where(s > 1e-15 * s[0], (1 - left_over) * c / s, 0.0))
        other = copy.deepcopy(model)
        assign(list(trainable_parameters(other).values()), start + step.to(start))
        after = scaled(other, problem, sample, weights)[1]
        return _moved(rows, after, (residual.double() - Q @ ((1 - left_over) * c)).to(rows))

    return dataclasses.replace(found, movement=movement(horizon(steps), look))


def moved(
    before: nn.Module,
    after: nn.Module,
    problem: Problem,
    sample: Tensor | Sample,
    weights: Mapping[str, float] | None = None,
) -> float:
    """By how much the kernel K = J J^T of a loss has moved from one state of a model to another, relative to itself.

    The larger of two numbers: the change of K in the Frobenius norm, which its largest eigenvalues decide, and the change
    of r^T K r for the present residuals r. The loss of gradient descent falls at the speed r^T K r, so the second is
    what a forecast is wrong by where the residual lies along small eigenvalues, which the norm does not see.
    """
    residual, rows = scaled(after, problem, sample, weights)
    return _moved(scaled(before, problem, sample, weights)[1], rows, residual)


def _moved(before: Tensor, after: Tensor, residual: Tensor) -> float:
    first, second = before @ before.T, after @ after.T
    norm = float(torch.linalg.norm(second - first) / torch.linalg.norm(first))
    slow, fast = (float((rows.T @ residual).square().sum()) for rows in (before, after))
    return max(norm, abs(fast / slow - 1)) if slow > 0 and np.isfinite(norm) else float("inf")


@dataclass(frozen=True)
class Comparison:
    """Gradient descent on a model and on its linearization, from the same start, at the same rate.

    Attributes
    ----------
    distance : (steps + 1,) array
        Euclidean distance of the weights of the two after every step.
    deviation : (steps,) array
        Norm of epsilon_l: by how much the step of the true model is not that of the linearized one.
    bound : (steps + 1,) array
        The lemma's bound on the distance, max_{l < k} |epsilon_l| (1 - (1 - rate mu)^k) / mu, where mu
        is the smallest eigenvalue of A. It is at most max |epsilon_l| / mu.
    loss, linearized_loss : (steps + 1,) array
    rate : float
    smallest : float
        Smallest eigenvalue of A (0 where rounding hides it).
    model, linearized : Module
        Both after the last step.
    """

    distance: NDArray[np.float64]
    deviation: NDArray[np.float64]
    bound: NDArray[np.float64]
    loss: NDArray[np.float64]
    linearized_loss: NDArray[np.float64]
    rate: float
    smallest: float
    model: nn.Module
    linearized: nn.Module


def compare(
    model: nn.Module,
    problem: Problem,
    sample: Tensor | Sample,
    steps: int,
    rate: float | None = None,
    weights: Mapping[str, float] | None = None,
) -> Comparison:
    """Train a copy of the model, and its linearization, by gradient descent side by side.

    Proven in the book: thm-tk-lemma.

    Parameters
    ----------
    model : Module
    problem : Problem, linear
    sample : Tensor (N, d) or sample
        The points stay the same in all steps.
    steps : int
    rate : float, optional
        At most 1 / mu_max(A), which is the default.
    weights : dict of term to float, optional

    Raises
    ------
    ValueError
        If the problem is not linear, or the rate is too large for the lemma.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, not {steps!r}.")
    sample = placed(model, {"interior": sample} if isinstance(sample, Tensor) else sample)
    A = gram(model, problem, sample, weights)
    values = torch.linalg.eigvalsh(A)
    largest, smallest = float(values[-1]), float(values[0])
    smallest = 0.0 if smallest < len(A) * 1e-16 * largest else smallest
    rate = 1 / largest if rate is None else rate
    if not 0 < rate <= (1 + 1e-9) / largest:
        raise ValueError(f"rate must lie between 0 and 1 / mu_max = {1 / largest:.4g}, not {rate!r}.")
    true, line = copy.deepcopy(model), linearize(model)
    moving = list(trainable_parameters(true).values())
    start = vector(moving)
    present = {name: weight for name, weight in (weights or {}).items() if name in problem.terms}
    objective = Objective(true, problem, sample, present)
    names = [name for name in problem.terms if name in sample or (name in problem.equations and "interior" in sample)]

    def evaluate() -> tuple[float, Tensor]:
        residuals = objective.residuals()
        loss = torch.stack([0.5 * objective.loss_weights[name] * residuals[name].square().mean() for name in names]).sum()
        return float(loss.detach()), gradient(loss, moving)

    loss, slope = evaluate()
    first, first_loss, delta = slope, loss, torch.zeros_like(start)
    distance, deviation, losses, line_losses = [0.0], [], [loss], [loss]
    for _ in range(steps):
        moved = vector(moving) - start
        deviation.append(float(torch.linalg.norm(first + A @ moved - slope)))
        assign(moving, vector(moving) - rate * slope)
        delta = delta - rate * (first + A @ delta)
        loss, slope = evaluate()
        distance.append(float(torch.linalg.norm(vector(moving) - start - delta)))
        losses.append(loss)
        line_losses.append(float(first_loss + first @ delta + 0.5 * delta @ (A @ delta)))
    assign(list(trainable_parameters(line).values()), start + delta)
    k = np.arange(steps + 1)
    # sum_{j < k} rate (1 - rate mu)^j, which is rate k where mu = 0
    factor = -np.expm1(k * np.log1p(-rate * smallest)) / smallest if 0 < rate * smallest < 1 else rate * k
    worst = np.concatenate([[0.0], np.maximum.accumulate(deviation)])
    return Comparison(
        np.array(distance), np.array(deviation), worst * factor, np.array(losses), np.array(line_losses),
        rate, smallest, true, line,
    )  # fmt: skip


def placed(model: nn.Module, sample: Sample) -> Sample:
    """The points in the dtype and on the device of the model's weights."""
    weight = next(model.parameters())
    return {name: points.to(weight) for name, points in sample.items()}
