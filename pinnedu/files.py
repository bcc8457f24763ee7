"""Files that are whole or not there, and that cannot run code when they are read."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import Any


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash at any moment leaves either the old one or the new one.

    The content goes to a file beside it first and down to the disk, then takes the name over; the
    folder is brought to the disk too, for it holds the name.

    Raises
    ------
    OSError
        If the disk is full or the folder cannot be written to. The old file is as it was.
    """
    beside = path.with_name(path.name + ".writing")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to report
            beside.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere folders cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def packed(content: dict[str, Any], kind: str) -> bytes:
    """Tensors, numbers, texts, and lists and dicts of them, as the bytes of a file of some kind."""
    import torch

    buffer = io.BytesIO()  # torch's own writer hides what the disk says
    torch.save({"format": kind, **content}, buffer)
    return buffer.getvalue()


def unpacked(raw: bytes, kind: str) -> dict[str, Any]:
    """What :func:`packed` made bytes of.

    Nothing is unpickled but tensors, numbers and texts, so a file from elsewhere cannot run code.

    Raises
    ------
    ValueError
        If the bytes are damaged, or of another kind.
    """
    import torch

    try:
        found = torch.load(io.BytesIO(raw), weights_only=True, map_location="cpu")
        if found["format"] == kind:
            return dict(found)
    except Exception:  # torch has an error of its own for each way of being broken
        pass
    raise ValueError(f"This is no file of the kind {kind!r}, or it is damaged.")
