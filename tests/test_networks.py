"""One model of several networks: inputs and fields of its own for each, and everything else as for one network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pinnedu import (
    MLP,
    Adam,
    Box,
    Fit,
    GaussNewton,
    HardConstraint,
    Networks,
    Observed,
    On,
    Points,
    Problem,
    fit,
)
from pinnedu.jacobian import jacobian

WHERE = torch.rand(30, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
FEW = Points(20, 6)


def rod(size=1.0, fields=("u", "k"), unknowns=("q",)):
    """Heat with an unknown conductivity k(x), a smoothness that is asked of it, and a source of unknown strength."""
    q = dict.fromkeys(unknowns, 1.0)
    return Problem(
        Box(x=(0, 1), t=(0, 2)),
        {"heat": lambda u, k, x, q: u.t - (k * u.x).x - q * torch.sin(x), "smooth": lambda k: 0.1 * k.xx},
        {"start": On(t=0, equation=lambda u, x: u - torch.sin(x)), "data": Observed(WHERE, u=size * WHERE[:, 0])},
        fields=fields,
        unknowns=q,
    )


def networks(problem, **options):
    return Networks(u=MLP(problem, (6, 5), seed=1), k=MLP(problem, (4,), inputs=("x",), seed=2), **options)


def test_each_field_comes_from_its_own_network_in_the_order_of_the_problem():
    for fields in (("u", "k"), ("k", "u")):
        problem = rod(fields=fields)
        model = networks(problem)
        values = model(WHERE)
        assert values.shape == (30, 2)
        for i, name in enumerate(fields):
            assert torch.equal(values[:, i], model.networks[name](WHERE)[:, 0])


def test_a_network_does_not_depend_on_what_it_does_not_see():
    problem = rod()
    found = Problem(problem.domain, {"t": lambda k: k.t, "x": lambda k: k.x}, fields=("u", "k"))
    residuals = found.residuals(networks(problem), WHERE)
    assert not residuals["t"].any()
    assert residuals["x"].abs().min() > 0


def test_cutting_keeps_the_row_of_the_field():
    problem = rod()
    whole = MLP(problem, (5,), seed=3)
    rows = whole(WHERE).detach()
    model = Networks(u=MLP(problem, (5,)), k=whole)
    assert torch.allclose(model(WHERE)[:, 1], rows[:, 1], rtol=1e-14)
    assert whole.fields == ("k",)


def test_one_network_may_give_several_fields():
    problem = Problem(Box(x=(0, 1)), {"one": lambda u, v, p: u.x + v.x + p}, fields=("u", "p", "v"))
    flow = MLP(problem, (4,), fields=("v", "u"), seed=0)
    model = Networks(flow=flow, p=nn.Linear(1, 1).double())
    values, own = model(WHERE[:, :1]), flow(WHERE[:, :1])
    assert torch.equal(values[:, 0], own[:, 1])
    assert torch.equal(values[:, 2], own[:, 0])


@pytest.mark.parametrize("wrap", [False, True])
def test_the_jacobian_by_layers_is_that_of_plain_reverse_mode(wrap):
    problem = rod()
    model = networks(problem)
    if wrap:
        model = HardConstraint(model, problem, k=lambda k, x: 1 + x * k)
    model.unknowns = nn.ParameterDict({"q": nn.Parameter(torch.tensor(1.3, dtype=torch.float64))})
    sample, proven = problem.sample(FEW), {}
    fast, plain = (jacobian(model, problem, sample, method=m, proven=proven) for m in ("layers", "rows"))
    for name in problem.terms:
        assert torch.allclose(fast[name][1], plain[name][1], rtol=1e-11, atol=1e-13)
    auto: dict = {}
    jacobian(model, problem, sample, proven=auto)
    assert {way for _, way in auto.values()} == {"layers"}


@pytest.mark.parametrize(("engine", "accuracy"), [("autograd", 1e-10), ("finite-differences", 1e-4)])
def test_every_engine_has_the_same_residuals(engine, accuracy):
    problem = rod()
    model, sample = networks(problem), problem.sample(FEW)
    for name, residual in problem.residuals(model, sample, engine).items():
        assert torch.allclose(residual, problem.residuals(model, sample)[name], atol=accuracy)


def test_a_seed_fixes_a_run_and_draws_each_network_its_own():
    def trained():
        problem = rod()
        return fit(
            Networks(u=MLP(problem, (5,)), k=MLP(problem, (5,))), problem, optimizer=Adam(), steps=2, points=FEW, seed=4,
            device="cpu", progress=False,
        )  # fmt: skip

    one, two = trained(), trained()
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))
    first = [network.layers[0].weight for network in one.model.networks.values()]
    assert not torch.allclose(*first, atol=0.01)


def test_scales_are_those_of_each_field():
    problem = rod(size=1000.0)
    run = fit(networks(problem), problem, optimizer=Adam(), steps=1, points=FEW, seed=0, device="cpu", progress=False)
    scale = run.scales.fields["u"].scale
    assert scale in (512, 1024)
    assert run.model.networks["u"].output_scale.tolist() == [scale]
    assert run.model.networks["k"].output_scale.tolist() == [1]
    again = fit(run.model, problem, optimizer=Adam(), steps=1, points=FEW, seed=0, device="cpu", progress=False)
    assert again.scales.fields == run.scales.fields


def test_a_run_is_saved_loaded_and_predicted(tmp_path):
    problem = rod(size=1000.0)
    run = fit(networks(problem), problem, optimizer=GaussNewton(), steps=2, points=FEW, seed=0, device="cpu", progress=False)
    run.save(tmp_path / "run.pt")
    other = Fit.load(tmp_path / "run.pt", rod(size=1000.0))
    assert torch.equal(other.model(WHERE), run.model(WHERE))
    assert (run.predict("k", x=0.3, t=[0.1, 1.9]) == other.predict("k", x=0.3, t=0.1)).all()
    assert other.unknowns == run.unknowns
    assert other.weights == run.weights


def test_a_checkpoint_goes_on_as_if_nothing_had_happened(tmp_path):
    def go(steps, path):
        problem = rod()
        return fit(
            networks(problem), problem, optimizer=GaussNewton(), steps=steps, points=FEW, seed=0, device="cpu", progress=False,
            checkpoint=path,
        )  # fmt: skip

    go(2, tmp_path / "run.pt")
    resumed, whole = go(4, tmp_path / "run.pt"), go(4, tmp_path / "whole.pt")
    assert torch.equal(resumed.model(WHERE), whole.model(WHERE))
    assert resumed.unknowns == whole.unknowns


def test_a_law_that_an_equation_calls_is_trained_with_the_rest():
    torch.manual_seed(0)
    law = nn.Sequential(nn.Linear(1, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    times = torch.linspace(0, 2, 20, dtype=torch.float64)
    decay = Problem(
        Box(t=(0, 2)),
        {"decay": lambda u: u.t - law(u[:, None])[:, 0]},
        {"start": On(t=0, equation=lambda u: u - 1), "data": Observed(times[:, None], u=torch.exp(-times))},
    )
    model = Networks(u=MLP(decay, (8,)), functions=[law])
    sample = decay.sample(FEW)
    rows, plain = (jacobian(model, decay, sample, method=m)["decay"][1] for m in ("auto", "rows"))
    assert torch.allclose(rows, plain, atol=1e-12)
    fit(model, decay, optimizer=GaussNewton(), steps=40, points=Points(40, 1), seed=0, device="cpu", progress=False)
    values = torch.linspace(0.2, 0.95, 6, dtype=torch.float64)
    assert torch.allclose(law(values[:, None])[:, 0], -values, atol=0.02)  # u' = -u


PROBLEM = rod()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Networks(), "Networks needs networks"),
        (lambda: Networks(3, u=MLP(PROBLEM)), "The problem must be a Problem"),
        (lambda: Networks(u=3), "The network 'u' must be a torch.nn.Module"),
        (lambda: Networks(u=MLP(PROBLEM)), "'k' needs one network, and has none"),
        (lambda: Networks(u=MLP(PROBLEM), w=MLP(PROBLEM)), "'w' has the name of no field"),
        (lambda: Networks(u=MLP(PROBLEM), k=MLP(PROBLEM, fields=("u",))), "'u' needs one network, and has 2"),
        (lambda: Networks(u=nn.Linear(2, 1), k=nn.Linear(2, 1)), r"needs the problem first: Networks\(problem"),
        (lambda: Networks(u=MLP(PROBLEM), k=MLP(rod(fields=("k", "u")))), "made for different problems"),
        (lambda: Networks(items=MLP(PROBLEM, fields=("u",)), k=MLP(PROBLEM)), "'items' cannot be the name"),
        (lambda: Networks(u=MLP(PROBLEM), k=MLP(PROBLEM), functions=[3]), "functions must be a list of modules"),
        (lambda: Networks(PROBLEM, u=MLP(PROBLEM), k=nn.Linear(2, 3).double())(WHERE), r"'k' must give shape \(N, 1\)"),
        (lambda: MLP(PROBLEM, inputs=("y",)), "inputs names 'y', but there is only x, t"),
        (lambda: MLP(PROBLEM, inputs="x"), "inputs must be a tuple of names"),
        (lambda: MLP(PROBLEM, inputs=()), "inputs must be a tuple of names"),
        (lambda: MLP(PROBLEM, fields=("k", "k")), "fields names something twice"),
    ],
)
def test_what_is_wrong_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_one_network_under_two_names_is_refused():
    one = MLP(PROBLEM)
    with pytest.raises(ValueError, match="one network under two names"):
        Networks(u=one, k=one)
