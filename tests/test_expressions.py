"""Derivatives of expressions against an oracle that differentiates the whole expression by nested autograd."""

from __future__ import annotations

import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pinnedu import MLP, Box, GaussNewton, On, Problem, fit
from pinnedu.derivatives import hutchinson
from pinnedu.jacobian import jacobian

POINTS = 0.2 + torch.rand(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
TABLE = torch.linspace(0, 1, 5, dtype=torch.float64)
NETWORK = nn.Sequential(nn.Linear(2, 4, dtype=torch.float64), nn.Tanh(), nn.Linear(4, 1, dtype=torch.float64))
for weight in NETWORK.parameters():
    weight.requires_grad_(False).copy_(torch.sin(torch.arange(weight.numel()).double() + 1).view_as(weight))


class Graph:
    """A tensor that was computed from points (N, 2): each derivative is one more backward pass."""

    def __init__(self, tensor, points):
        self.tensor, self.points = tensor, points

    def d(self, *names):
        tensor = self.tensor
        for name in names:
            (gradient,) = torch.autograd.grad(
                tensor.sum(), self.points, create_graph=True, allow_unused=True, materialize_grads=True
            )
            tensor = gradient[:, "xy".index(name)]
        return Graph(tensor, self.points)

    def __getattr__(self, name):
        if name == "shape":
            return self.tensor.shape
        return self.d(*name)

    def laplacian(self, *names):
        return Graph(sum(self.d(name, name).tensor for name in names or "xy"), self.points)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        own = next(item for item in (*args, *(args[0] if isinstance(args[0], list | tuple) else ())) if isinstance(item, Graph))
        strip = lambda item: item.tensor if isinstance(item, Graph) else item
        args = [list(map(strip, item)) if isinstance(item, list | tuple) else strip(item) for item in args]
        return Graph(function(*args, **(kwargs or {})), own.points)


def both_sides(function):
    def apply(self, *others):
        return Graph(function(self.tensor, *(o.tensor if isinstance(o, Graph) else o for o in others)), self.points)

    def swapped(self, other):
        return Graph(function(other, self.tensor), self.points)

    return apply, swapped


for _name in "add sub mul truediv pow mod".split():
    _apply, _swapped = both_sides(getattr(operator, _name))
    setattr(Graph, f"__{_name}__", _apply)
    setattr(Graph, f"__r{_name}__", _swapped)
for _name in "neg pos abs getitem".split():
    setattr(Graph, f"__{_name}__", both_sides(getattr(operator, _name))[0])
for _name in "lt gt le ge".split():  # constant piece by piece
    setattr(Graph, f"__{_name}__", lambda a, b, apply=both_sides(getattr(operator, _name))[0]: apply(a, b).tensor)  # noqa: B008

EXPRESSIONS = {
    "conservation form": lambda u, v, x, y, k, points: ((1 + u) * u.x).x,
    "of a power": lambda u, v, x, y, k, points: (u + u**2 / 2).xx,
    "coefficient of x": lambda u, v, x, y, k, points: (torch.exp(x) * u.x).x,
    "div k grad": lambda u, v, x, y, k, points: (k * (1 + x * y) * u.x).x + (k * (1 + x * y) * u.y).y,
    "p-Laplace": lambda u, v, x, y, k, points: sum(
        ((0.1 + u.x**2 + u.y**2) ** 0.5 * g).d(name) for g, name in ((u.x, "x"), (u.y, "y"))
    ),
    "minimal surface": lambda u, v, x, y, k, points: (u.x / torch.sqrt(1 + u.x**2 + u.y**2)).x
    + (u.y / torch.sqrt(1 + u.x**2 + u.y**2)).y,
    "third order": lambda u, v, x, y, k, points: (torch.sin(k * u) * v).xyx,
    "fourth order": lambda u, v, x, y, k, points: ((1 + x**2) * u.xx).xx - (u * v).xxyy,
    "nested": lambda u, v, x, y, k, points: (u * (torch.exp(y) * (v * u.x).x).y).x,
    "of one derivative after the other": lambda u, v, x, y, k, points: (u * v).x.y.x,
    "Laplacian": lambda u, v, x, y, k, points: (u**3).laplacian() + (v * u.x).laplacian("y"),
    "biharmonic": lambda u, v, x, y, k, points: u.laplacian().laplacian() + (x * u.laplacian()).laplacian(),
    "Laplacian of a derivative": lambda u, v, x, y, k, points: (u * v).x.laplacian() + u.y.laplacian().x,
    "of the coordinates alone": lambda u, v, x, y, k, points: torch.tanh(k * x * y).xy * u + x.x * v + y.x,
    "elementary functions": lambda u, v, x, y, k, points: (
        torch.log(2 + torch.cos(u)) * torch.atan(v) + torch.sigmoid(x) / torch.cosh(u) + 2**v + torch.erf(u * y)
    ).xy,
    "choices": lambda u, v, x, y, k, points: (torch.where(x > 0.6, 2.0, k) * u.x).x
    + torch.where(u > v, u**2, v * x).y
    + torch.maximum(u, v).x
    + torch.clamp(u, -0.3, 0.3).x
    + (abs(u) * (x % 0.3)).x,
    "signs": lambda u, v, x, y, k, points: (-(u * v)).x + (-u.x * +v).x - (1 - u).y,
    "all coordinates at once": lambda u, v, x, y, k, points: (torch.sum(points**2, dim=1) * u.x).x + (points[:, 1] * v).y,
    "norm of a gradient": lambda u, v, x, y, k, points: torch.sqrt(torch.sum(torch.stack([u.x, u.y]) ** 2, dim=0)).x,
    "a table of numbers": lambda u, v, x, y, k, points: (sum(c * x**i for i, c in enumerate(TABLE)) * u).xx,
}


class Waves(nn.Module):
    """u and v in closed form, with a weight so that there is a gradient."""

    def __init__(self, a, b):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([a, b], dtype=torch.float64))

    def forward(self, points):
        x, y = points[:, 0], points[:, 1]
        a, b = self.weight[0], self.weight[1]
        return torch.stack([torch.sin(a * x + y) * torch.exp(b * y), torch.cos(x * y - b * x) + 0.2 * x], dim=1)


def problem(equation, **options):
    return Problem(Box(x=(0, 2), y=(0, 2)), {"e": equation}, fields=("u", "v"), unknowns={"k": 1.3}, **options)


def residual(equation, model, engine="taylor", points=POINTS):
    return problem(equation).residuals(model, points, engine)["e"]


def oracle(equation, model):
    points = POINTS.clone().requires_grad_()
    outputs = model(points)
    arguments = {"u": outputs[:, 0], "v": outputs[:, 1], "x": points[:, 0], "y": points[:, 1], "points": points}
    graphs = {name: Graph(tensor, points) for name, tensor in arguments.items()}
    return equation(k=torch.tensor(1.3, dtype=torch.float64), **graphs).tensor


def close(got, expected, tolerance=1e-10):
    return bool(((got - expected).abs() <= tolerance * (1 + expected.abs().max())).all())


numbers = st.floats(-1.5, 1.5).filter(lambda a: abs(a) > 0.1)


@pytest.mark.parametrize("name", EXPRESSIONS)
@settings(max_examples=5)
@given(a=numbers, b=numbers)
def test_expressions_and_their_gradients_agree_with_autograd(name, a, b):
    model = Waves(a, b)
    expected = oracle(EXPRESSIONS[name], model)
    (gradient,) = torch.autograd.grad(expected.square().sum(), model.weight)
    for engine in ("taylor", "autograd"):
        got = residual(EXPRESSIONS[name], model, engine)
        assert close(got, expected)
        assert close(torch.autograd.grad(got.square().sum(), model.weight)[0], gradient, 1e-9)


@given(st.lists(st.sampled_from("xy"), min_size=1, max_size=4), st.lists(numbers, min_size=3, max_size=3), numbers, numbers)
@settings(max_examples=15)
def test_any_order_of_a_random_polynomial(letters, c, a, b):
    def equation(u, v, x, y, k, points):
        return (c[0] * u * v + c[1] * x * u**2 + c[2] * torch.exp(k * y) * v.x).d(*letters)

    model = Waves(a, b)
    assert close(residual(equation, model), oracle(equation, model))


@pytest.mark.parametrize("name", ["conservation form", "div k grad", "Laplacian", "choices"])
def test_other_engines(name):
    model = Waves(0.9, -0.4)
    expected = oracle(EXPRESSIONS[name], model)
    assert close(residual(EXPRESSIONS[name], model, "finite-differences"), expected, 1e-5)
    if name != "Laplacian":  # which is drawn at random; all else is exact
        assert close(residual(EXPRESSIONS[name], model, hutchinson(2)), expected)


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("method", ["layers", "func"])
def test_the_jacobian_is_exact(name, method):
    model = MLP(problem(EXPRESSIONS[name]), (5,))
    model.unknowns = nn.ParameterDict({"k": nn.Parameter(torch.tensor(1.3, dtype=torch.float64))})
    own = problem(EXPRESSIONS[name])
    got, rows = jacobian(model, own, POINTS, method=method)["e"]
    expected = own.residuals(model, POINTS)["e"]
    weights = list(model.parameters())
    each = [torch.autograd.grad(one, weights, retain_graph=True, materialize_grads=True, allow_unused=True) for one in expected]
    assert close(got, expected)
    assert close(rows, torch.stack([torch.cat([g.flatten() for g in row]) for row in each]))


def test_case_of_a_nonlinear_conductivity():
    """((1 + u) u_x)_x = 0 has the solution sqrt(1 + 3 x) - 1, as has the equation by the product rule."""
    errors = {}
    for name, form in {
        "product rule": lambda u: (1 + u) * u.xx + u.x**2,
        "conservation form": lambda u: ((1 + u) * u.x).x,
        "of a power": lambda u: (u + u**2 / 2).xx,
    }.items():
        conductor = Problem(
            Box(x=(0, 1)),
            {"flux": form},
            {"left": On(x=0, equation=lambda u: u), "right": On(x=1, equation=lambda u: u - 1)},
            exact=lambda x: torch.sqrt(1 + 3 * x) - 1,
        )
        errors[name] = fit(MLP(conductor, (8,)), conductor, optimizer=GaussNewton(), steps=25, seed=0, progress=False).error
    assert max(errors.values()) < 1e-4


def test_a_plain_equation_asks_for_nothing_more():
    plain = problem(lambda u, v, x: u.y + u * u.x - torch.sin(x) * u.xx)
    plain.residuals(Waves(1.0, 0.5), POINTS)
    assert plain._requests["interior"] == {(0, (0, 1)), (0, (0, 0)), (0, (1, 0)), (0, (2, 0))}


# --- what an expression is besides


def evaluated(equation, **options):
    return residual(equation, Waves(0.9, -0.4), **options)


VALUES = Waves(0.9, -0.4)(POINTS).detach()


@pytest.mark.parametrize(
    ("equation", "expected"),
    [
        (lambda u, x: np.interp(x, [0, 2], [1, 3]) * u, (1 + POINTS[:, 0]) * VALUES[:, 0]),
        (lambda u, x: u - np.interp(x, [0, 2], [1, 3]), VALUES[:, 0] - (1 + POINTS[:, 0])),
        (lambda u, x: u * np.sin(x), VALUES[:, 0] * POINTS[:, 0].sin()),
        (lambda u, x: np.float64(2) * u + np.exp(u), 2 * VALUES[:, 0] + VALUES[:, 0].exp()),
        (lambda u, x: np.where(x > 1, 2.0, 3.0) * u, torch.where(POINTS[:, 0] > 1, 2.0, 3.0) * VALUES[:, 0]),
        (lambda u, x: torch.as_tensor(np.asarray(x)) + torch.as_tensor(x) * u, POINTS[:, 0] * (1 + VALUES[:, 0])),
        (lambda u, points: u * np.linalg.norm(points, axis=1), VALUES[:, 0] * POINTS.norm(dim=1)),
        (lambda u, v: torch.where(u == v, 0.0, u), VALUES[:, 0]),
        (lambda u, v: (u != v) * u, VALUES[:, 0]),
        (lambda u, v: (u * v).clamp(min=0).sqrt(), (VALUES[:, 0] * VALUES[:, 1]).clamp(min=0).sqrt()),
        (lambda u, v: (u - u.mean()) / len(u), (VALUES[:, 0] - VALUES[:, 0].mean()) / 9),
        (lambda u: [u, 2 * u], torch.cat([VALUES[:, 0], 2 * VALUES[:, 0]])),
        (lambda u: u * 1.0 if hasattr(u, "shape") and not hasattr(u, "nothing") else -u, VALUES[:, 0]),
        (lambda u: torch.zeros(u.shape, dtype=u.dtype, device=u.device) + u, VALUES[:, 0]),
        (lambda u, k: u if k > 1 and float(k) > 1 else -u, VALUES[:, 0]),
        (lambda u, x: torch.cat(list(torch.split(u * 1, 5))), VALUES[:, 0]),
    ],
)
def test_as_a_tensor(equation, expected):
    got = evaluated(equation)
    assert got.dtype == torch.float64
    assert torch.allclose(got, expected, rtol=1e-14)


def changed_in_place(u, x):
    r = 2 * u
    r[x > 1] = 0
    return r


def test_a_change_in_place():
    assert torch.equal(evaluated(changed_in_place), torch.where(POINTS[:, 0] > 1, 0, 2 * VALUES[:, 0]))


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        (lambda u: np.interp(u, [0, 1], [0, 1]), "u cannot become an array of numbers, which would lose the gradient"),
        (lambda u, x: (np.interp(x, [0, 1], [0, 1]) * u).x, "not known as a function of the coordinates"),
        (lambda u: torch.as_tensor(u), "u cannot become an array of numbers"),
        (lambda u: (2 * u).q, r"the expression\.q is not a derivative: the coordinates are x, y"),
        (lambda u: u.t, r"u\.t is not a derivative: the coordinates are x, y"),
        (lambda u: (2 * u).t, r"the expression\.t is not a derivative"),
        (lambda u: (2 * u).d("z"), "the expression is differentiated by 'z', but the coordinates are x, y"),
        (lambda u: torch.cumsum(u, 0).x, "An expression with 'cumsum' cannot be differentiated: write its derivative out"),
        (lambda u: (2 * u).mean().x, "A number that is the same at all points, such as a mean over them, has no derivative"),
        (lambda u: u[::2].x, "does not have one value for each point"),
        (lambda u, x: (torch.where(x > 0.5, 1.0, 4.0) * u.x).x, "between two materials, give each side a field of its own"),
        (lambda u, x: changed_in_place(u, x).x, "changed in place cannot be differentiated: choose values by torch.where"),
        (lambda u: u if u else -u, "Boolean value of Tensor with more than one value is ambiguous"),
    ],
)
def test_what_cannot_be_done_is_said(equation, message):
    with pytest.raises(ValueError, match=message):
        evaluated(equation)


@pytest.mark.parametrize(
    "coefficient",
    [
        lambda x: torch.where(x > 0.5, 1, 4),
        lambda x: torch.where(x > 0.5, torch.ones_like(x), 4 * torch.ones_like(x)),
        lambda x: torch.where(x > 0.5, 1.0, torch.full_like(x, 4.0)),
        lambda x: torch.where(x > 0.5, 1j, 2j),
        lambda x: 1 + 3 * (x < 0.5),
        lambda x: (x > 0.2) & (x < 0.4),
        lambda x: (x < 0.5).long(),
        lambda x: (x < 0.5).to(x.dtype),
        lambda x: torch.tensor([1.0, 4.0], dtype=torch.float64)[(x > 0.5).long()],
        lambda x: 2.5 + 1.5 * torch.sign(x - 0.5),
        lambda x: 1 + torch.floor(2 * x),
        lambda x: x.detach(),
    ],
)
def test_a_jump_is_never_differentiated_silently(coefficient):
    with pytest.raises(ValueError, match="give each side a field of its own: a jump has no derivative"):
        evaluated(lambda u, x: (coefficient(x) * u.x).x)
    assert evaluated(lambda u, x: coefficient(x) * u.x).abs().max() > 0  # not differentiated it is a number as others are


@pytest.mark.parametrize(
    ("coefficient", "slope"),
    [
        (lambda x: 3 * torch.ones_like(x) + torch.zeros_like(x), 0.0),
        (lambda x: torch.full_like(x, 2.0) * x, 2.0),
        (lambda x: torch.where(x > 0.5, x, 0.5), (POINTS[:, 0] > 0.5).double()),
        (lambda x: torch.where(x > 0.5, x * torch.ones_like(x), 0.5), (POINTS[:, 0] > 0.5).double()),
    ],
)
def test_what_does_not_jump_is_differentiated(coefficient, slope):
    difference = evaluated(lambda u, x: (coefficient(x) * u).x - coefficient(x) * u.x)
    assert torch.allclose(difference, slope * VALUES[:, 0], rtol=1e-13)


def test_a_network_of_the_coordinates_as_a_coefficient():
    def equation(u, points):
        return (NETWORK(points)[:, 0] * u.x).x

    def by_hand(points):
        k = Graph(NETWORK(points)[:, 0], points)
        u = Graph(Waves(0.9, -0.4)(points)[:, 0], points)
        return (k * u.x).x.tensor

    assert close(evaluated(equation), by_hand(POINTS.clone().requires_grad_()))


def test_names_of_several_letters():
    named = Problem(
        Box(x1=(0, 2), x2=(0, 2)),
        {"e": lambda u, x1: (x1 * u.x1).x2 + (u**2).x1x1 + u.x1x2 + (u * u).d("x2", "x2")},
        fields=("u", "v"),
    )
    model = Waves(0.9, -0.4)
    expected = oracle(lambda u, v, x, y, k, points: (x * u.x).y + (u**2).xx + u.xy + (u * u).yy, model)
    assert close(named.residuals(model, POINTS)["e"], expected)


def test_names_that_can_be_split_in_two_ways_are_not_guessed():
    named = Problem(Box(a1=(0, 2), b=(0, 2), a1b=(0, 2)), {"e": lambda u: u.a1ba1})
    with pytest.raises(ValueError, match=r"u\.a1ba1 is not a derivative.*u\.d\(\"a1\"\)"):
        named.residuals(nn.Linear(3, 1, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64))
