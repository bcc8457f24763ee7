"""What may be wrong with a problem itself, whatever the network.

Terms that do not see the model or are not finite; terms that the known solution does not satisfy; conditions that contradict
one another; too few of them; and a problem whose solution does not depend on its data. Nothing of this can be trained away.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pinnedu.checks import reason
from pinnedu.conditions import On
from pinnedu.derivatives import Request, engine
from pinnedu.domain import Box
from pinnedu.equations import by_name, run
from pinnedu.observations import At
from pinnedu.parameters import trainable_parameters
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.scales import known_values
from pinnedu.theory import tangent
from pinnedu.theory.trial import Trial, attempt, degree, turns

LEFT = 1e-3
"""Share of the loss of u = 0 that may be left: less is no trouble yet."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes
    ----------
    cause : str
        In a word or two, such as "ill-posed" or "points".
    sentence : str
        What is wrong, with the cause in it.
    evidence : str
        What was measured.
    cure : str
        What to do.
    chapter : str
        Where the book explains it.
    """

    cause: str
    sentence: str
    evidence: str
    cure: str
    chapter: str

    def __str__(self) -> str:
        return f"{self.sentence}\n   Evidence: {self.evidence}\n   Cure: {self.cure} (chapter {self.chapter})"


def of_the_equations(model: nn.Module, problem: Problem, sample: Sample) -> list[Finding]:
    """Terms that are not finite, or do not see the model."""
    found = []
    weights = list(trainable_parameters(model).values())
    residuals = problem.residuals(model, sample)
    for name, r in residuals.items():
        if not bool(torch.isfinite(r).all()):
            bad = int((~torch.isfinite(r)).sum())
            found.append(
                Finding(
                    "bug",
                    f"There is a bug in {name!r}: it is not finite.",
                    f"{bad} of {len(r)} residuals are NaN or infinite at the present weights.",
                    f"Look in {name!r} for a division by zero, or a root or logarithm of what may be negative.",
                    "burgers",
                )
            )
        elif not r.requires_grad or all(
            g is None or not bool((g != 0).any())
            for g in torch.autograd.grad(r.square().sum() + r.sum(), weights, retain_graph=True, allow_unused=True)
        ):
            found.append(
                Finding(
                    "bug",
                    f"There is a bug in {name!r}: it does not depend on the model.",
                    "Its derivative by every weight is zero.",
                    f"Write {name!r} with the field it is given, and without detach, item, numpy or a difference that cancels.",
                    "heat",
                )
            )
    return found


class _Exact(nn.Module):
    """The known solution as a model."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def forward(self, points: Tensor) -> Tensor:
        assert self.problem.exact is not None
        values = run("exact", self.problem.exact, by_name(points, self.problem.domain.names))
        values = values if isinstance(values, Mapping) else {self.problem.fields[0]: values}
        return torch.stack([values[name].expand(len(points)) for name in self.problem.fields], dim=1)


def of_the_solution(problem: Problem) -> list[Finding]:
    """Terms that the known solution does not satisfy."""
    if problem.exact is None or problem.unknowns:
        return []
    sample = problem.sample(Points(200, 50), generator=seeded(1))
    sizes: dict[str, float] = {}
    try:
        left = problem.residuals(_Exact(problem), sample, derivatives="autograd")
        for scale in (0.5, 1.5):  # how large a residual is where the solution is not
            model = Scaled(_Exact(problem), scale)
            for name, r in problem.residuals(model, sample, derivatives="autograd").items():
                sizes[name] = max(sizes.get(name, 0.0), float(r.detach().abs().max()))
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError):
        return []  # it cannot be differentiated, or does not give all fields
    found = []
    for name, r in left.items():
        worst = float(r.detach().abs().max())
        if worst <= 1e-3 * sizes[name] or worst < 1e-6 or isinstance(problem.conditions.get(name), At):
            continue  # measured values have noise
        evidence = f"For the solution given as exact it is up to {worst:.2g}, and not 0."
        flipped = _flip(problem, name, sample) if name in problem.equations else ""
        if flipped:
            found.append(
                Finding(
                    "sign",
                    f"A sign is wrong in {name!r}: that of {flipped}.",
                    evidence + f" With the other sign before {flipped} it is 0.",
                    f"Change the sign of {flipped} in {name!r}.",
                    "heat",
                )
            )
        elif name in problem.equations:
            found.append(
                Finding(
                    "bug",
                    f"There is a bug in {name!r}: the known solution does not satisfy it.",
                    evidence,
                    f"Derive {name!r} again term by term, or correct exact.",
                    "heat",
                )
            )
        else:
            found.append(
                Finding(
                    "wrong condition",
                    f"The condition {name!r} is wrong: the known solution does not satisfy it.",
                    evidence,
                    f"Compare {name!r} with exact on its set.",
                    "heat",
                )
            )
    return sorted(found, key=lambda one: one.cause != "sign")


class Scaled(nn.Module):
    """A model times a number."""

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, points: Tensor) -> Tensor:
        return self.scale * self.model(points)


def _flip(problem: Problem, name: str, sample: Sample) -> str:
    """The derivative before which the other sign lets the known solution satisfy an equation; or "the source"."""
    made = engine("autograd")
    model, names = _Exact(problem), problem.domain.names
    requests = problem._requests.get("interior", set())
    points = {"interior": sample["interior"]}

    def residual(turned: object) -> Tensor:
        def turn(model: nn.Module, points: Tensor, asked: Collection[Request]) -> dict[Request, Tensor]:
            values = made(model, points, asked)
            return {request: -v if request == turned or turned == "all" else v for request, v in values.items()}

        return problem.residuals(model, points, derivatives=turn)[name].detach()

    size = float(residual(None).abs().max())
    found = []
    for request in sorted(requests, key=repr):
        if float(residual(request).abs().max()) < 1e-6 * size:
            output, order = request
            letters = (
                "".join(n * k for n, k in zip(names, order, strict=True)) if isinstance(order, tuple) else "laplacian"
            )
            found.append(problem.fields[output] + ("." + letters if letters else ""))
    if found:
        return " or of ".join(found)
    return "the source" if float(residual("all").abs().max()) < 1e-6 * size else ""


def of_corners(problem: Problem) -> list[Finding]:
    """Conditions that give a field two values at one point."""
    plain = [
        (name, condition)
        for name, condition in problem.conditions.items()
        if isinstance(condition, On) and condition.fixed and not condition.columns(problem.domain)
    ]
    names, sizes = problem.domain.names, dict.fromkeys(problem.fields, 1e-300)
    drawn = problem.sample(Points(1, 50), generator=seeded(2))
    for name, _ in plain:
        for output, values in known_values(problem, name, drawn).items():
            sizes[output] = max(sizes[output], float(values.abs().max()))
    for i, (one, first) in enumerate(plain):
        for other, second in plain[i + 1 :]:
            both = {**first.fixed, **second.fixed}
            if any(first.fixed[c] != second.fixed[c] for c in set(first.fixed) & set(second.fixed)):
                continue
            points = problem.domain.sample(50, generator=seeded(2))
            for name, value in both.items():
                points[:, names.index(name)] = value
            a, b = (known_values(problem, which, {which: points}) for which in (one, other))
            for output in set(a) & set(b):
                if len(a[output]) != len(b[output]):
                    continue
                gap = (a[output] - b[output]).abs()
                if float(gap.max()) > 1e-3 * sizes[output]:
                    where = ", ".join(f"{name} = {value:g}" for name, value in both.items())
                    n = int(gap.argmax())
                    return [
                        Finding(
                            "wrong condition",
                            f"The conditions {one!r} and {other!r} are wrong together: they contradict each other.",
                            f"At {where} they give {output} = {float(a[output][n]):.3g} and {float(b[output][n]):.3g}.",
                            "Correct one of them; if the solution does jump there, weigh or cut out the corner.",
                            "heat",
                        )
                    ]
    return []


def of_the_problem(problem: Problem) -> tuple[list[Finding], list[Trial], list[str]]:
    """Whether there is a solution, only one, and one that depends on its data."""
    try:
        highest = degree(problem)
    except ValueError:
        return [], [], ["whether the problem is well-posed: it has more than three coordinates."]
    try:
        trials = [attempt(problem, highest // 2), attempt(problem, highest)]
    except (ValueError, RuntimeError) as error:
        return [], [], [f"whether the problem is well-posed: polynomials cannot try it ({reason(error)})."]
    coarse, fine = trials
    found, unknown = [], []
    alone, size = fine.hidden, fine.faintest
    tiny = 1e-12 if problem.domain.dim < 3 else 1e-6
    fell = coarse.faintest > 1e3 * size and size < 1e-6
    linear = True
    try:
        tangent.check_linear(problem)
    except ValueError:
        linear = False
        unknown.append("whether the terms contradict one another: the problem is not linear, or has unknowns.")
    contradicts = linear and fine.left > 1e-4 and coarse.left < 1.3 * fine.left and fine.smooth > 0.1
    constant = _constant(alone, problem) if size < tiny else ""
    if contradicts:
        names = " and ".join(repr(name) for name in _suspects(problem, fine, highest // 2))
        found.append(
            Finding(
                "wrong condition",
                f"A condition is wrong: {names} contradict one another, and no function satisfies them all.",
                f"The best polynomials leave {fine.left:.1%} of the loss of u = 0, and {coarse.left:.1%} with half the degree.",
                "Take one condition away or correct it; with slopes alone the source must balance the flux.",
                "stability",
            )
        )
    if size < tiny and coarse.faintest < 1e-5:
        what = f"a constant can be added to {constant}" if constant else "some functions are seen by no term"
        found.append(
            Finding(
                "ill-posed",
                f"The problem is ill-posed: it does not determine its solution, {what}.",
                f"A function of size 1 has residuals of size {math.sqrt(size):.0e} in all terms.",
                f"Add the value of {constant} at one point."
                if constant
                else "Add the condition that is missing: as many as the order of the equation along each coordinate.",
                "stability",
            )
        )
    elif fell:
        count = max(turns(alone, problem).values())
        found.append(
            Finding(
                "ill-posed",
                "The problem is ill-posed: short waves grow without bound, as where time runs backwards.",
                f"A function of size 1 that turns {count} times has residuals of size {math.sqrt(size):.0e}; "
                f"with half the degree, {math.sqrt(coarse.faintest):.0e}. So errors grow with every detail that is resolved.",
                "Check the sign of the highest derivative, and at which end of time the condition stands; else add data.",
                "stability",
            )
        )
    if not found and problem.domain.dim == 3:
        unknown.append("whether a condition is missing: in three coordinates polynomials are too coarse to say.")
    if not found and fine.left > LEFT:
        unknown.append(
            f"the solution itself: polynomials of degree {highest} leave {fine.left:.0%} of the loss, so it has more detail."
        )
    return found, trials, unknown


def built_in(model: nn.Module, problem: Problem) -> bool:
    """Whether a model satisfies a condition by construction: its weights do not move it on a part of the boundary, or tie two."""
    domain = problem.domain

    def features(points: Tensor) -> Tensor:
        return tangent.features(model, points)

    inside = float(features(domain.sample(20, generator=seeded(4))).square().sum(dim=1).median())
    for part in domain.parts.values():
        points = part.sample(10, "uniform", generator=seeded(4))[0]
        if float(features(points).square().sum(dim=1).max()) < 1e-12 * inside:
            return True
    if not isinstance(domain, Box):
        return False
    for axis in range(domain.dim):
        low = domain.sample(10, generator=seeded(4))
        high = low.clone()
        low[:, axis], high[:, axis] = domain.low[axis], domain.high[axis]
        if float((features(low) - features(high)).square().max()) < 1e-12 * inside:
            return True
    return False


def _constant(model: nn.Module, problem: Problem) -> str:
    """The only field of a function that is not zero, if it is constant; else empty."""
    points = problem.domain.sample(200, generator=seeded(3))
    with torch.no_grad():
        values = model(points)
    size, spread = values.square().mean(dim=0).sqrt(), values.std(dim=0)
    largest = int(size.argmax())
    others = torch.cat([size[:largest], size[largest + 1 :]])
    alone = bool((others < 1e-3 * size[largest]).all()) and float(spread[largest]) < 1e-3 * float(size[largest])
    return problem.fields[largest] if alone else ""


def _suspects(problem: Problem, whole: Trial, highest: int) -> list[str]:
    """The terms without which the others can be satisfied."""
    names = []
    for name in problem.conditions:
        fewer = {other: condition for other, condition in problem.conditions.items() if other != name}
        rest = attempt(dataclasses.replace(problem, conditions=fewer), highest)
        if rest.loss < whole.loss / 10:
            names.append(name)
    return names or list(problem.terms)


def seeded(number: int) -> torch.Generator:
    """A stream of random numbers of its own."""
    return torch.Generator().manual_seed(number)
