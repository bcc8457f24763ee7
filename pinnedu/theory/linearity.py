"""What is linear: a model in its weights, a problem in its fields; and the linear model that any model is at first.

Source: De Ryck, Bonnet, Mishra & de Bezenac (ICLR 2024).
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn

from pinnedu.derivatives.jet import Jet
from pinnedu.parameters import trainable_parameters
from pinnedu.problem import Problem
from pinnedu.sampling import Points


class LinearModel(nn.Module):
    """A linear combination of given features, u(x) = theta^T features(x), with zero weights at first.

    Parameters
    ----------
    features : Module
        Maps points (N, d) to (N, ``out_features``), such as `FourierFeatures`. Not trained.
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features.requires_grad_(False)
        self.layer = nn.Linear(int(features.out_features), 1, bias=False, dtype=torch.float64)  # type: ignore[arg-type]
        nn.init.zeros_(self.layer.weight)

    def forward(self, points: Tensor) -> Tensor:
        return self.layer(self.features(points))


def check_linear(problem: Problem) -> None:
    """Raise ValueError unless every residual is an affine function of the fields.

    Tried on random waves u and v: r(2u - 3v) = 2 r(u) - 3 r(v) + 2 r(0).
    """
    if not isinstance(problem, Problem):
        raise ValueError(f"A Problem is needed, not {type(problem).__name__}.")
    if problem.unknowns:
        raise ValueError(
            f"The unknown {next(iter(problem.unknowns))!r} multiplies fields, so the problem is not linear: "
            "write a number instead."
        )
    generator = torch.Generator().manual_seed(0)
    sample = problem.sample(Points(7, 7), generator=generator)
    u, v, zero = (_Waves(problem, scale, generator) for scale in (1.0, 1.0, 0.0))
    r_u, r_v, r_zero, mixed = (problem.residuals(wave, sample) for wave in (u, v, zero, _Waves.mix(u, v)))
    for name, value in mixed.items():
        parts = torch.stack([2 * r_u[name], -3 * r_v[name], 2 * r_zero[name]])
        scale = float(parts.abs().max()) + float(value.abs().max())
        if not float((value - parts.sum(dim=0)).abs().max()) <= 1e-9 * scale:
            raise ValueError(
                f"{name!r} is not linear in {', '.join(problem.fields)}, so it has no matrix A: "
                "give a linear problem, or linearize it first."
            )


def linearize(model: nn.Module) -> nn.Module:
    """The model's first Taylor polynomial in its weights, at its present weights theta_0.

    u(x; theta_0) + grad_theta u(x; theta_0)^T (theta - theta_0), a module with weights theta of the same
    number and order that start at theta_0. Any derivative by x goes through it, so it trains like any
    model. The model itself is copied and stays as it is.

    Raises
    ------
    ValueError
        If the model has nothing to train.
    """
    check_model(model)
    return _Linearized(model)


def check_model(model: nn.Module) -> None:
    """Raise ValueError unless it is a module with weights to train."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"A torch.nn.Module is needed, not {type(model).__name__}.")
    if not trainable_parameters(model):
        raise ValueError("The model has no weights that require a gradient: there is nothing to train.")


class _Linearized(nn.Module):
    """See `linearize`: forward-mode differentiation by the weights, of whatever goes through the model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.start = copy.deepcopy(model).requires_grad_(False)
        for part in self.start.modules():
            part.__dict__.pop("_drawn", None)  # or fit(seed=...) would draw the start again
        self.names = list(trainable_parameters(model))
        # A name with dots is no name of a parameter, so they go by number.
        self.moving = nn.ParameterList([weight.detach().clone() for weight in trainable_parameters(model).values()])

    def forward(self, points: Tensor) -> Tensor:
        start = {name: self.start.get_parameter(name) for name in self.names}
        steps = {name: weight - start[name] for name, weight in zip(self.names, self.moving, strict=True)}
        # Off the tape of a Jacobian: the start's weights are not those that move.
        inputs = Jet(points.coefficients, points.plan) if isinstance(points, Jet) else points

        def run(weights: dict[str, Tensor]) -> list[Tensor | None]:
            result = torch.func.functional_call(self.start, weights, (inputs,))
            if not isinstance(result, Jet):
                return [result]
            return [torch.zeros_like(result.value) if c is None else c for c in result.full().coefficients]

        with warnings.catch_warnings():
            # The first use of forward mode imports a deprecated part of torch itself.
            warnings.simplefilter("ignore", DeprecationWarning)
            values, slopes = torch.func.jvp(run, (start,), (steps,))  # type: ignore[misc]
        sums = [value + slope for value, slope in zip(values, slopes, strict=True)]
        return points.new(sums) if isinstance(points, Jet) else sums[0]


class _Waves(nn.Module):
    """Random sums of sines, one for each field: smooth functions to try an equation on."""

    def __init__(self, problem: Problem, scale: float, generator: torch.Generator, terms: int = 4) -> None:
        super().__init__()
        box = problem.domain
        lengths = box.high - box.low
        self.frequencies = torch.randn(terms, box.dim, dtype=torch.float64, generator=generator) * 4 / lengths
        self.phases = torch.randn(terms, dtype=torch.float64, generator=generator)
        self.amplitudes = scale * torch.randn(len(problem.fields), terms, dtype=torch.float64, generator=generator)

    @classmethod
    def mix(cls, u: _Waves, v: _Waves) -> _Waves:
        """The sum 2u - 3v."""
        both = copy.copy(u)
        both.frequencies = torch.cat([u.frequencies, v.frequencies])
        both.phases = torch.cat([u.phases, v.phases])
        both.amplitudes = torch.cat([2 * u.amplitudes, -3 * v.amplitudes], dim=1)
        return both

    def forward(self, points: Tensor) -> Tensor:
        angles = nn.functional.linear(points, self.frequencies, self.phases)
        return nn.functional.linear(torch.sin(angles), self.amplitudes)
