"""Named checks and their outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from inspect import getdoc, isfunction, signature
from types import ModuleType
from typing import Any
from unittest import SkipTest

from equilib.plugin.faults import faults_as


@dataclass(frozen=True)
class Check:
    """One law, and how to find out whether it holds; its text is its name.

    Attributes
    ----------
    name : str
    reason : str
        Why it must hold, in one line.
    """

    name: str
    reason: str
    _examine: Callable[[], str | None] = field(repr=False)

    def __call__(self) -> str | None:
        """Examine the law, and return what was measured, where it is a number that people ask for.

        Raises
        ------
        AssertionError
            With the evidence, if it does not hold.
        unittest.SkipTest
            With the reason, if it cannot be examined here; pytest shows the test as skipped.
        """
        with faults_as(lambda fault: AssertionError(f"it raised {fault}"), AssertionError, SkipTest):
            return self._examine()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a check: `status` is "ok", "failed" or "skipped", and `evidence` says what was seen or measured."""

    check: Check
    status: str
    evidence: str = ""


def checks_of(subject: object, *modules: ModuleType) -> list[Check]:
    """Return a check for each law in the modules, in their order: the public functions whose one argument is `subject`.

    A check has the name of its law, and the first line of its docstring as the reason.
    """
    functions = [each for module in modules for each in vars(module).values() if _is_law(each, module)]
    return [Check(law.__name__, (getdoc(law) or "").partition("\n")[0], partial(law, subject)) for law in functions]


def _is_law(value: Any, module: ModuleType) -> bool:
    return (
        isfunction(value)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
        and list(signature(value).parameters) == ["subject"]
    )


def run_checks(checks: Iterable[Check]) -> Iterator[Outcome]:
    """Run the checks one after the other and yield what came of each."""
    for check in checks:
        try:
            measured = check()
        except SkipTest as reason:
            yield Outcome(check=check, status="skipped", evidence=str(reason))
        except AssertionError as error:
            yield Outcome(check=check, status="failed", evidence=str(error))
        else:
            yield Outcome(check=check, status="ok", evidence=measured or "")


def require(condition: object, evidence: str) -> None:
    """Raise AssertionError with the evidence unless the condition holds; `python -O` does not remove it."""
    if not condition:
        raise AssertionError(evidence)
