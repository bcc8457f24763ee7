"""The front door: whatever is handed in, a call works or says in one sentence what is wrong with it."""

from __future__ import annotations

import math
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import pinnedu
from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    Box,
    Causal,
    FourierFeatures,
    GaussNewton,
    GradientBalance,
    GradientDescent,
    HardConstraint,
    ModifiedMLP,
    Normalize,
    Observed,
    On,
    Periodic,
    PeriodicEmbedding,
    Points,
    Problem,
    SelfScaledBroyden,
    TangentKernelBalance,
    fit,
    relative_error,
    sweep,
)

HOME = Path(pinnedu.__file__).parent
QUICK = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def told(call):
    """Call, and let pass what the package says of its own accord: one sentence, raised by one of its ``raise`` lines."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if last.filename == __file__ and type(error) is TypeError and "argument" in str(error):
            return  # Python's own: the call does not fit the signature
        assert HOME in Path(last.filename).parents, f"not said by pinnedu: {error!r}"
        assert last.line.startswith("raise"), f"an accident in {last.filename}:{last.lineno}: {error!r}"
        assert len(str(error)) > 20
        assert "\n" not in str(error)


# --- one wrong argument, or two, in a call that would be right

BOX = Box(x=(0, 1), t=(0, 1))


def heat(**options):
    given = {
        "domain": BOX,
        "equations": {"heat": lambda u: u.t - u.xx},
        "conditions": {"start": On(t=0, equation=lambda u, x: u - x), "around": Periodic("x")},
        "exact": lambda x, t: x,
    }
    return Problem(**given | options)


HEAT = heat()
SAMPLE = HEAT.sample(Points(4, 2))
NETWORK = MLP(HEAT, hidden=(3,))


class Wrong(nn.Module):
    """A model that answers with something else than it should."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.layer = answer, nn.Linear(2, 1)

    def forward(self, points):
        return self.answer(self.layer(points)) if callable(self.answer) else self.answer


MODELS = {
    "three inputs": lambda: nn.Linear(3, 1),
    "two outputs": lambda: nn.Linear(2, 2),
    "no weights": lambda: Wrong(torch.zeros(4, 1)).requires_grad_(False),
    "no dimension of fields": lambda: Wrong(lambda values: values[:, 0]),
    "no tensor": lambda: Wrong(3.0),
    "nothing": lambda: Wrong(None),
    "a pair": lambda: Wrong(lambda values: (values, values)),
    "a constant": lambda: Wrong(torch.zeros(4, 1)),
    "another precision": lambda: Wrong(lambda values: values.float()),
    "whole numbers": lambda: Wrong(lambda values: values.long()),
    "not there": lambda: Wrong(lambda values: values.nothing),
    "an index too far": lambda: Wrong(lambda values: values[:, 7]),
    "convolution": lambda: nn.Conv2d(1, 1, 3),
    "embedding": lambda: nn.Embedding(3, 1),
    "empty": nn.Sequential,
    "identity": nn.Identity,
    "half": lambda: nn.Linear(2, 1).half(),
    "complex": lambda: nn.Linear(2, 1, dtype=torch.complex64),
}

JUNK = [
    None, True, 0, -1, 2, 10**30, 0.5, -2.5, math.nan, math.inf, 1j, "", "x", "u", "taylor", b"x", (), (0, 1), (1, 0), [], ["x"],
    [None], {}, {"x": 1}, {"u": "v"}, {1: 2}, {"x": None}, {"start": 1.0}, {"start": None}, {None: None}, set(), object(), object, len,
    lambda: None, lambda u: u, lambda u: None, lambda *a, **k: None, lambda x: x[99], lambda u: u.nothing, lambda u: u + "a",
    lambda state: 1 / 0 if state is None else None, np.zeros(2), np.zeros((3, 2)), np.full((2, 2), np.nan), np.array(["a"]),
    torch.zeros(0), torch.zeros(3), torch.zeros(2, 2), torch.zeros(2, 2, dtype=torch.int64), torch.ones(4, 2, dtype=torch.complex64),
    torch.float16, torch.int32, torch.device("cpu"), "cuda:99", Adam, Adam(), GaussNewton(), Causal(), GradientBalance(), [Causal()],
    nn.Linear(2, 1), nn.Tanh, BOX, Box(y=(0, 1)), Points(), On(t=0, equation=lambda u: u), Periodic("x"), HEAT, range(3), iter([1, 2]),
    MODELS, {"a": lambda u: u.x}, {"a": On(x=0, equation=lambda u: u.xx)}, {"a": Periodic("y")}, ("u", "v"), ("x",), (1, 2), [1, 2],
]  # fmt: skip


def build_and_fit(**given):
    model = given.pop("model", None)
    fit(MLP(HEAT, hidden=(3,)) if model is None else model, given.pop("problem", HEAT), **given)


def folder(tmp):
    return {"function": len, "grid": [{"obj": [1]}], "client": None, "workers": 1, "folder": tmp, "progress": False}


CALLS = {
    "Box": (Box, {"x": (0, 1), "t": (0, 2)}),
    "Box.sample": (BOX.sample, {"n": 3, "method": "sobol", "fixed": {"x": 0}, "generator": None, "device": "cpu", "dtype": torch.float64}),
    "Box.grid": (BOX.grid, {"shape": 3, "fixed": {"x": 0}}),
    "Box.quadrature": (BOX.quadrature, {"n": 3, "rule": "midpoint", "fixed": {"x": 0}, "generator": None}),
    "Box.contains": (BOX.contains, {"points": torch.zeros(3, 2), "slack": 1e-9}),
    "Points": (Points, {"interior": 3, "conditions": {"a": 3}, "method": "grid", "resample": 1, "adaptive": 0.5}),
    "On": (lambda **given: heat(conditions={"one": On(**given)}), {"equation": lambda u: u, "x": 0}),
    "Periodic": (lambda **given: heat(conditions={"one": Periodic(**given)}), {"coordinate": "x", "order": 1}),
    "Observed": (lambda **given: heat(conditions={"one": Observed(**given)}), {"points": [[0.5, 0.5]], "u": [1.0]}),
    "Problem": (
        Problem,
        {
            "domain": BOX, "equations": {"e": lambda u: u.t}, "conditions": {}, "fields": ("u",), "unknowns": {"c": 1.0}, "exact": None,
            "derived": {"v": lambda u: -u.x},
        },
    ),
    "Problem.sample": (HEAT.sample, {"points": Points(3, 3), "generator": None, "device": "cpu", "dtype": torch.float64}),
    "Problem.residuals": (HEAT.residuals, {"model": NETWORK, "points": SAMPLE, "derivatives": "taylor"}),
    "Problem.values": (HEAT.values, {"model": NETWORK, "points": torch.zeros(2, 2), "names": ("u",), "derivatives": "taylor"}),
    "Problem.solution": (HEAT.solution, {"points": torch.zeros(2, 2)}),
    "MLP": (MLP, {"problem": HEAT, "hidden": (3,), "activation": "tanh", "embedding": None, "factorized": False, "dtype": torch.float64}),
    "ModifiedMLP": (ModifiedMLP, {"problem": HEAT, "hidden": (3, 3), "activation": nn.Tanh, "embedding": Normalize(BOX)}),
    "Normalize": (Normalize, {"box": BOX, "scale": {"x": 2.0}}),
    "PeriodicEmbedding": (lambda box, guesses, scale, x: PeriodicEmbedding(box, guesses, scale, x=x),
                          {"box": BOX, "guesses": {"x": 1.0}, "scale": 1.0, "x": 2}),
    "FourierFeatures": (FourierFeatures, {"frequencies": torch.ones(3, 2), "scales": torch.ones(3)}),
    "FourierFeatures.gaussian": (FourierFeatures.gaussian, {"dim": 2, "count": 3, "std": 1.0, "seed": 0}),
    "HardConstraint": (HardConstraint, {"model": NETWORK, "problem": HEAT, "u": lambda u, x: x * u}),
    "Adam": (lambda **given: build_and_fit(optimizer=Adam(**given), steps=1), {"lr": 1e-3, "betas": (0.9, 0.99), "resample": 1}),
    "LBFGS": (lambda **given: build_and_fit(optimizer=LBFGS(**given), steps=1),
              {"history": 5, "tolerance_grad": 1e-9, "tolerance_change": 1e-9, "resample": 0}),
    "GradientDescent": (lambda **given: build_and_fit(optimizer=GradientDescent(**given), steps=1),
                        {"lr": 1e-3, "preconditioner": None, "resample": 1}),
    "GaussNewton": (lambda **given: build_and_fit(optimizer=GaussNewton(**given), steps=1, points=Points(4, 2)),
                    {"damping": 1e-3, "acceleration": 0.5, "momentum": 0.5, "trials": 3, "resample": 1}),
    "SelfScaledBroyden": (lambda **given: build_and_fit(optimizer=SelfScaledBroyden(**given), steps=1),
                          {"c1": 1e-4, "c2": 0.9, "resample": 1}),
    "Causal": (lambda **given: build_and_fit(optimizer=Adam(), steps=1, weights=Causal(**given)),
               {"coordinate": "t", "epsilon": 1.0, "chunks": 3}),
    "GradientBalance": (GradientBalance, {"every": 2, "momentum": 0.5}),
    "TangentKernelBalance": (TangentKernelBalance, {"every": 2, "momentum": 0.5}),
    "relative_error": (relative_error, {"model": NETWORK, "problem": HEAT, "points": torch.ones(3, 2)}),
    "fit": (
        build_and_fit,
        {
            "model": None, "problem": HEAT, "optimizer": Adam(), "steps": 2, "points": Points(4, 2), "weights": {"start": 2.0},
            "derivatives": "taylor", "device": "cpu", "dtype": torch.float64, "seed": 0, "seconds": 9.0, "error_every": 1,
            "compile": False, "progress": False, "callbacks": (), "checkpoint": None, "checkpoint_every": 1.0,
        },
    ),
    "sweep": (lambda **given: sweep(**given), {"function": len, "grid": [], "client": None, "workers": 1, "folder": None, "progress": False}),
}  # fmt: skip


@QUICK
@given(st.data())
def test_wrong_arguments(data):
    function, right = CALLS[data.draw(st.sampled_from(sorted(CALLS)))]
    names = data.draw(st.lists(st.sampled_from(sorted(right)), min_size=1, max_size=2, unique=True))
    told(lambda: function(**right | {name: data.draw(st.sampled_from(JUNK)) for name in names}))
