"""The points of a run: drawn from a stream of their own, so that nothing else decides where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

from pinnedu.derivatives import Engine, engine
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.trainers.adaptive import adapt
from pinnedu.trainers.objective import Objective


class Sampler:
    """Draws points for all sets of a problem.

    Parameters
    ----------
    problem : Problem
    points : Points
        How many, and where.
    seed : int
    device, dtype
        Of the points. They are drawn on the CPU in double precision, so that a seed means one thing.
    """

    def __init__(self, problem: Problem, points: Points, seed: int, device: torch.device, dtype: torch.dtype) -> None:
        self.problem, self.points, self.device, self.dtype = problem, points, device, dtype
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self) -> Sample:
        """All sets, drawn anew."""
        return self.problem.sample(self.points, generator=self.generator, device=self.device, dtype=self.dtype)

    def redraw(self, objective: Objective) -> Sample:
        """The same, with a share of the interior points where the residual is large."""
        sample = self.draw()
        sample["interior"] = adapt(
            sample["interior"],
            objective.model,
            self.problem,
            self.points,
            objective.derivatives,
            self.generator,
            objective.team,
        )
        return sample

    def fresh(self, seed: int) -> Sampler:
        """A sampler for judging. It draws uniformly: a grid drawn again would be the same grid."""
        return Sampler(self.problem, replace(self.points, method="uniform"), seed, self.device, self.dtype)

    def few(self) -> Sample:
        """The same few points in every run, to try the equations on."""
        return Sampler(self.problem, Points(2, 2), 0, self.device, self.dtype).draw()


def stream_of(derivatives: str | Engine) -> torch.Generator | None:
    """Where an engine such as ``hutchinson(2, seed=0)`` has its random numbers from, if from a stream of its own."""
    return getattr(engine(derivatives), "generator", None)


@contextmanager
def undisturbed(derivatives: str | Engine) -> Iterator[None]:
    """Inside, random engines, models and equations may be evaluated, and training does not notice."""
    stream, common = stream_of(derivatives), torch.get_rng_state()
    own = None if stream is None else stream.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(common)
        if stream is not None and own is not None:
            stream.set_state(own)
