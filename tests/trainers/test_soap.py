"""SOAP against Adam in an eigenbasis that is computed with dense matrices."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pinnedu import SOAP
from pinnedu.trainers.soap import EigenbasisAdam


def gradients(count, *shape):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, dtype=torch.float64, generator=generator) for _ in range(count)]


def feed(weight, optimizer, given):
    for gradient in given:
        weight.grad = gradient
        optimizer.step()


def orthogonal_iteration(matrix, basis):
    return torch.linalg.qr((matrix + 1e-6 * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=matrix.dtype)) @ basis).Q


@pytest.mark.parametrize("frequency", [1, 2, 100])
def test_a_matrix_is_adam_on_the_rotated_vector(frequency):
    """With vec laid out row by row, Q^T G R is kron(Q, R)^T vec(G): one dense rotation of all weights."""
    given = gradients(6, 3, 4)
    weight = nn.Parameter(torch.zeros(3, 4, dtype=torch.float64))
    feed(weight, EigenbasisAdam([weight], 0.1, (0.8, 0.9), frequency), given)

    left, right = given[0] @ given[0].T, given[0].T @ given[0]
    q, r = (orthogonal_iteration(one, torch.eye(len(one), dtype=one.dtype)) for one in (left, right))
    position, mean, square = torch.zeros(3, 12, dtype=torch.float64)
    for t, gradient in enumerate(given, 1):
        if t > 1:
            left = 0.9 * left + 0.1 * gradient @ gradient.T
            right = 0.9 * right + 0.1 * gradient.T @ gradient
            if (t - 1) % frequency == 0:
                q, r = orthogonal_iteration(left, q), orthogonal_iteration(right, r)
        rotation = torch.kron(q, r)
        mean = 0.8 * mean + 0.2 * gradient.flatten()
        square = 0.9 * square + 0.1 * (rotation.T @ gradient.flatten()) ** 2
        step = (rotation.T @ mean / (1 - 0.8**t)) / ((square / (1 - 0.9**t)).sqrt() + 1e-8)
        position = position - 0.1 * rotation @ step
    torch.testing.assert_close(weight.detach().flatten(), position, rtol=1e-8, atol=1e-8)


def test_the_basis_follows_the_eigenvectors():
    weight = nn.Parameter(torch.zeros(3, 4, dtype=torch.float64))
    optimizer = EigenbasisAdam([weight], 1e-3, (0.9, 0.9), 1)
    feed(weight, optimizer, gradients(3, 3, 4) + 200 * gradients(1, 3, 4))
    state = optimizer.state[weight]
    for side in ("left", "right"):
        rotated = state[f"{side} basis"].T @ state[side] @ state[f"{side} basis"]
        assert float((rotated - torch.diag(rotated.diagonal())).abs().max()) < 1e-6 * float(rotated.abs().max())


def test_vectors_are_adams():
    given = gradients(5, 7)
    ways = []
    for make in (lambda w: EigenbasisAdam(w, 0.01, (0.9, 0.99), 3), lambda w: torch.optim.Adam(w, lr=0.01, betas=(0.9, 0.99))):
        weight = nn.Parameter(torch.zeros(7, dtype=torch.float64))
        feed(weight, make([weight]), given)
        ways.append(weight.detach())
    torch.testing.assert_close(*ways, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, "The rate lr must be positive, not 0"),
        ({"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\)"),
        ({"frequency": 0}, "frequency must be a whole number of at least 1, not 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        SOAP(**options)
