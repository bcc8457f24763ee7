"""What a training run is at a moment: all that its next steps depend on, and the record of the last ones."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.models import draw
from pinnedu.parameters import WithUnknowns, found_unknowns
from pinnedu.problem import Problem
from pinnedu.scales import Scales, scale_outputs, scales_of_terms, scales_of_unknowns, units_of_fields, unscaled
from pinnedu.trainers import parallel
from pinnedu.trainers.compiled import NotCompiled, Program
from pinnedu.trainers.judge import Judge
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.optimizers import Resumable, Step
from pinnedu.trainers.sampling import Sampler, stream_of, undisturbed
from pinnedu.trainers.settings import Settings
from pinnedu.trainers.weights import Windows

Content = dict[str, Any]
"""Tensors, numbers, texts, and lists and dicts of them: what ``torch.load(weights_only=True)`` reads."""


@dataclass
class Record:
    """What happened, step by step.

    Attributes
    ----------
    terms : list of Tensor, each (number of terms,)
        The terms of the loss that each step started from.
    weights : list of list of float
        Of the terms, in each step.
    unknowns : list of Tensor, each (number of unknowns,)
        As each step left them.
    times : list of float
        Seconds of training until the end of each step.
    errors : dict of step to float
        Where they were measured.
    """

    terms: list[Tensor] = field(default_factory=list)
    weights: list[list[float]] = field(default_factory=list)
    unknowns: list[Tensor] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    errors: dict[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def seconds(self) -> float:
        """The time of training so far."""
        return self.times[-1] if self.times else 0.0

    def drop_unfinished(self) -> None:
        """Forget what a step wrote that did not come to its end."""
        for column in (self.terms, self.weights, self.unknowns):
            del column[len(self.times) :]


@dataclass
class TrainingState:
    """A run at a moment. A checkpoint holds this and nothing else.

    Attributes
    ----------
    trained : Module
        The model, with the unknowns of the problem beside it where there are any.
    objective : Objective
        The loss: points, and weights of terms and points.
    take_step : callable
        The optimizer's step, with what it carries along.
    sampler : Sampler
        Draws the training points.
    judge : Judge
    scales : Scales
    record : Record
    looked : float
        Seconds of training at the last look on fresh points.
    """

    trained: nn.Module
    objective: Objective
    take_step: Step
    sampler: Sampler
    judge: Judge
    scales: Scales
    record: Record = field(default_factory=Record)
    looked: float = 0.0

    def unknowns(self) -> Tensor:
        """The unknown parameters as they are now, in the order of the problem."""
        trained: Any = self.trained
        values = [trained.unknowns[name].detach() * trained.units.get(name, 1.0) for name in self.objective.problem.unknowns]
        return torch.stack(values)

    def content(self) -> Content:
        """All of it, as a checkpoint keeps it."""
        assert isinstance(self.take_step, Resumable)
        problem, objective, record, judge = self.objective.problem, self.objective, self.record, self.judge
        engine = stream_of(objective.derivatives)
        return {
            "model": self.trained.state_dict(),
            "optimizer": self.take_step.state(),
            "random": {
                "points": self.sampler.generator.get_state(),
                "fresh points": judge.sampler.generator.get_state(),
                "torch": torch.get_rng_state(),
                "derivatives": None if engine is None else engine.get_state(),
            },
            "sample": objective.whole,
            "weights": objective.loss_weights,
            "shares": {name: vars(window) for name, window in objective.point_weights.items()},
            "rows": torch.stack(record.terms) if len(record) else torch.zeros(0, len(problem.terms)),
            "unknowns": torch.stack(record.unknowns) if record.unknowns else torch.zeros(0, len(problem.unknowns)),
            "used weights": record.weights,
            "times": record.times,
            "errors": record.errors,
            "looked": self.looked,
            "fresh": judge.fresh,
            "kept": judge.kept,
            "best": judge.best,
            "scales": self.scales.content(),
        }

    def restore(self, content: Content) -> None:
        """Put everything back to where the content was taken; the model has its weights already."""
        objective, record, judge, random = self.objective, self.record, self.judge, content["random"]
        device = next(iter(objective.whole.values())).device
        objective.sample = {name: points.to(objective.whole[name]) for name, points in content["sample"].items()}
        objective.loss_weights.update(content["weights"])
        objective.point_weights = {
            name: Windows(**{**window, "values": window["values"].to(device)}) for name, window in content["shares"].items()
        }
        assert isinstance(self.take_step, Resumable)
        self.take_step.restore(content["optimizer"], objective)
        self.sampler.generator.set_state(random["points"])
        judge.sampler.generator.set_state(random["fresh points"])
        torch.set_rng_state(random["torch"])
        if (engine := stream_of(objective.derivatives)) is not None:
            engine.set_state(random["derivatives"])
        record.terms = list(content["rows"].to(device))
        record.unknowns = list(content["unknowns"].to(device)) if objective.problem.unknowns else []
        record.weights, record.times = content["used weights"], content["times"]
        record.errors, self.looked = content["errors"], content["looked"]
        judge.fresh, judge.kept, judge.best = content["fresh"], content["kept"], content["best"]
        self.scales = Scales.of(content["scales"])


def begin(model: nn.Module, problem: Problem, settings: Settings) -> tuple[TrainingState, str]:
    """Move the model, draw weights and points, and try everything once.

    Returns
    -------
    TrainingState
    str
        What could not be done, of what was asked for; empty if all is well.

    Raises
    ------
    ValueError
        If the model or an equation cannot be used.
    """
    group, device, dtype, seed = parallel.team(), settings.device, settings.dtype, settings.seed
    stream = group.agree(int(torch.randint(2**31, (1,))) if seed is None else seed)
    sampler = Sampler(problem, settings.points, stream, device, dtype)
    model.to(device=device, dtype=dtype)
    if seed is not None:
        draw(model, seed)
    trained, scales = model, unscaled(problem)
    if settings.scale:
        scales = replace(scales, unknowns=scales_of_unknowns(problem)) if settings.after is None else settings.after.scales
    if problem.unknowns:
        found = {name: float(value) for name, value in found_unknowns(model, problem.unknowns).items()}
        guesses = {**problem.unknowns, **found} if settings.after is None else settings.after.unknowns
        trained = WithUnknowns(model, guesses, scales.unknowns).to(device=device, dtype=dtype)
    if not any(weight.requires_grad for weight in trained.parameters()):
        raise ValueError("The model has no weights that require a gradient: there is nothing to train.")
    group.copy(trained.state_dict().values())
    objective = Objective(trained, problem, sampler.draw(), settings.weights, settings.derivatives, team=group)
    problem.check_model(model, objective.whole["interior"][:2])
    doubt = ""
    if settings.scale:
        if settings.after is None:
            with undisturbed(settings.derivatives):
                scales, doubt = _scaled(model, problem, settings, scales)
        objective.loss_weights = {
            name: weight / scales.terms.get(name, 1.0) ** 2 for name, weight in objective.loss_weights.items()
        }
    residuals = problem.residuals(trained, sampler.few(), settings.derivatives)
    if not any(residual.requires_grad for residual in residuals.values()):
        raise ValueError("No residual depends on the model's weights: there is nothing to train.")
    if settings.compile:
        try:
            objective.program = Program(objective)
        except NotCompiled as why:
            doubt += " " * bool(doubt) + f"The step could not be compiled ({why}): training goes on without."
    take_step = settings.optimizer.start(trained)
    judge = Judge(trained, objective, sampler.fresh(stream + 2**31))
    return TrainingState(trained, objective, take_step, sampler, judge, scales), doubt


def _scaled(model: nn.Module, problem: Problem, settings: Settings, scales: Scales) -> tuple[Scales, str]:
    """Find the scales of fields and terms, and give the model those of its fields; what that failed at, in a sentence.

    Weights that were asked for say how large the terms are, and so does a strategy that sets them: then the terms stay.
    """
    fields, doubt = scale_outputs(model, problem, units_of_fields(problem))
    chosen = settings.weights != dict.fromkeys(problem.terms, 1.0) or any(part.sets == "terms" for part in settings.strategies)
    terms = scales.terms if chosen else scales_of_terms(problem, fields, scales.unknowns)
    return replace(scales, fields=fields, terms=terms), doubt
