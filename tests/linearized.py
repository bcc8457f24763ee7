"""Problems and models whose Jacobian is tested, and the Jacobian by its definition."""

from __future__ import annotations

import torch
from torch import nn

from pinnedu import MLP, Box, Observed, On, Periodic, Problem
from pinnedu.parameters import trainable_parameters

BOX = Box(x=(0, 1), t=(0, 1))
MEASURED = torch.rand(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

HEAT = Problem(
    BOX,
    {"heat": lambda u: u.t - u.xx + u**2},
    {"initial": On(t=0, equation=lambda u, x: u - torch.sin(x)), "flux": On(x=1, equation=lambda u: u.x + u)},
)
PERIODIC = Problem(BOX, {"wave": lambda u: u.t + u.x}, {"around": Periodic("x"), "start": On(t=0, equation=lambda u: u)})
FLOW = Problem(
    BOX,
    {
        "momentum": lambda u, v, nu: (u.t + u * u.x - nu * u.laplacian(), v.t + u * v.x - nu * v.xx),
        "mass": lambda u, v: u.x + v.t,
    },
    {"data": Observed(MEASURED, u=MEASURED[:, 0], v=MEASURED[:, 1]), "left": On(x=0, equation=lambda u, nu: nu * u)},
    fields=("u", "v"),
    unknowns={"nu": 0.3},
)
THIRD = Problem(BOX, {"kdv": lambda u: u.t + 6 * u * u.x + u.xxx})


class Twice(nn.Module):
    """One hidden layer used twice in a pass, and a last layer without bias."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 4, dtype=torch.float64)
        self.hidden = nn.Linear(4, 4, dtype=torch.float64)
        self.last = nn.Linear(4, 1, bias=False, dtype=torch.float64)

    def forward(self, points):
        values = torch.tanh(self.first(points))
        for _ in range(2):
            values = torch.tanh(self.hidden(values))
        return self.last(values)


def mlp(problem, **options):
    model = MLP(problem, hidden=(5, 4), **options)
    if problem.unknowns:
        model.unknowns = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(value, dtype=torch.float64)) for name, value in problem.unknowns.items()}
        )
    return model


def one_by_one(model, problem, sample, derivatives="autograd"):
    """The definition: a backward pass for each residual, of nested autograd if not of another engine."""
    weights = list(trainable_parameters(model).values())
    found = {}
    for name, residual in problem.residuals(model, sample, derivatives).items():
        rows = [
            torch.autograd.grad(r, weights, retain_graph=True, allow_unused=True, materialize_grads=True)
            for r in residual
        ]
        found[name] = residual.detach(), torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])
    return found
