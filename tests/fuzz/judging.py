"""Judgement of a command: what it may not do, whatever it was given."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType

import numpy as np

from equilib.cli import main
from equilib.errors import RunError, UserError
from tests.fuzz.formats import Case
from tests.fuzz.options import registry
from tests.programs import command, environment

STATUSES = frozenset({0, 1, 2, 130, 143})
PATIENCE = 20  # seconds


class Hang(BaseException):
    """The command took longer than the patience."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command did: its exit status, what it printed, and its faults, none where it behaved."""

    status: int | None
    err: str
    seconds: float
    faults: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Done:
    """A command that has ended: its status, its two streams, the seconds that it worked, and what it raised."""

    status: int | None
    out: str
    err: str
    seconds: float
    raised: str = ""


def typed(case: Case, *, process: bool = False) -> Outcome:
    """Carry out a command, here or in a process of its own, and judge it; input that is wrong must not be taken.

    What lies in its folder must be as it was where the command says that it was asked for something impossible.
    """
    before = _digest(case.folder)
    with _searched(case.plugins):
        done = _as_process(case) if process else _here(case)
    faults = [*([done.raised] if done.raised else []), *_faults(done), *_left(case.folder, before, done.status)]
    if case.malformed and done.status == 0:
        faults.append("it was taken for good")
    if case.said and case.said not in done.out + done.err:
        faults.append(f"nothing is said of {case.said!r}")
    return Outcome(status=done.status, err=done.err, seconds=done.seconds, faults=tuple(faults))


def _here(case: Case) -> _Done:
    out, err, status, raised = _Stream(), _Stream(), None, ""
    clock = _Clock()
    try:
        with _kept_as_it_is(), clock, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = _called(case.call) if case.call else main(case.argv, registry=None if case.plugins else registry())
    except BaseException as error:  # which is what is looked for
        raised = f"it raised {type(error).__name__}: {error}"
    return _Done(status=status, out=out.text(), err=err.text(), seconds=clock.seconds, raised=raised)


def _called(call: Callable[[], object]) -> int:
    try:
        call()
    except (UserError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _as_process(case: Case) -> _Done:
    begun, spent = monotonic(), _of_children()
    path = os.pathsep.join(filter(None, (str(case.plugins or ""), os.environ.get("PYTHONPATH", ""))))
    try:
        done = subprocess.run(
            command(*case.argv),
            capture_output=True,
            check=False,
            env=environment(**({"PYTHONPATH": path} if path else {})),
            timeout=30 * PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return _Done(status=None, out="", err="", seconds=monotonic() - begun)
    out, err = (each.decode("utf-8", "replace") for each in (done.stdout, done.stderr))
    return _Done(status=done.returncode, out=out, err=err, seconds=_of_children() - spent)


def _of_children() -> float:
    spent = os.times()
    return spent.children_user + spent.children_system


@contextlib.contextmanager
def _searched(plugins: Path | None) -> Iterator[None]:
    """Search a folder for plugins, and forget what was imported from there."""
    if plugins is None:
        yield
        return
    sys.path.insert(0, str(plugins))
    try:
        yield
    finally:
        sys.path.remove(str(plugins))
        for name in ("spoiled", "nowhere"):
            sys.modules.pop(name, None)


@contextlib.contextmanager
def _kept_as_it_is() -> Iterator[None]:
    """Put back what a plugin may change of a process."""
    argv, here, limit, hook, variables = sys.argv, Path.cwd(), sys.getrecursionlimit(), sys.excepthook, {**os.environ}
    try:
        with warnings.catch_warnings(), np.errstate():
            yield
    finally:
        sys.argv, sys.excepthook = argv, hook
        os.chdir(here)
        sys.setrecursionlimit(limit)
        os.environ.clear()
        os.environ.update(variables)


def _faults(done: _Done) -> list[str]:
    found = []
    printed, said, status = done.out + done.err, done.err, done.status
    if status not in STATUSES:
        found.append(f"exit status {status}")
    if "Traceback" in printed:
        found.append("a traceback")
    if "equilib failed" in said:
        found.append("a failure that nobody foresaw")
    if status and status < 128 and "error: " not in said and (status == 2 or not printed.strip()):
        found.append("no sentence")
    if done.seconds >= PATIENCE:
        found.append(f"{done.seconds:.0f} s")
    return found


def _left(folder: Path | None, before: str, status: int | None) -> list[str]:
    if folder is None:
        return []
    found = [f"half-written {each.name}" for each in folder.rglob("*.part")]
    if status == 2 and _digest(folder) != before:
        found.append("it refused, and changed the folder")
    return found


def _digest(folder: Path | None) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")) if folder is not None and folder.is_dir() else ():
        digest.update(os.fsencode(path))
        digest.update(path.read_bytes() if path.is_file() else b"/")
    return digest.hexdigest()


class _Clock:
    """A clock that ends what takes longer than the patience, seconds not counted in which others have the processor."""

    def __init__(self) -> None:
        self._ticks, self._begun, self._waited = 0, monotonic(), _waited()
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._old = signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, self._old)
        self.seconds = min(self._ticks + 1, monotonic() - self._begun) - (_waited() - self._waited)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        self._ticks += 1
        if self._ticks - (_waited() - self._waited) >= PATIENCE:
            raise Hang(f"more than {PATIENCE} s")


def _waited() -> float:
    """Return the seconds in which this thread was ready and had no processor, as Linux counts them; 0 elsewhere."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text("ascii").split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


class _Kept(io.BytesIO):
    """Bytes that stay when their stream is closed."""

    def close(self) -> None:
        """Do nothing."""


class _Stream(io.TextIOWrapper):
    """A text stream as a program's, which encodes what it is given."""

    def __init__(self) -> None:
        self._content = _Kept()
        super().__init__(self._content, encoding="utf-8", errors="backslashreplace", write_through=True)

    def text(self) -> str:
        """Return what was written."""
        return self._content.getvalue().decode("utf-8", "replace")
