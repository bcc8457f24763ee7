"""Files that are whole or not there: what is written replaces the old file in one move."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


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
        with contextlib.suppress(OSError):  # the first error is the one to tell of
            beside.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere folders cannot be opened
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
