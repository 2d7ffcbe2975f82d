"""Faults of a rank, one after the other: `python -m tests.ranks.faults`.

Two ranks are started, one of which goes wrong; all must end within 30 s of it with one sentence that names rank and
cause, and what was trained until then is gone on with. Prints a table, and fails where a fault is not told so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.programs import EQUILIB, environment
from tests.ranks.launching import MPIEXEC
from tests.ranks.test_runs import ranks_of

RUN = ("run", "linear", "--solver", "anderson", "--batch-size", "5", "--epochs", "100000", "--out", "run")
AFTER = """
from equilib.training.trainer import Trainer
taken, done = Trainer._taken, []
def spoiled(self, share):
    done.append(0)
    if len(done) > 100:
        {}
    return taken(self, share)
Trainer._taken = spoiled
"""
"""Code after which something happens to a rank in its hundredth batch."""

NOT_FINITE = "x, y = taken(self, share); return x * float('nan'), y"
LOST, HANGS = "raise OSError(5, 'Input/output error')", "__import__('time').sleep(1e4)"
SMALL_FILES = "__import__('resource').setrlimit(1, (9000, 9000))"  # of RLIMIT_FSIZE
OTHER_VERSION = """
import equilib.machine.environment as here
versions = here.package_versions
here.package_versions = lambda *given: {**versions(*given), "numpy": "1.0"}
"""
OTHER_DATA = """
from equilib.training.data import Dataset
Dataset.digest = lambda self: "of something else"
"""


def move() -> None:
    """Take the folder of the run away."""
    Path("run").rename("elsewhere")


def to_rank(number: int) -> Callable[[subprocess.Popen[str]], None]:
    """Return what sends a signal to the second rank."""
    return lambda launched: os.kill(ranks_of(launched.pid)[1], number)


def to_all(number: int) -> Callable[[subprocess.Popen[str]], None]:
    """Return what sends a signal to mpiexec, as a terminal or a batch system does."""
    return lambda launched: os.killpg(launched.pid, number) if number == signal.SIGINT else launched.send_signal(number)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong: code of a rank, its environment or arguments, or what is done to a run that trains."""

    title: str
    says: str  # a pattern of the sentence
    status: int | None = 1  # None: that of the launcher
    code: str = ""
    rank: int = 1
    arguments: tuple[str, ...] = RUN
    environment: dict[str, str] = field(default_factory=dict)
    act: Callable[[subprocess.Popen[str]], None] | None = None
    resumes: bool = True


IN_BATCH = r"at Epoch: \[\d+/100000\] Batch: \[ *\d+/\d+\]"
RANK = r"rank 1 of 2 \(process \d+ on [^)]*\)"
FAULTS = [
    Fault(title="its loss is nan", code=AFTER.format(NOT_FINITE), says=rf"the loss became nan {IN_BATCH} on rank 1"),
    Fault(title="it raises", code=AFTER.format(LOST), says=rf"{RANK}: .*output error"),
    Fault(
        title="no file can grow",
        code=AFTER.format(SMALL_FILES),
        rank=0,
        says="run/.* cannot be written: File too large",
    ),
    Fault(title="the folder is gone", act=lambda _: move(), says="run is gone: it was moved away", resumes=False),
    Fault(
        title="it hangs, as for a file system", code=AFTER.format(HANGS), says=f"{RANK} does nothing for", status=None
    ),
    Fault(title="it is stopped", act=to_rank(signal.SIGSTOP), says=rf"{RANK} does not answer for \d+ s", status=None),
    Fault(title="kill -9", act=to_rank(signal.SIGKILL), says=f"{RANK} ended without a word", status=None),
    Fault(title="SIGTERM, to the rank", act=to_rank(signal.SIGTERM), says=f"{RANK}: ended by SIGTERM", status=143),
    Fault(title="SIGTERM, to mpiexec", act=to_all(signal.SIGTERM), says="ended by SIGTERM", status=143),
    Fault(title="Ctrl-C", act=to_all(signal.SIGINT), says="", status=130),
]
EARLY = [
    Fault(title="another version of NumPy", code=OTHER_VERSION, says="rank 1, on .* has numpy '1.0'"),
    Fault(title="other data", code=OTHER_DATA, says="rank 1, on .* has data 'of something else'"),
    Fault(title="another option", arguments=(*RUN, "--seed", "3"), says="has the command"),
    Fault(title="an unknown option", arguments=(*RUN, "--epoch", "3"), says="rank 1, on .* has the command"),
    Fault(
        title="a plugin is missing",
        environment={"EQUILIB_PLUGINS": "-anderson"},
        says="rank 1 of 2 .*: no solver 'anderson'",
    ),
]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: exit status, seconds since the fault, what was said, and what is wrong with that."""

    status: int
    seconds: float
    said: str
    wrong: tuple[str, ...]


def start(fault: Fault, patience: float) -> subprocess.Popen[str]:
    """Start two ranks, one of which has the fault."""

    def rank(number: int) -> list[str]:
        own = fault.rank == number
        settings = [f for name, value in fault.environment.items() for f in ("-env", name, value)] if own else []
        program = [sys.executable, "-c", (fault.code if own else "") + EQUILIB]
        return ["-n", "1", *settings, *program, *(fault.arguments if own else RUN)]

    return subprocess.Popen(
        [str(MPIEXEC), *rank(0), ":", *rank(1)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(OPENBLAS_NUM_THREADS="1", EQUILIB_RANK_PATIENCE=str(patience)),
        start_new_session=True,
    )


def trial(fault: Fault, patience: float, *, early: bool) -> Outcome:
    """Have the fault happen, and judge how it ended."""
    launched = start(fault, patience)
    if fault.act is not None and launched.stdout is not None:
        while "Epoch: [9/" not in launched.stdout.readline():
            pass
        time.sleep(1.5)  # a beat of the ranks, one a second, says how to go on
        fault.act(launched)
    begun = time.monotonic()
    try:
        _, errors = launched.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        os.killpg(launched.pid, signal.SIGKILL)
        _, errors = launched.communicate()
    seconds = time.monotonic() - begun
    said = [line.removeprefix("error: ") for line in errors.splitlines() if line.startswith("error: ")]
    wrong = [f"{len(said)} sentences"] * (len(said) != bool(fault.says))
    if fault.says and not re.search(fault.says, " ".join(said)):
        wrong.append(f"it says {errors[:400]!r}")
    if seconds > 30:
        wrong.append("it took more than 30 s")
    if launched.returncode == 0 or (not early and fault.status not in (None, launched.returncode)):
        wrong.append(f"its exit status is {launched.returncode}")
    if early and Path("run").exists():
        wrong.append("something was written")
    if not early and fault.resumes:
        wrong += resumed()
    return Outcome(launched.returncode, seconds, " ".join(said), tuple(wrong))


def resumed() -> list[str]:
    """Go on with the run by one epoch, and return what is wrong."""
    if not Path("run/metrics.jsonl").exists():
        return ["nothing was trained"]
    epochs = len(Path("run/metrics.jsonl").read_text().splitlines())
    command = [sys.executable, "-c", EQUILIB, "resume", "run", "--epochs", str(epochs + 2), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    status = json.loads(Path("run/run.json").read_text())["status"]
    return [] if status == "finished" else [f"it does not go on: {done.stderr[:200]!r}"]


def main() -> None:
    """Try all faults, or those whose titles were given, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("titles", nargs="*")
    parser.add_argument("--patience", type=float, default=20.0)
    given = parser.parse_args()
    print("| a rank, or all | exit status | all ended after, s | what is said | wrong |\n|---|---|---|---|---|")
    failed = False
    for fault in [each for each in (*FAULTS, *EARLY) if not given.titles or each.title in given.titles]:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            found = trial(fault, given.patience, early=fault in EARLY)
            os.chdir("/")
        wrong = "; ".join(found.wrong) or "-"
        print(f"| {fault.title} | {found.status} | {found.seconds:.1f} | {found.said or '-'} | {wrong} |", flush=True)
        failed = failed or bool(found.wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
