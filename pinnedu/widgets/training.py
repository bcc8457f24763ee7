"""Training to watch: a panel that starts, pauses, steps and resets a run of `fit` while the kernel stays free."""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import nn

from pinnedu import plots
from pinnedu.models import MLP
from pinnedu.problem import Problem
from pinnedu.sampling import Points
from pinnedu.trainers import LBFGS, Adam, Fit, GaussNewton, SelfScaledBroyden, State, fit
from pinnedu.trainers.record import relative_error
from pinnedu.widgets.explorer import Explorer, Frame, to_bytes

OPTIMIZERS: dict[str, Callable[[float], Any]] = {
    "Adam": lambda rate: Adam(rate),
    "L-BFGS": lambda rate: LBFGS(),
    "Gauss-Newton": lambda rate: GaussNewton(),
    "self-scaled Broyden": lambda rate: SelfScaledBroyden(),
}
CLASSES = {"Adam": Adam, "L-BFGS": LBFGS, "Gauss-Newton": GaussNewton, "self-scaled Broyden": SelfScaledBroyden}
PICTURE_SECONDS = 0.7  # between two pictures, at least: one costs as much as some tens of steps of Adam
STEP = 0.05  # of the rate's slider, in powers of ten
STATUS_SECONDS = 0.2
SHARE = 3  # and they take at most a quarter of the time


class TrainingPanel:
    """A run of `fit` with buttons.

    ``panel.record(steps)`` trains once and keeps pictures of it, which is what a page without a kernel shows.
    ``panel.live()`` gives the buttons: start, pause, step, reset; optimizer, rate, width and number of points. The
    methods of the same names do the same without a browser.

    Training runs in a thread of its own, through a callback of `fit` that waits while the panel is paused. So the
    kernel answers other cells meanwhile. What the controls say takes effect at the next reset.

    Parameters
    ----------
    problem : Problem
    model : Module
        Left untouched: the panel trains copies of it.
    optimizer : optimizer
        One of those above, so that the controls can rebuild it, or any other, which they then leave alone.
    points : Points, optional
        300 inside and 100 on each condition by default, as in the talk.
    seed : int
    steps : int
        The longest run.
    at : dict of coordinate to value, optional
        Coordinates held fixed in the picture, for more than two of them.

    Attributes
    ----------
    losses : list of (step, loss)
        Of the present run, every fifth step.
    errors : list of (step, error)
        Relative L2 errors, one with each picture, where the problem has a solution to compare with.
    run : Fit or None
        The result, once training has ended by itself.
    """

    def __init__(
        self,
        problem: Problem,
        model: nn.Module,
        optimizer: Any,
        *,
        points: Points | None = None,
        seed: int = 0,
        steps: int = 5000,
        at: Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(problem, Problem) or not isinstance(model, nn.Module):
            raise ValueError("TrainingPanel(problem, model, optimizer) needs a Problem and a torch.nn.Module, in this order.")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a whole number of at least 1, not {steps!r}.")
        self.problem, self.optimizer, self.seed, self.steps, self.at = problem, optimizer, seed, steps, at
        self.points = points or Points(300, 100)
        self.recorded: Explorer | None = None
        self._untrained: Any = copy.deepcopy(model)
        self._allowed: float = 0  # steps until the next pause
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._view: dict[str, Any] = {}
        self._renew()

    # What the buttons do.

    def start(self) -> None:
        """Train on, until paused or done."""
        self._go(math.inf)

    def step(self) -> None:
        """Take one step, then pause."""
        self._go(1)

    def pause(self) -> None:
        """Stop after the present step; `start` goes on from there."""
        with self._change:
            self._allowed = 0

    def reset(self) -> None:
        """Throw the run away, and begin again with what the controls say."""
        self._end_run()
        for name in self._view.get("controls", {}):
            self._adopt(name)
        self._renew()
        self._tell("ready")
        self._show()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until training has paused or ended; False if it still runs after so many seconds."""
        with self._change:
            return self._change.wait_for(lambda: self._resting or not self.training, seconds)

    @property
    def training(self) -> bool:
        """Whether there is a run that has not ended."""
        return self._thread is not None and not self._over

    # The run.

    def _renew(self) -> None:
        self.model = copy.deepcopy(self._untrained)
        self.losses: list[tuple[int, float]] = []
        self.errors: list[tuple[int, float]] = []
        self.taken = 0
        self.run: Fit | None = None
        self._thread = None
        self._allowed = 0
        self._resting, self._leaving, self._over = True, False, False
        self._told = self._next = 0.0  # when something was said; when to draw again

    def _go(self, steps: float) -> None:
        if self._over:
            self._tell(f"this run has ended, {self.ended}: reset to begin again")
            return
        with self._change:
            self._allowed, self._resting = steps, False
            if self._thread is None:
                # A daemon: a kernel that shuts down does not wait for it.
                self._thread = threading.Thread(target=self._train, name="pinnedu training", daemon=True)
                self._thread.start()
            self._change.notify_all()
        if steps > 1:
            self._tell("training")

    def _train(self) -> None:
        try:
            self.run = self._fit([self._after_step])
            self.ended = self.run.stopped
        except Exception as error:  # whatever happens in the thread must be seen in the panel
            self.ended = f"{type(error).__name__}: {error}"
        if not self._leaving:
            self._show()
        with self._change:
            self._over = True
            self._change.notify_all()
        if not self._leaving:
            self._tell(self.ended)

    def _fit(self, callbacks: list[Callable[[State], bool | str | None]], steps: int | None = None) -> Fit:
        return fit(
            self.model,
            self.problem,
            optimizer=self.optimizer,
            steps=steps or self.steps,
            points=self.points,
            seed=self.seed,
            progress=False,
            callbacks=callbacks,
        )

    def _after_step(self, state: State) -> str | None:
        """The callback: keep the loss, draw now and then, wait while paused."""
        self._keep_loss(state)
        if self.losses and not math.isfinite(self.losses[-1][1]):
            return "the loss is no longer finite: try a smaller rate"
        now = time.monotonic()
        if self._view and (now > self._next or self._allowed <= 1):
            self._show()
        if self._view and (now > self._told + STATUS_SECONDS or now > self._next):
            self._told = now
            self._tell("training")
        with self._change:
            self._allowed -= 1
            while self._allowed <= 0 and not self._leaving:
                self._resting = True
                self._tell("paused")
                self._change.notify_all()
                self._change.wait()
            self._resting = False
            return "reset" if self._leaving else None

    def _keep_loss(self, state: State) -> None:
        self.taken = state.step
        if state.step <= 5 or state.step % 5 == 0 or self._allowed <= 1:
            self.losses.append((state.step, state.loss))

    def _end_run(self) -> None:
        with self._change:
            self._leaving = True
            self._change.notify_all()
        if self._thread is not None:
            self._thread.join()

    # What is seen.

    def record(self, steps: int, frames: int = 10) -> TrainingPanel:
        """Train once, and keep pictures for a page without a kernel.

        The steps that are kept lie evenly on a logarithmic scale, because most happens early.
        """
        if not 1 < frames <= steps:
            raise ValueError(f"Between 2 and {steps} frames can be kept of {steps} steps, not {frames!r}.")
        self.reset()
        wanted = set(np.geomspace(1, steps, frames).round().astype(int).tolist())
        kept: list[Frame] = []

        def keep(state: State) -> None:
            self._keep_loss(state)
            if state.step in wanted:
                self._measure()
                kept.append(self._frame(state.step))

        self.run = self._fit([keep], steps)
        field = self.problem.fields[0]
        self.recorded = Explorer(
            "Training step",
            tuple(kept),
            start=len(kept) - 1,
            caption=f"A recorded run: {field} as the network has it, and its loss so far. To train it yourself, "
            "open this notebook (the arrow at the top of the page) and call live() on this panel.",
        )
        return self

    def _frame(self, step: int) -> Frame:
        loss = self.losses[-1][1]
        alt = f"After {counted(step)}: a map of {self.problem.fields[0]}, and the loss, which has come to {loss:.0e}."
        return Frame(f"{step}", alt, to_bytes(self.figure(), "png", 144), "png")

    def figure(self) -> Figure:
        """The model's field as it is now, and the loss so far, with the error where there is a solution."""
        with plots.style():
            figure = Figure(figsize=(plots.WIDTH, 2.7))
            left, right = figure.subplots(1, 2)
            plots.solution(self.model, self.problem, at=self.at, ax=left)
            left.set_title(f"{self.problem.fields[0]} after {counted(self.taken)}")
            for name, curve in (("loss", self.losses), ("relative error", self.errors)):
                if curve:
                    right.semilogy(*zip(*curve, strict=True), label=name, marker="." if len(curve) == 1 else None)
            if self.errors:
                right.legend()
            right.set(xlabel="step", ylabel="" if self.errors else "loss")
        return figure

    def _repr_html_(self) -> str:
        if self.recorded is None:
            return "<p>Nothing is recorded yet: <code>record(steps)</code> trains once, <code>live()</code> trains here.</p>"
        return self.recorded._repr_html_()

    def __repr__(self) -> str:
        return f"TrainingPanel(step {self.taken} of at most {self.steps})"

    def _measure(self) -> None:
        if self.problem.exact is not None and self.taken:
            self.errors.append((self.taken, relative_error(self.model, self.problem)))

    def _show(self) -> None:
        if self._view:
            began = time.monotonic()
            self._measure()
            self._view["picture"].value = to_bytes(self.figure(), "png", 96)
            now = time.monotonic()
            self._next = now + max(PICTURE_SECONDS, SHARE * (now - began))

    def _tell(self, words: str) -> None:
        """Say how far the run is, and let only those buttons be pressed that would do something."""
        if self._view:
            loss = f", loss {self.losses[-1][1]:.1e}" if self.losses else ""
            self._view["status"].value = f"Step {self.taken}{loss}: {words}."
            running = self.training and not self._resting
            for name, off in {"start": running or self._over, "pause": not running, "step": running or self._over}.items():
                self._view["buttons"][name].disabled = off

    # Buttons and controls.

    def live(self) -> Any:
        """The panel with its buttons, for a notebook with a running kernel."""
        import ipywidgets

        named = next((name for name, kind in CLASSES.items() if isinstance(self.optimizer, kind)), "as given")
        wide = {"style": {"description_width": "initial"}}
        width = self._untrained.layers[0].out_features if self._has_width() else 20
        rate = float(getattr(self.optimizer, "lr", 0.01))
        controls = {
            "optimizer": ipywidgets.Dropdown(
                options=[*OPTIMIZERS, *(["as given"] if named == "as given" else [])],
                value=named, description="optimizer", **wide,
            ),
            "rate": ipywidgets.FloatLogSlider(
                value=rate, min=min(-4, math.floor(math.log10(rate))), max=max(0, math.ceil(math.log10(rate))),
                step=STEP, description="rate of Adam", **wide,
            ),
            "width": ipywidgets.IntSlider(
                value=width, min=2, max=max(64, width), description="width", disabled=not self._has_width(), **wide
            ),
            "points": ipywidgets.IntSlider(
                value=self.points.interior, min=10, max=max(2000, self.points.interior), step=10,
                description="points inside", **wide,
            ),
        }  # fmt: skip
        buttons = {
            name: ipywidgets.Button(description=name, tooltip=tip)
            for name, tip in (
                ("start", "train on"),
                ("pause", "stop after the present step"),
                ("step", "take one step"),
                ("reset", "begin again with what the controls say"),
            )
        }
        for name, button in buttons.items():
            button.on_click(lambda _, name=name: getattr(self, name)())
        self._touched: set[str] = set()
        for name, control in controls.items():
            control.observe(lambda change, name=name: self._touch(name, change), names="value")
        self._view = {
            "controls": controls,
            "buttons": buttons,
            "picture": ipywidgets.Image(format="png"),
            "status": ipywidgets.Label(),
        }
        self._tell("ready")
        self._show()
        return ipywidgets.VBox([
            ipywidgets.HBox(list(buttons.values())),
            ipywidgets.HBox(list(controls.values()), layout={"flex_flow": "row wrap"}),
            self._view["status"],
            self._view["picture"],
        ])  # fmt: skip

    def _has_width(self) -> bool:
        """Whether the model is one whose layers the panel can make anew."""
        return type(self._untrained) is MLP and len(self._untrained.layers) > 1

    def _touch(self, name: str, change: Any) -> None:
        if name == "rate" and name not in self._touched and abs(math.log10(change["new"] / change["old"])) < STEP:
            return  # the slider has rounded it, nobody has moved it
        self._touched.add(name)
        self._tell("reset, to begin with the new settings")

    def _adopt(self, name: str) -> None:
        """Take over one control; those that nobody touched leave what was given as it is."""
        if name not in self._touched:
            return
        value = {key: control.value for key, control in self._view["controls"].items()}
        if name in ("optimizer", "rate") and value["optimizer"] in OPTIMIZERS:
            self.optimizer = OPTIMIZERS[value["optimizer"]](value["rate"])
        elif name == "points":
            self.points = replace(self.points, interior=value["points"])
        elif name == "width":
            before = self._untrained
            hidden = (value["width"],) * (len(before.layers) - 1)
            kind = type(before.activation)
            embedding = copy.deepcopy(before.embedding)
            self._untrained = MLP(self.problem, hidden, kind, embedding=embedding, inputs=before.inputs)


def counted(steps: int) -> str:
    """A number of steps in words."""
    return "1 step" if steps == 1 else f"{steps} steps"
