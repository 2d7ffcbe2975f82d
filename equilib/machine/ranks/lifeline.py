"""Lifeline of a rank: signs of life to the watcher, and its word of who failed."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from equilib.errors import UserError
from equilib.machine.ranks import watcher
from equilib.machine.ranks.launched import not_launched

if TYPE_CHECKING:
    from equilib.machine.ranks.group import Ranks

PATIENCE = "EQUILIB_RANK_PATIENCE"
"""The environment variable for the seconds after which a rank that is silent or does nothing has failed; 0: never."""

_PATIENCE = 20.0
_LEAST_PATIENCE = 5.0  # of a rank that is well a beat may be late by some seconds
_BEAT = 1.0
_ANSWER = 3.0  # seconds that the watcher has to say whose failure it was
_LAST = 8.0  # seconds that rank 0 has to write what it knows, and all have to leave
_SLEPT = 1.5  # seconds between two looks, which are a beat apart, after which this process stood still


@dataclass(frozen=True)
class Verdict:
    """How the run ends: a sentence, an exit status, whether that was said already, and whether all ranks are there."""

    sentence: str
    status: int
    said: bool
    whole: bool = False


class Lifeline:
    """The connection of a rank to the watcher, and the thread that serves it.

    The watcher is on rank 0's host: who hears nothing from it for `patience` seconds, infinite there, is cut off.
    """

    def __init__(self, ranks: Ranks, address: tuple[str, int], token: str, patience: float = math.inf) -> None:
        self._ranks, self._patience, self._heard = ranks, patience, time.monotonic()
        self.verdict: Verdict | None = None
        self._decided, self._over = threading.Event(), threading.Event()
        self._deadline = float("inf")
        self._writing = threading.Lock()
        self._socket = socket.create_connection(address, timeout=10)
        place = ranks.places[ranks.rank]
        self._write({"token": token, "rank": ranks.rank, "where": f"process {place.process} on {place.host}"})
        threading.Thread(target=self._serve, name="equilib lifeline", daemon=True).start()

    def report(self, sentence: str, status: int) -> Verdict:
        """Tell that this rank failed, and return what is said of all."""
        if self.verdict is None:
            self._write({"failed": sentence, "status": status})
            self._decided.wait(_ANSWER)
        return self.verdict or Verdict(sentence, status, said=False)

    def leave(self, *, wait: bool) -> bool:
        """Tell that this rank is done; `wait` until rank 0 is, and tell whether it says so."""
        if self._ranks.rank == 0 or not wait:
            self._write({"bye": True})
            return True
        return self._over.wait(_LAST)

    def _write(self, message: Mapping[str, Any]) -> None:
        with self._writing, contextlib.suppress(OSError):  # without a watcher the run goes on
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def _beat(self) -> dict[str, Any]:
        ranks = self._ranks
        beat = {"exchanges": ranks.exchanges, "waits": ranks.waits, "cpu": _main_thread_time()}
        return {**beat, "doing": ranks.doing, "resume": ranks.resume}

    def _serve(self) -> None:
        received, due, last = b"", 0.0, time.monotonic()
        while True:
            with contextlib.suppress(OSError, ValueError):
                if select.select([self._socket], [], [], max(0.0, due - time.monotonic()))[0]:
                    data = self._socket.recv(65536)
                    if not data:
                        self._socket.close()
                        return
                    self._heard = time.monotonic()
                    *lines, received = (received + data).split(b"\n")
                    for line in lines:
                        self._take(json.loads(line))
            now = time.monotonic()
            self._heard += now - last if now - last > _SLEPT else 0.0
            last = now
            if now >= due:
                due = now + _BEAT
                self._write(self._beat())
            if now - self._heard > self._patience and self.verdict is None:
                self._cut_off(now)
            if now > self._deadline:
                self._end()

    def _take(self, message: Mapping[str, Any]) -> None:
        if "over" in message:
            self._over.set()
        elif "verdict" in message:
            self.verdict = Verdict(message["verdict"], message["status"], message["said"], message["whole"])
            # Rank 0 first writes a checkpoint; the others are there until it has.
            self._deadline = time.monotonic() + _LAST + (_BEAT if self._ranks.rank else 0.0)
            self._decided.set()

    def _cut_off(self, now: float) -> None:
        """End without the watcher; of those that are on other hosts than it, the first says why."""
        ranks, first = self._ranks, self._ranks.places[0]
        rest = f"; to go on: {ranks.resume}" if ranks.resume else ""
        sentence = (
            f"rank 0 of {ranks.size} (process {first.process} on {first.host}) does not answer for "
            f"{now - self._heard:.0f} s: its host is gone, or cannot be reached{rest}"
        )
        others = [rank for rank, place in enumerate(ranks.places) if not place.shares_host(first)]
        if ranks.rank == others[0]:
            print(f"error: {sentence}", file=sys.stderr, flush=True)
        self.verdict, self._deadline = Verdict(sentence, 1, said=True), now + _LAST
        self._decided.set()

    def _end(self) -> None:
        """End a process whose main thread does not."""
        verdict = self.verdict or Verdict("", 1, said=True)
        if self._ranks.rank == 0 and not verdict.said:
            print(f"error: {verdict.sentence}", file=sys.stderr, flush=True)
        os._exit(verdict.status)


class Refusal:
    """What stands for a lifeline where all ranks raise the same before anybody watches: each knows how all end."""

    verdict: Verdict | None = None

    def report(self, sentence: str, status: int) -> Verdict:
        """Return what is said of all."""
        self.verdict = Verdict(sentence, status, said=False, whole=True)
        return self.verdict

    def leave(self, *, wait: bool) -> bool:
        """Tell at once that this rank may go: as it ends with 0, no launcher ends rank 0 for it."""
        return True


def connect(ranks: Ranks) -> Lifeline | None:
    """Start the watcher on rank 0 and connect all to it; None where rank 0's environment says that nobody is watched.

    Raises UserError, on all ranks, if that is no number of seconds, or one of them cannot reach it.
    """
    patience = _patience(ranks.gather(os.environ.get(PATIENCE, ""))[0])
    if not patience:
        return None
    first = ranks.places[0]
    local = all(place.shares_host(first) for place in ranks.places)
    port, token = ranks.from_first(lambda: _start(ranks.size, patience, local=local))
    near = ranks.places[ranks.rank].shares_host(first)
    address = "127.0.0.1" if near else first.host, port
    lifeline, failure = None, ""
    try:
        lifeline = Lifeline(ranks, address, token, math.inf if near else patience)
    except OSError as error:
        failure = (
            f"rank {ranks.rank}, on {ranks.places[ranks.rank].host}, cannot reach {address[0]}, port {port}, by which "
            f"ranks are watched ({error}); let the hosts connect, or set {PATIENCE}=0"
        )
    # All hear of it: one that ended by itself would leave the others waiting, and rank 0 with nothing to say.
    failures = [each for each in ranks.gather(failure) if each]
    if not failures:
        return lifeline
    if lifeline is not None:
        lifeline.leave(wait=False)
    raise UserError(failures[0])


def _patience(given: str) -> float:
    if not given:
        return _PATIENCE
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if seconds and not _LEAST_PATIENCE <= seconds < float("inf"):
        raise UserError(f"{PATIENCE} expects {_LEAST_PATIENCE:g} seconds or more, or 0 to watch nobody, got {given!r}")
    return seconds


def _start(size: int, patience: float, *, local: bool) -> tuple[int, str]:
    token = secrets.token_hex(16)
    given = {"size": size, "patience": patience, "token": token}
    with socket.create_server(("127.0.0.1" if local else "", 0), backlog=size) as server:
        subprocess.Popen(
            [sys.executable, "-S", "-E", watcher.__file__, str(server.fileno())],
            pass_fds=[server.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # so that it is not killed with the ranks
            env={**not_launched(), watcher.GIVEN: json.dumps(given)},  # which other users cannot read
        ).returncode = 0  # it is left to itself
        return server.getsockname()[1], token


def _main_thread_time() -> float:
    """Return the seconds that the main thread has computed; those of the process where the system knows no better."""
    ident = threading.main_thread().ident
    if ident is not None and hasattr(time, "pthread_getcpuclockid"):
        return time.clock_gettime(time.pthread_getcpuclockid(ident))
    return time.process_time()
