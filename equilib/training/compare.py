"""Runs of one experiment with several methods, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from equilib.errors import UserError
from equilib.training.combinations import Combination
from equilib.training.outcome import Outcome, read_outcome
from equilib.training.request import RunRequest
from equilib.training.run_directory import RUN

_PATIENCE = 10.0  # seconds that an interrupted run has to note how it ended


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How the runs are started and where they write.

    Attributes
    ----------
    program : sequence of str
        The command that is `equilib`.
    request : RunRequest
        What is the same in every run.
    out : Path
        The folder for theirs.
    """

    program: Sequence[str]
    request: RunRequest
    out: Path

    def run(self, combinations: Sequence[Combination]) -> Iterator[Outcome]:
        """Run one after another and yield how each ended; after Ctrl-C yield the one at work, and raise.

        Raises
        ------
        KeyboardInterrupt
            If it was interrupted.
        """
        for combination in combinations:
            folder = self.out / combination.name
            log = folder.with_name(f"{combination.name}.log")
            # What an earlier run left must not be taken for this one's, should it end before it begins.
            (folder / RUN).unlink(missing_ok=True)
            arguments = run_arguments(self.request, combination, folder)
            code, interrupted = _call([*self.program, *arguments], log)
            yield read_outcome(combination, folder, log, code)
            if interrupted:
                raise KeyboardInterrupt


def run_arguments(request: RunRequest, combination: Combination, out: Path) -> list[str]:
    """Return the arguments of `equilib` for one run."""
    arguments = ["run", request.experiment]
    for name, value in request.values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            arguments.append(flag if value else f"--no-{flag[2:]}")
        else:
            arguments += [flag, "none" if value is None else str(value)]
    arguments += ["--solver", combination.solver]
    if combination.adjoint is not None:
        arguments += ["--adjoint", combination.adjoint]
    for spec in request.fallback:
        arguments += ["--fallback", spec]
    for name, text in request.options.items():
        arguments += ["-o", f"{name}={text}"]
    arguments += ["--device", request.device, "--seed", str(request.seed), "--out", str(out)]
    if request.data_dir is not None:
        arguments += ["--data-dir", str(request.data_dir)]
    return [*arguments, "--overwrite"] if request.overwrite else arguments


def _call(command: Sequence[str], log: Path) -> tuple[int, bool]:
    """Run a program to its end, all that it prints in `log`; return its exit status and whether Ctrl-C came."""
    try:
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    except OSError as error:
        raise UserError(f"{log} cannot be written: {error.strerror or error}") from error
    try:
        return process.wait(), False
    except KeyboardInterrupt:
        return _end(process), True


def _end(process: subprocess.Popen[bytes]) -> int:
    """Wait for a program that a terminal interrupts as well; where there is none, interrupt it, then end it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            return process.wait(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
    return process.wait()
