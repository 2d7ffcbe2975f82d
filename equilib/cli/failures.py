"""Failures of a command: the sentence about each, its exit status, and its traceback on demand."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields

import click

from equilib.cli.session import Session
from equilib.cli.together import is_silent
from equilib.errors import RunError, UserError, did_you_mean, named, printable, said
from equilib.fixed_points.options import SolveOptions
from equilib.fixed_points.solution import UnsolvedError
from equilib.machine.ranks.group import current_ranks
from equilib.machine.signals import Interrupted
from equilib.ode import OdeOptions
from equilib.plugin.registry import OWN, Owner
from equilib.testing.entries import CHECKED

TRACEBACK = "EQUILIB_TRACEBACK"
"""The environment variable that shows the traceback of whatever ends a command, as `equilib --traceback` does."""

_PRINTING = ("click.utils", "rich.console", "equilib.runs.reporters")
"""Where what is printed is written; of standard error, where it cannot be, nobody would read this."""


def fail(error: BaseException, session: Session) -> int:
    """Say what ended a command, after its traceback where that is asked for; return the exit status."""
    if isinstance(error, SystemExit) and _modules(error)[-1:] == ["click.core"]:  # a closed pipe, or completion
        return error.code if isinstance(error.code, int) else 1
    sentence, status = current_ranks().failed(*told(error, session))
    if is_silent() or not sentence:
        return status
    if session.traceback or os.environ.get(TRACEBACK, "") not in ("", "0"):
        _say("".join(traceback.format_exception(error)))
    _say(f"error: {printable(sentence)}\n")
    return status


def _say(text: str) -> None:
    try:
        click.echo(text, nl=False, err=True)
    except ValueError:  # a plugin closed the stream
        with suppress(OSError):
            os.write(2, text.encode(errors="backslashreplace"))


@contextmanager
def guarded(session: Session) -> Iterator[None]:
    """Put the standard streams back that a plugin replaces, and have threads that fail end in a sentence."""
    streams, hook = (sys.stdout, sys.stderr), threading.excepthook

    def of_thread(lost: threading.ExceptHookArgs) -> None:
        error = lost.exc_value
        if error is not None and not isinstance(error, SystemExit):
            owner = _culprit(error, session)
            whose = f"plugin {owner}" if owner else f"module {_modules(error)[-1]!r}"
            _say(f"warning: a thread of {whose} failed: {_evidence(error)}\n")

    threading.excepthook = of_thread
    try:
        yield
    finally:
        threading.excepthook = hook
        sys.stdout, sys.stderr = streams


def told(error: BaseException, session: Session) -> tuple[str, int]:
    """Return what is said of an error and the exit status: 2 for a mistake, 1 for a failure, 128 + n for a signal."""
    if isinstance(error, click.ClickException):
        return _usage(error), error.exit_code
    if isinstance(error, UserError):
        return said(error), 2
    if isinstance(error, OSError) and (error.filename or not _is_foreign(_culprit(error, session))):
        return _of_system(error), 1
    if isinstance(error, Interrupted):
        return said(error), 128 + error.number
    if isinstance(error, RunError | UnsolvedError):
        return said(error), 1
    if isinstance(error, MemoryError) or _of_unloaded_library(error) or _of_full_gpu(error):
        where = " of the GPU" if _of_full_gpu(error) else ""
        remedy = "take a smaller --batch-size or fewer samples (--limit), or free memory"
        return f"the memory{where} does not suffice ({said(error)}); {remedy}", 1
    return _unexpected(error, session), 1


def _of_unloaded_library(error: BaseException) -> bool:
    """Tell whether there was no memory for the code of a library, which the loader of glibc says in these words."""
    signs = ("failed to map segment", "cannot allocate memory")
    return isinstance(error, ImportError) and any(sign in str(error).lower() for sign in signs)


def _of_full_gpu(error: BaseException) -> bool:
    """Tell whether CuPy, or a library of CUDA under it, found no memory on the device."""
    if not type(error).__module__.startswith(("cupy", "cupy_backends")):
        return False
    signs = ("MemoryAllocation", "OUT_OF_MEMORY", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)


def _unexpected(error: BaseException, session: Session) -> str:
    """Return a sentence about an error that nobody foresaw, which names the plugin that it comes from."""
    evidence, owner = _evidence(error), _culprit(error, session)
    shown = f"the traceback, which {TRACEBACK}=1 shows"
    if _is_foreign(owner):
        return f"plugin {owner} failed: {evidence}; report it to its authors with {shown}, or do without it"
    foreign = session.foreign()
    if foreign:
        parts = " or ".join(f"the {noun} {name!r} of plugin {whose}" for noun, name, whose in foreign)
        checked = [name for noun, name, _ in foreign if noun in {kind.noun for kind in CHECKED}]
        look = f"'equilib check {checked[0]}' examines it; otherwise " if checked else ""
        return f"{parts} does not fit: {evidence}; {look}report it with {shown}"
    within = "" if owner is None else f" in its plugin {owner.plugin!r}"
    return f"equilib failed{within}: {evidence}; report it with {shown}"


def _is_foreign(owner: Owner | None) -> bool:
    return owner is not None and owner.distribution != OWN


def _evidence(error: BaseException) -> str:
    what = f"it called sys.exit({said(error)})" if isinstance(error, SystemExit) else named(error)
    return printable(" ".join((what, *(f"({note})" for note in getattr(error, "__notes__", ())))))


def _culprit(error: BaseException, session: Session) -> Owner | None:
    """Return the plugin whose code was at work last, a third party's rather than ours; None where none was."""
    owners, modules = session.packages(), _modules(error)
    if error.__cause__ is not None:  # as of what a generator raises
        modules = [*_modules(error.__cause__), *modules]
    found = [owners[name] for each in reversed(modules) if (name := each.partition(".")[0]) in owners]
    return next(filter(_is_foreign, found), next(iter(found), None))


def _modules(error: BaseException) -> list[str]:
    """Return the modules whose code was at work, the last one last."""
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]


def _of_system(error: OSError) -> str:
    reason, where = error.strerror or said(error), error.filename
    if not where and set(_modules(error)[-1:]) & {*_PRINTING}:
        where = "standard output"
    return f"{where}: {reason}" if where else reason


def _instead(error: click.NoSuchOption) -> str:
    """Return what to write in the place of an option that there is not: those of the driver are values of another."""
    name = error.option_name.lstrip("-").replace("-", "_")
    takes_options = error.ctx is not None and any("--option" in each.opts for each in error.ctx.command.params)
    if takes_options and name in {each.name for kind in (SolveOptions, OdeOptions) for each in fields(kind)}:
        return f" Options of solves are values of -o: write -o {name}=VALUE."
    return did_you_mean(error.option_name, error.possibilities or ())


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        message = f"No such option '{error.option_name}'.{_instead(error)}"
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    end = "" if message.endswith((".", "?")) else "."
    return f"{message}{end} See '{context.command_path} --help'."
