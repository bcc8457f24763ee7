"""Exponential time differencing: against closed forms, itself at other resolutions, and an explicit solver."""

from __future__ import annotations

from dataclasses import replace
from math import pi

import numpy as np
import pytest
from scipy.fft import irfft, rfft
from scipy.integrate import solve_ivp

from pinnedu.reference.periodic import KORTEWEG_DE_VRIES, KURAMOTO_SIVASHINSKY, Evolution

BOTH = [KORTEWEG_DE_VRIES, KURAMOTO_SIVASHINSKY]


def difference(u, v):
    return np.linalg.norm(u - v) / np.linalg.norm(v)


def grid(evolution, n=65):
    return np.linspace(*evolution.interval, n)[:, None], np.linspace(0, evolution.duration, 9)


@pytest.mark.parametrize(
    ("evolution", "points", "end", "accuracy"),
    [pytest.param(KORTEWEG_DE_VRIES, 160, 0.4, 1e-6, id="kdv"), pytest.param(KURAMOTO_SIVASHINSKY, 128, 0.2, 1e-4, id="ks")],
)
def test_an_explicit_runge_kutta_method_gives_the_same(evolution, points, end, accuracy):
    """As far as an explicit method comes in seconds."""
    coarse = replace(evolution, points=points)
    k, symbol = coarse.wave_numbers, evolution.linear(coarse.wave_numbers)
    found = solve_ivp(
        lambda t, u: irfft(symbol * rfft(u) - 0.5j * evolution.speed * k * rfft(u * u), points),
        (0, end),
        evolution.initial(coarse.grid),
        method="DOP853",
        rtol=1e-8,
        atol=1e-8,
    )
    assert difference(found.y[:, -1], evolution(coarse.grid, end)) < accuracy


@pytest.mark.parametrize(
    ("evolution", "accuracy"),
    [pytest.param(KORTEWEG_DE_VRIES, 1e-8, id="kdv"), pytest.param(KURAMOTO_SIVASHINSKY, 1e-6, id="ks")],
)
def test_half_the_steps_give_nearly_the_same(evolution, accuracy):
    x, t = grid(evolution)
    assert difference(replace(evolution, steps=evolution.steps // 2)(x, t), evolution(x, t)) < accuracy
    tail = np.abs(evolution.states[:, -10:]).max()
    assert tail < 1e-9 * np.abs(evolution.states).max(), "the grid resolves the solution"


def test_a_soliton_keeps_its_shape():
    """3 c sech^2(sqrt(c) (x - c t) / (2 delta)) solves u_t + u u_x + delta^2 u_xxx = 0 (Korteweg & de Vries 1895)."""
    c, delta = 0.8, 0.022

    def soliton(x, t=0.0):
        place = np.mod(x - c * t + 1, 2) - 1
        return 3 * c / np.cosh(c**0.5 * place / (2 * delta)) ** 2

    wave = replace(KORTEWEG_DE_VRIES, initial=soliton, steps=4000)
    x = np.linspace(-1, 1, 97)
    for t in (0.3, 0.9, 1.0):
        assert difference(wave(x, t), soliton(x, t)) < 5e-8


def test_what_the_equations_keep_is_kept():
    kdv = KORTEWEG_DE_VRIES.states
    square = 2 * (np.abs(kdv) ** 2).sum(axis=1) - np.abs(kdv[:, 0]) ** 2
    assert np.abs(kdv[:, 0]).max() < 1e-12, "the mean is that of the cosine"
    assert np.abs(square / square[0] - 1).max() < 1e-9
    ks = KURAMOTO_SIVASHINSKY.states
    assert np.abs(ks[:, 0]).max() < 1e-12


def test_without_transport_every_mode_is_on_its_own():
    decay = Evolution((0, 2 * pi), 2.0, lambda x: np.sin(3 * x), lambda k: -(k**2), 0.0, 32, 4)
    x, t = np.linspace(0, 2 * pi, 11)[:, None], np.array([0.0, 0.1, 0.5, 1.9])
    np.testing.assert_allclose(decay(x, t), np.sin(3 * x) * np.exp(-9 * t), atol=1e-14)


def test_the_order_in_time_is_four():
    wave = replace(KORTEWEG_DE_VRIES, initial=lambda x: 0.2 * np.cos(pi * x), points=64)
    fine = replace(wave, steps=1600).states[-1]
    coarse, half = (difference(replace(wave, steps=n).states[-1], fine) for n in (100, 200))
    assert coarse / half == pytest.approx(16, rel=0.2)


@pytest.mark.parametrize("evolution", BOTH)
def test_start_period_and_shape(evolution):
    low, high = evolution.interval
    x = np.linspace(low, high, 7)
    np.testing.assert_array_equal(evolution(x, 0.0), evolution.initial(x))
    assert evolution(low, 0.7) == pytest.approx(evolution(high, 0.7), abs=1e-12)
    assert evolution(x[:, None], [0.1, 0.2]).shape == (7, 2)


def test_points_out_of_range():
    with pytest.raises(ValueError, match=r"x must lie in \[-1, 1\]"):
        KORTEWEG_DE_VRIES(1.5, 0.0)
    with pytest.raises(ValueError, match=r"t must lie in \[0, 1\]"):
        KURAMOTO_SIVASHINSKY(1.0, 2.0)
    with pytest.raises(ValueError, match="shapes that broadcast"):
        KORTEWEG_DE_VRIES([0.1, 0.2, 0.3], [0.1, 0.2])
