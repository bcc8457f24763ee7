"""Derivatives by Taylor mode: all of them in one forward pass, at a cost polynomial in the order."""

from __future__ import annotations

import warnings
from collections.abc import Collection

import torch
from torch import Tensor, nn

import pinnedu.derivatives.rules  # noqa: F401  (it fills the table of rules)
from pinnedu.checks import reason
from pinnedu.derivatives.autograd import nested_autograd
from pinnedu.derivatives.jet import Jet, LinearCall, NoRule, Plan
from pinnedu.derivatives.requests import Laplacian, Order, Request
from pinnedu.device import out_of_memory

_warned: set[str] = set()


def taylor(
    model: nn.Module, points: Tensor, requests: Collection[Request], tape: list[LinearCall] | None = None
) -> dict[Request, Tensor]:
    """Evaluate requests by pushing a truncated Taylor polynomial through the model.

    Works with any module made of operations that jets have a rule for (see ``pinnedu.derivatives.rules``). Where
    one has none, nested autograd takes over, with one warning that names the operation.

    Parameters
    ----------
    model : Module, (N, d) -> (N, m)
    points : Tensor, shape (N, d)
    requests : collection of (output, order) or (output, Laplacian)
    tape : list, optional
        Linear layers write down here that they were called, for the Jacobian by their weights.

    Returns
    -------
    dict of request to Tensor, each (N,)

    References
    ----------
    Griewank, Utke & Walther (2000), Evaluating higher derivative tensors by forward propagation of
    univariate Taylor series. Bettencourt, Johnson & Duvenaud (2019), Taylor-mode automatic
    differentiation for higher-order derivatives in JAX.
    """
    wanted: frozenset[Order | Laplacian] = frozenset(what for _, what in requests)
    if not any(isinstance(what, Laplacian) or any(what) for what in wanted) and tape is None:
        values = model(points)
        return {request: values[:, request[0]] for request in requests}
    plan = Plan.of(wanted, points.shape[1])
    try:
        outputs = model(Jet.seed(points, plan, tape))
        if not isinstance(outputs, Jet):
            raise NoRule("something that hides the inputs from torch functions")
    except (TypeError, AttributeError, LookupError, RuntimeError, ValueError, AssertionError) as error:
        if out_of_memory(error):
            raise
        missing = str(error) if isinstance(error, NoRule) else reason(error)
        if torch._C._are_functorch_transforms_active():
            raise NoRule(missing) from error  # nested autograd cannot run inside torch.func
        if tape is not None:  # layers passed before the missing rule have no part in what nested autograd returns
            tape.clear()
        values = nested_autograd(model, points, requests)  # where the model is wrong it says so here
        if missing not in _warned:
            _warned.add(missing)
            warnings.warn(f"Taylor mode has no rule for {missing!r}: nested autograd is used for this model.", stacklevel=2)
        return values
    derivatives = {what: outputs.derivative(what) for what in wanted}
    return {(output, what): derivatives[what][:, output] for output, what in requests}
