"""Errors and warnings that users read, the did-you-mean of unknown names, and packages that are not installed."""

from __future__ import annotations

import difflib
import importlib
import os
import reprlib
import sys
import textwrap
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class UserError(Exception):
    """What was asked for cannot be done as asked: an unknown name, a wrong option, a missing file.

    The text is one or two sentences that say what is wrong and what to do. `equilib` prints it and exits with 2.
    """


class NoDerivativeError(NotImplementedError):
    """A derivative is needed that a function does not have, or that nobody has told."""


class RunError(Exception):
    """Something failed while running. `equilib` prints the text and exits with 1."""


_BETWEEN = ("equilib", "torch", "jax", "jaxlib", "equinox", "flax")
"""Packages whose calls stand between a user's line and what warns: ours, and those that call us back."""


def warn(text: str, category: type[Warning]) -> None:
    """Warn of something at the line of the user that led to it, however deep it was found."""
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_between(str(frame.f_globals.get("__name__"))):
        frame = frame.f_back
    known = frame.f_globals.setdefault("__warningregistry__", {})
    name = str(frame.f_globals.get("__name__"))
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, name, known)


def _is_between(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _BETWEEN or package.startswith("equilib_")


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the candidate closest to `name`, or "" where none is close."""
    known = list(candidates)
    wanted = name.lower()
    # "restat" is meant for "linear_solver.restart".
    spelled = {each.rpartition(".")[2]: each for each in reversed(known)} | {each: each for each in known}
    close = difflib.get_close_matches(wanted, spelled, n=1, cutoff=0.65)
    if not close and len(wanted) >= 3:  # "gmres" is short beside "newton-gmres", yet meant
        close = [candidate for candidate in known if wanted in candidate]
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""


def a(noun: str) -> str:
    """Return a noun with its indefinite article."""
    return f"{'an' if noun[0] in 'aeioAEIO' else 'a'} {noun}"


def brief(value: object) -> str:
    """Return what a value looks like in Python, in one line and shortened."""
    return " ".join(_BRIEF.repr(value).split())


_BRIEF = reprlib.Repr()
_BRIEF.maxstring, _BRIEF.maxother = 120, 60


def said(error: BaseException) -> str:
    """Return what an error says; its type where it says nothing or cannot be asked."""
    try:
        text = str(error).strip()
    except BaseException:
        text = ""
    return text or type(error).__name__


def named(error: BaseException) -> str:
    """Return the type of an error and what it says."""
    text, kind = said(error), type(error).__name__
    return kind if text == kind else f"{kind}: {text}"


def printable(text: str) -> str:
    """Return a text in one line, with what a terminal would obey or not encode as its escape in Python."""
    return harmless(" ".join(text.split()))


def harmless(text: str) -> str:
    """Return a text with what a terminal would obey or not encode, ends of lines included, as its escape in Python."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else ascii(c)[1:-1] for c in text)


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, broken between words only, as names and paths are to be copied."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def require_harmless(text: str, what: str) -> None:
    """Require a text of lines that a terminal shows, and does not obey; raises ValueError that names `what`."""
    shown = text.replace("\n", " ").replace("\t", " ")
    if harmless(shown) != shown:
        odd = next(each for each in shown if harmless(each) != each)
        raise ValueError(f"{what} holds {odd!a}, which a terminal does not show as it is; leave it out")


def first_of(texts: Sequence[str], most: int, rest: str) -> list[str]:
    """Return so many of the texts at most, and one that says how many more there are and the `rest`, as where."""
    return [*texts[:most], *([f"{len(texts) - most:,} more {rest}"] if len(texts) > most else [])]


def some(amount: int, things: str) -> str:
    """Return how many things there are, `things` being their plural."""
    return f"{amount:,} {things.removesuffix('s') if amount == 1 else things}"


@contextmanager
def file_errors(what: str, remedy: str = "", *, error: type[Exception] = UserError) -> Iterator[None]:
    """Make an error of the file system an `error` that says what cannot be done, why, and the remedy.

    A name that the system cannot take, for a NUL or a character that its encoding lacks, is one.
    """
    try:
        yield
    except OSError as cause:
        raise error(f"{what}: {cause.strerror or cause}{remedy}") from cause
    except ValueError as cause:
        if not isinstance(cause, UnicodeError) and "null" not in str(cause):
            raise
        raise error(f"{what}: it cannot be the name of a file{remedy}") from cause


_SETTINGS = {"matplotlib": "MPLBACKEND"}
"""Environment variables that a library looks at as it is imported, and may refuse."""


def require(module: str, *, purpose: str, extra: str = "experiments", otherwise: str = "") -> Any:
    """Import and return a module of an optional package, which `purpose` needs and `extra` of equilib installs.

    Raises
    ------
    UserError
        If it cannot be imported; the message names the cause, the command that installs it, and what to do `otherwise`,
        or else the environment variable that the package refuses.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{_uninstalled(purpose, error, extra)}{otherwise}") from error
    except ValueError as error:
        library = module.partition(".")[0]
        variable = _SETTINGS.get(library)
        if variable is None or variable not in os.environ:
            raise
        raise UserError(
            f"{purpose} needs {library}, which refuses {variable}={os.environ[variable]} in the environment "
            f"({textwrap.shorten(said(error), 120, placeholder=' ...')}); unset {variable}, or correct it"
        ) from error


@contextmanager
def needing(module: str, *, purpose: str, extra: str) -> Iterator[None]:
    """Import what `purpose` needs an optional package for, which `extra` of equilib installs.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed; the message names the command that installs it. Other errors stay.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ModuleNotFoundError(_uninstalled(purpose, error, extra), name=module) from error


def _uninstalled(purpose: str, error: ImportError, extra: str) -> str:
    return f'{purpose} needs an optional package ({error}); run: pip install "equilib[{extra}]"'
