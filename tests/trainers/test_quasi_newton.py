"""Self-scaled Broyden: quadratics, the secant equation, digits on the heat equation."""

import pytest
import torch

from pinnedu import LBFGS, MLP, Box, Points, Problem, SelfScaledBroyden, fit, problems
from pinnedu.trainers import Objective
from pinnedu.trainers.quasi_newton import _Broyden

POINTS = Points(300, 40, "sobol")


def test_more_digits_than_lbfgs_from_the_same_start():
    problem = problems.heat()
    runs = [
        fit(MLP(problem, (8, 8)), problem, optimizer=o, steps=200, points=Points(150, 30, "sobol"), seed=0, progress=False)
        for o in (SelfScaledBroyden(), LBFGS())
    ]
    assert runs[0].error < 3e-4
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


def test_one_weight_is_solved():
    problem = Problem(Box(x=(0, 1)), {"e": lambda u: torch.exp(u) - 2})

    class One(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.value = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, points):
            return 0 * points + self.value

    model = One()
    fit(model, problem, optimizer=SelfScaledBroyden(), steps=20, points=Points(3), seed=0, progress=False)
    assert float(model.value.detach()) == pytest.approx(0.6931471805599453, rel=1e-8)


def test_weights_of_the_loss_that_change_in_place_are_seen():
    torch.manual_seed(0)
    problem = problems.heat()
    model = MLP(problem, (4,))
    objective = Objective(model, problem, problem.sample(Points(30, 5)))
    step = SelfScaledBroyden().start(model)
    for _ in range(3):
        step(objective)
    objective.loss_weights["left"] = 1000.0
    start = float(objective.loss().detach())
    step(objective)
    assert step.loss_before == pytest.approx(start, rel=1e-12)
    assert float(objective.loss().detach()) < start
