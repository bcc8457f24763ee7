"""Data in any form: what is taken, what is left out, and what is said of the rest."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from pinnedu import MLP, At, Box, GaussNewton, Observed, On, Points, Problem, fit

T = np.linspace(0, 1, 21)
U = np.exp(-2 * T)
LINE = Box(t=(0, 1))


class Table:
    """What a table of another library is to NumPy."""

    def __init__(self, values):
        self.values = values
        self.values.setflags(write=False)

    def __array__(self, dtype=None, copy=None):
        return self.values


WAYS = {
    "reversed": lambda a: a[::-1],
    "big-endian": lambda a: a.astype(">f8"),
    "long double": lambda a: a.astype(np.longdouble),
    "single": lambda a: a.astype(np.float32),
    "half": lambda a: a.astype(np.float16),
    "object": lambda a: a.astype(object),
    "fractions": lambda a: np.vectorize(Fraction, otypes=[object])(a),
    "decimals": lambda a: np.vectorize(Decimal, otypes=[object])(a),
    "list": lambda a: a.tolist(),
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "Fortran order": np.asfortranarray,
    "read-only table": lambda a: Table(a.copy()),
    "masked, nothing hidden": lambda a: np.ma.masked_array(a),
    "tensor": torch.tensor,
    "tensor with a gradient": lambda a: torch.tensor(a, requires_grad=True),
    "bfloat16": lambda a: torch.tensor(a, dtype=torch.bfloat16),
    "sparse tensor": lambda a: torch.tensor(a).to_sparse(),
}


@pytest.mark.parametrize("name", WAYS)
def test_real_numbers_in_any_form(name):
    data = Observed(WAYS[name](T[:, None]), u=WAYS[name](U))
    Problem(LINE, {}, {"data": data})
    order = slice(None, None, -1) if name == "reversed" else slice(None)
    close = 1e-2 if name in ("half", "bfloat16") else 1e-6
    assert np.allclose(data.where[:, 0], T[order], atol=close)
    assert np.allclose(data.values["u"], U[order], atol=close)
    assert data.where.dtype == data.values["u"].dtype == torch.float64
    assert not data.where.requires_grad


def test_tables_of_pandas_and_xarray():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"t": T, "u": U})
    half = table[table.t > 0.5]
    assert torch.equal(Observed(half[["t"]], u=half["u"]).values["u"], torch.tensor(U[T > 0.5]))


@pytest.mark.parametrize("high", [0.1, 0.7, 1 / 3, 1e-3, 1e5 + 0.1])
@pytest.mark.parametrize("form", [np.float32, np.float64, torch.tensor])
def test_single_precision_on_a_face(high, form):
    x = np.linspace(0, high, 11, dtype=np.float32)
    x = torch.tensor(x) if form is torch.tensor else x.astype(form)
    Problem(Box(x=(0, high)), {}, {"data": Observed(x[:, None], u=x)})
    Problem(Box(x=(-high, 0)), {}, {"data": Observed(-x[:, None], u=x)})
    Problem(Box(x=(0, high)), {}, {"end": On(x=np.float32(high), equation=lambda u: u)})


def test_single_precision_on_a_face_stays_in_the_part_that_ends_there():
    data = Observed(np.float32([[0.05], [0.1], [0.2]]), u=[1.0, 2.0, 3.0])
    assert data.restrict(Box(x=(0, 0.1))).values["u"].tolist() == [1, 2]
    assert data.restrict(Box(x=(0.1, 0.2))).values["u"].tolist() == [2, 3]
    exact = Observed(np.array([[0.1 + 1e-6]]), u=[1.0])
    assert exact.restrict(Box(x=(0, 0.1))) is None


def test_a_short_interval_far_from_zero():
    t = np.linspace(1000, 1000.1, 11, dtype=np.float32)
    Problem(Box(t=(1000, 1000.1)), {}, {"data": Observed(t[:, None], u=t)})


def test_masked_rows_are_left_out_and_counted():
    values, points = np.ma.masked_array(U.copy(), T[7] == T), np.ma.masked_array(T[:, None].copy(), (T > 0.93)[:, None])
    with pytest.warns(UserWarning, match="Observed leaves out 3 of 21 rows, which are masked"):
        data = Observed(points, u=values)
    assert data.left_out == 3
    assert "3 masked rows left out" in repr(data)
    assert len(data.where) == len(data.values["u"]) == 18
    problem = Problem(LINE, {"decay": lambda u, k: u.t + k * u}, {"data": data}, unknowns={"k": 1.0})
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=40, seed=0)
    assert run.unknowns["k"] == pytest.approx(2, abs=1e-2)


def test_a_mask_hides_the_row_of_all_columns():
    with pytest.warns(UserWarning, match="At leaves out 1 of 21 rows"):
        data = At(torch.tensor(T[:, None]), equation=lambda u, a, b: u - a - b, a=np.ma.masked_array(U, T == 0), b=list(U))
    assert len(data.values["b"]) == 20
    assert data.values["b"][0] == U[1]


@pytest.mark.parametrize(
    ("points", "values", "message"),
    [
        (T[:, None], U + 1j, "The values of u must be an array of real numbers"),
        (T[:, None], U > 0.5, "must be an array of real numbers"),
        (T[:, None], [*U[:-1], "a"], "must be an array of real numbers"),
        (T[:, None], np.array([*U[:-1], "a"], dtype=object), "real numbers, but at row 20 it has 'a'"),
        (T[:, None], np.array([*U[:3], 1j, *U[4:]], dtype=object), "at row 3 it has 1j"),
        (T[:, None], np.array(["2020-01-01"] * 21, dtype="datetime64[D]"), "must be an array of real numbers"),
        (T[:, None], np.array([*U[:-1], None], dtype=object), "remove those rows, 1 of 21, the first of them row 20"),
        (T[:, None], np.where(T[4] == T, np.nan, U), "NaN or infinite: remove those rows, 1 of 21, the first of them row 4"),
        (np.where(T[5] == T, np.inf, T)[:, None], U, "points that are NaN or infinite.* row 5"),
        (np.where(T[5] == T, 1.25, T)[:, None], U, r"1 points outside .* the first is row 5 \(t = 1.25\), 0.25 outside"),
        (-T[:, None], U, r"20 points outside .* the first is row 1 \(t = -0.05\), 0.05 outside"),
        (T, U, r"needs points of shape \(N, 1\)"),
        (T[:, None], U[:, None], r"values of u of shape \(21,\), not \(21, 1\)"),
    ],
)
def test_what_is_refused_says_which_row(points, values, message):
    with pytest.raises(ValueError, match=message):
        Problem(LINE, {}, {"data": Observed(points, u=values)})


# --- At


RIM = 0.3 * np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 65)[:-1]), np.sin(a)], axis=1)
SQUARE = {"domain": Box(x=(-1, 1), y=(-1, 1)), "equations": {}}


def test_a_normal_derivative_on_a_curve(closed_form):
    nx, ny = RIM.T / 0.3
    rim = At(RIM, equation=lambda u, nx, ny, flux: u.x * nx + u.y * ny - flux, nx=nx, ny=ny, flux=nx)
    problem = Problem(**SQUARE, conditions={"rim": rim})
    assert problem.residuals(closed_form(lambda x, y: x), problem.sample())["rim"].abs().max() < 1e-14


def test_a_measured_flux_finds_the_conductivity():
    x = np.array([[0.0], [0.3], [1.0]])
    problem = Problem(
        Box(x=(0, 1)),
        {"heat": lambda u: u.xx},
        {
            "ends": At([[0.0], [1.0]], equation=lambda u, x: u - x),
            "flux": At(x, equation=lambda u, k, q: (-k * u.x - q,), q=[-2.5] * 3),
        },
        unknowns={"k": 1.0},
    )
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=40, seed=0, points=Points(50))
    assert run.unknowns["k"] == pytest.approx(2.5, rel=1e-3)


def test_observed_is_the_short_form_of_at(closed_form):
    data = {"long": At(RIM, equation=lambda u, v: u - v, v=RIM[:, 1]), "short": Observed(RIM, u=RIM[:, 1])}
    problem = Problem(**SQUARE, conditions=data)
    found = problem.residuals(closed_form(lambda x, y: x * y), problem.sample())
    assert torch.equal(found["long"], found["short"])


def test_points_of_ones_own_are_thinned_and_restricted():
    data = At(RIM, equation=lambda u, v: u - v, v=RIM[:, 0])
    problem = Problem(**SQUARE, conditions={"rim": data})
    assert problem.sample(Points(2, {"rim": 5}))["rim"].shape == (5, 3)
    right = data.restrict(Box(x=(0, 1), y=(-1, 1)))
    assert len(right.where) == len(right.values["v"]) == int((RIM[:, 0] > -1e-12).sum())
    assert data.restrict(Box(x=(0.9, 1), y=(-1, 1))) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: At(RIM, equation=lambda u, w: u), "asks for 'w', but there is only"),
        (lambda: At(RIM, equation=lambda u: u, x=RIM[:, 0]), "column 'x', which is the name of something else"),
        (lambda: At(RIM, equation=3), "must be a function"),
        (lambda: At(RIM, equation=lambda u, v: u, v=RIM), r"values of v of shape \(64,\), not \(64, 2\)"),
        (lambda: At(4 * RIM, equation=lambda u: u), r"outside the domain .* row 0 \(x = 1.2, y = 0\), 0.2 outside"),
        (lambda: Observed(RIM, equation=lambda u: u), r"is At\(points, equation=...\)"),
    ],
)
def test_what_at_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        Problem(**SQUARE, conditions={"rim": make()})


# --- NumPy in an equation


@pytest.mark.parametrize(
    "equation",
    [
        lambda u, x: u.x - np.interp(x, [0, 1], [0, 2]),
        lambda u, x: np.interp(x, [0, 1], [0, 2]) - u.x,
        lambda u, x: u.x * np.ones(3) - 2 * x,
        lambda u, x: np.interp(x, [0, 1], [0, 2]) * u.x - 4 * x**2,
        lambda x: np.interp(x, [0, 1], [0, 2]) - 2 * np.asarray(x),
        lambda u, x: (u.x - np.polyval([2, 0], np.asarray(x)), np.interp(x, [0, 1], [0, 2]) - u.x),
    ],
)
def test_numpy_functions_of_coordinates(equation, closed_form):
    points = torch.tensor([[0.0], [0.25], [1.0]], dtype=torch.float64)
    problem = Problem(Box(x=(0, 1)), {"e": equation})
    assert problem.residuals(closed_form(lambda x: x**2), points)["e"].abs().max() < 1e-14


def test_training_with_a_table_in_the_equation():
    problem = Problem(
        Box(x=(0, 1)),
        {"e": lambda u, x: np.interp(x, [0, 1], [0, 2]) - u.x},
        {"start": On(x=0, equation=lambda u: u)},
        exact=lambda x: x**2,
    )
    run = fit(MLP(problem, (10,)), problem, optimizer=GaussNewton(), steps=30, seed=0, points=Points(50))
    assert run.error < 1e-3
