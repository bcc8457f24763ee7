"""How a run is doing: its loss on points it does not train on, the weights to fall back on, and what broke."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from pinnedu.observations import Observed
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.sampling import Sampler, undisturbed

OVERFIT = 30.0  # a fresh loss this many times the training loss means that points were fitted, not the equation
MISSED = 0.5  # data that are missed by more than this share of their standard deviation are not fitted
REST = 0.9  # of the loss: then the equations are met


class Judge:
    """Looks at a run from time to time, and keeps its last good and its best weights.

    Parameters
    ----------
    model : Module
        With its weights as they start.
    objective : Objective
        What is trained.
    sampler : Sampler
        Of the fresh points. They come from a stream of their own, so that looking does not change training.
    """

    def __init__(self, model: nn.Module, objective: Objective, sampler: Sampler) -> None:
        self.model, self.objective, self.sampler = model, objective, sampler
        self.fresh: dict[int, float] = {}  # step to loss on fresh points
        self.kept = self.best = (0, copy.deepcopy(model.state_dict()))

    def look(self, rows: Sequence[Tensor]) -> str:
        """Measure the loss on fresh points and keep the weights; if something broke, keep nothing and say what.

        Parameters
        ----------
        rows : sequence of Tensor
            The terms of the loss in each step so far.
        """
        if trouble := self.diverged(rows):
            return trouble
        step = len(rows)
        with undisturbed(self.objective.derivatives), torch.no_grad():
            loss, terms = self.fresh_objective().loss_and_terms()
        if trouble := self.broken(terms.tolist(), f"on fresh points at step {step}"):
            return trouble
        self.fresh[step] = float(loss)
        self.kept = (step, copy.deepcopy(self.model.state_dict()))
        if self.fresh[step] <= min(self.fresh.values()):
            self.best = self.kept
        return ""

    def fresh_objective(self) -> Objective:
        """The objective on fresh points, with the weights of the terms as they are in training."""
        training = self.objective
        return Objective(
            self.model,
            training.problem,
            self.sampler.draw(),
            training.loss_weights,
            training.derivatives,
            training.point_weights,
            team=training.team,
        )

    def restore(self) -> str:
        """Return to the weights that were kept last, and say so."""
        step, weights = self.kept
        self.model.load_state_dict(weights)
        return f"the weights of step {step} are restored"

    def prefer_best(self, now_at: int) -> str:
        """Return to the best weights looked at, and say so, if on the same fresh points they beat the present ones."""
        step, weights = self.best
        if step in (0, now_at):
            return ""
        objective, present = self.fresh_objective(), copy.deepcopy(self.model.state_dict())
        with torch.no_grad():
            now = float(objective.loss())
            self.model.load_state_dict(weights)
            if float(objective.loss()) < now:
                return f"; the weights of step {step} are the best"
        self.model.load_state_dict(present)
        return ""

    def diverged(self, rows: Sequence[Tensor]) -> str:
        """What became NaN or infinite since the weights were last kept, in words; empty if nothing did."""
        since = self.kept[0]
        recent = torch.stack(list(rows[since:])).tolist() if len(rows) > since else []
        for step, terms in enumerate(recent, start=since + 1):
            if what := self.broken(terms, f"at step {step}"):
                return what
        if not all(bool(torch.isfinite(weight).all()) for weight in self.model.parameters()):
            return f"the weights became infinite or NaN at step {len(rows)}"
        return ""

    def broken(self, terms: Sequence[float], where: str) -> str:
        """Which term is NaN or infinite, in words; empty if none is."""
        for term, value in zip(self.objective.problem.terms, terms, strict=True):
            if not math.isfinite(value):
                return f"the term {term!r} of the loss became {value} {where}"
        return ""

    def overfitted(self) -> str:
        """A warning if the loss is small on the training points only: then it may belong to a wrong answer."""
        if not self.fresh:
            return ""
        with torch.no_grad():
            loss, fresh = float(self.objective.loss()), self.fresh[max(self.fresh)]
        if fresh <= OVERFIT * loss:
            return ""
        return (
            f"The loss on fresh points is {fresh:.1e}, the training loss {loss:.1e}: the points were fitted, "
            "not the equation. Use more points, draw them again (Points(resample=...)), or adaptive ones."
        )

    def missed_data(self) -> Iterator[str]:
        """A warning for measured values that the model does not follow, where they are nearly all that is left of the loss."""
        objective = self.objective
        with torch.no_grad():
            loss, terms = objective.loss_and_terms()
            parts = (terms * torch.as_tensor(objective.used_weights()).to(terms) / loss).tolist()
        shares = dict(zip(objective.problem.terms, parts, strict=True))
        for name, condition in objective.problem.conditions.items():
            if not isinstance(condition, Observed) or shares[name] < REST:
                continue
            rows = objective.sample[name]
            with torch.no_grad():
                residual = objective.problem.residuals(self.model, {name: rows}, objective.derivatives)[name]
            values = rows[:, -len(condition.values) :]
            missed = float(residual.norm() / (values - values.mean(dim=0)).norm())
            if MISSED < missed < math.inf:
                yield (
                    f"The data {name!r} are missed by {missed:.0%} of their standard deviation, and they are "
                    f"{shares[name]:.0%} of the loss: the equations are met by something else. Unless the noise is as large: "
                    f"give the data a larger weight (weights={{{name!r}: 1000}}), begin from another seed, or let solve choose."
                )
