"""Judgement of a command: what it may not do, whatever it was given."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import FrameType

from equilib.cli import main
from tests.fuzz.options import registry

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


def typed(argv: Sequence[str], *, malformed: bool, folder: Path | None = None) -> Outcome:
    """Carry out a command in this process and judge it; `malformed` input must not be taken for good.

    What lies in the `folder` must be as it was where the command says that it was asked for something impossible.
    """
    before = _digest(folder)
    out, err = _Stream(), _Stream()
    status: int | None = None
    faults = []
    clock = _Clock()
    try:
        with clock, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(list(argv), registry=registry())
    except BaseException as error:  # which is what is looked for
        faults.append(f"it raised {type(error).__name__}: {error}")
    seconds = clock.seconds
    said = err.text()
    faults += [*_faults(status, out.text() + said, said, seconds), *_left(folder, before, status)]
    if malformed and status == 0:
        faults.append("it was taken for good")
    return Outcome(status=status, err=said, seconds=seconds, faults=tuple(faults))


def _faults(status: int | None, printed: str, said: str, seconds: float) -> list[str]:
    found = []
    if status not in STATUSES:
        found.append(f"exit status {status}")
    if "Traceback" in printed:
        found.append("a traceback")
    if "equilib failed" in said:
        found.append("a failure that nobody foresaw")
    if status and status < 128 and "error: " not in said and (status == 2 or not printed.strip()):
        found.append("no sentence")
    if seconds >= PATIENCE:
        found.append(f"{seconds:.0f} s")
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
    """A clock that ends what takes longer than the patience; it stands still while the process is stopped."""

    def __init__(self) -> None:
        self._ticks, self._begun = 0, monotonic()
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._old = signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, self._old)
        self.seconds = min(self._ticks + 1, monotonic() - self._begun)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        self._ticks += 1
        if self._ticks >= PATIENCE:
            raise Hang(f"more than {PATIENCE} s")


class _Stream(io.TextIOWrapper):
    """A text stream as a program's, which encodes what it is given."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)

    def text(self) -> str:
        """Return what was written."""
        self.flush()
        return self.buffer.getvalue().decode("utf-8", "replace")  # type: ignore[attr-defined,no-any-return]
