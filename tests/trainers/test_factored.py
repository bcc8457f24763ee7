"""The Jacobian as factors: every product with it is that with the rows."""

from __future__ import annotations

from math import pi

import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, HardConstraint, ModifiedMLP, Observed, On, Periodic, PeriodicEmbedding, Points, Problem
from pinnedu.parameters import trainable_parameters
from pinnedu.trainers import Objective, factored
from pinnedu.trainers.factored import FactoredJacobian, NotFactored, bytes_of_factors
from pinnedu.trainers.matrix_free import GraphProducts


def flow():
    """Two fields, three kinds of conditions, an unknown."""
    box = Box(x=(-1, 1), y=(0, 2), t=(0, 1))
    places = box.sample(7, generator=torch.Generator().manual_seed(0))
    return Problem(
        box,
        {"one": lambda u, v, k, x: u.t + k * u * u.x - u.laplacian("x", "y") + torch.sin(pi * x), "two": lambda v: v.xy},
        {
            "start": On(t=0, equation=lambda u, x: (u - torch.cos(x), u.t)),
            "around": Periodic("x"),
            "seen": Observed(places, v=places.sum(dim=1)),
        },
        fields=("u", "v"),
        unknowns={"k": 0.5},
    )


def frozen(problem):
    model = MLP(problem, hidden=(5, 5))
    model.layers[0].weight.requires_grad_(False)
    model.layers[1].bias.requires_grad_(False)
    return model


MODELS = {
    "plain": lambda p: MLP(p, hidden=(5, 5)),
    "wide": lambda p: MLP(p, hidden=(60, 60)),
    "a learned period": lambda p: MLP(p, hidden=(5,), embedding=PeriodicEmbedding(p.domain, {"x": 2.0}, x=2), activation="silu"),
    "gates": lambda p: ModifiedMLP(p, hidden=(5, 5)),
    "constrained": lambda p: HardConstraint(MLP(p, hidden=(5,)), p, u=lambda u, x, t: torch.sin(x) + t * u),
    "partly frozen": frozen,
}


def objective_of(make, dtype=torch.float64, weights=None):
    problem = flow()
    model = make(problem)
    model.unknowns = nn.ParameterDict({"k": torch.tensor(0.5, dtype=torch.float64)})
    model = model.to(dtype)
    return Objective(model, problem, problem.sample(Points(8, 4), dtype=dtype), loss_weights=weights or {"one": 3.0})


def rows_of(objective):
    pairs = objective.linearize()
    return torch.cat([residual for residual, _ in pairs]), torch.cat([rows for _, rows in pairs]).clone()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["factors", "graph"])
def test_products_are_those_of_the_rows(name, kind):
    objective = objective_of(MODELS[name])
    residual, rows = rows_of(objective)
    terms = objective.linearized_terms
    products = (FactoredJacobian if kind == "factors" else GraphProducts)(objective)
    with torch.no_grad():  # the weights move while the products are in use
        for weight in trainable_parameters(objective.model).values():
            weight.mul_(2)
    torch.testing.assert_close(objective.linearized_terms, terms)
    torch.testing.assert_close(products.residual, residual)
    right, left = torch.randn(3, rows.shape[1], dtype=rows.dtype), torch.randn(3, len(rows), dtype=rows.dtype)
    torch.testing.assert_close(products.image(right), right @ rows.T, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(products.image(right[0]), rows @ right[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(products.transpose(left), left @ rows, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(products.transpose(left[0]), rows.T @ left[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("block", [factored.BLOCK, 50])
def test_the_gram_matrix_in_both_ways(name, block, monkeypatch):
    """Layers of 60 by 60 go by pairs of coefficients, the narrow ones by rows, some at a time."""
    monkeypatch.setattr(factored, "BLOCK", block)
    objective = objective_of(MODELS[name])
    _, rows = rows_of(objective)
    found = FactoredJacobian(objective).gram(torch.float64)
    torch.testing.assert_close(found, rows @ rows.T, rtol=1e-10, atol=1e-10 * float(rows.square().sum()))


@pytest.mark.parametrize("way", ["_add_pairs", "_add_rows"])
def test_each_way_alone_is_the_gram_matrix(way, monkeypatch):
    objective = objective_of(MODELS["plain"])
    _, rows = rows_of(objective)
    for name in ("_add_pairs", "_add_rows"):
        monkeypatch.setattr(FactoredJacobian, name, staticmethod(getattr(FactoredJacobian, way)))
    found = FactoredJacobian(objective).gram(torch.float64)
    torch.testing.assert_close(found, rows @ rows.T, rtol=1e-10, atol=1e-10)


def test_in_single_precision_the_gram_matrix_accumulates_in_double():
    objective = objective_of(MODELS["wide"], torch.float32)
    factors = FactoredJacobian(objective)
    found = factors.gram(torch.float64)
    assert factors.residual.dtype == torch.float32
    rows = factors.transpose(torch.eye(len(found))).double()
    assert torch.linalg.eigvalsh(found).min() > -1e-12 * found.diagonal().max()  # in float32 it is some -1e-7
    torch.testing.assert_close(found, rows @ rows.T, rtol=0, atol=1e-6 * float(found.diagonal().max()))


def test_memory_is_said_beforehand():
    objective = objective_of(MODELS["wide"])
    factors = FactoredJacobian(objective)
    kept = sum(8 * (g.numel() + a.numel()) for part in factors.parts for g, a in part.factors.values())
    assert kept <= bytes_of_factors(objective) <= 4 * kept


class Factorized(nn.Module):
    """A weight that is the product of two."""

    def __init__(self):
        super().__init__()
        self.left, self.right = (nn.Parameter(torch.randn(2, 3, dtype=torch.float64)) for _ in "ab")

    def forward(self, points):
        return torch.tanh(nn.functional.linear(points, self.left * self.right))


def test_weights_outside_linear_layers_have_no_factors():
    objective = objective_of(lambda problem: Factorized())
    residual, rows = rows_of(objective)
    with pytest.raises(NotFactored):
        FactoredJacobian(objective)
    products = GraphProducts(objective)
    torch.testing.assert_close(products.image(torch.ones(rows.shape[1], dtype=rows.dtype)), rows.sum(dim=1))
    torch.testing.assert_close(products.transpose(residual), rows.T @ residual)


class TwoBiases(nn.Module):
    """One matrix in two layers, each with a bias of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, dtype=torch.float64), nn.Linear(3, 3, dtype=torch.float64)
        self.second.weight = self.first.weight

    def forward(self, points):
        return self.second(torch.tanh(self.first(points)))[:, :2]


def test_a_matrix_in_two_layers_has_no_factors():
    with pytest.raises(NotFactored):
        FactoredJacobian(objective_of(lambda problem: TwoBiases()))


class Twice(nn.Module):
    """The same layer called twice."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, points):
        return self.layer(torch.tanh(self.layer(points)))[:, :2]


def test_a_layer_that_is_called_twice():
    objective = objective_of(lambda problem: Twice())
    _, rows = rows_of(objective)
    factors = FactoredJacobian(objective)
    some = torch.randn(rows.shape[1], dtype=rows.dtype)
    torch.testing.assert_close(factors.image(some), rows @ some)
    torch.testing.assert_close(factors.gram(torch.float64), rows @ rows.T)
