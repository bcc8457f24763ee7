"""Compiled steps are the steps of the same run without, or the run says why it goes on without."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    Box,
    Causal,
    GaussNewton,
    GradientBalance,
    GradientDescent,
    Observed,
    On,
    Periodic,
    Points,
    Problem,
    SelfScaledBroyden,
    fit,
)
from pinnedu.theory.tangent import gauss_newton_preconditioner
from pinnedu.trainers import compiled, loop

FEW = Points(30, 5)


@pytest.fixture
def listed(monkeypatch):
    """The list of operations is run as it is: all is done but what the compiler does."""
    monkeypatch.setattr(torch, "compile", lambda listed, **options: listed)


def transport():
    """Pairs of points, data, an unknown, an equation of two parts."""
    box = Box(x=(0, 1), t=(0, 1))
    places = box.sample(5, generator=torch.Generator().manual_seed(1))
    return Problem(
        box,
        {"transport": lambda u, c: (u.t + c * u.x, 0.1 * u.xx)},
        {
            "start": On(t=0, equation=lambda u, x: u - torch.sin(2 * torch.pi * x)),
            "around": Periodic("x"),
            "seen": Observed(places, u=places[:, 0]),
        },
        unknowns={"c": 0.5},
    )


def train(problem, *, model=None, optimizer=None, **options):
    options = {"steps": 20, "points": FEW, "seed": 0, **options}
    return fit(model or MLP(problem, hidden=(4,)), problem, optimizer=optimizer or Adam(1e-2), **options)


def close(run, other, rel=1e-9):
    """Whether two runs have the same history but for rounding."""
    return all(
        np.allclose(run.history[name], other.history[name], rtol=rel, atol=1e-15, equal_nan=True)
        for name in run.history
        if name != "seconds"
    )


def test_the_compiler_gives_the_same_run(monkeypatch):
    """A small program, since it takes its time; the tests below run those of larger ones."""
    from torch._inductor import config

    monkeypatch.setattr(config, "compile_threads", 1)  # no workers, each of which would import torch
    t = torch.linspace(0, 1, 4, dtype=torch.float64)
    problem = Problem(
        Box(t=(0, 1)),
        {"decay": lambda u, c: u.t + c * u},
        {"seen": Observed(t[:, None], u=torch.exp(-2 * t))},
        unknowns={"c": 0.5},
    )
    programs = []
    run = train(problem, steps=50, compile=True, callbacks=[lambda state: programs.append(state.objective.program)])
    assert run.warnings == []
    assert len(set(programs)) == 1
    assert isinstance(programs[0], compiled.Program)
    assert close(run, train(problem, steps=50))
    assert run.loss < run.history["loss"][0]


OPTIONS = {
    "weights and points that change": {"weights": GradientBalance(every=4), "points": Points(30, 5, adaptive=0.5, resample=2)},
    "LBFGS": {"optimizer": LBFGS(), "steps": 10},
    "SelfScaledBroyden": {"optimizer": SelfScaledBroyden(), "steps": 10},
    "preconditioned": {"optimizer": GradientDescent(0.5, gauss_newton_preconditioner(1e-2)), "steps": 5},
    "nested autograd": {"derivatives": "autograd", "steps": 5, "weights": {"start": 3.0}},
    "single precision": {"dtype": torch.float32},
}


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_run_whatever_else_is_asked_for(name):
    problem = transport()
    run = train(problem, compile=True, **OPTIONS[name])
    assert not any("compiled" in sentence for sentence in run.warnings)
    loose = {"single precision": 1e-3, "LBFGS": 1e-6, "SelfScaledBroyden": 1e-6}
    assert close(run, train(problem, **OPTIONS[name]), loose.get(name, 1e-9))


@pytest.mark.usefixtures("listed")
def test_the_same_run_where_all_is_scaled():
    problem = Problem(
        Box(x=(0, 1), t=(0, 1)),
        {"transport": lambda u, c: u.t + 1e-7 * c * u.x},
        {"start": On(t=0, equation=lambda u, x: u - 350 - 20 * torch.sin(2 * torch.pi * x))},
        unknowns={"c": 5e6},
    )
    run, plain = train(problem, compile=True), train(problem)
    assert run.warnings == []
    assert run.scales == plain.scales
    assert run.scales.unknowns == {"c": 1e7}
    assert run.scales.fields["u"].shift == pytest.approx(350, abs=1)
    assert close(run, plain)


class Counting(nn.Module):
    """Counts its calls; one of its weights stands still, another does nothing."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(2, 5), nn.Linear(5, 1)
        self.first.bias.requires_grad_(False)
        self.idle = nn.Parameter(torch.ones(3))
        self.calls = 0

    def forward(self, points):
        self.calls += 1
        return self.last(torch.tanh(self.first(points)))


@pytest.mark.usefixtures("listed")
def test_the_model_is_not_called_in_compiled_steps(monkeypatch):
    monkeypatch.setattr(loop, "CHECKS", 1)
    calls = {}
    for steps in (10, 40):
        model = Counting()
        run = train(transport(), model=model, compile=True, steps=steps)
        calls[steps] = model.calls
    assert calls[10] == calls[40]
    assert close(run, train(transport(), model=Counting(), steps=40))


@pytest.mark.usefixtures("listed")
def test_a_run_goes_on_from_its_checkpoint_to_the_last_bit(tmp_path):
    problem = transport()
    whole = train(problem, compile=True)
    train(problem, compile=True, steps=7, checkpoint=tmp_path / "run.pt")
    run = train(problem, compile=True, checkpoint=tmp_path / "run.pt")
    assert list(run.history["loss"]) == list(whole.history["loss"])
    with pytest.raises(ValueError, match="of another run \\(compile: True there, False here\\)"):
        train(problem, checkpoint=tmp_path / "run.pt")


# --- where it cannot be done


class Curious(nn.Linear):
    """Looks at a number to decide what to do."""

    def forward(self, points):
        return torch.tanh(super().forward(points)) * (1.0 if float(self.weight.detach().sum()) > 0 else -1.0)


def curious():
    torch.manual_seed(0)
    return Curious(2, 1)


def dropping():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 1))


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("model", "derivatives", "reason"),
    [(curious, "taylor", "RuntimeError: "), (dropping, "autograd", "the program gives other numbers than the equations")],
)
def test_what_cannot_be_compiled_is_told_and_trained_without(model, derivatives, reason):
    problem = Problem(Box(x=(0, 1), t=(0, 1)), {"transport": lambda u: u.t + u.x})
    with pytest.warns(UserWarning, match="The step could not be compiled") as told:
        run = train(problem, model=model(), derivatives=derivatives, compile=True)
    sentences = [str(warning.message) for warning in told if "compiled" in str(warning.message)]
    assert len(sentences) == 1
    assert sentences[0] in run.warnings
    assert sentences[0].startswith(f"The step could not be compiled ({reason}")
    assert sentences[0].endswith("): training goes on without.")
    assert "\n" not in sentences[0]
    if model is curious:
        assert close(run, train(problem, model=model()), 0)


def test_no_compiler(monkeypatch):
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(config, "fx_graph_cache", False)
    problem = Problem(Box(t=(0, 1)), {"decay": lambda u: u.t + 2.5 * u})
    with pytest.warns(UserWarning, match=r"could not be compiled \(.*[cC]ompiler"):
        run = train(problem, compile=True)
    assert close(run, train(problem), 0)


@pytest.mark.usefixtures("listed")
def test_an_equation_that_changes_is_noticed():
    speed = [1.0]
    problem = Problem(
        Box(x=(0, 1), t=(0, 1)),
        {"transport": lambda u: u.t + speed[0] * u.x},
        {"start": On(t=0, equation=lambda u, x: u - x)},
    )

    def change(state):
        speed[0] = 1.0 if state.step < 7 else 2.0
        programs.append(state.objective.program)

    programs = []
    with pytest.warns(UserWarning, match="The compiled step computes other numbers than the equations since step 8"):
        run = train(problem, compile=True, callbacks=[change])
    assert [program is not None for program in programs] == [True] * 7 + [False] * 13
    assert len(run.warnings) == 1
    assert close(run, train(problem, callbacks=[change])) is False  # one step was of the old equation


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compile": 1}, "compile must be True or False, not 1"),
        ({"compile": True, "optimizer": GaussNewton()}, "GaussNewton works on the Jacobian, which is not compiled"),
        ({"compile": True, "weights": Causal("t")}, "Weights of single points, as by Causal, cannot be compiled"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        train(transport(), **options)
