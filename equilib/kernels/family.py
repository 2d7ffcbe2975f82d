"""Families of kernels that are installed, as their source tells them when they are first asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from equilib.kernels.kernel import Kernel


class BrokenFamilyError(Exception):
    """A family yields no kernels; the text says what it does instead."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """The kernels of one plugin.

    `name` is what `--kernels` takes, `package` the distribution and its version, `make(spec)` returns the records for
    "NAME:option=value,...", and `unavailable` says why they cannot be used here, empty where they can. The `aliases`
    are what else `--kernels` takes for it, as NAME@PACKAGE; one that is `contested`, whose name is another's too, is
    used only by a name that says whose it is.
    """

    name: str
    package: str
    make: Callable[[str], Iterable[Kernel]]
    unavailable: str = ""
    aliases: tuple[str, ...] = ()
    contested: bool = False

    def is_called(self, choice: str) -> bool:
        """Tell whether a choice, "NAME:option=value,...", means this family."""
        return choice.partition(":")[0] in (self.name, *self.aliases)

    def candidates(self, spec: str) -> tuple[Candidate, ...]:
        """Return the kernels as what may be used; raises what `make` raises."""
        return tuple(Candidate(self, kernel) for kernel in self.make(spec))


class Candidate:
    """A kernel that may be used, and its code once it is loaded."""

    def __init__(self, family: Family, kernel: Kernel) -> None:
        self.family, self.kernel, self.applies = family, kernel, kernel.applies
        self.reason = ""
        """Why it is used no more."""
        self.trusted = False
        self._lock = threading.Lock()
        self._function: Callable[..., Any] | None = None

    def __str__(self) -> str:
        return f"{self.family.name}/{self.kernel.name} of {self.kernel.operation} ({self.family.package})"

    @property
    def rank(self) -> tuple[int, str, str]:
        """Its place among those that apply: the least computes a call."""
        return -self.kernel.priority, self.family.name, self.kernel.name

    def function(self) -> Callable[..., Any]:
        """Return the code, which the first thread loads; raises what that raises."""
        if self._function is None:
            with self._lock:
                self._function = self._function or self.kernel.function()
        return self._function

    def trust(self, result: Any, dtype: Any) -> None:
        """Look at the first result; raises TypeError if it is not made of arrays of the dtype of the arguments."""
        for each in result if type(result) in (tuple, list) else (result,):
            if getattr(each, "dtype", None) != dtype:
                found = getattr(each, "dtype", type(each).__name__)
                raise TypeError(f"it returned {found}, where the arguments are arrays of {dtype}")
        self.trusted = True


Source = Callable[[], Iterable[Family]]
