"""A run that is stopped and goes on, with each optimizer, and what it is compared with."""

from __future__ import annotations

import numpy as np
import torch

from pinnedu import (
    KFAC,
    LBFGS,
    MLP,
    SOAP,
    SPRING,
    Adam,
    GaussNewton,
    GaussNewtonCG,
    GradientDescent,
    Muon,
    On,
    Points,
    Problem,
    SelfScaledBroyden,
    fit,
    problems,
)

FEW = Points(interior=40, conditions=6)
STEPS = 40
OPTIMIZERS = {
    "Adam": Adam(1e-2),
    "GaussNewton": GaussNewton(momentum=0.5, resample=3),
    "LBFGS": LBFGS(),
    "SelfScaledBroyden": SelfScaledBroyden(resample=7),
    "GradientDescent": GradientDescent(1e-2),
    "SPRING": SPRING(),
    "SPRING, fixed": SPRING(adaptive=False, resample=3),
    "GaussNewtonCG": GaussNewtonCG(iterations=10, rank=10, refresh=7),
    "KFAC": KFAC(),
    "SOAP": SOAP(1e-2),
    **({"Muon": Muon(1e-2)} if hasattr(torch.optim, "Muon") else {}),
    "SGD": lambda weights: torch.optim.SGD(weights, lr=1e-2, momentum=0.9),
}


def oscillator(speed=1.0):
    """u'' = -k u with k to be found: a problem with an unknown, so that those are kept too."""
    return Problem(
        problems.heat().domain,
        {"wave": lambda u, k: u.tt + k * speed * u},
        {"start": On(t=0, equation=lambda u, x: u - torch.sin(x)), "data": On(t=1, equation=lambda u, x: u)},
        unknowns={"k": 2.0},
    )


def start(name, steps=STEPS, problem=None, points=FEW, **options):
    problem = oscillator() if problem is None else problem
    model = MLP(problem, hidden=(6,))
    return fit(model, problem, optimizer=OPTIMIZERS[name], steps=steps, points=points, seed=3, **options)


def die_at(step):
    def die(state):
        if state.step == step:
            raise RuntimeError("killed")

    return die


def same(a, b):
    """Whether weights and record are the same to the last bit, seconds aside."""
    assert list(a.history) == list(b.history)
    for name in a.history:
        if name != "seconds":
            assert np.array_equal(a.history[name], b.history[name], equal_nan=True), name
    for one, other in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    return a.stopped == b.stopped


def optimizer_state(path):
    return torch.load(path, weights_only=True)["optimizer"]


def equal(a, b):
    """Whether two nested states are the same to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b
