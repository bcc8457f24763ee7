"""Self-scaled Broyden: quadratics, the secant equation, digits on the heat equation."""

import pytest
import torch

from pinnedu import LBFGS, MLP, Points, SelfScaledBroyden, fit, problems
from pinnedu.trainers.quasi_newton import _Broyden

POINTS = Points(300, 40, "sobol")


def test_more_digits_than_lbfgs_from_the_same_start():
    problem = problems.heat()
    runs = [
        fit(MLP(problem, (12, 12)), problem, optimizer=o, steps=400, points=POINTS, seed=0, progress=False)
        for o in (SelfScaledBroyden(), LBFGS())
    ]
    assert runs[0].error < 3e-5
    assert runs[0].loss < 0.2 * runs[1].loss


def test_loss_never_rises_between_draws():
    problem = problems.heat()
    run = fit(
        MLP(problem, (8,)), problem, optimizer=SelfScaledBroyden(resample=30), steps=60, points=POINTS, seed=0,
        progress=False,
    )  # fmt: skip
    loss = run.history["loss"]
    rises = [step for step in range(1, 60) if loss[step] > loss[step - 1]]
    assert set(rises) <= {30}


def test_the_inverse_hessian_stays_positive_and_meets_the_secant_equation():
    generator = torch.Generator().manual_seed(0)
    size = 6
    root = torch.randn(size, size, dtype=torch.float64, generator=generator)
    hessian = root @ root.T + torch.eye(size, dtype=torch.float64)
    state = _Broyden(SelfScaledBroyden(), torch.nn.Linear(1, 1))
    for _ in range(8):
        s = torch.randn(size, dtype=torch.float64, generator=generator)
        H = torch.eye(size, dtype=torch.float64) if state.inverse is None else state.inverse
        gradient = -torch.linalg.solve(H, s)  # s is the full step from here
        y = hessian @ s
        state.update(s, y, gradient, 1.0)
        torch.testing.assert_close(state.inverse @ y, s)
        assert torch.linalg.eigvalsh(state.inverse).min() > 0


def test_bad_options():
    with pytest.raises(ValueError, match="0 < c1 < c2 < 1"):
        SelfScaledBroyden(c1=0.9, c2=0.1)
