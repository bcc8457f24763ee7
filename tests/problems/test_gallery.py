"""The gallery: each truth solves its problem, and the list says what it is."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import pytest
import torch

from pinnedu import MLP, GaussNewton, Points, fit, problems, relative_error
from pinnedu.problems import GALLERY, Exhibit

NAMED = {exhibit.name: exhibit for exhibit in GALLERY}
FORMULAS = "wave helmholtz helmholtz_high poisson_multiscale kovasznay heat_multiscale poisson_5 poisson_10 poisson_100 "
FORMULAS += "heat_cube inverse_diffusivity"


class Solution(torch.nn.Module):
    """The closed form as a model: its derivatives are taken by autograd."""

    def __init__(self, problem):
        super().__init__()
        self.problem = problem
        self.weight = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, points):
        found = self.problem.solution(points)
        return self.weight * torch.stack([found[name] for name in self.problem.fields], dim=1)


@cache
def problem(name):
    return NAMED[name].problem()


@pytest.mark.parametrize("name", FORMULAS.split())
def test_a_closed_form_has_no_residual(name):
    made = problem(name)
    sample = made.sample(Points(20, 10), generator=torch.Generator().manual_seed(0))
    sample.pop("readings", None)
    residuals = made.residuals(Solution(made), sample, "autograd")
    assert residuals.keys() == set(made.terms) - {"readings"}
    for term, residual in residuals.items():
        assert residual.abs().max() < 1e-9, term


@pytest.mark.parametrize(
    ("name", "step", "accuracy"),
    [
        ("korteweg_de_vries", 2e-3, 2e-2),
        ("kuramoto_sivashinsky", 4e-3, 2e-2),
        ("cavity", 4e-3, 1e-4),
        ("cavity_parabolic", 4e-3, 1e-2),
        ("lorenz", 1e-3, 1e-6),
    ],
)
def test_a_computed_solution_solves_the_equations(name, step, accuracy):
    """By central differences of order six, relative to the largest term; in a cavity for the curl, which has no pressure."""
    made = problem(name)
    low, high = made.domain.low, made.domain.high
    slack = 0.1 * (high - low)
    points = torch.linspace(0.03, 0.97, 25, dtype=torch.float64)
    columns = [points] + [points.flip(0).roll(7)] * (made.domain.dim - 1)
    points = (low + slack) + torch.stack(columns, 1) * (high - low - 2 * slack)

    def values(shift):
        return made.solution(points + step * torch.tensor(shift, dtype=torch.float64))

    terms = TERMS[name.removesuffix("_parabolic")](lambda *orders: differences(values, orders, step))
    for equation in terms:
        total, size = sum(equation), max(term.abs().max() for term in equation)
        assert size > 1e-3
        assert total.abs().max() < accuracy * size, (name, float(total.abs().max() / size))


WEIGHTS = {  # central differences of order six, at -4, ..., 4
    0: [0, 0, 0, 0, 1, 0, 0, 0, 0],
    1: [0, -1 / 60, 3 / 20, -3 / 4, 0, 3 / 4, -3 / 20, 1 / 60, 0],
    2: [0, 1 / 90, -3 / 20, 3 / 2, -49 / 18, 3 / 2, -3 / 20, 1 / 90, 0],
    3: [-7 / 240, 3 / 10, -169 / 120, 61 / 30, 0, -61 / 30, 169 / 120, -3 / 10, 7 / 240],
    4: [7 / 240, -2 / 5, 169 / 60, -122 / 15, 91 / 8, -122 / 15, 169 / 60, -2 / 5, 7 / 240],
}


def differences(values, orders, step):
    """A mixed derivative of every field, by the orders for each coordinate."""
    found = {}
    shifts = [(weight, ()) for weight in (1.0,)]
    for order in orders:
        nodes = enumerate(WEIGHTS[order], start=-4)
        nodes = [(weight / step**order, node) for node, weight in nodes if weight]
        shifts = [(w * weight, (*shift, node)) for w, shift in shifts for weight, node in nodes]
    for weight, shift in shifts:
        for name, value in values(shift).items():
            found[name] = found.get(name, 0) + weight * value
    return found


def kdv(d):
    u = d(0, 0)["u"]
    return [[d(0, 1)["u"], u * d(1, 0)["u"], 0.022**2 * d(3, 0)["u"]]]


def ks(d):
    a, b, c = 100 / 16, 100 / 16**2, 100 / 16**4
    return [[d(0, 1)["u"], a * d(0, 0)["u"] * d(1, 0)["u"], b * d(2, 0)["u"], c * d(4, 0)["u"]]]


def flow(d):
    """Mass, and the vorticity w = v_x - u_y: u w_x + v w_y = (w_xx + w_yy) / 100."""
    w_x, w_y = d(2, 0)["v"] - d(1, 1)["u"], d(1, 1)["v"] - d(0, 2)["u"]
    w_xx, w_yy = d(3, 0)["v"] - d(2, 1)["u"], d(1, 2)["v"] - d(0, 3)["u"]
    here = d(0, 0)
    return [[d(1, 0)["u"], d(0, 1)["v"]], [here["u"] * w_x, here["v"] * w_y, -w_xx / 100, -w_yy / 100]]


def attractor(d):
    here, slope = d(0), d(1)
    x, y, z = here.values()
    return [
        [slope["x"], -10 * y, 10 * x],
        [slope["y"], -15 * x, x * z, y],
        [slope["z"], -x * y, 8 / 3 * z],
    ]


TERMS = {"korteweg_de_vries": kdv, "kuramoto_sivashinsky": ks, "cavity": flow, "lorenz": attractor}


def test_two_solitons_solve_the_schroedinger_equation(closed_form):
    """The formula of the whole line has no residual in the equations; at the ends it is not periodic."""

    def h(x, t):
        turn = torch.polar(torch.ones_like(t), 4 * t)
        above = 4 * torch.polar(torch.ones_like(t), t / 2) * (torch.cosh(3 * x) + 3 * turn * torch.cosh(x))
        return above / (torch.cosh(4 * x) + 4 * torch.cosh(2 * x) + 3 * torch.cos(4 * t))

    made = problem("schroedinger")
    model = closed_form(lambda x, t: h(x, t).real, lambda x, t: h(x, t).imag)
    residuals = made.residuals(model, made.sample(Points(50, 20)), "autograd")
    assert max(residuals[term].abs().max() for term in ("real", "imaginary", "initial")) < 1e-10
    assert residuals["periodic"].abs().max() > 1e-2


COMPUTED = "burgers burgers_thin allen_cahn korteweg_de_vries kuramoto_sivashinsky schroedinger cavity cavity_parabolic lorenz"
COMPUTED += " laplace_holes screened_poisson l_shape l_shape_singular"


@pytest.mark.parametrize("name", COMPUTED.split())
def test_a_computed_solution_meets_the_conditions(name):
    """Those that need no derivative and no pressure."""
    made = problem(name)
    model = Computed(made)
    sample = made.sample(Points(1, 20), generator=torch.Generator().manual_seed(0))
    del sample["interior"]
    for term in ("pressure", "periodic"):
        if term in sample:
            points = sample.pop(term)
            if term == "periodic":
                left, right = (torch.stack(list(made.solution(half).values())) for half in points.chunk(2))
                torch.testing.assert_close(left, right, atol=1e-9, rtol=0)
    accuracy = {"screened_poisson": 1e-7, "l_shape": 1e-7}.get(name, 1e-9)
    for term, residual in made.residuals(model, sample, "autograd").items():
        assert residual.abs().max() < accuracy, term


@pytest.mark.parametrize("name", ["laplace_holes", "screened_poisson", "l_shape", "l_shape_singular"])
def test_training_on_a_shape_lowers_the_loss(name):
    made = replace(problem(name), exact=None)  # what it costs is paid elsewhere
    assert made.domain.contains(made.domain.evaluation_points(500)).all()
    model = MLP(made, (16,), seed=0)
    run = fit(model, made, optimizer=GaussNewton(), steps=10, seed=0, points=Points(150, 60))
    assert run.history["loss"][-1] < 0.9 * run.history["loss"][0]


class Computed(Solution):
    """Values alone, with 0 for a pressure that is not known."""

    def forward(self, points):
        found = self.problem.solution(points.detach())
        zero = torch.zeros_like(points[:, 0])
        return self.weight * torch.stack([found.get(name, zero) for name in self.problem.fields], dim=1)


def test_together_they_are_what_the_gallery_lists():
    assert {exhibit.number for exhibit in GALLERY} == {*range(1, 19)}
    assert len(NAMED) == len(GALLERY)
    assert [exhibit.number for exhibit in GALLERY] == sorted(exhibit.number for exhibit in GALLERY)
    for exhibit in GALLERY:
        assert exhibit.name.isidentifier()
        assert 0 < exhibit.aim < 0.1
        assert exhibit.seconds > 0
        assert (exhibit.published is None) == (exhibit.source == "")
    assert {exhibit.number for exhibit in GALLERY if exhibit.development} == {1, 2, 4, 6, 8, 10, 12, 14, 16, 18}


def test_the_error_that_counts():
    inverse, lorenz = NAMED["inverse_diffusivity"], NAMED["lorenz"]
    made = problem("inverse_diffusivity")
    model = Solution(made)
    with torch.no_grad():
        model.weight.mul_(1.01)
    assert inverse.error(model, made) == pytest.approx(0.01)
    assert relative_error(model, made, fields=("u",)) == pytest.approx(0.01)
    plain = MLP(problem("lorenz"), (4,))
    assert lorenz.error(plain, problem("lorenz"), {"sigma": 10.0, "rho": 15.3, "beta": 8 / 3}) == pytest.approx(0.02)
    assert lorenz.error(plain, problem("lorenz"), lorenz.unknowns) == 0
    assert isinstance(lorenz, Exhibit)
    with pytest.raises(ValueError, match="has no 'b': it has u, a"):
        relative_error(model, made, fields=("b",))


def test_readings_have_the_noise_that_they_should():
    clean = problems.inverse_diffusivity(0.0).conditions["readings"].values["u"]
    noise = problem("inverse_diffusivity").conditions["readings"].values["u"] - clean
    assert noise.shape == (2500,)
    assert float(noise.std()) == pytest.approx(0.1, rel=0.05)
    other = problems.inverse_diffusivity(0.1, seed=1).conditions["readings"].values["u"] - clean
    assert abs(float(torch.corrcoef(torch.stack([noise, other]))[0, 1])) < 0.1


def test_walls_are_all_faces_but_those_of_time():
    walls = problem("heat_cube").domain.parts["walls"]
    assert walls.measure == 8
    points, normals = walls.sample(800, generator=torch.Generator().manual_seed(0))
    assert (normals[:, -1] == 0).all()
    assert len({tuple(normal) for normal in normals.tolist()}) == 8
    on_face = ((points[:, :-1] == 0) | (points[:, :-1] == 1)).any(dim=1)
    assert on_face.all()
    assert "walls" not in problem("helmholtz").domain.parts
    assert "walls" not in problem("lorenz").domain.parts


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: problems.wave(0), "The speed must be a positive number"),
        (lambda: problems.helmholtz(0), "The frequency a must be a whole number of at least 1"),
        (lambda: problems.helmholtz(k=math.inf), "The wave number k must be a finite number"),
        (lambda: problems.poisson_multiscale(()), "frequencies must be a tuple such as"),
        (lambda: problems.poisson_multiscale((4, 0)), "Each of the frequencies must be a whole number of at least 1"),
        (lambda: problems.cavity("flat"), "The lid 'flat' is unknown: choose one of smooth, parabolic"),
        (lambda: problems.l_shape("round"), "The kind of L-shape 'round' is unknown: choose one of loaded, singular"),
        (lambda: problems.kovasznay(-1), "The Reynolds number must be a positive number"),
        (lambda: problems.poisson_cube(1), "dim must be a whole number from 2 to 10000"),
        (lambda: problems.poisson_cube(5, "cubes"), "The solution 'cubes' is unknown: choose one of cosines"),
        (lambda: problems.poisson_cube(5, "products"), "dim must be even"),
        (lambda: problems.heat_cube(0), "dim must be a whole number from 1 to 10000"),
        (lambda: problems.inverse_diffusivity(-1), "noise must be a finite number of at least 0"),
        (lambda: problems.inverse_diffusivity(seed=-1), "seed must be a whole number of at least 0"),
        (lambda: problems.lorenz(1), "readings must be a whole number of at least 2"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_errors_by_field():
    made = problem("kovasznay")
    model = Solution(made)
    assert relative_error(model, made) == 0
    with torch.no_grad():
        model.weight.mul_(0.9)
    assert {name: round(relative_error(model, made, fields=(name,)), 12) for name in made.fields} == dict.fromkeys("uvp", 0.1)
