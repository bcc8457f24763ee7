"""The three worked examples of CONTRIBUTING.md, run as they stand on the page."""

import importlib.util
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

import chapters
import execute
import jupytext
import nbformat
import torch
from torch import Tensor, nn

from pinnedu import MLP, Points, fit
from pinnedu.parameters import assign, trainable_parameters
from pinnedu.trainers import Objective
from pinnedu.trainers.optimizers import Step

PAGE = (chapters.ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(# (?:pinnedu|tests)/.*?)^```$", PAGE, flags=re.M | re.S)
CODE = {block.split("\n", 1)[0]: block for block in BLOCKS}
CHAPTER = re.search(r"^````md\n(.*?)^````$", PAGE, flags=re.M | re.S)


def run(path, **names):
    """What a file of the page defines."""
    exec(compile(CODE[f"# {path}"], path, "exec"), names)
    return names


def test_the_page_stays_one_page():
    assert len(PAGE.splitlines()) < 180


def test_the_problem_passes_its_own_test(closed_form):
    cooling = run("pinnedu/problems/cooling.py")["cooling"]
    test = run("tests/problems/test_cooling.py", cooling=cooling, Points=Points)
    test["test_the_exact_solution_has_residual_zero"](closed_form)
    assert float(cooling(2.0).exact(torch.tensor(0.5))) == float(torch.exp(torch.tensor(-1.0)))


def test_the_optimizer_steps_by_the_signs_and_lowers_the_loss(decay):
    names = {"dataclass": dataclass, "nn": nn, "Step": Step, "Objective": Objective, "Tensor": Tensor}
    Signs = run("pinnedu/trainers/signs.py", assign=assign, trainable_parameters=trainable_parameters, **names)["Signs"]
    model = MLP(decay, hidden=(8,), seed=0)
    before = [weight.detach().clone() for weight in model.parameters()]
    objective = Objective(model, decay, decay.sample(Points(20, 1)))
    loss = float(objective.evaluate().loss)
    assert float(Signs(1e-3).start(model)(objective).sum()) == loss  # the terms from before the step
    moved = torch.cat([(new.detach() - old).flatten() for new, old in zip(model.parameters(), before, strict=True)])
    assert set(moved.abs().mul(1e3).round(decimals=9).tolist()) <= {0.0, 1.0}
    trained = fit(model, decay, optimizer=Signs(1e-3), steps=200, points=Points(20, 1), seed=0)
    assert trained.loss < loss / 10


def test_the_chapter_fulfills_the_contract(tmp_path):
    notebook = jupytext.reads(CHAPTER[1], fmt="md:myst")
    path = tmp_path / "tea.ipynb"
    nbformat.write(notebook, path)
    execute.execute(path)
    spec = importlib.util.spec_from_file_location("contract", Path(__file__).with_name("test_contract.py"))
    contract = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contract)
    tea, tested = contract.Chapter(path), 0
    for name, test in vars(contract).items():
        if name.startswith("test_") and list(inspect.signature(test).parameters) in (["chapter"], ["computing"]):
            test(tea)
            tested += 1
    assert tested > 15
