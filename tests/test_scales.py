"""Numbers of any size are trained as if they were near 1, and numbers near 1 as ever."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn

from pinnedu import (
    KFAC,
    LBFGS,
    MLP,
    SOAP,
    SPRING,
    Adam,
    Box,
    Fit,
    GaussNewton,
    HardConstraint,
    Integral,
    ModifiedMLP,
    Observed,
    On,
    Periodic,
    Points,
    Problem,
    Scales,
    fit,
    march,
    problems,
)
from pinnedu.scales import Unit, scale_outputs, scales_of_terms, scales_of_unknowns, units_of_fields

FEW = Points(60, 10)


def logistic(capacity=1000.0, start=200.0, end=5.0):
    """Values from 200 to nearly 1000."""
    return Problem(
        Box(t=(0, end)),
        {"logistic": lambda u: u.t - u * (1 - u / capacity)},
        {"start": On(t=0, equation=lambda u: u - start)},
        exact=lambda t: capacity / (1 + (capacity / start - 1) * torch.exp(-t)),
    )


def decay(true, guess):
    """u' = -0.7 u, where 0.7 is an unknown in another unit."""
    t = torch.linspace(0, 2, 41, dtype=torch.float64)[:, None]
    return Problem(
        Box(t=(0, 2)),
        {"decay": lambda u, k: u.t + 0.7 / true * k * u},
        {"data": Observed(t, u=torch.exp(-0.7 * t[:, 0]))},
        unknowns={"k": guess},
        exact=lambda t: torch.exp(-0.7 * t),
    )


def hot(low=350.0, high=370.0):
    """Heat that an Arrhenius law makes in a wall, whose solution is manufactured: T = low + ... + 5 sin(pi x)."""

    def rate(T):
        return 30 * torch.exp(-8000 * (1 / T - 1 / 350))

    def exact(x):
        return low + (high - low) * x + 5 * torch.sin(math.pi * x)

    return Problem(
        Box(x=(0, 1)),
        {"energy": lambda T, x: T.xx + rate(T) - rate(exact(x)) + 5 * math.pi**2 * torch.sin(math.pi * x)},
        {"left": On(x=0, equation=lambda T: T - low), "right": On(x=1, equation=lambda T: T - high)},
        fields=("T",),
        exact=exact,
    )


def wide(length=300.0):
    """Poisson on [-300, 300], whose equation is of size 1e-4."""
    w = math.pi / length
    return Problem(
        Box(x=(-length, length)),
        {"poisson": lambda u, x: u.xx + w**2 * torch.sin(w * x)},
        {"left": On(x=-length, equation=lambda u: u), "right": On(x=length, equation=lambda u: u)},
        exact=lambda x: torch.sin(w * x),
    )


def heat(size=1.0, shift=0.0):
    """The heat equation in other units."""
    return Problem(
        Box(x=(0, math.pi), t=(0, 1)),
        {"heat": lambda u: u.t - u.xx},
        {
            "initial": On(t=0, equation=lambda u, x: u - shift - size * torch.sin(x)),
            "left": On(x=0, equation=lambda u: u - shift),
            "right": On(x=math.pi, equation=lambda u: u - shift),
        },
        exact=lambda x, t: shift + size * torch.exp(-t) * torch.sin(x),
    )


def deviation(model, problem, shift):
    """The error relative to what varies, without the shift."""
    points = problem.domain.evaluation_points(400)
    exact = problem.solution(points)["u"]
    with torch.no_grad():
        found = model(points)[:, 0]
    return float((found - exact).norm() / (exact - shift).norm())


# --- solved


@pytest.mark.parametrize(("true", "guess"), [(7e7, 1e7), (7e-16, 1e-16)])
def test_an_unknown_of_any_size_is_found(true, guess):
    problem = decay(true, guess)
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=30, seed=0, points=FEW)
    assert run.unknowns["k"] == pytest.approx(true, rel=0.03)
    assert run.problem.unknowns == run.unknowns
    assert run.history["k"][-1] == run.unknowns["k"]
    assert run.scales.unknowns == {"k": guess}
    assert run.warnings == []


@pytest.mark.parametrize("optimizer", [Adam(2e-2), LBFGS()])
def test_an_unknown_moves_as_if_it_were_near_1(optimizer):
    one, large = (
        fit(MLP(problem, (6,)), problem, optimizer=optimizer, steps=60, seed=0, points=FEW)
        for problem in (decay(7.0, 1.0), decay(7e7, 1e7))
    )
    assert one.scales.unknowns == {"k": 1.0}
    assert abs(one.unknowns["k"] - 1) > 0.05
    assert large.unknowns["k"] == pytest.approx(1e7 * one.unknowns["k"], rel=1e-3)


def test_values_from_200_to_1000():
    problem = logistic()
    run = fit(MLP(problem, (12,)), problem, optimizer=GaussNewton(), steps=40, seed=0, points=FEW)
    assert run.error < 1e-3
    assert run.predict(t=0.0) == pytest.approx(200, rel=1e-3)
    assert run.scales.fields == {"u": (0.0, 256.0)}
    assert run.scales.terms == {"logistic": 100.0, "start": 100.0}


def test_a_temperature_of_350_with_an_arrhenius_law():
    problem = hot()
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=30, seed=0, points=FEW)
    assert run.error < 1e-5
    assert run.scales.fields["T"] == (360.0, 32.0)


def test_a_wide_domain():
    problem = wide()
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=50, seed=0, points=FEW)
    assert run.error < 3e-3
    assert run.scales.terms == {"poisson": 1e-4, "left": 1.0, "right": 1.0}
    assert run.scales.fields == {"u": Unit()}


@pytest.mark.parametrize(("size", "shift"), [(1e-6, 0.0), (1e6, 0.0), (20.0, 350.0), (-5e-4, 0.0)])
def test_heat_in_any_unit(size, shift):
    problem = heat(size, shift)
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=25, seed=0, points=Points(150, 20))
    assert deviation(run.model, problem, shift) < 1e-2


def test_adam_finds_a_temperature():
    problem = heat(20.0, 350.0)
    run = fit(MLP(problem, (10,)), problem, optimizer=Adam(1e-2), steps=300, seed=0, points=FEW)
    raw = fit(MLP(problem, (10,)), problem, optimizer=Adam(1e-2), steps=300, seed=0, points=FEW, scale=False)
    assert run.error < 0.02 < 0.5 < raw.error


@pytest.mark.parametrize(("optimizer", "steps"), [(KFAC(), 40), (SPRING(), 40), (SOAP(1e-2), 150)])
@pytest.mark.parametrize(("problem", "aim"), [(hot(), 2e-3), (heat(20.0, 350.0), 0.03)])
def test_every_optimizer_moves_what_is_scaled(problem, aim, optimizer, steps):
    run = fit(MLP(problem, (10,)), problem, optimizer=optimizer, steps=steps, seed=0, points=FEW)
    assert run.error < aim
    assert run.scales.fields[problem.fields[0]] == (360.0, 32.0)


def test_a_spring_of_stiffness_400_swings():
    problem = Problem(
        Box(t=(0, 1)),
        {"spring": lambda u: u.tt + 400 * u},
        {"place": On(t=0, equation=lambda u: u - 1), "speed": On(t=0, equation=lambda u: u.t)},
        exact=lambda t: torch.cos(20 * t),
    )
    run = fit(MLP(problem, (20, 20)), problem, optimizer=GaussNewton(), steps=80, seed=1, points=Points(100, 1))
    assert run.scales.terms == {"spring": 100.0, "place": 1.0, "speed": 1.0}
    assert run.error < 0.05


@pytest.mark.parametrize(("size", "terms"), [(50.0, 1.0), (200.0, 100.0)])
def test_only_what_zero_solves_is_held_down_so_early(size, terms):
    """A wave of size about 0.7 leaves 0.7 times the factor; with a source it is not zero that the equation pulls to."""
    pulled, driven = (
        Problem(Box(t=(0, 1)), {"e": equation}, {"start": On(t=0, equation=lambda u: u - 1)})
        for equation in (lambda u: u.t + size * u, lambda u: u.t + size * (u - 1e-3))
    )
    for problem, expected in ((pulled, terms), (driven, 1.0)):
        assert scales_of_terms(problem, {"u": Unit()}, {})["e"] == expected


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
    problem = Problem(Box(x=(0, 1)), {"e": lambda u, a: u - a}, unknowns=guesses)
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


def outputs(model, problem):
    with torch.no_grad():
        return model(problem.domain.sample(50, "grid"))


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


# --- kept


def test_scales_are_saved_with_the_run(tmp_path):
    problem = decay(7e7, 1e7)
    run = fit(MLP(problem, (5,)), problem, optimizer=GaussNewton(), steps=15, points=FEW, seed=0)
    run.save(tmp_path / "run.pt")
    back = Fit.load(tmp_path / "run.pt", decay(7e7, 1.0))
    assert back.scales == run.scales
    on = fit(back.model, back.problem, optimizer=GaussNewton(), steps=2, points=FEW, after=back)
    assert on.scales == run.scales
    assert on.history["k"][15] == pytest.approx(run.unknowns["k"], rel=0.01)


def test_a_scaled_model_is_saved_and_goes_on(tmp_path):
    problem = logistic()
    run = fit(MLP(problem, (8,)), problem, optimizer=GaussNewton(), steps=25, points=FEW, seed=0)
    run.save(tmp_path / "run.pt")
    back = Fit.load(tmp_path / "run.pt", logistic())
    t = np.linspace(0, 5, 9)
    assert np.array_equal(back.predict(t=t), run.predict(t=t))
    fresh = MLP(problem, (8,))
    fresh.load_state_dict(run.model.state_dict())
    assert torch.equal(outputs(fresh, problem), outputs(run.model, problem))
    plain = MLP(problem, (8,)).state_dict()
    fresh.load_state_dict(plain)  # and weights without a scale are weights without a scale
    assert fresh.output_scale is None
    for follow in (
        fit(back.model, problem, optimizer=LBFGS(), steps=3, points=FEW, after=back),
        fit(run.model, problem, optimizer=LBFGS(), steps=3, points=FEW),
    ):
        assert follow.scales == run.scales
        assert follow.error < 2 * run.error


def test_a_checkpoint_goes_on_to_the_last_bit(tmp_path):
    problem = Problem(
        Box(t=(0, 2)),
        {"decay": lambda u, k: u.t + 1e-8 * k * u},
        {"start": On(t=0, equation=lambda u: u - 300), "end": On(t=2, equation=lambda u: u - 300 * math.exp(-1.4))},
        unknowns={"k": 1e7},
    )
    options = {"optimizer": GaussNewton(), "points": FEW, "seed": 0, "checkpoint_every": 0.0}
    whole = fit(MLP(problem, (6,)), problem, steps=12, **options)
    fit(MLP(problem, (6,)), problem, steps=5, checkpoint=tmp_path / "run.pt", **options)
    run = fit(MLP(problem, (6,)), problem, steps=12, checkpoint=tmp_path / "run.pt", **options)
    assert np.array_equal(run.history["loss"], whole.history["loss"])
    assert np.array_equal(run.history["k"], whole.history["k"])
    assert torch.equal(outputs(run.model, problem), outputs(whole.model, problem))
    assert run.scales == whole.scales
    assert run.scales.unknowns == {"k": 1e7}
    with pytest.raises(ValueError, match="scale: True there, False here"):
        fit(MLP(problem, (6,)), problem, steps=12, checkpoint=tmp_path / "run.pt", scale=False, **options)


def test_a_callback_sees_values_in_the_units_of_the_problem():
    problem = decay(7e7, 1e7)
    seen = []
    fit(
        MLP(problem, (5,)), problem, optimizer=GaussNewton(), steps=3, points=FEW, seed=0,
        callbacks=[lambda state: seen.append(float(state.unknowns["k"]))],
    )  # fmt: skip
    assert all(1e6 < value < 1e9 for value in seen)
    values = []
    run = fit(
        MLP(logistic(), (5,)), logistic(), optimizer=GaussNewton(), steps=3, points=FEW, seed=0,
        callbacks=[lambda state: values.append(state.model(torch.zeros(1, 1).double()).item())],
    )  # fmt: skip
    assert values[-1] == run.predict(t=0.0)
    assert abs(values[-1]) > 20


def test_windows_hand_their_scales_on():
    plan = march(
        lambda window: MLP(window, (8,)), logistic(), 2, optimizer=GaussNewton(), steps=25, points=FEW, seed=0
    )
    assert plan.error < 5e-3
    assert plan.fits[0].scales.fields["u"] == (0.0, 256.0)
    assert plan.scales == plan.fits[1].scales
    assert plan.scales.fields["u"] == (0.0, 1024.0)


def test_growth_from_100_to_1000_in_windows():
    problem = logistic(start=100.0, end=10.0)
    plan = march(lambda window: MLP(window, (12,)), problem, 4, optimizer=GaussNewton(), steps=25, points=FEW, seed=0)
    assert plan.error < 1e-3


def test_predators_and_prey_in_windows():
    """Lotka-Volterra from (100, 15) for one round of the cycle: prey up to 180, predators up to 130."""

    def rates(t, y):
        return [2 * y[0] - 0.04 * y[0] * y[1], 0.02 * y[0] * y[1] - 1.06 * y[1]]

    path = solve_ivp(rates, (0, 4), (100, 15), rtol=1e-10, atol=1e-10, dense_output=True).sol
    problem = Problem(
        Box(t=(0, 4)),
        {"prey": lambda r, p: r.t - 2 * r + 0.04 * r * p, "predators": lambda r, p: p.t - 0.02 * r * p + 1.06 * p},
        {"prey at first": On(t=0, equation=lambda r: r - 100), "predators at first": On(t=0, equation=lambda p: p - 15)},
        fields=("r", "p"),
        exact=lambda t: dict(zip("rp", torch.as_tensor(path(t.numpy())), strict=True)),
    )
    plan = march(
        lambda window: MLP(window, (12, 12)), problem, 4, optimizer=GaussNewton(), steps=30, points=Points(80, 1), seed=0
    )
    assert plan.error < 0.02


def test_a_restored_inverse_run_has_what_it_found():
    points = torch.rand(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def problem():
        data = Observed(points, u=torch.exp(-0.7 * points[:, 1]) * torch.sin(points[:, 0]))
        equation = {"heat": lambda u, k: u.t - k * u.xx}
        return Problem(Box(x=(0, 1), t=(0, 1)), equation, {"data": data}, unknowns={"k": 0.1})

    model = MLP(problem(), (10,))
    run = fit(model, problem(), optimizer=GaussNewton(), steps=40, seed=0, points=Points(100, 60))
    assert run.unknowns["k"] == pytest.approx(0.7, abs=0.02)
    fresh = MLP(problem(), (10,))
    fresh.load_state_dict(model.state_dict())  # the unknown is the run's, so the weights of the model fit
    trained, restored = (run.problem.residuals(which, points)["heat"] for which in (model, fresh))
    assert torch.equal(trained, restored)
    again = replace(run, model=fresh)
    on = fit(fresh, problem(), optimizer=Adam(1e-6), steps=1, seed=0, points=FEW, after=again)
    assert on.unknowns["k"] == pytest.approx(run.unknowns["k"], abs=1e-5)
