"""Every rule of a jet against nested autograd, to all mixed derivatives up to order 4; and what a jet is."""

from __future__ import annotations

from itertools import product
from math import factorial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pinnedu.derivatives import Laplacian, nested_autograd, taylor
from pinnedu.derivatives.jet import RULES, Jet, NoRule, Plan

POINTS = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
ORDERS = [order for order in product(range(5), repeat=2) if sum(order) <= 4]
REQUESTS = [(output, what) for output in (0, 1) for what in [*ORDERS, Laplacian((0, 1)), Laplacian((1,))]]
MIX = torch.tensor([[0.7, -0.4], [0.3, 0.9]], dtype=torch.float64)
OTHER = 1 + torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Applied(nn.Module):
    """A function of h, a smooth positive quantity that all derivatives of which differ from zero."""

    def __init__(self, on_tensors, on_jets=None):
        super().__init__()
        self.on_tensors, self.on_jets = on_tensors, on_jets or on_tensors

    def forward(self, points):
        h = torch.exp(F.linear(points, 0.5 * MIX))
        return (self.on_jets if isinstance(points, Jet) else self.on_tensors)(h)


def assert_agree(model, requests=REQUESTS, tolerance=1e-11):
    expected = nested_autograd(model, POINTS, requests)
    got = taylor(model, POINTS, requests)
    for request in requests:
        scale = expected[request].abs().max() + 1e-3
        assert got[request].shape == expected[request].shape
        assert (got[request] - expected[request]).abs().max() <= tolerance * scale, request


def both(function):
    """A rule of two arguments: of two jets, of a jet and a tensor, and of a jet and a number."""
    return lambda h: (
        function(h, 2 - h[:, [1, 0]] * 0.1) + function(h, OTHER) * function(OTHER, h) + function(h, 1.5)
    )


def legacy(name):
    """A method of tensors that Python calls by an operator, with the operand on the left second."""
    return getattr(torch.Tensor, f"__{name}__", None)


def in_place(name):
    return lambda h: getattr(OTHER.clone(), f"__{name}__")(h)


# What to call on tensors, and what of h to give it; jets go to RULES[name] with the same arguments.
ELEMENTWISE = {
    "neg": torch.neg, "negative": torch.negative, "positive": torch.positive,
    "square": torch.square, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt, "reciprocal": torch.reciprocal,
    "exp": torch.exp, "log": torch.log, "log1p": torch.log1p, "expm1": torch.expm1,
    "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu, "softplus": F.softplus,
    "sin": torch.sin, "cos": torch.cos, "tan": torch.tan, "sinh": torch.sinh, "cosh": torch.cosh,
    "arctan": torch.arctan, "atan": torch.atan, "erf": torch.erf,
    "relu": F.relu, "abs": torch.abs, "leaky_relu": F.leaky_relu,
    "clone": torch.clone, "contiguous": torch.Tensor.contiguous, "double": torch.Tensor.double,
}  # fmt: skip
ARGUMENTS = {
    "linear": (F.linear, lambda h: (h, MIX, OTHER[0])),
    "matmul": (torch.matmul, lambda h: (h, MIX)),
    "mm": (torch.mm, lambda h: (h, MIX)),
    "float_power": (torch.float_power, lambda h: (h, 2.5)),
    "reshape": (torch.reshape, lambda h: (h, (6, 2))),
    "view": (torch.Tensor.view, lambda h: (h, 6, 2)),
    "flatten": (torch.flatten, lambda h: (h, 1)),
    "transpose": (lambda h, *dims: h.unsqueeze(1).transpose(*dims)[:, :, 0], lambda h: (h, 1, 2)),
    "expand": (lambda h, *shape: h[:, :1].expand(*shape), lambda h: (h, -1, 2)),
    "narrow": (lambda h, *where: h * h.narrow(*where), lambda h: (h, 1, 1, 1)),
    "to": (torch.Tensor.to, lambda h: (h, torch.float64)),
}
# Written as a user writes them: the operator, the method or the module must find its rule.
AS_WRITTEN = {
    "operators": lambda h: (3 - h) * 2 / (1 + h) - h**3 / 4 + (-h) * (h - 0.5) + 2 / h + 2**h + h @ MIX + abs(h - 1),
    "tensor operators": lambda h: (OTHER - h) * (OTHER / h) + OTHER * h - (OTHER + h),
    "in place on a tensor": lambda h: in_place("iadd")(h) + in_place("isub")(h) * in_place("imul")(h),
    "powers": lambda h: h**0 + h**1 + h**5 + h**-2 + h**0.5 + h**h + 2.0**h,
    "methods": lambda h: h.sin() + h.exp().log().tanh() + h.square().sqrt() + h.pow(3) + h.add(1).mul(h).sub(2).div(h),
    "alpha": lambda h: torch.add(h, h.sin(), alpha=2) + torch.sub(h, 1.0, alpha=3) * torch.add(OTHER, h, alpha=4),
    "broadcasting": lambda h: F.linear((h[:, :1] + OTHER) * (h[:, 1:] - h), MIX) + (h[:, :1] + OTHER[0])[:, [1, 0]],
    "indexing": lambda h: torch.stack([h[:, 0] * h[..., 1], h[:, -1]], dim=1) + h[:, [1, 0]],
    "cat": lambda h: torch.cat([h[:, :1], OTHER[:, :1], h[:, 1:] ** 2], dim=1)[:, 1:],
    "cat's synonyms": lambda h: torch.concat([h[:, 1:], h[:, :1]], 1) * torch.concatenate([h[:, :1], h[:, 1:]], 1),
    "stack": lambda h: torch.stack([h[:, 0], OTHER[:, 0] * h[:, 1]], dim=1),
    "unbind": lambda h: torch.stack([a * b for a, b in zip(h.unbind(1), (h**2).unbind(dim=1), strict=True)], dim=1),
    "split and chunk": lambda h: torch.cat([*h.split(1, dim=1)[::-1]], 1) * torch.cat([*torch.chunk(h, 2, dim=1)], 1),
    "sums": lambda h: h.sum(dim=1, keepdim=True) * h + h.mean(dim=1, keepdim=True) - h.unsqueeze(2).squeeze(2),
    "shape": lambda h: h.permute(0, 1).view(h.size(0), -1) * h.dim() * h.shape[1] * len(h),
    "division": lambda h: torch.div(h, h + 1) + torch.true_divide(1 + h, h) + torch.divide(h, 3) + torch.subtract(h, 1),
    "modules": lambda h: nn.Sequential(nn.Tanh(), nn.SiLU(), nn.GELU(), nn.Sigmoid(), nn.Softplus(beta=2))(h),
    "gelu by tanh": lambda h: F.gelu(h, approximate="tanh"),
    "select": lambda h: h.select(1, 0).unsqueeze(1) * h,
    "choices": lambda h: torch.where(h > 1, h**2, torch.where(h < 0.9, 3.0, OTHER * h)) * (h >= 0.8) + (h <= 1.1) * h
    + (h * h).where(h > 1, h**3),
    "equality": lambda h: (h == h) * h + (h != 1.0) * h**2 + h * torch.eq(h, 0.0),
    "comparison functions": lambda h: h * (torch.gt(h, 1) ^ h.ge(0.9)) + h * (torch.lt(h, 1.1) ^ h.le(0.95)) + torch.ne(h, 0) * h,
    "comparisons by their long names": lambda h: h * (torch.greater(h, 1) ^ torch.greater_equal(h, 0.9))
    + h**2 * (torch.less(h, 1) ^ torch.less_equal(h, 0.9)) * torch.not_equal(h, 1) * torch.isfinite(h) * ~torch.isnan(h),
    "steps": lambda h: h * (torch.floor(3 * h) + torch.ceil(2 * h) + torch.round(4 * h) + torch.trunc(5 * h) + torch.sign(h - 1)),
    "remainders": lambda h: (h % 0.3) * torch.remainder(h, 0.7) + torch.fmod(-h, 0.4),
    "bounds": lambda h: torch.clamp(h, 0.9, 1.1) + h.clamp(min=1) * torch.clip(h, max=1.05) + torch.maximum(h, 2 - h)
    + torch.minimum(h, OTHER) * torch.maximum(OTHER - 0.5, h),
    "constants like it": lambda h: h * torch.ones_like(h) + torch.zeros_like(h) + torch.full_like(h, 2) * h * h.detach(),
    "unary plus": lambda h: +h,
    "axis in place of dim": lambda h: torch.cat([h, h**2], axis=1)[:, ::2] + h.sum(axis=1, keepdim=True),
    "boolean masks": lambda h: h[:, torch.tensor([True, False])] * h,
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_rules(name):
    assert_agree(Applied(lambda h: ELEMENTWISE[name](h - 0.05), lambda h: RULES[name](h - 0.05)))


@pytest.mark.parametrize("name", ["relu", "abs", "leaky_relu", "silu", "softplus"])
def test_rules_on_both_sides_of_zero(name):
    assert_agree(Applied(lambda h: ELEMENTWISE[name](h - 1.02), lambda h: RULES[name](h - 1.02)))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_rules_with_arguments(name):
    function, arguments = ARGUMENTS[name]
    direct = name not in ("transpose", "expand", "narrow")  # these need a shape of their own first
    on_jets = (lambda h: RULES[name](*arguments(h))) if direct else None
    assert_agree(Applied(lambda h: function(*arguments(h)), on_jets or (lambda h: function(*arguments(h)))))


@pytest.mark.parametrize("name", AS_WRITTEN)
def test_expressions_as_written(name):
    assert_agree(Applied(AS_WRITTEN[name]))


@pytest.mark.parametrize("function", [torch.add, torch.sub, torch.mul, torch.div, torch.pow])
def test_binary_rules_of_jets_tensors_and_numbers(function):
    if function is torch.pow:
        assert_agree(Applied(lambda h: torch.pow(h, h) + torch.pow(h, 1.5) + torch.pow(h, 3) + torch.pow(1.5, h)))
    else:
        assert_agree(Applied(both(function)))


def test_integer_powers_are_exact_at_zero():
    """The recurrence of a power divides by the value; products do not."""
    zero = torch.zeros(3, 2, dtype=torch.float64)

    class Power(nn.Module):
        def forward(self, points):
            return points**4

    values = taylor(Power(), zero, [(0, (k, 0)) for k in range(6)])
    assert [float(value.max()) for value in values.values()] == [0, 0, 0, 0, factorial(4), 0]


@pytest.mark.parametrize(
    "function",
    [lambda x: x**9, lambda x: abs(x) ** 2.5, lambda x: abs(x) ** 3.5, torch.abs, lambda x: x**2.0, lambda x: x**12, torch.relu],
)  # fmt: skip
def test_powers_and_kinks_at_zero_are_as_autograd_has_them(function):
    points = torch.tensor([[0.0, 0.3], [0.0, 0.0], [-0.4, 0.0], [0.7, -0.2]], dtype=torch.float64)

    class Model(nn.Module):
        def forward(self, points):
            return function(points)

    requests = [(i, (j, k)) for i in (0, 1) for j in range(3) for k in range(3 - j)] + [(0, Laplacian((0, 1)))]
    found, expected = taylor(Model(), points, requests), nested_autograd(Model(), points, requests)
    for request in requests:
        torch.testing.assert_close(found[request], expected[request], rtol=1e-12, atol=1e-14)


def test_a_tape_is_handed_on_and_belongs_to_one_jet():
    tape = []
    plan = Plan.of(frozenset([(1, 0)]), 2)
    jet, other = Jet.seed(POINTS, plan, tape), Jet.seed(POINTS, plan)
    for made in (jet + 1, 2 * torch.sin(jet), jet[:, :1], torch.cat([jet, OTHER], 1), jet**2.5, jet.unbind(1)[0], abs(jet)):
        assert made.tape is tape
    assert F.linear(other, MIX).tape is None
    assert tape == []
    F.linear(jet, MIX)
    assert [call.weight is MIX for call in tape] == [True]


def test_no_rule_is_without_a_test(monkeypatch):
    used = set()

    def recorded(name, rule):
        def apply(*args, **kwargs):
            used.add(name)
            return rule(*args, **kwargs)

        return apply

    rules = dict(RULES)
    operators = [name for name in RULES if hasattr(Jet, f"__{name}__")]
    for name, rule in rules.items():
        monkeypatch.setitem(RULES, name, recorded(name, rule))
    for name in operators:
        monkeypatch.setattr(Jet, f"__{name}__", RULES[name])
    jet = Jet.seed(POINTS, Plan.of(frozenset([(1, 0)]), 2)) + 1.5
    for name in ELEMENTWISE:
        RULES[name](jet)
    for name, (_, arguments) in ARGUMENTS.items():
        RULES[name](*arguments(jet.unsqueeze(1) if name == "transpose" else jet))
    for expression in AS_WRITTEN.values():
        expression(jet)
    both(torch.multiply)(jet)
    _ = jet // 0.2 + torch.floor_divide(jet, 0.2)  # which autograd does not know
    # Names that torch and Python reach by others (a += b arrives as add), or that change a tensor's type.
    never_asked_for = {"iadd", "isub", "imul", "itruediv", "rdiv", "rmatmul", "rtruediv", "float", "pos"}  # fmt: skip
    same = {rule for name, rule in rules.items() if name in used}
    assert {name for name, rule in rules.items() if rule not in same} - never_asked_for == set()


# --- what is differentiated again: gradients and gradients of gradients


@pytest.mark.parametrize("name", ["tanh", "exp", "sin", "cos", "sinh", "cosh"])
def test_rules_are_differentiable_twice_by_weights(name):
    weight = (0.3 * MIX).requires_grad_()
    requests = [(0, (2, 1)), (1, (0, 2)), (1, Laplacian((0, 1)))]

    class Model(nn.Module):
        def forward(self, points):
            return getattr(torch, name)(F.linear(torch.sin(F.linear(points, weight)), weight))

    found = []
    for engine in (taylor, nested_autograd):
        loss = sum(value.square().sum() for value in engine(Model(), POINTS, requests).values())
        (first,) = torch.autograd.grad(loss, weight, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), weight)
        found.append((loss, first, second))
    for got, expected in zip(*found, strict=True):
        assert torch.allclose(got, expected, rtol=1e-10)


def test_rules_go_through_torch_func():
    def u_xx(weight, points):
        class Model(nn.Module):
            def forward(self, inputs):
                return torch.tanh(F.linear(torch.sin(F.linear(inputs, weight)), weight))

        return taylor(Model(), points, [(0, (2, 0))])[0, (2, 0)].sum()

    by_func = torch.func.grad(u_xx)(0.3 * MIX, POINTS)
    weight = (0.3 * MIX).requires_grad_()
    assert torch.allclose(by_func, torch.autograd.grad(u_xx(weight, POINTS), weight)[0], rtol=1e-12)


# --- plans


def test_a_plan_keeps_what_lies_below_and_nothing_else():
    plan = Plan.of(frozenset([(2, 0), (1, 1)]), 2)
    assert set(plan.indices) == {(0, 0), (1, 0), (0, 1), (2, 0), (1, 1)}
    assert plan.indices[0] == (0, 0)


@pytest.mark.parametrize("dim", [1, 3, 30])
def test_a_laplacian_costs_one_coefficient_beyond_the_gradient(dim):
    assert len(Plan.of(frozenset([Laplacian(tuple(range(dim)))]), dim).indices) == 1 + dim + 1


def test_the_product_rule_of_a_plan_is_the_binomial_theorem():
    plan = Plan.of(frozenset([(5,)]), 1)
    power = [torch.ones(1, 1), torch.ones(1, 1), *[None] * 4]  # 1 + s
    jet = Jet(power, plan)
    for _ in range(4):
        jet = jet * Jet(power, plan)
    assert [float(c) for c in jet.coefficients] == [1, 5, 10, 10, 5, 1]


# --- what has no rule


def test_an_operation_without_a_rule_is_named():
    jet = Jet.seed(POINTS, Plan.of(frozenset([(1, 0)]), 2))
    for operation, name in ((lambda: torch.cumsum(jet, 1), "cumsum"), (lambda: jet.cumprod(1), "cumprod")):
        with pytest.raises(NoRule, match=name):
            operation()
    for operation in (lambda: torch.pow(jet, OTHER), lambda: torch.matmul(jet, jet)):
        with pytest.raises(NoRule):
            operation()


def test_what_a_jet_does_not_have_is_refused_when_it_is_read():
    """Not when it is called: an attribute that a model decides by would pass for true."""
    jet = Jet.seed(POINTS, Plan.of(frozenset([(1, 0)]), 2))
    for name in ("requires_grad", "is_cuda", "T", "_version", "_sin"):
        with pytest.raises(NoRule, match=f"^{name}$"):
            getattr(jet, name)
    for name in ("__array_interface__", "__sin__"):  # Python and NumPy ask by hasattr
        assert not hasattr(jet, name)


# --- Python's own protocols, and changes in place


def sum_of_squares(h):
    total = torch.zeros_like(h[:, :1])
    for i in range(h.shape[1]):
        total += h[:, i : i + 1] ** 2
    return torch.cat([total, h[:, 1:]], dim=1)


def aliased(h):
    before = h * 2
    h = before
    h += 1
    h *= 0.5
    h -= OTHER
    return torch.sin(before) * h


def assigned(h):
    h = h * 1
    h[:, 0] = 2 * h[:, 1]
    return h**2


def column_in_place(h):
    h = h * 1
    h[:, :1].mul_(3)
    return h


def base_after_view(h):
    h = h * 1
    column = h[:, :1]
    h.add_(1)
    return h * column


def in_place_functions(h):
    h = h * 1
    torch.sin_(h)
    h.add_(1).pow_(2)
    F.relu(h, inplace=True)
    return h


class Own(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


ODD = {
    "sum of squares": sum_of_squares,
    "aliased": aliased,
    "in-place functions": in_place_functions,
    "in-place modules": lambda h: nn.LeakyReLU(inplace=True)(h - 1.02),
    "a number that decides": lambda h: h**2 if h.sum() > 0 else h,
    "length": lambda h: h * len(h),
}
FALLS_BACK = {
    "item assignment": assigned,
    "a column changed in place": column_in_place,
    "a changed base": base_after_view,
    "float": lambda h: h * float(h[0, 0].detach() if isinstance(h, torch.Tensor) else h[0, 0]),
    "bool": lambda h: h**2 if bool(h[0, 0]) else h,
    "iteration": lambda h: torch.stack([row * row.sum() for row in h]),
    "sort": lambda h: torch.sort(h, dim=1).values ** 2,
    "max": lambda h: h.max(dim=1, keepdim=True).values * h,
    "transposed": lambda h: (MIX @ h.T).T ** 2,
    "einsum": lambda h: torch.einsum("ni,ij->nj", h, MIX) ** 2,
    "masked": lambda h: h.masked_fill(h > 1, 0.5) ** 2,
    "an attribute of tensors": lambda h: h**2 * h.element_size(),
    "own function": lambda h: Own.apply(h * torch.ones((), requires_grad=True)),
    "a keyword": lambda h: torch.sum(input=h, dim=1, keepdim=True) * h,
    "what only a tensor is": lambda h: h**2 if isinstance(h, torch.Tensor) else torch.as_tensor(h),
    "a bound that depends on the inputs": lambda h: torch.clamp(h, min=1.9 - h) ** 2,
    "shapes": lambda h: h.view_as(OTHER) ** 2,
}


@pytest.mark.parametrize("name", ODD)
def test_odd_modules_by_rules(name):
    assert_agree(Applied(ODD[name]))


@pytest.mark.parametrize("name", FALLS_BACK)
def test_odd_modules_fall_back_with_a_warning(name):
    with pytest.warns(UserWarning, match="nested autograd is used for this model"):
        assert_agree(Applied(FALLS_BACK[name]))


@pytest.mark.parametrize("function", [lambda h: (h // 0.2) * h, lambda h: torch.floor_divide(h, 0.2) * h])
def test_floor_division_is_constant_piece_by_piece(function):
    """Autograd of torch has no derivative for it."""
    model = Applied(lambda h: torch.floor(h / 0.2) * h, function)
    assert_agree(model)


def test_a_remainder_by_what_depends_on_the_inputs_has_no_rule():
    jet = Jet.seed(POINTS, Plan.of(frozenset([(1, 0)]), 2))
    for operation in (lambda: 2.5 % jet, lambda: jet % jet, lambda: torch.fmod(jet, jet), lambda: 2 // jet):
        with pytest.raises(NoRule):
            operation()


def test_a_mean_over_all_points_is_a_number_for_each_of_them():
    """Finite differences agree: one point more or less does not move it."""

    class Centred(nn.Module):
        def forward(self, points):
            h = torch.sin(points)
            return h - h.mean()

    assert torch.allclose(taylor(Centred(), POINTS, [(0, (1, 0))])[0, (1, 0)], torch.cos(POINTS[:, 0]), rtol=1e-14)


def test_rows_of_a_jet_are_rows_of_all_its_coefficients():
    """The slopes of the points themselves are one row for all points: a selection of rows gives each its own."""
    plan = Plan.of(frozenset({(1, 0), (0, 1)}), 2)
    for index in (slice(1, 3), (slice(1, 3), slice(None)), [4, 0]):
        some = Jet.seed(POINTS, plan)[index]
        assert torch.equal(some.value, POINTS[index])
        for order, slope in (((1, 0), [1.0, 0.0]), ((0, 1), [0.0, 1.0])):
            assert torch.equal(some.derivative(order), torch.tensor([slope, slope], dtype=torch.float64))
    column = Jet.seed(POINTS, plan)[:, 1]
    assert column.coefficients[1].shape == (1,), "a column of all points keeps the one row"
    assert torch.equal(column.derivative((0, 1)), torch.ones(6, dtype=torch.float64))
