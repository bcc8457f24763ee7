"""Which device to compute on, in which precision, and the end of its memory."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from pinnedu.checks import reason, shown


def choose(device: str | torch.device = "auto", dtype: torch.dtype = torch.float64) -> tuple[torch.device, torch.dtype]:
    """Resolve ``device="auto"`` to CUDA, then MPS, then the CPU.

    Apple's MPS has no float64: there the precision is lowered to float32, with one warning.

    Raises
    ------
    ValueError
        If the device does not exist on this machine or the dtype is not a floating one.
    """
    check_dtype(dtype)
    if isinstance(device, str) and device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    chosen = find(device)
    if chosen.type == "mps" and dtype == torch.float64:
        warnings.warn("MPS has no float64: training runs in float32, where small errors are hidden.", stacklevel=3)
        dtype = torch.float32
    return chosen, dtype


def check_dtype(dtype: object) -> None:
    """Raise ValueError unless all that is done here can be done in that precision."""
    if not (isinstance(dtype, torch.dtype) and dtype in (torch.float64, torch.float32)):
        raise ValueError(f"dtype must be torch.float64 or torch.float32, not {shown(dtype)}.")


def find(device: str | torch.device) -> torch.device:
    """Raise ValueError if a device does not exist on this machine."""
    if not isinstance(device, str | torch.device):
        raise ValueError(f"The device must be a name such as 'cpu' or a torch.device, not {shown(device)}.")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        why = reason(error).split(". ")[0]
        raise ValueError(f"The device {device!r} cannot be used here ({why}): choose 'cpu' or 'auto'.") from None
    return chosen


def move(tensor: Tensor, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    """Bring a tensor to a device and dtype, without waiting until CUDA has done its earlier work.

    Pinned memory is what a GPU can copy from by itself; from any other the processor would wait.
    """
    device = device if isinstance(device, torch.device) else find(device)
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.to(dtype).pin_memory().to(device, non_blocking=True)
    return tensor.to(device=device, dtype=dtype)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: on a GPU, in Python, or in torch's allocator for the CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )
