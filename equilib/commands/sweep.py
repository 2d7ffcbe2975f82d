"""Sweep of runs: each combination in a program of its own, several at a time, none touched by another's end."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from equilib.commands.combinations import Combination
from equilib.errors import file_errors
from equilib.machine.process import environment_of_part
from equilib.runs.files import new_file
from equilib.runs.folder import RUN
from equilib.runs.request import RunRequest

PROGRAM = (sys.executable, "-m", "equilib_program")
"""The command that is `equilib`."""

_PATIENCE = 10.0  # seconds that an interrupted run has to note how it ended
_LOOK = 0.3  # seconds between two looks at what runs print
_BATCH = re.compile(rb"\] ([^\n]*?) Batch: \[ *(\d+)/ *(\d+)\]")
_TAIL = 4096  # bytes


@dataclass(eq=False)
class ProgramRun:
    """One combination: its folder, the file of what it prints, and its process while it is at work."""

    combination: Combination
    folder: Path
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    code: int | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """The file of what it prints."""
        return self.folder.with_name(f"{self.combination.name}.log")

    def carry_out(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run it to its end; raises UserError if its log cannot be written."""
        # What an earlier run left must not be taken for this one's, should it end before it begins.
        (self.folder / RUN).unlink(missing_ok=True)
        with file_errors(f"{self.log} cannot be written"), new_file(self.log) as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment
            )
        self.code = self.process.wait()

    def place(self) -> tuple[str, int, int]:
        """Return what it trains at, the number of the batch, and of how many; as far as it has printed that."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - _TAIL))
                found = _BATCH.findall(file.read())
        except OSError:
            found = []
        title, index, count = found[-1] if found else (b"", b"0", b"1")
        return title.decode(errors="replace"), int(index), int(count)


def run_all(
    request: RunRequest,
    combinations: Sequence[Combination],
    out: Path,
    *,
    jobs: int = 1,
    look: Callable[[Sequence[ProgramRun]], None] = lambda runs: None,
) -> Iterator[ProgramRun]:
    """Run all combinations, each in a folder of `out`, `jobs` at a time on their part of the cores, and yield each.

    `look` is given those at work, several times a second.

    Raises KeyboardInterrupt if it was interrupted, or ended by a signal, once those at work have been yielded.
    """
    runs = [ProgramRun(each, out / each.name) for each in combinations]
    environment = environment_of_part(min(jobs, len(runs)))
    with ThreadPoolExecutor(jobs) as pool:  # of threads that wait for programs
        pending = {
            pool.submit(
                run.carry_out, [*PROGRAM, *run_arguments(request, run.combination, run.folder)], environment
            ): run
            for run in runs
        }
        try:
            while pending:
                done, _ = wait(pending, timeout=_LOOK, return_when=FIRST_COMPLETED)
                look([run for run in pending.values() if run.process is not None and run.code is None])
                for future in done:
                    run = pending.pop(future)
                    future.result()
                    yield run
        except BaseException as error:
            for future in pending:
                future.cancel()
            _end([run for run in pending.values() if run.process is not None], getattr(error, "number", signal.SIGINT))
            if isinstance(error, KeyboardInterrupt):
                yield from (run for run in pending.values() if run.process is not None)
            raise


def run_arguments(request: RunRequest, combination: Combination, out: Path) -> list[str]:
    """Return the arguments of `equilib` for one run."""
    chosen = replace(request, solver=combination.solver, adjoint=combination.adjoint)
    return ["run", *chosen.arguments(), "--out", str(out), *(["--overwrite"] if request.overwrite else [])]


def _end(runs: Sequence[ProgramRun], number: int) -> None:
    """Pass a signal on to programs, end them where that is of no use; Ctrl-C reaches them from the terminal as well."""
    processes = [run.process for run in runs if run.process is not None]
    try:
        for following in (number, signal.SIGKILL) if number != signal.SIGINT else (None, number, signal.SIGKILL):
            for process in processes:
                if following is not None and process.poll() is None:
                    process.send_signal(following)
            for process in processes:
                try:
                    process.wait(timeout=_PATIENCE)
                except subprocess.TimeoutExpired:
                    break
    except KeyboardInterrupt:  # twice means now
        for process in processes:
            process.kill()
        raise
    finally:
        for run in runs:
            run.code = run.process.poll() if run.process is not None else None
