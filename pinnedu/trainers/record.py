"""What a run returns, what it can be asked, and how a trained model is judged."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pinnedu.checks import require, shown
from pinnedu.derivatives import Engine
from pinnedu.files import packed, unpacked, write_whole
from pinnedu.problem import Problem, Sample
from pinnedu.sampling import Points
from pinnedu.scales import Scales
from pinnedu.trainers.asked import points_of, quantity
from pinnedu.trainers.blueprints import blueprint, built
from pinnedu.trainers.objective import Objective
from pinnedu.trainers.uncertainty import Posterior, check_question

FORMAT = "pinnedu run 1"
BLOCK = 65536  # points that are predicted together, to bound the memory


class Status(Enum):
    """Why a run ended, for programs; ``Fit.stopped`` says it in a sentence."""

    STEPS = "all steps done"
    SECONDS = "the time limit was reached"
    CALLBACK = "a callback ended training"
    CONVERGED = "the optimizer finds no way down any more"
    INTERRUPTED = "interrupted from the keyboard"
    NOT_FINITE = "the loss or the weights became infinite or NaN"
    OUT_OF_MEMORY = "memory ran out"

    @property
    def good(self) -> bool:
        """Whether the run came to an end of its own, so that another can go on from it."""
        return self not in (Status.INTERRUPTED, Status.NOT_FINITE, Status.OUT_OF_MEMORY)


@dataclass
class Fit:
    """What training reached.

    Attributes
    ----------
    model : Module, the trained model
    problem : Problem
        Where it has unknowns, with their found values instead of the first guesses: ``run.problem.residuals``
        and ``fit(run.model, run.problem, ...)`` go on from what was found.
    error : float or None
        Relative L2 error against ``problem.exact`` on a dense grid.
    history : dict of str to array
        One entry a step: "step", each term by name (half mean square, unweighted), "loss" (their
        weighted sum), "fresh" (the loss on points that training does not use), "error" and
        "seconds", "weight of NAME" for each term where a strategy sets the weights, and each unknown by name;
        what was not looked at in a step is NaN.
    unknowns : dict of name to float
        Values found for the unknown parameters of the equations. They belong to the run: the model does not have them.
    seconds : float
        Time of training, without the time of evaluating errors.
    stopped : str
        Why training ended, in a sentence.
    status : Status
        The same as a code.
    warnings : list of str
        What is doubtful about the result.
    scales : Scales
        What was scaled to be near 1 in training.
    weights : dict of term to float
        Of the terms in the loss of the last step.
    error_estimate : float, or None
        Of the relative error, made by :func:`pinnedu.solve` without the exact solution.
    recipe : str
        What :func:`pinnedu.solve` chose, as a program that gives the same model.
    """

    model: nn.Module
    problem: Problem
    error: float | None
    history: dict[str, np.ndarray]
    unknowns: dict[str, float]
    seconds: float
    stopped: str
    status: Status
    warnings: list[str]
    scales: Scales = field(default_factory=Scales, kw_only=True)
    weights: dict[str, float] = field(default_factory=dict, kw_only=True)
    error_estimate: float | None = field(default=None, kw_only=True)
    recipe: str = field(default="", kw_only=True)

    @property
    def loss(self) -> float:
        """The loss from which the last step started; NaN if there was no step."""
        return float(self.history["loss"][-1]) if len(self.history["loss"]) else float("nan")

    @property
    def errors(self) -> dict[str, float]:
        """The relative L2 error of each field that ``problem.exact`` names, measured anew; empty where there is no solution."""
        if self.problem.exact is None:
            return {}
        names = self.problem.solution(self.problem.domain.evaluation_points(1))
        return {name: relative_error(self.model, self.problem, fields=(name,)) for name in names}

    def __repr__(self) -> str:
        error = "unknown" if self.error is None else f"{self.error:.2e}"
        found = "".join(f", {name}={value:.4g}" for name, value in self.unknowns.items())
        estimate = "" if self.error_estimate is None else f", error_estimate={self.error_estimate:.1e}"
        return f"Fit(error={error}, loss={self.loss:.2e}, steps={len(self.history['step'])}{found}{estimate}, {self.stopped})"

    def residuals(self, points: Tensor | Sample, derivatives: str | Engine = "taylor") -> dict[str, Tensor]:
        """What the model leaves of each equation, with the unknowns as they were found: see :meth:`Problem.residuals`."""
        return self.problem.residuals(self.model, points, derivatives)

    def predict(self, of: str | Sequence[str] | None = None, /, **coordinates: Any) -> Any:
        """Evaluate the trained model, on NumPy arrays.

        Parameters
        ----------
        of : str, or sequence of str, optional
            Fields, derived quantities and their derivatives, such as ``"u"``, ``"u.x"``, ``"u.xt"``, ``"u.laplacian"``;
            also as ``of="u.x"``, where no coordinate has that name. All fields by default.
        **coordinates : array, or number
            Each coordinate of the domain by name, in shapes that broadcast: ``run.predict(x=x[:, None], t=t)``.

        Returns
        -------
        array, or dict of str to array
            In the shape that the coordinates have together, in double precision. One array where ``of`` is a text, or
            the problem has one field; a dict where several quantities were asked for.

        Raises
        ------
        ValueError
            If a coordinate is missing, unknown, no array of real numbers or outside of the domain, if the arrays do
            not broadcast, or if there is no such quantity.

        Examples
        --------
        >>> run.predict(x=0.5, t=[0.0, 0.5, 1.0])  # doctest: +SKIP
        >>> run.predict(x=x[:, None], t=t, of=("u", "u.x"))["u.x"].shape  # doctest: +SKIP
        """
        names = self.problem.domain.names
        if of is None and "of" not in names:
            of = coordinates.pop("of", None)
        points, shape = points_of(self.problem, coordinates)
        good = of is None or isinstance(of, str | list | tuple)
        wanted = [of] if isinstance(of, str) else list(self.problem.fields if of is None else of) if good else []
        good = bool(wanted) and all(isinstance(what, str) for what in wanted)
        require(good, "of", "the name of a quantity, or several", of)
        equations = {what: quantity(what, self.problem) for what in wanted}
        asking = replace(self.problem, equations=equations, conditions={}, exact=None)
        with torch.no_grad():
            blocks = [asking.residuals(self.model, block) for block in points.split(BLOCK)]
        found = {
            what: torch.cat([block[what] for block in blocks]).cpu().double().numpy().reshape(shape) for what in wanted
        }
        return found[wanted[0]] if isinstance(of, str) or (of is None and len(wanted) == 1) else found

    def posterior(self, points: Points | None = None) -> Posterior:
        """How sure the data leave what was found: Laplace's approximation, a normal distribution around the trained model.

        Parameters
        ----------
        points : Points, optional
            Where the equations are linearized; 2000 Sobol points and 200 on each condition by default.

        Returns
        -------
        Posterior

        Raises
        ------
        ValueError
            If the problem has no measured values, or these do not determine what is to be found.
        """
        weights = {**dict.fromkeys(self.problem.terms, 1.0), **self.weights}
        return Posterior(self.model, self.problem, weights, self.scales.unknowns, points)

    def interval(self, of: str | None = None, /, level: float = 0.95, **coordinates: Any) -> Any:
        """Where the truth lies with a given probability, ``run.posterior().interval(...)`` in short.

        Parameters
        ----------
        of : str, optional
            An unknown of the problem, or a field or its derivative such as ``"k"`` or ``"u.x"`` at the coordinates.
        level : float
            The probability, 0.95 by default.
        **coordinates : array, or number
            As for :meth:`predict`.

        Returns
        -------
        Interval, or dict of unknown to Interval
            (low, high), two numbers or two arrays. All unknowns where nothing is named.

        Raises
        ------
        ValueError
            As :meth:`posterior`, and for what :meth:`predict` refuses.

        Examples
        --------
        >>> run.interval()["lambda_1"]  # doctest: +SKIP
        >>> low, high = run.interval("k", x=x)  # doctest: +SKIP
        """
        check_question(self.problem, of, level, coordinates)
        return self.posterior().interval(of, level, **coordinates)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the run to a file: the weights, the unknowns, the history, and why it ended.

        Nothing is pickled but tensors, numbers and texts; equations are functions, so the problem is not in the file.

        Raises
        ------
        ValueError
            If the file cannot be written.
        """
        require(isinstance(path, str | os.PathLike), "path", "the name of a file such as 'run.pt'", path)
        content = {
            "blueprint": blueprint(self.model),
            "weights": self.model.state_dict(),
            "identity": _identity(self.problem),
            "error": self.error,
            "history": {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in self.history.items()},
            "unknowns": dict(self.unknowns),
            "seconds": self.seconds,
            "stopped": self.stopped,
            "status": self.status.name,
            "warnings": list(self.warnings),
            "scales": self.scales.content(),
            "loss weights": dict(self.weights),
            "error_estimate": self.error_estimate,
            "recipe": self.recipe,
        }
        try:
            write_whole(Path(path), packed(content, FORMAT))
        except OSError as error:
            raise ValueError(f"The run cannot be written to '{path}' ({error.strerror or error}): name another file.") from None

    @staticmethod
    def load(path: str | os.PathLike[str], problem: Problem, model: nn.Module | None = None) -> Fit:
        """Read a run that :meth:`save` wrote.

        Parameters
        ----------
        path : path
        problem : Problem
            The one that was solved, made anew. Its first guesses do not matter.
        model : Module, optional
            A model of the same shape, whose weights are overwritten. Not needed for :class:`MLP` and
            :class:`ModifiedMLP` with the embeddings of pinnedu: those are built from the file.

        Returns
        -------
        Fit
            ``fit(run.model, problem, ..., after=run)`` goes on from it.

        Raises
        ------
        ValueError
            If the file cannot be read or is no saved run, if it is of another problem, or if the model does not fit.
        """
        require(isinstance(path, str | os.PathLike), "path", "the name of a file such as 'run.pt'", path)
        require(isinstance(problem, Problem), "problem", "a Problem", problem)
        require(model is None or isinstance(model, nn.Module), "model", "a torch.nn.Module", model)
        try:
            found = unpacked(Path(path).read_bytes(), FORMAT)
        except OSError as error:
            raise ValueError(f"'{path}' cannot be read ({error.strerror}): name the file of a run.") from None
        except ValueError:
            raise ValueError(f"'{path}' is no run that this version of pinnedu saved, or it is damaged.") from None
        for what, value in _identity(problem).items():
            if found["identity"][what] != value:
                raise ValueError(f"'{path}' is of another problem ({what}: {found['identity'][what]} there, {value} here).")
        if model is None:
            model = built(found["blueprint"], problem)
        if model is None:
            raise ValueError(f"'{path}' has a model that is not pinnedu's own: build it again, and give it as model=.")
        try:
            model.load_state_dict(found["weights"])
        except RuntimeError as error:
            lines = " ".join(str(error).split())
            raise ValueError(f"The model does not fit the weights in '{path}': {lines[:200]}") from None
        model.to(next((weight.dtype for weight in found["weights"].values() if weight.is_floating_point()), None))
        return Fit(
            model,
            replace(problem, unknowns=found["unknowns"]) if problem.unknowns else problem,
            found["error"],
            {name: column.numpy() for name, column in found["history"].items()},
            found["unknowns"],
            found["seconds"],
            found["stopped"],
            Status[found["status"]],
            found["warnings"],
            scales=Scales.of(found.get("scales")),
            weights=found.get("loss weights", {}),
            error_estimate=found.get("error_estimate"),
            recipe=found.get("recipe", ""),
        )


def _identity(problem: Problem) -> dict[str, str]:
    """What a problem must have for a saved run to be one of it."""
    return {
        "coordinates": ", ".join(problem.domain.names),
        "fields": ", ".join(problem.fields),
        "terms": ", ".join(problem.terms),
        "unknowns": ", ".join(problem.unknowns),
    }


def joined(fits: Sequence[Fit]) -> dict[str, np.ndarray]:
    """The histories of several runs as one: "step" and "seconds" go on counting. Columns that not all have are left out."""
    names = [name for name in fits[0].history if all(name in run.history for run in fits)]
    history = {name: np.concatenate([run.history[name] for run in fits]) for name in names}
    history["step"] = np.arange(1, len(history["step"]) + 1)
    before = np.cumsum([0.0, *(run.seconds for run in fits)])
    history["seconds"] = np.concatenate([run.history["seconds"] + start for run, start in zip(fits, before, strict=False)])
    return history


@dataclass(frozen=True)
class State:
    """What a callback sees after each step: return True to stop, or a sentence saying why.

    Attributes
    ----------
    step : int
    seconds : float
        Of training.
    model : Module
    problem : Problem
    objective : Objective
    optimizer : object
        As it was given to ``fit``.
    row : Tensor
        The terms that the step started from, in the order of ``problem.terms``.
    weights : sequence of float
        Of the terms, in this step.
    fresh : dict of step to float
        The loss on fresh points, at the steps that were looked at.
    unknowns : dict of name to Tensor
        The unknown parameters as the step left them.

    Examples
    --------
    Curves for TensorBoard, of a run with ``callbacks=[to_tensorboard]``:

    >>> from torch.utils.tensorboard import SummaryWriter  # doctest: +SKIP
    >>> writer = SummaryWriter("runs/heat")  # doctest: +SKIP
    >>> def to_tensorboard(state):
    ...     if state.step % 10 == 0:
    ...         writer.add_scalar("loss", state.loss, state.step)
    ...         writer.add_scalars("terms", state.terms, state.step)
    """

    step: int
    seconds: float
    model: nn.Module
    problem: Problem
    objective: Objective
    optimizer: Any
    row: Tensor
    weights: Sequence[float]
    fresh: Mapping[int, float]
    unknowns: Mapping[str, Tensor]

    @cached_property
    def terms(self) -> dict[str, float]:
        """The terms that the step started from, by name: half mean squares, unweighted. Costs no evaluation."""
        return dict(zip(self.problem.terms, self.row.tolist(), strict=True))

    @cached_property
    def loss(self) -> float:
        """The loss that the step started from, the weighted sum of the terms. Costs no evaluation."""
        return sum(weight * term for weight, term in zip(self.weights, self.terms.values(), strict=True))


def relative_error(
    model: nn.Module, problem: Problem, points: Tensor | None = None, *, fields: Sequence[str] = ()
) -> float:
    """Relative L2 error against the exact solution.

    Parameters
    ----------
    points : Tensor (N, d), optional
        Where to compare; by default the domain's ``evaluation_points()``: in a box a grid of about 10,000
        points with the faces in it, a Sobol set in more than three dimensions and in other shapes.

    Returns
    -------
    float
        sqrt(sum (u - u_exact)^2 / sum u_exact^2), over the points and the fields the solution names
    """
    require(isinstance(model, nn.Module), "The model", "a torch.nn.Module", model)
    require(isinstance(problem, Problem), "problem", "a Problem", problem)
    if points is None:
        points = problem.domain.evaluation_points()
    problem.domain.check_points(points)
    points = points.to(next(model.parameters(), points))
    exact = problem.solution(points)
    if fields:
        exact = {name: exact[name] for name in _known(fields, exact)}
    with torch.no_grad():
        found = problem.values(model, points, list(exact))
    difference = torch.stack([found[name] - value for name, value in exact.items()])
    return float(torch.linalg.norm(difference) / torch.linalg.norm(torch.stack(list(exact.values()))))


def _known(fields: Sequence[str], exact: Mapping[str, Tensor]) -> Sequence[str]:
    """The fields, if the exact solution names them all."""
    require(isinstance(fields, tuple | list), "fields", 'a tuple of names such as ("u",)', fields)
    for name in fields:
        if name not in exact:
            raise ValueError(f"The exact solution has no {shown(name)}: it has {', '.join(exact)}.")
    return fields
