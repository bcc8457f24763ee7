"""First layers of a network: what it sees of the coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pinnedu.checks import as_number, is_whole, named, require, shown, whole
from pinnedu.domain import Domain
from pinnedu.equations import as_tensor


class Normalize(nn.Module):
    """Maps a box, or the box around another domain, to the cube [-scale, scale]^d.

    Parameters
    ----------
    box : Box or another Domain
    scale : float or dict of coordinate to float
        Half the length of the image of each interval. A larger scale lets the first layer see
        finer variation along that coordinate.
    """

    center: Tensor
    factor: Tensor

    def __init__(self, box: Domain, scale: float | Mapping[str, float] = 1.0) -> None:
        super().__init__()
        require(isinstance(box, Domain), "box", "a Box such as Box(x=(0, 1)), or another domain", box)
        if isinstance(scale, Mapping):
            box.check_names(scale, "scale")
            numbers = [as_number(scale.get(name, 1.0)) for name in box.names]
        else:
            numbers = [as_number(scale)] * box.dim
        require(all(map(math.isfinite, numbers)), "scale", "a number, or a dict of coordinate to number", scale)
        scales = torch.tensor(numbers, dtype=torch.float64)
        self.register_buffer("center", (box.low + box.high) / 2)
        self.register_buffer("factor", scales / ((box.high - box.low) / 2))
        self.out_features = box.dim

    def forward(self, points: Tensor) -> Tensor:
        return (points - self.center) * self.factor


class PeriodicEmbedding(nn.Module):
    """Replaces chosen coordinates by cosines and sines, so that the model is periodic in them exactly.

    Parameters
    ----------
    box : Box
    guesses : dict of coordinate to float, optional
        First guesses of periods that are not known: training refines them. A coordinate without one
        has the length of its interval as its period, exactly.
    scale : float or dict of coordinate to float
        The other coordinates are normalized to [-scale, scale], as by :class:`Normalize`.
    **harmonics : int
        Coordinates and how many harmonics to feed in: ``x=2`` gives cos, sin of w x and 2 w x,
        w = 2 pi / period.
    """

    def __init__(
        self,
        box: Domain,
        guesses: Mapping[str, float] | None = None,
        scale: float | Mapping[str, float] = 1.0,
        **harmonics: int,
    ) -> None:
        super().__init__()
        if not harmonics:
            raise ValueError("PeriodicEmbedding needs a coordinate, such as PeriodicEmbedding(box, x=1).")
        require(isinstance(box, Domain), "box", "a Box such as Box(x=(0, 1)), or another domain", box)
        box.check_names(harmonics, "PeriodicEmbedding")
        named({} if guesses is None else guesses, "guesses", "a dict of coordinate to period")
        for name, count in harmonics.items():
            if not is_whole(count):
                raise ValueError(f"PeriodicEmbedding needs at least one harmonic of {name}, not {shown(count)}.")
        for name, period in (guesses or {}).items():
            if name not in harmonics:
                raise ValueError(f"PeriodicEmbedding guesses a period of {name!r}: say how many harmonics, {name}=1.")
            if not 0 < as_number(period) < math.inf:
                raise ValueError(f"The period of {name} must be positive, not {shown(period)}.")
        self.normalize = Normalize(box, scale)
        self.lengths = dict(zip(box.names, (box.high - box.low).tolist(), strict=True))
        self.frequencies = nn.ModuleDict()  # linear layers: so the Jacobian's fast path sees them
        for name, period in (guesses or {}).items():
            self.frequencies[name] = nn.Linear(1, 1, bias=False, dtype=torch.float64)
            nn.init.constant_(self.frequencies[name].weight, 2 * math.pi / float(period))  # type: ignore[arg-type]
        self.harmonics = {box.names.index(name): count for name, count in harmonics.items()}
        self.out_features = box.dim + sum(2 * count - 1 for count in harmonics.values())

    def forward(self, points: Tensor) -> Tensor:
        features = []
        normalized = self.normalize(points)
        for i, name in enumerate(self.lengths):
            own = slice(i, i + 1)
            if i not in self.harmonics:
                features.append(normalized[:, own])
                continue
            if name in self.frequencies:
                angle = self.frequencies[name](points[:, own])
            else:
                angle = (2 * math.pi / self.lengths[name]) * (points[:, own] - self.normalize.center[i])
            for k in range(1, self.harmonics[i] + 1):
                features += [torch.cos(k * angle), torch.sin(k * angle)]
        return torch.cat(features, dim=1)

    def period(self, name: str) -> float:
        """Say which period a coordinate has now."""
        if name in self.frequencies:
            return 2 * math.pi / self.frequencies[name].weight.item()  # type: ignore[operator]
        return self.lengths[name]


class FourierFeatures(nn.Module):
    """Replaces the coordinates by cosines and sines: cos(b_j x), sin(b_j x), each times its scale.

    Parameters
    ----------
    frequencies : Tensor (m, d) or (m,) in one dimension
        The b_j, in radians per unit of length: no factor 2 pi is put before them.
    scales : Tensor (m,), optional
        Factors before the pairs, 1 by default. 1 / b_j^2 preconditions a problem with two derivatives.

    References
    ----------
    Tancik et al. (2020), Fourier features let networks learn high frequency functions in low
    dimensional domains.
    """

    frequencies: Tensor
    scales: Tensor

    def __init__(self, frequencies: Tensor, scales: Tensor | None = None) -> None:
        super().__init__()
        b = as_tensor(frequencies, "frequencies")
        b = b[:, None] if b.ndim == 1 else b
        if b.ndim != 2 or 0 in b.shape or not torch.isfinite(b).all():
            raise ValueError(f"frequencies must be finite numbers of shape (m, d), not {tuple(b.shape)}.")
        s = torch.ones(len(b), dtype=torch.float64) if scales is None else as_tensor(scales, "scales")
        if s.shape != (len(b),) or not torch.isfinite(s).all():
            raise ValueError(f"scales must be {len(b)} finite numbers, one for each frequency, not {tuple(s.shape)}.")
        self.register_buffer("frequencies", b)
        self.register_buffer("scales", s)
        self.out_features = 2 * len(b)

    @classmethod
    def gaussian(cls, dim: int, count: int, std: float, *, seed: int = 0) -> FourierFeatures:
        """Frequencies drawn from a normal distribution of the given standard deviation, all scales 1."""
        for what, number in (("dim", dim), ("count", count)):
            whole(number, what)
        require(is_whole(seed, 0), "seed", "a whole number", seed)
        if not 0 < as_number(std) < math.inf:
            raise ValueError(f"The standard deviation of the frequencies must be positive, not {shown(std)}.")
        generator = torch.Generator().manual_seed(int(seed))
        return cls(float(std) * torch.randn(count, dim, dtype=torch.float64, generator=generator))

    def forward(self, points: Tensor) -> Tensor:
        angles = points @ self.frequencies.T
        return torch.cat([self.scales * torch.cos(angles), self.scales * torch.sin(angles)], dim=1)
