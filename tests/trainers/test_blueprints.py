"""A model that is built again from words and numbers is the same model, once it has its weights."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, FourierFeatures, HardConstraint, ModifiedMLP, Networks, PeriodicEmbedding, Problem
from pinnedu.trainers.blueprints import blueprint, built
from pinnedu.trainers.composite import Corrected, Piecewise

BOX = Box(x=(0, 1), t=(-1, 2))
OF_X = Box(x=(0, 1))
WIDER = Box(x=(-3, 4), t=(0, 5))
PROBLEM = Problem(BOX, {"heat": lambda u, k: u.t - (k * u.x).x}, fields=("u", "k"))
WHERE = BOX.sample(20, generator=torch.Generator().manual_seed(0))


def joined():
    whole = Piecewise(1)
    for start in (-1.0, 0.5):
        whole.append(start, MLP(PROBLEM, (3,)))
    return whole


MODELS = {
    "plain": lambda: MLP(PROBLEM, (5, 4), "silu"),
    "linear": lambda: MLP(PROBLEM, ()),
    "factorized": lambda: MLP(PROBLEM, (5,), factorized=True),
    "modified": lambda: ModifiedMLP(PROBLEM, (4, 4)),
    "Fourier features": lambda: MLP(PROBLEM, (4,), embedding=FourierFeatures.gaussian(2, 3, 1.0)),
    "periods": lambda: MLP(PROBLEM, (4,), embedding=PeriodicEmbedding(BOX, x=2, t=1)),
    "a period to be found": lambda: MLP(PROBLEM, (4,), embedding=PeriodicEmbedding(BOX, {"x": 2.0}, x=2, t=1)),
    "periods of another box": lambda: MLP(PROBLEM, (4,), embedding=PeriodicEmbedding(WIDER, scale=3, x=1)),
    "networks": lambda: Networks(u=MLP(PROBLEM, (5,)), k=MLP(PROBLEM, (4,), inputs=("x",))),
    "networks, features": lambda: Networks(
        u=MLP(PROBLEM, (5,)), k=MLP(PROBLEM, (4,), inputs=("x",), embedding=FourierFeatures(torch.ones(3, 1)))
    ),
    "networks, a period": lambda: Networks(
        u=MLP(PROBLEM, (5,)), k=MLP(PROBLEM, (4,), inputs=("x",), embedding=PeriodicEmbedding(OF_X, x=2))
    ),
    "networks, modified": lambda: Networks(u=MLP(PROBLEM, (5,)), k=ModifiedMLP(PROBLEM, (4,), inputs=("x",))),
    "corrected": lambda: Corrected(MLP(PROBLEM, (3,)), ModifiedMLP(PROBLEM, (4,))),
    "windows": joined,
}


def rebuilt(plan, model):
    again = built(json.loads(json.dumps(plan)), PROBLEM)
    again.load_state_dict(model.state_dict())
    return again


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_built_again(name):
    model = MODELS[name]()
    again = rebuilt(blueprint(model), model)
    assert type(again) is type(model)
    assert torch.equal(again(WHERE), model(WHERE))


@pytest.mark.parametrize("name", MODELS)
def test_a_blueprint_does_not_say_where_in_the_package_a_class_is(name):
    assert "pinnedu" not in json.dumps(blueprint(MODELS[name]()))


def test_files_of_earlier_versions_have_fewer_words():
    model = MODELS["a period to be found"]()
    plan = blueprint(model)
    for word in ("inputs", "fields"):
        del plan[word]
    del plan["embedding"]["lengths"]
    assert torch.equal(rebuilt(plan, model)(WHERE), model(WHERE))


@pytest.mark.parametrize(
    "build",
    [
        lambda: HardConstraint(MLP(PROBLEM, (3,)), PROBLEM, u=lambda u, t: t * u),
        lambda: MLP(PROBLEM, (3,), nn.ReLU),
        lambda: MLP(PROBLEM, (3,), embedding=nn.Linear(2, 4, dtype=torch.float64)),
        lambda: Networks(PROBLEM, u=MLP(PROBLEM, (3,)), k=nn.Linear(2, 1, dtype=torch.float64)),
        lambda: Networks(u=MLP(PROBLEM, (3,)), k=MLP(PROBLEM, (3,)), functions=[nn.Linear(1, 1)]),
        lambda: Corrected(MLP(PROBLEM, (3,)), nn.Linear(2, 2)),
        lambda: nn.Linear(2, 2),
    ],
)
def test_what_is_not_pinnedus_own_has_no_blueprint(build):
    assert blueprint(build()) is None
    assert built(None, PROBLEM) is None
