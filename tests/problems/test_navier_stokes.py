"""The wake: the equations hold for a flow that solves them, and their parameters are found from its velocities."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from pinnedu import MLP, GaussNewton, PeriodicEmbedding, Points, fit
from pinnedu.data import cylinder_wake
from pinnedu.problems import navier_stokes
from pinnedu.problems.navier_stokes import TRUTH


class TaylorGreen(nn.Module):
    """Decaying vortices, an exact solution: psi = sin x sin y exp(-2 nu t), p = (cos 2x + cos 2y) exp(-4 nu t) / 4."""

    def forward(self, points):
        x, y, t = points.unbind(dim=1)
        nu = TRUTH["lambda_2"]
        psi = torch.sin(x) * torch.sin(y) * torch.exp(-2 * nu * t)
        p = (torch.cos(2 * x) + torch.cos(2 * y)) / 4 * torch.exp(-4 * nu * t)
        return torch.stack([psi, p], dim=1)


def test_an_exact_solution_has_no_residual():
    points = np.array([[2.0, 0.5, 1.0], [5.0, -1.0, 9.0], [7.5, 1.9, 19.0]])
    flow = navier_stokes(points, np.zeros((3, 2)))
    flow = type(flow)(flow.domain, flow.equations, fields=flow.fields, unknowns=TRUTH, derived=flow.derived)
    for residual in flow.residuals(TaylorGreen(), torch.as_tensor(points)).values():
        assert float(residual.abs().max()) < 1e-12


def test_parameters_are_found_in_the_wake():
    """A shorter run than the chapter's: the parameters come near, from velocities alone."""
    flow = navier_stokes(*cylinder_wake().sample(5000, seed=0))
    model = MLP(flow, hidden=(16, 16, 16), embedding=PeriodicEmbedding(flow.domain, {"t": 6.0}, t=1))
    run = fit(
        model, flow, optimizer=GaussNewton(momentum=0.9), steps=50, points=Points(500, {"data": 500}, resample=1),
        weights={"data": 10}, seed=0, progress=False,
    )  # fmt: skip
    assert abs(run.history["lambda_1"][-20:].mean() - 1) < 0.05
    assert abs(run.history["lambda_2"][-20:].mean() - 0.01) < 0.004
    assert abs(model.embedding.period("t") - 5.9) < 0.03
