"""Scales: numbers of any size are trained as if they were near 1.

A network's outputs are near 1 when it is drawn, and an optimizer's step is about as long for every number that it
moves. So a temperature of 350 or a rate of 7e7 is out of reach, and a residual of size 1e-5 is not seen beside one of
size 1. What is large or small is said by the problem, before any training:

- a **field** by the values that data and conditions give it: the model becomes shift + scale * net(x);
- an **unknown** by its first guess, or by measurements that say it is much larger: training moves unknown / scale;
- a **term** by its residual for a smooth wave of the fields' size: its weight becomes 1 / scale^2.

What is near 1 already is left alone, to the last bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pinnedu.derivatives import Request
from pinnedu.measured import Measured
from pinnedu.models import MLP
from pinnedu.observations import At
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points

NEAR = 8.0  # a field between 1 / 8 and 8 is near 1, and so are terms where a field is not
SMALL_GUESS = 1e-3  # below it a guess says how small the unknown is; above it it may say that nothing is known
TERMS = 1e-2, 1e3  # between these sizes the terms of a problem with fields near 1 are left alone
TRIVIAL = 1e2  # the same for an equation that zero solves: if it outweighs the conditions, zero is what is learned
FAR = 30.0  # so many times its guess, and more than 1, an unknown must be by the data for these to say its size
PROBED = 512  # points of each set that are looked at


class Unit(NamedTuple):
    """How a field is written: shift + scale * (a number near 1)."""

    shift: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Scales:
    """The scales of a run: 0 and 1 where nothing was changed.

    Attributes
    ----------
    fields : dict of field to (shift, scale)
        The model gives shift + scale * net(x). Scales of fields are powers of two, so that no digit is lost.
    unknowns : dict of unknown to float
        Training moves the unknown divided by this power of ten.
    terms : dict of term to float
        The residuals are divided by this power of ten: the weight of the term in the loss is 1 / scale^2.
    """

    fields: Mapping[str, Unit] = field(default_factory=dict)
    unknowns: Mapping[str, float] = field(default_factory=dict)
    terms: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        said = [f"{name} = {_affine(unit)}" for name, unit in self.fields.items() if unit != Unit()]
        said += [f"{name} = {scale:g} * parameter" for name, scale in self.unknowns.items() if scale != 1]
        said += [f"{name} / {scale:g}" for name, scale in self.terms.items() if scale != 1]
        return f"Scales({', '.join(said) or 'all 1'})"

    def content(self) -> dict[str, Any]:
        """The same in dicts and lists, for a file."""
        fields = {name: list(unit) for name, unit in self.fields.items()}
        return {"fields": fields, "unknowns": dict(self.unknowns), "terms": dict(self.terms)}

    @staticmethod
    def of(content: Mapping[str, Any] | None) -> Scales:
        """What :meth:`content` made a file of; all 1 from a file without."""
        if content is None:
            return Scales()
        return Scales({name: Unit(*pair) for name, pair in content["fields"].items()}, content["unknowns"], content["terms"])


def unscaled(problem: Problem) -> Scales:
    """Scales that change nothing."""
    return Scales(dict.fromkeys(problem.fields, Unit()), dict.fromkeys(problem.unknowns, 1.0), dict.fromkeys(problem.terms, 1.0))


# --- what the problem says


def scales_of_unknowns(problem: Problem) -> dict[str, float]:
    """A power of ten for each unknown whose first guess is above 8 or below 1e-3; a guess of 0 says nothing.

    Where all fields are measured along one coordinate, these data may say that an unknown is much larger than its guess.
    """
    scales = _scales_of_guesses(problem)
    if scales:
        measured = {name: abs(value) for name, value in Measured(problem).unknowns().items()}
        far = {name for name, size in measured.items() if size > FAR * max(1.0, abs(float(problem.unknowns[name])))}
        scales |= {name: _power(measured[name], 10) for name in far}
    return scales


def _scales_of_guesses(problem: Problem) -> dict[str, float]:
    sizes = {name: abs(float(guess)) for name, guess in problem.unknowns.items()}
    return {name: 1.0 if size == 0 or SMALL_GUESS <= size <= NEAR else _power(size, 10) for name, size in sizes.items()}


def units_of_fields(problem: Problem) -> dict[str, Unit]:
    """What data and conditions say of the size of each field.

    Known values are those that satisfy a condition which asks for no derivative, and measured ones. Where the largest
    is between 1/8 and 8, or none is known, the field stays as it is. Otherwise the scale is the largest value, or, where all
    are far from 0, half their range around a shift. From values at the boundary or at the start alone it is unknown how far
    the solution goes from there: the scale is then at least half of the largest. And they may be small while the solution is
    not: for small ones the equations must be linear in the field, and without a larger source.
    """
    sample = _sample(problem)
    known: dict[str, list[Tensor]] = {name: [] for name in problem.fields}
    measured = set()
    for name in problem.conditions:
        for output, values in known_values(problem, name, sample).items():
            known[output].append(values)
            if isinstance(problem.conditions[name], At) and len(values) > 9:
                measured.add(output)
    return {
        name: _unit(problem, name, torch.cat(values), name in measured, sample) if values else Unit()
        for name, values in known.items()
    }


def _unit(problem: Problem, name: str, values: Tensor, measured: bool, sample: Sample) -> Unit:
    """The unit of a field with such values."""
    low, high = float(values.min()), float(values.max())
    largest, center, half = max(abs(low), abs(high)), (low + high) / 2, (high - low) / 2
    if largest == 0 or 1 / NEAR <= largest <= NEAR:
        return Unit()
    if largest < 1 and not measured and not _stays_small(problem, name, largest, sample):
        return Unit()
    plain = Unit(0.0, _power(largest, 2))
    if abs(center) <= 2 * half:
        return plain
    single = half <= 1e-6 * largest
    spread = largest / 2 if single else max(half, largest / 1000) if measured else math.sqrt(half * largest / 2)
    around = Unit(float(f"{center:.3g}"), _power(spread, 2))
    return around if not single or not _bears(problem, name, plain, around, sample) else plain


def _bears(problem: Problem, name: str, plain: Unit, around: Unit, sample: Sample) -> bool:
    """Whether the equations are about as large for values around 0 as for those around a shift, and not infinite."""
    interior = {"interior": sample["interior"]}
    one, other = (
        [_largest(residual) for residual in _residuals(problem, {name: unit}, interior).values()] for unit in (plain, around)
    )
    return all(a <= 1000 * b for a, b in zip(one, other, strict=True))


def _stays_small(problem: Problem, name: str, size: float, sample: Sample) -> bool:
    """Whether the equations are linear in a field, and their source, if they have one, is not too large for its size."""
    interior = {"interior": sample["interior"]}
    zero, one, two = (_residuals(problem, {name: Unit(0.0, factor * size)}, interior) for factor in (0.0, 1.0, 2.0))
    for equation, source in zero.items():
        wave, bend = one[equation] - source, two[equation] - 2 * one[equation] + source
        own, bent, driven = _largest(wave), _largest(bend), _largest(source)
        of_this_field = not own == bent == 0
        if of_this_field and not (bent <= 1e-6 * own and driven <= NEAR * own):
            return False
    return True


def scales_of_terms(problem: Problem, units: Mapping[str, Unit], unknowns: Mapping[str, float]) -> dict[str, float]:
    """A power of ten for each term: the median of its residual for smooth waves of the size of the fields.

    Where measurements gave an unknown its scale, their residuals count too, if they are larger. Sizes between 1/8 and 8 are
    left alone and, where all fields and unknowns are, those between 1/100 and 1000 (100, if zero solves the equation).
    """
    alone = all(unit == Unit() for unit in units.values()) and all(scale == 1 for scale in unknowns.values())
    low, high = TERMS if alone else (1 / NEAR, NEAR)
    sample = _sample(problem)
    found = [_residuals(problem, units, sample, quarter * math.pi / 2) for quarter in range(4)]
    sizes = {name: float(torch.cat([wave[name] for wave in found]).abs().median()) for name in found[0]}
    if dict(unknowns) not in ({}, _scales_of_guesses(problem)):
        for name, residual in Measured(problem).residuals(problem.unknowns).items():
            size = float(residual.abs().median())  # to the next power, for the data must be learned before the unknown is
            sizes[name] = max(sizes[name], 10.0 ** math.ceil(math.log10(size))) if size else sizes[name]
    nothing = _residuals(problem, dict.fromkeys(problem.fields, Unit(0.0, 0.0)), {"interior": sample["interior"]})
    highs = {name: min(high, TRIVIAL) if name in nothing and not nothing[name].any() else high for name in sizes}
    free = {name for name, size in sizes.items() if not 0 < size < math.inf or low <= size <= highs[name]}
    return {name: 1.0 if name in free else _power(sizes[name], 10) for name in sizes}


# --- the equations on fields that are known


class _Wave(nn.Module):
    """Fields shift + scale * sin, half a wave along each coordinate of the domain, each field with a phase of its own."""

    def __init__(self, problem: Problem, units: Mapping[str, Unit], phase: float) -> None:
        super().__init__()
        self.phase = phase
        self.low, self.length = problem.domain.low, problem.domain.high - problem.domain.low
        self.units = [units.get(name, Unit()) for name in problem.fields]

    def forward(self, points: Tensor) -> Tensor:
        angle = (math.pi * (points - self.low) / self.length).sum(dim=1)
        waves = [unit.shift + unit.scale * torch.sin(angle + self.phase + k + 1) for k, unit in enumerate(self.units)]
        return torch.stack(waves, dim=1)


def _residuals(
    problem: Problem, units: Mapping[str, Unit], sample: Sample, phase: float = 0.0
) -> dict[str, Tensor]:
    """The residuals of such waves; no numbers where the equations cannot be evaluated on them."""
    try:
        with torch.no_grad():
            return problem.residuals(_Wave(problem, units, phase), sample)
    except ValueError:
        return {name: torch.full((1,), math.nan) for name in problem.terms if name in sample or name in problem.equations}


def known_values(problem: Problem, name: str, sample: Sample) -> dict[str, Tensor]:
    """The values that a condition gives to fields: it asks for no derivative, and a * u + b = 0 at each point."""
    condition = problem.conditions[name]
    if condition.paired or condition.whole:
        return {}

    def blocks(output: int, value: float) -> Tensor:
        def constant(model: nn.Module, points: Tensor, requests: Collection[Request]) -> dict[Request, Tensor]:
            def of(request: Request) -> float:
                which, order = request
                return (value if which == output else 0.0) if isinstance(order, tuple) and not any(order) else math.nan

            return {request: points.new_full((len(points),), of(request)) for request in requests}

        with torch.no_grad():
            return torch.stack(problem.blocks(nn.Identity(), {name: sample[name]}, constant)[name])

    try:
        at = [[blocks(output, value) for value in (0.0, 1.0, 2.0)] for output in range(len(problem.fields))]
    except ValueError:
        return {}
    found: dict[str, Tensor] = {}
    for output, (zero, one, two) in enumerate(at):
        slope, bend = one - zero, two - 2 * one + zero
        linear = bend.abs() <= 1e-6 * slope.abs()
        alone = torch.stack([other[1] == other[0] for k, other in enumerate(at) if k != output] or [zero == zero]).all(dim=0)
        good = ((slope != 0) & linear & alone & torch.isfinite(zero)).all(dim=1)
        if good.any():
            found[problem.fields[output]] = (-zero[good] / slope[good]).reshape(-1)
    return found


def _sample(problem: Problem) -> Sample:
    """The same points in every run, from a stream of their own."""
    points = Points(PROBED, dict.fromkeys(problem.conditions, PROBED))
    return problem.sample(points, generator=torch.Generator().manual_seed(0))


# --- the model


def scale_outputs(model: nn.Module, problem: Problem, units: Mapping[str, Unit]) -> tuple[dict[str, Unit], str]:
    """Let a model give shift + scale * net(x), where its outputs do not have the size of their fields yet.

    The networks of pinnedu in it keep shift and scale beside their weights. Of another module the last linear layer is
    multiplied, once. Then the outputs must have changed as they should. Where they have not, because a formula stands
    around the network, shifts are left out; where that does not do either, the model is as it was.

    Returns
    -------
    dict of field to Unit
        What the model has, now or from a run before.
    str
        What could not be done, in a sentence; empty if all is well.
    """
    weight = next(model.parameters())
    points = problem.domain.sample(PROBED, generator=torch.Generator().manual_seed(0)).to(weight)

    def outputs() -> Tensor:
        with torch.no_grad():
            return model(points).double()

    had: dict[str, Unit] = {}
    for network in [part for part in model.modules() if isinstance(part, MLP)]:
        if network.output_shift is not None and network.output_scale is not None:
            names = network.fields if len(network.fields) < len(problem.fields) else problem.fields
            pairs = zip(network.output_shift.tolist(), network.output_scale.tolist(), strict=True)
            had = dict(zip(names, itertools.starmap(Unit, pairs), strict=False)) | had
    if had:
        return dict.fromkeys(problem.fields, Unit()) | had, ""
    before = outputs()
    sizes = dict(zip(problem.fields, before.square().mean(dim=0).sqrt().tolist(), strict=True))
    wanted = {
        name: Unit() if math.hypot(*unit) / NEAR <= sizes[name] <= NEAR * math.hypot(*unit) else unit
        for name, unit in units.items()
    }
    for trial in (wanted, {name: Unit(0.0, _power(max(map(abs, unit)), 2)) for name, unit in wanted.items()}):
        if all(unit == Unit() for unit in trial.values()):
            return trial, ""
        shift, scale = before.new_tensor([trial[name] for name in problem.fields]).T
        goal = shift + scale * before
        for change in (partial(_scale_networks, problem), _scale_last_layer):
            undo = change(model, shift.to(weight), scale.to(weight))
            if ((outputs() - goal).abs() <= 1e-3 * scale).all():
                return trial, ""
            undo()
    far = next(name for name, unit in wanted.items() if unit != Unit())
    return dict.fromkeys(problem.fields, Unit()), (
        f"The field {far!r} has values about {math.hypot(*units[far]):.1g} in data or conditions, and the model gives about "
        f"{sizes[far]:.1g}: give it this scale in its formula, such as {far} = {_affine(units[far])}."
    )


def _scale_networks(problem: Problem, model: nn.Module, shift: Tensor, scale: Tensor) -> Callable[[], None]:
    """Give the scales to all networks of pinnedu in a model; returns what takes them away."""
    networks = [part for part in model.modules() if isinstance(part, MLP)]
    for network in networks:
        if len(network.layers[-1].bias) == len(scale):  # type: ignore[arg-type]
            network.set_output(shift, scale)
        elif set(network.fields) <= set(problem.fields):
            own = [list(problem.fields).index(name) for name in network.fields]
            network.set_output(shift[own], scale[own])

    def undo() -> None:
        for network in networks:
            network.set_output(None, None)

    return undo


def _scale_last_layer(model: nn.Module, shift: Tensor, scale: Tensor) -> Callable[[], None]:
    """Multiply the last linear layer of a model, and move its bias; returns what puts it back."""
    layers = [part for part in model.modules() if isinstance(part, nn.Linear) and part.bias is not None]
    if not layers or len(layers[-1].bias) != len(scale):
        return lambda: None
    weight, bias = layers[-1].weight, layers[-1].bias
    kept = weight.detach().clone(), bias.detach().clone()

    def put(new_weight: Tensor, new_bias: Tensor) -> None:
        with torch.no_grad():
            weight.copy_(new_weight)
            bias.copy_(new_bias)

    put(scale[:, None] * kept[0], shift + scale * kept[1])
    return lambda: put(*kept)


def _largest(values: Tensor) -> float:
    return float(values.abs().max())


def _power(size: float, base: int) -> float:
    """The power of 2 or 10 that is nearest to a size."""
    return float(base) ** round(math.log(size, base))


def _affine(unit: Unit) -> str:
    return (f"{unit.shift:g} + " if unit.shift else "") + f"{unit.scale:g} * net"
