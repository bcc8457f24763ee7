"""The package of this book: `fit` with one setting for all problems, and `solve`, which has none.

The problems are those of `pinnedu.problems`; the wake is written out in `benchmarks/problems.py`, for its velocities come
without a stream function here.

- `fit`: `GaussNewton(momentum=0.9)`, as its docstring advises where points are drawn again, and a plain `MLP`, which scales its
  inputs. Where a run ends by itself, another goes on from it, with points drawn anew (`after=`).
- `solve(problem, seconds=...)`: the loop of `pinnedu.recipe.Solver`, with nothing changed but that its best model, which is what
  it would give back, is judged whenever it changes. Its time and the clock begin when it is called: it compiles nothing, and its
  first step may be the whole answer of a linear problem, so no step of it is free.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from clock import Watch, as_array
from problems import problem_of
from settings import Settings

from pinnedu import MLP, GaussNewton, Points, fit
from pinnedu.recipe import Clock, Solver

warnings.filterwarnings("ignore")


def train(name: str, watch: Watch, seed: int, settings: Settings, method: str) -> None:
    """Train until the time is up."""
    torch.set_num_threads(1)
    watch.declare()
    (by_solve if method == "solve" else by_fit)(problem_of(name, seed), watch, seed, settings)


def by_fit(problem: Any, watch: Watch, seed: int, settings: Settings) -> None:
    """Gauss-Newton with momentum."""
    model = MLP(problem, hidden=settings.hidden)
    points = Points(settings.points, settings.on_conditions, resample=settings.redraw)
    weights = dict.fromkeys(problem.conditions, settings.weight)
    optimizer, run = GaussNewton(damping=settings.damping, momentum=0.9 if settings.redraw else 0.0), None
    while not watch.over:
        run = fit(
            model,
            problem,
            optimizer=optimizer,
            steps=10**7,
            points=points,
            weights=weights,
            seed=seed + watch.steps,
            device="cpu",
            progress=False,
            callbacks=[lambda state: watch.step(lambda: layers(model))],
            after=run,
        )


def layers(model: Any) -> list[Any]:
    """Its weights; the scale of its outputs goes into the last ones."""
    found = [(as_array(layer.weight.detach()), as_array(layer.bias.detach())) for layer in model.layers]
    if model.output_scale is not None:
        (weights, biases), scale = found[-1], as_array(model.output_scale)
        found[-1] = (scale[:, None] * weights, as_array(model.output_shift) + scale * biases)
    return found


def by_solve(problem: Any, watch: Watch, seed: int, settings: Settings) -> None:
    """The recipe."""
    points, fields = torch.as_tensor(watch.judge.points), list(problem.fields)

    class Watched(Solver):
        """Judges its best model when that changes; in between, the error is what it was."""

        held: float | None = None
        chosen: Any = None

        @property
        def best(self) -> Any:
            return self.chosen

        @best.setter
        def best(self, new: Any) -> None:
            self.chosen = new
            if new is None:
                return
            begin, begin_processor, now = watch.wall(), watch.processor(), watch.seconds()
            if self.held is not None:
                watch.hold(now, self.held)
            if not watch.over:
                with torch.no_grad():
                    values = problem.values(new.model, points, fields)
                error = watch.judge.error(torch.stack([values[field] for field in fields], dim=1).numpy())
                if self.held is None:
                    watch.record(now, error)  # before, there was nothing to look at
                self.held = error
            spent = watch.wall() - begin
            watch.hidden += spent
            watch.processor_hidden += watch.processor() - begin_processor
            watch.steps += 1
            self.clock.begin += spent  # looking is nobody's time

    solver = Watched(problem, Clock(watch.limit), seed, "cpu")
    watch.stepped(lambda: 0.0)  # the clock starts
    run = solver.solve()
    if solver.held is not None:
        watch.hold(watch.limit + 1, solver.held)
        watch.record(watch.limit, solver.held)
    watch.stopped = run.stopped
