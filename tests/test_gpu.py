"""On an accelerator the same seeds give what they give on the CPU. Skipped where there is none."""

from __future__ import annotations

import pytest
import torch

from pinnedu import (
    KFAC,
    LBFGS,
    MLP,
    SOAP,
    SPRING,
    Adam,
    GaussNewton,
    GaussNewtonCG,
    Points,
    SelfScaledBroyden,
    fit,
    problems,
)
from pinnedu.derivatives import ENGINES, evaluate
from pinnedu.device import choose
from pinnedu.field import Laplacian
from pinnedu.theory import tangent
from pinnedu.trainers import loop

# Looked up here, for the tests of other files are told that there is none.
ACCELERATORS = {"cuda": (torch.cuda, torch.cuda.is_available), "mps": (torch.backends.mps, torch.backends.mps.is_available)}
AVAILABLE = {name: ask() for name, (_, ask) in ACCELERATORS.items()}
pytestmark = pytest.mark.gpu
SOME = Points(200, 30)


@pytest.fixture(autouse=True)
def _the_truth_again(_each_test_alone, monkeypatch):
    """Here accelerators exist: the compiler, for one, asks for them before it looks for Triton."""
    for accelerator, ask in ACCELERATORS.values():
        monkeypatch.setattr(accelerator, "is_available", ask)


@pytest.fixture(params=AVAILABLE)
def device(request):
    if not AVAILABLE[request.param]:
        pytest.skip(f"this machine has no {request.param}")
    return request.param


def tolerance(device):
    """Relative difference that rounding explains: MPS has float32 only."""
    return 1e-6 if device == "cuda" else 1e-2


def train(device, optimizer, steps, *, points=SOME, single=False, **options):
    dtype = torch.float32 if device == "mps" or single else torch.float64
    heat = problems.heat()
    model = MLP(heat, hidden=(10, 10))
    return fit(model, heat, optimizer=optimizer, steps=steps, points=points, device=device, dtype=dtype, seed=0, **options)


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        *((Adam(1e-2), 30), (LBFGS(), 8), (SelfScaledBroyden(), 8), (GaussNewton(), 8)),
        *((SPRING(), 8), (SPRING(adaptive=False), 8), (GaussNewtonCG(), 5), (KFAC(), 8)),
        (SOAP(betas=(0.5, 0.5)), 8),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_same_seed_gives_the_same_run_as_on_the_cpu(device, optimizer, steps):
    there = train(device, optimizer, steps, error_every=4)
    here = train("cpu", optimizer, steps, single=device == "mps", error_every=4)
    assert next(there.model.parameters()).device.type == device
    for name in ("loss", "fresh", "error"):
        assert there.history[name] == pytest.approx(here.history[name], rel=tolerance(device), nan_ok=True)


@pytest.mark.parametrize("optimizer", [Adam(1e-2), LBFGS()], ids=lambda value: type(value).__name__)
def test_compiled_steps_are_those_of_the_cpu_without(device, optimizer):
    steps = 30 if isinstance(optimizer, Adam) else 8
    there = train(device, optimizer, steps, compile=True, points=Points(200, 30, resample=3))
    here = train("cpu", optimizer, steps, single=device == "mps", points=Points(200, 30, resample=3))
    if device == "cuda":  # on Apple's the compiler may refuse, which it says
        assert not any("compiled" in sentence for sentence in there.warnings)
    assert there.history["loss"] == pytest.approx(here.history["loss"], rel=tolerance(device))


def test_adaptive_points_are_the_same(device):
    points = Points(200, 30, resample=2, adaptive=0.5)
    there = train(device, Adam(1e-2), 10, points=points)
    here = train("cpu", Adam(1e-2), 10, points=points, single=device == "mps")
    assert there.history["loss"] == pytest.approx(here.history["loss"], rel=tolerance(device))


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine(device, name):
    if (device, name) == ("mps", "complex-step"):
        pytest.skip("MPS has no complex numbers of every operation")
    dtype = torch.float32 if device == "mps" else torch.float64
    heat = problems.heat()
    model, points = MLP(heat, hidden=(10,), dtype=dtype), heat.domain.sample(50, dtype=dtype)
    requests = [(0, (0, 0)), (0, (1, 0))] + ([(0, (2, 0)), (0, Laplacian((0, 1)))] if name != "complex-step" else [])
    here = evaluate(name, model, points, requests)
    there = evaluate(name, model.to(device), points.to(device), requests)
    scale = 1e-3 if name == "finite-differences" else tolerance(device)
    for request in requests:
        assert torch.allclose(there[request].cpu(), here[request], rtol=scale, atol=scale)


def test_the_matrix_of_the_theory(device):
    dtype = torch.float32 if device == "mps" else torch.float64
    heat = problems.heat()
    model = MLP(heat, hidden=(10,), dtype=dtype)
    sample = heat.sample(Points(50, 10), generator=torch.Generator().manual_seed(0))
    here = tangent.gram(model, heat, sample)
    there = tangent.gram(model.to(device), heat, sample)
    assert there.device.type == device
    assert torch.allclose(there.cpu(), here, rtol=tolerance(device), atol=tolerance(device) * float(here.abs().max()))


def test_a_checkpoint_moves_from_the_accelerator_to_the_cpu(device, tmp_path):
    single = device == "mps"
    first = train(device, Adam(1e-2), 10, checkpoint=tmp_path / "run.pt")
    second = train("cpu", Adam(1e-2), 20, single=single, checkpoint=tmp_path / "run.pt")
    assert list(second.history["loss"][:10]) == list(first.history["loss"])
    whole = train("cpu", Adam(1e-2), 20, single=single)
    assert second.history["loss"] == pytest.approx(whole.history["loss"], rel=10 * tolerance(device))


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
def test_the_loop_does_not_wait_for_cuda(monkeypatch):
    if not AVAILABLE["cuda"]:
        pytest.skip("this machine has no cuda")
    monkeypatch.setattr(loop, "CHECKS", 1)  # one look, at the end
    steps = []

    def note(state):  # from the second step on a wait is an error, until the last
        steps.append(state.step)
        torch.cuda.set_sync_debug_mode("error" if state.step < 19 else "default")

    try:
        train("cuda", Adam(1e-2), 20, points=Points(200, 30, resample=1), callbacks=[note])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(steps) == 20


def test_auto_finds_the_accelerator(device):
    if device == "mps":
        with pytest.warns(UserWarning, match="MPS has no float64"):
            assert choose()[0].type == device
    else:
        assert choose()[0].type == device
