"""Tangent features, the matrix A, the linearized model, and the lemma of gradient descent."""

import copy
from math import pi

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, FourierFeatures, GaussNewton, GradientDescent, On, Points, Problem, fit
from pinnedu.problems import advection, burgers, heat, poisson
from pinnedu.theory import condition_number, fourier, kernels, operator, tangent

ENDS = {"left": torch.tensor([[-pi]]), "right": torch.tensor([[pi]])}


def nodes(problem, n=64):
    return problem.domain.quadrature(n, "midpoint")[0]


def flat(parts):
    return torch.cat([part.detach().reshape(-1) for part in parts])


# --- features and kernels


def test_features_are_the_gradients_of_the_outputs(decay):
    model = MLP(Problem(decay.domain, {}, fields=("u", "v")), hidden=(5,))
    points = decay.domain.grid(4)
    rows = [
        flat(torch.autograd.grad(model(points)[n, output], list(model.parameters()), allow_unused=True, materialize_grads=True))
        for output in (0, 1)
        for n in range(4)
    ]
    torch.testing.assert_close(tangent.features(model, points), torch.stack(rows))
    torch.testing.assert_close(tangent.kernel(model, points), torch.stack(rows) @ torch.stack(rows).T)


def test_kernel_of_a_problem_is_that_of_its_residuals(decay):
    model, points = MLP(decay, hidden=(4,)), decay.domain.grid(6)
    rows = [
        flat(torch.autograd.grad(decay.residuals(model, points)["decay"][n], list(model.parameters())))
        for n in range(6)
    ]
    torch.testing.assert_close(tangent.kernel(model, points, decay), torch.stack(rows) @ torch.stack(rows).T)


# --- the matrix A


@pytest.mark.parametrize(("K", "lam"), [(1, 1.0), (5, 3.0), (9, 0.2)])
def test_gram_of_the_fourier_model_is_the_matrix_of_the_formula(K, lam):
    problem = poisson()
    weights = {"poisson": 2 * pi, "left": lam / 2, "right": lam / 2}
    sample = {"interior": nodes(problem), **ENDS}
    A = tangent.gram(operator.fourier_model(K), problem, sample, weights)
    np.testing.assert_allclose(A, fourier.poisson(K, lam), atol=1e-14 * K**4 * 100)
    A = tangent.gram(operator.fourier_model(K, gamma=2.0), problem, sample, weights)
    np.testing.assert_allclose(A, fourier.precondition(fourier.poisson(K, lam), 2.0), atol=1e-11)
    assert condition_number(A) == pytest.approx(condition_number(fourier.precondition(fourier.poisson(K, lam), 2.0)))


def test_gram_is_the_hessian_of_the_loss_of_a_linear_model(decay):
    model = MLP(decay, hidden=(), embedding=FourierFeatures(torch.tensor([1.0, 2.0])))
    sample = decay.sample(Points(20, 1))
    shapes = {name: weight.shape for name, weight in model.named_parameters()}

    def loss(vector):
        parts = vector.split([shape.numel() for shape in shapes.values()])
        values = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

        class Bound(nn.Module):
            def forward(self, points):
                return torch.func.functional_call(model, values, (points,))

        found = decay.residuals(Bound(), sample)
        return 0.5 * found["decay"].square().mean() + 1.5 * found["start"].square().mean()

    hessian = torch.autograd.functional.hessian(loss, flat(list(model.parameters())))
    torch.testing.assert_close(tangent.gram(model, decay, sample, {"start": 3.0}), hessian, rtol=1e-10, atol=1e-12)


def test_gram_draws_points_and_takes_any_module(decay):
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))

        def forward(self, points):
            return self.a[0] * torch.exp(self.a[1] * points)

    A = tangent.gram(Mine(), decay, Points(10, 1))
    assert A.shape == (2, 2)
    assert torch.linalg.eigvalsh(A).min() > 0


def test_beam_gives_the_eighth_power():
    """The exercise of the chapter: four derivatives, the matrix diag(k^8) on the sines."""
    beam = Problem(Box(x=(0, pi)), {"beam": lambda u: u.xxxx}, {"left": On(x=0, equation=lambda u: u)})

    class Sines(nn.Module):
        out_features = 6

        def forward(self, points):
            return torch.sin(points @ torch.arange(1.0, 7.0, dtype=torch.float64)[None]) * (2 / pi) ** 0.5

    A = tangent.gram(tangent.LinearModel(Sines()), beam, nodes(beam), {"beam": pi})
    np.testing.assert_allclose(A, np.diag(np.arange(1.0, 7) ** 8), atol=1e-7)
    assert condition_number(A) == pytest.approx(6**8, rel=1e-8)


@pytest.mark.parametrize("problem", [heat(), advection(), poisson()])
def test_linear_problems_pass(problem):
    tangent.check_linear(problem)


@pytest.mark.parametrize("equation", [lambda u: u.t + u * u.t, lambda u: abs(u.t), lambda u: torch.sin(u)])
def test_nonlinear_problems_are_refused(equation):
    problem = Problem(Box(t=(0, 1)), {"law": equation})
    with pytest.raises(ValueError, match="'law' is not linear in u"):
        tangent.gram(MLP(problem), problem, problem.domain.grid(5))
    with pytest.raises(ValueError, match="not linear"):
        tangent.gram(MLP(burgers()), burgers(), Points(5, 2))


def test_bad_input(decay):
    model, points = MLP(decay), decay.domain.grid(3)
    inverse = Problem(Box(t=(0, 1)), {"law": lambda u, a: u.t + a * u}, unknowns={"a": 1.0})
    with pytest.raises(ValueError, match="The unknown 'a' multiplies fields"):
        tangent.gram(MLP(inverse), inverse, points)
    with pytest.raises(ValueError, match="weights names 'wall'"):
        tangent.gram(model, decay, points, {"wall": 1.0})
    with pytest.raises(ValueError, match="must not be negative"):
        tangent.gram(model, decay, points, {"decay": -1.0})
    with pytest.raises(ValueError, match="A Problem is needed"):
        tangent.gram(model, model, points)
    with pytest.raises(ValueError, match=r"A torch.nn.Module is needed"):
        tangent.kernel(lambda x: x, points)
    with pytest.raises(ValueError, match="nothing to train"):
        tangent.linearize(nn.Tanh())
    with pytest.raises(ValueError, match=r"shape \(N, d\)"):
        tangent.kernel(model, points[:, 0])
    with pytest.raises(ValueError, match="steps must be"):
        tangent.compare(model, decay, points, 0)
    with pytest.raises(ValueError, match="rate must lie"):
        tangent.compare(model, decay, points, 3, rate=1e6)
    with pytest.raises(ValueError, match="eps must be"):
        tangent.gauss_newton_preconditioner(-1.0)
    with pytest.raises(ValueError, match="singular"):  # one point cannot tell the Fourier modes apart
        condition_number(tangent.gram(operator.fourier_model(3), poisson(), torch.zeros(1, 1)))


# --- the linearized model


def test_linearized_model_is_the_first_taylor_polynomial():
    problem = poisson(2)
    model = MLP(problem, hidden=(7, 5))
    sample = problem.sample(Points(9, 1))
    line = tangent.linearize(model)
    assert [w.shape for w in line.moving] == [w.shape for w in model.parameters()]
    before, rows = problem.residuals(model, sample), tangent.jacobian(model, problem, sample)
    step = torch.randn(sum(w.numel() for w in line.moving), dtype=torch.float64)
    with torch.no_grad():
        for weight, part in zip(line.moving, step.split([w.numel() for w in line.moving]), strict=True):
            weight += part.view_as(weight)
    for engine in ("taylor", "autograd"):
        after = problem.residuals(line, sample, engine)
        for name in before:
            torch.testing.assert_close(after[name].detach(), before[name].detach() + rows[name][1] @ step)
    for name, (_, slope) in tangent.jacobian(line, problem, sample).items():
        torch.testing.assert_close(slope, rows[name][1])


def test_linearized_model_trains_and_keeps_its_start():
    problem = poisson()
    line = tangent.linearize(MLP(problem, hidden=(12,)))
    start = copy.deepcopy(line.start.state_dict())
    run = fit(line, problem, optimizer=GaussNewton(), steps=30, seed=1)
    assert run.error < 1e-3
    assert all(torch.equal(value, start[name]) for name, value in line.start.state_dict().items())


# --- drift and the lemma


def trained(width, one_sign, seed, steps=30, rate=0.1):
    """A wide network before and after some steps, from the zero function."""
    problem = poisson()
    sample = {"interior": nodes(problem, 24), **ENDS}
    after = kernels.WideNetwork(1, (width,), nn.SiLU(), bias=True, seed=seed)
    if one_sign:
        with torch.no_grad():
            after.layers[-1].weight.abs_()
    before, model = copy.deepcopy(after), kernels.Centered(after)
    step, objective = GradientDescent(rate).start(model), tangent.Objective(model, problem, sample)
    for _ in range(steps):
        step(objective)
    return before, after, problem, sample["interior"]


@pytest.mark.parametrize(("one_sign", "slope", "tolerance"), [(True, -0.5, 0.15), (False, -1.0, 0.25)])
def test_drift_falls_with_width(one_sign, slope, tolerance):
    widths = (64, 256, 1024)
    means = [
        np.mean([tangent.drift(b, a, x, p) for b, a, p, x in (trained(w, one_sign, s) for s in range(2))]) for w in widths
    ]
    assert np.polyfit(np.log(widths), np.log(means), 1)[0] == pytest.approx(slope, abs=tolerance)


def test_the_lemma_holds_at_every_step(decay):
    """thm-tk-lemma: and the weaker bound of its second half."""
    model = MLP(decay, hidden=(2,))
    sample = decay.sample(Points(40, 1))
    run = tangent.compare(model, decay, sample, 300)
    assert run.distance[-1] > 1e-6  # the two do differ
    assert (run.distance <= run.bound * (1 + 1e-9) + 1e-13).all()
    assert run.smallest > 0
    assert (run.distance[1:] <= np.maximum.accumulate(run.deviation) / run.smallest + 1e-13).all()
    assert run.loss[-1] < run.loss[0]
    # and it is no empty bound: here over half of it is used
    near = tangent.compare(kernels.WideNetwork(1, (4,), nn.SiLU(), bias=True, seed=1), decay, sample, 200, rate=0.1)
    assert (near.distance <= near.bound * (1 + 1e-9) + 1e-13).all()
    assert (near.distance[2:] / near.bound[2:]).max() > 0.6


def test_the_lemma_of_a_linear_model_is_zero():
    problem = poisson()
    sample = {"interior": nodes(problem), **ENDS}
    run = tangent.compare(operator.fourier_model(4), problem, sample, 500)
    assert run.distance.max() < 1e-12
    assert run.deviation.max() < 1e-12


def test_compare_returns_both_models(decay):
    model = MLP(decay, hidden=(3,))
    run = tangent.compare(model, decay, decay.sample(Points(20, 1)), 50)
    first, second = flat(run.model.parameters()), flat(run.linearized.moving)
    assert float(torch.linalg.norm(first - second)) == pytest.approx(run.distance[-1], rel=1e-9)
    assert not torch.equal(first, flat(model.parameters()))


# --- preconditioning


def test_newton_is_one_step_on_a_linear_model():
    problem = poisson(3)
    model = operator.fourier_model(5)
    newton = GradientDescent(lr=1.0, preconditioner=tangent.gauss_newton_preconditioner(0.0))
    run = fit(model, problem, optimizer=newton, steps=1, points=Points(64, 1, method="grid"))
    assert run.error < 1e-10


def test_preconditioned_direction_solves_the_damped_system(decay):
    model, sample = MLP(decay, hidden=(4,)), decay.sample(Points(20, 1))
    objective = tangent.Objective(model, decay, sample)
    gradient = torch.randn(sum(w.numel() for w in model.parameters()), dtype=torch.float64)
    direction = tangent.gauss_newton_preconditioner(1e-2)(objective, gradient)
    A = tangent.gram(model, decay, sample)
    torch.testing.assert_close(A @ direction + 1e-2 * direction, gradient)


def test_preconditioner_names_a_singular_matrix(decay):
    model, sample = MLP(decay, hidden=(30,)), decay.sample(Points(3, 1))
    with pytest.raises(ValueError, match="singular to rounding"):
        tangent.gauss_newton_preconditioner(0.0)(tangent.Objective(model, decay, sample), torch.zeros(91, dtype=torch.float64))
