"""Which device to compute on, and in which precision."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor


def choose(device: str | torch.device = "auto", dtype: torch.dtype = torch.float64) -> tuple[torch.device, torch.dtype]:
    """Resolve ``device="auto"`` to CUDA, then MPS, then the CPU.

    Apple's MPS has no float64: there the precision is lowered to float32, with one warning.

    Raises
    ------
    ValueError
        If the device does not exist on this machine or the dtype is not a floating one.
    """
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"dtype must be torch.float64 or torch.float32, not {dtype!r}.")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        raise ValueError(f"The device {device!r} cannot be used here ({reason}): choose 'cpu' or 'auto'.") from None
    if chosen.type == "mps" and dtype == torch.float64:
        warnings.warn("MPS has no float64: training runs in float32, where small errors are hidden.", stacklevel=3)
        dtype = torch.float32
    return chosen, dtype


def move(tensor: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """Bring a tensor to a device and dtype, without waiting for CUDA to be done with what it was told before.

    Pinned memory is what a GPU can copy from by itself; from any other the processor would wait.
    """
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        return tensor.to(dtype).pin_memory().to(device, non_blocking=True)
    return tensor.to(device=device, dtype=dtype)
