"""Numbers of any size are trained as if they were near 1, and numbers near 1 as ever."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sized import FEW, decay, hot, logistic, outputs
from torch import nn

from pinnedu import (
    MLP,
    Adam,
    Box,
    GaussNewton,
    HardConstraint,
    Integral,
    ModifiedMLP,
    Observed,
    On,
    Periodic,
    Problem,
    Scales,
    fit,
    problems,
)
from pinnedu.scales import Unit, scale_outputs, scales_of_terms, scales_of_unknowns, units_of_fields

# --- what the problem says


def test_known_values_are_those_of_conditions_without_derivatives_and_of_data():
    t = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]
    problem = Problem(
        Box(x=(0, 1), t=(0, 1)),
        {"one": lambda u: u.t - u.xx, "two": lambda v, w: v.t + w, "three": lambda w: w.x, "four": lambda z: z.x},
        {
            "value": On(t=0, equation=lambda u: (u - 500) / 7),
            "slope": On(x=0, equation=lambda u: u.x - 1e9),
            "mixed": On(x=1, equation=lambda u, v: u + v - 1e9),
            "square": On(x=1, equation=lambda v: v**2 - 1e9),
            "tied": Periodic("x", fields=("u",)),
            "whole": Integral(lambda v: v, value=1e9),
            "data": Observed(torch.cat([t, t], dim=1), w=40 + t[:, 0]),
        },
        fields=("u", "v", "w", "z"),
    )
    assert units_of_fields(problem) == {"u": (0.0, 512.0), "v": (0.0, 1.0), "w": (40.5, 0.5), "z": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ((-7.0, 0.2), Unit()),
        ((0.0, 0.0), Unit()),
        ((0.0, 1000.0), Unit(0.0, 1024.0)),
        ((340.0, 360.0), Unit(350.0, 32.0)),
        ((-350.0, -350.0), Unit(0.0, 256.0)),
        ((0.0, 1e-6), Unit(0.0, 2.0**-20)),
    ],
)
def test_the_unit_of_a_field(values, unit):
    problem = Problem(
        Box(x=(0, 1)), {"line": lambda u: u.xx},
        {"left": On(x=0, equation=lambda u: u - values[0]), "right": On(x=1, equation=lambda u: 3 * (values[1] - u))},
    )  # fmt: skip
    assert units_of_fields(problem) == {"u": unit}


@pytest.mark.parametrize("law", [lambda T: torch.exp(-8000 * (1 / T - 1 / 350)), lambda T: torch.log(T), lambda T: T**0.5])
def test_a_single_value_is_a_shift_where_the_equations_need_one(law):
    problem = Problem(
        Box(t=(0, 1)), {"energy": lambda T: T.t - law(T)}, {"start": On(t=0, equation=lambda T: T - 350)}, fields=("T",)
    )
    assert units_of_fields(problem) == {"T": (350.0, 128.0)}


@pytest.mark.parametrize("equation", [lambda u: u.t - u * (1 - u), lambda u: u.t + u - 1, lambda u: u.t - torch.exp(u)])
def test_a_small_start_is_no_small_solution(equation):
    problem = Problem(Box(t=(0, 10)), {"growth": equation}, {"start": On(t=0, equation=lambda u: u - 1e-3)})
    assert units_of_fields(problem) == {"u": Unit()}


def test_guesses_say_how_large_unknowns_are():
    guesses = {"a": 1e7, "b": -3e-16, "c": 0.0, "d": 0.01, "e": 5.0, "f": 300.0}
    problem = Problem(Box(x=(0, 1)), {"law": lambda u, a: u - a}, unknowns=guesses)
    assert scales_of_unknowns(problem) == {"a": 1e7, "b": 1e-16, "c": 1.0, "d": 1.0, "e": 1.0, "f": 100.0}


def test_terms_that_cannot_be_evaluated_are_left_alone():
    problem = Problem(Box(x=(0, 1)), {"log": lambda u: torch.log(u.x) * torch.nan, "none": lambda u: 0 * u})
    assert scales_of_terms(problem, {"u": Unit(0.0, 1e6)}, {}) == {"log": 1.0, "none": 1.0}


def test_scales_show_themselves():
    problem = decay(7e7, 1e7)
    run = fit(MLP(problem, (3,)), problem, optimizer=Adam(), steps=1, points=FEW)
    assert repr(run.scales) == "Scales(k = 1e+07 * parameter)"
    problem = logistic()
    run = fit(MLP(problem, (3,)), problem, optimizer=Adam(), steps=1, points=FEW)
    assert repr(run.scales) == "Scales(u = 256 * net, logistic / 100, start / 100)"
    problem = hot()
    run = fit(MLP(problem, (3,)), problem, optimizer=Adam(), steps=1, points=FEW)
    assert repr(run.scales).startswith("Scales(T = 360 + 32 * net, energy / ")
    assert repr(Scales()) == "Scales(all 1)"


# --- near 1, nothing changes


@pytest.mark.parametrize(
    "problem", [problems.heat(), problems.burgers(), problems.advection(30.0), problems.allen_cahn(), problems.poisson(10)]
)
def test_near_one_nothing_changes_to_the_last_bit(problem):
    runs = [
        fit(MLP(problem, (6,)), problem, optimizer=Adam(), steps=3, points=FEW, seed=0, scale=scale)
        for scale in (True, False)
    ]
    assert runs[0].scales == runs[1].scales
    assert repr(runs[0].scales) == "Scales(all 1)"
    assert np.array_equal(runs[0].history["loss"], runs[1].history["loss"])
    weights = [list(run.model.state_dict().items()) for run in runs]
    assert all(a == b and torch.equal(one, two) for (a, one), (b, two) in zip(*weights, strict=True))
    assert torch.equal(*(outputs(run.model, problem) for run in runs))


def test_without_scales_it_is_as_it_was():
    problem = logistic()
    model = MLP(problem, (5,), seed=3)
    before = outputs(model, problem)
    run = fit(model, problem, optimizer=Adam(1e-9), steps=1, points=FEW, seed=0, scale=False)
    assert torch.allclose(outputs(model, problem), before, atol=1e-6)
    assert run.scales.terms == {"logistic": 1.0, "start": 1.0}
    assert run.history["loss"][0] == run.history["logistic"][0] + run.history["start"][0]
    with pytest.raises(ValueError, match="scale must be True or False, not 'off'"):
        fit(model, problem, optimizer=Adam(), steps=1, scale="off")


def test_weights_that_were_asked_for_are_those_of_the_terms():
    problem = logistic()
    run = fit(MLP(problem, (5,)), problem, optimizer=Adam(), steps=1, points=FEW, weights={"start": 3.0})
    assert run.scales.terms == {"logistic": 1.0, "start": 1.0}
    assert run.history["loss"][0] == pytest.approx(run.history["logistic"][0] + 3 * run.history["start"][0])
    assert run.scales.fields["u"] == (0.0, 256.0)


# --- models


def test_a_model_that_has_the_scale_is_left_alone():
    problem = hot()
    model = HardConstraint(MLP(problem, (5,), seed=0), problem, T=lambda T: 350 + 20 * T)
    before = outputs(model, problem)
    assert scale_outputs(model, problem, units_of_fields(problem)) == ({"T": Unit()}, "")
    assert torch.equal(outputs(model, problem), before)


def test_a_formula_that_a_shift_does_not_reach_through_gets_a_scale():
    problem = hot()
    net = MLP(problem, (5,), seed=0)
    model = HardConstraint(net, problem, T=lambda T, x: x * T)
    before = outputs(model, problem)
    assert scale_outputs(model, problem, units_of_fields(problem)) == ({"T": Unit(0.0, 256.0)}, "")
    assert torch.allclose(outputs(model, problem), 256 * before, rtol=1e-12)


def test_a_formula_that_nothing_reaches_through_is_told_of():
    problem = hot()
    model = HardConstraint(MLP(problem, (5,), seed=0), problem, T=lambda T: torch.tanh(T))
    before = outputs(model, problem)
    fields, doubt = scale_outputs(model, problem, units_of_fields(problem))
    assert fields == {"T": Unit()}
    assert doubt.startswith("The field 'T' has values about 4e+02 in data or conditions, and the model gives about 0.")
    assert doubt.endswith("give it this scale in its formula, such as T = 360 + 32 * net.")
    assert torch.equal(outputs(model, problem), before)
    with pytest.warns(UserWarning, match="The field 'T' has values about"):
        fit(model, problem, optimizer=Adam(), steps=1, points=FEW)


def test_the_last_layer_of_another_module_is_scaled():
    problem = hot()
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    before = outputs(model, problem)
    assert scale_outputs(model, problem, units_of_fields(problem)) == ({"T": Unit(360.0, 32.0)}, "")
    assert torch.allclose(outputs(model, problem), 360 + 32 * before, rtol=1e-12)
    run = fit(model, problem, optimizer=GaussNewton(), steps=40, points=FEW, seed=0)
    assert run.error < 1e-4


def test_each_field_has_its_own_unit():
    problem = Problem(
        Box(t=(0, 1)),
        {"T": lambda T, c: T.t - 50 * c, "c": lambda c: c.t + c},
        {"T at 0": On(t=0, equation=lambda T: T - 300), "c at 0": On(t=0, equation=lambda c: c - 1)},
        fields=("T", "c"),
        exact=lambda t: {"T": 350 - 50 * torch.exp(-t), "c": torch.exp(-t)},
    )
    model = ModifiedMLP(problem, (8, 8))
    run = fit(model, problem, optimizer=GaussNewton(), steps=30, points=FEW, seed=0)
    assert run.error < 1e-4
    assert run.scales.fields == {"T": (0.0, 256.0), "c": (0.0, 1.0)}
    assert run.predict("c", t=1.0) == pytest.approx(math.exp(-1), abs=0.01)
