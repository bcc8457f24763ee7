"""The data are the published ones, and training samples are drawn reproducibly."""

import dataclasses

import numpy as np
import pytest

from pinnedu import data
from pinnedu.data import CylinderWake, cylinder_wake


@pytest.fixture(scope="module")
def wake() -> CylinderWake:
    return cylinder_wake()


def test_shapes_and_ranges(wake):
    shapes = {field.name: getattr(wake, field.name).shape for field in dataclasses.fields(wake)}
    assert shapes == {
        "sample_xyt": (20000, 3),
        "sample_uv": (20000, 2),
        "sample_p": (20000,),
        "snapshot_t": (5,),
        "grid_xy": (5000, 2),
        "snapshot_uv": (5, 5000, 2),
        "snapshot_p": (5, 5000),
    }
    for name in shapes:
        array = getattr(wake, name)
        assert array.dtype == np.float64
        assert np.isfinite(array).all()
    np.testing.assert_allclose(wake.sample_xyt.min(axis=0), [1, -2, 0], atol=1e-6)
    np.testing.assert_allclose(wake.sample_xyt.max(axis=0), [8, 2, 19.9], atol=1e-6)
    np.testing.assert_allclose(wake.snapshot_t, [0, 5, 10, 15, 19.9], atol=1e-6)


def test_grid_reshapes_to_rows_of_constant_y(wake):
    x, y = wake.grid_xy.T.reshape(2, *wake.grid_shape)
    assert (np.diff(x, axis=1) > 0).all()
    assert (np.diff(y, axis=0) > 0).all()
    assert (x == x[0]).all()
    assert (y == y[:, :1]).all()


def test_snapshots_are_divergence_free(wake):
    """u_x + v_y = 0, up to the second-order error of central differences on this grid."""
    x, y = wake.grid_xy.T.reshape(2, *wake.grid_shape)
    u, v = np.moveaxis(wake.snapshot_uv, -1, 0).reshape(2, 5, *wake.grid_shape)
    u_x = np.gradient(u, x[0], axis=2)[:, 1:-1, 1:-1]
    v_y = np.gradient(v, y[:, 0], axis=1)[:, 1:-1, 1:-1]
    assert np.linalg.norm(u_x + v_y) < 0.02 * np.linalg.norm(u_x)


def test_samples_agree_with_the_snapshots(wake):
    """Where a sample falls on a snapshot, it holds the same numbers."""
    found = 0
    for moment, uv, p in zip(wake.snapshot_t, wake.snapshot_uv, wake.snapshot_p, strict=True):
        index = {tuple(point): k for k, point in enumerate(wake.grid_xy)}
        for row in np.flatnonzero(wake.sample_xyt[:, 2] == moment):
            k = index[tuple(wake.sample_xyt[row, :2])]
            np.testing.assert_array_equal(wake.sample_uv[row], uv[k])
            assert wake.sample_p[row] == p[k]
            found += 1
    assert found > 300


def test_sample_is_a_subset_without_repetition(wake):
    points, velocity = wake.sample(5000, seed=3)
    assert points.shape == (5000, 3)
    assert velocity.shape == (5000, 2)
    assert len(np.unique(points, axis=0)) == 5000
    table = {tuple(point): tuple(uv) for point, uv in zip(wake.sample_xyt, wake.sample_uv, strict=True)}
    assert all(table[tuple(point)] == tuple(uv) for point, uv in zip(points, velocity, strict=True))


def test_sample_depends_on_the_seed_alone(wake):
    first, again, other = (wake.sample(100, noise=0.01, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])


def test_noise_has_the_asked_size_and_keeps_the_points(wake):
    points, clean = wake.sample(5000, seed=0)
    same_points, noisy = wake.sample(5000, noise=0.01, seed=0)
    np.testing.assert_array_equal(points, same_points)
    error = noisy - clean
    np.testing.assert_allclose(error.std(axis=0), 0.01 * clean.std(axis=0), rtol=0.05)
    assert abs(np.corrcoef(error.T)[0, 1]) < 0.05


def test_sampling_does_not_touch_the_data(wake):
    points, velocity = wake.sample(20000, noise=0.5)
    points[:], velocity[:] = 0, 0
    assert wake.sample_xyt.any()
    np.testing.assert_array_equal(wake.sample_uv, cylinder_wake().sample_uv)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 0}, ValueError, "size must lie between 1 and 20000"),
        ({"size": 20001}, ValueError, "the samples there are"),
        ({"size": 10.0}, TypeError, "size must be a whole number"),
        ({"size": True}, TypeError, "size must be a whole number"),
        ({"size": 10, "seed": -1}, ValueError, "seed must not be negative"),
        ({"size": 10, "seed": "a"}, TypeError, "seed must be a whole number"),
        ({"size": 10, "noise": -0.1}, ValueError, "noise must be a fraction >= 0"),
        ({"size": 10, "noise": float("nan")}, ValueError, "noise must be a fraction >= 0"),
    ],
)
def test_bad_input(wake, arguments, error, message):
    with pytest.raises(error, match=message):
        wake.sample(**arguments)


def test_a_damaged_file_is_refused(monkeypatch):
    monkeypatch.setattr(data, "_CYLINDER_WAKE_SHA256", "0" * 64)
    with pytest.raises(RuntimeError, match="differs from the published file"):
        cylinder_wake()


def test_a_missing_file_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(data.resources, "files", lambda name: tmp_path)
    with pytest.raises(RuntimeError, match="is missing"):
        cylinder_wake()
