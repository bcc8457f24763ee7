"""Walk on spheres (Muller 1956) for Poisson's equation on a ball: the classical method of many dimensions.

From each point a walk jumps to a random point of the largest sphere around it, until it is at the boundary, where u is zero. On
its way it collects the right-hand side, at one random point of each ball, with the weight of Green's function.
"""

import numpy as np
import torch

from pinnedu.problems import poisson_ball
from pinnedu.studies import Claim, Study

FREQUENCY = 0.5
POINTS = 50
CLOSE = 1e-4  # where a walk ends


def force(x):
    """The right-hand side of `poisson_ball`, (N, d) to (N,)."""
    d = x.shape[1]
    y = FREQUENCY * d**0.5 * x
    after = y.roll(-1, dims=1)
    g = (torch.sin(y) * torch.cos(after)).sum(dim=1) / d**0.5
    slope = (y * torch.cos(y) * torch.cos(after) - after * torch.sin(y) * torch.sin(after)).sum(dim=1) / d**0.5
    return 2 * d * (1 + FREQUENCY**2 * (1 - x.square().sum(dim=1))) * g + 4 * slope


def run(dim, walks, seed):
    """The error at some points of the ball, each from so many walks, and the longest walk."""
    generator = torch.Generator().manual_seed(seed)
    problem = poisson_ball(dim, FREQUENCY)
    points = problem.domain.sample(POINTS, generator=generator)
    places = points.repeat(walks, 1)
    found, moving, jumps = torch.zeros(len(places), dtype=places.dtype), torch.arange(len(places)), 0

    def directions(count):
        v = torch.randn(count, dim, generator=generator, dtype=places.dtype)
        return v / v.norm(dim=1, keepdim=True)

    while len(moving):
        here = places[moving]
        radius = 1 - here.norm(dim=1)
        s = torch.rand(len(here), generator=generator, dtype=places.dtype).sqrt()  # density 2 s
        inside = here + (radius * s)[:, None] * directions(len(here))
        found[moving] += radius**2 / (2 * (dim - 2)) * (1 - s ** (dim - 2)) * force(inside)
        here = here + radius[:, None] * directions(len(here))
        places[moving] = here
        moving = moving[1 - here.norm(dim=1) > CLOSE]
        jumps += 1
    truth = problem.exact(points)
    mean = found.reshape(walks, POINTS).mean(dim=0)
    return {"error": float((mean - truth).norm() / truth.norm()), "jumps": jumps}


def typical(results, dim, walks):
    """The root mean square of the errors of all seeds: a variance falls as one over the number of walks."""
    return np.sqrt(np.mean(results.where(dim=dim, walks=walks)["error"] ** 2))


CLAIMS = [
    Claim(
        "root-of-walks",
        "In 20 dimensions 16 times as many walks divide the root mean square error by 2.5 to 6.5: the square root.",
        lambda results: 2.5 < typical(results, 20, 16) / typical(results, 20, 256) < 6.5,
        row="R33",
    ),
    Claim(
        "any-dimension",
        "With 16 walks from each point the root mean square error in 100 dimensions is at most twice that in 20.",
        lambda results: typical(results, 100, 16) < 2 * typical(results, 20, 16),
        row="R33",
    ),
]

study = Study(
    run,
    grid=[
        {"dim": dim, "walks": walks, "seed": seed}
        for seed in range(5)
        for dim, walks in ((20, 16), (20, 256), (100, 16))
    ],
    claims=CLAIMS,
    cheap={"dim": 20, "walks": 16, "seed": 0},
    agree={"error": 1e-6},
)
