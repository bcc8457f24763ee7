"""Models: plain ``torch.nn.Module`` that map points (N, d) to fields (N, m)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pinnedu.checks import flag, is_whole, one_of, reason, require, shown
from pinnedu.device import check_dtype
from pinnedu.domain import Box
from pinnedu.embeddings import Normalize
from pinnedu.equations import by_name, parameters
from pinnedu.parameters import FOUND
from pinnedu.problem import Problem

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "silu": nn.SiLU, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}


class FactorizedLinear(nn.Module):
    """A linear layer whose weight is W = diag(exp(s)) V: each neuron has a scale of its own.

    At first W is Glorot-normal, s is normal and V = W / exp(s), so that the layer is the same function
    as without the factors. Training moves s and V, which preconditions it: a gradient step of V moves
    row i of W by exp(2 s_i) times its gradient, so that neurons learn at different rates.

    Parameters
    ----------
    n_in, n_out : int
    mean, std : float
        Of s; 1 and 0.1 as in Wang, Sankaran, Wang & Perdikaris (2023).

    References
    ----------
    Wang, Wang, Seidman & Perdikaris (2022), Random weight factorization improves the training of
    continuous neural representations.
    """

    def __init__(
        self, n_in: int, n_out: int, *, mean: float = 1.0, std: float = 0.1, dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__()
        if not std >= 0:
            raise ValueError(f"The standard deviation of s must not be negative, not {std!r}.")
        self.mean, self.std = mean, std
        self.s = nn.Parameter(torch.empty(n_out, dtype=dtype))
        self.V = nn.Parameter(torch.empty(n_out, n_in, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(n_out, dtype=dtype))
        self.reset_parameters()

    @property
    def weight(self) -> Tensor:
        """The matrix W, (out, in)."""
        return torch.exp(self.s)[:, None] * self.V

    def reset_parameters(self) -> None:
        """Draw W and s from torch's global generator."""
        with torch.no_grad():
            nn.init.xavier_normal_(self.V)
            nn.init.normal_(self.s, self.mean, self.std)
            self.V.div_(torch.exp(self.s)[:, None])
            nn.init.zeros_(self.bias)

    def forward(self, values: Tensor) -> Tensor:
        return nn.functional.linear(values, self.weight, self.bias)


class MLP(nn.Module):
    """Fully connected network, with Glorot-normal weights, zero biases and normalized inputs.

    Weights that nothing has touched since they were drawn are drawn again by ``fit(seed=...)``,
    so that one seed fixes a whole run; trained or loaded weights are kept, and those drawn from a seed of their own.
    Where the fields of a problem are far from 1, ``fit`` has the network give output_shift + output_scale * net(x) in
    their place: see :class:`Scales`. Both are None at first, and buffers from then on: they are saved with the weights.
    So is what ``fit`` found of the unknowns of a problem, see ``keep_found``.

    Parameters
    ----------
    problem : Problem
        Gives the number of inputs (coordinates) and outputs (fields), and the box to normalize.
    hidden : tuple of int
        Widths of the hidden layers.
    activation : {"tanh", "silu", "gelu", "sigmoid"} or a Module class
    embedding : Module, optional
        First layer, (N, number of inputs) -> (N, ``out_features``), in place of ``Normalize(problem.domain)``.
    inputs : tuple of str, optional
        The coordinates that the network sees, all of them by default: what it gives does not depend on the others.
    fields : tuple of str, optional
        The fields that it gives, all of them by default: the others come from other networks, see :class:`Networks`.
    factorized : bool
        Random weight factorization: every layer is a :class:`pinnedu.models.FactorizedLinear`.
    dtype : torch.dtype
        float64 by default.
    seed : int, optional
        Of the weights, which are those that ``fit(seed=...)`` would draw; torch's global generator by default.
    """

    output_shift: Tensor | None
    output_scale: Tensor | None

    def __init__(
        self,
        problem: Problem,
        hidden: Sequence[int] = (20, 20),
        activation: str | type[nn.Module] = "tanh",
        *,
        embedding: nn.Module | None = None,
        inputs: Sequence[str] | None = None,
        fields: Sequence[str] | None = None,
        factorized: bool = False,
        dtype: torch.dtype = torch.float64,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        require(seed is None or is_whole(seed, 0), "seed", "a whole number of at least 0", seed)
        require(isinstance(problem, Problem), "The problem", "a Problem", problem)
        if not isinstance(hidden, tuple | list) or not all(is_whole(width) for width in hidden):
            raise ValueError(f"hidden must hold widths of at least 1, such as (20, 20), not {shown(hidden)}.")
        if isinstance(activation, str):
            one_of(activation, ACTIVATIONS, "The activation")
        elif not (isinstance(activation, type) and issubclass(activation, nn.Module)):
            raise ValueError(f"The activation must be a name or a Module class such as nn.Tanh, not {shown(activation)}.")
        good = embedding is None or (isinstance(embedding, nn.Module) and is_whole(getattr(embedding, "out_features", 0)))
        require(good, "The embedding", "a Module that has its number of out_features", embedding)
        flag(factorized, "factorized")
        check_dtype(dtype)
        self.inputs = _some(inputs, problem.domain.names, "inputs")
        self.fields, self.together = _some(fields, problem.fields, "fields"), tuple(problem.fields)
        everything = self.inputs == problem.domain.names
        self.columns = None if everything else [problem.domain.names.index(name) for name in self.inputs]
        seen = problem.domain if everything else Box(**{name: problem.domain.bounds[name] for name in self.inputs})
        self.embedding = embedding if embedding is not None else Normalize(seen)
        widths = [int(self.embedding.out_features), *hidden, len(self.fields)]  # type: ignore[arg-type]
        pairs = list(zip(widths, widths[1:], strict=False)) + self.gate_sizes(widths)
        layer = FactorizedLinear if factorized else nn.Linear
        layers = [layer(n_in, n_out, dtype=dtype) for n_in, n_out in pairs]
        self.layers, self.gates = nn.ModuleList(layers[: len(widths) - 1]), nn.ModuleList(layers[len(widths) - 1 :])
        try:
            self.activation = (ACTIVATIONS[activation] if isinstance(activation, str) else activation)()
        except TypeError as error:
            raise ValueError(f"The activation {shown(activation)} cannot be made without arguments ({reason(error)}).") from None
        self.register_buffer("output_shift", None)
        self.register_buffer("output_scale", None)
        self.reset_parameters()
        self.to(dtype)
        if seed is not None:
            draw(self, int(seed))
            self._drawn = list[Tensor]()  # chosen: no run draws them again

    def gate_sizes(self, widths: list[int]) -> list[tuple[int, int]]:
        """Sizes of layers beside the chain, which has none: see :class:`ModifiedMLP`."""
        return []

    def reset_parameters(self) -> None:
        """Draw the weights from torch's global generator."""
        layer: Any
        for layer in (*self.layers, *self.gates):
            if isinstance(layer, FactorizedLinear):
                layer.reset_parameters()
            else:
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        self._drawn = [weight.detach().clone() for weight in self.parameters()]
        for name in [name for name in self._buffers if name.startswith(FOUND)]:
            del self._buffers[name]

    def embed(self, points: Tensor) -> Tensor:
        """What the first linear layer sees of the points."""
        embedded: Tensor = self.embedding(points if self.columns is None else points[:, self.columns])
        return embedded

    def forward(self, points: Tensor) -> Tensor:
        values = self.embed(points)
        for layer in self.layers[:-1]:
            values = self.activation(layer(values))
        return self.output(values)

    def output(self, values: Tensor) -> Tensor:
        """The last layer, and the scale of the fields where they have one."""
        values = self.layers[-1](values)
        if self.output_shift is None or self.output_scale is None:
            return values
        return self.output_shift + self.output_scale * values

    def cut(self, field: str) -> None:
        """Give one of the fields only: keep the row of the last layer that is its own."""
        if self.fields == (field,):
            return
        row, last = self.fields.index(field), self.layers[-1]
        untouched = _untouched(self)
        for weight in last.parameters():
            weight.data = weight.data[row : row + 1].clone()
        if isinstance(last, nn.Linear):
            last.out_features = 1
        self.fields = (field,)
        for name in ("output_shift", "output_scale"):
            if (buffer := getattr(self, name)) is not None:
                setattr(self, name, buffer[row : row + 1])
        if untouched:
            self.reset_parameters()

    def set_output(self, shift: Tensor | None, scale: Tensor | None) -> None:
        """Have the network give shift + scale * net(x), each of shape (number of fields,), or net(x) again."""
        self.output_shift, self.output_scale = shift, scale

    def keep_found(self, guesses: Mapping[str, float], values: Mapping[str, float]) -> None:
        """Keep what training found of each unknown, beside the guess it started from, in buffers.

        Loaded with the weights, it stands for the unknowns of a problem that has these guesses: see
        :func:`pinnedu.parameters.found_unknowns`. Another guess is a new start, unless it is what was found.
        """
        for name, value in values.items():
            kept, now = self._buffers.get(FOUND + name), next(self.parameters()).new_tensor([float(guesses[name]), value])
            if kept is not None and kept[1] == now[0]:
                now[0] = kept[0]  # the run went on from what an earlier one found
            self.register_buffer(FOUND + name, now)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Take scales and found unknowns from weights that have them, and have none where the weights have none."""
        start = prefix + FOUND
        for name in [name for name in self._buffers if name.startswith(FOUND)]:
            del self._buffers[name]
        for name in [name for name in state_dict if name.startswith(start)]:
            self.register_buffer(name.removeprefix(prefix), state_dict[name].detach().clone().to(next(self.parameters())))
        for name in ("output_shift", "output_scale"):
            given = state_dict.get(prefix + name)
            setattr(self, name, None if given is None else given.detach().clone().to(next(self.parameters())))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class ModifiedMLP(MLP):
    """A network whose hidden layers choose, neuron by neuron, between two views of the input.

    With U = act(W_u x + b_u) and V = act(W_v x + b_v) of the (embedded) points x, each hidden layer is

        g <- act(W g + b),    g <- g * U + (1 - g) * V.

    Products bring the input into every layer, so that gradients reach it past the chain.
    Parameters are those of :class:`MLP`; all hidden widths must be equal.

    References
    ----------
    Wang, Teng & Perdikaris (2021), Understanding and mitigating gradient flow pathologies in
    physics-informed neural networks; in the form of Wang, Sankaran, Wang & Perdikaris (2023).
    """

    def gate_sizes(self, widths: list[int]) -> list[tuple[int, int]]:
        """The two layers that see the input."""
        n_in, *hidden, _ = widths
        if len(set(hidden)) != 1:
            raise ValueError(f"ModifiedMLP needs hidden layers, all of one width, such as (20, 20), not {tuple(hidden)}.")
        return [(n_in, hidden[0])] * 2

    def forward(self, points: Tensor) -> Tensor:
        values = self.embed(points)
        U, V = (self.activation(gate(values)) for gate in self.gates)
        difference = U - V
        for layer in self.layers[:-1]:
            values = V + self.activation(layer(values)) * difference
        return self.output(values)


class HardConstraint(nn.Module):
    """Composes a model with a formula so that conditions hold exactly.

    Parameters
    ----------
    model : Module
    problem : Problem
    **formulas : callable
        For each field its formula, from fields and coordinates by name, such as
        ``u=lambda u, x, t: torch.sin(x) + t * u``, or from ``points``, all coordinates at once, (N, d).
        Fields without one pass through.
    """

    def __init__(self, model: nn.Module, problem: Problem, **formulas: Callable[..., Any]) -> None:
        super().__init__()
        check_wrapped("HardConstraint", model, problem, formulas)
        available = (*problem.fields, *problem.domain.names, "points")
        for name, formula in formulas.items():
            for parameter in parameters(formula):
                if parameter not in available:
                    raise ValueError(f"The formula of {name!r} asks for {parameter!r}: there is {', '.join(available)}.")
        self.model, self.formulas = model, dict(formulas)
        self.fields, self.coordinates = tuple(problem.fields), problem.domain.names

    def forward(self, points: Tensor) -> Tensor:
        outputs = self.model(points)
        available = by_name(points, self.coordinates)
        available |= {name: outputs[:, i] for i, name in enumerate(self.fields)}
        columns = [
            self.formulas[name](**{key: available[key] for key in parameters(self.formulas[name])})
            if name in self.formulas
            else available[name]
            for name in self.fields
        ]
        return torch.stack(columns, dim=1)


def check_wrapped(what: str, model: nn.Module, problem: Problem, given: Mapping[str, object]) -> None:
    """Raise ValueError unless there is a model of a problem, and what is given is for fields of it."""
    require(isinstance(model, nn.Module), "The model", "a torch.nn.Module", model)
    require(isinstance(problem, Problem), "The problem", "a Problem", problem)
    for name in given:
        if name not in problem.fields:
            raise ValueError(f"{what} names {name!r}, but the fields are {', '.join(problem.fields)}.")


def _some(given: Sequence[str] | None, names: Sequence[str], what: str) -> tuple[str, ...]:
    """Some of the names, each once; all of them where none are given."""
    if given is None:
        return tuple(names)
    good = isinstance(given, tuple | list) and len(given) > 0 and all(isinstance(name, str) for name in given)
    require(good, what, f'a tuple of names such as ("{names[0]}",)', given)
    if unknown := [name for name in given if name not in names]:
        raise ValueError(f"{what} names {shown(unknown[0])}, but there is only {', '.join(names)}.")
    if len(set(given)) < len(given):
        raise ValueError(f"{what} names something twice: {', '.join(given)}.")
    return tuple(given)


def draw(model: nn.Module, seed: int) -> None:
    """Draw again, from a seed, the weights that still are as pinnedu drew them.

    Trained or loaded weights, and those of other modules, are left as they are.
    """
    fresh = [part for part in model.modules() if _untouched(part)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in fresh:
            device, dtype = next(part.parameters()).device, next(part.parameters()).dtype
            part.to("cpu", torch.float64).reset_parameters()  # type: ignore[operator]
            part.to(device, dtype)


def _untouched(module: nn.Module) -> bool:
    """Whether the weights equal those last drawn. Values show it; torch's counters miss what is written to ``.data``."""
    drawn, weights = getattr(module, "_drawn", None), list(module.parameters())
    return (
        drawn is not None
        and len(drawn) == len(weights)
        and all(torch.equal(weight, before.to(weight)) for weight, before in zip(weights, drawn, strict=True))
    )
