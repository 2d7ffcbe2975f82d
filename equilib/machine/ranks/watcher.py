"""Watcher of the ranks of a run: a program of its own that sees who fails, ends or hangs, and tells the others.

It outlives the launcher's killing of all ranks, which follows the death of one, and so can say whose that was. Ranks
are connected by TCP and write lines of JSON. It is started by its path and imports the standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

GIVEN = "EQUILIB_WATCHER"
"""The environment variable with the arguments of `Watcher`."""

TICK = 0.5
"""Seconds between two looks at all ranks."""

SLEPT = 3 * TICK
"""Seconds between two looks after which this process stood still, as all do on a machine that sleeps."""

BEAT = 1.0
"""Seconds between two signs of life to all ranks, for those on other hosts."""

TOGETHER = 0.3
"""Seconds within which failures of several ranks are one."""

BUSY = 0.05
"""The part of its time for which the main thread of a rank that is at work computes, at least."""

COMPUTING = 60.0
"""Seconds that a rank may compute while others wait, at least; or ten times the longest time so far."""

STARTING = 600.0
"""The same of its first exchanges, when code is compiled."""


MISTAKE = 2
"""The exit status of a user's mistake, which rank 0 finds for all."""


@dataclass(eq=False)
class Member:
    """One rank: its connection, where it is, and what is known of it."""

    connection: socket.socket
    heard: float
    rank: int = -1
    where: str = ""
    received: bytes = b""
    left: bool = False  # it said so, or failed
    exchanges: int = 0
    exchanged: float = 0.0  # when that number last changed
    waits: float | None = None  # since when it waits for others
    cpu: float = 0.0
    busy: float = 0.0  # when it last computed
    doing: str = ""  # empty while it prepares, which may take any time
    resume: str = ""


@dataclass
class Watcher:
    """The watcher of `size` ranks, which show `token`; one may be silent or idle for `patience` seconds."""

    size: int
    patience: float
    token: str
    members: list[Member] = field(default_factory=list)
    came: set[int] = field(default_factory=set)
    failures: dict[int, tuple[str, int]] = field(default_factory=dict)
    failed: float | None = None  # when the first did
    told: list[dict[str, Any]] = field(default_factory=list)  # what all are told, and those that come later
    verdict: str | None = None
    longest: float = 0.0

    def run(self, server: socket.socket) -> None:
        """Watch until all ranks that came have left: none leaves before all have come, or one of them cannot."""
        last = started = beat = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_READ)
            while self.members or (not self.came and last - started < STARTING):
                for key, _ in selector.select(TICK):
                    if key.data is None:
                        connection, _ = server.accept()
                        member = Member(connection, time.monotonic())
                        self.members.append(member)
                        selector.register(connection, selectors.EVENT_READ, member)
                    elif not self.listen(key.data):
                        selector.unregister(key.fileobj)
                        self.members.remove(key.data)
                now = time.monotonic()
                if now - last > SLEPT:
                    self.forgive(now - last)
                last = now
                if now - beat >= BEAT:
                    beat = now
                    self.tell({"alive": True}, self.members)
                self.judge(now)

    def listen(self, member: Member) -> bool:
        """Take what a rank wrote; tell whether it is still there."""
        try:
            data = member.connection.recv(65536)
        except OSError:
            data = b""
        *lines, member.received = (member.received + data).split(b"\n")
        for line in lines:
            try:
                self.take(member, json.loads(line))
            except (ValueError, KeyError, TypeError):  # somebody else's
                return False
        if not data and member.rank >= 0 and not member.left:
            self.decide(
                f"{self.name(member)} ended without a word, as a process does that is killed (kill -9) or for which "
                f"there is no memory{self.remedy()}",
                1,
                say=True,
            )
        if member.rank == 0 and (not data or member.left):
            self.tell_all({"over": True})
        return bool(data)

    def take(self, member: Member, message: dict[str, Any]) -> None:
        """Take one message; raises ValueError if it is not from a rank."""
        now = member.heard = time.monotonic()
        if member.rank < 0:
            if message["token"] != self.token:
                raise ValueError
            member.rank, member.where = message["rank"], message["where"]
            member.exchanged = member.busy = now
            self.came.add(member.rank)
            for each in self.told:
                self.tell(each, [member])
        elif "failed" in message:
            self.failures[member.rank] = message["failed"], message["status"]
            self.failed = self.failed or now
        elif "bye" in message:
            member.left = True
        else:
            self.note(member, message, now)

    def note(self, member: Member, beat: dict[str, Any], now: float) -> None:
        """Take a sign of life."""
        if beat["exchanges"] != member.exchanges:
            self.longest = max(self.longest, now - member.exchanged if member.exchanges else 0.0)
            member.exchanges, member.exchanged, member.waits = beat["exchanges"], now, None
        member.waits = (member.waits or now) if beat["waits"] else None
        if beat["cpu"] - member.cpu > BUSY or not beat["doing"]:  # beats come once a second
            member.busy = now
        member.cpu, member.doing, member.resume = beat["cpu"], beat["doing"], beat["resume"]

    def judge(self, now: float) -> None:
        """Decide whether a rank has failed."""
        alive = [each for each in self.members if each.rank >= 0 and not each.left]
        if self.verdict is not None or not alive:
            return
        if self.failed is not None:
            if len(self.failures) == self.size or now - self.failed > TOGETHER:
                self.decide(*self.common(len(alive)), whole=True)
            return
        for member in alive:
            if now - member.heard > self.patience:
                self.hung(member, f"does not answer for {now - member.heard:.0f} s")
                return
        waited = max((now - each.waits for each in alive if each.waits), default=0.0)
        if waited > self.patience:
            self.awaited(alive, waited, now)

    def awaited(self, alive: list[Member], waited: float, now: float) -> None:
        """Decide whether one that others have waited for hangs, so many seconds."""
        working = [each for each in alive if each.waits is None]
        for member in (each for each in working if each.doing):
            least = COMPUTING if member.exchanges > 10 else STARTING
            if now - member.busy > self.patience:
                self.hung(member, f"does nothing for {now - member.busy:.0f} s")
            elif waited > max(least, 10 * self.longest):
                self.hung(member, f"lets the others wait for {waited:.0f} s")
        if not working and all(now - (each.waits or now) > self.patience for each in alive):
            self.decide(f"all ranks wait for each other for {waited:.0f} s{self.remedy()}", 1)

    def hung(self, member: Member, how: str) -> None:
        """Decide that a rank hangs."""
        doing = f" ({member.doing})" if member.doing else ""
        self.decide(f"{self.name(member)} {how}{doing}{self.remedy()}", 1, say=member.rank == 0)
        if member.rank == 0:
            self.tell_all({"over": True})

    def common(self, alive: int) -> tuple[str, int]:
        """Return one sentence for all failures, and the exit status."""
        (rank, (sentence, status)), *others = self.failures.items()
        mistake = rank == 0 and status == MISTAKE
        if len(others) + 1 < alive and sentence and not mistake:
            where = next((self.name(each) for each in self.members if each.rank == rank), f"rank {rank}")
            return f"{where}: {sentence}", status
        return sentence, status

    def decide(self, sentence: str, status: int, *, say: bool = False, whole: bool = False) -> None:
        """Tell all ranks how the run ends, once, and whether all are there; say it where rank 0 cannot."""
        if self.verdict is not None:
            return
        self.verdict = sentence
        if say:
            with contextlib.suppress(OSError):
                print(f"error: {sentence}", file=sys.stderr, flush=True)
        self.tell_all({"verdict": sentence, "status": status, "said": say, "whole": whole})

    def tell_all(self, message: dict[str, Any]) -> None:
        """Write to all ranks, now or when they come."""
        if message not in self.told:
            self.told.append(message)
            self.tell(message, self.members)

    def tell(self, message: dict[str, Any], members: list[Member]) -> None:
        """Write to some ranks."""
        for member in members:
            with contextlib.suppress(OSError):
                member.connection.settimeout(1.0)
                member.connection.sendall(json.dumps(message).encode() + b"\n")

    def forgive(self, seconds: float) -> None:
        """Take a time for none."""
        for member in self.members:
            member.heard += seconds
            member.busy += seconds
            member.exchanged += seconds
            member.waits = None if member.waits is None else member.waits + seconds

    def name(self, member: Member) -> str:
        """Return a rank's number and place."""
        return f"rank {member.rank} of {self.size} ({member.where})"

    def remedy(self) -> str:
        """Return how to go on, where there is something to go on from."""
        known = next((each.resume for each in self.members if each.resume), "")
        return f"; to go on: {known}" if known else ""


def main() -> None:
    """Watch at the socket whose number is the argument; what is to be watched says the environment."""
    with socket.socket(fileno=int(sys.argv[1])) as server:
        Watcher(**json.loads(os.environ[GIVEN])).run(server)


if __name__ == "__main__":
    main()
