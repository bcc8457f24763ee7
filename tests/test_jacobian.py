"""The Jacobian by layers against torch.func, and both against one backward pass for each residual."""

from __future__ import annotations

import pytest
import torch
from linearized import BOX, FLOW, HEAT, PERIODIC, THIRD, Twice, mlp, one_by_one
from torch import nn

import pinnedu.jacobian
from pinnedu import MLP, HardConstraint, ModifiedMLP, PeriodicEmbedding, Points
from pinnedu.jacobian import jacobian
from pinnedu.parameters import trainable_parameters


def frozen():
    model = mlp(HEAT)
    model.layers[1].weight.requires_grad_(False)
    model.layers[0].bias.requires_grad_(False)
    return model


CASES = {
    "conditions": (HEAT, lambda: mlp(HEAT)),
    "silu": (HEAT, lambda: mlp(HEAT, activation="silu")),
    "periodic condition": (PERIODIC, lambda: mlp(PERIODIC)),
    "periodic embedding": (PERIODIC, lambda: mlp(PERIODIC, embedding=PeriodicEmbedding(BOX, x=2))),
    "data, unknowns, two fields": (FLOW, lambda: mlp(FLOW)),
    "modified network": (HEAT, lambda: ModifiedMLP(HEAT, hidden=(4, 4))),
    "third order": (THIRD, lambda: mlp(THIRD)),
    "hard constraint": (HEAT, lambda: HardConstraint(mlp(HEAT), HEAT, u=lambda u, x, t: torch.sin(x) + t * u)),
    "a layer used twice, no bias": (HEAT, Twice),
    "frozen weights": (HEAT, frozen),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_func_and_the_definition_agree(case):
    problem, make = CASES[case]
    model = make()
    sample = problem.sample(Points(6, 4))
    by_layers = jacobian(model, problem, sample, method="layers")
    by_func = jacobian(model, problem, sample, method="func")
    defined = one_by_one(model, problem, sample)
    residuals = problem.residuals(model, sample)
    assert list(by_layers) == list(by_func) == list(residuals) == list(problem.terms)
    columns = sum(weight.numel() for weight in trainable_parameters(model).values())
    for name, (residual, rows) in by_layers.items():
        assert rows.shape == (len(residuals[name]), columns)
        assert not rows.requires_grad
        assert not residual.requires_grad
        size = max(defined[name][1].abs().max(), 1e-2)  # an embedding that is periodic leaves rounding only
        assert torch.allclose(residual, residuals[name], rtol=1e-12)
        assert torch.allclose(by_func[name][0], residual, rtol=1e-12, atol=1e-14)
        assert (rows - by_func[name][1]).abs().max() <= 1e-12 * size
        assert (rows - defined[name][1]).abs().max() <= 1e-11 * size


def test_interior_points_alone_give_the_equations():
    model = mlp(HEAT)
    points = BOX.sample(7, "uniform")
    found = jacobian(model, HEAT, points)
    assert list(found) == ["heat"]
    assert torch.equal(found["heat"][1], jacobian(model, HEAT, {"interior": points})["heat"][1])


def test_times_the_residual_it_is_the_gradient_of_the_loss():
    model, sample = mlp(FLOW), FLOW.sample(Points(6, 4))
    gradient = sum(rows.T @ residual for residual, rows in jacobian(model, FLOW, sample).values())
    loss = sum(residual.square().sum() / 2 for residual in FLOW.residuals(model, sample).values())
    expected = torch.autograd.grad(loss, list(trainable_parameters(model).values()))
    assert torch.allclose(gradient, torch.cat([g.flatten() for g in expected]), rtol=1e-10, atol=1e-12)


def test_unknowns_have_a_column():
    model = mlp(FLOW)
    points = BOX.sample(6, "uniform")
    place = list(trainable_parameters(model)).index("unknowns.nu")
    start = sum(weight.numel() for weight in list(trainable_parameters(model).values())[:place])
    _, rows = jacobian(model, FLOW, points)["momentum"]
    nu = model.unknowns["nu"]
    nu.data += 1
    after = FLOW.residuals(model, points)["momentum"]
    nu.data -= 1
    assert torch.allclose(rows[:, start], after - FLOW.residuals(model, points)["momentum"], rtol=1e-9)


# --- memory that is kept


def test_memory_is_used_again():
    model, sample, memory = mlp(HEAT), HEAT.sample(Points(6, 4)), {}
    first = jacobian(model, HEAT, sample, out=memory)["heat"][1]
    kept = first.clone()
    with torch.no_grad():
        model.layers[0].weight += 0.1
    second = jacobian(model, HEAT, sample, out=memory)["heat"][1]
    assert second.data_ptr() == first.data_ptr()
    assert not torch.equal(second, kept)
    assert torch.equal(second, jacobian(model, HEAT, sample)["heat"][1])


def test_memory_of_another_size_is_not_used():
    model, memory = mlp(HEAT), {}
    jacobian(model, HEAT, BOX.sample(6, "uniform"), out=memory)
    points = BOX.sample(9, "uniform")
    assert torch.equal(jacobian(model, HEAT, points, out=memory)["heat"][1], jacobian(model, HEAT, points)["heat"][1])


@pytest.mark.parametrize("method", ["layers", "func"])
@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_chunks_give_the_same_rows(method, chunk):
    model, sample = mlp(FLOW), FLOW.sample(Points(6, 4), generator=torch.Generator().manual_seed(0))
    whole, pieces = jacobian(model, FLOW, sample), jacobian(model, FLOW, sample, method=method, chunk=chunk)
    for name in whole:
        assert torch.allclose(whole[name][0], pieces[name][0], rtol=1e-12, atol=1e-14)
        assert torch.allclose(whole[name][1], pieces[name][1], rtol=1e-10, atol=1e-12)


def test_a_learned_period_is_in_a_layer():
    torch.manual_seed(0)
    model = MLP(HEAT, hidden=(5,), embedding=PeriodicEmbedding(HEAT.domain, {"t": 0.7}, t=2))
    sample = HEAT.sample(Points(6, 4))
    found, defined = jacobian(model, HEAT, sample, method="layers"), one_by_one(model, HEAT, sample)
    for name in defined:
        assert torch.allclose(found[name][1], defined[name][1], rtol=1e-10, atol=1e-11)


# --- models with other weights


class Scaled(nn.Module):
    """A weight outside linear layers."""

    def __init__(self):
        super().__init__()
        self.inner, self.scale = mlp(HEAT), nn.Parameter(torch.tensor(1.3, dtype=torch.float64))

    def forward(self, points):
        return self.inner(self.scale * points)


def normalized():
    model = mlp(HEAT)
    nn.utils.parametrizations.weight_norm(model.layers[0])
    return model


def factorized():
    return ModifiedMLP(HEAT, hidden=(4, 4), factorized=True)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch.func's own, of weight_norm
@pytest.mark.parametrize("make", [Scaled, normalized, factorized])
def test_weights_outside_linear_layers_go_through_torch_func(make):
    model = make()
    sample = HEAT.sample(Points(6, 4))
    with pytest.raises(ValueError, match="lie outside linear layers: use method='func'"):
        jacobian(model, HEAT, sample, method="layers")
    found, defined = jacobian(model, HEAT, sample), one_by_one(model, HEAT, sample)
    for name in defined:
        assert torch.allclose(found[name][1], defined[name][1], rtol=1e-10, atol=1e-11)


def test_a_model_that_jets_do_not_know():
    model = nn.Sequential(mlp(HEAT), nn.Mish())
    points = BOX.sample(4, "uniform")
    with pytest.warns(UserWarning, match="mish"):
        HEAT.residuals(model, points)
    expected = one_by_one(model, HEAT, {"interior": points})["heat"][1]
    assert torch.allclose(jacobian(model, HEAT, points)["heat"][1], expected, rtol=1e-10, atol=1e-12)


def test_a_chunk_without_points_is_refused():
    with pytest.raises(ValueError, match="chunk must be a number of points of at least 1, not 0"):
        jacobian(mlp(HEAT), HEAT, BOX.sample(4), chunk=0)


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="method='magic' is unknown: choose 'auto', 'layers', 'func' or 'rows'"):
        jacobian(mlp(HEAT), HEAT, BOX.sample(4), method="magic")


def test_rows_go_together_as_far_as_memory_allows(monkeypatch):
    """Seven points: with 30 products four rows at a time, as 30 // 7 is 4; with 1 one at a time."""
    model, points = mlp(HEAT), BOX.sample(7, "uniform")
    expected = jacobian(model, HEAT, points, method="layers")["heat"][1]
    taken, real = [], pinnedu.jacobian._rows
    monkeypatch.setattr(pinnedu.jacobian, "_rows", lambda *args: taken.append(args[2:]) or real(*args))
    for limit, pieces in ((30, [(0, 4), (4, 4)]), (1, [(start, 1) for start in range(7)])):
        monkeypatch.setattr(pinnedu.jacobian, "ROWS", limit)
        taken.clear()
        torch.testing.assert_close(jacobian(model, HEAT, points, method="rows")["heat"][1], expected)
        assert taken == pieces


def test_where_memory_runs_out_rows_are_not_taken_one_by_one(monkeypatch):
    weight, real = torch.ones(3, requires_grad=True), torch.autograd.grad

    def full(*args, is_grads_batched=False, **kwargs):
        if is_grads_batched:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", full)
    with pytest.raises(torch.OutOfMemoryError):
        pinnedu.jacobian._rows(2 * weight, [weight], 0, 3)
