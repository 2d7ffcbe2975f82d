"""Comparison of methods: runs of one experiment, each in a process of its own, and their outcomes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from equilib.commands.combinations import Combination
from equilib.errors import UserError
from equilib.runs.folder import RUN
from equilib.runs.record import RecordedRun
from equilib.runs.request import RunRequest

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


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one run ended and what it took; a number is None where the run did not get to it.

    Attributes
    ----------
    name : str
        The folder of the run, beside a file of that name + ".log" with what it printed.
    solver, adjoint : str
        As they were asked for; the adjoint's name where it was left to the solver.
    status : str
        "finished", "interrupted", "failed", or "refused" where the run never began.
    error : str or None
        The sentence it ended with.
    score_name : str or None
    score, residual, unconverged : float or None
        On the test data: the mean score, the mean residual, the share of samples that did not converge.
    forward_nfe, forward_njvp, adjoint_nfe : float or None
        Per batch of the last epoch of training: evaluations of f, products J·v, products Jᵀ·w of the adjoint.
    adjoint_unconverged : float or None
    seconds : float or None
        Of training, over all epochs, without the tests.
    peak_memory : int or None
        Bytes of host memory.
    """

    name: str
    solver: str
    adjoint: str
    status: str
    error: str | None
    score_name: str | None = None
    score: float | None = None
    residual: float | None = None
    unconverged: float | None = None
    forward_nfe: float | None = None
    forward_njvp: float | None = None
    adjoint_nfe: float | None = None
    adjoint_unconverged: float | None = None
    seconds: float | None = None
    peak_memory: int | None = None

    def describe(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def read_outcome(combination: Combination, folder: Path, log: Path, code: int) -> Outcome:
    """Read how a run ended from its folder, or from what it printed where it left no record."""
    asked: dict[str, Any] = {
        "name": combination.name,
        "solver": combination.solver,
        "adjoint": combination.adjoint or "",
    }
    try:
        run = RecordedRun.read(folder)
    except UserError:
        return Outcome(**asked, status="refused" if code == 2 else "failed", error=_last_words(log, code))
    facts, epochs = run.facts, run.metrics()
    method = facts.get("method") or {}
    asked["adjoint"] = asked["adjoint"] or (method.get("adjoint") or {}).get("name", "")
    status = facts.get("status", "failed")
    if status == "running":  # it was killed
        status = "failed"
    last = facts.get("results") or (epochs[-1] if epochs else {})
    return Outcome(
        **asked,
        status=status,
        error=facts.get("error") or (None if status == "finished" else _last_words(log, code)),
        seconds=sum(epoch.get("seconds", 0.0) for epoch in epochs) if epochs else None,
        peak_memory=facts.get("peak_memory"),
        **_numbers(last),
    )


def _numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a comparison shows of the metrics of an epoch, or of the results of a run."""
    tested = metrics.get("test") or {}
    scores = [key for key in metrics if key.startswith("test_") and key != "test_seconds"]
    numbers: dict[str, Any] = {
        "score_name": scores[0].removeprefix("test_") if scores else None,
        "score": metrics[scores[0]] if scores else None,
        "residual": tested.get("residual"),
        "unconverged": tested.get("unconverged"),
    }
    trained = ("forward_nfe", "forward_njvp", "adjoint_nfe", "adjoint_unconverged")
    return numbers | {name: metrics.get(name) for name in trained}


def _last_words(log: Path, code: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
    return f"the process ended with {how}; {log} holds what it printed"
