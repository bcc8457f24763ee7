"""How a model of pinnedu is built, in words and numbers, so that a file can say it without pickling."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pinnedu.domain import Box
from pinnedu.embeddings import FourierFeatures, Normalize, PeriodicEmbedding
from pinnedu.models import ACTIVATIONS, MLP, FactorizedLinear, ModifiedMLP
from pinnedu.networks import Networks
from pinnedu.problem import Problem
from pinnedu.singular import Enriched, additions, shaped
from pinnedu.trainers.composite import Corrected, Piecewise
from pinnedu.trainers.products import Products

Blueprint = dict[str, Any]
NETWORKS: dict[str, type[MLP]] = {"MLP": MLP, "ModifiedMLP": ModifiedMLP}


def blueprint(model: nn.Module) -> Blueprint | None:
    """How to build a model of the same shape; None if it is not one of pinnedu's own, such as one with formulas in it."""
    if type(model) is Networks:
        plans = {name: blueprint(network) for name, network in model.networks.items()}
        return None if None in plans.values() or len(model.functions) else {"network": "Networks", "networks": plans}
    if isinstance(model, Enriched):
        inner, names = blueprint(model.model), {field: list(given) for field, given in model.functions.items()}
        return {"network": "Enriched", "model": inner, "names": names} if inner else None
    if isinstance(model, Corrected):
        parts = [blueprint(model.base), blueprint(model.correction)]
        return {"network": "Corrected", "parts": parts} if all(parts) else None
    if isinstance(model, Piecewise):
        parts = [blueprint(piece) for piece in model.models]
        return {"network": "Piecewise", "axis": model.axis, "starts": model.starts, "parts": parts} if all(parts) else None
    if isinstance(model, Products):
        shapes = [list(coefficients.shape) for coefficients in model.coefficients]
        return {"network": "Products", "time": model.time, "periodic": model.periodic, "edges": model.edges, "shapes": shapes}
    if type(model) not in NETWORKS.values():
        return None
    assert isinstance(model, MLP)
    activation = [name for name, kind in ACTIVATIONS.items() if type(model.activation) is kind]
    embedding = _embedding(model.embedding)
    if not activation or embedding is None:
        return None
    first: Any = model.layers[0]
    return {
        "network": type(model).__name__,
        "hidden": [int(layer.bias.numel()) for layer in model.layers[:-1]],  # type: ignore[operator]
        "activation": activation[0],
        "factorized": isinstance(first, FactorizedLinear),
        "embedding": embedding,
        "inputs": list(model.inputs),
        "fields": list(model.fields),
    }


def built(plan: Blueprint | None, problem: Problem) -> nn.Module | None:
    """A model by a blueprint, in double precision, with weights that are to be loaded; None without one."""
    if plan is None:
        return None
    if plan["network"] == "Networks":
        parts: dict[str, Any] = {name: built(part, problem) for name, part in plan["networks"].items()}
        return Networks(problem, **parts)
    if plan["network"] == "Enriched":  # by the functions that the shape adds; others are not in a file
        inner, added = built(plan["model"], problem), additions(problem.domain)
        whole_shape = shaped(inner, problem, added) if inner is not None and added else None
        same = whole_shape is not None and {field: list(given) for field, given in whole_shape.functions.items()} == plan["names"]
        return whole_shape if same else None
    if plan["network"] == "Products":
        model = Products(problem.domain, plan["time"], len(problem.fields), plan["periodic"])
        for (start, end), shape in zip(plan["edges"], plan["shapes"], strict=True):
            model.append(start, end, torch.zeros(shape, dtype=torch.float64))
        return model
    if "parts" in plan:
        pieces = [built(part, problem) for part in plan["parts"]]
        assert all(piece is not None for piece in pieces)
        if plan["network"] == "Corrected":
            return Corrected(*pieces)  # type: ignore[arg-type]
        whole = Piecewise(plan["axis"])
        for start, piece in zip(plan["starts"], pieces, strict=True):
            whole.append(start, piece)  # type: ignore[arg-type]
        return whole
    what = plan["embedding"]
    embedding: nn.Module | None
    if what["kind"] == "Normalize":
        embedding = None
    elif what["kind"] == "FourierFeatures":
        embedding = FourierFeatures(torch.ones(what["shape"], dtype=torch.float64))
    else:
        guesses = dict.fromkeys(what["guessed"], 1.0)
        names = plan.get("inputs", problem.domain.names)
        lengths = what.get("lengths") or [high - low for low, high in (problem.domain.bounds[name] for name in names)]
        seen = Box(**{name: (0.0, length) for name, length in zip(names, lengths, strict=True)})  # the centers are weights
        embedding = PeriodicEmbedding(seen, guesses, **what["harmonics"])
    return NETWORKS[plan["network"]](
        problem,
        plan["hidden"],
        plan["activation"],
        embedding=embedding,
        inputs=plan.get("inputs"),  # a file of an earlier version has no inputs, fields and lengths
        fields=plan.get("fields"),
        factorized=plan["factorized"],
    )


def _embedding(module: nn.Module) -> Blueprint | None:
    """The kind and the sizes of a first layer; its numbers are among the weights of the model."""
    if type(module) is Normalize:
        return {"kind": "Normalize"}
    if type(module) is FourierFeatures:
        return {"kind": "FourierFeatures", "shape": list(module.frequencies.shape)}
    if type(module) is PeriodicEmbedding:
        names = list(module.lengths)
        harmonics = {names[axis]: int(count) for axis, count in module.harmonics.items()}
        lengths = list(module.lengths.values())
        return {"kind": "PeriodicEmbedding", "harmonics": harmonics, "guessed": list(module.frequencies), "lengths": lengths}
    return None
