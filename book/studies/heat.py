"""The thirty lines of PyTorch for the heat equation, and what changes their error: points, rate, and how the network begins.

Changes, each by its name: "normalized" maps the inputs to (-1, 1), "Glorot" draws normal weights and no biases,
"float64" computes with twice the digits, "points" takes 1000 for the equation and 100 for each condition, not 300 for each.
With all four, the thirty lines do what `fit` does.
"""

import math

import numpy as np
import torch

from pinnedu.studies import Claim, Study

CHANGES = ("normalized", "Glorot", "float64", "points")
STEPS, LATE = 1500, 300
CENTER, HALF = torch.tensor([math.pi / 2, 0.5]), torch.tensor([math.pi / 2, 0.5])


def network(normalized, glorot):
    """Two hidden layers of 10 and 20 tanh units."""
    linear = [torch.nn.Linear(2, 10), torch.nn.Linear(10, 20), torch.nn.Linear(20, 1)]
    if glorot:
        for layer in linear:
            torch.nn.init.xavier_normal_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    layers = [linear[0], torch.nn.Tanh(), linear[1], torch.nn.Tanh(), linear[2]]
    return torch.nn.Sequential(*([Normalize()] if normalized else []), *layers)


class Normalize(torch.nn.Module):
    """Maps the rod and the time to (-1, 1)."""

    def forward(self, points):
        return (points - CENTER.to(points)) / HALF.to(points)


def derivative(y, x):
    """Of each output by its own input."""
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]


def draw(inside, on, dtype):
    """Points of the equation, and on the start and both ends."""
    x, t = math.pi * torch.rand(inside, 1, dtype=dtype), torch.rand(inside, 1, dtype=dtype)
    return x, t, math.pi * torch.rand(on, 1, dtype=dtype), torch.rand(on, 1, dtype=dtype)


def loss_of(u, points):
    """The sum of the mean squares of all residuals."""
    x, t, on_start, on_ends = points
    x, t = x.clone().requires_grad_(), t.clone().requires_grad_()
    value = u(torch.cat([x, t], dim=1))
    zero = torch.zeros_like(on_start)
    residuals = (
        derivative(value, t) - derivative(derivative(value, x), x),
        u(torch.cat([on_start, zero], dim=1)) - torch.sin(on_start),
        u(torch.cat([zero, on_ends], dim=1)),
        u(torch.cat([zero + math.pi, on_ends], dim=1)),
    )
    return sum((r**2).mean() for r in residuals)


def run(changes, points, rate, nudge, seed):
    """Train once; `changes` names what differs from the thirty lines, with plus signs between."""
    chosen = changes.split("+") if changes else []
    dtype = torch.float64 if "float64" in chosen else torch.float32
    counts = (1000, 100) if "points" in chosen else (300, 300)
    torch.manual_seed(seed)
    u = network("normalized" in chosen, "Glorot" in chosen).to(dtype)
    linear = next(layer for layer in u if isinstance(layer, torch.nn.Linear))
    if nudge:  # the last bit of the first weight
        first = linear.weight.data
        first[0, 0] = torch.nextafter(first[0, 0], torch.tensor(2.0, dtype=dtype))
    grid = torch.cartesian_prod(torch.linspace(0, math.pi, 101, dtype=dtype), torch.linspace(0, 1, 101, dtype=dtype))
    exact = torch.exp(-grid[:, 1:]) * torch.sin(grid[:, :1])
    optimizer = torch.optim.Adam(u.parameters(), lr=rate)
    drawn = draw(*counts, dtype)
    losses, errors = [], []
    for step in range(1, STEPS + 1):
        if points == "fresh" and step > 1:
            drawn = draw(*counts, dtype)
        optimizer.zero_grad()
        loss = loss_of(u, drawn)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 10 == 0:
            with torch.no_grad():
                errors.append(float((u(grid) - exact).norm() / exact.norm()))
    late = errors[-LATE // 10 :]
    return {
        "early": losses[2],
        "error": errors[-1],
        "level": float(np.median(late)),
        "swing": max(late) / min(late),
        "errors": [float(f"{value:.3g}") for value in errors[4::5]],
    }


ALL = "+".join(CHANGES)


def grid(seeds):
    """All runs: those that matter most come first."""
    plain = {"changes": "", "rate": 0.05, "points": "fresh", "nudge": False}
    arms = [{**plain, "points": points, "nudge": nudge} for points in ("fresh", "fixed") for nudge in (False, True)]
    arms += [{**plain, "changes": changes} for changes in (ALL, *CHANGES)]
    arms += [{**plain, "rate": 0.005, "points": points} for points in ("fresh", "fixed")]
    return [{**arm, "seed": seed} for seed in seeds for arm in arms]


def long_steps(results, what, points="fresh", changes=""):
    """A number of each run of Adam at the rate 0.05, by seed."""
    return results.where(changes=changes, points=points, rate=0.05, nudge=False)[what]


def moved(results):
    """By how much of itself the error on fresh points differs after a nudge of the last bit, by seed."""
    nudged = results.where(changes="", points="fresh", rate=0.05, nudge=True)["error"]
    return abs(nudged / long_steps(results, "error") - 1)


def gain(results, changes):
    """How many times smaller the error over the last 300 steps is with some changes, in the medians of the seeds."""
    before, after = (np.median(long_steps(results, "level", changes=which)) for which in ("", changes))
    return before / after


CLAIMS = [
    Claim(
        "thirty-lines",
        "Every run of the thirty lines ends with an error below 0.15, and the median is above 0.001.",
        lambda results: long_steps(results, "error").max() < 0.15 and np.median(long_steps(results, "error")) > 1e-3,
        row="R1",
    ),
    Claim(
        "never-settles",
        "Over its last 300 steps the error of every run of the thirty lines moves by a factor of more than 5.",
        lambda results: long_steps(results, "swing").min() > 5,
        row="R1",
    ),
    Claim(
        "chaotic",
        "A nudge of the last bit of one weight changes the error by over a tenth in at least two runs.",
        lambda results: (moved(results) > 0.1).sum() >= 2,
        row="R1",
    ),
    Claim(
        "fresh-points-set-the-level",
        "On fixed points the error over the last 300 steps is less than half of that on fresh ones, in the medians.",
        lambda results: (
            np.median(long_steps(results, "level", "fixed")) < np.median(long_steps(results, "level")) / 2
        ),
    ),
    Claim(
        "long-steps-make-jumps",
        "On fresh points and with steps ten times shorter, the error moves less than half as far, in the medians.",
        lambda results: (
            np.median(results.where(changes="", points="fresh", rate=0.005)["swing"])
            < np.median(long_steps(results, "swing")) / 2
        ),
    ),
    Claim(
        "no-change-decides",
        "No change of the four, nor all together, moves the median error over the last 300 steps by a factor of 5.",
        lambda results: all(1 / 5 < gain(results, changes) < 5 for changes in (*CHANGES, ALL)),
    ),
]

study = Study(
    run,
    grid=grid(seeds=range(5)),
    claims=CLAIMS,
    cheap={"changes": "", "points": "fresh", "rate": 0.05, "nudge": False, "seed": 0},
    agree={"early": 1e-3},
)
