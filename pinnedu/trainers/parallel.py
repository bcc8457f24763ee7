"""Many processes, one run: each takes a share of the points, and sums bring them together.

The loss is a sum over points, and so are its gradient, J^T r and J^T J: every process computes its
points' part, one all-reduce adds the parts up, and all processes take the same step from the same
numbers. What a single process would do differs by the rounding of a sum only.

Where the residuals are fewer than the weights, Gauss-Newton solves in the space of the residuals. There
the rows of J are gathered instead: N rows of P numbers, which is less than the P x P of J^T J, and the
solve stays the small and well-conditioned one.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pinnedu.problem import Problem, Sample


class ProcessGroup:
    """The processes that train one model together; by default this one alone."""

    rank, size = 0, 1

    def partition(self, problem: Problem, sample: Sample) -> tuple[Sample, dict[str, float]]:
        """Of each set the points of this process, and which fraction of it they are."""
        return sample, {}

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, without a graph."""
        return tensor

    def sum_all(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """The sums of several tensors, in one call; None is zero."""
        return list(tensors)

    def count(self, rows: Tensor) -> int:
        """How many rows all processes have together."""
        return len(rows)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, whose gradient is that of this one's part."""
        return tensor

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, one below the other."""
        return rows

    def scatter(self, values: Tensor, rows: int) -> Tensor:
        """Values that each process knows for its own rows (rank, rank + size, ...), in their places."""
        return values

    def own(self, rows: Tensor) -> Tensor:
        """Of some rows those of this process."""
        return rows

    def agree(self, thing: Any) -> Any:
        """What the first process says."""
        return thing

    def copy(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors with those of the first process."""


ALONE = ProcessGroup()


class Processes(ProcessGroup):
    """Several processes that ``torch.distributed`` connects."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def partition(self, problem: Problem, sample: Sample) -> tuple[Sample, dict[str, float]]:
        """Of each set the points of this process, and which fraction of it they are.

        Raises
        ------
        ValueError
            If there are more processes than points in any set.
        """
        own, largest = {}, 0
        for name, points in sample.items():
            condition = problem.conditions.get(name)
            if condition is not None and condition.whole:  # one residual of all points: all compute it
                own[name] = points
                continue
            # Tied pairs of points (see Periodic) stay together.
            pairs = 2 if condition is not None and condition.paired else 1
            part = points.unflatten(0, (pairs, -1))[:, self.rank :: self.size].flatten(end_dim=1)
            if name != "interior" or problem.equations:
                largest = max(largest, len(points) // pairs)
            if len(part):  # of a set with fewer points than processes, some have none
                own[name] = part
        if largest < self.size:
            raise ValueError(f"{self.size} processes cannot share {largest} points: give Points more of them.")
        whole = {name for name, condition in problem.conditions.items() if condition.whole}
        return own, {name: 1 / self.size if name in whole else len(own[name]) / len(sample[name]) for name in own}

    def sum(self, tensor: Tensor) -> Tensor:
        summed = tensor.detach().clone()
        dist.all_reduce(summed)
        return summed

    def sum_all(self, tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        filled = [torch.zeros_like(other) if one is None else one for one, other in zip(tensors, like, strict=True)]
        summed = self.sum(torch.cat([tensor.reshape(-1) for tensor in filled]))
        parts = summed.split([tensor.numel() for tensor in filled])
        return [part.view_as(tensor) for part, tensor in zip(parts, filled, strict=True)]

    def count(self, rows: Tensor) -> int:
        return int(self.sum(torch.tensor(len(rows), device=rows.device)))

    def total(self, tensor: Tensor) -> Tensor:
        result: Tensor = _Total.apply(tensor, self)
        return result

    def gather(self, rows: Tensor) -> Tensor:
        counts = torch.zeros(self.size, dtype=torch.int64, device=rows.device)
        counts[self.rank] = len(rows)
        ends = self.sum(counts).cumsum(dim=0).tolist()
        together = rows.new_zeros(ends[-1], *rows.shape[1:])
        together[ends[self.rank] - len(rows) : ends[self.rank]] = rows
        return self.sum(together)  # adding zeros changes no bit

    def scatter(self, values: Tensor, rows: int) -> Tensor:
        together = values.new_zeros(rows, *values.shape[1:])
        together[self.rank :: self.size] = values
        return self.sum(together)

    def own(self, rows: Tensor) -> Tensor:
        return rows[self.rank :: self.size]

    def agree(self, thing: Any) -> Any:
        held = [thing]
        dist.broadcast_object_list(held)
        return held[0]

    def copy(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            dist.broadcast(tensor, 0)


class _Total(torch.autograd.Function):
    """Sums over all processes going forward; going back, each keeps the gradient of its own part."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, team: ProcessGroup) -> Tensor:
        return team.sum(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


def team() -> ProcessGroup:
    """The processes that this one belongs to.

    Started by ``torchrun``, the first call connects them: with NCCL where there is CUDA, one GPU each,
    otherwise with gloo. A process group that is there already is used as it is.
    """
    if not dist.is_available():
        return ALONE
    if not dist.is_initialized():
        if not dist.is_torchelastic_launched():
            return ALONE
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group()
        atexit.register(dist.destroy_process_group)
    return Processes() if dist.get_world_size() > 1 else ALONE
