"""Tangent kernels in closed form, the wide networks whose limit they are, and their spectra.

A network with one hidden layer of m neurons in the tangent kernel's parametrization,

    u(x) = m^-1/2 sum_j a_j sigma(w_j^T x),   a_j and w_j standard normal,

has at its start a tangent kernel that tends to a fixed function as m grows. For the rectifier
sigma(z) = sqrt(2) max(z, 0) and inputs of length one it depends on the angle between them alone, and is
known in closed form. On the circle and on spheres its eigenfunctions then are the harmonics.

Sources: Cho & Saul (2009) for the integrals; Jacot, Gabriel & Hongler (2018); Basri et al. (2020);
Bietti & Mairal (2019) for the decay of the spectrum.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import eval_legendre
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pinnedu.checks import positive, whole
from pinnedu.theory.fourier import gauss_legendre

Array = NDArray[np.float64]
Zonal = Callable[[Array], Array]
"""A kernel on a sphere as a function of the cosine of the angle between its two points."""


class Rectifier(nn.Module):
    """sqrt(2) max(z, 0)^n, n = 1 by default; the factor keeps the size of a signal for n = 1."""

    def __init__(self, power: int = 1) -> None:
        super().__init__()
        self.power = whole(power, "power")

    def forward(self, values: Tensor) -> Tensor:
        return 2**0.5 * torch.relu(values) ** self.power


KINKS = ("relu", "leaky_relu", "threshold", "hardtanh", "abs", "clamp", "clamp_min", "maximum", "minimum", "prelu")
"""Operations with a kink: their second derivative is a Dirac term, which automatic differentiation drops."""


class _Operations(TorchDispatchMode):
    """Writes down the names of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def orders(model: nn.Module, points: Tensor) -> float:
    """How many derivatives by x of the tangent features grad_theta u are in L^2; infinity for a smooth model.

    For a rectifier of power n they hold max(z, 0)^(n - 1), so that n - 1 derivatives are functions and the n-th has Dirac
    terms, or, for n = 1, none: a 1[z > 0] x jumps, and D T D* = (D Phi)(D Phi)* has no meaning for any derivative D.
    """
    points = points.to(next(model.parameters(), points))
    with torch.no_grad(), _Operations() as seen:
        model(points)
    if not seen.names & set(KINKS):
        return float("inf")
    return min((part.power for part in model.modules() if isinstance(part, Rectifier)), default=1) - 1


class WideNetwork(nn.Module):
    """A network in the tangent kernel's parametrization: standard normal weights, 1/sqrt(width) in front.

    Its kernel tends to a limit as the hidden layers get wide, and one learning rate fits every width.

    Parameters
    ----------
    embedding : Module or int
        First layer with ``out_features``, or just the number of inputs.
    hidden : tuple of int
        Widths of the hidden layers.
    activation : Module, tanh by default
    bias : bool
        Biases, standard normal too. Without them and with `Rectifier` the closed forms hold.
    seed : int
    """

    def __init__(
        self,
        embedding: nn.Module | int,
        hidden: Sequence[int] = (512,),
        activation: nn.Module | None = None,
        *,
        bias: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(hidden) == 0:
            raise ValueError("hidden must name the width of at least one layer, such as (512,).")
        self.embedding = nn.Identity() if isinstance(embedding, int) else embedding
        inputs = embedding if isinstance(embedding, int) else int(embedding.out_features)  # type: ignore[arg-type]
        widths = [whole(inputs, "inputs"), *(whole(width, "hidden") for width in hidden), 1]
        self.layers = nn.ModuleList(
            nn.Linear(n_in, n_out, bias=bias and n_out > 1, dtype=torch.float64)
            for n_in, n_out in zip(widths, widths[1:], strict=False)
        )
        self.activation = activation if activation is not None else nn.Tanh()
        generator = torch.Generator().manual_seed(seed)
        for weight in self.layers.parameters():
            nn.init.normal_(weight, generator=generator)

    def forward(self, points: Tensor) -> Tensor:
        values = self.embedding(points)
        for depth, layer in enumerate(self.layers):
            if depth:
                values = self.activation(values) / values.shape[1] ** 0.5
            values = layer(values)
        return values


class Centered(nn.Module):
    """A model minus what it was when it was wrapped: zero at first, with the same tangent features."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.start = model, copy.deepcopy(model).requires_grad_(False)

    def forward(self, points: Tensor) -> Tensor:
        return self.model(points) - self.start(points)


def relu(cosine: ArrayLike, *, hidden: int = 1, bias: bool = False) -> Array:
    """The tangent kernel of an infinitely wide rectifier network, for inputs of length one.

    Parameters
    ----------
    cosine : array_like
        Inner products of the inputs, between -1 and 1.
    hidden : int
        Number of hidden layers.
    bias : bool
        Whether a 1 is put beside the inputs, (x, 1) / sqrt(2): the bias of the first layer. Without
        it the odd frequencies from 3 on are missing where there is one hidden layer.

    Returns
    -------
    array of the shape of `cosine`

    Raises
    ------
    ValueError
        For a cosine outside [-1, 1] by more than rounding, or hidden < 1.
    """
    u = np.asarray(cosine, dtype=float)
    if not np.all(np.abs(u) <= 1 + 1e-9):
        raise ValueError("cosine must lie between -1 and 1: divide the inputs by their lengths first.")
    signal = np.clip((u + 1) / 2 if bias else u, -1, 1)
    tangent = signal
    for _ in range(whole(hidden, "hidden")):
        angle = np.arccos(signal)
        tangent = tangent * (np.pi - angle) / np.pi  # the signal's slope
        signal = np.clip((signal * (np.pi - angle) + np.sin(angle)) / np.pi, -1, 1)
        tangent = tangent + signal
    return tangent


def convolution(distance: ArrayLike, frequencies: ArrayLike) -> Array:
    """The kernel h of Fourier features at x - y: the mean of cos(b_j (x - y)), in one dimension.

    Proven in the book: thm-ff-convolution.

    For b_j = 1, ..., m it is (D_m - 1) / (2m), with the Dirichlet kernel D_m.
    """
    b = np.atleast_1d(np.asarray(frequencies, dtype=float))
    if b.ndim != 1 or b.size == 0 or not np.all(np.isfinite(b)):
        raise ValueError("frequencies must be a list of finite numbers, at least one.")
    return np.cos(np.multiply.outer(np.asarray(distance, dtype=float), b)).mean(axis=-1)


def dirichlet(distance: ArrayLike, m: int) -> Array:
    """The Dirichlet kernel D_m(z) = 1 + 2 sum_{j <= m} cos(j z) = sin((m + 1/2) z) / sin(z / 2)."""
    z = np.remainder(np.asarray(distance, dtype=float) + np.pi, 2 * np.pi) - np.pi
    half = np.where(np.abs(z) < 1e-12, 1.0, np.sin(z / 2))
    return np.where(np.abs(z) < 1e-12, 2 * whole(m, "m") + 1, np.sin((m + 0.5) * z) / half)


def circle_spectrum(kernel: Zonal, highest: int, nodes: int = 2**15) -> Array:
    """Eigenvalues on the circle for the frequencies k = 0, ..., `highest`: shape (highest + 1,).

    T f(x) = int k(cos(x - y)) f(y) dy is a convolution, so cos(k x) and sin(k x) are its eigenfunctions
    and the eigenvalues are Fourier coefficients, int k(cos z) cos(k z) dz.
    """
    if not 2 * whole(highest, "highest") < nodes:
        raise ValueError(f"highest must be below {nodes // 2} with {nodes} nodes, not {highest!r}.")
    z = 2 * np.pi * np.arange(nodes) / nodes
    return (2 * np.pi / nodes) * np.fft.rfft(kernel(np.cos(z))).real[: highest + 1]


def sphere_spectrum(kernel: Zonal, highest: int, nodes: int = 2000) -> Array:
    """Eigenvalues on the sphere S^2 for the degrees k = 0, ..., `highest`: shape (highest + 1,).

    By Funk and Hecke every spherical harmonic of degree k is an eigenfunction, 2k + 1 of them, with the
    eigenvalue 2 pi int_{-1}^{1} k(t) P_k(t) dt. Integrated over the angle, where the kernels are smooth.
    """
    degrees = np.arange(whole(highest, "highest") + 1)
    angle, weight = gauss_legendre(0, np.pi, whole(nodes, "nodes"))
    t = np.cos(angle)
    return 2 * np.pi * eval_legendre(degrees[:, None], t) @ (weight * np.sin(angle) * kernel(t))


def decay(eigenvalues: ArrayLike, low: int, high: int) -> float:
    """The slope of the eigenvalues of the frequencies low..high in logarithmic axes.

    Eigenvalues that vanish by symmetry, below 1e-10 of the largest, are left out.
    """
    values = np.abs(np.asarray(eigenvalues, dtype=float))
    if not 1 <= low < high < len(values):
        raise ValueError(f"low < high must be frequencies from 1 to {len(values) - 1}, not {low} and {high}.")
    k = np.arange(low, high + 1)
    seen = values[low : high + 1] > 1e-10 * positive(float(values.max()), "the largest eigenvalue")
    return float(np.polyfit(np.log(k[seen]), np.log(values[low : high + 1][seen]), 1)[0])
