"""A run is a thing to keep: it can be asked, saved, loaded and gone on from, and it owns what it found."""

from __future__ import annotations

import os
from math import pi

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import (
    LBFGS,
    MLP,
    Adam,
    Box,
    Fit,
    GaussNewton,
    HardConstraint,
    ModifiedMLP,
    Observed,
    On,
    Points,
    Problem,
    curriculum,
    fit,
    problems,
)
from pinnedu.parameters import found_unknowns
from pinnedu.trainers import CosineDecay, ExponentialDecay, Status, stop_below, stop_early
from pinnedu.trainers.optimizers import Finished

FEW = Points(interior=30, conditions=5)


def inverse(guess=0.1):
    """Heat with an unknown diffusivity, whose true value is 0.7."""
    X = torch.rand(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    data = Observed(X, u=torch.exp(-0.7 * X[:, 1]) * torch.sin(X[:, 0]))
    return Problem(Box(x=(0, 1), t=(0, 1)), {"heat": lambda u, k: u.t - k * u.xx}, {"data": data}, unknowns={"k": guess})


def solved(model=None, **options):
    problem = inverse()
    options = {"optimizer": GaussNewton(), "steps": 40, "seed": 0, "points": Points(100, 60)} | options
    return fit(MLP(problem, (10,)) if model is None else model, problem, **options)


# --- unknowns belong to the run


def test_the_weights_of_an_inverse_run_fit_a_fresh_model(tmp_path):
    run = solved()
    assert run.unknowns["k"] == pytest.approx(0.7, rel=0.02)
    assert not any("unknown" in name for name in run.model.state_dict())
    torch.save(run.model.state_dict(), tmp_path / "weights.pt")
    points = inverse().domain.grid(7)
    residual = run.residuals(points)["heat"]
    for wrap in (lambda net: net, lambda net: HardConstraint(net, inverse(), u=lambda u: u)):
        fresh = MLP(inverse(), (10,))
        fresh.load_state_dict(torch.load(tmp_path / "weights.pt"))
        for problem in (run.problem, inverse()):  # the run's problem has what was found, and the weights have it too
            assert torch.equal(problem.residuals(wrap(fresh), points)["heat"], residual)
        assert residual.square().mean() < 1e-4 * inverse(0.11).residuals(wrap(fresh), points)["heat"].square().mean()
        on = fit(wrap(fresh), inverse(), optimizer=Adam(1e-6), steps=1, points=FEW, seed=0)
        assert on.unknowns["k"] == pytest.approx(run.unknowns["k"], abs=1e-5)


def test_weights_without_unknowns_have_none_to_load():
    run, fresh = solved(steps=2), MLP(inverse(), (10,))
    plain = fresh.state_dict()
    fresh.load_state_dict(run.model.state_dict())
    assert found_unknowns(fresh, {"k": 0.1})["k"] == run.unknowns["k"] != 0.1
    fresh.load_state_dict(plain)
    assert found_unknowns(fresh, {"k": 0.1}) == {}


def test_what_was_found_belongs_to_the_first_guess_of_all_runs():
    first = solved(optimizer=Adam(1e-2), steps=30)
    second = fit(first.model, first.problem, optimizer=Adam(1e-2), steps=5, points=FEW, seed=0)
    assert second.unknowns != first.unknowns
    assert found_unknowns(first.model, {"k": 0.1})["k"] == second.unknowns["k"]
    assert found_unknowns(first.model, {"k": 0.2}) == found_unknowns(first.model, {"q": 0.1}) == {}


def test_a_changed_first_guess_is_honoured(scripted):
    run = solved()
    again = fit(run.model, inverse(3.0), optimizer=scripted(), steps=1, points=FEW)
    assert again.unknowns == {"k": 3.0}


def test_a_sequential_model_finds_unknowns():
    model = nn.Sequential(nn.Linear(2, 10), nn.Tanh(), nn.Linear(10, 1))
    run = solved(model, steps=60)
    assert run.model is model
    assert len(model) == 3
    assert run.unknowns["k"] == pytest.approx(0.7, rel=0.05)


def test_a_curriculum_hands_unknowns_on(scripted):
    problem = inverse()
    plan = curriculum(MLP(problem, (4,)), [problem, inverse(9.0)], optimizer=Adam(1e-2), steps=[5, 1], points=FEW, seed=0)
    assert plan.history["k"][5] == pytest.approx(plan.history["k"][4], abs=0.02)
    assert plan.problem.unknowns == plan.unknowns


def test_an_unknown_that_never_left_its_guess_is_told_of():
    t = torch.linspace(0, 2, 21, dtype=torch.float64)[:, None]
    problem = Problem(
        Box(t=(0, 2)),
        {"decay": lambda u, k: u.t + 1e-8 * k * u},
        {"data": Observed(t, u=torch.exp(-0.7 * t[:, 0]))},
        unknowns={"k": 1e7},
    )
    run = fit(MLP(problem, (5,)), problem, optimizer=Adam(1e-2), steps=30, points=FEW, seed=0, scale=False)
    assert any("'k' never left its first guess, 1e+07" in warning and "scale=False" in warning for warning in run.warnings)
    assert not any("never left" in warning for warning in solved().warnings)


@pytest.mark.parametrize(("change", "what"), [(1.0, "only rose from"), (0.0, "never left")])
def test_a_loss_that_never_fell_is_told_of(decay, scripted, change, what):
    def act(model, step):
        model.layers[-1].bias += change * (1 + 5 * step)

    points = Points(20, 1, method="grid")
    run = fit(MLP(decay, (6,)), decay, optimizer=scripted(act), steps=20, points=points, seed=0)
    assert any(warning.startswith(f"The loss {what} its first value, ") for warning in run.warnings)


# --- one run after another


def test_runs_one_after_another_are_one_history():
    first = solved(optimizer=Adam(1e-2), steps=30)
    second = fit(first.model, inverse(), optimizer=LBFGS(), steps=10, points=Points(100, 60), seed=0, after=first)
    history = second.history
    assert history["step"].tolist() == list(range(1, 41))
    assert np.array_equal(history["loss"][:30], first.history["loss"])
    assert abs(history["k"][30] - first.unknowns["k"]) < 0.1 < abs(history["k"][30] - 3.0)
    assert (np.diff(history["seconds"]) > 0).all()
    assert second.seconds == history["seconds"][-1]
    with pytest.raises(ValueError, match="after must be a run of this model"):
        fit(MLP(inverse()), inverse(), optimizer=Adam(), steps=1, after=first)
    with pytest.raises(ValueError, match="after must be a run with the same terms, not heat, data and then heat, initial"):
        fit(first.model, problems.heat(), optimizer=Adam(), steps=1, after=first)


# --- asked


def test_predictions_are_numpy_in_the_shape_asked_for():
    run = solved()
    x, t = np.linspace(0, 1, 4), np.linspace(0, 1, 3)
    found = run.predict(x=x[:, None], t=t)
    assert isinstance(found, np.ndarray)
    assert found.shape == (4, 3)
    assert found.dtype == np.float64
    points = torch.tensor([[a, b] for a in x for b in t], dtype=torch.float64)
    assert np.array_equal(found.reshape(-1), run.model(points).detach().numpy()[:, 0])
    several = run.predict(x=x, t=0.5, of=("u", "u.x", "u.xx", "u.laplacian", "u.t.x"))
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    value = run.model(torch.stack([leaf, torch.full_like(leaf, 0.5)], dim=1))[:, 0]
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    assert several["u.x"] == pytest.approx(slope.numpy(), rel=1e-10)
    assert np.array_equal(several["u.x"], run.predict("u.x", x=x, t=0.5))
    assert run.predict(x=0.5, t=0).shape == ()
    # exp(-k t) sin(x): its second derivative by x is minus itself
    assert several["u.xx"] == pytest.approx(-several["u"], abs=0.1)


def test_predictions_in_single_precision_on_a_face(scripted):
    short = Problem(Box(t=(0, 0.1)), {"law": lambda u: u.t})
    run = fit(MLP(short, (4,)), short, optimizer=scripted(), steps=1, points=FEW)
    t = np.linspace(0, 0.1, 5, dtype=np.float32)
    assert float(t[-1]) > 0.1
    assert run.predict(t=t).shape == (5,)
    with pytest.raises(ValueError, match="1 of 1 points lie outside"):
        run.predict(t=0.1 + 1e-6)


def test_predictions_know_derived_quantities(scripted):
    flow = Problem(
        Box(x=(0, 1), y=(0, 1)),
        {"law": lambda u, v: u.x + v.y},
        fields=("psi",),
        derived={"u": lambda psi: psi.y, "v": lambda psi: -psi.x},
    )
    run = fit(MLP(flow, (4,)), flow, optimizer=scripted(), steps=1, points=FEW, seed=0)
    found = run.predict(x=[0.1, 0.2], y=0.3, of=["u", "v", "v.x", "psi.y", "psi.xx"])
    assert np.array_equal(found["u"], found["psi.y"])
    assert np.array_equal(found["v.x"], -found["psi.xx"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"x": 1}, r"predict needs each coordinate by name, x=\.\.\., t=\.\.\.; given: x"),
        ({"x": 1, "t": 0, "y": 3}, "given: x, t, y"),
        ({"x": "a", "t": 0}, "x must be a number or an array of finite real numbers, not 'a'"),
        ({"x": np.nan, "t": 0}, "x must be a number or an array of finite real numbers, not nan"),
        ({"x": [0, 1], "t": [0, 1, 0.5]}, r"shapes that do not broadcast: x \(2,\), t \(3,\)"),
        ({"x": [0, 2], "t": 0}, "1 of 2 points lie outside of Box"),
        ({"x": 1, "t": 0, "of": "w.x"}, "There is no field 'w': predict knows u"),
        ({"x": 1, "t": 0, "of": "u.y"}, "is not a derivative"),
        ({"x": 1, "t": 0, "of": 3}, "of must be the name of a quantity, or several, not 3"),
    ],
)
def test_what_cannot_be_predicted_is_said(asked, message, decay, scripted):
    run = fit(MLP(inverse(), (4,)), inverse(), optimizer=scripted(), steps=1, points=FEW)
    with pytest.raises(ValueError, match=message):
        run.predict(**asked)


# --- saved and loaded


@pytest.mark.parametrize("build", [lambda p: MLP(p, (5, 4), "silu"), lambda p: ModifiedMLP(p, (4, 4), dtype=torch.float32)])
def test_a_saved_run_is_the_same_again(build, tmp_path):
    run = solved(build(inverse()), steps=12, optimizer=Adam(1e-2))
    run.save(tmp_path / "run.pt")
    again = Fit.load(tmp_path / "run.pt", inverse(5.0))
    assert type(again.model) is type(run.model)
    assert (again.unknowns, again.error, again.seconds) == (run.unknowns, run.error, run.seconds)
    assert (again.stopped, again.status, again.warnings) == (run.stopped, Status.STEPS, run.warnings)
    assert again.problem.unknowns == run.unknowns
    assert list(again.history) == list(run.history)
    assert all(np.array_equal(again.history[name], run.history[name], equal_nan=True) for name in run.history)
    x = np.linspace(0, 1, 5)
    assert np.array_equal(again.predict(x=x, t=x, of="u.x"), run.predict(x=x, t=x, of="u.x"))
    more = fit(again.model, inverse(), optimizer=Adam(1e-6), steps=1, points=FEW, after=again)
    assert more.unknowns["k"] == pytest.approx(run.unknowns["k"], abs=1e-4)


def test_what_cannot_be_loaded_is_said(tmp_path):
    problem, path = problems.heat(), tmp_path / "run.pt"

    def bounded():
        return HardConstraint(MLP(problem, (4,)), problem, u=lambda u, t: t * u)

    run = fit(bounded(), problem, optimizer=Adam(), steps=2, points=FEW)
    run.save(path)
    with pytest.raises(ValueError, match="has a model that is not pinnedu's own: build it again, and give it as model="):
        Fit.load(path, problem)
    x = np.linspace(0, 1, 5)
    assert np.array_equal(Fit.load(path, problem, bounded()).predict(x=x, t=x), run.predict(x=x, t=x))
    with pytest.raises(ValueError, match="The model does not fit the weights in"):
        Fit.load(path, problem, MLP(problem, (4,)))
    with pytest.raises(ValueError, match=r"is of another problem \(terms: heat, initial, left, right there, heat, data here\)"):
        Fit.load(path, inverse())
    with pytest.raises(ValueError, match=r"cannot be read \(No such file"):
        Fit.load(tmp_path / "none.pt", problem)
    with pytest.raises(ValueError, match=r"cannot be written to '/nowhere/run.pt' \(No such file"):
        run.save("/nowhere/run.pt")

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({"format": "pinnedu run 1", "identity": Bomb()}, path)
    with pytest.raises(ValueError, match="is no run that this version of pinnedu saved"):
        Fit.load(path, problem)
    assert not (tmp_path / "exploded").exists()


# --- control


def test_time_alone_may_bound_a_run(decay):
    run = fit(MLP(decay, (4,)), decay, optimizer=Adam(), seconds=0.2, points=FEW)
    assert run.status is Status.SECONDS
    assert run.seconds >= 0.2
    with pytest.raises(ValueError, match="fit needs steps=, a number of steps, or seconds="):
        fit(MLP(decay, (4,)), decay, optimizer=Adam())


def test_a_schedule_is_a_factor_of_the_rate(decay):
    assert [ExponentialDecay(0.5, 10)(step) for step in (0, 10, 20)] == [1, 0.5, 0.25]
    assert [CosineDecay(10, last=0.1)(step) for step in (0, 5, 10, 99)] == pytest.approx([1, 0.55, 0.1, 0.1])
    assert [CosineDecay(10, warmup=3)(step) for step in (0, 1, 3)] == [0.25, 0.5, 1]
    rates = []

    def moved(schedule):
        model, rates[:] = MLP(decay, (4,)), []
        before = [model.layers[-1].bias.item()]

        def note(state):
            rates.append(abs(model.layers[-1].bias.item() - before[-1]))
            before.append(model.layers[-1].bias.item())

        fit(model, decay, optimizer=Adam(1e-3, schedule=schedule), steps=4, points=FEW, seed=0, callbacks=[note])
        return rates

    # Adam's first step is as long as its rate; none where the factor is 0.
    assert moved(lambda step: float(step != 1))[0] == pytest.approx(1e-3, rel=1e-4)
    assert rates[1] == 0
    assert rates[2] > 0
    with pytest.raises(ValueError, match="schedule must be a function of the step such as"):
        Adam(schedule=0.9)
    with pytest.raises(ValueError, match="What the schedule returns must be a factor of at least 0, not -1"):
        fit(MLP(decay), decay, optimizer=Adam(schedule=lambda step: -1), steps=1, points=FEW)


def test_a_state_has_loss_and_terms_without_an_evaluation(decay):
    seen = []
    run = fit(
        MLP(decay, (4,)), decay, optimizer=Adam(1e-2), steps=5, points=FEW, weights={"start": 3.0},
        callbacks=[lambda state: seen.append((state.loss, state.terms, state.optimizer))],
    )  # fmt: skip
    assert [loss for loss, *_ in seen] == pytest.approx(run.history["loss"].tolist(), rel=1e-14)
    assert [terms["start"] for _, terms, _ in seen] == run.history["start"].tolist()
    assert seen[0][2] == Adam(1e-2)


def test_ready_made_callbacks(decay, scripted):
    run = fit(MLP(decay), decay, optimizer=LBFGS(), steps=200, points=FEW, seed=0, callbacks=[stop_below(1e-4)])
    assert run.loss < 1e-4 <= run.history["loss"][-2]
    assert run.stopped == f"the loss fell below 0.0001 at step {len(run.history['step'])}"
    assert run.status is Status.CALLBACK

    def worse(model, step):
        model.layers[-1].bias.fill_(step if step > 10 else 10 - step)

    run = fit(MLP(decay), decay, optimizer=scripted(worse), steps=100, points=FEW, seed=0, callbacks=[stop_early(20)])
    best = 1 + int(np.nanargmin(run.history["fresh"]))
    assert run.stopped == f"the loss on fresh points has not improved since step {best}"
    assert len(run.history["step"]) == best + 20


def test_the_reason_has_a_code(decay, scripted):
    def ended(**options):
        options = {"optimizer": Adam(), "steps": 3, "points": FEW} | options
        return fit(MLP(decay, (4,)), decay, **options).status

    def interrupt(model, step):
        raise KeyboardInterrupt

    def spoil(model, step):
        model.layers[-1].bias.fill_(float("nan"))

    def fill(model, step):
        raise MemoryError

    def finish(model, step):
        raise Finished("the valley is reached")

    assert ended() is Status.STEPS
    assert ended(optimizer=scripted(interrupt)) is Status.INTERRUPTED
    assert ended(optimizer=scripted(spoil)) is Status.NOT_FINITE
    assert ended(optimizer=scripted(fill)) is Status.OUT_OF_MEMORY
    assert ended(optimizer=scripted(finish)) is Status.CONVERGED


def test_a_seed_of_the_weights_is_theirs(decay, scripted):
    def weights(model):
        return torch.cat([weight.detach().reshape(-1) for weight in model.parameters()])

    def trained(model, seed):
        return weights(fit(model, decay, optimizer=scripted(), steps=1, points=FEW, seed=seed).model)

    chosen = weights(MLP(decay, (6,), seed=3))
    assert torch.equal(weights(MLP(decay, (6,), seed=3)), chosen)
    assert torch.equal(trained(MLP(decay, (6,), seed=3), seed=0), chosen)
    assert torch.equal(trained(MLP(decay, (6,)), seed=3), chosen)  # one seed means the same weights either way
    assert not torch.equal(trained(MLP(decay, (6,)), seed=0), chosen)
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0, not 1.5"):
        MLP(decay, seed=1.5)


LINE = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None]


def trained_on(seen, equation, fields=("u",), **weights):
    """A network on an equation and values of u on a line."""
    conditions = {"data": Observed(LINE, u=seen)}
    if "C" in fields:
        conditions["edge"] = On(x=0, equation=lambda C: C - 1)
    problem = Problem(Box(x=(0, 1)), {"law": equation}, conditions, fields=fields)
    model = MLP(problem, hidden=(16, 16), seed=0)
    return fit(model, problem, optimizer=GaussNewton(), steps=60, weights=weights, seed=0, progress=False)


def told(run):
    return any("'data' are missed by" in said and "weights={'data': 1000}" in said for said in run.warnings)


def test_data_that_are_not_fitted_are_told():
    data = torch.sin(2 * pi * LINE[:, 0])
    assert told(trained_on(data, lambda u: u.x, data=1e-6))  # the equation wants a constant
    noise = 0.2 * torch.randn(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert not told(trained_on(data + noise, lambda u: u.xx + 4 * pi**2 * u))


def test_an_unknown_conductivity_is_found_where_its_data_count():
    """-(C u')' = f with u = sin pi x and C = 1 + sin(2 pi x) / 2: with equal weights a wrong u and C may satisfy it."""

    def flow(u, C, x):
        c, slope = 1 + torch.sin(2 * pi * x) / 2, pi * torch.cos(2 * pi * x)
        return (C * u.x).x + pi**2 * torch.sin(pi * x) * c - pi * torch.cos(pi * x) * slope

    run = trained_on(torch.sin(pi * LINE[:, 0]), flow, ("u", "C"), data=1000)
    x = LINE[:, 0].numpy()
    assert np.abs(run.predict(x=x, of="C") - 1 - np.sin(2 * pi * x) / 2).max() < 0.02
    assert not told(run)
