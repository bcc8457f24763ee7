"""Singular functions of corners, and a model that adds functions with strengths to be found."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pinnedu import (
    MLP,
    Box,
    CornerFunction,
    Enriched,
    FourierFeatures,
    GaussNewton,
    LevelSet,
    On,
    Points,
    Problem,
    Region,
    fit,
    problems,
    relative_error,
)
from pinnedu.derivatives.requests import Laplacian
from pinnedu.derivatives.taylor import taylor
from pinnedu.jacobian import jacobian
from pinnedu.recipe import additions, frequencies, solved_by_waves
from pinnedu.reference import l_shape
from pinnedu.trainers.waves import derivatives

L = Region(shapely.Polygon([(-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1)]))


def seeded():
    return torch.Generator().manual_seed(0)


def sector(angle, turn, x, y):
    """A triangle or quadrilateral with one corner of a given angle at (x, y), and that corner's first edge turned."""
    ways = turn + np.linspace(0, angle, 2 + (angle > 2) + (angle > 4))
    return Region(shapely.Polygon([(x, y), *zip(x + np.cos(ways), y + np.sin(ways), strict=True)]))


ANGLES = st.floats(0.3, 5.9)
PAIRS = [("value", "value"), ("slope", "slope"), ("value", "slope"), ("slope", "value")]


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(ANGLES, st.floats(-7, 7), st.sampled_from(PAIRS), st.integers(1, 3), st.booleans())
def test_what_every_corner_function_does(angle, turn, edges, order, log):
    region = sector(angle, turn, 0.4, -1.2)
    corner = CornerFunction(region, (0.4, -1.2), order, edges, log=log)
    assert corner.angle == pytest.approx(angle, abs=1e-9)
    points = region.sample(50, generator=seeded()).requires_grad_()
    (slope,) = torch.autograd.grad(corner(points).sum(), points, create_graph=True)
    second = [torch.autograd.grad(slope[:, k].sum(), points, retain_graph=True)[0][:, k] for k in range(2)]
    assert ((second[0] + second[1]).abs() <= 1e-9 * (1 + second[0].abs())).all()  # harmonic
    if not log:
        r = torch.tensor([0.2, 0.7], dtype=torch.float64)
        for which, (kind, theta) in enumerate(zip(edges, (0, angle), strict=True)):
            at = turn + theta + (1e-12 if which == 0 else -1e-12)
            places = torch.stack([0.4 + r * math.cos(at), -1.2 + r * math.sin(at)], dim=1).requires_grad_()
            values = corner(places)
            (slopes,) = torch.autograd.grad(values.sum(), places)
            normal = torch.tensor([-math.sin(at), math.cos(at)], dtype=torch.float64)
            vanishes = values if kind == "value" else slopes @ normal
            assert vanishes.abs().max() < 1e-9 * max(1.0, corner.exponent) * (1 + float(r.max()) ** corner.exponent) * 100


def test_it_is_the_known_one_of_the_l_shape():
    points = L.sample(200, generator=seeded())
    known = l_shape.singular(*points.numpy().T)
    assert CornerFunction(L, (0, 0))(points).numpy() == pytest.approx(known, abs=1e-14)
    assert CornerFunction(L, (0, 0)).exponent == pytest.approx(2 / 3)
    assert float(CornerFunction(L, (0, 0))(torch.zeros(1, 2, dtype=torch.float64))) < 1e-15


def test_the_logarithm_leaves_a_power_on_the_edge():
    corner = CornerFunction(L, (-1, -1), log=True)
    s = torch.linspace(0.1, 1, 5, dtype=torch.float64)
    first, last = (corner(torch.stack(way, dim=1)) for way in ((-1 + s, 0 * s - 1), (0 * s - 1, -1 + s)))
    assert first.abs().max() < 1e-12  # theta = 0
    assert torch.allclose(last, -math.pi / 2 * s**2)  # z^2 log z at theta = pi / 2


def enriched():
    problem = problems.l_shape("singular")
    waves = MLP(problem, (), embedding=FourierFeatures.gaussian(2, 60, 6.0), seed=0)
    return problem, Enriched(waves, problem, u={"corner": CornerFunction(problem.domain, (0, 0))})


def test_the_strength_of_a_corner_is_found():
    problem, model = enriched()
    assert model.strengths == {"corner": 0.0}
    run = fit(
        model, problem, optimizer=GaussNewton(damping=1e-12, acceleration=0), steps=2, seed=0, device="cpu", progress=False,
        weights={"boundary": 100.0}, points=Points(600, 200, "sobol", resample=0),
    )  # fmt: skip
    assert run.model.strengths["corner"] == pytest.approx(1, abs=1e-3)
    assert run.error < 1e-4


def test_the_fast_jacobian_has_the_strengths():
    problem, model = enriched()
    sample = problem.sample(Points(20, 10), generator=seeded())
    fast, general = (jacobian(model, problem, sample, method=method) for method in ("layers", "func"))
    for name, (residual, rows) in general.items():
        assert torch.allclose(fast[name][0], residual)
        assert torch.allclose(fast[name][1], rows, atol=1e-10 * float(rows.abs().max()))
        assert rows.shape[1] == sum(weight.numel() for weight in model.parameters())


def test_functions_by_coordinates_for_one_of_two_fields():
    problem = Problem(Box(x=(0, 1)), {"e": lambda a, b: a.x + b.x}, fields=("a", "b"))
    added = {"layer": lambda x: torch.exp(-x), "ramp": lambda points: points[:, 0]}
    model = Enriched(MLP(problem, (4,), seed=0), problem, b=added)
    with torch.no_grad():
        model.amplitudes["b"].weight.copy_(torch.tensor([[2.0, -3.0]]))
    x = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    plain, more = model.model(x), model(x)
    assert torch.equal(plain[:, 0], more[:, 0])
    assert torch.allclose(more[:, 1] - plain[:, 1], 2 * torch.exp(-x[:, 0]) - 3 * x[:, 0])
    assert model.strengths == {"layer": 2.0, "ramp": -3.0}


PROBLEM = Problem(L, {"e": lambda u: u.laplacian()}, {"b": On("boundary", equation=lambda u: u)})
NET = MLP(PROBLEM, (4,), seed=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CornerFunction(Box(x=(0, 1), y=(0, 1)), (0, 0)), "The region must be a Region"),
        (lambda: CornerFunction(L, (0.5, 0.5)), r"has no corner at \(0.5, 0.5\)"),
        (lambda: CornerFunction(L, (0.5, 0.0)), r"has no corner at"),
        (lambda: CornerFunction(L, (0, 0, 0)), "a pair of numbers"),
        (lambda: CornerFunction(L, (0, 0), 0), "order"),
        (lambda: CornerFunction(L, (0, 0), edges=("value", "flux")), "What vanishes on an edge"),
        (lambda: CornerFunction(L, (0, 0), edges="value"), "a pair such as"),
        (lambda: Enriched(NET, PROBLEM), "needs the functions of a field"),
        (lambda: Enriched(NET, PROBLEM, v={"c": lambda x: x}), "names 'v', but the fields are u"),
        (lambda: Enriched(NET, PROBLEM, u={}), "at least one"),
        (lambda: Enriched(NET, PROBLEM, u={"c": lambda t: t}), "asks for 't'"),
        (lambda: Enriched(NET, PROBLEM, u={"c": 1.0}), "must be a function"),
        (lambda: Enriched(NET, PROBLEM, u={"c": lambda points: points})(L.sample(3)), "one number a point"),
        (lambda: Enriched(None, PROBLEM, u={"c": lambda x: x}), "The model"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- what a shape adds


def laplacian(function, points):
    points = points.clone().requires_grad_()
    (first,) = torch.autograd.grad(function(points).sum(), points, create_graph=True)
    return sum(torch.autograd.grad(first[:, k].sum(), points, retain_graph=True)[0][:, k] for k in (0, 1))


def test_each_hole_adds_a_logarithm_and_poles_about_its_center():
    plate = Region(shapely.box(0, 0, 4, 3) - shapely.Point(1, 1.5).buffer(0.5, 64) - shapely.Point(3, 1).buffer(0.25, 64))
    found = {name: function for name, function in additions(plate).items() if name.startswith("hole")}
    assert len(found) == 2 * 13
    inside = plate.sample(50, generator=torch.Generator().manual_seed(0))
    assert all(float(laplacian(function, inside).abs().max()) < 1e-7 for function in found.values())
    centers = {name[:6]: function.__self__ for name, function in found.items() if name.endswith("log")}
    first, hole = next((name, hole) for name, hole in centers.items() if hole.radius > 0.4)
    assert (hole.a, hole.b, hole.radius) == pytest.approx((1, 1.5, 0.5), abs=1e-3)
    z = torch.complex(inside[:, 0] - hole.a, inside[:, 1] - hole.b) / hole.radius
    torch.testing.assert_close(found[f"{first}, log"](inside), torch.log(z.abs() ** 2))
    torch.testing.assert_close(found[f"{first}, pole 3"](inside), (z**-3).real)
    torch.testing.assert_close(found[f"{first}, pole 3i"](inside), (z**-3).imag)


def test_what_a_hole_adds_is_computed_anew_for_points_that_changed_or_were_differentiated():
    pole = additions(Region(shapely.box(-1, -1, 1, 1) - shapely.Point(0, 0).buffer(0.2, 64)))["holes, pole 2"]
    points = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    before = float(pole(points))
    points[0, 1] = -0.5
    assert float(pole(points)) == pytest.approx(before, abs=1e-9)  # Re z^-2 = 0 on both
    points[0, 1] = 0.0
    assert float(pole(points)) == pytest.approx(0.2**2 / 0.5**2, rel=1e-2)
    points.requires_grad_()
    for _ in range(2):
        (slope,) = torch.autograd.grad(pole(points).sum(), points)
        assert float(slope[0, 0]) == pytest.approx(-2 * 0.2**2 / 0.5**3, rel=1e-2)


def test_one_hole_is_added_once_and_the_outer_rim_is_none():
    ring = LevelSet(
        Box(x=(-1, 1), y=(-1, 1)),
        {"outer": lambda x, y: x**2 + y**2 - 1, "inner": lambda x, y: 0.09 - x**2 - y**2},
    )
    assert {name.split(",")[0] for name in additions(ring)} == {"inner"}
    many = [shapely.Point(x, 0.5).buffer(0.01 if x < 5 else 0.02) for x in range(1, 21)]
    sieve = additions(Region(shapely.box(0, 0, 21, 1) - shapely.unary_union(many)))
    logarithms = [function.__self__ for name, function in sieve.items() if name.endswith("log")]
    assert len(logarithms) == 16, "the largest"
    assert all(hole.radius > 0.015 for hole in logarithms)
    washer = Region(shapely.Point(0, 0).buffer(1, 64) - shapely.Point(0, 0).buffer(0.3, 64))
    assert len(additions(washer)) == 13


def test_corners_add_singular_functions_and_a_box_adds_nothing():
    assert additions(Box(x=(0, 1), y=(0, 1))) == {}
    assert additions(Box(x=(0, 1), y=(0, 1), t=(0, 1))) == {}
    bent = Region(shapely.box(-1, -1, 1, 1) - shapely.box(0, 0, 1, 1))
    angles = dict(bent.corners())
    assert sum(angles.values()) == pytest.approx(4 * math.pi)
    assert angles[0.0, 0.0] == pytest.approx(1.5 * math.pi)
    found = additions(bent)
    inner = [function for function in found.values() if tuple(function.at.tolist()) == (0.0, 0.0)]
    assert [(round(function.exponent, 4), function.log) for function in inner] == [(0.6667, False), (1.3333, False), (2.0, True)]
    outer = [function for function in found.values() if tuple(function.at.tolist()) != (0.0, 0.0)]
    assert all(function.exponent == pytest.approx(2) and function.log for function in outer)
    assert len(outer) == 5


def test_waves_take_what_is_added():
    """Between two circles log r is the solution, and the waves have nothing to do."""
    ring = LevelSet(
        Box(x=(-1, 1), y=(-1, 1)),
        {"outer": lambda x, y: x**2 + y**2 - 1, "inner": lambda x, y: 0.09 - x**2 - y**2},
    )
    problem = Problem(
        ring,
        {"laplace": lambda u: u.laplacian()},
        {"outer": On("outer", equation=lambda u: u), "inner": On("inner", equation=lambda u: u - math.log(0.3))},
        exact=lambda x, y: torch.log(x**2 + y**2) / 2,
    )
    weights = dict.fromkeys(problem.terms, 1.0)
    rates = frequencies(problem, (2.0, 2.0), 10)
    alone, _ = solved_by_waves(problem, weights, rates)
    model, _ = solved_by_waves(problem, weights, rates, added=additions(ring))
    assert relative_error(alone, problem) > 1e-2
    assert relative_error(model, problem) < 1e-8
    assert float(model.amplitudes["u"].weight[0, 0].detach()) == pytest.approx(0.5)
    points = ring.sample(20, generator=torch.Generator().manual_seed(0))
    asked = [(0, (0, 0)), (0, (1, 0)), (0, Laplacian((0, 1)))]
    known, taylored = derivatives(model, points, asked), taylor(model, points, asked)
    for request in asked:
        torch.testing.assert_close(known[request], taylored[request], rtol=1e-9, atol=1e-9)
