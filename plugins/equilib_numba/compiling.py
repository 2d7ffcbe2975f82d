"""Compilation of functions by numba, and the folders where the compiled code is kept.

The code is kept beside the source if that folder can be written to, else in numba's folder of the user, else only in
memory. numba notes the CPU it is for, and replaces files in one step, so that several machines and processes can share
a folder; whatever cannot be read there is compiled again.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

from numba import njit, types
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc

HOW = {"error_model": "numpy", "fastmath": {"contract"}}
"""Options of numba: a product and a sum may be rounded once."""

compiled: Any = partial(njit, **HOW)()
"""Decorator of a function that compiled functions call."""

summing: Any = partial(njit, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})()
"""Decorator of one that adds many numbers up, in any order; it does nothing else, as ∞ − ∞ may come of other orders."""


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, without the interpreter's lock; its code is kept on disk."""
    dispatcher = njit(nogil=True, **HOW)(function)
    with suppress(RuntimeError, OSError):  # no folder can be written to
        dispatcher._cache = _Kept(function)
    return dispatcher


class _Kept(FunctionCache):
    """The kept code of a function, which depends on all sources of the package: numba looks at one file only."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = _sources()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the code for arguments of some types; None if it is not there, or cannot be read."""
        found = None
        with suppress(Exception):  # a file that was cut off, or is of another version of a library
            found = super().load_overload(sig, target_context)
        if found is None:
            _announce()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep code, if there is room for it; an index that cannot be read is begun anew."""
        with suppress(OSError):
            try:
                super().save_overload(sig, data)
            except OSError:
                raise
            except Exception:
                self.flush()
                super().save_overload(sig, data)


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@cache
def _announce() -> None:
    print("equilib: compiling kernels for this CPU; they are kept for the next time", file=sys.stderr)


def c_function(function: Callable[..., Any], words: int) -> int:
    """Return the address of a function of so many words, compiled as a function of C that returns nothing.

    Compiled functions call it by its address, as code that they contain is compiled again with each of them.
    """
    made = CFunc(function, ((types.intp,) * words, types.void), {}, dict(HOW))
    with suppress(RuntimeError, OSError):
        made._cache = _Kept(function)
    made.compile()
    _alive.append(made)
    return made.address


_alive: list[CFunc] = []
