"""A network that grows: Gauss-Newton on few points, all new every few steps; more of them, and more neurons, where they pay."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.embeddings import Normalize, PeriodicEmbedding
from pinnedu.models import MLP
from pinnedu.problem import Problem
from pinnedu.sampling import Points
from pinnedu.trainers.clock import Clock
from pinnedu.trainers.gauss_newton import GaussNewton
from pinnedu.trainers.loop import fit
from pinnedu.trainers.optimizers import Step
from pinnedu.trainers.record import Fit, State, Status, joined

WIDTH, WIDEST = 16, 48  # of the first network, and of the last
EVERY = 5  # steps with the same points
DRAWS = 8  # of points, between two decisions
OPTIMIZER = "optimizer = Continued(GaussNewton(momentum=0.9))\n"


class Continued:
    """A Gauss-Newton whose damping and momentum go on from one run of a model to the next."""

    compiles = False

    def __init__(self, options: GaussNewton) -> None:
        self.options, self.resample = options, options.resample
        self.step: Any = None

    def start(self, model: nn.Module) -> Step:
        if self.step is None:
            self.step = self.options.start(model)
        else:
            self.step.weights = [weight for weight in model.parameters() if weight.requires_grad]
        step: Step = self.step
        return step


class Watch:
    """Ends a run where it is good enough, where its time is up, or where it stands still: for want of points or of neurons.

    The loss right after points were drawn is one on fresh points. Where it is no less than before, and more than twice that of
    the steps on the same points, these were fitted and not the equation: more points are needed. Else more neurons are.

    Parameters
    ----------
    clock : Clock
    until : float
        The share of the clock at which time is up.
    enough : float
        A loss on fresh points that is small enough.
    """

    def __init__(self, clock: Clock, until: float, enough: float = 0.0) -> None:
        self.clock, self.until, self.enough, self.losses, self.wants = clock, until, enough, list[float](), ""
        self.last = clock.used

    def __call__(self, state: State) -> str | None:
        self.losses.append(state.loss)
        self.clock.count(1)
        step, self.last = self.clock.used - self.last, self.clock.used
        if max(self.losses[::EVERY][-3:]) < self.enough:
            self.wants = "nothing"
            return f"the loss on fresh points is below {self.enough:.0e}"
        if self.clock.used + step / 2 >= self.until:
            return "time is up"
        if len(self.losses) % (DRAWS * EVERY):
            return None
        recent = self.losses[-DRAWS * EVERY :]
        fresh, own = recent[::EVERY], recent[EVERY - 1 :: EVERY]
        if median(fresh[DRAWS // 2 :]) < 0.7 * median(fresh[: DRAWS // 2]):
            return None
        overfit = median([after / max(before, 1e-300) for before, after in zip(own, fresh[1:], strict=False)])
        self.wants = "points" if overfit > 2 else "neurons"
        return f"the loss on fresh points stands still, {overfit:.1f} times that on the points in use: more {self.wants}"


def median(values: list[float]) -> float:
    """The middle of some numbers."""
    return float(torch.tensor(values, dtype=torch.float64).median())


def widened(model: MLP, problem: Problem, width: int) -> MLP:
    """The same function as a network with wider hidden layers: new neurons see all of the layer before, and nothing sees them.

    Source: Chen, Goodfellow & Shlens (2016), Net2Net, with new neurons in the place of copies.
    """
    wide = MLP(problem, hidden=(width,) * (len(model.layers) - 1), embedding=model.embedding)
    wide.set_output(model.output_shift, model.output_scale)
    old: Any
    new: Any
    with torch.no_grad():
        for old, new in zip(model.layers, wide.layers, strict=True):
            rows, columns = old.weight.shape
            new.weight[:rows, columns:] = 0
            new.weight[:rows, :columns] = old.weight
            new.bias[:rows] = old.bias
    return wide


class GrowingNetwork:
    """The network of a recipe, and how it came to be what it is.

    Its inputs turn about once over the domain for each turn of the data, and it is periodic where the problem is.

    Parameters
    ----------
    problem : Problem
    rates : Tensor (d,)
        How fast the data vary, in radians per unit.
    periodic : tuple of str
    weights : dict of term to float
    seed : int
    device
    grows : bool
        Whether it may have more neurons and points than at first.
    """

    def __init__(
        self, problem: Problem, rates: Tensor, periodic: tuple[str, ...], weights: dict[str, float], seed: int, device: Any,
        grows: bool = True,
    ) -> None:  # fmt: skip
        box = problem.domain
        turns = dict(zip(box.names, (rates * (box.high - box.low) / (2 * math.pi)).clamp_min(1.0).tolist(), strict=True))
        harmonics = {name: math.ceil(turns.pop(name)) for name in periodic}
        scale = {name: float(f"{turn:.3g}") for name, turn in turns.items()}
        embedding = PeriodicEmbedding(box, scale=scale, **harmonics) if harmonics else Normalize(box, scale=scale)
        more = "".join(f", {name}={count}" for name, count in harmonics.items())
        made = f"{type(embedding).__name__}(problem.domain, scale={scale}{more})"
        self.code = f"model = MLP(problem, hidden={(WIDTH,) * 3}, embedding={made})\n{OPTIMIZER}"
        self.problem, self.weights, self.seed, self.device, self.grows = problem, weights, seed, device, grows
        self.model, self.width = MLP(problem, hidden=(WIDTH,) * 3, embedding=embedding), WIDTH
        self.run: Fit | None = None
        self.optimizer, self.earlier, self.done = Continued(GaussNewton(momentum=0.9)), list[Fit](), False
        self.count = 3 * self.size // 2

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(weight.numel() for weight in self.model.parameters())

    def train(self, clock: Clock, until: float, enough: float) -> Fit:
        """Go on where it was left, until time is up, the loss is small enough, or it has all that it may have."""
        while not self.done:
            points = Points(self.count, round(3 * self.count**0.5), "sobol", resample=EVERY, adaptive=0.5)
            watch, before = Watch(clock, until, enough), len(self.run.history["step"]) if self.run else 0
            with warnings.catch_warnings():  # what is doubtful is said of the whole
                warnings.simplefilter("ignore")
                self.run = fit(
                    self.model, self.problem, optimizer=self.optimizer, weights=self.weights, seed=self.seed, points=points,
                    seconds=1e9, callbacks=[watch], device=self.device, progress=False, after=self.run,
                )  # fmt: skip
            after = ", after=run" if before else ""
            self.code += f"run = fit(model, problem, optimizer=optimizer, weights=weights, seed={self.seed}{after},\n"
            self.code += f"          steps={len(self.run.history['step']) - before}, points={points})\n"
            if self.run.status is not Status.CALLBACK or self.run.stopped == "time is up":
                break
            self.code += f"# {self.run.stopped}.\n"
            self.grow(watch.wants)
        last = self.run if self.run is not None else self.earlier[-1]
        return replace(last, history=joined([*self.earlier, last])) if self.earlier and self.run else last

    def grow(self, wants: str) -> None:
        """More points, up to 6 for each weight, or half as many neurons more; or nothing, where it is large enough."""
        if wants == "points" and self.grows and self.count < 6 * self.size:
            self.count *= 2
        elif wants != "nothing" and self.grows and self.width < WIDEST and self.run is not None:
            self.width = 3 * self.width // 2
            self.earlier.append(self.run)
            self.model, self.run = widened(self.model, self.problem, self.width), None
            self.optimizer = Continued(GaussNewton(momentum=0.9))
            self.count = max(self.count, 3 * self.size // 2)
            self.code += f"model = widened(model, problem, {self.width})\n{OPTIMIZER}"
        else:
            self.done = True
