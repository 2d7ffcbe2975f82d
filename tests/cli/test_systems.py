"""Systems that refuse: limits of memory and files, quotas, folders that are read-only, names and locales that are odd.

One program imports what commands need and is forked for each case: a process of its own for a hundredth of the time.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import equilib as installed
from equilib.cli import main
from equilib.runs.checkpoint_file import read_checkpoint
from equilib.runs.checkpoints import checkpoint_paths
from tests.programs import environment, equilib

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, limits and users as Linux has them")

PROGRAM = """
import json, os, resource, sys, time
from equilib.cli import main

# All that is needed is imported here, also what the library does when it is first needed.
main(["run", "linear", "--epochs", "1", "--quiet", "--device", "cpu", "--out", "whole"])
main(["evaluate", "whole"])
for path in ("whole", "whole/checkpoints"):
    os.chmod(path, 0o555)

def nobody():
    if os.geteuid() == 0:
        os.setuid(65534)

def limited(kind, value):
    resource.setrlimit(kind, (value, value))

def memory():
    pages = int(open("/proc/self/statm").read().split()[0])
    limited(resource.RLIMIT_AS, pages * resource.getpagesize() + (32 << 20))

SETTINGS = {
    "": lambda: None,
    "memory": memory,
    "files": lambda: limited(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) - 1),
    "nobody": nobody,
}
jobs, children = json.load(sys.stdin), {}
begin = time.monotonic() + 0.05
for number, (setting, delay, argv) in enumerate(jobs):
    child = os.fork()
    if child:
        children[child] = number
        continue
    printed = os.open(f"printed-{number}", os.O_CREAT | os.O_WRONLY)
    os.dup2(printed, 1), os.dup2(printed, 2), os.close(printed)
    status = 99
    try:
        SETTINGS[setting]()
        time.sleep(max(0, begin + delay - time.monotonic()))
        status = main(argv)
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
statuses = {}
while children:
    child, status = os.wait()
    statuses[children.pop(child)] = os.waitstatus_to_exitcode(status)
json.dump([statuses[number] for number in range(len(jobs))], open("statuses", "w"))
"""


@dataclass(frozen=True)
class Job:
    """A command, what limits its process, and the seconds after which it begins."""

    argv: Sequence[str]
    setting: str = ""
    delay: float = 0.0


LINE = ("run", "linear", "--epochs", "1", "--quiet", "--device", "cpu")
RACE = [Job(LINE, delay=0.004 * number) for number in range(8)]
SAME = [Job((*LINE, "--out", "same"), delay=0.002 * number) for number in range(4)]
RESUMED = [Job(("resume", "whole", "--epochs", "2", "--quiet"), "nobody")]
LIMITED = [
    Job(("run", "characters", "--features=8192", "--length=2", "--limit=1000", "--epochs=0", "--out=large"), "memory"),
    Job((*LINE, "--out", "few"), "files"),
    Job(("evaluate", "whole"), "nobody"),
    Job((*LINE, "--out", "whole/within"), "nobody"),
]
JOBS = (*RACE, *SAME, *RESUMED, *LIMITED)


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    status: int
    printed: str


def require_other_user() -> None:
    """Skip a test of what another user may do where this one is root, and keeps the installation to itself."""
    folders = [each for place in (installed.__file__, sys.prefix) for each in Path(place).absolute().parents]
    if os.geteuid() == 0 and not all(each.stat().st_mode & 0o001 for each in folders):
        pytest.skip("other users may not read the installation")


@pytest.fixture(scope="module")
def done() -> Iterator[tuple[Path, dict[Job, Done]]]:
    """Carry out all jobs; yield their folder and how each ended."""
    place = tempfile.TemporaryDirectory(prefix="equilib-systems-")  # not pytest's, which is closed to other users
    here = Path(place.name)
    here.chmod(0o755)
    jobs = json.dumps([(each.setting, each.delay, each.argv) for each in JOBS])
    environ = environment(OPENBLAS_NUM_THREADS="1")
    subprocess.run([sys.executable, "-c", PROGRAM], input=jobs, text=True, check=True, cwd=here, env=environ)
    statuses = json.loads((here / "statuses").read_text())
    printed = [(here / f"printed-{number}").read_text() for number in range(len(JOBS))]
    yield here, dict(zip(JOBS, map(Done, statuses, printed), strict=True))
    place.cleanup()


def is_whole(run: Path) -> bool:
    """Tell whether a run has ended, with a checkpoint, a model and a line of metrics, and nothing half written."""
    record = json.loads((run / "run.json").read_text())
    with np.load(run / "model.npz", allow_pickle=False) as model:
        arrays = len(model.files)
    lines = (run / "metrics.jsonl").read_text().splitlines()
    progress = read_checkpoint(checkpoint_paths(run)[-1]).header["progress"]
    whole = record["status"] == "finished" and arrays > 0 and len(lines) == progress["epochs_done"] == 1
    return whole and not list(run.rglob("*.part"))


def test_runs_that_begin_at_once_have_folders_of_their_own(done: tuple[Path, dict[Job, Done]]) -> None:
    """Eight processes of one second: none is refused, and none takes away what another wrote."""
    here, found = done
    assert {found[each].status for each in RACE} == {0}
    runs = list((here / "runs").iterdir())
    assert len(runs) == len(RACE)
    assert all(map(is_whole, runs))


def test_of_runs_in_one_folder_one_is_made(done: tuple[Path, dict[Job, Done]]) -> None:
    """The others are refused in a sentence, whenever they find out."""
    here, found = done
    ended = [found[each] for each in SAME]
    assert sorted(each.status for each in ended) == [0, 2, 2, 2]
    for each in ended:
        assert each.status == 0 or "is not empty" in each.printed or "another process is at work" in each.printed
    assert is_whole(here / "same")


SENTENCES = (
    (LIMITED[0], 1, "error: the memory does not suffice ("),
    (LIMITED[1], 1, "Too many open files"),
    (LIMITED[3], 2, "error: --out whole/within cannot be written: no permission to write in "),
    (RESUMED[0], 2, "error: whole cannot be written: Permission denied"),
)


@pytest.mark.parametrize(("job", "status", "sentence"), SENTENCES, ids=lambda each: getattr(each, "setting", None))
def test_a_limit_is_told_in_one_sentence(
    done: tuple[Path, dict[Job, Done]], job: Job, status: int, sentence: str
) -> None:
    """Of memory, of open files, of permissions."""
    if job.setting == "nobody":
        require_other_user()
    here, found = done
    assert (found[job].status, found[job].printed.count("\n")) == (status, 1)
    assert found[job].printed.startswith("error: ")
    assert sentence in found[job].printed
    assert not list(here.rglob("*.part"))


def test_what_only_reads_needs_no_permission_to_write(done: tuple[Path, dict[Job, Done]]) -> None:
    """A run in a folder that is read-only is evaluated, and stays as it was."""
    require_other_user()
    here, found = done
    assert found[LIMITED[2]].status == 0
    assert is_whole(here / "whole")


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_refuses_leaves_the_last_checkpoint(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A quota, or a file system that has become read-only: one sentence, and the run goes on later."""
    run, fsync = str(tmp_path / "run"), os.fsync
    assert main([*LINE, "--out", run]) == 0
    before = {path: path.read_bytes() for path in checkpoint_paths(tmp_path / "run")}
    calls = iter(range(9))

    def refuse(opened: int) -> None:
        if next(calls, None) is None:
            raise OSError(number, os.strerror(number))
        fsync(opened)

    monkeypatch.setattr(os, "fsync", refuse)
    capsys.readouterr()
    assert main(["resume", run, "--epochs", "3", "--quiet"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"cannot be written: {os.strerror(number)}; once it can be, equilib resume goes on" in err
    monkeypatch.setattr(os, "fsync", fsync)
    assert before.items() <= {path: path.read_bytes() for path in checkpoint_paths(tmp_path / "run")}.items()
    assert not list((tmp_path / "run").rglob("*.part"))
    assert main(["resume", run, "--epochs", "3", "--quiet"]) == 0


def test_names_and_locales_are_no_hindrance(tmp_path: Path) -> None:
    """In the locale C, on a terminal of ASCII, a name that is not UTF-8 and has an end of line is written and read."""
    out = os.fsdecode(b"caf\xc3\xa9-\xff\nx")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    for argv in ((*LINE, "--out", out), ("evaluate", out)):
        ended = equilib(*argv, cwd=tmp_path, **ascii_only)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.isascii()
    assert is_whole(tmp_path / out)
