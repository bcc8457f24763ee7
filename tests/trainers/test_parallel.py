"""Two processes that share the points of a run take the steps that one process takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pinnedu import (
    KFAC,
    LBFGS,
    MLP,
    SOAP,
    SPRING,
    Adam,
    Box,
    GaussNewton,
    GaussNewtonCG,
    GradientDescent,
    Observed,
    On,
    Periodic,
    Points,
    Problem,
    SelfScaledBroyden,
    fit,
)
from pinnedu.theory.tangent import gauss_newton_preconditioner
from pinnedu.trainers import Objective, parallel

ODD = Points(41, 7)  # no two processes have the same number of points


def transport():
    """Pairs of points, data, an unknown, an equation of two parts."""
    box = Box(x=(0, 1), t=(0, 1))
    places = box.sample(5, generator=torch.Generator().manual_seed(1))
    return Problem(
        box,
        {"transport": lambda u, c: (u.t + c * u.x, 0.1 * u.xx)},
        {
            "start": On(t=0, equation=lambda u, x: u - torch.sin(2 * torch.pi * x)),
            "around": Periodic("x"),
            "seen": Observed(places, u=places[:, 0]),
        },
        unknowns={"c": 0.5},
    )


def scaled():
    """Values near 350 and an unknown near 5e6."""
    return Problem(
        Box(x=(0, 1), t=(0, 1)),
        {"transport": lambda u, c: u.t + 1e-7 * c * u.x},
        {"start": On(t=0, equation=lambda u, x: u - 350 - 20 * torch.sin(2 * torch.pi * x))},
        unknowns={"c": 5e6},
    )


def growth():
    """A condition on a single point: only one process has it."""
    return Problem(Box(t=(0, 1)), {"growth": lambda u: u.t - u}, {"start": On(t=0, equation=lambda u: u - 1)})


CASES = {  # problem, widths, optimizer, steps, points
    "Adam": (transport, (8,), Adam(1e-2), 20, ODD),
    "adaptive": (transport, (8,), Adam(1e-2), 10, Points(41, 7, resample=2, adaptive=0.5)),
    "GradientDescent": (transport, (8,), GradientDescent(1e-2), 10, ODD),
    "preconditioned": (transport, (8,), GradientDescent(0.5, gauss_newton_preconditioner(1e-2)), 5, ODD),
    "SGD": (transport, (8,), lambda weights: torch.optim.SGD(weights, lr=1e-2, momentum=0.9), 10, ODD),
    "LBFGS": (transport, (8,), LBFGS(), 8, ODD),
    "SelfScaledBroyden": (transport, (8,), SelfScaledBroyden(), 6, ODD),
    "GaussNewton in the weights": (transport, (5,), GaussNewton(), 5, ODD),
    "GaussNewton in the residuals": (transport, (12, 12), GaussNewton(momentum=0.5), 5, ODD),
    "SPRING": (transport, (12, 12), SPRING(), 5, ODD),
    "GaussNewtonCG": (transport, (8,), GaussNewtonCG(iterations=20, rank=10), 4, ODD),
    "KFAC": (transport, (8,), KFAC(), 5, ODD),
    "SOAP": (transport, (8,), SOAP(1e-3), 5, ODD),
    "GaussNewtonCG with a single point": (growth, (4,), GaussNewtonCG(iterations=5, rank=4), 4, Points(31, 1)),
    "KFAC with a single point": (growth, (4,), KFAC(), 4, Points(31, 1)),
    "Adam with a single point": (growth, (5,), Adam(1e-2), 10, Points(5, 1)),
    "GaussNewton with a single point": (growth, (4,), GaussNewton(), 5, Points(31, 1)),
    "weighted": (transport, (8,), Adam(1e-2), 10, ODD),
    "scaled": (scaled, (5,), GaussNewton(), 5, ODD),
}


def run(name, **options):
    problem, hidden, optimizer, steps, points = CASES[name]
    problem, weights = problem(), {"start": 3.0} if name == "weighted" else None
    model = MLP(problem, hidden=hidden)
    options = {"steps": steps, "seed": 1, "weights": weights, **options}
    return fit(model, problem, optimizer=optimizer, points=points, **options)


def outcome(done):
    weights = torch.cat([value.reshape(-1) for value in done.model.state_dict().values()])
    return {
        "weights": weights,
        "loss": torch.tensor(done.history["loss"]),
        "fresh": torch.tensor(done.history["fresh"]).nan_to_num(),
        "stopped": done.stopped,
        "steps": len(done.history["step"]),
        "warnings": done.warnings,
    }


def worker(folder):
    """What each of the two processes does."""
    torch.set_num_threads(1)
    results = {name: outcome(run(name)) for name in CASES}
    torch.manual_seed(int(os.environ["RANK"]))  # different weights and streams, unless they agree
    results["no seed"] = outcome(run("Adam", seed=None))
    torch.compile = lambda listed, **options: listed
    results["compiled"] = outcome(run("Adam", compile=True))
    results["time"] = outcome(run("Adam", steps=10**6, seconds=0.3))
    results["checkpoint"] = outcome(run("Adam", steps=6, checkpoint=folder / "run.pt", checkpoint_every=0))
    results["resumed"] = outcome(run("Adam", checkpoint=folder / "run.pt", steps=12))
    try:
        fit(MLP(growth()), growth(), optimizer=Adam(), steps=1, points=Points(1, 1))
    except ValueError as error:
        results["too few"] = {"error": str(error)}
    torch.save(results, folder / f"{os.environ['RANK']}.pt")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The results of the two processes, by rank, and their folder."""
    folder = tmp_path_factory.mktemp("parallel")
    script = folder / "worker.py"
    script.write_text(
        f"import sys, pathlib\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import test_parallel\ntest_parallel.worker(pathlib.Path({str(folder)!r}))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1"]
    command += ["--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", str(script)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)], folder


@pytest.mark.parametrize("name", CASES)
def test_two_processes_take_the_steps_of_one(both, name):
    (first, second), _ = both
    alone = outcome(run(name))
    assert all(torch.equal(first[name][key], second[name][key]) for key in ("weights", "loss", "fresh"))
    for key in ("weights", "loss", "fresh"):
        difference = (first[name][key] - alone[key]).abs().max() / alone[key].abs().max()
        assert float(difference) < 1e-10, key
    assert alone["loss"][-1] < alone["loss"][0]


def test_compiled_steps_of_two_processes(both):
    (first, second), _ = both
    alone = outcome(run("Adam"))
    assert torch.equal(first["compiled"]["weights"], second["compiled"]["weights"])
    assert first["compiled"]["loss"].numpy() == pytest.approx(alone["loss"].numpy(), rel=1e-10)
    assert first["compiled"]["warnings"] == []


def test_processes_agree_where_nothing_is_fixed(both):
    for case in ("no seed", "time"):
        first, second = (results[case] for results in both[0])
        assert first["steps"] == second["steps"]
        assert first["stopped"] == second["stopped"]
        assert torch.equal(first["weights"], second["weights"])
    assert "the time limit of 0.3 s was reached" in first["stopped"]


def test_a_checkpoint_does_not_depend_on_the_number_of_processes(both):
    (first, second), folder = both
    assert torch.equal(first["resumed"]["weights"], second["resumed"]["weights"])
    whole = outcome(run("Adam"))
    more = outcome(run("Adam", checkpoint=folder / "run.pt"))  # 12 steps by two, 8 by one
    for name, steps in (("checkpoint", 6), ("resumed", 12)):
        assert first[name]["loss"].numpy() == pytest.approx(whole["loss"][:steps].numpy(), rel=1e-10)
    assert more["loss"].numpy() == pytest.approx(whole["loss"].numpy(), rel=1e-10)


def test_more_processes_than_points(both):
    for results in both[0]:
        assert results["too few"]["error"] == "2 processes cannot share 1 points: give Points more of them."


def test_without_torchrun_there_is_no_team(monkeypatch):
    assert parallel.team() is parallel.ALONE
    monkeypatch.setenv("RANK", "1")  # set by other launchers for purposes of their own
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert parallel.team() is parallel.ALONE


class OneOf(parallel.Processes):
    """One of several processes, as far as sharing goes."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size

    def sum(self, tensor):
        return tensor


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shares_make_up_the_whole_and_weighted_means_are_right(size):
    problem = transport()
    sample = problem.sample(ODD, generator=torch.Generator().manual_seed(0))
    model = MLP(problem, hidden=(5,))
    with torch.no_grad():
        whole = Objective(model, problem, sample).terms()
        parts = [Objective(model, problem, sample, team=OneOf(rank, size)) for rank in range(size)]
        total = sum(part.terms() for part in parts)
    assert torch.allclose(total, whole, rtol=1e-13)
    for name in sample:
        assert sum(part.fractions.get(name, 0) for part in parts) == pytest.approx(1)
        shares = [part.sample[name] for part in parts if name in part.sample]
        assert sorted(map(tuple, torch.cat(shares).tolist())) == sorted(map(tuple, sample[name].tolist()))
    for part in parts:  # pairs of points stay together: they differ in x alone
        if "around" in part.sample:
            low, high = part.sample["around"].chunk(2)
            assert torch.equal(low[:, 1], high[:, 1])
            assert (high[:, 0] - low[:, 0] == 1).all()
