"""Memory that a step will need, compared with what there is before any work starts."""

from __future__ import annotations

import os

import torch


def available(device: torch.device) -> int | None:
    """Bytes that are free on a device; None where the system does not say."""
    if device.type == "cuda":
        own = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + own
    if device.type == "cpu":
        try:
            with open("/proc/meminfo") as lines:
                table = dict(line.split(":") for line in lines)
            return int(table["MemAvailable"].split()[0]) * 1024
        except (OSError, LookupError, ValueError):
            try:
                return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            except (OSError, ValueError, AttributeError):
                return None
    return None


def require_memory(
    what: str, needed: int, device: torch.device, remedy: str = "use fewer points or a smaller model"
) -> None:
    """Raise ValueError if something needs more memory than there is.

    Parameters
    ----------
    what : str
        What needs it, with its sizes: the beginning of the sentence.
    needed : int
        Bytes.
    """
    free = available(device)
    if free is not None and needed > free:
        raise ValueError(
            f"{what} needs some {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free on {device}: {remedy}."
        )
