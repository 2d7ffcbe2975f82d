"""Parts by name in Python: what installed plugins provide, looked up when a name is first given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from equilib.errors import UserError
from equilib.options.kinds import check_kind

FIXED_POINT = "fixed point"
"""What an adjoint, or the model of an experiment, solves: z = f(z)."""

ODE = "ode"
"""What it solves instead: y' = f(t, y)."""


SAME = "same"
"""What an adjoint calls the solver of the forward pass, as in `implicit:solver=same`."""


class Make(Protocol):
    """**Protocol:** make the part of a kind that "NAME:option=value,..." and further options stand for."""

    def __call__(self, kind: str, spec: str, options: Mapping[str, object], *, solves: str | None) -> Any:
        """Return the part; of a kind of which some solve one thing and some another, one of those that `solves` it."""


def _unknown(kind: str, spec: str, options: Mapping[str, object], *, solves: str | None) -> Any:
    raise UserError(f"no {kind} is known by its name here; give an object instead of {spec!r}")


_make: Make = _unknown


def offer(make: Make) -> None:
    """Make `make` what turns names into parts."""
    global _make
    _make = make


def made(kind: str, spec: str, options: Mapping[str, object] | None = None, *, solves: str | None = None) -> Any:
    """Return the part of a kind, such as "solver", that a name stands for, with options as text or as values.

    Raises UserError if the name is unknown, OptionError if an option is unknown or refused; the texts suggest.
    """
    if not isinstance(spec, str):
        raise TypeError(f"the name of the {kind} must be a text, got {type(spec).__name__}")
    return _make(kind, spec, options or {}, solves=solves)


def resolved(given: Any, name: str, kind: str, *, solves: str | None = None) -> Any:
    """Return an argument called `name` that is a part, an object of a kind of `KNOWN_BY`, or is made from a text.

    Raises
    ------
    TypeError
        If it is something else.
    UserError
        As `made` does.
    """
    if isinstance(given, str):
        return made("adjoint" if kind == "sensitivity" else kind, given, solves=solves)
    check_kind(given, name, kind)
    return given
