"""Failures of a command: the sentence about each, its exit status, and its traceback on demand."""

from __future__ import annotations

import os
import traceback

import click

from equilib.cli.session import Session
from equilib.cli.together import is_silent
from equilib.errors import RunError, UserError, did_you_mean, named, printable, said
from equilib.fixed_points.solution import UnsolvedError
from equilib.machine.ranks.group import current_ranks
from equilib.machine.signals import Interrupted
from equilib.plugin.registry import OWN, Owner

TRACEBACK = "EQUILIB_TRACEBACK"
"""The environment variable that shows the traceback of whatever ends a command, as `equilib --traceback` does."""


def fail(error: BaseException, session: Session) -> int:
    """Say what ended a command, after its traceback where that is asked for; return the exit status."""
    if isinstance(error, SystemExit) and _modules(error)[-1:] == ["click.core"]:  # a closed pipe, or completion
        return error.code if isinstance(error.code, int) else 1
    sentence, status = current_ranks().failed(*told(error, session))
    if is_silent() or not sentence:
        return status
    if session.traceback or os.environ.get(TRACEBACK, "") not in ("", "0"):
        click.echo("".join(traceback.format_exception(error)), nl=False, err=True)
    click.echo(f"error: {printable(sentence)}", err=True)
    return status


def told(error: BaseException, session: Session) -> tuple[str, int]:
    """Return what is said of an error and the exit status: 2 for a mistake, 1 for a failure, 128 + n for a signal."""
    if isinstance(error, click.ClickException):
        return _usage(error), error.exit_code
    if isinstance(error, UserError):
        return said(error), 2
    if isinstance(error, OSError):
        return _of_system(error), 1
    if isinstance(error, Interrupted):
        return said(error), 128 + error.number
    if isinstance(error, RunError | UnsolvedError):
        return said(error), 1
    if isinstance(error, MemoryError) or _of_full_gpu(error):
        where = " of the GPU" if _of_full_gpu(error) else ""
        remedy = "take a smaller --batch-size or fewer samples (--limit), or free memory"
        return f"the memory{where} does not suffice ({said(error)}); {remedy}", 1
    return _unexpected(error, session), 1


def _of_full_gpu(error: BaseException) -> bool:
    """Tell whether CuPy, or a library of CUDA under it, found no memory on the device."""
    if not type(error).__module__.startswith(("cupy", "cupy_backends")):
        return False
    signs = ("MemoryAllocation", "OUT_OF_MEMORY", "ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)


def _unexpected(error: BaseException, session: Session) -> str:
    """Return a sentence about an error that nobody foresaw, which names the plugin that it comes from."""
    evidence = " ".join((_named(error), *(f"({printable(note)})" for note in getattr(error, "__notes__", ()))))
    owner = _culprit(error, session)
    if owner is None or owner.distribution == OWN:
        within = "" if owner is None else f" in its plugin {owner.plugin!r}"
        return f"equilib failed{within}: {evidence}; report it with the traceback, which {TRACEBACK}=1 shows"
    remedy = f"report it to its authors with the traceback, which {TRACEBACK}=1 shows, or do without it"
    return f"plugin {owner} failed: {evidence}; {remedy}"


def _named(error: BaseException) -> str:
    return f"it called sys.exit({said(error)})" if isinstance(error, SystemExit) else named(error)


def _culprit(error: BaseException, session: Session) -> Owner | None:
    """Return the plugin whose code was at work last, a third party's rather than ours; None where none was."""
    owners = session.packages()
    found = [owners[name] for each in reversed(_modules(error)) if (name := each.partition(".")[0]) in owners]
    return next((each for each in found if each.distribution != OWN), next(iter(found), None))


def _modules(error: BaseException) -> list[str]:
    """Return the modules whose code was at work, the last one last."""
    return [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]


def _of_system(error: OSError) -> str:
    reason = error.strerror or said(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    if isinstance(error, click.NoSuchOption):
        message = f"No such option '{error.option_name}'.{did_you_mean(error.option_name, error.possibilities or ())}"
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    end = "" if message.endswith((".", "?")) else "."
    return f"{message}{end} See '{context.command_path} --help'."
