"""Where an equation holds: what every domain can do, and the box with named coordinates."""

from __future__ import annotations

import keyword
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from pinnedu.checks import as_number, is_whole, one_of, require, shown
from pinnedu.device import check_dtype, move
from pinnedu.sampling import RULES, check_nodes, check_sampling, rule_on_unit_interval, unit_points

RESERVED = {"d", "on", "laplacian", "value", "interior", "request", "points"}
"""What a field and an equation mean by these names themselves."""

SINGLE = torch.finfo(torch.float32).eps


@runtime_checkable
class Part(Protocol):
    """A piece of the boundary, or where some coordinates are fixed: points of it, with outward unit normals."""

    dim: int
    """How many coordinates run along it: 0 for a point, 1 for a curve."""
    measure: float
    """Its length or area; 1 for a point."""
    normal: bool
    """Whether it has outward normals: it lies on the boundary and has one dimension less than the domain."""

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw points and the outward normals there, each float64 (n, d); normals are NaN where there are none."""

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Nodes (N, d), normals (N, d) and weights (N,) that sum to the measure, all float64."""


@runtime_checkable
class Domain(Protocol):
    """Where the equations of a problem hold.

    A shape of one's own inherits from this class and says ``bounds``, ``measure``, ``parts``, ``contains``, ``sample``
    and, where there is one, ``quadrature``. All else follows. Inheriting from :class:`Shape`, it says ``_draw`` in place of
    ``sample``, and can be a factor of a product.
    """

    bounds: Mapping[str, tuple[float, float]]
    """The smallest box around it: coordinates in the order of a point's columns, each with (low, high)."""

    @property
    @abstractmethod
    def measure(self) -> float:
        """Its length, area or volume."""

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, Part]:
        """The named pieces of its boundary; "boundary" is all of it."""

    @abstractmethod
    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        """Which points (N, d) lie in the closed domain, up to ``slack`` times its lengths: bool, shape (N,)."""

    @abstractmethod
    def sample(
        self,
        n: int,
        method: str = "uniform",
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """Draw points in the domain, (n, d); on the CPU in float64, then moved: a seed means the same everywhere."""

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Nodes (N, d) and weights (N,), float64, for integrals over the domain.

        ``n`` counts nodes along each coordinate, and for "monte-carlo" and "sobol" all of them.
        """
        raise ValueError(f"{self!r} has no quadrature: integrals over it cannot be taken.")

    @property
    def names(self) -> tuple[str, ...]:
        """The coordinates, in the order of a point's columns."""
        return tuple(self.bounds)

    @property
    def dim(self) -> int:
        """The number of coordinates, d."""
        return len(self.bounds)

    @property
    def low(self) -> Tensor:
        """Lower corner of the box around it, float64, shape (d,)."""
        return torch.tensor([low for low, _ in self.bounds.values()], dtype=torch.float64)

    @property
    def high(self) -> Tensor:
        """Upper corner of the box around it, float64, shape (d,)."""
        return torch.tensor([high for _, high in self.bounds.values()], dtype=torch.float64)

    def face(self, fixed: Mapping[str, float], what: str = "The face") -> Part:
        """Where coordinates are fixed, such as ``{"t": 0}``; raises ValueError where that is no set to draw from."""
        raise ValueError(f"{what} fixes {', '.join(fixed)}, but {self!r} has no faces: name a part, {', '.join(self.parts)}.")

    def part(self, name: str, what: str = "The part") -> Part:
        """A piece of the boundary by its name; raises ValueError, with the names there are, if there is none."""
        if not isinstance(name, str) or name not in self.parts:
            raise ValueError(f"{what} names {shown(name)}, but the parts of {self!r} are {', '.join(self.parts)}.")
        return self.parts[name]

    def excess(self, points: Tensor) -> Tensor:
        """How far each point lies outside of the box around the domain, along the worst coordinate: shape (N,)."""
        low, high = self.low.to(points), self.high.to(points)
        return torch.maximum(low - points, points - high).clamp_min(0).amax(dim=1)

    def evaluation_points(self, count: int = 10_201) -> Tensor:
        """Dense points at which a model is judged, float64 (N, d), the same at each call: by default a Sobol set."""
        return self.sample(count, "sobol", generator=torch.Generator().manual_seed(0))

    def check_names(self, names: Mapping[str, object] | Sequence[str], what: str) -> None:
        """Raise ValueError if one of the names is not a coordinate."""
        for name in names:
            if name not in self.bounds:
                raise ValueError(f"{what} names {name!r}, but the coordinates are {', '.join(self.names)}.")

    def check_points(self, points: Any, what: str = "The points") -> None:
        """Raise ValueError unless they are a tensor (N, d) of real numbers."""
        good = isinstance(points, Tensor) and points.ndim == 2 and points.shape[1] == self.dim and points.is_floating_point()
        got = f"one of shape {tuple(points.shape)} and {points.dtype}" if isinstance(points, Tensor) else shown(points)
        if not good:
            raise ValueError(
                f"{what} must be a tensor of floating numbers of shape (N, {self.dim}) with columns "
                f"{', '.join(self.names)}, not {got}."
            )

    def rounding(self, eps: float = SINGLE) -> float:
        """The slack, as a share of the lengths, that rounding of coordinates to single precision needs."""
        return eps * max(max(1.0, max(abs(low), abs(high)) / (high - low)) for low, high in self.bounds.values())


class Face:
    """Where some coordinates of a box are fixed, a :class:`Part`."""

    def __init__(self, box: Box, fixed: Mapping[str, float]) -> None:
        self.box, self.fixed = box, dict(fixed)
        lengths = [high - low for name, (low, high) in box.bounds.items() if name not in fixed]
        self.dim, self.measure = len(lengths), math.prod(lengths)
        self.outward = torch.full((box.dim,), math.nan, dtype=torch.float64)
        self.normal = len(fixed) == 1 and all(value in box.bounds[name] for name, value in fixed.items())
        if self.normal:
            ((name, value),) = fixed.items()
            self.outward.zero_()
            self.outward[box.names.index(name)] = 1.0 if value == box.bounds[name][1] else -1.0

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        points = self.box.sample(n, method, fixed=self.fixed, generator=generator)
        return points, self.outward.expand_as(points)

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        points, weights = self.box.quadrature(n, rule, fixed=self.fixed, generator=generator)
        return points, self.outward.expand_as(points), weights

    def meeting(self, other: Part) -> Tensor | None:
        """Some points that it has in common with another face of the box; None where there are none."""
        same = isinstance(other, Face) and self.box == other.box and self.fixed != other.fixed
        both = {**other.fixed, **self.fixed} if isinstance(other, Face) else {}
        if not same or any(both[name] != value for name, value in getattr(other, "fixed", {}).items()):
            return None
        return self.box.sample(9, fixed=both, generator=torch.Generator().manual_seed(0))


class Union:
    """Several pieces of a boundary as one :class:`Part`; each gets its share of the points by its measure."""

    def __init__(self, pieces: Sequence[Part]) -> None:
        self.pieces = tuple(pieces)
        self.dim = max(piece.dim for piece in pieces)
        self.measure = sum(piece.measure for piece in pieces)
        self.normal = all(piece.normal for piece in pieces)

    def sample(
        self, n: int, method: str = "uniform", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n points, or one of each piece if those are more."""
        n = max(n, len(self.pieces))
        spare = n - len(self.pieces)  # beyond the one that each piece has
        ends = [round(spare * end / self.measure) for end in accumulate(piece.measure for piece in self.pieces)]
        counts = [1 + end - start for start, end in zip([0, *ends], ends, strict=False)]
        drawn = [piece.sample(count, method, generator=generator) for piece, count in zip(self.pieces, counts, strict=True)]
        return torch.cat([points for points, _ in drawn]), torch.cat([normals for _, normals in drawn])

    def quadrature(
        self, n: int, rule: str = "gauss-legendre", *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        rules = [piece.quadrature(n, rule, generator=generator) for piece in self.pieces]
        points, normals, weights = (torch.cat(columns) for columns in zip(*rules, strict=True))
        return points, normals, weights


class Box(Domain):
    """A product of intervals with named coordinates, such as ``Box(x=(0, pi), t=(0, 1))``.

    The parts of its boundary are its faces, "x low" and "x high" for each coordinate, and "boundary", all of them. Where
    the time t is a coordinate beside others, "walls" are all faces but those of t.

    Parameters
    ----------
    **bounds : (low, high)
        One interval a coordinate, in the order in which points carry their columns.

    Raises
    ------
    ValueError
        If an interval is empty or not finite, or a name is not usable in ``u.<name>``.
    """

    def __init__(self, /, **bounds: tuple[float, float]) -> None:
        if not bounds:
            raise ValueError("Box needs at least one coordinate, for example Box(x=(0, 1)).")
        self.bounds: dict[str, tuple[float, float]] = {}
        for name, interval in bounds.items():
            check_coordinate(name)
            given = interval if isinstance(interval, tuple | list) else ()
            pair = [as_number(value) for value in given if not isinstance(value, str)]
            require(len(given) == len(pair) == 2, f"The interval of {name}", "a pair of numbers (low, high)", interval)
            low, high = pair
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"The interval of {name} must be finite with low < high, not {shown(interval)}.")
            self.bounds[name] = low, high

    @property
    def measure(self) -> float:
        """Product of the lengths of the intervals."""
        return float((self.high - self.low).prod())

    @property
    def volume(self) -> float:
        """The measure, by the name that suits a box."""
        return self.measure

    @property
    def parts(self) -> dict[str, Part]:
        """Its faces, "x low" and "x high" for each coordinate, "boundary" and, where t is one of several, "walls"."""
        faces = {
            f"{name} {end}": Face(self, {name: value})
            for name, ends in self.bounds.items()
            for end, value in zip(("low", "high"), ends, strict=True)
        }
        named: dict[str, Part] = {**faces, "boundary": Union(list(faces.values()))}
        walls = [face for name, face in faces.items() if name not in ("t low", "t high")]
        return named | ({"walls": Union(walls)} if 0 < len(walls) < len(faces) else {})

    def __repr__(self) -> str:
        return "Box(" + ", ".join(f"{n}=({a:g}, {b:g})" for n, (a, b) in self.bounds.items()) + ")"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and list(self.bounds.items()) == list(other.bounds.items())

    __hash__ = None  # type: ignore[assignment]

    def check_face(self, fixed: Mapping[str, float], what: str) -> dict[str, float]:
        """The coordinates that are fixed; raises ValueError if a name is not a coordinate, or its value is off the box.

        A value that misses an end by the rounding of single precision is that end.
        """
        if not isinstance(fixed, Mapping):
            raise ValueError(f"{what} fixes coordinates by a dict such as {{'x': 0}}, not by {shown(fixed)}.")
        self.check_names(fixed, what)
        face = {}
        for name, given in fixed.items():
            low, high = self.bounds[name]
            value, slack = as_number(given), SINGLE * max(high - low, abs(low), abs(high))
            if not low - slack <= value <= high + slack:
                raise ValueError(f"{what} is off the domain: {name} = {shown(given)} is not in [{low:g}, {high:g}].")
            face[name] = min(max(value, low), high)
        return face

    def face(self, fixed: Mapping[str, float], what: str = "The face") -> Face:
        return Face(self, self.check_face(fixed, what))

    def contains(self, points: Tensor, slack: float = 1e-9) -> Tensor:
        self.check_points(points)
        require(as_number(slack) >= 0, "slack", "a number of at least 0", slack)
        low, high = self.low.to(points), self.high.to(points)
        margin = float(slack) * (high - low)
        return ((points >= low - margin) & (points <= high + margin)).all(dim=1)

    def sample(
        self,
        n: int,
        method: str = "uniform",
        *,
        fixed: Mapping[str, float] | None = None,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """Draw points in the box, or on one of its faces.

        Points are drawn on the CPU in float64 and then moved, so that a seed means the same points on every device.

        Parameters
        ----------
        n : int
            Number of points. On a face with nothing left free there is one point, whatever ``n``.
        method : {"uniform", "latin", "sobol", "grid"}
            Independent and uniform; Latin hypercube; scrambled Sobol sequence; cell centers of the
            coarsest regular grid with at least ``n`` cells, of which ``n`` are kept, spread evenly.
        fixed : dict of name to value, optional
            Coordinates held fixed: the face to draw on.
        generator : torch.Generator, optional
            Source of randomness (CPU); torch's global one by default.

        Returns
        -------
        Tensor, shape (n, d)
        """
        check_sampling(n, method, generator)
        check_dtype(dtype)
        face = self.check_face({} if fixed is None else fixed, "The face")
        free = [i for i, name in enumerate(self.names) if name not in face]
        n = n if free else 1
        unit = torch.zeros(n, self.dim, dtype=torch.float64)
        if free:
            unit[:, free] = unit_points(n, len(free), method, generator)
        points = self.low + unit * (self.high - self.low)
        for name, value in face.items():
            points[:, self.names.index(name)] = value
        return move(points, device, dtype)

    def evaluation_points(self, count: int = 10_201) -> Tensor:
        """Dense points at which a model is judged: a grid with the faces in it, a Sobol set above three dimensions."""
        return super().evaluation_points(count) if self.dim > 3 else self.grid(max(2, round(count ** (1 / self.dim))))

    def grid(self, shape: int | tuple[int, ...], *, fixed: Mapping[str, float] | None = None) -> Tensor:
        """Regular grid that contains the faces, the last coordinate running fastest.

        Parameters
        ----------
        shape : int or tuple of int
            Points along each free coordinate, at least 2.
        fixed : dict of name to value, optional
            Coordinates held fixed (they count one point).

        Returns
        -------
        Tensor, float64, shape (N, d)
        """
        fixed = self.check_face({} if fixed is None else fixed, "The face")
        free = [name for name in self.names if name not in fixed]
        counts = tuple(shape) if isinstance(shape, tuple | list) else (shape,) * len(free)
        if len(counts) != len(free) or not all(is_whole(count, 2) for count in counts):
            raise ValueError(
                f"The grid needs {len(free)} counts of at least 2 (for {', '.join(free)}), not {shown(shape)}."
            )
        count = dict(zip(free, counts, strict=True))
        axes = [
            torch.tensor([fixed[name]], dtype=torch.float64)
            if name in fixed
            else torch.linspace(*self.bounds[name], count[name], dtype=torch.float64)
            for name in self.names
        ]
        return torch.cartesian_prod(*axes).reshape(-1, self.dim)

    def quadrature(
        self,
        n: int,
        rule: str = "gauss-legendre",
        *,
        fixed: Mapping[str, float] | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Nodes and weights whose weighted sum approximates the integral over the box, or over one of its faces.

        Parameters
        ----------
        n : int
            Nodes along each coordinate for "midpoint", "trapezoid" and "gauss-legendre";
            nodes in all for "monte-carlo" and "sobol".
        fixed : dict of name to value, optional
            Coordinates held fixed: the face to integrate over. A face that is a point has the weight 1.

        Returns
        -------
        points : Tensor, float64, shape (N, d)
        weights : Tensor, float64, shape (N,), whose sum is the measure of the box or the face
        """
        one_of(rule, RULES, "The quadrature rule")
        fixed = self.check_face({} if fixed is None else fixed, "The face")
        if rule in ("monte-carlo", "sobol"):
            points = self.sample(n, "uniform" if rule == "monte-carlo" else "sobol", fixed=fixed, generator=generator)
            volume = math.prod(high - low for name, (low, high) in self.bounds.items() if name not in fixed)
            return points, torch.full((len(points),), volume / len(points), dtype=torch.float64)
        check_nodes(n, rule, self.dim - len(fixed))
        nodes, weights = rule_on_unit_interval(n, rule)
        axes, scaled = [], []
        for name, (low, high) in self.bounds.items():
            axes.append(nodes.new_tensor([fixed[name]]) if name in fixed else low + (high - low) * nodes)
            scaled.append(nodes.new_ones(1) if name in fixed else (high - low) * weights)
        points = torch.cartesian_prod(*axes).reshape(-1, self.dim)
        return points, torch.cartesian_prod(*scaled).reshape(-1, self.dim).prod(dim=1)


def check_coordinate(name: object) -> None:
    """Raise ValueError unless a coordinate can have that name."""
    good = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
    if not good or name in RESERVED or str(name).startswith("_"):
        raise ValueError(f"The coordinate name {shown(name)} is reserved: choose another, such as 'x' or 's'.")
