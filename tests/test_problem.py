"""Problems: what an equation is given, what residuals are, and what is said about bad ones."""

from __future__ import annotations

from functools import partial
from math import pi

import numpy as np
import pytest
import torch
from torch import nn

from pinnedu import MLP, Box, Observed, On, Periodic, Points, Problem
from pinnedu.derivatives import nested_autograd

BOX = Box(x=(0, 2), t=(0, 1))
X = torch.tensor([[0.0, 0.0], [1.0, 0.5], [2.0, 1.0]], dtype=torch.float64)


@pytest.fixture
def square(closed_form):
    """u = x^2 t + 3 t, so u_x = 2 x t, u_xx = 2 t, u_t = x^2 + 3."""
    return closed_form(lambda x, t: x**2 * t + 3 * t)


def residual(model, points=X, **equation):
    """The residual of one equation on the box."""
    ((name, function),) = equation.items()
    return Problem(BOX, {name: function}).residuals(model, points, "autograd")[name]


# --- what an equation is given


def test_an_equation_is_the_pde(square):
    x, t = X.unbind(1)
    assert torch.allclose(residual(square, pde=lambda u: u.t - u.xx), x**2 + 3 - 2 * t, atol=1e-14)


def test_arguments_are_found_by_name_in_any_order(square):
    x, t = X.unbind(1)
    expected = (x**2 + 3) * 10 * t + x
    assert torch.allclose(residual(square, pde=lambda x, t, u: u.t * 10 * t + x), expected)
    assert torch.allclose(residual(square, pde=lambda u, t, x: u.t * 10 * t + x), expected)

    def with_constants(u, x, t, speed=10.0):
        return speed * u.t * t + x

    def with_settings(x, u, t, *, speed):
        return speed * u.t * t + x

    assert torch.allclose(residual(square, pde=with_constants), expected)
    assert torch.allclose(residual(square, pde=partial(with_settings, speed=10.0)), expected)


def test_an_equation_may_ask_for_values_alone_or_for_no_field(square):
    x, t = X.unbind(1)
    assert torch.allclose(residual(square, fits=lambda u: u), x**2 * t + 3 * t)
    assert torch.allclose(residual(square, fits=lambda x, t: x - t), x - t)


def test_an_equation_may_have_several_parts(square):
    x, t = X.unbind(1)
    parts = residual(square, pde=lambda u: (u.x, u.t))
    assert torch.allclose(parts, torch.cat([2 * x * t, x**2 + 3]))


def test_fields_are_the_outputs_in_order(closed_form):
    model = closed_form(lambda x, t: x, lambda x, t: t**2, lambda x, t: x * t)
    problem = Problem(BOX, {"a": lambda p, u: p.x - u.x, "b": lambda v: v.tt}, fields=("u", "v", "p"))
    residuals = problem.residuals(model, X, "autograd")
    assert torch.allclose(residuals["a"], X[:, 1] - 1)
    assert torch.allclose(residuals["b"], torch.full((3,), 2.0, dtype=torch.float64))


def test_laplacian_and_mixed_derivatives(square):
    x, t = X.unbind(1)
    assert torch.allclose(residual(square, pde=lambda u: u.laplacian("x")), 2 * t)
    assert torch.allclose(residual(square, pde=lambda u: u.xt - u.tx + u.xxt), torch.full_like(x, 2.0))


def test_unknowns_are_first_guesses_until_the_model_carries_them(square):
    problem = Problem(BOX, {"pde": lambda u, D: u.t - D * u.xx}, unknowns={"D": 0.5})
    x, t = X.unbind(1)
    assert torch.allclose(problem.residuals(square, X, "autograd")["pde"], x**2 + 3 - 0.5 * 2 * t)
    square.unknowns = nn.ParameterDict({"D": torch.tensor(4.0, dtype=torch.float64)})
    found = problem.residuals(square, X, "autograd")["pde"]
    assert torch.allclose(found, x**2 + 3 - 4.0 * 2 * t)
    (gradient,) = torch.autograd.grad(found.sum(), [square.unknowns["D"]])
    assert gradient.item() == pytest.approx(-(2 * t).sum().item())


# --- conditions


def test_dirichlet_neumann_and_robin_are_equations_on_a_set(square):
    problem = Problem(
        BOX,
        {},
        {
            "dirichlet": On(x=2, equation=lambda u: u),
            "neumann": On(x=2, equation=lambda u, t: u.x - t),
            "robin": On(x=2, equation=lambda u: u.x + 5 * u),
            "corner": On(x=2, t=1, equation=lambda u: u - 1),
        },
    )
    sample = problem.sample(Points(4, 6))
    residuals = problem.residuals(square, sample, "autograd")
    t = {name: sample[name][:, 1] for name in problem.conditions}
    assert torch.allclose(residuals["dirichlet"], 7 * t["dirichlet"])
    assert torch.allclose(residuals["neumann"], 3 * t["neumann"])
    assert torch.allclose(residuals["robin"], 39 * t["robin"])
    assert torch.allclose(residuals["corner"], torch.tensor([6.0], dtype=torch.float64))


@pytest.mark.parametrize(("order", "jumps"), [(0, [8]), (1, [8, 12]), (2, [8, 12, 12]), (3, [8, 12, 12, 6])])
def test_periodic_ties_value_and_derivatives_up_to_its_order(closed_form, order, jumps):
    model = closed_form(lambda x, t: t * x**3)  # on [0, 2]: 8, then 3 x^2 = 12, then 6 x = 12; u_xxx = 6 does not jump
    problem = Problem(BOX, {}, {"ends": Periodic("x", order=order)})
    sample = problem.sample(Points(3, 5))
    t = sample["ends"][:5, 1]
    expected = torch.cat([(jump if k < 3 else 0) * t for k, jump in enumerate(jumps)])
    assert torch.allclose(problem.residuals(model, sample, "autograd")["ends"], expected)


def test_periodic_draws_pairs_of_points_and_ties_every_field(closed_form):
    problem = Problem(BOX, {}, {"ends": Periodic("x")}, fields=("u", "v"))
    sample = problem.sample(Points(3, 5))
    first, second = sample["ends"].chunk(2)
    assert (first[:, 0] == 0).all()
    assert (second[:, 0] == 2).all()
    assert torch.equal(first[:, 1], second[:, 1])
    model = closed_form(lambda x, t: torch.cos(pi * x) * t, lambda x, t: x + t)
    u, u_x, v, v_x = problem.residuals(model, sample, "autograd")["ends"].chunk(4)
    for tied in (u, u_x, v_x):
        assert tied.abs().max() < 1e-12
    assert torch.allclose(v, torch.full_like(v, 2.0))


def test_periodic_default_is_value_and_slope():
    assert Periodic("x").order == 1


def test_observed_is_the_difference_from_the_data(closed_form):
    model = closed_form(lambda x, t: x, lambda x, t: t)
    data = Observed(X.numpy(), v=np.array([1.0, 2.0, 3.0]), u=[0.0, 0.0, 0.0])
    problem = Problem(BOX, {}, {"data": data}, fields=("u", "v"))
    sample = problem.sample(Points(5, 7))
    assert torch.equal(sample["data"][:, :2], X)  # the measurements travel along, in columns of their own
    v, u = problem.residuals(model, sample)["data"].chunk(2)
    assert v.tolist() == [-1, -1.5, -2]
    assert u.tolist() == [0, 1, 2]


def test_a_part_of_the_data_keeps_points_and_values_together(square):
    problem = Problem(BOX, {}, {"data": Observed(X, u=[10.0, 20.0, 30.0])})
    whole = problem.sample()["data"]
    residuals = problem.residuals(square, {"data": whole[[2, 0]]})["data"]
    assert residuals.tolist() == [7 - 30, 0 - 10]


def test_conditions_may_use_unknowns(square):
    problem = Problem(BOX, {}, {"flux": On(x=2, t=1, equation=lambda u, q: u.x - q)}, unknowns={"q": 3.0})
    assert problem.residuals(square, problem.sample(), "autograd")["flux"].tolist() == [1.0]


# --- samples


def everywhere():
    return Problem(
        BOX,
        {"pde": lambda u: u.t - u.xx, "more": lambda u: u.x},
        {
            "initial": On(t=0, equation=lambda u: u),
            "ends": Periodic("x"),
            "data": Observed(X, u=torch.zeros(3)),
            "wall": On(x=0, equation=lambda u: u.x),
        },
    )


def test_a_sample_has_the_counts_asked_for_on_the_right_sets():
    problem = everywhere()
    sample = problem.sample(Points(11, {"initial": 4, "ends": 5, "wall": 6}, method="latin"))
    assert {name: len(points) for name, points in sample.items()} == {
        "interior": 11,
        "initial": 4,
        "ends": 10,
        "data": 3,
        "wall": 6,
    }
    assert (sample["initial"][:, 1] == 0).all()
    assert (sample["wall"][:, 0] == 0).all()
    assert all(BOX.contains(points[:, :2]).all() for points in sample.values())
    assert {len(points) for points in problem.sample().values()} == {1000, 100, 200, 3}


def test_a_sample_is_fixed_by_its_generator_and_follows_dtype_and_method():
    def draw(seed, **options):
        return everywhere().sample(Points(9, 4), generator=torch.Generator().manual_seed(seed), **options)

    first, same, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["interior"], other["interior"])
    assert not torch.equal(first["wall"], other["wall"])
    single = draw(1, dtype=torch.float32)
    assert all(torch.equal(single[name], first[name].float()) for name in first)
    assert all(points.device.type == "meta" for points in draw(1, device="meta").values())
    assert torch.equal(everywhere().sample(Points(4, 2, method="grid"))["interior"], BOX.sample(4, "grid"))


# --- residuals


def test_points_alone_give_the_equations_and_a_sample_gives_everything():
    problem, model = everywhere(), MLP(everywhere(), hidden=(4,))
    assert list(problem.residuals(model, X)) == ["pde", "more"]
    sample = problem.sample(Points(7, 4))
    shuffled = {name: sample[name] for name in reversed(sample)}
    residuals = problem.residuals(model, shuffled)
    assert tuple(residuals) == problem.terms == ("pde", "more", "initial", "ends", "data", "wall")
    assert [len(value) for value in residuals.values()] == [7, 7, 4, 8, 3, 4]
    assert all(value.ndim == 1 and value.requires_grad for value in residuals.values())


def test_sets_evaluated_together_are_the_sets_evaluated_one_by_one():
    problem, model = everywhere(), MLP(everywhere(), hidden=(4,))
    sample = problem.sample(Points(7, 4))
    together = problem.residuals(model, sample)
    for name, points in sample.items():
        for term, alone in everywhere().residuals(model, {name: points}).items():
            assert torch.allclose(alone, together[term], atol=1e-14)


def test_the_default_engine_and_nested_autograd_agree():
    problem, model = everywhere(), MLP(everywhere(), hidden=(5, 4))
    sample = problem.sample(Points(7, 4))
    expected = problem.residuals(model, sample, "autograd")
    for name, value in problem.residuals(model, sample).items():
        assert torch.allclose(value, expected[name], rtol=1e-10, atol=1e-12)


def test_the_requests_are_found_once_and_sets_that_ask_alike_share_a_pass():
    calls = []

    def counting(model, points, requests):
        calls.append((len(points), set(requests)))
        return nested_autograd(model, points, requests)

    problem = Problem(
        BOX,
        {"pde": lambda u: u.t - u.xx},
        {"a": On(x=0, equation=lambda u: u), "b": On(t=0, equation=lambda u: u), "c": On(x=2, equation=lambda u: u.x)},
    )
    sample = problem.sample(Points(8, 3))
    problem.residuals(MLP(problem), sample, counting)
    calls.clear()
    problem.residuals(MLP(problem), sample, counting)
    assert sorted(size for size, _ in calls) == [3, 6, 8]
    assert {frozenset(requests) for _, requests in calls} == {
        frozenset({(0, (0, 0))}),
        frozenset({(0, (1, 0))}),
        frozenset({(0, (0, 1)), (0, (2, 0))}),
    }


def test_an_engine_that_leaves_a_request_out_is_an_error():
    problem = Problem(BOX, {"pde": lambda u: u.x})
    with pytest.raises(ValueError, match=r"The derivative engine did not compute \(0, \(1, 0\)\)"):
        problem.residuals(MLP(problem), X, lambda model, points, requests: {})


def test_points_follow_the_dtype_of_the_model():
    problem = everywhere()
    single, double = MLP(problem, dtype=torch.float32), MLP(problem)
    assert all(value.dtype == torch.float32 for value in problem.residuals(single, problem.sample()).values())
    assert all(value.dtype == torch.float64 for value in problem.residuals(double, X.float()).values())


# --- the exact solution


def test_the_exact_solution_is_by_field():
    problem = Problem(BOX, {}, exact=lambda t, x: x - 10 * t)
    assert list(problem.solution(X)) == ["u"]
    assert problem.solution(X)["u"].tolist() == [0, -4, -8]
    assert problem.solution(X.float())["u"].dtype == torch.float32
    several = Problem(BOX, {}, fields=("u", "p"), exact=lambda x: {"p": x, "u": 2.0})
    values = several.solution(X)
    assert values["p"].tolist() == [0, 1, 2]
    assert values["u"].tolist() == [2, 2, 2]


def test_a_problem_without_a_solution_says_so():
    with pytest.raises(ValueError, match=r"This problem has no exact solution: give Problem\(exact=...\)"):
        Problem(BOX, {}).solution(X)


# --- derived quantities


def stream(**more):
    velocity = {"u": lambda psi: psi.t, "v": lambda psi: -psi.x}
    return Problem(BOX, more.pop("equations", {}), fields=("psi",), derived=velocity, **more)


def test_derived_quantities_are_fields_to_equations(square):
    equations = {"mass": lambda u, v: u.x + v.t, "v": lambda v: v, "vx": lambda v: v.x, "lap": lambda v: v.laplacian("x")}
    problem = stream(equations=equations)
    found = problem.residuals(square, X, "autograd")  # psi = x^2 t + 3 t
    x, t = X.unbind(1)
    assert torch.allclose(found["mass"], torch.zeros(3, dtype=X.dtype))
    assert torch.allclose(found["v"], -2 * x * t)
    assert torch.allclose(found["vx"], -2 * t)
    assert torch.allclose(found["lap"], torch.zeros(3, dtype=X.dtype))


def test_derived_quantities_are_measured(square):
    x, t = X.unbind(1)
    problem = stream(conditions={"data": Observed(X, u=x**2 + 4, v=-2 * x * t)})
    found = problem.residuals(square, problem.sample(), "autograd")["data"]
    assert torch.allclose(found, torch.tensor([-1.0, -1, -1, 0, 0, 0], dtype=X.dtype))


def test_values_of_fields_and_of_what_is_derived(square):
    problem = stream()
    assert problem.quantities == ("psi", "u", "v")
    found = problem.values(square, X, derivatives="autograd")
    x, t = X.unbind(1)
    assert list(found) == ["psi", "u", "v"]
    assert torch.allclose(found["psi"], x**2 * t + 3 * t)
    assert torch.allclose(found["v"], -2 * x * t)
    model = MLP(problem)
    assert torch.allclose(problem.values(model, X, ["psi"])["psi"], model(X)[:, 0])
    with pytest.raises(ValueError, match="There is no field 'w': the fields are psi, u, v"):
        problem.values(model, X, ["w"])
