"""Conditions: parts with normals, ties of single fields and by equations, integrals."""

from __future__ import annotations

import math
from math import pi

import pytest
import torch

from pinnedu import LBFGS, MLP, Box, GaussNewton, Integral, LevelSet, On, Periodic, Points, Problem, fit
from pinnedu.conditions import Condition
from pinnedu.jacobian import jacobian

SQUARE = Box(x=(0, 1), y=(0, 2))


def residual(condition, model, domain=SQUARE, **options):
    problem = Problem(domain, {}, {"one": condition}, **options)
    sample = problem.sample(Points(2, 40), generator=torch.Generator().manual_seed(0))
    return problem.residuals(model, {"one": sample["one"]})["one"].detach(), sample["one"]


@pytest.mark.parametrize(
    ("part", "normal"), [("x low", (-1, 0)), ("x high", (1, 0)), ("y low", (0, -1)), ("y high", (0, 1))]
)
def test_faces_of_a_box_have_outward_normals(part, normal, closed_form):
    points, normals = SQUARE.part(part).sample(3)
    assert normals.tolist() == [list(normal)] * 3
    assert SQUARE.contains(points).all()
    assert not SQUARE.contains(points + 0.1 * normals).any()
    found, _ = residual(On(part, equation=lambda u: u.n), closed_form(lambda x, y: 3 * x + 5 * y))
    assert torch.allclose(found, torch.full_like(found, 3.0 * normal[0] + 5.0 * normal[1]))


def test_all_faces_together(closed_form):
    boundary = SQUARE.part("boundary")
    assert boundary.measure == 6.0
    points, normals = boundary.sample(600, generator=torch.Generator().manual_seed(0))
    assert len(points) == 600
    assert [int((normals == torch.tensor(n)).all(dim=1).sum()) for n in ((-1, 0), (1, 0), (0, -1), (0, 1))] == pytest.approx(
        [200, 200, 100, 100], abs=2
    )
    model = closed_form(lambda x, y: x**2 - y**2)
    equation = lambda u, n, x, y: (u.n - 2 * (n.x * x - n[:, 1] * y), u.x.n - 2 * n.x)
    assert residual(On("boundary", equation=equation), model)[0].abs().max() < 1e-14


def test_a_face_by_its_coordinate_has_a_normal_where_it_is_asked_for(closed_form):
    found, points = residual(On(x=0, equation=lambda u, n: u.n), closed_form(lambda x, y: 3 * x))
    assert torch.equal(found, torch.full_like(found, -3.0))
    assert points.shape[1] == 4
    assert residual(On(x=0, equation=lambda u: u.x), closed_form(lambda x, y: 3 * x))[1].shape[1] == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: On(equation=lambda u: u), "On needs a coordinate to fix"),
        (lambda: On("x low", equation=lambda u: u, y=0), "On needs a coordinate to fix"),
        (lambda: On(3, equation=lambda u: u), "The part must be a name"),
        (lambda: Problem(SQUARE, {}, {"a": On("left", equation=lambda u: u)}), "parts of .* are x low, x high, .* boundary"),
        (lambda: Problem(SQUARE, {}, {"a": On(x=0, y=0, equation=lambda u, n: u.n)}), "asks for the normal n"),
        (lambda: Problem(SQUARE, {}, {"a": On(x=0.5, equation=lambda u, n: u.n)}), "asks for the normal n"),
        (lambda: Problem(Box(n=(0, 1)), {}, {"a": On("n low", equation=lambda u: u.n)}), "rename the other n"),
    ],
)
def test_parts_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- Periodic

FLOW = {"fields": ("u", "p")}


def test_periodic_ties_the_fields_it_names(closed_form):
    model = closed_form(lambda x, y: torch.cos(2 * pi * x), lambda x, y: 1 - x)
    assert residual(Periodic("x", fields=("u",)), model, **FLOW)[0].abs().max() < 1e-13
    everything = residual(Periodic("x"), model, **FLOW)[0]
    assert float(everything.abs().max()) == pytest.approx(1.0)
    assert len(everything) == 4 * 40


@pytest.mark.parametrize(
    ("formula", "tie"),
    [
        (lambda x, y: 1 - x, lambda left, right: right.u - left.u + 1),  # a jump
        (lambda x, y: torch.cos(pi * x), lambda left, right: (right.u + left.u, right.u.x + left.u.x)),  # a sign
        (lambda x, y: torch.exp(x), lambda left, right: [right.u.xx - 2.718281828459045 * left.u.xx]),  # a factor
        (lambda x, y: x * y, lambda left, right: right.u - left.u - right.y * (right.x - left.x)),  # with coordinates
        (lambda x, y: x, lambda left, right, k: right.u - left.u - k),  # with an unknown
        (lambda x, y: x, lambda left, right: right.u - left.u - left.k),
    ],
)
def test_periodic_by_an_equation(formula, tie, closed_form):
    found, _ = residual(Periodic("x", equation=tie), closed_form(formula), unknowns={"k": 1.0})
    assert found.abs().max() < 1e-12
    assert len(found) % 40 == 0


def test_a_wave_that_comes_back_with_another_phase(closed_form):
    """Bloch's condition, u(1) = exp(i k) u(0), for real and imaginary parts."""
    k = 0.7
    turned = lambda left, right: (
        right.u - math.cos(k) * left.u + math.sin(k) * left.v,
        right.v - math.sin(k) * left.u - math.cos(k) * left.v,
    )
    model = closed_form(lambda x, y: torch.cos(k * x), lambda x, y: torch.sin(k * x))
    assert residual(Periodic("x", equation=turned), model, fields=("u", "v"))[0].abs().max() < 1e-14
    assert residual(Periodic("x", fields=("u",)), model, fields=("u", "v"))[0].abs().max() > 0.1


def test_faces_that_are_tied_must_be_the_same(closed_form):
    """A strip with a hole can be periodic, a trapezoid cannot."""
    box = Box(x=(-1, 1), y=(-1, 1))
    strip = LevelSet(box, lambda x, y: 0.1 - x**2 - y**2)
    model = closed_form(lambda x, y: torch.cos(pi * x) + y)
    assert residual(Periodic("x"), model, strip)[0].abs().max() < 1e-13
    with pytest.raises(ValueError, match="ties two faces of .* that are not the same"):
        Problem(LevelSet(box, lambda x, y: y - x / 2), {}, {"a": Periodic("x")})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Periodic("x", fields="u"), r'fields is a tuple of names, such as \("u",\)'),
        (lambda: Periodic("x", fields=()), "The fields of Periodic"),
        (lambda: Periodic("x", 1, equation=lambda left, right: left.u), "leave fields= and order= out"),
        (lambda: Problem(SQUARE, {}, {"a": Periodic("x", fields=("w",))}), "ties 'w', but the fields are u"),
        (lambda: Problem(SQUARE, {}, {"a": Periodic("x", equation=lambda u: u)}), "asks for 'u'"),
    ],
)
def test_ties_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_side_names_what_it_has(closed_form):
    with pytest.raises(ValueError, match="A side of Periodic has no 'w': it has u, x, y"):
        residual(Periodic("x", equation=lambda left, right: left.w - right.w), closed_form(lambda x, y: x))


def test_an_antiperiodic_wave_with_an_unknown_in_the_tie():
    wave = Problem(
        Box(x=(0, pi)),
        {"wave": lambda u: u.xx + u},
        {
            "tie": Periodic("x", equation=lambda left, right, k: right.u.x - k * left.u.x),
            "start": On(x=0, equation=lambda u: (u, u.x - 1)),
        },
        unknowns={"k": 0.0},
        exact=lambda x: torch.sin(x),
    )
    run = fit(MLP(wave, (12,)), wave, optimizer=GaussNewton(), steps=40, seed=0, points=Points(100, 1))
    assert run.unknowns["k"] == pytest.approx(-1, abs=1e-2)


# --- Integral


@pytest.mark.parametrize(
    ("over", "formula", "truth"),
    [
        (None, lambda x, y: x + y, 3.0),
        ("x high", lambda x, y: x + y, 4.0),
        ("boundary", lambda x, y: x + y, 9.0),
        ({"y": 1}, lambda x, y: x, 0.5),
        ({"x": 1, "y": 2}, lambda x, y: x + y, 3.0),
        (Box(x=(0, 1), y=(0, 1)), lambda x, y: x, 0.5),
    ],
)
def test_integrals_by_quadrature(over, formula, truth, closed_form):
    found, _ = residual(Integral(lambda u: u, over=over, value=1.0), closed_form(formula))
    assert found.shape == (1,)
    assert float(found) == pytest.approx(truth - 1, rel=1e-12)


def test_a_flux_through_the_boundary_is_the_integral_inside(closed_form):
    model = closed_form(lambda x, y: x**3 * y)
    outside, _ = residual(Integral(lambda u: u.n, over="boundary"), model)
    inside, _ = residual(Integral(lambda u: u.laplacian()), model)
    assert float(outside) == pytest.approx(float(inside), rel=1e-12)


def neumann():
    return Problem(
        SQUARE,
        {"laplace": lambda u: u.laplacian()},
        {
            "walls": On("boundary", equation=lambda u, n, x, y: u.n - 2 * (n.x * x - n.y * y)),
            "mean": Integral(lambda u, k: u - k * u**2 * 0, value=-2.0),
        },
        unknowns={"k": 1.0},
        exact=lambda x, y: x**2 - y**2,
    )


@pytest.mark.parametrize("method", ["layers", "func"])
def test_the_jacobian_of_an_integral_is_exact(method):
    problem = neumann()
    model = MLP(problem, (5,))
    sample = problem.sample(Points(7, 9), generator=torch.Generator().manual_seed(0))
    found = jacobian(model, problem, sample, method=method, chunk=3)
    weights = list(model.parameters())
    for name, value in problem.residuals(model, sample).items():
        slopes = [torch.autograd.grad(one, weights, retain_graph=True, materialize_grads=True) for one in value]
        rows = [torch.cat([g.reshape(-1) for g in row]) for row in slopes]
        assert torch.allclose(found[name][1], torch.stack(rows), atol=1e-12)
    assert found["mean"][0].shape == (1,)


@pytest.mark.parametrize(("optimizer", "steps"), [(GaussNewton(), 40), (LBFGS(), 300)])
def test_an_integral_fixes_the_constant_of_a_neumann_problem(optimizer, steps):
    problem = neumann()
    run = fit(MLP(problem, (12,)), problem, optimizer=optimizer, steps=steps, seed=0, points=Points(200, 60))
    assert run.error < 5e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Integral(lambda u: u, value=float("nan")), "The value of Integral must be a finite number"),
        (lambda: Integral(lambda u: u, over=3), "over must be a part"),
        (lambda: Problem(SQUARE, {}, {"a": Integral(lambda u: u, over="rim")}), "names 'rim'"),
        (lambda: Problem(SQUARE, {}, {"a": Integral(lambda u: u, over={"z": 1})}), "names 'z'"),
        (lambda: Problem(SQUARE, {}, {"a": Integral(lambda u: u, over=Box(x=(0, 1)))}), "must be of x, y"),
    ],
)
def test_integrals_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- what equations return


@pytest.mark.parametrize("many", [tuple, list])
def test_tuples_and_lists_of_equations(many, closed_form):
    found, points = residual(On(x=0, equation=lambda u: many([u, u.x])), closed_form(lambda x, y: 2 * x + 1))
    assert found.tolist() == [1.0] * len(points) + [2.0] * len(points)


def test_a_complex_residual_is_its_two_parts(closed_form):
    found, points = residual(On(x=0, equation=lambda u: (1 + 2j) * u), closed_form(lambda x, y: 0 * x + 1))
    assert found.tolist() == [1.0] * len(points) + [2.0] * len(points)


@pytest.mark.parametrize("name", ["step", "loss", "fresh", "error", "seconds", "interior"])
def test_names_of_the_record_are_taken(name):
    with pytest.raises(ValueError, match="needs a name of its own: it is taken"):
        Problem(SQUARE, {name: lambda u: u})
    with pytest.raises(ValueError, match="needs a name of its own: it is taken"):
        Problem(SQUARE, {}, {name: On(x=0, equation=lambda u: u)})
    with pytest.raises(ValueError, match=f"The unknown '{name}' needs a name of its own"):
        Problem(SQUARE, {"e": lambda u: u}, unknowns={name: 1.0})


def test_names_that_two_columns_of_the_record_would_have():
    left = {"left": On(x=0, equation=lambda u: u)}
    for name in ("e", "left"):
        with pytest.raises(ValueError, match=f"The unknown '{name}' needs a name of its own: it is taken in the history"):
            Problem(SQUARE, {"e": lambda u: u}, left, unknowns={name: 1.0})
    with pytest.raises(ValueError, match="'weight of e' needs a name of its own"):
        Problem(SQUARE, {"e": lambda u: u, "weight of e": lambda u: u})


@pytest.mark.parametrize("name", ["on", "d", "value", "laplacian", "request", "interior", "points", "_x", "lambda"])
def test_names_of_a_field_are_no_coordinates(name):
    with pytest.raises(ValueError, match="is reserved"):
        Box(**{name: (0, 1)})


def test_what_a_condition_lacks_is_told_when_it_is_made():
    class Half(Condition):
        def check(self, name, scope):
            """Nothing to check."""

    with pytest.raises(TypeError, match="blocks"):
        Half()

    class Stranger:
        def check(self, name, scope):
            """Nothing to check."""

    with pytest.raises(ValueError, match=r"'wall' has no blocks, columns, .*: let it inherit from Condition"):
        Problem(Box(x=(0, 1)), {"e": lambda u: u.x}, {"wall": Stranger()})


def test_a_curve_that_is_no_coordinate_is_told_the_way():
    with pytest.raises(ValueError, match=r"names 'r', but the coordinates are x, y. A curve is a part.* At\(points"):
        Problem(Box(x=(0, 1), y=(0, 1)), {"e": lambda u: u.x}, {"rim": On(r=0.3, equation=lambda u: u)})
