"""Data that ship with the package; README.md beside this file says where they come from."""

import hashlib
import io
from dataclasses import dataclass, fields
from importlib import resources

import numpy as np
from numpy.typing import NDArray

__all__ = ["CylinderWake", "cylinder_wake"]

Array = NDArray[np.float64]

_CYLINDER_WAKE_SHA256 = "31d701d9a7c89d97e0939a0339050f9f32a694a5e8ecc85743a8a57c4fe30051"


@dataclass(frozen=True)
class CylinderWake:
    """Flow past a cylinder at Reynolds number 100, in the wake x in [1, 8], y in [-2, 2], t in [0, 19.9].

    A direct numerical simulation by Raissi, Perdikaris and Karniadakis (2019), non-dimensional, stored in
    float32 and returned in float64.

    Attributes
    ----------
    sample_xyt : ndarray, shape (20000, 3)
        Coordinates x, y, t of samples drawn at random from space and time.
    sample_uv : ndarray, shape (20000, 2)
        Velocity at the samples.
    sample_p : ndarray, shape (20000,)
        Pressure at the samples, up to a constant: for judging only, training must not see it.
    snapshot_t : ndarray, shape (5,)
        Times of the snapshots.
    grid_xy : ndarray, shape (5000, 2)
        Coordinates x, y of the grid of the snapshots, x running fastest; see `grid_shape`.
    snapshot_uv : ndarray, shape (5, 5000, 2)
        Velocity on the grid.
    snapshot_p : ndarray, shape (5, 5000)
        Pressure on the grid, up to a constant.
    """

    sample_xyt: Array
    sample_uv: Array
    sample_p: Array
    snapshot_t: Array
    grid_xy: Array
    snapshot_uv: Array
    snapshot_p: Array

    grid_shape = (50, 100)
    """Reshape a snapshot to this to get rows of constant y and columns of constant x."""

    def sample(self, size: int, noise: float = 0.0, seed: int = 0) -> tuple[Array, Array]:
        """Draw training data: `size` samples without replacement, with Gaussian noise if wanted.

        Parameters
        ----------
        size : int
            Number of samples, from 1 to 20000.
        noise : float
            Standard deviation of the noise, as a fraction of the standard deviation that each velocity
            component has among the samples drawn (Raissi et al., 2019); 0.01 is their 1 %.
        seed : int
            Seed of the draw. The same seed gives the same samples with and without noise.

        Returns
        -------
        points : ndarray, shape (size, 3)
            Coordinates x, y, t.
        velocity : ndarray, shape (size, 2)
            Velocity u, v there, with noise.

        Raises
        ------
        TypeError
            If `size` or `seed` is not a whole number.
        ValueError
            If `size` or `seed` is out of range, or `noise` is negative or not finite.
        """
        available = len(self.sample_xyt)
        for name, value in (("size", size), ("seed", seed)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name} must be a whole number, but got {value!r}.")
        if not 1 <= size <= available:
            raise ValueError(f"size must lie between 1 and {available}, the samples there are, but is {size}.")
        if seed < 0:
            raise ValueError(f"seed must not be negative, but is {seed}.")
        if not (np.isfinite(noise) and noise >= 0):
            raise ValueError(f"noise must be a fraction >= 0, such as 0.01 for 1 %, but is {noise}.")
        # The samples are drawn before the noise, so that a noisy run sees the same points as a clean one.
        generator = np.random.default_rng(seed)
        chosen = generator.choice(available, size=size, replace=False)
        points, velocity = self.sample_xyt[chosen], self.sample_uv[chosen]
        return points, velocity + noise * velocity.std(axis=0) * generator.standard_normal(velocity.shape)


def cylinder_wake() -> CylinderWake:
    """Load the cylinder wake.

    Returns
    -------
    CylinderWake
        The arrays, fresh copies at every call.

    Raises
    ------
    RuntimeError
        If the file of the installed package is missing or is not the published one.
    """
    file = resources.files(__name__) / "cylinder_wake.npz"
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise RuntimeError("cylinder_wake.npz is missing from pinnedu/data; install the package again.") from error
    if hashlib.sha256(content).hexdigest() != _CYLINDER_WAKE_SHA256:
        raise RuntimeError("cylinder_wake.npz differs from the published file; install the package again.")
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return CylinderWake(**{field.name: arrays[field.name].astype(np.float64) for field in fields(CylinderWake)})
