"""Ranks on several hosts: which of them share one, and what is said where one cannot reach another."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from equilib.machine.ranks.group import Place, Ranks
from equilib.machine.ranks.lifeline import Lifeline
from tests.programs import EQUILIB, environment
from tests.ranks.launching import mpiexec, require_mpi

NO_WAY = """
import socket
def unreachable(*given, **options):
    raise TimeoutError("timed out")
socket.create_connection = unreachable
"""


NO_WATCHER = """
import sys
sys.executable = "nowhere/python"
"""
TELLING = '"$@"; status=$?; echo "rank $PMI_RANK ended with $status"; exit $status'


class One:
    """The communicator of a rank that is told what it says itself."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def gather(self, data: bytes):
        """Return this rank's bytes for all."""
        yield lambda: True
        return [data] * self.size


def on_hosts(rank: int, *hosts: tuple[str, str]) -> Ranks:
    """Return a rank among others, on hosts of so many (name, machine); nobody watches."""
    ranks = Ranks(One(rank, len(hosts)))
    ranks.places = [Place(name, 100 + number, (0, 1), machine) for number, (name, machine) in enumerate(hosts)]
    return ranks


def test_hosts_of_one_name_are_told_apart() -> None:
    """What the kernel drew when it started says who shares GPUs and cores, not the name alone."""
    hosts = [("node", "a"), ("node", "a"), ("node", "b"), ("other", "a"), ("node", "b")]
    found = [on_hosts(rank, *hosts) for rank in range(len(hosts))]
    assert [each.local_rank for each in found] == [0, 1, 0, 0, 1]
    assert [each.sharing_cores for each in found] == [2, 2, 2, 1, 2]
    assert Place.here().shares_host(Place.here())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_who_hears_nothing_from_rank_0_ends(rank: int, capfd: pytest.CaptureFixture[str]) -> None:
    """A host that is gone closes no connection; the first rank elsewhere says so, and a beat is heard."""
    ranks = on_hosts(rank, ("one", ""), ("one", ""), ("two", ""), ("two", ""))
    ranks.resume = "equilib resume r"
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = ranks.places[rank].shares_host(ranks.places[0])
        patience = (float("inf"),) if near else (3.0,)
        lifeline = Lifeline(ranks, ("127.0.0.1", server.getsockname()[1]), "token", *patience)
        watcher, _ = server.accept()
        with watcher:
            for _ in range(8):
                time.sleep(0.5)
                watcher.sendall(b'{"alive": true}\n')
                assert lifeline.verdict is None
            for _ in range(50 if near else 200):  # by no clock: what is asleep hears nothing, and takes it for none
                if lifeline.verdict is None:
                    time.sleep(0.1)
    for thread in threading.enumerate():
        if thread.name == "equilib lifeline":
            thread.join(5)
    if near:
        assert lifeline.verdict is None
        return
    assert lifeline.verdict is not None
    assert lifeline.verdict.sentence.startswith("rank 0 of 4 (process 100 on one) does not answer for ")
    assert lifeline.verdict.sentence.endswith("its host is gone, or cannot be reached; to go on: equilib resume r")
    said = f"error: {lifeline.verdict.sentence}\n" if rank == 2 else ""
    assert capfd.readouterr().err == said


LISTENING = """
import sys, time
from tests.ranks.test_hosts import Lifeline, on_hosts
lifeline = Lifeline(on_hosts(1, ("one", ""), ("two", "")), ("127.0.0.1", int(sys.argv[1])), "token", 5.0)
while "listening":
    print(lifeline.verdict, flush=True)
    time.sleep(0.1)
"""


def test_who_stood_still_takes_the_silence_for_none() -> None:
    """Where hosts sleep for a time that is about the patience of a rank, it hears nothing, and does not end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = [sys.executable, "-c", LISTENING, str(server.getsockname()[1])]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment()) as listening:
            watcher, _ = server.accept()
            with watcher:
                watcher.sendall(b'{"alive": true}\n')
                time.sleep(1.2)
                listening.send_signal(signal.SIGSTOP)
                time.sleep(3.8)
                listening.send_signal(signal.SIGCONT)
                time.sleep(1.2)
                watcher.sendall(b'{"alive": true}\n')
                time.sleep(0.5)
            listening.kill()
            said, _ = listening.communicate()
    assert set(said.split()) == {"None"}


def test_a_rank_that_cannot_reach_the_watcher_is_named(tmp_path: Path) -> None:
    """All end before the run begins, rank 0 says which cannot, and nobody is said to have ended without a word."""
    require_mpi()
    run = ["run", "linear", "--epochs", "1", "--out", "run"]
    one, other = ([sys.executable, "-c", code + EQUILIB, *run] for code in ("", NO_WAY))
    done = mpiexec(["-n", "1", *one, ":", "-n", "1", *other], tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert "error: rank 1, on " in done.stderr
    assert (
        "by which ranks are watched (timed out); let the hosts connect, or set EQUILIB_RANK_PATIENCE=0" in done.stderr
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("code", "arguments", "says", "status"),
    [
        pytest.param((NO_WATCHER, ""), ("", ""), "error: nowhere/python: No such file", 1, id="no-watcher"),
        pytest.param(("", NO_WAY), ("", ""), "by which ranks are watched", 2, id="no-way-to-it"),
        pytest.param(("", ""), ("", "--quiet"), "all ranks of a run need the same", 2, id="watched"),
    ],
)
def test_where_all_ranks_end_only_rank_0_has_a_status(
    code: tuple[str, str], arguments: tuple[str, str], says: str, status: int, tmp_path: Path
) -> None:
    """Others end with 0, watched or not yet: a launcher takes another status for a crash, and kills who is left."""
    require_mpi()
    run = ["run", "linear", "--epochs", "1", "--out", "run"]
    parts = [
        ["-n", "1", "sh", "-c", TELLING, "sh", sys.executable, "-c", before + EQUILIB, *run, *filter(None, [option])]
        for before, option in zip(code, arguments, strict=True)
    ]
    done = mpiexec([*parts[0], ":", *parts[1]], tmp_path)
    assert sorted(done.stdout.splitlines()) == [f"rank 0 ended with {status}", "rank 1 ended with 0"]
    assert (done.returncode, done.stderr.count("error: ")) == (status, 1)
    assert says in done.stderr
