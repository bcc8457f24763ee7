"""Corners at which two conditions disagree, and sets of one's own: smaller domains, interfaces."""

from __future__ import annotations

import math

import pytest
import shapely
import torch

from pinnedu import MLP, Adam, Ball, Box, GaussNewton, LevelSet, On, Periodic, Points, Problem, Region, fit
from pinnedu.corners import conflicts
from pinnedu.problems import GALLERY

SQUARE = Box(x=(0, 1), y=(0, 1))
PLATE = Region(shapely.box(0, 0, 1, 1) - shapely.box(0.4, 0.4, 0.6, 0.6), parts={"left": lambda x: x == 0})


def told(domain, fields=("u",), **conditions):
    return conflicts(Problem(domain, {}, conditions, fields=fields))


def test_a_lid_and_a_wall():
    lid, wall = On(y=1, equation=lambda u: u - 1), On("x low", equation=lambda u: 2 * u)
    (said,) = told(SQUARE, lid=lid, wall=wall)
    assert "'lid' and 'wall' ask for u = 1 and 0 where they meet (x = 0, y = 1)" in said
    assert told(SQUARE, lid=On(y=1, equation=lambda u, x: u - x), wall=wall) == []


@pytest.mark.parametrize(
    "other",
    [
        On(x=0, equation=lambda u: u.x),
        On(x=0, equation=lambda u: u.x + u),
        On("x low", equation=lambda u: u.n),
        On(x=0, equation=lambda u, v: u + v),
        On(x=0, equation=lambda u: u * u),
        On(x=0, equation=lambda v: v),
        On(y=0, equation=lambda u: u),
        On(x=0, equation=lambda u: torch.log(u.value)),
        Periodic("x"),
    ],
)
def test_conditions_that_ask_for_no_other_value(other):
    assert told(SQUARE, ("u", "v"), lid=On(y=1, equation=lambda u: u - 1), other=other) == []


def test_corners_of_other_shapes():
    one, zero = (lambda u: u - 1), (lambda u: u)
    (said,) = told(PLATE, a=On("left", equation=one), b=On("rest", equation=zero))
    assert "(x = 0, y = 0)" in said
    assert told(PLATE, a=On("hole", equation=one), b=On("outside", equation=zero)) == []
    tube = PLATE * Box(t=(0, 1))
    (said,) = told(tube, a=On("left", equation=lambda u, t: u - t), b=On(t=0, equation=one))
    assert "t = 0)" in said
    assert "u = 0 and 1" in said
    assert told(tube, a=On("left", equation=lambda u, t: u - t), b=On(t=0, equation=lambda u, x: u - x)) == []
    quarter = LevelSet(SQUARE, lambda x, y: x**2 + y**2 - 0.25)
    found = told(quarter, a=On("surface", equation=one), b=On("x low", equation=zero), c=On("y low", equation=zero))
    assert len(found) == 2
    assert "(x = 0, y = 0.5)" in found[0]


def test_a_run_says_it_once():
    problem = Problem(
        SQUARE,
        {"e": lambda u: u.laplacian()},
        {"lid": On(y=1, equation=lambda u: u - 1), "wall": On(x=0, equation=lambda u: u)},
    )
    run = fit(MLP(problem, (4,)), problem, optimizer=Adam(), steps=1, seed=0, points=Points(4, 4))
    assert sum("where they meet" in sentence for sentence in run.warnings) == 1


@pytest.mark.parametrize("exhibit", GALLERY, ids=lambda exhibit: exhibit.name)
def test_problems_of_the_gallery_agree_with_themselves(exhibit):
    if exhibit.number not in (9, 10, 15):  # shapes without corners; a hundred dimensions
        assert conflicts(exhibit.problem()) == []


# --- sets of one's own

CORE = Ball((0, 0), 0.5)
SHELL = Region(shapely.Point(0, 0).buffer(1, quad_segs=32) - shapely.Point(0, 0).buffer(0.5, quad_segs=32))


def test_an_interface_between_two_materials():
    """3 a'' = -1 within, b'' = -1 around; a = b and 3 a_n = b_n where they meet."""
    problem = Problem(
        Ball((0, 0)),
        {},
        {
            "within": On(CORE, equation=lambda a: 3 * a.laplacian() + 1),
            "around": On(SHELL, equation=lambda b: b.laplacian() + 1),
            "interface": On(CORE.part("boundary"), equation=lambda a, b: (a - b, 3 * a.n - b.n)),
            "rim": On("boundary", equation=lambda b: b),
        },
        fields=("a", "b"),
    )
    sample = problem.sample(Points(1, 50), generator=torch.Generator().manual_seed(0))
    assert CORE.contains(sample["within"]).all()
    assert SHELL.contains(sample["around"]).all()
    assert sample["interface"].shape == (50, 4)
    run = fit(MLP(problem, (12,)), problem, optimizer=GaussNewton(), steps=30, seed=0, points=Points(1, 100))
    found = run.predict(x=[0.0, 0.75], y=[0.0, 0.0])
    assert found["a"][0] == pytest.approx(0.75 / 4 + 0.25 / 12, rel=1e-2)
    assert found["b"][1] == pytest.approx((1 - 0.75**2) / 4, rel=1e-2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: On(3, equation=lambda u: u), "a Domain or a part of one"),
        (lambda: On(Ball, equation=lambda u: u), "a Domain or a part of one"),
        (lambda: Problem(SQUARE, {}, {"a": On(Box(x=(0, 1)), equation=lambda u: u)}), "must be of x, y"),
        (lambda: Problem(SQUARE, {}, {"a": On(Ball(3).part("boundary"), equation=lambda u: u)}), "one of 2 coordinates"),
        (lambda: Problem(SQUARE, {}, {"a": On(CORE, equation=lambda u: u.n, x=0)}), "On needs a coordinate to fix"),
        (lambda: Problem(SQUARE, {}, {"a": On(CORE, equation=lambda u, n: u.n)}), "asks for the normal n"),
    ],
)
def test_sets_that_are_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_equations_in_a_smaller_domain_are_integrated_there(closed_form):
    from pinnedu.theory import errors

    problem = Problem(SQUARE, {}, {"half": On(Box(x=(0, 0.5), y=(0, 1)), equation=lambda u: u - 0)}, exact=lambda x, y: 0 * x)
    assert errors.norms(closed_form(lambda x, y: 1 + 0 * x), problem)["half"] == pytest.approx(math.sqrt(0.5))
