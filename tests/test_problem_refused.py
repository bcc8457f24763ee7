"""What is said about bad problems, residuals and engines."""

from __future__ import annotations

from math import exp, nan

import pytest
import torch

from pinnedu import MLP, Box, Observed, On, Periodic, Problem

BOX = Box(x=(0, 2), t=(0, 1))
X = torch.tensor([[0.0, 0.0], [1.0, 0.5], [2.0, 1.0]], dtype=torch.float64)

ok = lambda u: u


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Problem({"x": (0, 1)}, {}), r"The domain must be a Domain such as Box\(.*\), not \{'x'"),
        (lambda: Problem(BOX, ok), "equations must be a dict of name to what holds there"),
        (lambda: Problem(BOX, {}, [On(t=0, equation=ok)]), "conditions must be a dict"),
        (lambda: Problem(BOX, {}, {"wall": ok}), "The condition 'wall' must be On, Periodic, At, Observed or Integral"),
        (lambda: Problem(BOX, {"pde": 3}), "'pde' must be a function such as lambda u: u.t - u.xx, not 3"),
        (lambda: Problem(BOX, {"pde": lambda w: w}), "'pde' asks for 'w', but there is only u, x, t"),
        (lambda: Problem(BOX, {"pde": lambda u, y: u}), "'pde' asks for 'y', but there is only u, x, t"),
        (
            lambda: Problem(BOX, {"pde": lambda u, E: u}, fields=("u", "v"), unknowns={"D": 1.0}),
            "'pde' asks for 'E', but there is only u, v, x, t, D",
        ),
        (lambda: Problem(BOX, {}, exact=lambda x, y: x), "'exact' asks for 'y', but there is only x, t"),
        (lambda: Problem(BOX, {}, exact=lambda u: u), "'exact' asks for 'u', but there is only x, t"),
        (lambda: Problem(BOX, {}, exact=1.0), "'exact' must be a function"),
        (lambda: Problem(BOX, {}, fields="uv"), r'fields is a tuple of names, such as \("uv",\), not a string'),
        (lambda: Problem(BOX, {}, fields=("u", "x")), "The name 'x' is used twice"),
        (lambda: Problem(BOX, {}, fields=("points",)), "'points' cannot be the name of a field or an unknown"),
        (lambda: Problem(BOX, {}, derived={"u": lambda u: u.x}), "The name 'u' is used twice"),
        (lambda: Problem(BOX, {}, derived={"w": lambda x: x}), "'w' asks for 'x', but there is only u"),
        (lambda: Problem(BOX, {}, derived={"w": lambda u, x: x * u.x}), r"'w' asks for 'x', .* several things is At\(points, eq"),
        (lambda: Problem(BOX, {}, derived={"w": lambda u: u.x**2}), r"'w' must be a derivative .* in At\(points, equation"),
        (lambda: Problem(BOX, {}, derived={"w": lambda u: 2.0}), "The derived 'w' must be a derivative of a field"),
        (lambda: Problem(BOX, {}, fields=("u", "u")), "The name 'u' is used twice"),
        (lambda: Problem(BOX, {}, unknowns={"t": 0.0}), "The name 't' is used twice among fields, coordinates"),
        (lambda: Problem(BOX, {}, unknowns={"D": nan}), "The first guess of the unknown 'D' must be a finite number"),
        (
            lambda: Problem(BOX, {"pde": ok}, {"pde": On(t=0, equation=ok)}),
            "The equation or condition 'pde' needs a name of its own: it is taken",
        ),
        (lambda: Problem(BOX, {}, {"interior": On(t=0, equation=ok)}), "The equation or condition 'interior' needs a name"),
        (lambda: On(equation=ok), r"On needs a coordinate to fix, such as On\(t=0, equation=...\)"),
        (
            lambda: Problem(BOX, {}, {"wall": On(z=0, equation=ok)}),
            "The condition 'wall' names 'z', but the coordinates are x, t",
        ),
        (
            lambda: Problem(BOX, {}, {"wall": On(x=3, equation=ok)}),
            r"The condition 'wall' is off the domain: x = 3 is not in \[0, 2\]",
        ),
        (lambda: Problem(BOX, {}, {"wall": On(x=0, t=-0.1, equation=ok)}), "off the domain: t = -0.1"),
        (lambda: Problem(BOX, {}, {"wall": On(x=nan, equation=ok)}), "off the domain: x = nan"),
        (lambda: Problem(BOX, {}, {"wall": On(x=0, equation=lambda w: w)}), "'wall' asks for 'w'"),
        (lambda: Periodic("x", order=-1), "The order of Periodic must be a whole number of at least 0, not -1"),
        (lambda: Problem(BOX, {}, {"ends": Periodic("y")}), "The condition 'ends' names 'y', but the coordinates are"),
        (lambda: Observed(X), r"Observed needs the values of a field, such as Observed\(points, u=values\)"),
        (
            lambda: Problem(BOX, {}, {"data": Observed(X[:, :1], u=X[:, 0])}),
            r"The data 'data' needs points of shape \(N, 2\) with columns x, t, not \(3, 1\)",
        ),
        (lambda: Problem(BOX, {}, {"data": Observed(X[0], u=1.0)}), r"needs points of shape \(N, 2\) .* not \(2,\)"),
        (lambda: Problem(BOX, {}, {"data": Observed(X[:0], u=[])}), r"needs points of shape \(N, 2\) .* not \(0, 2\)"),
        (
            lambda: Problem(BOX, {}, {"data": Observed(X * nan, u=X[:, 0])}),
            "has points that are NaN or infinite: remove",
        ),
        (
            lambda: Problem(BOX, {}, {"data": Observed(X + 1, u=X[:, 0])}),
            r"The data 'data' has 2 points outside the domain Box\(x=\(0, 2\), t=\(0, 1\)\)",
        ),
        (lambda: Problem(BOX, {}, {"data": Observed(X, w=X[:, 0])}), "The data 'data' gives 'w', but the fields are u"),
        (
            lambda: Problem(BOX, {}, {"data": Observed(X, u=X[:2, 0])}),
            r"needs values of u of shape \(3,\), not \(2,\)",
        ),
        (lambda: Problem(BOX, {}, {"data": Observed(X, u=X[:, :1])}), r"values of u of shape \(3,\), not \(3, 1\)"),
        (
            lambda: Problem(BOX, {}, {"data": Observed(X, u=[0.0, nan, 1.0])}),
            "The data 'data' has values of u that are NaN or infinite: remove those rows",
        ),
    ],
)
def test_bad_problems(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("equation", "points", "message"),
    [
        (lambda u: u.z, X, r"u\.z is not a derivative: the coordinates are x, t"),
        (lambda u: 0.0, X, r"'pde' must return one number a point, shape \(3,\), or a tuple of such, not float"),
        (lambda u: torch.mean(u), X, r"'pde' must return one number a point, shape \(3,\), or a tuple of such, not \(\)"),
        (lambda u: torch.stack([u, u]), X, r"must return one number a point, shape \(3,\), or a tuple of such, not \(2, 3\)"),
        (lambda u: (u, None), X, "must return one number a point, .* not NoneType"),
        (lambda u: (), X, "'pde' must return one number a point, or a tuple of such, not an empty one"),
        (lambda u: [], X, "not an empty one"),
        (lambda u: exp(u), X, r"'pde' fails when it is called \(ValueError: .*converted to Python scalars\)"),
        (lambda u: torch.cat([]), X, r"'pde' fails when it is called \((Runtime|Value)Error: .*\)\."),
        (lambda u: int("no"), X, r"'pde' fails when it is called \(ValueError: invalid literal .*\)\."),
        (ok, X[:, :1], r"The points of 'interior' must have shape \(N, 2\) with columns x, t, not \(3, 1\)"),
        (ok, X[0], r"The points of 'interior' must have shape \(N, 2\)"),
        (ok, {"data": X}, r"The points of 'data' must have shape \(N, 3\) with columns x, t, u, not \(3, 2\)"),
        (ok, {"wall": X}, "The sample has a set 'wall', but the conditions are"),
    ],
)
def test_bad_residuals(closed_form, equation, points, message):
    problem = Problem(BOX, {"pde": equation}, {"data": Observed(X, u=X[:, 0])})
    with pytest.raises(ValueError, match=message):
        problem.residuals(closed_form(lambda x, t: x**2 * t), points, "autograd")


def test_an_unknown_engine():
    problem = Problem(BOX, {"pde": ok})
    with pytest.raises(ValueError, match=r"derivatives='magic' is unknown: choose one of .*autograd"):
        problem.residuals(MLP(problem), X, "magic")
