"""What may be wrong with numbers, points, weights and the network, for a problem that is sound.

Every cure is tried on the linearized model before it is advised: what a damped step of Gauss-Newton leaves, as
`pinnedu.theory.forecast` has it, on points that it was not given. What is left is relative to the loss of u = 0.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor, nn

from pinnedu.models import MLP
from pinnedu.parameters import trainable_parameters
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.scales import scale_outputs, scales_of_terms, scales_of_unknowns, units_of_fields
from pinnedu.theory import tangent
from pinnedu.theory.forecast import Forecast
from pinnedu.theory.symptoms import LEFT, Finding, Scaled, seeded
from pinnedu.theory.trial import Trial, turns

BETTER = 30.0  # times less is left after a cure that is advised
DAMPING = 1e-10  # of a step that is as good as it gets
GRADIENT = 1e-6  # after about a million plain steps
MOST = 6000  # weights of a network whose Jacobian is made


class Patient:
    """A model with its points, as `fit` would train it: fields and terms have their scales."""

    def __init__(self, model: nn.Module, problem: Problem, sample: Sample, weights: Mapping[str, float] | None) -> None:
        self.problem, self.single = problem, next(model.parameters()).dtype == torch.float32
        self.given, self.sample = dict(weights or {}), sample
        self.counts = {name: len(points) for name, points in sample.items()}
        self.rounding = _rounding(model, problem, sample) if self.single else 0.0
        self.model = copy.deepcopy(model).double()
        self.sample = {name: points.double() for name, points in sample.items()}
        units = units_of_fields(problem)
        fields, _ = scale_outputs(self.model, problem, units)
        terms = scales_of_terms(problem, fields, scales_of_unknowns(problem))
        self.scales = {name: 1 / scale**2 for name, scale in terms.items()}
        self.weights = {name: self.scales[name] * self.given.get(name, 1.0) for name in problem.terms}
        self.fresh = problem.sample(Points(600, 100, "sobol"), generator=seeded(11))
        self.zero = self._loss(Scaled(self.model, 0.0), self.fresh, self.scales)
        self.size = sum(weight.numel() for weight in trainable_parameters(self.model).values())
        self.too_large = self.size > MOST
        present = self.problem.residuals(self.model, self.sample)
        losses = {name: self.weights[name] * float(r.detach().square().mean()) for name, r in present.items()}
        self.shares = {name: loss / (sum(losses.values()) or 1.0) for name, loss in losses.items()}

    def _loss(self, model: nn.Module, sample: Sample, weights: Mapping[str, float]) -> float:
        with torch.no_grad():
            found = self.problem.residuals(model, sample)
        return sum(0.5 * weights[name] * float(r.square().mean()) for name, r in found.items())

    def forecast(self, steps: int = 1000) -> Forecast | None:
        """Of gradient descent; None for a network too large to make its Jacobian."""
        if self.too_large:
            return None
        return tangent.forecast(self.model, self.problem, self.sample, steps, weights=self.weights)

    def left(
        self,
        damping: float,
        model: nn.Module | None = None,
        weights: Mapping[str, float] | None = None,
        *,
        fresh: bool = True,
    ) -> float:
        """What a damped Gauss-Newton step leaves of the loss of u = 0, unweighted, by the linearized model."""
        model, weights = self.model if model is None else model, self.weights if weights is None else weights
        own = model is self.model and weights is self.weights
        c, s, Vt = self.decomposed if own else self._decompose(model, weights)
        step = Vt.T @ (s / (s**2 + damping * s[0] ** 2) * c)
        r, J = (
            self.judged[fresh]
            if own
            else tangent.scaled(model, self.problem, self.fresh if fresh else self.sample, self.scales)
        )
        return 0.5 * float((r - J @ step).square().sum()) / self.zero if self.zero > 0 else 0.0

    def _decompose(self, model: nn.Module, weights: Mapping[str, float]) -> tuple[Tensor, Tensor, Tensor]:
        """The residuals along the left singular vectors of their Jacobian, the singular values, the right vectors."""
        r, J = tangent.scaled(model, self.problem, self.sample, weights)
        Q, s, Vt = torch.linalg.svd(J, full_matrices=False)
        return Q.T @ r, s, Vt

    @cached_property
    def decomposed(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of the model itself, with its weights."""
        return self._decompose(self.model, self.weights)

    @cached_property
    def judged(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Residuals and Jacobian without weights, on the points and on fresh ones."""
        on_points, on_fresh = (
            tangent.scaled(self.model, self.problem, s, self.scales) for s in (self.sample, self.fresh)
        )
        return on_points, on_fresh

    def findings(self, trials: list[Trial], sound: bool) -> list[Finding]:
        """What is wrong with numbers, weights, points and network, the gravest first."""
        solved = trials[-1].model if trials and trials[-1].left < LEFT else None
        found = [*self._of_inputs(), *self._of_outputs(solved), *self._of_rounding()]
        if self.too_large:
            return found
        return [
            *found,
            *self._of_weights(solved),
            *self._of_points(),
            *(self._of_the_network(solved) if sound else []),
        ]

    def _of_inputs(self) -> list[Finding]:
        """Whether the first layer sees numbers near 1."""
        layers = [part for part in self.model.modules() if isinstance(part, nn.Linear)]
        if not layers:
            return []
        seen = []
        hook = layers[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].detach()))
        try:
            with torch.no_grad():
                self.model(self.fresh["interior"].to(next(self.model.parameters())))
        finally:
            hook.remove()
        spread = seen[0].std(dim=0) if seen else torch.ones(1)
        middle = seen[0].mean(dim=0).abs() if seen else torch.zeros(1)
        worst = max(float(spread.max()), float(middle.max()))
        if float(spread.max()) > 1 / 30 and worst < 30:
            return []
        return [
            Finding(
                "scale",
                "The scale of the inputs is wrong: the network's first layer does not get numbers near 1.",
                f"They are spread by {float(spread.max()):.2g} around {float(middle.max()):.2g}.",
                "Put Normalize(problem.domain) before the network, as MLP does.",
                "heat",
            )
        ]

    def _of_outputs(self, solved: nn.Module | None) -> list[Finding]:
        """Whether the model's outputs have the size of the solution."""
        points = self.fresh["interior"]
        if solved is not None:
            with torch.no_grad():
                have, want = (m(points).square().mean(dim=0).sqrt() for m in (self.model, solved))
            for name, a, b in zip(self.problem.fields, have.tolist(), want.tolist(), strict=True):
                if b > 30 * max(a, 1e-3) and b > 30:
                    return [
                        Finding(
                            "scale",
                            f"The scale of {name!r} is wrong: the solution is far larger than what the network gives.",
                            f"The solution has a size of about {b:.2g}, by polynomials, and the network gives {a:.2g}.",
                            f"Write the problem for {name} / {10 ** round(math.log10(b)):g}, so that it is near 1.",
                            "navier_stokes",
                        )
                    ]
        start = self._loss(self.model, self.fresh, self.scales) / self.zero if self.zero > 0 else 0.0
        if start > 1e5:
            return [
                Finding(
                    "scale",
                    "The scale of the network's outputs is wrong: they are far too large, or vary far too fast.",
                    f"The loss is {start:.0e} times that of u = 0.",
                    "Write the problem in units in which the solution is near 1, or lower the frequencies of the embedding.",
                    "fourier_features",
                )
            ]
        return []

    def _of_rounding(self) -> list[Finding]:
        """Whether float32 can distinguish residuals from rounding."""
        if self.rounding < 0.1:
            return []
        return [
            Finding(
                "float32",
                "float32 is too coarse: rounding is as large as the residuals.",
                f"The residuals in float32 and in float64 differ by {self.rounding:.1%} of their size.",
                "Use float64, and shift coordinates so that 0 lies within the domain.",
                "failures",
            )
        ]

    def _wrong(self, solved: nn.Module | None, weights: Mapping[str, float]) -> float:
        """What about a million plain steps leave: of the loss or, if that is known and more, of the solution's square."""
        left = self.left(GRADIENT, weights=weights)
        if solved is None:
            return left
        points = self.fresh["interior"]
        c, s, Vt = self.decomposed if weights is self.weights else self._decompose(self.model, weights)
        step = Vt.T @ (s / (s**2 + GRADIENT * s[0] ** 2) * c)
        with torch.no_grad():
            start, truth = self.model(points), solved(points)
        change = (tangent.features(self.model, points) @ step).reshape(start.shape)
        return max(left, float((start - change - truth).square().mean() / truth.square().mean()))

    def _of_weights(self, solved: nn.Module | None) -> list[Finding]:
        """Whether other weights of the terms would leave less."""
        traces = {name: self._trace(name) for name in self.problem.terms}
        seen = _shares(traces)
        equal = _shares(
            {name: trace * self.scales[name] / self.weights[name] for name, trace in traces.items() if trace > 0}
        )
        for name in self.given:
            if seen[name] < 1e-6 and equal.get(name, 0.0) > 1e-4:
                return [
                    Finding(
                        "weights",
                        f"The weights of the terms are wrong: {name!r} is hardly seen.",
                        f"{name!r} has {seen[name]:.0e} of the tangent kernel's trace, with equal weights {equal[name]:.1g}.",
                        "Leave weights out, or fit(weights=TangentKernelBalance()).",
                        "experts_guide",
                    )
                ]
        now = self._wrong(solved, self.weights)
        if now < 10 * LEFT:
            return []
        largest = max(traces.values())
        even = {name: self.weights[name] * largest / traces[name] for name in traces if traces[name] > 0}
        plain = self._wrong(solved, self.scales) if any(w != 1 for w in self.given.values()) else now
        balanced = self._wrong(solved, {**self.weights, **even})
        best = min(plain, balanced)
        if best * BETTER > now:
            return []
        dim = min(traces, key=traces.__getitem__)
        if seen[dim] > 1e-4:
            return []
        better = "equal weights" if plain <= BETTER * balanced and plain < now / BETTER else "balanced weights"
        return [
            Finding(
                "weights",
                f"The weights of the terms are wrong: {dim!r} is hardly seen.",
                f"{dim!r} has {seen[dim]:.0e} of the trace of the tangent kernel. "
                f"A million plain steps leave {now:.0%}, and {best:.1g} with {better}.",
                "Leave weights out, or fit(weights=TangentKernelBalance()).",
                "experts_guide",
            )
        ]

    def _trace(self, name: str) -> float:
        """The trace of a term's tangent kernel, weighted."""
        alone = {other: self.weights[other] * (other == name) for other in self.problem.terms}
        return float(tangent.scaled(self.model, self.problem, self.sample, alone)[1].square().sum())

    def _of_points(self) -> list[Finding]:
        """Whether the points are fitted and not the equation."""
        train, fresh = self.left(DAMPING, fresh=False), self.left(DAMPING)
        loss = self._loss(self.model, self.sample, self.weights)
        again = self._loss(self.model, self.fresh, self.weights)
        trained = again > BETTER * loss and loss < self.zero / 10
        if not (fresh > LEFT and fresh > BETTER * train) and not trained:
            return []
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        evidence = (
            f"The loss is {loss:.1e}, and {again:.1e} on fresh points."
            if trained
            else f"A step of Gauss-Newton leaves {train:.0e} of the loss on the points, and {fresh:.0e} on fresh ones."
        )
        return [
            Finding(
                "points",
                "There are too few points: they are fitted, and not the equation.",
                f"{evidence} Points: {counts}.",
                "Take more points, or draw them again: Points(..., resample=10).",
                "failures",
            )
        ]

    def _of_the_network(self, solved: nn.Module | None) -> list[Finding]:
        """Whether a wider network would do, or the solution turns too often for smooth features."""
        now = self.left(DAMPING, fresh=False)
        if now < 10 * LEFT:
            return []
        wide = _wider(self.model, self.problem)
        if wide is not None and self.size < 200 and self.left(DAMPING, wide, fresh=False) < now / 10:
            return [
                Finding(
                    "too small a network",
                    "The network is too small.",
                    f"With {self.size} weights a step of Gauss-Newton leaves {now:.1%} of the loss, with a wider network "
                    f"{self.left(DAMPING, wide, fresh=False):.1g}.",
                    "Widen it, such as MLP(problem, hidden=(20, 20)).",
                    "approximation",
                )
            ]
        if now < 0.3:
            return []
        count = turns(solved, self.problem) if solved is not None else {}
        often = max(count, key=count.__getitem__) if count else ""
        if often and count[often] < 5:
            return []  # a smooth solution: something else, which is not known
        turning = f"The solution turns {count[often]} times along {often}. " if often else ""
        return [
            Finding(
                "frequency",
                "The frequency of the solution is too high: it has finer detail than the features of this network.",
                f"{turning}Of the loss, {now:.0%} lies along eigenvalues of the tangent kernel below 1e-10 of the largest.",
                "Embed the coordinates by FourierFeatures with such frequencies, or train in windows by march.",
                "fourier_features",
            )
        ]


def _rounding(model: nn.Module, problem: Problem, sample: Sample) -> float:
    """How much residuals in float32 differ from those in float64, relative to their size."""
    exact = problem.residuals(copy.deepcopy(model).double(), {name: points.double() for name, points in sample.items()})
    worst = 0.0
    for name, r in problem.residuals(model, sample).items():
        size = float(exact[name].detach().square().mean().sqrt())
        if size > 0:
            worst = max(worst, float((r.detach().double() - exact[name].detach()).square().mean().sqrt()) / size)
    return worst


def _shares(sizes: Mapping[str, float]) -> dict[str, float]:
    """Each one's share of their sum."""
    total = sum(sizes.values()) or 1.0
    return {name: size / total for name, size in sizes.items()}


def _wider(model: nn.Module, problem: Problem) -> nn.Module | None:
    """A network like this one with at least 20 neurons a layer; None for a model that is none of pinnedu's."""
    if type(model) is not MLP:
        return None
    hidden = [max(20, len(layer.bias)) for layer in model.layers[:-1]]  # type: ignore[arg-type]
    wide = MLP(
        problem,
        hidden=hidden or (20,),
        activation=type(model.activation),
        embedding=model.embedding,
        inputs=model.inputs,
        seed=0,
    )
    wide.set_output(model.output_shift, model.output_scale)
    return wide
