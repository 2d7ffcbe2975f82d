"""The watcher says which rank failed, once, and tells all."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from equilib.machine.ranks import watcher
from equilib.machine.ranks.watcher import COMPUTING, Member, Watcher
from tests.programs import environment

PATIENCE = 20.0


class Room:
    """A watcher of so many ranks, which have come, at a time of its own."""

    def __init__(self, size: int) -> None:
        self.watcher = Watcher(size, PATIENCE, "token")
        self.ends: list[socket.socket] = []
        self.now = time.monotonic()
        for rank in range(size):
            end, own = socket.socketpair()
            member = Member(own, self.now)
            self.watcher.members.append(member)
            self.watcher.take(member, {"token": "token", "rank": rank, "where": f"process {rank} on host"})
            self.ends.append(end)

    def beat(self, *beats: tuple[int, bool, float], doing: str = "Batch: [3/9]", seconds: float = 1.0) -> None:
        """Let time pass, at whose end each rank tells how many exchanges it had, whether it waits, and its seconds."""
        self.now += seconds
        for member, (exchanges, waits, cpu) in zip(self.watcher.members, beats, strict=False):
            member.heard = self.now
            beat = {"exchanges": exchanges, "waits": waits, "cpu": cpu, "doing": doing, "resume": "equilib resume r"}
            self.watcher.note(member, beat, self.now)
        self.watcher.judge(self.now)

    def close(self) -> None:
        """Close all connections."""
        for each in (*self.ends, *(member.connection for member in self.watcher.members)):
            each.close()

    def heard(self, rank: int) -> list[dict[str, object]]:
        """Return what a rank was told."""
        self.ends[rank].setblocking(False)
        try:
            return [json.loads(line) for line in self.ends[rank].recv(65536).splitlines()]
        except BlockingIOError:
            return []

    def verdict(self) -> str | None:
        """Return what all ranks that are there were told, the same."""
        told = {json.dumps(self.heard(rank)) for rank in range(len(self.ends)) if self.ends[rank].fileno() >= 0}
        assert len(told) == 1
        messages = json.loads(told.pop())
        return messages[0]["verdict"] if messages else None


@pytest.fixture
def watched() -> Iterator[Callable[[int], Room]]:
    """Return the way to rooms, whose connections are closed in the end."""
    rooms: list[Room] = []

    def make(size: int) -> Room:
        rooms.append(Room(size))
        return rooms[-1]

    yield make
    for room in rooms:
        room.close()


def test_ranks_at_work_are_left_alone(watched: Callable[[int], Room]) -> None:
    """Whoever computes, or waits for less than the patience, is well; so is who prepares, however long."""
    room = watched(3)
    for second in range(100):
        room.beat((second, True, second), (second, False, second), (second, False, second))
    for _ in range(100):
        room.beat((100, True, 100), (100, False, 0.0), (100, True, 0.0), doing="")
    assert room.verdict() is None


def test_a_rank_that_ends_without_a_word_is_named(
    watched: Callable[[int], Room], capfd: pytest.CaptureFixture[str]
) -> None:
    """The watcher says it itself, as the launcher may kill all others, and the way to go on."""
    room = watched(3)
    room.beat((1, True, 1), (1, True, 1), (1, False, 1))
    room.ends[2].close()
    assert not room.watcher.listen(room.watcher.members[2])
    sentence = room.verdict()
    assert sentence is not None
    assert sentence.startswith("rank 2 of 3 (process 2 on host) ended without a word")
    assert sentence.endswith("to go on: equilib resume r")
    assert capfd.readouterr().err == f"error: {sentence}\n"


def test_a_rank_that_has_left_may_end(watched: Callable[[int], Room]) -> None:
    """A connection that closes after a goodbye is no death."""
    room = watched(2)
    room.watcher.take(room.watcher.members[1], {"bye": True})
    room.ends[1].close()
    room.watcher.listen(room.watcher.members[1])
    assert room.heard(0) == []


def test_a_silent_rank_is_named(watched: Callable[[int], Room]) -> None:
    """One that is stopped sends no signs of life."""
    room = watched(3)
    for second in range(25):
        room.beat((1, True, 1), (1, True, 1), seconds=1.0)
        assert (room.watcher.verdict is None) == (second < PATIENCE)
    assert str(room.verdict()).startswith("rank 2 of 3 (process 2 on host) does not answer for 21 s")


def test_an_idle_rank_is_named(watched: Callable[[int], Room]) -> None:
    """One that lives, does nothing and lets the others wait hangs, and what it was at is said."""
    room = watched(2)
    for second in range(25):
        room.beat((20, True, second), (19, False, 7.0))
    assert str(room.verdict()).startswith("rank 1 of 2 (process 1 on host) does nothing for 21 s (Batch: [3/9])")


def test_a_rank_that_computes_has_more_time(watched: Callable[[int], Room]) -> None:
    """A long batch is no hang, an endless one is."""
    room = watched(2)
    for second in range(20):
        room.beat((second, False, second), (second, False, second))
    for second in range(int(COMPUTING) + 3):
        room.beat((20, True, second), (19, False, 20.0 + second))
        assert (room.watcher.verdict is None) == (second <= COMPUTING)
    assert "lets the others wait for 61 s" in str(room.verdict())


def test_a_machine_that_slept_is_no_hang(watched: Callable[[int], Room]) -> None:
    """What nobody could do anything in counts for nobody."""
    room = watched(2)
    room.beat((1, True, 1), (1, False, 1))
    room.watcher.forgive(3600.0)
    room.now += 3600.0
    room.watcher.judge(room.now)
    assert room.verdict() is None


def test_a_watcher_that_stood_still_takes_the_silence_for_none() -> None:
    """Where a machine sleeps for a time that is about the patience of the ranks, none of them has failed."""
    given = {"size": 1, "patience": 5.0, "token": "token"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = [sys.executable, "-S", "-E", watcher.__file__, str(server.fileno())]
        changes = {watcher.GIVEN: json.dumps(given)}
        with subprocess.Popen(program, pass_fds=[server.fileno()], env=environment(**changes)) as watching:
            with socket.create_connection(server.getsockname(), timeout=20) as rank:
                rank.sendall(b'{"token": "token", "rank": 0, "where": "process 1 on host"}\n')
                time.sleep(1.5)
                watching.send_signal(signal.SIGSTOP)
                time.sleep(4.5)
                watching.send_signal(signal.SIGCONT)
                time.sleep(1.0)
                rank.sendall(b'{"bye": true}\n')
                rank.shutdown(socket.SHUT_WR)
                said = b"".join(iter(lambda: rank.recv(65536), b""))
            watching.wait(10)
    assert b'"over"' in said
    assert b"verdict" not in said


def test_one_failure_of_all_is_one_sentence(watched: Callable[[int], Room]) -> None:
    """A mistake that all ranks find is nobody's in particular, one rank's own failure is named with its rank."""
    room, other = watched(2), watched(2)
    for rank in range(2):
        room.watcher.take(room.watcher.members[rank], {"failed": "no such solver", "status": 2})
    other.watcher.take(other.watcher.members[1], {"failed": "disk full", "status": 1})
    room.beat()
    other.beat()
    assert room.verdict() == "no such solver"
    assert other.verdict() == "rank 1 of 2 (process 1 on host): disk full"


def test_who_comes_late_is_told(watched: Callable[[int], Room]) -> None:
    """A rank that connects after the end was decided hears of it; a stranger is sent away."""
    room = watched(2)
    late, own = socket.socketpair()
    member = Member(own, room.now)
    room.ends += [late, own]
    room.watcher.decide("over", 1)
    room.watcher.take(member, {"token": "token", "rank": 2, "where": "here"})
    assert json.loads(late.recv(4096))["verdict"] == "over"
    late.sendall(b'{"token": "guessed", "rank": 0, "where": "elsewhere"}\n')
    assert not room.watcher.listen(Member(own, room.now))
