"""Points where the residual is large (RAD of Wu, Zhu, Tan, Kartha & Lu 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pinnedu.derivatives import Engine
from pinnedu.device import move
from pinnedu.problem import Problem
from pinnedu.sampling import Points
from pinnedu.trainers.parallel import ALONE, ProcessGroup

POOL = 10  # candidates for each point that is kept


def adapt(
    interior: Tensor,
    model: nn.Module,
    problem: Problem,
    points: Points,
    derivatives: str | Engine,
    generator: torch.Generator,
    team: ProcessGroup = ALONE,
) -> Tensor:
    """Replace a share of the interior points by points drawn where the equations are violated most.

    Candidates are drawn uniformly and kept with probability proportional to |r|^2 / mean(|r|^2) + 1,
    r being all equations' residuals together: no region is left without points.

    Parameters
    ----------
    interior : Tensor, shape (N, d)

    Returns
    -------
    Tensor, shape (N, d)
    """
    count = round(points.adaptive * len(interior))
    if count == 0 or not problem.equations:
        return interior
    candidates = problem.domain.sample(
        POOL * count, generator=generator, device=interior.device, dtype=interior.dtype
    )
    with torch.no_grad():
        found = problem.blocks(model, {"interior": team.own(candidates)}, derivatives)
    violation = torch.stack([block.square() for blocks in found.values() for block in blocks]).sum(dim=0)
    violation = team.scatter(violation, len(candidates))
    density = violation / violation.mean().clamp_min(torch.finfo(violation.dtype).tiny) + 1
    # A race: waiting times of rate `density`, and the first ones home are drawn with these probabilities
    # without replacement. It is what torch.multinomial does, without a look at the numbers.
    times = torch.empty(len(density), dtype=torch.float64).exponential_(generator=generator)
    chosen = candidates[(density / move(times, interior.device, interior.dtype)).topk(count).indices]
    # Where a violation is no number the points stay; the loss reports it.
    return torch.cat([interior[count:], torch.where(torch.isfinite(violation).all(), chosen, interior[:count])])
