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


FLAT, STEEP = (4.0, 3.0, 0.0), (3.0, 4.0, 0.0)
UPDATES = {  # whether H is known, y, k; block and tau as worked out by hand from the equations of the paper
    "in between, b = 3/4, theta = 1/3": (True, FLAT, 3.0, 1 / (4 * 19**0.5), 4 / 19**0.5),
    "in between, b = 5/4, theta = -1/5": (True, FLAT, 5.0, 25 / (4 * 5680**0.5), 0.8 * (80 / 71) ** 0.5),
    "largest, b = 1/4, theta = 1": (True, FLAT, 1.0, 1 / 20, 4 / 5),
    "smallest, b = 2, theta = -13/32": (True, STEEP, 6.0, 36 / 25, 5 / 18),
    "the first": (False, STEEP, 6.0, 2 / 25, 5.0),
}


@pytest.mark.parametrize("case", UPDATES)
def test_the_update_is_that_of_the_paper(case):
    """From H = 1, s = (k, 0, 0): s s^T / (y s), block * w w^T for w across y, and 1 / tau across both."""
    known, y, k, block, tau = UPDATES[case]
    one = torch.eye(3, dtype=torch.float64)
    s, y = k * one[0], torch.tensor(y, dtype=torch.float64)
    state = _Broyden(SelfScaledBroyden(), torch.nn.Linear(1, 1))
    state.inverse = one.clone() if known else None
    state.update(s, y, -2 * s, 0.5)  # half a step along the gradient
    across, last = torch.stack([y[1], -y[0], y[2]]), one[2]
    expected = block * across.outer(across) + last.outer(last) / tau + s.outer(s) / (y @ s)
    torch.testing.assert_close(state.inverse, expected, rtol=1e-12, atol=1e-14)


def test_a_step_along_which_the_slope_does_not_rise_changes_nothing():
    state = _Broyden(SelfScaledBroyden(), torch.nn.Linear(1, 1))
    s = torch.tensor([1.0, 0.0], dtype=torch.float64)
    for y in ([0.0, 1.0], [-1.0, 1.0]):
        state.update(s, torch.tensor(y, dtype=torch.float64), -s, 1.0)
        assert state.inverse is None


def test_the_options_by_default():
    assert SelfScaledBroyden() == SelfScaledBroyden(c1=1e-4, c2=0.9, resample=500)


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
