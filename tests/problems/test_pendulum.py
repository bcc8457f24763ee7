"""The pendulum: its readings have the noise that they should, and its swing loses what friction takes."""

import numpy as np
import pytest
import torch

from pinnedu import problems
from pinnedu.problems.pendulum import END, START, friction, swing


def test_energy_falls_by_the_work_of_friction():
    times = np.linspace(0, END, 2001)
    u, v = swing(friction, times)
    energy, work = v**2 / 2 - np.cos(u), friction(v) * v
    lost = np.concatenate([[0], np.cumsum((work[1:] + work[:-1]) / 2 * np.diff(times))])
    np.testing.assert_allclose(energy + lost, energy[0], atol=1e-4)
    assert (u[0], v[0]) == START


def test_without_friction_the_period_is_that_of_the_elliptic_integral():
    from scipy.special import ellipk

    period = 4 * ellipk(np.sin(0.5) ** 2)
    u, v = swing(lambda v: 0.0, np.array([0.0, period]), (1.0, 0.0))
    assert u[-1] == pytest.approx(1.0, abs=1e-5)
    assert v[-1] == pytest.approx(0.0, abs=1e-5)


def test_readings_scatter_around_the_swing():
    problem = problems.pendulum(friction, noise=0.02, seed=3)
    data = problem.conditions["readings"]
    left = data.values["u"].numpy() - swing(friction, data.where[:, 0].numpy())[0]
    assert left.std() == pytest.approx(0.02, rel=0.25)
    assert not torch.equal(data.values["u"], problems.pendulum(friction, seed=4).conditions["readings"].values["u"])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: problems.pendulum(3), "law must be a function"),
        (lambda: problems.pendulum(friction, noise=-1), "noise must be"),
        (lambda: swing(friction, "x"), "times"),
        (lambda: swing(friction, [0.0, 1.0], (1.0,)), "start must be"),
        (lambda: swing(lambda v: -10 * v**3, np.linspace(0, 10, 5), (1.0, 1.0)), "goes to infinity"),
    ],
)
def test_bad_input(call, said):
    with pytest.raises(ValueError, match=said):
        call()
