"""One model made of several networks: an unknown function is a field with a network, and inputs, of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pinnedu.checks import require
from pinnedu.models import MLP
from pinnedu.problem import Problem


class Networks(nn.Module):
    """One model made of several networks, each with inputs and fields of its own.

    Parameters
    ----------
    problem : Problem, optional
        Says the order of the fields. Needed only where no network is a network of pinnedu, which know it.
    functions : sequence of Module
        What equations call themselves, such as a law ``f(u)``: trained with the networks of the fields.
    **networks : Module, (N, d) -> (N, number of its fields)
        Under the name of its field each: an :class:`MLP` that was made for all fields of the problem is cut to this one, and
        another module gives it as its only column. An MLP with ``fields=`` gives those, under any name.

    Attributes
    ----------
    networks : ModuleDict
    fields : tuple of str
        In the order of the problem.

    Raises
    ------
    ValueError
        If a field has no network, or two.

    Examples
    --------
    A conductivity that depends on the place and not on the time is a network that does not see the time:

    >>> from pinnedu import Box, Problem
    >>> heat = Problem(Box(x=(0, 1), t=(0, 1)), {"heat": lambda u, k: u.t - (k * u.x).x}, fields=("u", "k"))
    >>> model = Networks(u=MLP(heat, hidden=(20, 20)), k=MLP(heat, hidden=(10,), inputs=("x",)))
    >>> model(torch.rand(5, 2, dtype=torch.float64)).shape
    torch.Size([5, 2])

    A law that depends on the solution, and not on the place, is a function that the equation calls:

    >>> law = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    >>> growth = Problem(Box(t=(0, 1)), {"growth": lambda u: u.t - law(u[:, None])[:, 0]})
    >>> model = Networks(u=MLP(growth), functions=[law])
    """

    def __init__(
        self, problem: Problem | None = None, /, functions: Sequence[nn.Module] = (), **networks: nn.Module
    ) -> None:
        super().__init__()
        require(problem is None or isinstance(problem, Problem), "The problem", "a Problem", problem)
        if not networks:
            raise ValueError("Networks needs networks by the name of their field, such as Networks(u=MLP(problem)).")
        for name, network in networks.items():
            require(isinstance(network, nn.Module), f"The network {name!r}", "a torch.nn.Module such as MLP(problem)", network)
            if hasattr(nn.ModuleDict, name):
                raise ValueError(f"{name!r} cannot be the name of a network: choose another, and say fields= in its MLP.")
        if len(set(map(id, networks.values()))) < len(networks):
            raise ValueError("Networks has one network under two names: make one for each, or one with fields=(...) for both.")
        orders = [] if problem is None else [tuple(problem.fields)]
        orders += [network.together for network in networks.values() if isinstance(network, MLP)]
        if not orders:
            raise ValueError("Networks of modules that are not pinnedu's needs the problem first: Networks(problem, u=...).")
        if any(order != orders[0] for order in orders):
            raise ValueError(f"The networks are made for different problems, with the fields {orders[0]} and {orders[-1]}.")
        self.fields, self.gives = orders[0], dict[str, tuple[str, ...]]()
        for name, network in networks.items():
            everything = isinstance(network, MLP) and network.fields == self.fields
            cut = not isinstance(network, MLP) or (everything and (name in self.fields or len(networks) > 1))
            if cut and name not in self.fields:
                raise ValueError(
                    f"The network {name!r} has the name of no field: there is {', '.join(self.fields)}; "
                    "an MLP with fields=(...) may have any name."
                )
            if cut and isinstance(network, MLP):
                network.cut(name)
            self.gives[name] = network.fields if isinstance(network, MLP) else (name,)
        given = [field for names in self.gives.values() for field in names]
        for field in self.fields:
            if given.count(field) != 1:
                raise ValueError(f"The field {field!r} needs one network, and has {given.count(field) or 'none'}: "
                                 f"the networks give {', '.join(given)}.")
        good = isinstance(functions, tuple | list) and all(isinstance(one, nn.Module) for one in functions)
        require(good, "functions", "a list of modules that equations call", functions)
        self.networks, self.functions = nn.ModuleDict(networks), nn.ModuleList(functions)

    def forward(self, points: Tensor) -> Tensor:
        columns: dict[str, Tensor] = {}
        for name, network in self.networks.items():
            outputs, fields = network(points), self.gives[name]
            if outputs.ndim != 2 or outputs.shape[1] != len(fields):
                shape = tuple(outputs.shape)
                raise ValueError(f"The network {name!r} must give shape (N, {len(fields)}) for {', '.join(fields)}, not {shape}.")
            columns |= {field: outputs[:, i] for i, field in enumerate(fields)}
        return torch.stack([columns[field] for field in self.fields], dim=1)
