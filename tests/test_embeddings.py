"""First layers: coordinates to the cube, periodic by construction, and cosines and sines of chosen frequencies."""

from __future__ import annotations

from math import pi

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pinnedu import MLP, Box, FourierFeatures, GaussNewton, Normalize, PeriodicEmbedding, Points, Problem, fit

BOX = Box(x=(-1, 3), t=(0, 10))
PROBLEM = Problem(BOX, {}, fields=("u", "v"))
POINTS = BOX.sample(20, generator=torch.Generator().manual_seed(0))


# --- normalization


def test_normalize_maps_the_box_to_the_cube():
    corners = BOX.grid(2)
    assert Normalize(BOX)(corners).tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert Normalize(BOX, scale=3)(corners).abs().eq(3).all()
    assert Normalize(BOX, scale={"t": 4.0})(corners).abs().tolist() == [[1, 4]] * 4
    assert Normalize(BOX)(torch.tensor([[1.0, 5.0]])).tolist() == [[0, 0]]


def test_normalize_has_nothing_to_train_and_follows_dtype():
    layer = Normalize(BOX)
    assert list(layer.parameters()) == []
    assert layer.to(torch.float32)(POINTS.float()).dtype == torch.float32
    assert set(layer.state_dict()) == {"center", "factor"}


# --- periodic by construction


@given(harmonics=st.integers(1, 4), shift=st.integers(-2, 2), seed=st.integers(0, 20))
def test_periodic_embedding_makes_any_network_periodic(harmonics, shift, seed):
    torch.manual_seed(seed)
    model = MLP(PROBLEM, hidden=(6,), embedding=PeriodicEmbedding(BOX, x=harmonics))
    moved = POINTS + torch.tensor([4.0 * shift, 0.0])
    assert torch.allclose(model(POINTS), model(moved), atol=1e-10)
    half = POINTS + torch.tensor([2.0, 0.0])
    assert not torch.allclose(model(POINTS), model(half), atol=1e-3)  # 4 is the period, not a fraction of it


def test_periodic_embedding_feeds_the_harmonics_named():
    layer = PeriodicEmbedding(BOX, x=2)
    x, t = POINTS.unbind(1)
    w = 2 * pi / 4
    features = layer(POINTS)
    assert layer.out_features == features.shape[1] == 5
    angle = w * (x - 1)  # measured from the middle of the interval
    expected = torch.stack([angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin(), (t - 5) / 5], dim=1)
    assert torch.allclose(features, expected, atol=1e-12)
    assert PeriodicEmbedding(BOX, x=1, t=3).out_features == PeriodicEmbedding(BOX, x=1, t=3)(POINTS).shape[1] == 8


def test_a_guessed_period_is_learned():
    wave = Problem(BOX, {"wave": lambda u, x: u - torch.sin(2.2 * x)})
    torch.manual_seed(0)
    embedding = PeriodicEmbedding(BOX, {"x": 3.0}, x=1)
    assert embedding.period("x") == pytest.approx(3.0)
    assert PeriodicEmbedding(BOX, x=1).period("x") == pytest.approx(4.0)
    model = MLP(wave, hidden=(), embedding=embedding)
    fit(model, wave, optimizer=GaussNewton(), steps=30, points=Points(50), seed=0, progress=False)
    assert embedding.period("x") == pytest.approx(2 * pi / 2.2, rel=1e-8)


# --- Fourier features


def test_fourier_features_are_cosines_and_sines_times_their_scales():
    b, s = torch.tensor([[1.0, 2.0], [0.0, -3.0]], dtype=torch.float64), torch.tensor([2.0, 0.5], dtype=torch.float64)
    layer = FourierFeatures(b, s)
    x, t = POINTS.unbind(1)
    expected = [2 * torch.cos(x + 2 * t), 0.5 * torch.cos(-3 * t), 2 * torch.sin(x + 2 * t), 0.5 * torch.sin(-3 * t)]
    assert torch.allclose(layer(POINTS), torch.stack(expected, dim=1), atol=1e-12)
    assert layer.out_features == 4
    assert not list(layer.parameters())


def test_gaussian_features_are_repeatable():
    first, second = (FourierFeatures.gaussian(2, 7, 3.0, seed=4) for _ in range(2))
    assert torch.equal(first.frequencies, second.frequencies)
    assert first(torch.rand(3, 2, dtype=torch.float64)).shape == (3, 14)
    assert not torch.equal(first.frequencies, FourierFeatures.gaussian(2, 7, 3.0, seed=5).frequencies)
    assert FourierFeatures.gaussian(2, 4000, 3.0).frequencies.std() == pytest.approx(3.0, rel=0.05)


# --- what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: PeriodicEmbedding(BOX),
            r"PeriodicEmbedding needs a coordinate, such as PeriodicEmbedding\(box, x=1\)",
        ),
        (lambda: PeriodicEmbedding(BOX, y=1), "PeriodicEmbedding names 'y', but the coordinates are x, t"),
        (lambda: PeriodicEmbedding(BOX, x=0), "PeriodicEmbedding needs at least one harmonic of x, not 0"),
        (lambda: PeriodicEmbedding(BOX, {"t": 6.0}, x=1), "guesses a period of 't': say how many harmonics, t=1"),
        (lambda: PeriodicEmbedding(BOX, {"t": 0.0}, t=1), r"The period of t must be positive, not 0\.0"),
        (lambda: Normalize(BOX, scale={"y": 2.0}), "scale names 'y', but the coordinates are x, t"),
        (lambda: FourierFeatures(torch.zeros(2, 2, 2)), r"finite numbers of shape \(m, d\), not \(2, 2, 2\)"),
        (lambda: FourierFeatures(torch.ones(3), torch.ones(2)), "one for each frequency"),
        (lambda: FourierFeatures.gaussian(1, 5, 0.0), "standard deviation"),
    ],
)
def test_bad_embeddings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
