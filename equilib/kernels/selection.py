"""Choice of the kernels that compute the operations of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from equilib.errors import UserError, did_you_mean, named, printable, said, warn
from equilib.kernels.family import BrokenFamilyError, Candidate, Family, Source
from equilib.kernels.kernel import LEAST, Kernel

AUTO = "auto"
"""The choice of every kernel that applies, whatever its family."""

NONE = "none"
"""The choice of formulas only."""

VARIABLE = "EQUILIB_KERNELS"
"""The environment variable that is the choice of a process which makes none."""


class KernelWarning(UserWarning):
    """A kernel cannot be used; the formula is used instead."""


class UnknownKernels(UserError, LookupError):  # noqa: N818  it reads as what is wrong
    """No plugin provides kernels of that name."""


class Place(dict[Any, tuple[Candidate, ...]]):
    """The candidates for a type of arrays by dtype and device; smaller arrays than `least` are left to formulas."""

    least = LEAST


ASK = Place()
"""The place of a type of arrays that no kernel was looked for yet; its `least` is 0 where kernels get all sizes."""

Table = dict[type, Place | None]
"""For each type of array its place; None where there are no kernels."""

_lock = threading.RLock()
_source: Source = tuple
_families: tuple[Family, ...] | None = None
_asking = False
_choice: str | None = None
_made: dict[str, tuple[Candidate, ...]] = {}  # of "NAME:option=value,...", once they were asked for
_broken: dict[str, str] = {}  # why there are none, of choices that were wrong as well
_tables: list[Table] = []


def new_table() -> Table:
    """Return an operation's table, which is emptied whenever another choice is made or a kernel fails."""
    _tables.append({})
    return _tables[-1]


def offer(source: Source) -> None:
    """Make `source` what tells the families of kernels; it is called once, when a kernel is first of use."""
    global _source, _families
    with _lock:
        _source, _families = source, None
        _made.clear()
        _broken.clear()
        _forget()


@contextmanager
def offering(source: Source) -> Iterator[None]:
    """Make `source` what tells the families of kernels for the time being, in all threads."""
    before = _source
    offer(source)
    try:
        yield
    finally:
        offer(before)


def families_in_use(is_of_use: Callable[[Kernel], bool] = lambda kernel: True) -> dict[str, str]:
    """Return the families that this process uses and that have a kernel of use, and their packages."""
    with _lock:
        specs = [spec for spec in _specs() if any(is_of_use(each.kernel) for each in _candidates(spec))]
        packages = {family.name: family.package for family in _families or ()}
        return {name: packages[name] for spec in specs for name in [spec.partition(":")[0]]}


def families() -> tuple[Family, ...]:
    """Return the families of kernels by name; raises what the source raises, once."""
    global _families
    with _lock:
        if _families is None:
            _families = ()
            _families = tuple(sorted(_source(), key=lambda family: family.name))
        return _families


def chosen() -> str:
    """Return the choice of this process."""
    return os.environ.get(VARIABLE) or AUTO if _choice is None else _choice


def require_choice(choice: str | None = None) -> None:
    """Raise as `use_kernels` does if a choice, by default what EQUILIB_KERNELS or a caller chose, is not here."""
    with _lock:
        wanted = chosen() if choice is None else choice
        if wanted not in (AUTO, NONE):
            _require(wanted)


def use_kernels(choice: str | None) -> None:
    """Use the kernels of one family, "NAME:option=value,...", of all ("auto") or of none ("none") in this process.

    None is what EQUILIB_KERNELS says, or else "auto".

    Raises UnknownKernels if there is no such family; UserError if it cannot be used here, its plugin is broken, or an
    option is refused.
    """
    global _choice
    with _lock:
        if choice is not None:
            require_choice(choice)
        _choice = choice
        _forget()


def warn_if_idle(*arrays: Any) -> None:
    """Warn where the family of the choice has kernels, and none for arrays of these types, dtypes and devices."""
    choice = chosen()
    if choice in (AUTO, NONE) or not families_in_use() or families_in_use(lambda each: any(map(each.takes, arrays))):
        return
    name, kind = choice.partition(":")[0], type(arrays[0])
    dtypes = " or ".join(dict.fromkeys(str(each.dtype) for each in arrays))
    _warn(
        f"{_asked(choice)}: it has no kernels for {kind.__module__}.{kind.__qualname__} of {dtypes}, which is computed "
        f"with here; formulas compute ('equilib kernels show {name}' tells what it is for)"
    )


@contextmanager
def using_kernels(choice: str, *, all_sizes: bool = False) -> Iterator[None]:
    """Make a choice for the time being, in all threads; with `all_sizes` kernels are asked of small arrays too.

    Raises as `use_kernels` does.
    """
    global _choice
    before = _choice, ASK.least
    use_kernels(choice)
    ASK.least = 0 if all_sizes else LEAST
    try:
        yield
    finally:
        with _lock:
            _choice, ASK.least = before
            _forget()


def least_of(kernel: Kernel) -> int:
    """Return the numbers of an array from which a kernel is asked."""
    return kernel.least if ASK.least else 0


def in_use(operation: str) -> list[Candidate]:
    """Return the kernels of this process for an operation, the best first."""
    with _lock:
        found = [each for spec in _specs() for each in _candidates(spec) if each.kernel.operation == operation]
        usable = [each for each in found if not each.reason]
        return sorted(usable, key=lambda each: each.rank)


def enter(table: Table, operation: str, kind: type) -> Place | None:
    """Enter into an operation's table whether there is a kernel for a type of array, and return the entry."""
    global _asking
    name = f"{kind.__module__}.{kind.__qualname__}"
    with _lock:
        if _asking:  # what the source computes itself is left to formulas
            return None
        _asking = True
        try:
            sizes = [least_of(each.kernel) for each in in_use(operation) if each.kernel.array == name]
            found = table[kind] = Place() if sizes else None
            if found is not None:
                found.least = min(sizes)
        finally:
            _asking = False
        return found


def drop(candidate: Candidate, error: Exception) -> None:
    """Use a kernel no more, and say so once."""
    with _lock:
        if candidate.reason:
            return
        candidate.reason = _cause(error)
        _forget()
    _warn(
        f"kernel {candidate} failed ({candidate.reason}): the formula is used; tell the author of the plugin, or set "
        f"{VARIABLE}={NONE}"
    )


def candidates_of(family: Family) -> tuple[tuple[Candidate, ...], str]:
    """Return the candidates of a family, as this process has chosen its options, and why there are none."""
    choice = chosen()
    spec = family.name
    if family.is_called(choice):
        spec = _spelled(choice, family)
    with _lock:
        return _candidates(spec), _broken.get(spec, "")


def _specs() -> list[str]:
    choice = chosen()
    if choice == NONE:
        return []
    try:
        if choice != AUTO:
            return [choice] if choice in _made else [_require(choice)]
        return [family.name for family in families() if not (family.unavailable or family.contested)]
    except Exception as error:  # anything may be wrong with what is installed, or with the environment variable
        if choice not in _broken:
            _broken[choice] = _cause(error)
            _warn(f"{_asked(choice)}: {_broken[choice].removesuffix('.')}; formulas compute")
        return []


def _asked(choice: str) -> str:
    return f"{VARIABLE}={choice}" if _choice is None else f"the choice of {choice!r}"


def _require(choice: str) -> str:
    """Return a choice whose family has been made, by the family's own name; raise as `use_kernels` does."""
    name = choice.partition(":")[0]
    family = next((each for each in families() if each.is_called(choice)), None)
    if family is None:
        names = [AUTO, NONE, *(each.name for each in families())]
        raise UnknownKernels(f"no kernels {name!r}.{did_you_mean(name, names)} Available: {', '.join(names)}.")
    choice = _spelled(choice, family)
    if family.unavailable:
        raise UserError(f"kernels {name!r} cannot be used here: {family.unavailable}")
    if choice in _broken:
        raise UserError(_unusable(choice, family))
    if choice not in _made:
        try:
            _made[choice] = family.candidates(choice)
        except Exception as error:
            if isinstance(error, UserError) and choice != family.name:  # an option is refused
                raise
            _broken[choice] = _cause(error)
            raise UserError(_unusable(choice, family)) from error
    return choice


def _spelled(choice: str, family: Family) -> str:
    _, colon, options = choice.partition(":")
    return f"{family.name}{colon}{options}"


def _unusable(choice: str, family: Family) -> str:
    return (
        f"kernels {choice!r} of the package {family.package} cannot be used ({_broken[choice]}); repair or uninstall "
        f"it, or do without: --kernels {NONE}, or {VARIABLE}={NONE}"
    )


def _candidates(spec: str) -> tuple[Candidate, ...]:
    if spec not in _made and spec not in _broken:
        try:
            _require(spec)
        except Exception as error:
            _broken.setdefault(spec, _cause(error))
            _warn(f"{_cause(error)}; formulas stand in for them")
    return _made.get(spec, ())


def _forget() -> None:
    for table in _tables:
        table.clear()


def _cause(error: Exception) -> str:
    return printable(said(error) if isinstance(error, UserError | BrokenFamilyError) else named(error))


def _warn(text: str) -> None:
    warn(text, KernelWarning)
