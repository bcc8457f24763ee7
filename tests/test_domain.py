"""Boxes: what they accept, where their points lie, and what their quadrature integrates exactly."""

from __future__ import annotations

from math import inf, nan, pi

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pinnedu import Ball, Box, Points
from pinnedu.sampling import RULES, SAMPLERS


@st.composite
def boxes(draw, max_dim=4):
    names = draw(st.permutations(["x", "y", "t", "s"]))[: draw(st.integers(1, max_dim))]
    edges = st.tuples(st.floats(-10, 10), st.floats(0.01, 10))
    return Box(**{name: (low, low + length) for name, (low, length) in ((n, draw(edges)) for n in names)})


@st.composite
def faces(draw, box):
    names = draw(st.sets(st.sampled_from(box.names)))
    return {name: draw(st.floats(*box.bounds[name])) for name in sorted(names)}


# --- what a box is


def test_box_keeps_its_coordinates_in_the_order_given():
    box = Box(t=(0, 1), x=(-1, 2))
    assert box.names == ("t", "x")
    assert box.dim == 2
    assert box.bounds == {"t": (0.0, 1.0), "x": (-1.0, 2.0)}
    assert box.low.tolist() == [0, -1]
    assert box.high.tolist() == [1, 2]
    assert box.low.dtype == box.high.dtype == torch.float64
    assert box.measure == 3.0
    assert repr(box) == "Box(t=(0, 1), x=(-1, 2))"
    assert Box(self=(0, 1)).names == ("self",)


def test_boxes_are_equal_when_their_columns_mean_the_same():
    assert Box(x=(0, 1), t=(0, 2)) == Box(x=(0.0, 1.0), t=(0.0, 2.0))
    assert Box(x=(0, 1), t=(0, 2)) != Box(t=(0, 2), x=(0, 1))
    assert Box(x=(0, 1)) != Box(x=(0, 2))
    assert Box(x=(0, 1)) != {"x": (0, 1)}


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({}, "Box needs at least one coordinate"),
        ({"x": (1, 0)}, r"The interval of x must be finite with low < high, not \(1, 0\)"),
        ({"x": (1, 1)}, "low < high"),
        ({"x": (0, inf)}, "must be finite"),
        ({"x": (nan, 1)}, "must be finite"),
        ({"t": (0, 1), "x": (2, 1)}, "The interval of x"),
        ({"x": 1}, r"The interval of x must be a pair of numbers \(low, high\), not 1"),
        ({"x": (0, 1, 2)}, "must be a pair of numbers"),
        ({"x": ("a", "b")}, "must be a pair of numbers"),
        ({"d": (0, 1)}, "The coordinate name 'd' is reserved"),
        ({"laplacian": (0, 1)}, "reserved"),
        ({"value": (0, 1)}, "reserved"),
        ({"interior": (0, 1)}, "reserved"),
        ({"lambda": (0, 1)}, "reserved"),
        ({"_x": (0, 1)}, "reserved"),
    ],
)
def test_bad_boxes(bounds, message):
    with pytest.raises(ValueError, match=message):
        Box(**bounds)


def test_contains_is_closed_with_room_for_rounding():
    box = Box(x=(0, pi), t=(0, 1))
    points = torch.tensor(
        [[0, 0], [pi, 1], [1, 0.5], [pi * (1 + 1e-12), 1], [pi + 1e-6, 1], [1, -1e-6], [4, 2]], dtype=torch.float64
    )
    assert box.contains(points).tolist() == [True, True, True, True, False, False, False]
    assert box.contains(points[:3].float()).all()


def test_room_for_rounding_is_relative_to_the_box():
    small, large = Box(x=(0, 1e-6)), Box(x=(0, 1e6))
    assert small.contains(torch.tensor([[1e-6 * (1 + 1e-12)], [1e-6 + 5e-10]], dtype=torch.float64)).tolist() == [
        True,
        False,
    ]
    assert large.contains(torch.tensor([[1e6 + 1e-6], [1e6 + 1]], dtype=torch.float64)).tolist() == [True, False]


# --- sampling


@given(st.data())
def test_samples_lie_in_the_box_and_on_the_face(data):
    box = data.draw(boxes())
    fixed = data.draw(faces(box))
    n, method = data.draw(st.integers(1, 40)), data.draw(st.sampled_from(SAMPLERS))
    points = box.sample(n, method, fixed=fixed, generator=torch.Generator().manual_seed(1))
    assert points.shape == (n if len(fixed) < box.dim else 1, box.dim)
    assert points.dtype == torch.float64
    assert box.contains(points).all()
    for name, value in fixed.items():
        assert (points[:, box.names.index(name)] == value).all()


@pytest.mark.parametrize("method", SAMPLERS)
def test_free_coordinates_are_spread_over_their_own_intervals(method):
    box = Box(x=(-3, -1), y=(0, 1), t=(5, 9))
    points = box.sample(1000, method, fixed={"y": 0.25}, generator=torch.Generator().manual_seed(0))
    for name in ("x", "t"):
        column, (low, high) = points[:, box.names.index(name)], box.bounds[name]
        unit = (column - low) / (high - low)
        assert unit.min() < 0.05
        assert unit.max() > 0.95
        assert abs(unit.mean() - 0.5) < 0.03
        assert abs(unit.std() - 12**-0.5) < 0.03
    x, t = points[:, 0], points[:, 2]
    assert abs(torch.corrcoef(torch.stack([x, t]))[0, 1]) < 0.1  # drawn apart, not along a diagonal


@pytest.mark.parametrize("method", ["uniform", "latin", "sobol"])
def test_a_seed_fixes_the_points(method):
    def draw(seed):
        return Box(x=(0, 1), t=(0, 2)).sample(50, method, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(3), draw(3))
    assert not torch.isin(draw(3), draw(4)).any()


@pytest.mark.parametrize("method", ["uniform", "latin", "sobol"])
def test_without_a_generator_points_follow_the_global_seed_and_change_from_draw_to_draw(method):
    box = Box(x=(0, 1))
    torch.manual_seed(7)
    first, second = box.sample(8, method), box.sample(8, method)
    torch.manual_seed(7)
    assert torch.equal(box.sample(8, method), first)
    assert not torch.equal(first, second)


@given(n=st.integers(1, 50), dim=st.integers(1, 4), seed=st.integers(0, 99))
def test_latin_hypercube_has_one_point_in_each_strip(n, dim, seed):
    box = Box(**{f"x{i}": (0, 1) for i in range(dim)})
    strips = (box.sample(n, "latin", generator=torch.Generator().manual_seed(seed)) * n).floor()
    for column in strips.unbind(dim=1):
        assert sorted(column.tolist()) == list(range(n))


@given(power=st.integers(0, 6), seed=st.integers(0, 99))
def test_sobol_points_are_balanced(power, seed):
    n = 2**power
    points = Box(x=(0, 1), y=(0, 1)).sample(n, "sobol", generator=torch.Generator().manual_seed(seed))
    for k in range(power + 1):  # one point in every rectangle of 2^-k by 2^(k-power)
        cells = (points * torch.tensor([2**k, 2 ** (power - k)])).floor()
        assert len(torch.unique(cells, dim=0)) == n


def test_sobol_of_any_length_is_the_start_of_the_sequence():
    def draw(n):
        return Box(x=(0, 1), y=(0, 1)).sample(n, "sobol", generator=torch.Generator().manual_seed(5))

    assert torch.equal(draw(37), draw(64)[:37])


def test_grid_sample_takes_the_centers_of_cells():
    points = Box(x=(0, 4), t=(0, 2)).sample(4, "grid")
    assert points.tolist() == [[1, 0.5], [1, 1.5], [3, 0.5], [3, 1.5]]
    assert Box(x=(0, 3)).sample(3, "grid").tolist() == [[0.5], [1.5], [2.5]]
    assert Box(x=(0, 4), t=(0, 2)).sample(2, "grid", fixed={"t": 2}).tolist() == [[1, 2], [3, 2]]
    assert len(Box(x=(0, 1), y=(0, 1), z=(0, 1)).sample(1000, "grid")) == 1000


@given(st.data())
def test_grid_sample_keeps_off_the_faces(data):
    box, n = data.draw(boxes(max_dim=2)), data.draw(st.integers(1, 30))
    assert (box.sample(n, "grid") > box.low).all()
    assert (box.sample(n, "grid") < box.high).all()


def test_precision_and_device_do_not_change_which_points_are_drawn():
    box = Box(x=(0, pi), t=(0, 1))
    double = box.sample(9, generator=torch.Generator().manual_seed(0))
    single = box.sample(9, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    assert single.dtype == torch.float32
    assert torch.equal(single, double.float())
    assert box.sample(9, device="meta").device.type == "meta"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda box: box.sample(0), "The number of points must be a whole number of at least 1, not 0"),
        (lambda box: box.sample(1e3), "must be a whole number of at least 1, not 1000.0"),
        (lambda box: box.sample(5, "halton"), "The sampling method 'halton' is unknown: choose one of uniform, latin"),
        (lambda box: box.sample(5, fixed={"z": 0}), "The face names 'z', but the coordinates are x, t"),
        (lambda box: box.sample(5, fixed={"x": 3}), r"The face is off the domain: x = 3 is not in \[0, 2\]"),
        (lambda box: box.grid(3, fixed={"z": 0}), "The face names 'z'"),
        (lambda box: box.grid(3, fixed={"t": nan}), "The face is off the domain"),
        (lambda box: box.grid((3,)), r"The grid needs 2 counts of at least 2 \(for x, t\), not \(3,\)"),
        (lambda box: box.grid((3, 1)), "The grid needs 2 counts of at least 2"),
        (lambda box: box.grid(1), "The grid needs 2 counts of at least 2"),
        (
            lambda box: box.quadrature(4, "simpson"),
            "The quadrature rule 'simpson' is unknown: choose one of monte-carlo",
        ),
        (lambda box: box.quadrature(1, "midpoint"), "The rule 'midpoint' needs at least 2 nodes a coordinate, not 1"),
        (lambda box: box.quadrature(0, "sobol"), "The number of points must be"),
    ],
)
def test_bad_requests_for_points(call, message):
    with pytest.raises(ValueError, match=message):
        call(Box(x=(0, 2), t=(0, 1)))


# --- grids


def test_grid_holds_the_faces_and_runs_along_the_last_coordinate_first():
    points = Box(x=(0, 1), t=(2, 4)).grid((2, 3))
    assert points.tolist() == [[0, 2], [0, 3], [0, 4], [1, 2], [1, 3], [1, 4]]
    assert points.dtype == torch.float64


def test_grid_with_coordinates_held_fixed():
    box = Box(x=(0, 1), y=(0, 1), t=(2, 4))
    points = box.grid((2, 3), fixed={"y": 0.5})
    assert points.shape == (6, 3)
    assert (points[:, 1] == 0.5).all()
    assert points[:, 2].tolist() == [2, 3, 4, 2, 3, 4]
    assert box.grid(5, fixed={"x": 0, "y": 1, "t": 3}).tolist() == [[0, 1, 3]]


@given(st.data())
def test_grid_of_any_box(data):
    box, count = data.draw(boxes(max_dim=3)), data.draw(st.integers(2, 6))
    points = box.grid(count)
    assert points.shape == (count**box.dim, box.dim)
    assert torch.equal(points.min(dim=0).values, box.low)
    assert torch.equal(points.max(dim=0).values, box.high)
    assert len(torch.unique(points, dim=0)) == len(points)


# --- quadrature


@given(st.data())
def test_weights_sum_to_the_volume_and_nodes_lie_in_the_box(data):
    box, rule = data.draw(boxes(max_dim=3)), data.draw(st.sampled_from(RULES))
    n = data.draw(st.integers(2, 9))
    points, weights = box.quadrature(n, rule)
    assert points.shape == ((n if rule in ("monte-carlo", "sobol") else n**box.dim), box.dim)
    assert weights.shape == (len(points),)
    assert (weights > 0).all()
    assert weights.sum().item() == pytest.approx(box.measure, rel=1e-12)
    assert box.contains(points).all()


def monomial_integral(box, powers):
    """The integral over a box of the product of x_i^p_i."""
    product = 1.0
    for (low, high), power in zip(box.bounds.values(), powers, strict=True):
        product *= (high ** (power + 1) - low ** (power + 1)) / (power + 1)
    return product


@given(st.data())
def test_gauss_legendre_is_exact_up_to_degree_2n_minus_1(data):
    box = Box(x=(-1, 2), t=(0.5, 1.5))
    n = data.draw(st.integers(2, 6))
    powers = data.draw(st.tuples(st.integers(0, 2 * n - 1), st.integers(0, 2 * n - 1)))
    points, weights = box.quadrature(n)
    integral = (weights * points[:, 0] ** powers[0] * points[:, 1] ** powers[1]).sum().item()
    assert integral == pytest.approx(monomial_integral(box, powers), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_gauss_legendre_is_not_exact_at_degree_2n(n):
    box = Box(x=(-1, 1))
    points, weights = box.quadrature(n, "gauss-legendre")
    assert abs((weights * points[:, 0] ** (2 * n)).sum() - 2 / (2 * n + 1)) > 1e-4


@given(n=st.integers(2, 8), rule=st.sampled_from(["midpoint", "trapezoid"]), a=st.floats(-5, 5), b=st.floats(-5, 5))
def test_midpoint_and_trapezoid_are_exact_on_straight_lines(n, rule, a, b):
    points, weights = Box(x=(-1, 3)).quadrature(n, rule)
    assert (weights * (a + b * points[:, 0])).sum().item() == pytest.approx(4 * a + 4 * b, abs=1e-10)


@pytest.mark.parametrize(("rule", "factor"), [("midpoint", -1 / 24), ("trapezoid", 1 / 12)])
def test_midpoint_and_trapezoid_have_the_leading_error_of_the_textbook(rule, factor):
    # error = factor * h^2 * [f'(b) - f'(a)] + O(h^4)
    points, weights = Box(x=(0, 1)).quadrature(101, rule)
    h = 1 / 101 if rule == "midpoint" else 1 / 100
    error = (weights * torch.exp(points[:, 0])).sum() - torch.expm1(torch.tensor(1.0, dtype=torch.float64))
    assert error.item() == pytest.approx(factor * h**2 * (torch.e - 1), rel=1e-3)


def test_trapezoid_has_nodes_on_the_faces_and_midpoint_has_none():
    box = Box(x=(0, 1))
    assert box.quadrature(3, "trapezoid")[0].flatten().tolist() == [0, 0.5, 1]
    assert box.quadrature(2, "midpoint")[0].flatten().tolist() == [0.25, 0.75]


@pytest.mark.parametrize(("rule", "bound"), [("monte-carlo", 0.05), ("sobol", 2e-4)])
def test_random_rules_estimate_the_integral(rule, bound):
    points, weights = Box(x=(0, 1), y=(0, 2)).quadrature(4096, rule, generator=torch.Generator().manual_seed(0))
    integral = (weights * points[:, 0] * torch.sin(points[:, 1])).sum()
    error = abs(integral.item() - 0.5 * (1 - torch.cos(torch.tensor(2.0)).item()))
    assert error < bound


@pytest.mark.parametrize("rule", RULES)
def test_faces_have_rules_of_their_own(rule):
    box = Box(x=(0, 2), t=(1, 4))
    points, weights = box.quadrature(8, rule, fixed={"t": 1})
    assert points.shape == (8, 2)
    assert (points[:, 1] == 1).all()
    assert weights.sum().item() == pytest.approx(2)
    corner, weight = box.quadrature(8, rule, fixed={"t": 4, "x": 0})
    assert (corner.tolist(), weight.tolist()) == ([[0, 4]], [1])
    with pytest.raises(ValueError, match="off the domain"):
        box.quadrature(8, rule, fixed={"t": 5})


# --- how many points


def test_points_defaults_and_counts():
    points = Points()
    assert (points.interior, points.count("any"), points.method, points.resample) == (1000, 100, "uniform", None)
    assert Points(conditions={"left": 7}).count("left") == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"interior": 0}, "The number of points must be a whole number of at least 1, not 0"),
        ({"interior": torch.rand(10, 2)}, r"points of your own are a condition, At\(points, equation=...\), which"),
        ({"interior": 1e4}, "must be a whole number of at least 1, not 10000.0"),
        ({"conditions": 0}, "must be a whole number of at least 1, not 0"),
        ({"conditions": {"left": 10, "right": -1}}, "must be a whole number of at least 1, not -1"),
        ({"method": "random"}, "The sampling method 'random' is unknown: choose one of"),
        ({"resample": -1}, r"resample must be 0 \(never\) or a number of steps, not -1"),
        ({"adaptive": 1.5}, "adaptive is a share of the points, between 0 and 1, not 1.5"),
        ({"adaptive": -0.1}, "adaptive is a share"),
    ],
)
def test_bad_points(arguments, message):
    with pytest.raises(ValueError, match=message):
        Points(**arguments)


def test_a_condition_without_a_count_is_named():
    with pytest.raises(ValueError, match="Points has no count for the condition 'right'"):
        Points(conditions={"left": 10}).count("right")


# --- balls


@pytest.mark.parametrize("method", ["uniform", "latin", "sobol"])
@pytest.mark.parametrize("dim", [2, 3, 50])
def test_points_are_uniform_in_the_ball(method, dim):
    ball = Ball(dim)
    points = ball.sample(4096, method, generator=torch.Generator().manual_seed(0))
    radius = points.norm(dim=1)
    assert ball.contains(points).all()
    assert points.mean(dim=0).norm() < 0.1
    assert abs(float((radius**dim).mean()) - 0.5) < 0.02  # the share of the volume within the radius is uniform
    assert not ball.contains(1.1 * points / radius[:, None]).any()


def test_volume_and_quadrature_of_a_ball():
    assert Ball(2).measure == pytest.approx(pi)
    assert Ball(3).measure == pytest.approx(4 * pi / 3)
    points, weights = Ball(3).quadrature(1024, "sobol", generator=torch.Generator().manual_seed(0))
    assert float(weights.sum()) == pytest.approx(Ball(3).measure)
    assert float((weights * points.square().sum(dim=1)).sum()) == pytest.approx(4 * pi / 5, rel=1e-2)


def test_a_ball_is_no_box():
    assert repr(Ball(2)) == "Ball(2)"
    assert Ball(2) == Ball(2)
    assert Ball(2) != Box(x1=(-1, 1), x2=(-1, 1))
    for attempt, says in [
        (lambda: Ball(1), "at least 2"),
        (lambda: Ball(2).sample(3, "grid"), "uniform, latin or sobol"),
        (lambda: Ball(2).face({"x1": 0.0}), "no faces"),
        (lambda: Ball(2).quadrature(3, "midpoint"), "choose one of gauss-legendre, monte-carlo, sobol"),
    ]:
        with pytest.raises(ValueError, match=says):
            attempt()
