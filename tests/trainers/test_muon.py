"""Muon: matrices by torch's Muon, the rest by Adam; one sentence where torch has none."""

from __future__ import annotations

import copy

import pytest
import torch

from pinnedu import MLP, Muon, Points, problems
from pinnedu.trainers import Objective

needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")


@needs_muon
def test_steps_are_those_of_torchs_optimizers_by_hand():
    heat = problems.heat()
    model = MLP(heat, hidden=(6, 5))
    by_hand, points = copy.deepcopy(model), Points(9, 4, method="grid")
    matrices = [w for w in by_hand.parameters() if w.ndim == 2 and min(w.shape) > 1]
    rest = [w for w in by_hand.parameters() if all(w is not matrix for matrix in matrices)]
    assert [tuple(w.shape) for w in matrices] == [(6, 2), (5, 6)]
    both = [
        torch.optim.Muon(matrices, lr=0.02, momentum=0.9, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
        torch.optim.Adam(rest, lr=0.003),
    ]
    objective = Objective(by_hand, heat, heat.sample(points))
    for _ in range(5):
        by_hand.zero_grad()
        objective.loss().backward()
        for optimizer in both:
            optimizer.step()
    step = Muon(0.02, momentum=0.9, adam_lr=0.003).start(model)
    other = Objective(model, heat, heat.sample(points))
    for _ in range(5):
        step(other)
    for one, two in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-8)


@needs_muon
def test_a_step_of_a_matrix_has_equal_singular_values():
    heat = problems.heat()
    model = MLP(heat, hidden=(6, 5))
    weight = model.layers[0].weight
    before = weight.detach().clone()
    objective = Objective(model, heat, heat.sample(Points(30, 5)))
    Muon(0.1).start(model)(objective)
    values = torch.linalg.svdvals(weight.detach() - before) / (0.1 * 0.2 * 6**0.5)
    assert len(values) == 2
    assert float(values.min()) > 0.5  # 5 iterations leave them between 0.7 and 1.2
    assert float(values.max()) < 1.5


def test_where_torch_has_none_one_sentence_says_so(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon", raising=False)
    with pytest.raises(ValueError, match=r"Muon needs torch 2\.9 or newer, and this is .*: use SOAP\(\) or a newer torch\."):
        Muon()


@needs_muon
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, "The rate lr must be positive, not 0"),
        ({"adam_lr": -1}, "The rate lr must be positive, not -1"),
        ({"momentum": 1}, r"The momentum must be a number in \[0, 1\), not 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        Muon(**options)
