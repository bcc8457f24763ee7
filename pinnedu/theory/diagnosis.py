"""Why does it not converge? What can be found out before training, or after, in order of gravity.

Four questions, each with a calculation of its own:

1. Is the problem what was meant? Its terms must see the model, and the solution, where it is known, must satisfy them.
2. Does the problem have one solution that depends on its data? Polynomials try it, see `pinnedu.theory.trial`.
3. Do numbers, points and weights fit? Every cure is tried on the linearized model before it is advised.
4. Can the network represent the solution? A wider one is tried in the same way; how often the solution turns is counted.

The first two are in `pinnedu.theory.symptoms`, the others in `pinnedu.theory.patient`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor, nn

from pinnedu.checks import require
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.theory import tangent
from pinnedu.theory.forecast import Forecast
from pinnedu.theory.patient import Patient
from pinnedu.theory.symptoms import (
    Finding,
    built_in,
    of_corners,
    of_the_equations,
    of_the_problem,
    of_the_solution,
    seeded,
)
from pinnedu.theory.trial import Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Diagnosis:
    """What was found, the gravest first.

    Attributes
    ----------
    findings : list of Finding
        Empty where nothing was found.
    shares : dict of term to float
        The share of each term in the loss as it is now.
    forecast : Forecast, optional
        Of gradient descent on the points, from the present weights.
    trials : list of Trial
        Of the problem without a network, by polynomials of two degrees; empty where there are more than three coordinates.
    unknown : list of str
        What could not be judged, and why.
    """

    findings: list[Finding]
    shares: Mapping[str, float] = field(default_factory=dict)
    forecast: Forecast | None = None
    trials: list[Trial] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @property
    def cause(self) -> str:
        """Of the gravest finding; empty if there is none."""
        return self.findings[0].cause if self.findings else ""

    def __str__(self) -> str:
        lines = [f"{i}. {finding}" for i, finding in enumerate(self.findings, start=1)]
        if not lines:
            lines = ["No cause was found that would keep it from converging."]
        if self.shares:
            lines.append(
                "Share of the loss: " + ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items()) + "."
            )
        if self.forecast is not None:
            n = self.forecast.steps
            lines.append(
                f"Forecast of gradient descent: {float(self.forecast.loss(n)) / float(self.forecast.loss(0)):.1%} of the loss is "
                f"left after {n} steps. {self.forecast.verdict}"
            )
        return "\n".join([*lines, *(f"Not judged: {what}" for what in self.unknown)])

    def plot(self) -> Figure:
        """Where the residual lies in the spectrum, and the forecast of the loss."""
        require(
            self.forecast is not None, "The diagnosis", "one that got as far as a forecast, to be drawn", self.cause
        )
        assert self.forecast is not None
        return self.forecast.plot()


def diagnose(
    model: nn.Module,
    problem: Problem,
    points: Points | Sample | Tensor | None = None,
    *,
    weights: Mapping[str, float] | None = None,
) -> Diagnosis:
    """Look for what keeps a model from learning a problem, before training or after it.

    Parameters
    ----------
    model : Module
        At its present weights; it stays as it is.
    problem : Problem
    points : Points, sample or Tensor, optional
        What it is trained on, as for `fit`; ``Points()`` by default.
    weights : dict of term to float, optional
        As for `fit`; 1 by default.

    Returns
    -------
    Diagnosis
        It prints as a list of findings, each with its evidence and its cure. Fields and terms are scaled as `fit` does.

    Raises
    ------
    ValueError
        If the model has nothing to train or does not fit the problem, or the points or weights are none of the problem's.
    """
    require(isinstance(problem, Problem), "The problem", "a Problem", problem)
    tangent.check_model(model)
    tangent.check_weights(problem, weights)
    unscaled = problem.sample(points, generator=seeded(0)) if points is None or isinstance(points, Points) else points
    sample = {"interior": unscaled} if isinstance(unscaled, Tensor) else unscaled
    problem.check_model(model, tangent.placed(model, {"x": problem.domain.sample(3, generator=seeded(0))})["x"])
    found = of_the_equations(model, problem, sample)
    if found:
        return Diagnosis(found)
    patient = Patient(model, problem, sample, weights)
    found = [*of_the_solution(problem), *of_corners(problem)]
    if built_in(patient.model, problem):
        more, trials = list[Finding](), list[Trial]()
        unknown = [
            "whether the problem is well-posed: conditions are built into the model, which polynomials do not know."
        ]
    else:
        more, trials, unknown = of_the_problem(problem)
    found += [*more, *patient.findings(trials, sound=not (found or more))]
    return Diagnosis(found, patient.shares, patient.forecast(), trials, unknown)
