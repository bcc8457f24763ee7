"""A network that grows: it stays the same function, and its watch sees what it wants."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from pinnedu import MLP, problems
from pinnedu.trainers.clock import Clock
from pinnedu.trainers.growing import Watch, widened


def test_a_wider_network_is_the_same_function():
    problem = problems.burgers()
    model = MLP(problem, (8, 8, 8), seed=0)
    wide = widened(model, problem, 13)
    points = problem.domain.sample(50)
    torch.testing.assert_close(wide(points), model(points))
    assert len(wide.layers[1].bias) == 13
    wide(points).sum().backward()
    assert wide.layers[-1].weight.grad[:, 8:].abs().min() > 0  # the new neurons can be used


@pytest.mark.parametrize(
    ("losses", "wants"),
    [
        ([10.0**-k for k in range(40)], ""),  # it goes down
        ([1.0, 0.95, 0.92, 0.91, 0.9] * 8, "neurons"),
        ([1.0, 0.5, 0.3, 0.2, 0.1] * 8, "points"),
        ([1e-12] * 16, "nothing"),
    ],
)
def test_a_watch_sees_what_a_network_wants(losses, wants):
    watch = Watch(Clock(1e9), 1.0, enough=1e-60 if not wants else 1e-11)
    for loss in losses:
        watch(SimpleNamespace(loss=loss))
    assert watch.wants == wants
