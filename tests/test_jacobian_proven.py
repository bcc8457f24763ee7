"""Each way to a Jacobian is held against plain reverse mode: it is right, or it is not taken, or it is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from linearized import BOX, HEAT, PERIODIC, mlp, one_by_one
from torch import nn

import pinnedu.jacobian
from pinnedu import MLP, Box, Observed, On, PeriodicEmbedding, Points, Problem
from pinnedu.jacobian import _close, _Plain, jacobian


class Anchored(nn.Module):
    """A layer called on jets and on a plain tensor: net(x) - net(0)."""

    def __init__(self):
        super().__init__()
        self.net = mlp(HEAT)

    def forward(self, points):
        return self.net(points) - self.net(torch.zeros(1, 2, dtype=points.dtype))


class Mixing(nn.Module):
    """Each value has the mean of all taken off: rows see each other inside the model."""

    def __init__(self):
        super().__init__()
        self.net = mlp(HEAT)

    def forward(self, points):
        values = self.net(points)
        return values - values.mean(dim=0, keepdim=True)


class Buffered(nn.Module):
    """A buffer takes part, and what it was called on is kept in another."""

    def __init__(self):
        super().__init__()
        self.net = mlp(HEAT)
        self.register_buffer("scale", torch.tensor(1.7, dtype=torch.float64))

    def forward(self, points):
        return self.scale * self.net(points) * self.net(torch.full((1, 2), 0.3, dtype=points.dtype))


def shared():
    """Two layers with one weight."""
    model = MLP(HEAT, hidden=(4, 4, 4))
    model.layers[2].weight = model.layers[1].weight
    return model


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


ANY = {"plain": lambda: mlp(HEAT), "anchored": Anchored, "rows": Mixing, "buffer": Buffered, "shared": shared}
# Of the model, what vanishes in the interior: each with another kind of dependence.
EQUATIONS = {
    "local": lambda model: lambda u: u.t - u.xx + u**2,
    "mean over the points": lambda model: lambda u, x: u.t - u.value.mean() * torch.sin(x),
    "largest of the points": lambda model: lambda u: u.x - u.value.max(),
    "integral": lambda model: lambda u: u.t + model(NODES).mean() * u,
    "delay": lambda model: lambda u, points: u.t - model(points - 0.1)[:, 0],
    "reflection": lambda model: lambda u, points: u.x + model(1 - points)[:, 0] ** 2,
    "custom function": lambda model: lambda u: Cube.apply(u.value) + u.x,
}
NODES = torch.rand(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("equation", EQUATIONS)
@pytest.mark.parametrize("make", ANY)
def test_any_dependence_has_its_exact_jacobian(make, equation):
    torch.manual_seed(0)
    model = ANY[make]()
    problem = Problem(BOX, {"e": EQUATIONS[equation](model)}, {"left": On(x=0, equation=lambda u: u.x + u)})
    sample = problem.sample(Points(9, 4), generator=torch.Generator().manual_seed(0))
    # By the engine that trains: nested autograd has other derivatives where the model itself mixes its rows.
    found, defined = jacobian(model, problem, sample), one_by_one(model, problem, sample, "taylor")
    for name, (residual, rows) in defined.items():
        assert torch.allclose(found[name][0], residual, rtol=1e-10, atol=1e-12)
        assert torch.allclose(found[name][1], rows, rtol=1e-9, atol=1e-10 * float(rows.abs().max()) + 1e-13)
        assert not found[name][1].requires_grad


def test_an_equation_without_the_model_has_a_jacobian_of_zeros():
    problem = Problem(BOX, {"given": lambda x: torch.sin(x)})
    for model in (mlp(HEAT), Anchored(), Mixing()):
        residual, rows = jacobian(model, problem, BOX.sample(6))["given"]
        assert residual.abs().max() > 0
        assert rows.shape == (6, sum(weight.numel() for weight in model.parameters()))
        assert not rows.any()


def proven(model, problem, points):
    kept = {}
    jacobian(model, problem, points, proven=kept)
    return {name: way for name, (_, way) in kept.items()}


def test_the_fastest_way_that_is_right_is_taken_for_each_set():
    model = mlp(HEAT)
    integral = On(x=0, equation=lambda u: u + model(NODES).mean())
    mean = On(t=0, equation=lambda u: u - u.value.mean())
    problem = Problem(BOX, {"heat": lambda u: u.t - u.xx}, {"mean": mean, "sum": integral})
    assert proven(model, problem, problem.sample(Points(6, 4))) == {"interior": "layers", "mean": "rows", "sum": "func"}
    assert proven(Anchored(), HEAT, BOX.sample(6)) == {"interior": "func"}
    assert proven(Mixing(), HEAT, BOX.sample(6)) == {"interior": "rows"}


def test_where_residuals_vanish_a_wrong_jacobian_is_seen_too():
    model = Anchored()
    problem = Problem(BOX, {"zero": lambda u: u - u.value.detach()})
    points = BOX.sample(5, "uniform")
    found, defined = jacobian(model, problem, points)["zero"], one_by_one(model, problem, {"interior": points})["zero"]
    assert float(found[0].abs().max()) == 0
    assert torch.allclose(found[1], defined[1], rtol=1e-10, atol=1e-12)


def test_pairs_of_points_that_agree_but_for_rounding_keep_the_fast_way():
    model = mlp(PERIODIC, embedding=PeriodicEmbedding(BOX, x=2))
    assert proven(model, PERIODIC, {"around": PERIODIC.sample(Points(6, 4))["around"]}) == {"around": "layers"}


def test_an_integral_that_vanishes_but_for_rounding_has_its_jacobian():
    """A network without biases is odd, and so its integral is rounding alone: there is nothing to say about that."""
    box = Box(x=(-1, 1))
    nodes, shares = box.quadrature(20)
    model = MLP(Problem(box, {"e": lambda u: u}), hidden=(6,))
    problem = Problem(box, {"integral": lambda u: 0 * u + shares @ model(nodes)[:, 0]})
    _, rows = jacobian(model, problem, box.sample(3))["integral"]
    assert torch.allclose(rows[:, -1], torch.full((3,), 2.0, dtype=torch.float64))  # by the last bias: the length of the box
    assert float(rows[:, :6].abs().max()) < 1e-12


@pytest.mark.parametrize("method", ["layers", "func"])
def test_a_way_that_is_asked_for_and_wrong_is_refused(method):
    with pytest.raises(ValueError, match=f"'heat' has another Jacobian than method='{method}' finds"):
        jacobian(Mixing(), HEAT, BOX.sample(6), method=method)


def test_a_chunk_does_not_change_what_a_residual_is():
    model = mlp(HEAT)
    problem = Problem(BOX, {"e": lambda u: u - u.value.mean()})
    points = BOX.sample(8, "uniform")
    assert torch.allclose(jacobian(model, problem, points, chunk=3)["e"][1], jacobian(model, problem, points)["e"][1])


def test_random_residuals_are_refused_by_name():
    model = nn.Sequential(nn.Linear(2, 5, dtype=torch.float64), nn.Dropout(0.5), nn.Linear(5, 1, dtype=torch.float64))
    problem = Problem(BOX, {"noisy": lambda u: u})
    points = BOX.sample(6)
    with pytest.warns(UserWarning, match="dropout"), pytest.raises(ValueError, match=r"'noisy' has no Jacobian, since .* change"):
        jacobian(model, problem, points)
    model.eval()
    assert jacobian(model, problem, points)["noisy"][1].shape == (6, 21)


def test_a_backward_pass_that_is_not_linear_is_refused_by_name():
    class Signs(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values.clone()

        @staticmethod
        def backward(ctx, gradient):
            return torch.sign(gradient)

    problem = Problem(BOX, {"clipped": lambda u: Signs.apply(u.value) * 2})
    with pytest.raises(ValueError, match="'clipped' has no Jacobian: the gradient of a sum"):
        jacobian(mlp(HEAT), problem, BOX.sample(6))


def test_two_threads_take_jacobians_of_their_own_models():
    models, points = [mlp(HEAT), mlp(HEAT)], BOX.sample(50)
    alone = [jacobian(model, HEAT, points)["heat"][1] for model in models]

    def work(i):
        return all(torch.equal(jacobian(models[i], HEAT, points)["heat"][1], alone[i]) for _ in range(40))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, range(2))) == [True, True]
def test_a_problem_without_equations():
    """The interior has points and no residuals: a regression."""
    box = Box(x=(0, 1))
    problem = Problem(box, {}, {"data": Observed(box.grid(5), u=torch.arange(5.0, dtype=torch.float64))})
    model = MLP(problem, hidden=(3,))
    for method in ("auto", "layers"):
        ((name, (residual, rows)),) = jacobian(model, problem, problem.sample(Points(4)), method=method).items()
        assert (name, len(residual), rows.shape) == ("data", 5, (5, 10))


def test_an_equation_in_which_weights_have_no_say_has_a_jacobian_of_zeros():
    problem = Problem(Box(x=(0, 1)), {"given": lambda x: x - 2, "other": lambda u: u.x})
    model, points = MLP(problem, (3,)), torch.tensor([[0.25], [0.5]], dtype=torch.float64)
    for method in ("layers", "rows", "auto"):
        residual, rows = jacobian(model, problem, points, method=method)["given"]
        assert residual.tolist() == [-1.75, -1.5]
        assert torch.equal(rows, torch.zeros(2, 10, dtype=torch.float64))


def test_row_by_row_a_weight_without_a_say_has_zeros():
    """u.x does not see the last bias; every other column is that of the other ways."""
    problem = Problem(Box(x=(0, 1)), {"slope": lambda u: u.x})
    model, points = MLP(problem, (3,)), torch.tensor([[0.25], [0.5]], dtype=torch.float64)
    found, expected = (jacobian(model, problem, points, method=method)["slope"][1] for method in ("rows", "layers"))
    assert found.shape == (2, 10)
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[:, -1], torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("count", [1, 6])
def test_a_gradient_that_is_not_finite_says_nothing_about_how_small_another_may_be(count):
    """A root at 0 has an infinite slope: the other equation is small beside 1, but not so small that any slope would do.

    By torch.func both are pulled back together, and the slopes of both are no numbers: row by row they are right.
    """
    model = mlp(HEAT)
    tiny, broken = lambda u: 1e-16 * (u - model(NODES).mean()), lambda u: torch.sqrt(u - u.value.detach())
    problem = Problem(BOX, {"tiny": tiny, "broken": broken})
    assert proven(model, problem, BOX.sample(count)) == {"interior": "rows"}


def test_what_was_proven_for_points_of_one_shape_is_not_compared_again(monkeypatch):
    model, points, kept = Anchored(), BOX.sample(6), {}
    first = jacobian(model, HEAT, points, proven=kept)["heat"][1]

    class Compared(Exception):
        pass

    def compared(*args):
        raise Compared

    monkeypatch.setattr(pinnedu.jacobian, "_Plain", compared)
    assert torch.equal(jacobian(model, HEAT, points, proven=kept)["heat"][1], first)
    with pytest.raises(Compared):
        jacobian(model, HEAT, BOX.sample(7), proven=kept)


def test_an_operation_that_torch_func_does_not_know_is_refused_by_method():
    problem = Problem(BOX, {"cube": EQUATIONS["custom function"](None)})
    with pytest.raises(ValueError, match=r"^An operation of .* is unknown to torch\.func: use method='rows'\.$"):
        jacobian(mlp(HEAT), problem, BOX.sample(4), method="func")


def test_rounding_is_half_of_the_digits():
    one = torch.ones(2, dtype=torch.float64)
    assert _close(one + 1e-9, one, one.max())
    assert not _close(one + torch.tensor([0, 1e-7]), one, one.max())
    assert not _close(one + 1e-9, one, 1e-3 * one.max())
    assert _close(one + 1e-9, one, 1e-3 * one.max(), noise=1e-9)


def test_a_residual_that_vanishes_may_be_what_rounding_of_the_weights_makes_of_it():
    """u - 1 with u = 1, a weight: 0 here and 1e-14 there are the same, 1e-9 is not, nor is another slope."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.Parameter(torch.ones(2, dtype=torch.float64))

        def forward(self, points):
            return 0 * points[:, :1] + self.weights[1]

    plain = _Plain(Two(), Problem(BOX, {"e": lambda u: u - 1}), {"interior": BOX.sample(1)})
    rows = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    found = [plain.same("e", torch.tensor([r], dtype=torch.float64), rows) for r in (0, 1e-14, 1e-9)]
    assert found == [True, True, False]
    assert not plain.same("e", torch.tensor([1e-14], dtype=torch.float64), 1.001 * rows)
