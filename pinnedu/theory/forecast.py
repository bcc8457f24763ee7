"""The law of linearized training: how fast a loss falls, known before the first step.

Let r_0 be the residuals of a model at its start, scaled so that the loss is 1/2 |r_0|^2, and J their derivative by the
weights. With J J^T = sum_i mu_i q_i q_i^T and c_i = q_i^T r_0, training the linearized model has the loss

    L(n) = 1/2 sum_i p_n(mu_i)^2 c_i^2

exactly, where p_n depends on the method alone: (1 - eta mu)^n for gradient descent. Nothing need be invertible. Of the
spectrum it matters only where the residual lies in it: a part with eigenvalue mu needs 1 / (eta mu) steps.

Only numpy is needed here; `tangent.forecast` makes the spectrum of a network. Sources: Jacot, Gabriel & Hongler (2018) for
gradient flow; Wang, Yu & Perdikaris (2022) for PINNs; Polyak (1964) for the heavy ball.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pinnedu.checks import axis, number, one_of, positive, require, whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
METHODS = ("gradient descent", "heavy ball", "Gauss-Newton")
MOVED = 0.1
"""A kernel that moved by more than this share of itself, as `tangent.moved` measures it, is not that of the start."""


@dataclass(frozen=True)
class Forecast:
    """What linearized training does to a loss.

    Attributes
    ----------
    spectrum : (M,) array
        Eigenvalues mu_i of J J^T in descending order, those that vanish at the end.
    coefficients : (M,) array
        c_i, the part of the first residuals along each eigenvector.
    steps : int
        How far one wants to look.
    method : {"gradient descent", "heavy ball", "Gauss-Newton"}
    rate : float
        eta. By default 1 / mu_max; for Gauss-Newton 1, a full step.
    momentum : float
        m of the heavy ball, theta <- theta - eta grad + m (theta - theta_before).
    damping : float
        Of Gauss-Newton, (J^T J + eps)^-1 grad, relative: eps = damping mu_max.
    movement : dict of int to float
        By how much the kernel has moved after so many steps of the linearized model, relative to itself.

    Raises
    ------
    ValueError
        For shapes that do not fit, a negative eigenvalue, an unknown method, or a rate at which it diverges.
    """

    spectrum: Array
    coefficients: Array
    steps: int = 1000
    method: str = "gradient descent"
    rate: float | None = None
    momentum: float = 0.9
    damping: float = 1e-6
    movement: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mu, c = axis(self.spectrum, "The spectrum", 0), axis(self.coefficients, "The coefficients")
        require(mu.shape == c.shape, "The coefficients", f"{len(mu)} numbers, one an eigenvalue", c.shape)
        order = np.argsort(-mu, kind="stable")
        object.__setattr__(self, "spectrum", mu[order])
        object.__setattr__(self, "coefficients", c[order])
        one_of(self.method, METHODS, "The method")
        whole(self.steps, "steps")
        number(self.momentum, "The momentum", 0, np.nextafter(1, 0))
        positive(self.damping, "The damping")
        largest = positive(float(self.spectrum[0]), "The largest eigenvalue")
        newton = self.method == "Gauss-Newton"
        limit = 2.0 if newton else 2 * (1 + (self.momentum if self.method == "heavy ball" else 0)) / largest
        rate = (1.0 if newton else 1 / largest) if self.rate is None else positive(self.rate, "The rate")
        require(rate < limit, "The rate", f"below {limit:.4g}, where {self.method} diverges", rate)
        object.__setattr__(self, "rate", rate)

    def factor(self, n: int) -> Array:
        """p_n(mu_i): what is left of each part of the residual after n steps, shape (M,)."""
        assert self.rate is not None
        mu, n = self.spectrum, whole(n, "n", 0)
        if self.method == "gradient descent":
            return (1 - self.rate * mu) ** n
        if self.method == "Gauss-Newton":
            return (1 - self.rate * mu / (mu + self.damping * mu[0])) ** n
        # e_{n+1} = (1 + m - eta mu) e_n - m e_{n-1}, as a power of the matrix that makes the next two of the last two.
        m = self.momentum
        matrix = np.zeros((len(mu), 2, 2))
        matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 0] = 1 + m - self.rate * mu, -m, 1
        return np.linalg.matrix_power(matrix, n)[:, 0].sum(axis=1)  # e_0 = e_{-1} = 1: the first step has no momentum

    def loss(self, n: ArrayLike) -> Array:
        """L(n) for one number of steps or several, in their shape."""
        steps = np.asarray(n)
        values = [0.5 * float(np.sum((self.factor(int(k)) * self.coefficients) ** 2)) for k in steps.ravel()]
        return np.array(values).reshape(steps.shape)

    def share(self, floor: float) -> float:
        """Which share of the loss lies along eigenvalues above `floor` times the largest."""
        seen = self.spectrum > number(floor, "floor", 0) * self.spectrum[0]
        return float((self.coefficients[seen] ** 2).sum() / (self.coefficients**2).sum())

    def count(self, floor: float) -> int:
        """How many eigenvalues are above `floor` times the largest."""
        return int((self.spectrum > number(floor, "floor", 0) * self.spectrum[0]).sum())

    @property
    def trusted(self) -> int:
        """The most steps, of those looked at, after which the kernel has moved by less than `MOVED`.

        The measure is that of the linearized weights, so it is known before training. Without it, 0.
        """
        held = 0
        for n, moved in sorted(self.movement.items()):
            if not moved < MOVED:
                break
            held = n
        return held

    @property
    def verdict(self) -> str:
        """One sentence: how far the forecast can be trusted."""
        if not self.movement:
            return "Whether the kernel stays was not looked at: compare it with that of the trained model, by tangent.drift."
        if self.trusted >= self.steps:
            return f"The kernel moves by {100 * max(self.movement.values()):.1f} % only: trust the forecast to its end."
        after = min(n for n in self.movement if n > self.trusted)
        return (
            f"Trust it to step {self.trusted}: by step {after} the kernel would have moved by "
            f"{100 * self.movement[after]:.0f} %, and then other features are learned than those of the start."
        )

    def __str__(self) -> str:
        steps = sorted({0, *(int(10**p) for p in range(int(np.log10(self.steps)) + 1)), self.steps})
        lines = [
            f"Forecast of {self.method}: {len(self.spectrum)} eigenvalues, {self.count(1e-3)}, {self.count(1e-6)} and "
            f"{self.count(1e-9)} above 1e-3, 1e-6 and 1e-9 of the largest,",
            f"which hold {self.share(1e-3):.1%}, {self.share(1e-6):.1%} and {self.share(1e-9):.1%} of the loss.",
            "steps " + " ".join(f"{n:>9d}" for n in steps),
            "loss  " + " ".join(f"{value:9.3g}" for value in self.loss(steps)),
            self.verdict,
        ]
        return "\n".join(lines)

    def plot(self) -> Figure:
        """The spectrum with the residual in it, and the forecast of the loss, side by side."""
        from matplotlib import pyplot as plt

        from pinnedu import plots

        with plots.style():
            figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
            shares = self.coefficients**2 / (self.coefficients**2).sum()
            floor = 1e-16
            where = np.maximum(self.spectrum / self.spectrum[0], floor)
            left.loglog(where, np.maximum(shares, floor), ".")
            left.set(xlabel="eigenvalue / largest", ylabel="share of the loss", xlim=(2, floor / 2))
            n = np.unique(np.logspace(0, np.log10(self.steps), 60).astype(int))
            losses = self.loss(n)
            right.loglog(n, losses, label=self.method)
            right.set_ylim(min(losses.min() / 2, losses.max() / 10), 2 * losses.max())  # what hardly falls looks so
            if 0 < self.trusted < self.steps:
                right.axvline(self.trusted, linestyle=":", color="gray", label="trusted until here")
            right.set(xlabel="step", ylabel="loss")
            right.legend()
        return figure


def horizon(steps: int, looks: int = 12) -> list[int]:
    """Numbers of steps at which to look at a kernel: evenly in the logarithm, from 1 to all."""
    return [int(n) for n in np.unique(np.geomspace(1, whole(steps, "steps"), looks).round())]


def movement(steps: Sequence[int], moved: Callable[[int], float]) -> dict[int, float]:
    """Ask for the movement of a kernel at rising numbers of steps, until it is not trusted any more."""
    found: dict[int, float] = {}
    for n in steps:
        found[n] = moved(n)
        if not found[n] < MOVED:
            break
    return found
