"""The doctor: ten kinds of sick problems, each named in the first sentence, and healthy ones, which are left alone."""

import math
from math import pi

import pytest
import torch
from torch import nn

from pinnedu import (
    MLP,
    Box,
    Diagnosis,
    GaussNewton,
    HardConstraint,
    On,
    PeriodicEmbedding,
    Points,
    Problem,
    diagnose,
    fit,
)
from pinnedu.problems import (
    advection,
    burgers,
    heat,
    heat_multiscale,
    poisson,
    poisson_cube,
    wave,
)
from pinnedu.theory import trial

ZERO = {"left": On(x=0, equation=lambda u: u), "right": On(x=pi, equation=lambda u: u)}
SINE = {"initial": On(t=0, equation=lambda u, x: u - torch.sin(x))}


def rod(equation=lambda u: u.t - u.xx, conditions=None, exact=None, start=0.0):
    conditions = ZERO | SINE if conditions is None else conditions
    return Problem(Box(x=(0, pi), t=(start, start + 1)), {"heat": equation}, conditions, exact=exact)


def beam(source, left=lambda u: u, right=lambda u: u, length=1.0, stiff=1.0):
    conditions = {"left": On(x=0, equation=left), "right": On(x=length, equation=right)}
    return Problem(Box(x=(0, length)), {"beam": lambda u, x: stiff * u.xx - source(x)}, conditions)


def network(problem, hidden=(20, 20), **options):
    return MLP(problem, hidden=hidden, seed=0, **options)


class Raw(nn.Module):
    """A network that gets the coordinates as they are."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)).double()

    def forward(self, points):
        return self.layers(points)


def cooling(x, t):
    return torch.exp(-t) * torch.sin(x)


SICK = {
    "scale": lambda: (network(p := beam(lambda x: 1e5 * torch.sin(pi * x))), p),
    "scale of the inputs": lambda: (Raw(), beam(lambda x: torch.sin(x / 600), length=2e3, stiff=1e6)),
    "sign": lambda: (network(p := rod(lambda u: u.t + u.xx, exact=cooling)), p),
    "sign of the source": lambda: (
        network(p := Problem(Box(x=(0, pi)), {"p": lambda u, x: u.xx - torch.sin(x)}, ZERO, exact=lambda x: torch.sin(x))),
        p,
    ),
    "points": lambda: (network(p := heat(), (40, 40)), p, Points(8, 4)),
    "float32": lambda: (
        network(p := rod(conditions=ZERO | {"initial": On(t=1e7, equation=SINE["initial"].equation)}, start=1e7),
                dtype=torch.float32),
        p,
    ),
    "weights": lambda: (network(p := heat()), p, None, {"initial": 1e-7}),
    "frequency": lambda: (network(p := advection(30.0)), p),
    "frequency in space": lambda: (network(p := poisson(15)), p),
    "too small a network": lambda: (network(p := heat(), (2,)), p),
    "wrong condition": lambda: (network(p := rod(conditions=ZERO | {"initial": On(t=0, equation=lambda u: u - 1)})), p),
    "wrong condition: fluxes": lambda: (network(p := beam(lambda x: 1 + 0 * x, lambda u: u.x, lambda u: u.x)), p),
    "wrong condition: not that of exact": lambda: (
        network(p := rod(conditions=ZERO | {"initial": On(t=0, equation=lambda u, x: u - 2 * torch.sin(x))}, exact=cooling)),
        p,
    ),
    "ill-posed": lambda: (network(p := rod(lambda u: u.t + u.xx)), p),
    "ill-posed: a condition is missing": lambda: (network(p := rod(conditions=SINE | {"left": ZERO["left"]})), p),
    "ill-posed: at the end of time": lambda: (
        network(p := rod(conditions=ZERO | {"final": On(t=1, equation=SINE["initial"].equation)})),
        p,
    ),
    "bug": lambda: (network(p := rod(lambda u, x: u.value.detach() - x)), p),
    "bug: not finite": lambda: (network(p := rod(lambda u, x: u.t - u.xx + u / (x - x))), p),
    "bug: a factor": lambda: (network(p := rod(lambda u: u.t - 2 * u.xx, exact=cooling)), p),
}  # fmt: skip


def examine(model, problem, points=None, weights=None):
    return diagnose(model, problem, points or Points(300, 50), weights=weights)


@pytest.mark.parametrize("name", SICK)
def test_the_first_sentence_names_the_cause(name):
    found = examine(*SICK[name]())
    cause = name.split(" of ")[0].split(" in ")[0].split(":")[0]
    assert found.cause == cause, str(found)
    assert cause.removeprefix("too small a ").split()[-1] in found.findings[0].sentence
    assert found.findings[0].evidence in str(found)
    assert str(found).startswith(f"1. {found.findings[0].sentence}")


UNSEEN = {
    "frequency": lambda: Problem(
        Box(t=(0, 10)),
        {"motion": lambda u: u.tt + 0.2 * u.t + 400 * u},
        {"start": On(t=0, equation=lambda u: (u - 1, u.t))},
    ),
    "ill-posed": lambda: Problem(
        Box(x=(0, 1)),
        {"bending": lambda u: u.xxxx - 1},
        {"clamp": On(x=0, equation=lambda u: (u, u.x)), "end": On(x=1, equation=lambda u: u)},
    ),
}


@pytest.mark.parametrize("cause", UNSEEN)
def test_it_is_right_on_problems_that_nobody_tuned_it_for(cause):
    assert diagnose(network(p := UNSEEN[cause]()), p, Points(300, 50)).cause == cause


def test_what_polynomials_cannot_solve_is_not_judged():
    growth = Problem(
        Box(t=(0, 20)), {"growth": lambda u: u.t - 0.5 * u * (1 - u / 5e4)}, {"t": On(t=0, equation=lambda u: u - 100)}
    )
    assert any("the solution itself" in what for what in diagnose(network(growth), growth, Points(300, 50)).unknown)


HEALTHY = {
    "heat": heat, "poisson": poisson, "poisson 2": lambda: poisson(2), "advection": lambda: advection(1.0), "burgers": burgers,
    "wave": wave, "poisson_cube": lambda: poisson_cube(5),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_problem_gets_no_false_alarm(name):
    problem = HEALTHY[name]()
    found = diagnose(network(problem), problem, Points(300 if problem.domain.dim < 3 else 1000, 50))
    assert not found.findings, str(found)
    assert str(found).startswith("No cause was found")
    assert sum(found.shares.values()) == pytest.approx(1)


def test_float32_alone_is_no_illness():
    problem = advection(5.0)  # trained in float32 to an error below 1e-3
    assert not diagnose(network(problem, dtype=torch.float32), problem, Points(300, 50)).findings


def test_what_cannot_be_judged_is_said():
    assert "three coordinates" in str(examine(network(p := poisson_cube(5)), p))
    assert "not linear" in str(examine(network(p := burgers()), p))
    solid = heat_multiscale()
    assert "too coarse to say" in str(diagnose(network(solid, (20,)), solid, Points(200, 20)))
    hard = HardConstraint(network(p := rod()), p, u=lambda u, x, t: torch.sin(x) + t * x * (pi - x) * u)
    assert "built into the model" in str(found := examine(hard, rod(conditions={})))
    assert not found.findings


def test_a_periodic_model_needs_no_condition():
    problem = Problem(Box(x=(0, 2 * pi), t=(0, 1)), {"a": lambda u: u.t + u.x}, SINE)
    model = network(problem, embedding=PeriodicEmbedding(problem.domain, x=1))
    assert "ill-posed" not in {finding.cause for finding in examine(model, problem).findings}
    assert examine(network(problem), problem).cause == "ill-posed"  # the condition is missing for any other


def test_a_trained_model_that_fits_its_points_is_told():
    problem = heat()
    points = problem.sample(Points(8, 3), generator=torch.Generator().manual_seed(0))
    run = fit(network(problem, (30,)), problem, optimizer=GaussNewton(resample=0), steps=40, points=Points(8, 3, resample=0),
              seed=0, progress=False)  # fmt: skip
    assert diagnose(run.model, problem, points).cause == "points"


def test_the_model_stays_as_it_is():
    problem = beam(lambda x: 300 + 0 * x, lambda u: u - 350)
    model = network(problem)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    examine(model, problem)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"problem": 3}, "Problem"),
        ({"model": 3}, "torch.nn.Module"),
        ({"weights": {"left": -1.0}}, "must not be negative"),
        ({"weights": {"nothing": 1.0}}, "names 'nothing'"),
        ({"model": nn.Linear(5, 1).double()}, "must map"),
    ],
)
def test_bad_input_is_told_at_once(arguments, match):
    problem = heat()
    given = {"model": network(problem), "problem": problem, "weights": None} | arguments
    with pytest.raises(ValueError, match=match):
        diagnose(given["model"], given["problem"], weights=given["weights"])


def test_polynomials_solve_a_smooth_problem_and_know_the_faintest_function():
    found = trial.attempt(beam(lambda x: -(pi**2) * torch.sin(pi * x)), 20)
    assert found.left < 1e-20
    x = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(found.model(x)[:, 0], torch.sin(pi * x[:, 0]), atol=1e-9, rtol=0)
    # u'' = 0 has no solution but 0, so the faintest function is seen; without conditions a constant is not
    assert found.faintest > 1e-2
    free = trial.attempt(Problem(Box(x=(0, 1)), {"beam": lambda u: u.xx}), 20)
    assert free.faintest < 1e-12


def test_turns_are_counted():
    problem = poisson(3)
    wave_ = nn.Module()
    wave_.forward = lambda points: torch.sin(3 * points)
    assert trial.turns(wave_, problem) == {"x": 6}


def test_a_diagnosis_is_drawn():
    found = examine(network(p := heat()), p)
    assert isinstance(found, Diagnosis)
    assert len(found.plot().axes) == 2
    with pytest.raises(ValueError, match="forecast"):
        examine(*SICK["bug"]()).plot()
    assert math.isfinite(found.forecast.loss(10))
