"""npz archives, read whole or refused."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np


class DamagedArraysError(ValueError):
    """A file that is something else, is cut off, or is damaged; the message is what to say after its name."""


def read_arrays(path: Path, *, what: str = "an npz archive") -> dict[str, np.ndarray]:
    """Return the arrays of an npz file by name; nothing is unpickled.

    Parameters
    ----------
    path : Path
    what : str
        What the file should be, for people.

    Raises
    ------
    OSError
        If the file cannot be opened or read.
    DamagedArraysError
        If it holds something else, or a checksum is wrong.
    """
    with path.open("rb") as file:
        try:
            # First: a damaged size must not be believed before its checksum is seen to be wrong.
            with zipfile.ZipFile(file) as archive:
                broken = archive.testzip()
            if broken is None:
                file.seek(0)
                with np.load(file, allow_pickle=False) as found:
                    return dict(found)
        except zipfile.BadZipFile as error:
            raise DamagedArraysError(f"is not {what}, or is cut off or damaged ({error})") from error
        except (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zlib.error) as error:
            raise DamagedArraysError(f"is not {what}, or is damaged ({error})") from error
    raise DamagedArraysError(f"is damaged: the checksum of {broken} is wrong")
